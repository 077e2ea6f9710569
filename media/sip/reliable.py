"""Provisional responses that arrive for certain (RFC 3262): 100rel, RSeq, RAck and PRACK."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog
from .edge import TimerHandle
from .fields import has_token
from .message import Headers, Request, Response
from .screening import SDP

if TYPE_CHECKING:
    from .incoming import IncomingCall
    from .session import SipCall

REL = "100rel"
MAX_FIRST_RSEQ = 2**31 - 1
MAX_RSEQ = 2**32 - 1
MAX_WAITING = 8
"""Provisional responses of one call that wait until the one before is acknowledged."""


class Early(Enum):
    """How far offer and answer have come before the final response (RFC 3262 5)."""

    OPEN = auto()
    OFFERED = auto()  # by us, in a reliable response to an INVITE without an offer
    ANSWERED = auto()  # by us, not acknowledged
    AGREED = auto()


@dataclass(frozen=True, slots=True)
class RAck:
    """The value of RAck (RFC 3262 7.2)."""

    rseq: int
    cseq: int
    method: str

    @classmethod
    def parse(cls, value: str) -> RAck | None:
        """None: malformed."""
        words = value.split()
        if len(words) != 3:
            return None
        rseq, cseq = (_number(word) for word in words[:2])
        return None if rseq is None or cseq is None else cls(rseq, cseq, words[2])


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > MAX_RSEQ:
        return None
    return int(text)


def requires_reliable(headers: Headers) -> bool:
    """True if the caller takes provisional responses only as reliable ones."""
    return has_token(headers.all("Require"), REL)


def supports_reliable(headers: Headers) -> bool:
    """True if the caller acknowledges provisional responses."""
    return has_token(headers.all("Supported"), REL) or requires_reliable(headers)


@dataclass(frozen=True, slots=True)
class _Progress:
    """A provisional response that waits for its turn."""

    status: int
    lines: tuple[tuple[str, str], ...]
    sdp: bytes


class ReliableRinging:
    """The reliable provisional responses to one INVITE, one after the other (RFC 3262 3)."""

    __slots__ = (
        "_call",
        "_current",
        "_data",
        "_deadline_ms",
        "_interval_ms",
        "_rseq",
        "_timer",
        "_waiting",
        "session",
    )

    def __init__(self, call: IncomingCall) -> None:
        self._call = call
        self._rseq = call.agent.random.randint(1, MAX_FIRST_RSEQ - 1)
        self._current: _Progress | None = None
        self._waiting: deque[_Progress] = deque()
        self._timer: TimerHandle | None = None
        self._data = b""
        self._interval_ms = self._deadline_ms = 0
        self.session = Early.OPEN

    @property
    def holds_the_answer(self) -> bool:
        """True while a 2xx has to wait: a description is not acknowledged (RFC 3262 3)."""
        described = any(item.sdp for item in self._waiting)
        return described or (self._current is not None and bool(self._current.sdp))

    @property
    def full(self) -> bool:
        """True if no more can wait."""
        return len(self._waiting) >= MAX_WAITING

    def send(self, status: int, lines: tuple[tuple[str, str], ...], sdp: bytes) -> None:
        """Send it, or as soon as the one before is acknowledged.

        A description is sent once: what comes after the first is none (RFC 3261 13.2.1).
        """
        described = self.session is not Early.OPEN or any(item.sdp for item in self._waiting)
        self._waiting.append(_Progress(status, lines, b"" if described else sdp))
        if self._current is None:
            self._next()

    def _next(self) -> None:
        item = self._current = self._waiting.popleft()
        self._rseq += 1
        lines = [*item.lines, ("Require", REL), ("RSeq", str(self._rseq))]
        if item.sdp:
            lines.append(("Content-Type", SDP))
            self.session = Early.ANSWERED if self._call.invite.body else Early.OFFERED
        self._data = self._call.send_progress(item.status, lines, item.sdp)
        timing = self._call.agent.config.timing
        self._interval_ms = timing.t1_ms
        self._deadline_ms = self._call.agent.timers.now_ms + timing.give_up_ms
        self._arm()

    def _arm(self) -> None:
        timers = self._call.agent.timers
        wait_ms = min(self._interval_ms, self._deadline_ms - timers.now_ms)
        self._timer = timers.arm(max(1, wait_ms), self)

    def __call__(self) -> None:
        """Time to send it again, or to give up; the interval doubles without a cap."""
        self._timer = None
        if self._call.agent.timers.now_ms >= self._deadline_ms:
            self._call.agent.counters.add(Count.PRACK_TIMEOUTS)
            self.stop()
            self._call.on_no_prack()
        else:
            self._call.agent.transactions.send_again(self._data, self._call.reply_flow)
            self._interval_ms *= 2
            self._arm()

    def matches(self, request: Request) -> bool:
        """True for the PRACK of the response that waits for it."""
        rack = RAck.parse(request.headers.get("RAck") or "")
        wanted = RAck(self._rseq, self._call.invite.cseq, "INVITE")
        return self._current is not None and rack == wanted

    def wants_answer(self, request: Request) -> bool:
        """True if a PRACK has to bring the answer to our offer and does not (RFC 3262 5)."""
        return self.session is Early.OFFERED and not request.body

    def acknowledged(self) -> bool:
        """Its PRACK has come; True if this agreed on the session."""
        described = self._current is not None and bool(self._current.sdp)
        agreed = described and self.session in (Early.OFFERED, Early.ANSWERED)
        if agreed:
            self.session = Early.AGREED
        self._current = None
        self._cancel_timer()
        return agreed

    def go_on(self) -> None:
        """Send the next one, if there is one."""
        if self._current is None and self._waiting:
            self._next()

    def stop(self) -> None:
        """The final response goes out: nothing is sent again, and nothing waits any more."""
        self._cancel_timer()
        self._waiting.clear()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ReliableProgress:
    """What has come reliably in one early dialog of a call of ours (RFC 3262 4)."""

    __slots__ = ("_rseq", "described")

    def __init__(self) -> None:
        self._rseq = 0
        self.described = False

    def takes(self, rseq: int) -> bool:
        """False for a retransmission, and for one that came before its turn."""
        if self._rseq and rseq != self._rseq + 1:
            return False
        self._rseq = rseq
        return True


def rseq_of(response: Response) -> int | None:
    """The RSeq of a reliable provisional response; None if it is not one."""
    value = response.headers.get("RSeq")
    if value is None or not has_token(response.headers.all("Require"), REL):
        return None
    return _number(value.strip()) or None


def send_prack(
    call: SipCall, dialog: Dialog, response: Response, rseq: int, sdp: bytes | None
) -> None:
    """Acknowledge a reliable provisional response; ``sdp`` answers the offer in it."""
    lines = [("RAck", f"{rseq} {response.cseq} {response.cseq_method}")]
    if sdp:
        lines.append(("Content-Type", SDP))
    call.agent.send_in_dialog("PRACK", dialog, call.flow, None, headers=lines, body=sdp or b"")
