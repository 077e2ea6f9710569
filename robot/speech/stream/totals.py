"""What streams have come to, added up, as a `Monitor` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ....media.monitor.families import counter, gauge

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from .session import StreamFigures

CANCELLED = "cancelled"
"""The end of a stream that was neither a side's nor a failure."""


class StreamTotals:
    """Of all streams that are over; ``up`` go on. ``ends`` counts by who has ended them, or by the
    kind of the `StreamFailed`; ``sound_ms`` and ``clears`` are told apart as in `StreamFigures`,
    and ``rejected`` are messages by reason."""

    name = "streams"

    def __init__(self) -> None:
        self.up = 0
        self.ends: Counter[str] = Counter()
        self.sound_ms: Counter[str] = Counter()
        self.clears: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()

    def note(self, end: str, figures: StreamFigures) -> None:
        """One is over."""
        self.ends[end] += 1
        self.sound_ms["heard"] += figures.heard_ms
        self.sound_ms["spoken"] += figures.spoken_ms
        self.sound_ms["dropped"] += figures.dropped_ms
        self.sound_ms["discarded"] += figures.discarded_ms
        self.sound_ms["cleared"] += figures.cleared_ms
        self.clears["peer"] += figures.clears
        self.clears["barge-in"] += figures.barge_ins
        self.rejected.update(figures.rejected)

    def status(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "up": self.up,
            "ends": dict(self.ends),
            "sound_ms": dict(self.sound_ms),
            "clears": dict(self.clears),
            "rejected": dict(self.rejected),
        }

    def collect(self) -> Iterator[Metric]:
        """As metrics."""
        sound_s = {kind: told_ms / 1000 for kind, told_ms in self.sound_ms.items()}
        yield gauge("streams_up", "Streams that go on.", (), {(): self.up})
        for name, help, label, counts in (
            ("streams", "By their end.", "end", self.ends),
            ("stream_sound_seconds", "Sound.", "kind", sound_s),
            ("stream_clears", "Clears.", "by", self.clears),
            ("stream_rejected", "Messages not taken.", "reason", self.rejected),
        ):
            yield counter(name, help, (label,), _keyed(counts))


def _keyed(counts: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(key,): count for key, count in counts.items()}
