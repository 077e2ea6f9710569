"""Session descriptions (RFC 8866), and agreeing on a stream by offer and answer (RFC 3264).

No I/O, no clock, no state: bytes in, values out. :func:`parse_sdp` reads hostile input.
:func:`answer_to` is for an INVITE that brings an offer; :func:`make_offer` and
:func:`settle_answer` are for one that leaves the offer to us, :func:`offer_again` for a hold.
"""

from .agreement import agreement_of, agreement_state
from .alike import answer_to, settle_answer
from .application import ApplicationLine, applications_in, settled
from .crypto import SrtpKey, SrtpPolicy, SrtpSuite, SrtpTerms
from .description import (
    MAX_BODY_BYTES,
    Connection,
    Direction,
    MediaDescription,
    Origin,
    SessionDescription,
    parse_sdp,
)
from .errors import NoCommonCodec, NotAcceptable, SdpError, SdpReason
from .negotiation import (
    Answer,
    LocalMedia,
    NegotiatedMedia,
    accept_answer,
    answer_offer,
    make_offer,
    offer_again,
)

__all__ = [
    "MAX_BODY_BYTES",
    "Answer",
    "ApplicationLine",
    "Connection",
    "Direction",
    "LocalMedia",
    "MediaDescription",
    "NegotiatedMedia",
    "NoCommonCodec",
    "NotAcceptable",
    "Origin",
    "SdpError",
    "SdpReason",
    "SessionDescription",
    "SrtpKey",
    "SrtpPolicy",
    "SrtpSuite",
    "SrtpTerms",
    "accept_answer",
    "agreement_of",
    "agreement_state",
    "answer_offer",
    "answer_to",
    "applications_in",
    "make_offer",
    "offer_again",
    "parse_sdp",
    "settle_answer",
    "settled",
]
