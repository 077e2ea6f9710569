"""Counters of the SIP layers: one number for each thing that an operator may want to explain."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Self

from .._core import Tally


class Count(IntEnum):
    """What is counted. The value is the index in :class:`Counters`."""

    REQUESTS = 0
    RESPONSES = auto()
    RETRANSMISSIONS_ABSORBED = auto()
    RETRANSMISSIONS_SENT = auto()
    STRAY_RESPONSES = auto()
    STRAY_ACKS = auto()
    TRANSACTION_TABLE_FULL = auto()
    TRANSACTION_TIMEOUTS = auto()
    ACK_TIMEOUTS = auto()
    TRANSPORT_FAILURES = auto()
    PARSE_ERRORS = auto()
    HANDLER_ERRORS = auto()
    CALLS_OFFERED = auto()
    CALLS_DIALLED = auto()
    CALLS_ADOPTED = auto()
    CALLS_ANSWERED = auto()
    CALLS_ENDED_LOCAL = auto()
    CALLS_ENDED_REMOTE = auto()
    CALLS_ENDED_ERROR = auto()
    SPEECH_SESSIONS_DIALLED = auto()
    SPEECH_SESSIONS_ENDED = auto()
    REFUSED_MAX_CALLS = auto()
    REFUSED_SPEECH_SESSIONS = auto()
    REFUSED_RATE = auto()
    REFUSED_DRAINING = auto()
    RATE_SOURCES_EVICTED = auto()
    REJECTED_BAD_REQUEST = auto()
    REJECTED_METHOD = auto()
    REJECTED_TOO_LARGE = auto()
    REJECTED_MEDIA_TYPE = auto()
    REJECTED_URI_SCHEME = auto()
    REJECTED_EXTENSION = auto()
    REJECTED_NO_DIALOG = auto()
    REJECTED_MERGED = auto()
    REJECTED_ACCEPT = auto()
    REJECTED_CSEQ = auto()
    REJECTED_GLARE = auto()
    FORKS_RELEASED = auto()
    DROPPED_STRANGERS = auto()
    DROPPED_BANNED = auto()
    DROPPED_SCANNERS = auto()
    STRANGERS_TOO_FAST = auto()
    REFUSED_STRANGERS = auto()
    REFUSED_CREDENTIALS = auto()
    CHALLENGED = auto()
    AUTHENTICATED = auto()
    SOURCES_BANNED = auto()
    REFERS_SENT = auto()
    REFERS_RECEIVED = auto()
    CALLS_REPLACED = auto()
    REJECTED_REFER = auto()
    REJECTED_REPLACES = auto()
    REJECTED_EVENT = auto()
    REJECTED_INTERVAL = auto()
    REJECTED_RACK = auto()
    SESSIONS_REFRESHED = auto()
    SESSIONS_EXPIRED = auto()
    PRACK_TIMEOUTS = auto()


class Counters(Tally):
    """Counts since the start, by :class:`Count`."""

    __slots__ = ()

    def __new__(cls) -> Self:
        return super().__new__(cls, len(Count))

    def as_dict(self) -> dict[str, int]:
        """Every counter by its name in lower case, zeros included."""
        return {what.name.lower(): self[what] for what in Count}
