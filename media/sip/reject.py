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
    URI = 5
    STATUS = 6
    LINE_END = 7
    HEADER_END = 8
    HEADER_NAME = 9
    HEADER_COUNT = 10
    NUL = 11
    DUPLICATE = 12
    QUOTE = 13
    BRACKET = 14
    ADDRESS = 15
    PARAMETER = 16
    VIA = 17
    CALL_ID = 18
    CSEQ = 19
    CSEQ_METHOD = 20
    NUMBER = 21
    CONTENT_LENGTH = 22
    BODY_SHORT = 23
    MISSING_VIA = 24
    MISSING_FROM = 25
    MISSING_TO = 26
    MISSING_CALL_ID = 27
    MISSING_CSEQ = 28


class SipParseError(ValueError):
    """What came off the wire is no SIP.

    ``status`` is the response code to answer with, None if the message must be dropped without an
    answer. ``partial`` is set when ``status`` is: a request of which only what a response needs has
    been filled in (Via, From, To, Call-ID, CSeq, as far as they were there), made for
    `stamp_via` and `response_bytes` and for nothing else.
    """

    def __init__(
        self, reason: SipReject, status: int | None = None, partial: Request | None = None
    ) -> None:
        super().__init__(reason.name.lower())
        self.reason = reason
        self.status = status
        self.partial = partial
