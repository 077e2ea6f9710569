"""What became of a call of ours: a few outcomes, out of SIP's statuses and Q.850's causes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from .early_sound import EarlySound
from .sip.events import EndCause, EndedBy
from .sip.failure import UNDELIVERED_REASON
from .sip.fields import unquote
from .sip.message import REASON_PHRASES


class Outcome(StrEnum):
    """How dialling ended.

    ``number-invalid``: nobody has that number. ``unreachable``: no answer from the network, or it
    found no way to the callee. ``congestion``: no room, there or here: worth another try.
    ``cancelled``: given up by us before the time was over.
    """

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    NUMBER_INVALID = "number-invalid"
    CONGESTION = "congestion"
    CANCELLED = "cancelled"


_OF_STATUS = {
    404: Outcome.NUMBER_INVALID,
    408: Outcome.NO_ANSWER,
    410: Outcome.NUMBER_INVALID,
    414: Outcome.NUMBER_INVALID,
    416: Outcome.NUMBER_INVALID,
    430: Outcome.UNREACHABLE,
    480: Outcome.NO_ANSWER,
    482: Outcome.UNREACHABLE,
    483: Outcome.UNREACHABLE,
    484: Outcome.NUMBER_INVALID,
    485: Outcome.NUMBER_INVALID,
    486: Outcome.BUSY,
    487: Outcome.NO_ANSWER,  # not ours: the callee's side, or a proxy, gave it up
    503: Outcome.CONGESTION,
    600: Outcome.BUSY,
    604: Outcome.NUMBER_INVALID,
}
"""RFC 3261 section 21; what is not here goes by its class."""

_OF_CLASS = {
    3: Outcome.REJECTED,
    4: Outcome.REJECTED,
    5: Outcome.UNREACHABLE,
    6: Outcome.REJECTED,
}

_OF_CAUSE = {
    1: Outcome.NUMBER_INVALID,  # unallocated number
    2: Outcome.UNREACHABLE,  # no route to the transit network
    3: Outcome.UNREACHABLE,  # no route to the destination
    17: Outcome.BUSY,
    18: Outcome.NO_ANSWER,  # no user responding
    19: Outcome.NO_ANSWER,
    20: Outcome.UNREACHABLE,  # subscriber absent
    21: Outcome.REJECTED,
    22: Outcome.NUMBER_INVALID,  # number changed
    27: Outcome.UNREACHABLE,  # destination out of order
    28: Outcome.NUMBER_INVALID,  # number incomplete
    34: Outcome.CONGESTION,  # no channel
    38: Outcome.UNREACHABLE,  # network out of order
    41: Outcome.CONGESTION,  # temporary failure
    42: Outcome.CONGESTION,
    44: Outcome.CONGESTION,
    47: Outcome.CONGESTION,
    102: Outcome.UNREACHABLE,  # a timer has expired
}
"""ITU-T Q.850 table 1, the causes that say more than the SIP status does; others leave it to that
(16 normal clearing and 31 normal unspecified come with anything)."""

_Q850 = re.compile(r"(?:^|,)\s*+Q\.850\s*+;[^,\"]*?\bcause\s*+=\s*+(\d{1,3})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DialResult:
    """The outcome of dialling, and what it was concluded from.

    ``status`` and ``reason`` are the final response's, or those that say best what happened here;
    ``q850`` is the cause of its Reason header, None if it had none. ``text`` says more where there
    is more. ``silent``: nothing at all came back. ``contacts``: where a 3xx points to.
    """

    outcome: Outcome
    status: int
    reason: str
    q850: int | None = None
    text: str = ""
    silent: bool = False
    contacts: tuple[str, ...] = ()
    retry_after_s: int | None = None

    def __str__(self) -> str:
        cause = "" if self.q850 is None else f", Q.850 cause {self.q850}"
        text = f": {self.text}" if self.text else ""
        return f"{self.outcome.value} ({self.status} {self.reason}{cause}){text}"


ANSWERED = DialResult(Outcome.ANSWERED, 200, "OK")


def q850_cause(reason: str) -> int | None:
    """The cause of protocol Q.850 in the value of a Reason header (RFC 3326), None without one."""
    found = _Q850.search(reason)
    return int(found[1]) if found and int(found[1]) < 128 else None


def outcome_of(status: int, q850: int | None) -> Outcome:
    """What a failure with this final response comes to. A cause of the network's says more than
    the status that a gateway made of it."""
    known = _OF_CAUSE.get(q850) if q850 is not None else None
    return known or _OF_STATUS.get(status) or _OF_CLASS.get(status // 100, Outcome.REJECTED)


def failure_of(cause: EndCause, *, proceeding: bool) -> DialResult:
    """What a call of ours that was not answered came to, by the cause of its end.

    ``proceeding``: the other side had given a sign of life.
    """
    status, reason, text = cause.status, cause.reason, cause.text
    if cause.by is EndedBy.LOCAL:
        return DialResult(Outcome.CANCELLED, status, reason, text=text)
    if cause.by is EndedBy.ERROR:
        if text.startswith(UNDELIVERED_REASON):
            text = unquote(text.removeprefix(UNDELIVERED_REASON))
        if proceeding and status == 408:
            return DialResult(Outcome.NO_ANSWER, status, reason, text=text)
        return DialResult(Outcome.UNREACHABLE, status, reason, text=text, silent=not proceeding)
    if status < 300:  # BYE in an early dialog (RFC 3261 15.1.2)
        status, reason = 480, REASON_PHRASES[480]
    q850 = q850_cause(text)
    return DialResult(
        outcome_of(status, q850),
        status,
        reason,
        q850,
        text,
        contacts=cause.contacts,
        retry_after_s=cause.retry_after_s,
    )


_OF_SOUND = {EarlySound.BUSY: Outcome.BUSY, EarlySound.CONGESTION: Outcome.CONGESTION}
"""Where a gateway leaves it to the tone to say why nobody answers."""


def not_answered(
    within_s: float, *, proceeding: bool, sound: EarlySound | None = None
) -> DialResult:
    """The time is over that somebody was given; ``sound`` is what was heard meanwhile."""
    outcome = Outcome.NO_ANSWER if proceeding else Outcome.UNREACHABLE
    outcome = _OF_SOUND.get(sound, outcome) if sound else outcome
    what = "not answered" if proceeding else "no response"
    text = f"{what} within {within_s:g} s"
    return DialResult(outcome, 408, REASON_PHRASES[408], text=text, silent=not proceeding)
