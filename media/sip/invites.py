"""What outlives a single INVITE transaction: the wait for an ACK, ACKs for 2xx, re-INVITEs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .counters import Count
from .dialog import Dialog, fork_of
from .digest import AuthAttempt
from .edge import Flow, TimerHandle
from .message import Request, Response, SipParseError
from .requests import retry_after_s
from .transaction import InviteClient

if TYPE_CHECKING:
    from .session import SipCall
    from .ua import UserAgent

Offer = bytes | Callable[[], bytes]
"""A session description, or what makes it when it is to be sent."""

GLARE_ATTEMPTS = 4
MAX_FORKS = 16
FATAL = frozenset({404, 408, 410, 416, 481, 482, 484, 485, 502, 604})
"""Answers to a request within a dialog after which there is none (RFC 3261 12.2.1.2, RFC 5057)."""


MAX_RETRY_AFTER_S = 10
"""What a peer may ask us to wait that has a change of its own to finish first (RFC 3261 14.2, RFC
3311 5.2)."""


def glare_wait_ms(call: SipCall) -> int:
    """RFC 3261 14.1: who made the Call-ID waits longer; units of 10 ms."""
    low, high = (210, 400) if call.outgoing else (0, 200)
    return 10 * call.agent.random.randint(low, high)


def wait_ms(call: SipCall, response: Response) -> int | None:
    """When a refused change is tried again: after glare, or when the peer says so; None: never."""
    if response.status == 491:
        return glare_wait_ms(call)
    delay_s = retry_after_s(response) if response.status == 500 else None
    return None if delay_s is None else 1_000 * min(delay_s, MAX_RETRY_AFTER_S)


class PendingAck:
    """A 200 to an INVITE, sent again until its ACK comes (RFC 3261 13.3.1.4).

    Who hears the ACK, or does not wait for it any more, cancels ``timer``.
    """

    __slots__ = (
        "_call",
        "_data",
        "_deadline_ms",
        "_flow",
        "_interval_ms",
        "cseq",
        "late_offer",
        "timer",
    )

    def __init__(
        self, call: SipCall, data: bytes, flow: Flow, request: Request, *, late_offer: bool
    ) -> None:
        """``late_offer``: the 200 made the offer, and the ACK has to bring the answer."""
        timers, timing = call.agent.timers, call.agent.config.timing
        self._call = call
        self._data = data
        self._flow = flow
        self.cseq = request.cseq
        self.late_offer = late_offer
        self._interval_ms = timing.t1_ms
        self._deadline_ms = timers.now_ms + timing.give_up_ms
        self.timer = timers.arm(timing.t1_ms, self)

    def __call__(self) -> None:
        """Time to send it again, or to give up."""
        timers, timing = self._call.agent.timers, self._call.agent.config.timing
        left_ms = self._deadline_ms - timers.now_ms
        if left_ms <= 0:
            self._call.on_no_ack()
            return
        self._call.agent.transactions.send_again(self._data, self._flow)
        self._interval_ms = min(2 * self._interval_ms, timing.t2_ms)
        self.timer = timers.arm(min(self._interval_ms, left_ms), self)


class AckKeeper:
    """Acknowledges every 2xx of one INVITE of ours while its transaction lingers.

    The first is that of the call; a 2xx with another To tag is a fork that answered too, which is
    acknowledged and left (RFC 3261 13.2.2.4). So is every one where the call is over already, and
    no ``ack`` was sent.
    """

    __slots__ = ("_acks", "_agent", "_dialog", "_flow")

    def __init__(
        self, agent: UserAgent, dialog: Dialog, flow: Flow, ack: tuple[bytes, Flow] | None = None
    ) -> None:
        self._agent = agent
        self._dialog = dialog
        self._flow = flow
        self._acks = {} if ack is None else {dialog.key[2]: ack}

    def on_response(self, response: Response) -> None:
        """A 2xx after the first."""
        tag = response.to_tag or ""
        if tag in self._acks:
            self._agent.transactions.send_again(*self._acks[tag])
        elif len(self._acks) < MAX_FORKS:
            self._release_fork(tag, response)

    def on_timeout(self) -> None:
        """Never comes: the transaction has had its final response."""

    def _release_fork(self, tag: str, response: Response) -> None:
        agent = self._agent
        try:
            fork = fork_of(self._dialog, response)
        except SipParseError:
            agent.counters.add(Count.REJECTED_BAD_REQUEST)
            return
        agent.counters.add(Count.FORKS_RELEASED)
        self._acks[tag] = agent.ack(fork, self._flow, response.cseq, None)
        agent.send(*self._acks[tag])
        agent.send_in_dialog("BYE", fork, self._flow, ByeWatcher(agent, fork))


class ByeWatcher:
    """Keeps an ended dialog until its BYE is answered, so that a crossing BYE gets a 200."""

    __slots__ = ("_calls", "_key")

    def __init__(self, agent: UserAgent, dialog: Dialog) -> None:
        self._calls = agent.calls_by_dialog
        self._key = dialog.key

    def on_response(self, response: Response) -> None:
        """Whatever the final answer, the dialog is over (RFC 3261 15.1.1)."""
        if response.status >= 200:
            self._calls.pop(self._key, None)

    def on_timeout(self) -> None:
        """Nobody answered; the same."""
        self._calls.pop(self._key, None)


class Reinvite:
    """A re-INVITE of ours: the user of its transactions, tried again after glare."""

    __slots__ = (
        "_ack",
        "_attempts",
        "_auth_attempt",
        "_call",
        "_dialog",
        "_offer",
        "_proceeding",
        "_timer",
        "_transaction",
        "in_progress",
    )

    def __init__(self, call: SipCall, dialog: Dialog, offer: Offer | None) -> None:
        self._call = call
        self._dialog = dialog
        self._offer = offer
        self._attempts = 0
        self._timer: TimerHandle | None = None
        self._transaction: InviteClient | None = None
        self._proceeding = False
        self._auth_attempt = None if dialog.auth is None else AuthAttempt(dialog.auth)
        self._ack: tuple[bytes, Flow] | None = None
        self.in_progress = False

    def __call__(self) -> None:
        """Send it now, or a little later while an INVITE of the peer is open."""
        self._timer = None
        if self._call.must_wait(self):
            self._wait(glare_wait_ms(self._call))
            return
        self._attempts += 1
        self.in_progress = True
        self._proceeding = False
        agent = self._call.agent
        # Anew for each attempt: meanwhile the peer may have changed the session.
        sdp = self._offer() if callable(self._offer) else self._offer
        lines = self._call.timer_lines()
        self._transaction = agent.send_reinvite(self._dialog, self._call.flow, sdp, self, lines)

    def stop(self) -> None:
        """The call is over. A 2xx that still comes within 64*T1 gets its ACK all the same."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transaction is not None:
            self._transaction.expire_in(self._call.agent.config.timing.give_up_ms)

    def _wait(self, delay_ms: int) -> None:
        self._timer = self._call.agent.timers.arm(max(1, delay_ms), self)

    def on_timeout(self) -> None:
        """Nobody answered."""
        self.in_progress = False
        self._call.change_fatal(408, "Request Timeout", "re-INVITE failed")

    def on_response(self, response: Response) -> None:
        """A response to the re-INVITE."""
        if response.status < 200:
            self._on_provisional()
            return
        self.in_progress = False
        if response.status < 300:
            self._accepted(response)
        elif response.status in FATAL:
            self._call.change_fatal(response.status, response.reason, "re-INVITE failed")
        elif self._answers(response) or self._asks_again(response):
            self()
        elif (delay_ms := self._delay_ms(response)) is not None:
            self._wait(delay_ms)
        else:
            self._done(response.status, None)

    def _delay_ms(self, response: Response) -> int | None:
        if self._call.ended or self._attempts >= GLARE_ATTEMPTS:
            return None
        return wait_ms(self._call, response)

    def _asks_again(self, response: Response) -> bool:
        return response.status == 422 and self._call.interval_raised(response)

    def _done(self, status: int, sdp: bytes | None) -> None:
        self._call.reinvite_done(status, sdp)

    def _answers(self, response: Response) -> bool:
        attempt = self._auth_attempt
        return attempt is not None and not self._call.ended and attempt.answers(response)

    def _on_provisional(self) -> None:
        if self._proceeding or self._transaction is None:
            return
        self._proceeding = True
        config, ended = self._call.agent.config, self._call.ended
        self._transaction.expire_in(config.timing.give_up_ms if ended else config.answer_timeout_ms)

    def _accepted(self, response: Response) -> None:
        call, agent = self._call, self._call.agent
        if self._ack is not None:
            agent.transactions.send_again(*self._ack)
            return
        self._dialog.refresh_target(response)
        call.session_agreed(response)
        answer = call.answer_to(response.body) if self._offer is None else b""
        self._ack = agent.ack(self._dialog, call.flow, response.cseq, answer or None)
        agent.send(*self._ack)
        if answer is None:
            call.offer_unanswered()
        else:
            self._done(response.status, response.body or None)
