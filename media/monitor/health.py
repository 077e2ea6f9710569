"""Whether an engine is well: how late its event loop is, and whether its media threads move."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from ..engine import Engine
from .buckets import Buckets

LAG_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
INTERVAL_S = 0.25
WINDOW_S = 10.0
LATE_LOOP_S = 1.0
"""A loop that was later than that in the last 10 s is not well: T1 of SIP is half of it."""
SHARD_PATIENCE_S = 0.5
POLL_S = 0.01


class LoopLag:
    """Measures how late the event loop is, by a timer four times a second."""

    def __init__(self) -> None:
        self.lags = Buckets(LAG_BOUNDS_S)
        self._recent: deque[float] = deque(maxlen=round(WINDOW_S / INTERVAL_S))
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def _arm(self) -> None:
        self._due_s = self._loop.time() + INTERVAL_S
        self._handle = self._loop.call_at(self._due_s, self._wake)

    def _wake(self) -> None:
        # A loop may wake up to its clock's resolution early.
        self.note(max(0.0, self._loop.time() - self._due_s))
        self._arm()

    def note(self, lag_s: float) -> None:
        """The loop was so late."""
        self.lags.add(lag_s)
        self._recent.append(lag_s)

    @property
    def worst_s(self) -> float:
        """The most it was late in the last 10 s."""
        return max(self._recent, default=0.0)

    def stop(self) -> None:
        """Measure no more."""
        if self._handle is not None:
            self._handle.cancel()


@dataclass(frozen=True, slots=True)
class Health:
    """``reasons`` why no more work should be sent here; none if all is well."""

    reasons: tuple[str, ...]

    @property
    def well(self) -> bool:
        """True if there is nothing to complain of."""
        return not self.reasons


async def health_of(engine: Engine, lag: LoopLag) -> Health:
    """Looks at everything; takes up to half a second if a media thread does not answer."""
    reasons = []
    if engine.draining:
        reasons.append("draining: no new calls are taken")
    if lag.worst_s > LATE_LOOP_S:
        reasons.append(f"the event loop was {lag.worst_s:.1f} s late within {WINDOW_S:.0f} s")
    for index in await stuck_shards(engine):
        reasons.append(f"shard {index} has not moved for {SHARD_PATIENCE_S:g} s")
    return Health(tuple(reasons))


async def stuck_shards(engine: Engine) -> list[int]:
    """Media threads that take no turn, though they are asked to."""
    loop = asyncio.get_running_loop()
    waiting = {index: (shard, shard.turns) for index, shard in enumerate(engine.shards)}
    for shard, _ in waiting.values():
        shard.poke()
    until_s = loop.time() + SHARD_PATIENCE_S
    while waiting:
        await asyncio.sleep(POLL_S)
        waiting = {
            index: (shard, turns)
            for index, (shard, turns) in waiting.items()
            if shard.turns == turns
        }
        if loop.time() >= until_s:
            break
    return list(waiting)
