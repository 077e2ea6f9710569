"""`bench calls`: what a complete call, INVITE to BYE, costs the engine's process.

The engine answers in one process, the caller dials in another. Measured without a prompt, which is
the price of signalling and of opening and closing a leg; with a prompt that the caller holds
against the file; and at rest, for the memory that a call takes. In the same rounds a stateless
answerer in C (`csrc/bench/floor.h`) takes the same calls: what no user agent can go below on this
machine, and so the yardstick that figures of different machines have in common.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cli.errors import STATUS_FAILED, CommandError
from .child import Child, start_child
from .limit import START_TIMEOUT_S, Progress
from .measure import machine, median_of
from .speech import speech_like

SPARE_CALLS = 1000
CALLER_SPARE_S = 60.0
IDLE_RATE_PER_S = 200
IDLE_HOLD_S = 3
WARM_UP_CALLS = 50
SAMPLES_PER_S = 8000


@dataclass(frozen=True, slots=True)
class CallsRun:
    """One run: what the engine spent in it, and what the caller says about it."""

    engine: dict[str, Any]
    caller: dict[str, Any]

    @property
    def cpu_us_per_call(self) -> float:
        return float(self.engine["cpu_us"]) / int(self.caller["calls"])

    def to_json(self) -> dict[str, object]:
        """The run under its public keys."""
        return {
            "cpu_us_per_call": round(self.cpu_us_per_call, 1),
            "calls": self.caller["calls"],
            "failed": self.caller["failed"],
            "faults": self.caller["faults"],
            "refused": self.engine["refused"],
            "retransmissions": self.engine["retransmissions"],
            "setup_ms": self.caller["setup_ms"],
            "lost": self.caller["lost"],
            "skipped": self.engine["skipped"],
            "packets": self.caller["packets"],
            "payloads_checked": self.caller["payloads_checked"],
            "payloads_wrong": self.caller["payloads_wrong"],
            "threads": self.engine["threads"],
            "caller_cpu_us": self.caller["cpu_us"],
            "seconds": self.caller["seconds"],
        }


@dataclass(frozen=True, slots=True)
class Load:
    """How calls come: ``calls`` of them at ``rate_per_s``, each held ``hold_s``."""

    rate_per_s: float
    hold_s: float
    calls: int

    @property
    def at_once(self) -> int:
        """About how many calls are up at the same time."""
        return round(min(self.calls, self.rate_per_s * self.hold_s))


@dataclass(frozen=True, slots=True)
class CallsResult:
    """Runs without and with a prompt, and the memory of a call at rest."""

    load: Load
    seconds: float
    prompt_s: float
    plain: list[CallsRun]
    prompted: list[CallsRun]
    floor: list[CallsRun]
    idle_calls: int
    idle_bytes_per_call: int

    @staticmethod
    def cost_us(runs: list[CallsRun]) -> float:
        """Median CPU microseconds of the engine's process a call."""
        return median_of((run.cpu_us_per_call for run in runs), 1)

    @property
    def ratio(self) -> float:
        """Cost of a call without a prompt, as a multiple of the stateless floor's."""
        return round(self.cost_us(self.plain) / self.cost_us(self.floor), 2)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "calls",
            **machine(),
            "rate_per_s": self.load.rate_per_s,
            "hold_s": self.load.hold_s,
            "seconds": self.seconds,
            **self._totals(self.plain),
            "floor": {
                "cpu_us_per_call": self.cost_us(self.floor),
                "ratio": self.ratio,
                "failed": sum(run.caller["failed"] for run in self.floor),
            },
            "with_prompt": {"prompt_s": self.prompt_s, **self._totals(self.prompted)},
            "idle": {"calls": self.idle_calls, "bytes_per_call": self.idle_bytes_per_call},
        }

    def _totals(self, runs: list[CallsRun]) -> dict[str, object]:
        return {
            "calls": sum(run.caller["calls"] for run in runs),
            "failed": sum(run.caller["failed"] for run in runs),
            "cpu_us_per_call": self.cost_us(runs),
            "runs": [run.to_json() for run in runs],
        }


def start_engine(prompts: Sequence[Path], max_calls: int) -> Child:
    """An engine process that answers calls and plays them ``prompts``, if there are any."""
    return start_child(
        "ringwheel.bench.answer_process",
        prompts=[str(prompt) for prompt in prompts],
        max_calls=max_calls,
    )


def follow(caller: Child, timeout_s: float, progress: Progress, prefix: str) -> dict[str, Any]:
    """Wait for a caller's summary. Raises CommandError."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        line = caller.answer()
        if "calls" in line:
            return line
        progress(f"{prefix}: {line['ended']} calls done, {line['up']} up, {line['failed']} failed")
    raise CommandError(
        f"the caller did not end within {timeout_s:.0f} s", "Try a lower rate", STATUS_FAILED
    )


def measure(
    answerer: Child, load: Load, prompt: Path | None, progress: Progress, prefix: str
) -> CallsRun:
    """Put ``load`` on an answerer that has just been started."""
    options = [f"--calls={load.calls}", f"--rate={load.rate_per_s}", "--progress"]
    options.append(f"--expect={prompt}" if prompt else f"--hold={load.hold_s}")
    timeout_s = load.calls / load.rate_per_s + load.hold_s + CALLER_SPARE_S
    target = answerer.answer(START_TIMEOUT_S)["target"]
    answerer.ask("begin")
    with Child("ringwheel.bench.caller", target, *options) as caller:
        summary = follow(caller, timeout_s, progress, prefix)
    return CallsRun(answerer.ask("report"), summary)


def run_load(load: Load, prompt: Path | None, progress: Progress, prefix: str) -> CallsRun:
    """One run: with a prompt the engine hangs up after it, otherwise the caller after its hold."""
    with start_engine([prompt] if prompt else [], load.at_once + SPARE_CALLS) as engine:
        return measure(engine, load, prompt, progress, prefix)


def run_floor(load: Load, progress: Progress, prefix: str) -> CallsRun:
    """The same calls taken by the stateless answerer."""
    with start_child("ringwheel.bench.floor_process") as floor:
        return measure(floor, load, None, progress, prefix)


def idle_memory(calls: int, progress: Progress) -> int:
    """Bytes of the engine's memory that each of ``calls`` calls takes which are up and at rest."""
    fill_s = calls / IDLE_RATE_PER_S
    with start_engine([], calls + SPARE_CALLS) as engine:
        target = engine.answer(START_TIMEOUT_S)["target"]
        warm_up = [f"--calls={WARM_UP_CALLS}", "--rate=100", "--hold=0.1", "--progress"]
        with Child("ringwheel.bench.caller", target, *warm_up) as caller:
            follow(caller, CALLER_SPARE_S, progress, "memory, warm-up")
        engine.ask("begin")
        options = [f"--calls={calls}", f"--rate={IDLE_RATE_PER_S}", "--progress"]
        options.append(f"--hold={fill_s + IDLE_HOLD_S}")
        with Child("ringwheel.bench.caller", target, *options) as caller:
            while (line := caller.answer()).get("up", calls) < calls:
                progress(f"memory: {line['up']} of {calls} calls up")
            at_rest = engine.ask("report")
            follow(caller, fill_s + IDLE_HOLD_S + CALLER_SPARE_S, progress, "memory")
    if not at_rest["calls_up"]:
        raise CommandError("no call came up for the memory run", "See the log above", STATUS_FAILED)
    return int(at_rest["rss_bytes"] // at_rest["calls_up"])


def run_calls(
    load: Load, *, prompt_s: float, idle_calls: int, rounds: int, progress: Progress
) -> CallsResult:
    """``rounds`` runs without and with a prompt in turn, then the memory. Raises CommandError."""
    plain, prompted, floor = [], [], []
    with tempfile.TemporaryDirectory(prefix="ringwheel-bench-") as folder:
        prompt = Path(folder, "prompt.ulaw")
        prompt.write_bytes(speech_like(round(prompt_s * SAMPLES_PER_S), seed=1))
        for turn in range(rounds):
            prefix = f"round {turn + 1} of {rounds}"
            floor.append(run_floor(load, progress, f"{prefix}, floor"))
            plain.append(run_load(load, None, progress, f"{prefix}, no prompt"))
            prompted.append(run_load(load, prompt, progress, f"{prefix}, prompt"))
    return CallsResult(
        load=load,
        seconds=load.calls / load.rate_per_s,
        prompt_s=prompt_s,
        plain=plain,
        prompted=prompted,
        floor=floor,
        idle_calls=idle_calls,
        idle_bytes_per_call=idle_memory(idle_calls, progress),
    )
