"""How the calls sounded that are over: distributions, and packets added up."""

from __future__ import annotations

from ..connection import Connection
from .buckets import Buckets

MOS_BOUNDS = (1.5, 2.0, 2.5, 3.0, 3.2, 3.4, 3.6, 3.8, 4.0, 4.1, 4.2, 4.3, 4.4)
JITTER_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
LOSS_BOUNDS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


class EndedCalls:
    """Looks at each call once, when its leg is closed.

    Keys are ``in``, what we heard, and ``out``, what the peer says that it heard; calls of which
    that is not known are in neither.
    """

    def __init__(self) -> None:
        self.mos = {way: Buckets(MOS_BOUNDS) for way in ("in", "out")}
        self.jitter_s = {way: Buckets(JITTER_BOUNDS_S) for way in ("in", "out")}
        self.loss = {way: Buckets(LOSS_BOUNDS) for way in ("in", "out")}
        self.expected = {"in": 0, "out": 0}
        self.lost = {"in": 0, "out": 0}

    def add(self, call: Connection) -> None:
        """A leg was closed."""
        quality, figures = call.quality(), call.figures
        heard, told = figures.reception, figures.told
        self.expected["in"] += heard.expected
        self.lost["in"] += heard.lost
        if told is not None:
            self.expected["out"] += told.expected
            self.lost["out"] += told.lost
        self._note("in", quality.mos_in, quality.jitter_in_ms, quality.loss_in)
        self._note("out", quality.mos_out, quality.jitter_out_ms, quality.loss_out)

    def _note(
        self, way: str, mos: float | None, jitter_ms: float | None, loss: float | None
    ) -> None:
        if mos is not None:
            self.mos[way].add(mos)
        if jitter_ms is not None:
            self.jitter_s[way].add(jitter_ms / 1000)
        if loss is not None:
            self.loss[way].add(loss)
