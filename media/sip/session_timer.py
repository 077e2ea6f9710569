"""Session timers (RFC 4028): a session that nobody refreshes in time is over.

Who answers a request settles the terms (`terms_for`), who sent it takes them over
(`SessionTimer.agreed`); every 2xx of an INVITE, re-INVITE or UPDATE settles them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from ..snapshot import State, member, number
from .counters import Count
from .edge import TimerHandle
from .fields import get_param, has_token, parse_params
from .invites import Reinvite, glare_wait_ms
from .message import Headers, Request, Response, SipParseError, SipReject
from .screening import BAD_REQUEST, Rejection

if TYPE_CHECKING:
    from .session import SipCall

TIMER = "timer"
MIN_SE_S = 90
"""The least interval, and what counts where no Min-SE is given (RFC 4028 5)."""
MAX_INTERVAL_S = 2**31 - 1
MAX_SET_S = 86_400
LATEST_BYE_MS = 32_000
"""RFC 4028 10: who waits for a refresh leaves 32 s before the end, or a third of the interval."""
REFRESH_ATTEMPTS = 3
"""At the half of the interval, then at the half of the peer's patience that is left, and again."""


class Refresher(Enum):
    """Whose task it is to refresh: the side that sent the request, or the one that answered."""

    UAC = "uac"
    UAS = "uas"


class IntervalPolicy(Protocol):
    """What `UserAgentConfig` says. ``session_expires_s`` 0: we never ask for a timer."""

    @property
    def session_expires_s(self) -> int: ...

    @property
    def min_se_s(self) -> int: ...


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The value of Session-Expires (RFC 4028 4)."""

    interval_s: int
    refresher: Refresher | None = None

    @classmethod
    def parse(cls, value: str) -> SessionExpires:
        """SipParseError: no number of seconds, or no such refresher."""
        seconds, semicolon, rest = value.partition(";")
        refresher = get_param(parse_params(semicolon + rest), "refresher")
        try:
            return cls(_seconds(seconds), Refresher(refresher.lower()) if refresher else None)
        except ValueError:
            raise SipParseError(SipReject.PARAMETER) from None

    def __str__(self) -> str:
        suffix = f";refresher={self.refresher.value}" if self.refresher else ""
        return f"{self.interval_s}{suffix}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What we answer to a request: the interval, who refreshes, and what the peer can do."""

    interval_s: int
    refresher: Refresher
    min_s: int
    peer_has_timer: bool
    by_update: bool

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Headers of the 2xx."""
        expires = ("Session-Expires", str(SessionExpires(self.interval_s, self.refresher)))
        return (expires, ("Require", TIMER)) if self.peer_has_timer else (expires,)


def checked_intervals(session_expires_s: int, min_se_s: int) -> tuple[int, int]:
    """Both, if they make sense together. ValueError: they do not."""
    if not 1 <= min_se_s <= MAX_SET_S:
        raise ValueError(f"min_se_s: {min_se_s}; use 1 to {MAX_SET_S}, 90 or more on real networks")
    if session_expires_s and not min_se_s <= session_expires_s <= MAX_SET_S:
        choice = f"use 0, or {min_se_s} (min_se_s) to {MAX_SET_S}"
        raise ValueError(f"session_expires_s: {session_expires_s}; {choice}")
    return session_expires_s, min_se_s


def ask_lines(policy: IntervalPolicy) -> tuple[tuple[str, str], ...]:
    """Headers of an INVITE that begins a call: the peer may choose who refreshes."""
    if not policy.session_expires_s:
        return ()
    return _request_lines(SessionExpires(policy.session_expires_s), policy.min_se_s)


def _request_lines(expires: SessionExpires, min_s: int) -> tuple[tuple[str, str], ...]:
    lines = ("Session-Expires", str(expires))
    return (lines,) if min_s == MIN_SE_S else (lines, ("Min-SE", str(min_s)))


def terms_for(
    request: Request, policy: IntervalPolicy, running: SessionTimer | None
) -> Terms | Rejection | None:
    """How to answer a request as to session timers (RFC 4028 9); None: there will be no timer."""
    headers = request.headers
    value = headers.get("Session-Expires")
    if value is None and running is None:
        return None
    has_timer = has_token(headers.all("Supported"), TIMER)
    try:
        asked = None if value is None else SessionExpires.parse(value)
        floor_s = max(min_se_of(headers), policy.min_se_s)
    except SipParseError:
        return BAD_REQUEST
    if asked is None:
        return _terms_again(running, has_timer, headers)
    if asked.interval_s < policy.min_se_s:
        # A peer without timers could not read a 422 (RFC 4028 9): then there is none.
        return _too_small(policy.min_se_s) if has_timer else None
    interval_s = asked.interval_s
    if policy.session_expires_s:
        interval_s = min(interval_s, max(policy.session_expires_s, floor_s))
    refresher = (asked.refresher or Refresher.UAC) if has_timer else Refresher.UAS
    min_s = min(floor_s, interval_s)
    return Terms(interval_s, refresher, min_s, has_timer, allows_update(headers))


def _terms_again(running: SessionTimer | None, has_timer: bool, headers: Headers) -> Terms | None:
    """The peer's request says nothing of the timer that runs: with its consent it goes on."""
    if running is None or not (has_timer or running.ours):
        return None
    refresher = Refresher.UAS if running.ours else Refresher.UAC
    by_update = allows_update(headers)
    return Terms(running.interval_s, refresher, running.min_s, has_timer, by_update)


def _too_small(min_s: int) -> Rejection:
    return Rejection(422, Count.REJECTED_INTERVAL, (("Min-SE", str(min_s)),))


def min_se_of(headers: Headers) -> int:
    """The value of Min-SE, 90 s if there is none (RFC 4028 5). SipParseError: malformed."""
    value = headers.get("Min-SE")
    if value is None:
        return MIN_SE_S
    try:
        return _seconds(value.partition(";")[0])
    except ValueError:
        raise SipParseError(SipReject.PARAMETER) from None


def allows_update(headers: Headers) -> bool:
    """True if the peer takes UPDATE, as its Allow says."""
    return has_token(headers.all("Allow"), "UPDATE")


def _seconds(text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
        raise ValueError("no number of seconds")
    return min(int(digits), MAX_INTERVAL_S)


class IntervalAsked:
    """What a request of ours asks for until it is answered; a 422 raises it (RFC 4028 7.4)."""

    __slots__ = ("_attempts", "interval_s", "min_s")

    def __init__(self, interval_s: int, min_s: int) -> None:
        self.interval_s = interval_s
        self.min_s = min_s
        self._attempts = 0

    def raised_by(self, response: Response) -> bool:
        """Take over what a 422 wants; False if there is nothing to try again."""
        try:
            wanted_s = min_se_of(response.headers)
        except SipParseError:
            return False
        if wanted_s <= self.interval_s:
            return False  # we have asked for enough
        self._attempts += 1
        self.min_s = max(self.min_s, wanted_s)
        self.interval_s = wanted_s
        return self._attempts <= REFRESH_ATTEMPTS

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Headers of the INVITE that tries again."""
        return _request_lines(SessionExpires(self.interval_s), self.min_s)


class SessionTimer:
    """The timer of a call. ``ours``: we refresh; ``by_update``: the peer takes UPDATE."""

    __slots__ = ("_attempts", "_call", "_ends_ms", "_timer", "asked", "by_update", "ours")

    def __init__(self, call: SipCall, asked: IntervalAsked) -> None:
        self._call = call
        self._timer: TimerHandle | None = None
        self._attempts = 0
        self._ends_ms = 0
        self.asked = asked
        self.ours = True
        self.by_update = False

    @property
    def interval_s(self) -> int:
        """What was agreed on."""
        return self.asked.interval_s

    @property
    def min_s(self) -> int:
        """The greatest Min-SE that was heard of (RFC 4028 7.4)."""
        return self.asked.min_s

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Headers of a request of ours within the dialog, which names who refreshes already."""
        refresher = Refresher.UAC if self.ours else Refresher.UAS
        return _request_lines(SessionExpires(self.interval_s, refresher), self.min_s)

    def answered(self, terms: Terms) -> None:
        """We have sent a 2xx with these terms."""
        self.asked = IntervalAsked(terms.interval_s, terms.min_s)
        self.by_update = terms.by_update
        self._run(ours=terms.refresher is Refresher.UAS)

    def agreed(self, response: Response) -> bool:
        """The peer has sent a 2xx; False if there is no timer from now on (RFC 4028 7.2)."""
        value = response.headers.get("Session-Expires")
        if value is None:
            return False
        try:
            expires = SessionExpires.parse(value)
        except SipParseError:
            return False
        # It may be less than what we asked for, but neither below our minimum nor more.
        interval_s = min(max(expires.interval_s, self.min_s), self.interval_s)
        self.asked = IntervalAsked(interval_s, self.min_s)
        self.by_update = allows_update(response.headers) or self.by_update
        self._run(ours=expires.refresher is not Refresher.UAS)
        return True

    def _run(self, *, ours: bool) -> None:
        self.stop()
        self.ours = ours
        interval_ms = 1_000 * self.interval_s
        self._ends_ms = self._call.agent.timers.now_ms + interval_ms
        self._attempts = REFRESH_ATTEMPTS if ours else 0
        self._arm(interval_ms // 2 if ours else interval_ms - self._reserve_ms())

    def _reserve_ms(self) -> int:
        """How long before the end whoever waits for a refresh gives up."""
        return min(LATEST_BYE_MS, 1_000 * self.interval_s // 3)

    def _arm(self, delay_ms: int) -> None:
        self._timer = self._call.agent.timers.arm(max(1, delay_ms), self)

    def __call__(self) -> None:
        """Time to refresh, or nobody did."""
        self._timer = None
        if not self._attempts:
            self._call.session_expired()
            return
        self._attempts -= 1
        left_ms = self._ends_ms - self._call.agent.timers.now_ms
        self._arm((left_ms - self._reserve_ms()) // 2 if self._attempts else left_ms)
        self._call.refresh_session()

    def snapshot(self) -> State:
        """What another user agent goes on with."""
        return {
            "interval_s": self.interval_s,
            "min_s": self.min_s,
            "ours": self.ours,
            "by_update": self.by_update,
        }

    @classmethod
    def of(cls, call: SipCall, state: Mapping[str, Any]) -> SessionTimer:
        """The timer of a `snapshot`, which does not run before `go_on`. SnapshotError."""
        interval_s = number(state, "interval_s", MAX_INTERVAL_S, 1)
        timer = cls(call, IntervalAsked(interval_s, number(state, "min_s", interval_s)))
        timer.ours = member(state, "ours", bool)
        timer.by_update = member(state, "by_update", bool)
        return timer

    def go_on(self) -> None:
        """From now on a whole interval: how much of it has passed elsewhere is not known."""
        self._run(ours=self.ours)

    def wait_on(self, delay_ms: int) -> None:
        """The end cannot be now: ask again in a while."""
        self._arm(delay_ms)

    def stop(self) -> None:
        """The call is over, or there is no timer any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class RefreshByInvite(Reinvite):
    """A re-INVITE that offers what stands already (RFC 4028 7.4), where UPDATE is not taken."""

    __slots__ = ()

    def __call__(self) -> None:
        """Send it, or wait, as `Reinvite`; the offer is the handler's."""
        self._timer = None
        if self._call.must_wait(self):
            self._wait(
                glare_wait_ms(self._call)
            )  # and ask for no offer, which would take the place of one that is open
            return
        offer = self._call.standing_offer()
        if offer is None:
            self._done(500, None)
        else:
            self._offer = offer
            super().__call__()

    def _done(self, status: int, sdp: bytes | None) -> None:
        self._call.refresh_done(sdp)
