"""Why a SIP message is refused, and the one exception that the parsers raise."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .message import Request


class SipReject(IntEnum):
    """Reasons of the C scanner (``rw_sip_reject``), value for value; each is a counter's index."""

    NONE = 0
    EMPTY = 1
    TOO_LONG = 2
    START_LINE = 3
    VERSION = 4
    METHOD = 5
    URI = 6
    STATUS = 7
    LINE_END = 8
    HEADER_END = 9
    HEADER_NAME = 10
    HEADER_COUNT = 11
    NUL = 12
    DUPLICATE = 13
    QUOTE = 14
    BRACKET = 15
    ADDRESS = 16
    PARAMETER = 17
    VIA = 18
    CALL_ID = 19
    CSEQ = 20
    CSEQ_METHOD = 21
    NUMBER = 22
    CONTENT_LENGTH = 23
    BODY_SHORT = 24
    MISSING_VIA = 25
    MISSING_FROM = 26
    MISSING_TO = 27
    MISSING_CALL_ID = 28
    MISSING_CSEQ = 29


class SipParseError(ValueError):
    """What came off the wire is no SIP.

    ``status`` is the response code to answer with, None if the message must be dropped without an
    answer. ``partial`` is set when ``status`` is: a request of which only what a response needs has
    been filled in (Via, From, To, Call-ID, CSeq, as far as they were there), made for
    `stamp_via` and `make_response` and for nothing else.
    """

    def __init__(
        self, reason: SipReject, status: int | None = None, partial: Request | None = None
    ) -> None:
        super().__init__(reason.name.lower())
        self.reason = reason
        self.status = status
        self.partial = partial
