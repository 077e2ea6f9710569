"""`bench soak`: mixed calls for a long time, and what is left of them.

Two engines, each in a process of its own, call each other: plain calls both ways, calls that are
held, transferred, cancelled, refused. The first is the one under test. The rate is set while it
warms up, so that it takes the share of its core that is asked for, and then stays. Its memory is
read all the while; the slope of a line through that says whether it grows. In the end, when the
last transaction has lingered, nothing may be left: no call, leg, port, dialog, transaction, timer,
task or file more than before the first call.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression
from typing import Any

from .child import Child, start_child
from .limit import START_TIMEOUT_S, Progress
from .measure import machine
from .speech import speech_like

MODULE = "ringwheel.bench.soak_process"
TESTED_KINDS = ["talk", "cancelled", "talk", "busy"]
OTHER_KINDS = ["talk", "held", "transferred", "talk", "cancelled", "busy"]
FIRST_RATE_PER_S = 10.0
"""Of each side, when it begins."""
STEP_S = 4.0
SAMPLE_S = 5.0
CLOSEST_STEP = 0.5
"""A new rate is at least this part of the old one, and at most its reciprocal."""
LINGER_S = 40.0
"""The last transactions linger for 32 s (RFC 3261 timer J), the last calls before them end: what is
held then is left."""
LOOK_S = 0.5
HELD = ("calls", "legs", "ports", "dialogs", "transactions", "timers", "tasks", "files")
PROMPT_SAMPLES = 4_000
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """What the engine under test held at one moment, ``at_s`` after the warm-up."""

    at_s: float
    figures: dict[str, int]

    @property
    def rss_bytes(self) -> int:
        """Memory that is in RAM."""
        return self.figures["rss_bytes"]


@dataclass(slots=True)
class SoakResult:
    """``minutes`` at ``rate_per_s`` calls of both sides together."""

    minutes: float
    load: float
    rate_per_s: float = 0.0
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    right: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def slope_bytes_per_min(self) -> float:
        """Of a straight line through the memory of all samples."""
        times = [sample.at_s / 60 for sample in self.samples]
        return linear_regression(times, [float(s.rss_bytes) for s in self.samples]).slope

    @property
    def cpu_share(self) -> float:
        """Part of a core that the engine under test took."""
        first, last = self.samples[0], self.samples[-1]
        spent_us = last.figures["cpu_us"] - first.figures["cpu_us"]
        return spent_us / 1e6 / (last.at_s - first.at_s)

    @property
    def left(self) -> dict[str, int]:
        """What is held in the end beyond what was before the first call."""
        return {name: self.after[name] - self.before[name] for name in HELD}

    @property
    def leaked(self) -> bool:
        """True if anything is left."""
        return any(count > 0 for count in self.left.values())

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        memory = [sample.rss_bytes for sample in self.samples]
        return {
            "bench": "soak",
            **machine(),
            "minutes": self.minutes,
            "load": self.load,
            "cpu_share": round(self.cpu_share, 3),
            "rate_per_s": round(self.rate_per_s, 1),
            "calls": sum(self.right.values()),
            "failed": sum(self.faults.values()),
            "kinds": dict(self.right),
            "faults": dict(self.faults.most_common(20)),
            "skipped": self.after["skipped"] - self.before["skipped"],
            "memory": {
                "first_bytes": memory[0],
                "last_bytes": memory[-1],
                "most_bytes": max(memory),
                "slope_bytes_per_min": round(self.slope_bytes_per_min),
            },
            "left": self.left,
        }


def run_soak(minutes: float, load: float, warm_up_s: float, progress: Progress) -> SoakResult:
    """Soak an engine. Raises CommandError."""
    result = SoakResult(minutes, load)
    with tempfile.TemporaryDirectory() as folder:
        prompt = str(Path(folder, "prompt.ulaw"))
        Path(prompt).write_bytes(speech_like(PROMPT_SAMPLES, seed=1))
        with (
            start_child(MODULE, prompt=prompt, kinds=TESTED_KINDS) as tested,
            start_child(MODULE, prompt=prompt, kinds=OTHER_KINDS) as other,
        ):
            _introduce(tested, other)
            result.before = _sampled(tested)
            _soak(result, tested, other, warm_up_s, progress)
            for side, child in (("", tested), ("other ", other)):
                _count(result, side, child.ask("count"))
    return result


def _introduce(tested: Child, other: Child) -> None:
    addresses = [child.answer(START_TIMEOUT_S)["address"] for child in (tested, other)]
    tested.ask("peer", address=addresses[1])
    other.ask("peer", address=addresses[0])


def _soak(
    result: SoakResult, tested: Child, other: Child, warm_up_s: float, progress: Progress
) -> None:
    """The warm-up, the run, and the wait for the last transaction."""
    children = (tested, other)
    rate_per_s = _find_rate(children, result.load, warm_up_s, progress)
    result.rate_per_s = 2 * rate_per_s
    began_s = time.monotonic()
    while (at_s := time.monotonic() - began_s) < result.minutes * 60:
        result.samples.append(Sample(at_s, _sampled(tested)))
        progress(_line(result))
        time.sleep(min(SAMPLE_S, max(0.1, result.minutes * 60 - at_s)))
    result.samples.append(Sample(time.monotonic() - began_s, _sampled(tested)))
    _pace(children, 0)
    progress(f"waiting up to {LINGER_S:.0f} s for the last transactions to end")
    _await_the_last(result, tested)


def _await_the_last(result: SoakResult, tested: Child) -> None:
    """Wait until nothing is left, or until whatever lingers has had its time."""
    end_s = time.monotonic() + LINGER_S
    while True:
        result.after = _sampled(tested)
        if not result.leaked or time.monotonic() >= end_s:
            return
        time.sleep(LOOK_S)


def _find_rate(
    children: tuple[Child, Child], load: float, warm_up_s: float, progress: Progress
) -> float:
    """The rate at which the engine under test takes ``load`` of a core."""
    rate_per_s = FIRST_RATE_PER_S
    end_s = time.monotonic() + warm_up_s
    while True:
        _pace(children, rate_per_s)
        time.sleep(STEP_S / 2)  # for the calls of the old rate to end
        share = _share(children[0], STEP_S / 2)
        progress(f"warming up: {2 * rate_per_s:.0f} calls/s take {share:.0%} of a core")
        if time.monotonic() >= end_s:
            return rate_per_s
        rate_per_s *= min(1 / CLOSEST_STEP, max(CLOSEST_STEP, load / max(share, 0.01)))


def _share(child: Child, seconds: float) -> float:
    """Part of a core that a process takes."""
    before_us, before_s = _sampled(child)["cpu_us"], time.monotonic()
    time.sleep(seconds)
    spent_us = _sampled(child)["cpu_us"] - before_us
    return spent_us / 1e6 / (time.monotonic() - before_s)


def _pace(children: tuple[Child, Child], rate_per_s: float) -> None:
    for child in children:
        child.ask("pace", rate_per_s=rate_per_s)


def _sampled(child: Child) -> dict[str, int]:
    figures: dict[str, int] = child.ask("sample")
    return figures


def _count(result: SoakResult, side: str, counted: dict[str, Any]) -> None:
    for kind, count in counted["right"].items():
        result.right[side + kind] += count
    for fault, count in counted["faults"].items():
        result.faults[side + fault] += count


def _line(result: SoakResult) -> str:
    last = result.samples[-1]
    return (
        f"{last.at_s / 60:.1f} of {result.minutes:g} min, {result.rate_per_s:.0f} calls/s: "
        f"{last.figures['calls']} up, {last.rss_bytes / MIB:.1f} MiB, "
        f"{last.figures['transactions']} transactions, {last.figures['skipped']} packets skipped"
    )
