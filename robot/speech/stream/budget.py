"""How much a peer may send: sans-I/O."""

from __future__ import annotations


class Budget:
    """So many a second, and so many at once before that."""

    def __init__(self, per_s: int, at_once: int, now_ms: int) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._left = float(at_once)
        self._as_of_ms = now_ms

    def take(self, amount: int, now_ms: int) -> int:
        """So much came: returns for how many milliseconds the next has to wait."""
        rested = (now_ms - self._as_of_ms) * self._per_s / 1000
        self._left = min(self._at_once, self._left + rested) - amount
        self._as_of_ms = now_ms
        return 0 if self._left >= 0 else int(-self._left * 1000 / self._per_s) + 1
