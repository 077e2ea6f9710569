"""Admission: how many calls and sessions, how many requests from one source, and whether any."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from .counters import Count, Counters
from .edge import Timers
from .logs import LogGate
from .sources import SourceRates

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is let in.

    ``requests_per_s`` bounds the new requests (INVITE and others outside of dialogs) of one remote
    address; None lets any rate pass. ``burst_requests`` may come at once. ``sources`` addresses are
    remembered; the one that was silent longest makes room. Sessions with speech servers are no
    calls, and have a bound of their own.
    """

    max_calls: int = 10_000
    max_speech_sessions: int = 256
    requests_per_s: float | None = None
    burst_requests: int = 100
    sources: int = 4_096
    retry_after_s: int = 5


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in; answered with 503."""

    count: Count
    text: str


_DRAINING = Refusal(Count.REFUSED_DRAINING, "draining, no new calls")
_MAX_CALLS = Refusal(Count.REFUSED_MAX_CALLS, "call limit reached")
_SPEECH = Refusal(Count.REFUSED_SPEECH_SESSIONS, "limit of speech sessions reached")
_RATE = Refusal(Count.REFUSED_RATE, "request rate limit of this source reached")


class Admission:
    """Says who is let in, and counts requests by source.

    ``calls`` are those that run: the user agent adds one when it lets one in, and takes one off at
    its end.
    """

    def __init__(self, limits: Limits, timers: Timers, counters: Counters) -> None:
        self.limits = limits
        self.charges = limits.requests_per_s is not None
        self.draining = False
        self.calls = 0
        self.speech_sessions = 0
        self._timers = timers
        self._counters = counters
        self._rates = SourceRates(
            limits.requests_per_s or 0.0,
            limits.burst_requests,
            limits.sources,
            timers,
            lambda: counters.add(Count.RATE_SOURCES_EVICTED),
        )
        self._gate = LogGate()

    def no_call(self) -> Refusal | None:
        """Why a call would not be let in now, its source aside; None if it would."""
        if self.draining:
            return _DRAINING
        if self.calls >= self.limits.max_calls:
            return _MAX_CALLS
        return None

    def admit_speech(self) -> Refusal | None:
        """Let one more session with a speech server begin (then :meth:`release_speech` is owed).

        While the calls that are up drain, they still may have to speak and to hear.
        """
        if self.draining and not self.calls:
            return _DRAINING
        if self.speech_sessions >= self.limits.max_speech_sessions:
            return _SPEECH
        self.speech_sessions += 1
        return None

    def release_speech(self) -> None:
        """A session with a speech server is over."""
        self.speech_sessions -= 1

    def charge(self, host: str) -> Refusal | None:
        """Take one request from the source's share; the reason if it has none left."""
        if not self.charges or self._rates.take(host):
            return None
        return _RATE

    def note(self, refusal: Refusal, host: str) -> None:
        """Count a refusal, and log it: at most one line a second for each reason."""
        self._counters.add(refusal.count)
        unlogged = self._gate.passes(refusal.count, self._timers.now_ms)
        if unlogged is None:
            return
        log.warning(
            "sip request refused",
            reason=refusal.count.name.lower(),
            source=host,
            calls=self.calls,
            not_logged=unlogged,
        )

    def lines(self, refusal: Refusal) -> list[tuple[str, str]]:
        """Header lines of the 503: when to try again, and why not now (RFC 3261 20.33, 20.43)."""
        return [
            ("Retry-After", str(self.limits.retry_after_s)),
            ("Warning", f'399 ringwheel "{refusal.text}"'),
        ]
