"""A histogram of few, fixed buckets, as Prometheus reads it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Buckets:
    """Counts values by the first of the ``bounds`` that they do not exceed, and adds them up."""

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    def up_to(self) -> list[int]:
        """How many values did not exceed each of the bounds."""
        total, counts = 0, []
        for count in self._counts[:-1]:
            total += count
            counts.append(total)
        return counts
