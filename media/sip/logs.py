"""Log lines about hostile or repeated events, kept to a rate that an operator can read."""

from __future__ import annotations

from collections.abc import Hashable

INTERVAL_MS = 1_000


class LogGate:
    """Lets one line a second through for each kind; the kinds are few and fixed."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[int, int]] = {}

    def passes(self, kind: Hashable, now_ms: int) -> int | None:
        """None: log nothing. Else how many of this kind went unlogged since the last line."""
        since_ms, unlogged = self._last.get(kind, (now_ms - INTERVAL_MS, 0))
        if now_ms - since_ms < INTERVAL_MS:
            self._last[kind] = (since_ms, unlogged + 1)
            return None
        self._last[kind] = (now_ms, 0)
        return unlogged
