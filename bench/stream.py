"""`bench stream`: how soon an agent is silent after its `clear`, and what a call with one costs.

Real calls over loopback, each connected with an agent by a WebSocket: it says two seconds at once,
clears them while they play, and says something else behind that. Times count from before the agent
sends the message to packets at the caller, by the kernel's time stamps. Agent and callers are one
process, the engine is another one, whose CPU time is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .child import start_child
from .clearer import LISTEN_S, SETTLE_S
from .limit import START_TIMEOUT_S, Progress
from .measure import machine

SPARE_S = 60.0


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What was measured. ``cpu_us`` of the engine in ``wall_us``, the calls being up."""

    calls: int
    old_ms: list[float]
    new_ms: list[float]
    failed: int
    cpu_us: int
    wall_us: int

    @property
    def cpu_us_per_call_s(self) -> float:
        """CPU microseconds of a second of a call."""
        return round(self.cpu_us * 1e6 / (self.calls * self.wall_us), 1) if self.wall_us else 0.0

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "stream",
            **machine(),
            "calls": self.calls,
            "clears": len(self.old_ms),
            "failed": self.failed,
            "last_old_packet_ms": quantiles_of(self.old_ms),
            "first_new_packet_ms": quantiles_of(self.new_ms),
            "cpu_us_per_call_second": self.cpu_us_per_call_s,
        }


def quantiles_of(values: list[float]) -> dict[str, float]:
    """The usual ones, each a value that was measured; 0 if there are none."""
    fractions = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: round(float(np.quantile(values, fraction, method="higher")), 1) if values else 0.0
        for name, fraction in fractions.items()
    }


def run_stream(calls: int, clears: int, progress: Progress) -> StreamResult:
    """Clear ``clears`` times in each of ``calls`` calls. Raises CommandError."""
    progress(f"{calls} calls with an agent")
    with start_child("ringwheel.bench.clearer") as world:
        url = world.answer(START_TIMEOUT_S)["url"]
        with start_child("ringwheel.bench.stream_process", url=url, max_calls=calls + 10) as engine:
            target = engine.answer(START_TIMEOUT_S)["target"]
            world.ask("call", calls + SPARE_S, target=target, calls=calls, clears=clears)
            engine.ask("begin")
            progress(f"{clears} clears in each of {calls} calls")
            told = world.ask("wait", clears * (LISTEN_S + SETTLE_S) * 3 + SPARE_S)
            spent = engine.ask("report")
    return StreamResult(
        calls,
        told["old_ms"],
        told["new_ms"],
        told["failed"],
        spent["cpu_us"],
        spent["wall_us"],
    )
