#!/usr/bin/env python3
"""What a packet costs two builds of the engine, in turns, under the same receiver.

Run it in this build's environment, and name the other build by its interpreter:

    .venv/bin/python tools/compare_builds.py /path/to/other/.venv/bin/python --legs 400

Two runs of `bench prompt-legs`, one of each build, differ in their receivers and bare loops too;
here only the process under test changes. Turns alternate who goes first.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from typing import Any

from ringwheel.bench import child
from ringwheel.bench.limit import SOCKETS
from ringwheel.bench.measure import allow_files
from ringwheel.bench.prompt_legs import run_engine

ENGINE = "ringwheel.bench.engine_process"


class Popen(subprocess.Popen[bytes]):
    """Starts the engine's process by the interpreter of the build whose turn it is."""

    interpreter = sys.executable

    def __init__(self, command: list[str], **options: Any) -> None:
        if ENGINE in command:
            command = [self.interpreter, *command[1:]]
        super().__init__(command, **options)


def measure(build: str, backend: str, legs: int, seconds: float) -> float:
    """CPU microseconds a packet of the build with that interpreter."""
    Popen.interpreter = build
    run = run_engine(backend, legs, seconds)
    return run.cpu_us / run.packets


def summary(this: list[float], other: list[float]) -> str:
    """Medians, and how they compare."""
    mid, mid_other = statistics.median(this), statistics.median(other)
    pairs = statistics.median(a / b for a, b in zip(this, other, strict=True))
    return (
        f"this {mid:.2f}, other {mid_other:.2f} us a packet; "
        f"this over other {mid / mid_other:.3f} by medians, {pairs:.3f} by pairs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What a packet costs two builds of the engine.")
    parser.add_argument("other", help="interpreter of the environment that has the other build")
    parser.add_argument("--legs", type=int, default=400)
    parser.add_argument("--backend", choices=["per-leg", "shared"], default="per-leg")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a run; default 3")
    parser.add_argument("--rounds", type=int, default=10, help="of one run each; default 10")
    options = parser.parse_args()
    allow_files(options.legs + SOCKETS)
    child.subprocess.Popen = Popen  # type: ignore[misc]
    costs_us: dict[str, list[float]] = {sys.executable: [], options.other: []}
    if len(costs_us) == 1:
        parser.error("the other build's interpreter is this one; name another environment's")
    for turn in range(options.rounds):
        for build in list(costs_us)[:: -1 if turn % 2 else 1]:
            cost_us = measure(build, options.backend, options.legs, options.seconds)
            costs_us[build].append(cost_us)
            print(f"round {turn + 1}: {build} {cost_us:.2f} us", file=sys.stderr, flush=True)
    print(f"{options.legs} legs, {options.backend}:", summary(*costs_us.values()))


if __name__ == "__main__":
    main()
