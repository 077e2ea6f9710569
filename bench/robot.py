"""`bench robot`: what a step of a dialogue costs the robot's process.

Callers in a process of their own type the digits of their number, one a second, one for each
question. Its prompt of half a second, as short as a question may be, is over by then, and a digit
that comes later, on a busy machine, is typed ahead and silences the next one: packets are told, and
what the media thread took for them. The robot runs in one process on one core; its result records
are held against who called. A step is a step of the script that was executed, silent ones as well
as those that are heard; their cost has everything in it: SIP, sound, digits, the interpreter, the
record.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cli.errors import STATUS_FAILED, CommandError
from .calls import CallsResult, CallsRun, Load, run_floor
from .child import start_child
from .limit import START_TIMEOUT_S, Progress
from .measure import machine, median_of
from .speech import speech_like

STEPS = 10
QUESTIONS = 5
PROMPTS = {"hello": 800, "question": 4_000, "bye": 800}
"""Prompts by their length in samples of 8 kHz."""
SPARE_S = 60.0
FLOOR = Load(rate_per_s=300.0, hold_s=1.0, calls=600)
CALL_S = 8.0

SCRIPT = """\
ringwheel: 1
name: Bench
locale: en
report: [first, second, third, fourth, fifth, number]
limits: {silence: 60s}
steps:
  - say: {file: hello.ulaw}
  - ask: {into: first, prompt: {file: question.ulaw}, answer: {digits: 1}}
  - ask: {into: second, prompt: {file: question.ulaw}, answer: {digits: 1}}
  - if: {when: first != second, then: [{set: {same: false}}], else: [{set: {same: true}}]}
  - ask: {into: third, prompt: {file: question.ulaw}, answer: {digits: 1}}
  - ask: {into: fourth, prompt: {file: question.ulaw}, answer: {digits: 1}}
  - ask: {into: fifth, prompt: {file: question.ulaw}, answer: {digits: 1}}
  - set: {number: first + second + third + fourth + fifth}
  - hang_up: {cause: complete, say: {file: bye.ulaw}}
variables: {same: null, number: null}
"""


@dataclass(frozen=True, slots=True)
class RobotRun:
    """One run: what the robot spent and wrote down, and what its callers say."""

    robot: Mapping[str, Any]
    callers: Mapping[str, Any]
    faults: Mapping[str, int]

    @property
    def steps(self) -> int:
        return int(self.robot["steps"])

    @property
    def cpu_us_per_step(self) -> float:
        return float(self.robot["cpu_us"]) / self.steps if self.steps else float("inf")

    @property
    def media_us_per_step(self) -> float:
        """What the media threads took of it: nearly all of it is packets of prompts."""
        return float(self.robot["media_cpu_us"]) / self.steps if self.steps else float("inf")

    @property
    def failed(self) -> int:
        """Calls that went otherwise than they should, as either side says."""
        return sum(self.faults.values())

    def to_json(self) -> dict[str, object]:
        """The run under its public keys."""
        return {
            "cpu_us_per_step": round(self.cpu_us_per_step, 1),
            "steps": self.steps,
            "calls": self.callers["calls"],
            "failed": self.failed,
            "faults": dict(self.faults),
            "up_most": self.callers["up_most"],
            "packets": self.robot["packets"],
            "cpu_us": self.robot["cpu_us"],
            "loop_cpu_us": self.robot["loop_cpu_us"],
            "media_cpu_us": self.robot["media_cpu_us"],
            "wall_us": self.robot["wall_us"],
            "answer_ms": self.robot["answer_ms"],
        }


@dataclass(frozen=True, slots=True)
class RobotResult:
    """All runs, and in the same rounds the stateless answerer of `bench calls`: the yardstick that
    figures of different machines and hours have in common."""

    calls: int
    rate_per_s: float
    runs: list[RobotRun]
    floor: list[CallsRun]

    @property
    def cpu_us_per_step(self) -> float:
        return median_of((run.cpu_us_per_step for run in self.runs), 1)

    @property
    def media_us_per_step(self) -> float:
        return median_of((run.media_us_per_step for run in self.runs), 1)

    @property
    def failed(self) -> int:
        return sum(run.failed for run in self.runs)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "robot",
            **machine(),
            "calls": self.calls,
            "rate_per_s": self.rate_per_s,
            "steps_per_call": STEPS,
            "cpu_us_per_step": self.cpu_us_per_step,
            "media_us_per_step": self.media_us_per_step,
            "failed": self.failed,
            "floor_cpu_us_per_call": CallsResult.cost_us(self.floor),
            "runs": [run.to_json() for run in self.runs],
        }


def digits_of(number: int) -> str:
    """What the caller of that number types."""
    return f"{number:0{QUESTIONS}d}"


def faults_of(
    records: list[dict[str, Any]], calls: int, faults: Mapping[str, int]
) -> dict[str, int]:
    """What is wrong with the records of ``calls`` calls, beside what the callers hold against
    them."""
    found = Counter(faults)
    found["no record"] += max(0, calls - len(records) - sum(faults.values()))
    for record in records:
        if record["cause"] != "complete":
            found[f"ended: {record['cause'] or record['outcome']}"] += 1
        elif record["number"] != digits_of(int(record["caller"])):
            found["wrong answers"] += 1
        elif record["steps"] != STEPS:
            found[f"{record['steps']} steps"] += 1
    return {fault: count for fault, count in found.items() if count}


def write_script(folder: Path) -> Path:
    """The script and its prompts."""
    for number, (name, samples) in enumerate(PROMPTS.items()):
        Path(folder, f"{name}.ulaw").write_bytes(speech_like(samples, seed=number))
    script = folder / "bench.yaml"
    script.write_text(SCRIPT, "utf-8")
    return script


def run_once(script: Path, calls: int, rate_per_s: float, progress: Progress) -> RobotRun:
    """One run. Raises CommandError."""
    with start_child(
        "ringwheel.bench.robot_process", script=str(script), max_calls=calls + 100
    ) as robot:
        target = robot.answer(START_TIMEOUT_S)["target"]
        robot.ask("begin")
        with start_child(
            "ringwheel.bench.typist", target=target, calls=calls, rate_per_s=rate_per_s
        ) as callers:
            timeout_s = calls / rate_per_s + CALL_S + SPARE_S
            while "calls" not in (told := callers.answer(timeout_s)):
                progress(f"{told['up']} calls up, {told['ended']} done")
        report = robot.ask("report")
    if not report["records"]:
        raise CommandError("no conversation was held", "See the log above", STATUS_FAILED)
    return RobotRun(report, told, faults_of(report["records"], calls, told["faults"]))


def run_robot(calls: int, rate_per_s: float, rounds: int, progress: Progress) -> RobotResult:
    """So many runs, one after the other. Raises CommandError."""
    with tempfile.TemporaryDirectory(prefix="ringwheel-bench-") as folder:
        script = write_script(Path(folder))
        runs, floor = [], []
        for turn in range(rounds):
            floor.append(run_floor(FLOOR, progress, f"round {turn + 1} of {rounds}, floor"))
            runs.append(run_once(script, calls, rate_per_s, progress))
    return RobotResult(calls, rate_per_s, runs, floor)
