"""Offers and answers as they come off the wire; those that are alike are negotiated once.

Peers behind one trunk send the same description call after call, but for its origin, its address
and its port. What comes of such an offer, or of such an answer to an offer of ours, follows from
the rest of it and from our side, and is remembered for the last few; the address and the ports of
the call at hand are put into that. Whatever is not of this plain form goes the long way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .._core import plain_parts
from ..codec import Codec
from .crypto import SrtpPolicy
from .description import Connection, Direction, SessionDescription, parse_sdp
from .errors import NotAcceptable, SdpError
from .negotiation import (
    Answer,
    LocalMedia,
    NegotiatedMedia,
    accept_answer,
    answer_offer,
    body_of,
    packed_address,
)

MAX_ALIKE_BYTES = 1_024
"""Longer descriptions are read each time, so that what is remembered stays within a MiB, and what
fits nothing costs little."""
REMEMBERED_ANSWERS = 128
REMEMBERED_HOSTS = 1_024
LAST_PORT_BEFORE_RTCP = 65_534
"""RTP on the last port has none for RTCP behind it."""

_HOST, _PORT = "192.0.2.1", 6_000
"""What stands in the place of both sides' addresses and ports while an outline is made."""

_Plain = tuple[str, int, bytes]
"""A description of the plain form, by `plain_parts`: where its sound is to go, and the rest."""

_Ours = tuple[tuple[Codec, ...], Direction, bool, int, bool, bool]
"""What of our side decides on what comes of it, besides its address and port: as `_ours_of`."""


class _Outline(NamedTuple):
    """What comes of offers that are alike: ``agreed`` but for the addresses, and our ``section``
    behind its port."""

    agreed: NegotiatedMedia
    section: str


def answer_to(offer: bytes, local: LocalMedia) -> Answer:
    """Our answer to an offer: `answer_offer` of what `parse_sdp` reads, and the same SdpErrors."""
    return _answer_alike(offer, local) or answer_offer(parse_sdp(offer), local)


def _answer_alike(offer: bytes, local: LocalMedia) -> Answer | None:
    """The answer out of what is remembered; None for what has to go the long way."""
    theirs, ours = _read(offer), _ours_of(local)
    if theirs is None or ours is None:
        return None
    host, port, rest = theirs
    if (outline := _outline_of(rest, ours)) is None:
        return None
    agreed, section = outline
    body = body_of(local, f"m=audio {local.rtp_port}{section}")
    return Answer(body, _placed(agreed, host, port))


def settle_answer(offer: bytes, answer: bytes, local: LocalMedia) -> NegotiatedMedia:
    """What an answer to our ``offer`` settles: `accept_answer` of what `parse_sdp` reads, and the
    same SdpErrors."""
    alike = _settle_alike(offer, answer, local)
    return accept_answer(offer, parse_sdp(answer), local) if alike is None else alike


def _settle_alike(offer: bytes, answer: bytes, local: LocalMedia) -> NegotiatedMedia | None:
    """The same out of what is remembered; None for what has to go the long way."""
    theirs, ours = _read(answer), _ours_of(local)
    if theirs is None or ours is None or offer.count(b"\nm=") != 1:
        return None
    host, port, rest = theirs
    _, _, terms = offer.partition(b" RTP/")
    agreed = _settled_of(terms, rest, ours)
    return None if agreed is None else _placed(agreed, host, port)


def _read(description: bytes) -> _Plain | None:
    """A description of the plain form; None for any other."""
    if len(description) > MAX_ALIKE_BYTES:
        return None
    theirs = plain_parts(description)
    if theirs is None or theirs[1] > LAST_PORT_BEFORE_RTCP or not _takes_sound(theirs[0]):
        return None
    return theirs


def _placed(agreed: NegotiatedMedia, host: str, port: int) -> NegotiatedMedia:
    """What was agreed on with another one, with the address and the ports of this one."""
    rtcp_port = port if agreed.rtcp_mux else port + 1
    parts = *agreed[:3], host, port, host, rtcp_port, *agreed[7:]
    return NegotiatedMedia._make(parts)


def _ours_of(local: LocalMedia) -> _Ours | None:
    """None for a side whose answers follow from more than that, its address and its port."""
    if (
        local.srtp is not SrtpPolicy.OFF
        or local.applications
        or local.rtcp_port is not None
        or ":" in local.host
    ):
        return None
    return (
        local.codecs,
        local.direction,
        local.own_order,
        local.ptime_ms,
        local.comfort_noise,
        local.rtcp_mux,
    )


@lru_cache(maxsize=REMEMBERED_HOSTS)
def _takes_sound(host: str) -> bool:
    """False for an address that is refused, or means a hold."""
    try:
        return any(packed_address(Connection("IP4", host)))
    except NotAcceptable:
        return False


@lru_cache(maxsize=REMEMBERED_ANSWERS)
def _outline_of(rest: bytes, ours: _Ours) -> _Outline | None:
    """What comes of an offer of these parts, found out the long way; None for one that is refused,
    or says more of where RTCP goes."""
    if b"\na=rtcp:" in rest.rpartition(b"\0")[2]:
        return None
    try:
        answer = answer_offer(_stand_in(rest), _local_of(ours))
    except SdpError:
        return None
    assert answer.media is not None  # the stream is on
    _, _, section = answer.body.decode("latin-1").partition(f"\r\nm=audio {_PORT}")
    return _Outline(answer.media, section)


@lru_cache(maxsize=REMEMBERED_ANSWERS)
def _settled_of(terms: bytes, rest: bytes, ours: _Ours) -> NegotiatedMedia | None:
    """What an answer of these parts settles, where we have offered one stream in these ``terms``:
    what stands behind its port. None as `_outline_of`."""
    if b"\na=rtcp:" in rest.rpartition(b"\0")[2]:
        return None
    offer = b"v=0\r\nm=audio %d RTP/%b" % (_PORT, terms)
    try:
        return accept_answer(offer, _stand_in(rest), _local_of(ours))
    except SdpError:
        return None


def _stand_in(rest: bytes) -> SessionDescription:
    """A description with this rest. SdpError."""
    before, between, behind = rest.split(b"\0")
    parts = _HOST.encode(), before, _HOST.encode(), between, _PORT, behind
    return parse_sdp(b"v=0\r\no=- 0 0 IN IP4 %b%b%b%b%d%b" % parts)


def _local_of(ours: _Ours) -> LocalMedia:
    codecs, direction, own_order, ptime_ms, comfort_noise, rtcp_mux = ours
    return LocalMedia(
        _HOST,
        _PORT,
        codecs,
        session_id=0,
        direction=direction,
        own_order=own_order,
        ptime_ms=ptime_ms,
        comfort_noise=comfort_noise,
        rtcp_mux=rtcp_mux,
    )
