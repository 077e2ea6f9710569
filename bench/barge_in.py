"""`bench barge-in`: how soon a prompt stops when the caller speaks or presses a digit.

Real calls over loopback. Each caller listens for a while, then sends a voice or a digit; the time
counts from his first packet to the last packet of the prompt, by the kernel's time stamps, so what
the detector has to hear is in it: speech is known after 40 ms of it at the earliest, and that it
came can only be seen when the packet is read.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..cli.errors import STATUS_FAILED, CommandError
from .child import start_child
from .limit import START_TIMEOUT_S, Progress
from .measure import machine
from .speech import speech_like

CAUSES = ("speech", "dtmf")
PROMPT_SAMPLES = 160_000
SPARE_S = 90.0


@dataclass(frozen=True, slots=True)
class BargeIns:
    """The calls of one cause."""

    latencies_ms: list[float]
    missed: int
    failed: int

    def quantile_ms(self, fraction: float) -> float:
        """That quantile of the latencies; 0 if there are none."""
        if not self.latencies_ms:
            return 0.0
        return round(float(np.quantile(self.latencies_ms, fraction, method="higher")), 1)

    def to_json(self) -> dict[str, object]:
        """Under its public keys."""
        return {
            "interrupted": len(self.latencies_ms),
            "missed": self.missed,
            "failed": self.failed,
            "latency_ms": {
                name: self.quantile_ms(fraction)
                for name, fraction in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
        }


@dataclass(frozen=True, slots=True)
class BargeInResult:
    """Both causes, with the same number of calls."""

    calls: int
    rate_per_s: float
    causes: dict[str, BargeIns]

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "barge-in",
            **machine(),
            "calls": self.calls,
            "rate_per_s": self.rate_per_s,
            **{cause: found.to_json() for cause, found in self.causes.items()},
        }


def run_cause(
    cause: str, calls: int, rate_per_s: float, prompt: Path, progress: Progress
) -> BargeIns:
    """Interrupt ``calls`` calls in one way. Raises CommandError."""
    progress(f"{calls} callers, {cause}")
    with start_child(
        "ringwheel.bench.answer_process",
        prompts=[str(prompt)],
        max_calls=calls + 100,
        barge_in="both",
    ) as engine:
        target = engine.answer(START_TIMEOUT_S)["target"]
        arguments: dict[str, Any] = {"target": target, "calls": calls, "rate_per_s": rate_per_s}
        with start_child("ringwheel.bench.interrupter", cause=cause, **arguments) as callers:
            told = callers.answer(calls / rate_per_s + SPARE_S)
    if not told["latencies_ms"] and not told["missed"]:
        raise CommandError(f"{cause}: no call came up", "See the log above", STATUS_FAILED)
    return BargeIns(told["latencies_ms"], told["missed"], told["failed"])


def run_barge_in(calls: int, rate_per_s: float, progress: Progress) -> BargeInResult:
    """Interrupt calls by speech, then by digits. Raises CommandError."""
    with tempfile.TemporaryDirectory(prefix="ringwheel-bench-") as folder:
        prompt = Path(folder, "prompt.ulaw")
        prompt.write_bytes(speech_like(PROMPT_SAMPLES, seed=1))
        found = {cause: run_cause(cause, calls, rate_per_s, prompt, progress) for cause in CAUSES}
    return BargeInResult(calls, rate_per_s, found)
