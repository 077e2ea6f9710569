"""Whether the addresses of a peer are alive: asked by OPTIONS, and learnt from calls. Sans-I/O.

An address is up until something says otherwise. Any answer but 408 and 503 is a sign of life (RFC
3261 11 lets a server answer OPTIONS as it would an INVITE); silence and those two are failures.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from ..sip.edge import TimerHandle, Timers
from ..sip.resolve import Target

log = structlog.get_logger(__name__)

FAILURES_TO_DOWN = 2
"""Silences to OPTIONS in a row that take an address down which was up: one may be a lost packet."""

FIRST_RETRY_MS = 1_000
"""When an address that failed is asked again; each further time after twice as long."""

REST_MS = 30_000
"""How long an address that is never asked is left alone after a call to it has failed, and when its
name is looked up again."""

MAX_RETRY_AFTER_S = 3_600
JITTER = 0.1
MAX_WATCHED = 16
"""Addresses of one peer that are watched and called: the first that DNS names."""

_FAILURES = frozenset({408, 503})


class Health(StrEnum):
    """What is known of an address. `UNKNOWN` is called like `UP`."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an OPTIONS. ``retry_after_s`` is that of a 503."""

    status: int
    retry_after_s: int | None = None


Heard = Callable[[Answer | None], None]
"""Is told what came of an OPTIONS, once; None: nothing."""


class Ask(Protocol):
    """Sends an OPTIONS; returns what makes it forget to tell."""

    def __call__(self, target: Target, heard: Heard) -> Callable[[], None]: ...


@dataclass(frozen=True, slots=True)
class Means:
    """How to watch. ``source`` spreads the questions. ``interval_ms`` 0: none are asked;
    ``timeout_ms``: how long an answer may take."""

    timers: Timers
    ask: Ask
    source: random.Random
    interval_ms: int
    timeout_ms: int


class Watch:
    """One address: its health, its next OPTIONS, and what has been heard."""

    __slots__ = (
        "_changed",
        "_forget",
        "_means",
        "_timer",
        "failures",
        "health",
        "reason",
        "since_ms",
        "target",
    )

    def __init__(self, target: Target, means: Means, changed: Callable[[Watch], None]) -> None:
        """``changed`` is told of each change of health."""
        self.target = target
        self.health = Health.UNKNOWN
        self.reason = ""
        self.failures = 0
        self.since_ms = means.timers.now_ms
        self._means = means
        self._changed = changed
        self._timer: TimerHandle | None = None
        self._forget: Callable[[], None] | None = None

    def start(self) -> None:
        """Ask for the first time, soon."""
        if self._means.interval_ms:
            self._wait(self._means.source.randint(1, FIRST_RETRY_MS // 2))

    def stop(self) -> None:
        """Ask no more."""
        self._drop()

    def note_alive(self) -> None:
        """A call has had a sign of life from there."""
        if self.health is not Health.UP:
            self._alive()
            self._wait_interval()

    def note_failure(self, reason: str, retry_after_s: int | None = None) -> None:
        """A call has failed there: no more of them until it is seen to be well."""
        self.failures += 1
        self._down(reason, retry_after_s)

    # Asking

    def _wait_interval(self) -> None:
        interval_ms = self._means.interval_ms
        if interval_ms:
            self._wait(int(interval_ms * self._means.source.uniform(1 - JITTER, 1 + JITTER)))

    def _wait(self, delay_ms: int) -> None:
        self._drop()
        self._timer = self._means.timers.arm(max(1, delay_ms), self._on_timer)

    def _drop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._forget is not None:
            self._forget()
            self._forget = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._forget is not None:
            self._forget()
            self._forget = None
            self._heard(None)
        elif self._means.interval_ms:
            self._timer = self._means.timers.arm(self._means.timeout_ms, self._on_timer)
            self._forget = self._means.ask(self.target, self._on_answer)
        else:
            self._become(Health.UNKNOWN, "")

    def _on_answer(self, answer: Answer | None) -> None:
        self._forget = None
        self._heard(answer)

    def _heard(self, answer: Answer | None) -> None:
        if answer is not None and answer.status not in _FAILURES:
            self._alive()
            self._wait_interval()
            return
        self.failures += 1
        if answer is not None:
            self._down(f"{answer.status} to OPTIONS", answer.retry_after_s)
        elif self.health is Health.UP and self.failures < FAILURES_TO_DOWN:
            self._wait(FIRST_RETRY_MS)
        else:
            self._down("no answer to OPTIONS", None)

    # Health

    def _alive(self) -> None:
        self.failures = 0
        self._become(Health.UP, "")

    def _down(self, reason: str, retry_after_s: int | None) -> None:
        self._become(Health.DOWN, reason)
        if retry_after_s:
            # RFC 3261 21.5.4: no request at all goes there before.
            self._wait(1_000 * min(retry_after_s, MAX_RETRY_AFTER_S))
        elif self._means.interval_ms:
            doubled_ms = FIRST_RETRY_MS << min(self.failures - 1, 20)
            self._wait(min(doubled_ms, self._means.interval_ms))
        else:
            self._wait(REST_MS)

    def _become(self, health: Health, reason: str) -> None:
        changed = health is not self.health
        self.health, self.reason = health, reason
        if changed:
            self.since_ms = self._means.timers.now_ms
            self._changed(self)


class PeerWatch:
    """The addresses of one peer, and a watch for each.

    Sans-I/O: ``refresh`` is called when it is time to resolve the peer anew, and answered by
    :meth:`set_targets` or :meth:`set_trouble`.
    """

    def __init__(
        self,
        name: str,
        means: Means,
        refresh: Callable[[], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """``changed`` is told when an address has come, gone, or changed its health."""
        self.name = name
        self.trouble = ""
        self.watches: dict[tuple[str, int, str], Watch] = {}
        self._means = means
        self._refresh = refresh
        self._changed = changed
        self._timer: TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Resolve now, and again and again: also where nobody is asked, a name may lead elsewhere
        by and by."""
        self._on_timer()

    def stop(self) -> None:
        """Watch no more, whatever is told from now on."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for watch in self.watches.values():
            watch.stop()
        self.watches.clear()

    def _on_timer(self) -> None:
        self._timer = None
        self._timer = self._means.timers.arm(self._means.interval_ms or REST_MS, self._on_timer)
        self._refresh()

    def set_targets(self, targets: Iterable[Target]) -> None:
        """What the peer's name leads to now. What is known of an address that stays is kept."""
        if self._stopped:
            return
        self.trouble = ""
        wanted = {key_of(target): target for target in list(targets)[:MAX_WATCHED]}
        known, self.watches = self.watches, {}
        for key in known.keys() - wanted.keys():
            known[key].stop()
        for key, target in wanted.items():
            self.watches[key] = known.get(key) or self._begin(target)
        if known.keys() != self.watches.keys():
            self._changed()

    def _begin(self, target: Target) -> Watch:
        watch = Watch(target, self._means, self._on_change)
        watch.start()
        return watch

    def set_trouble(self, trouble: str) -> None:
        """The peer's name leads nowhere; addresses that are known are called on."""
        if trouble != self.trouble:
            log.warning("peer not resolved", peer=self.name, cause=trouble)
        self.trouble = trouble

    @property
    def up(self) -> bool:
        """True if calls should go there: one address is not down, or none is known yet."""
        if not self.watches:
            return not self.trouble
        return any(watch.health is not Health.DOWN for watch in self.watches.values())

    def of(self, target: Target) -> Watch | None:
        """The watch of an address; None if it is none of the peer's any more."""
        return self.watches.get(key_of(target))

    def _on_change(self, watch: Watch) -> None:
        target = watch.target
        log.info(
            "peer " + watch.health.value,
            peer=self.name,
            address=f"{target.transport.lower()}:{target.host}:{target.port}",
            cause=watch.reason,
        )
        self._changed()


def key_of(target: Target) -> tuple[str, int, str]:
    """What tells addresses apart."""
    return target.host, target.port, target.transport
