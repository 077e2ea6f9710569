"""How long something takes: the last times one by one, and all of them by bounds."""

from __future__ import annotations

from collections import deque

from ....media.monitor.buckets import Buckets

BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
RECENT = 1_000


class Taken:
    """``recent_ms`` are the last ones, ``all_s`` is a histogram."""

    __slots__ = ("all_s", "recent_ms")

    def __init__(self) -> None:
        self.recent_ms: deque[float] = deque(maxlen=RECENT)
        self.all_s = Buckets(BOUNDS_S)

    def add(self, seconds: float) -> None:
        """Once more."""
        self.recent_ms.append(seconds * 1_000)
        self.all_s.add(seconds)
