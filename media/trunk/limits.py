"""What a trunk carries at most: calls at the same time, and calls begun per second. Sans-I/O."""

from __future__ import annotations

from .trunk import TrunkLimits

MAX_WAIT_MS = 5_000
"""How long a call waits for its turn; who would wait longer is told of the congestion at once."""


class Channels:
    """Counts calls exactly: each :meth:`take` is followed by one :meth:`give_back`."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used = 0

    @property
    def free(self) -> bool:
        """True if there is room for one more call."""
        return self.limit is None or self.used < self.limit

    def take(self) -> bool:
        """One more call; False if there is no room for it."""
        if not self.free:
            return False
        self.used += 1
        return True

    def give_back(self) -> None:
        """A call that was taken is over."""
        self.used -= 1


class CallRate:
    """Spreads calls over time (the generic cell rate algorithm of ITU-T I.371).

    ``burst`` may go at once; then one goes every ``1 / calls_per_s``.
    """

    __slots__ = ("_burst_ms", "_free_ms", "_interval_ms")

    def __init__(self, limits: TrunkLimits) -> None:
        rate = limits.calls_per_s
        self._interval_ms = 1_000 / rate if rate else 0.0
        self._burst_ms = self._interval_ms * (limits.burst_calls - 1)
        self._free_ms = 0.0

    def reserve(self, now_ms: int) -> float | None:
        """Take a turn: milliseconds until it comes. None: it would be too far off, none is taken.

        A turn that is not used is lost: giving it back would let two go at the same time.
        """
        free_ms = max(self._free_ms, now_ms)
        wait_ms = max(0.0, free_ms - self._burst_ms - now_ms)
        if wait_ms > MAX_WAIT_MS:
            return None
        self._free_ms = free_ms + self._interval_ms
        return wait_ms

    def adopt(self, other: CallRate) -> None:
        """Go on from where another one stood, whose place this one takes."""
        self._free_ms = other._free_ms
