"""What a conversation waits for, and what became of it in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .model import Json, Script
from .state import Masks, Memory, Report, StepTime

Kind = Literal["say", "ask", "http", "record", "transfer", "send_digits", "stream"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is waited for: the action of ``turn``, which the step gave."""

    turn: int
    step: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Question:
    """How a question went; ``ms`` is the time of all of its turns, ``outcome`` that of the last."""

    step: str
    asked: int
    no_input: int
    no_match: int
    repeats: int
    ms: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. ``cause`` is ``done``, ``left``, ``transferred``, ``no-input``, ``no-match``,
    ``error``, or the author's (or the driver's) own word.

    ``trace`` has the last turns, ``left_out`` the number of those before; ``error`` is what failed
    last, whether or not the script went on from there. ``reports`` are those of all scripts that it
    was in, in their order; ``report`` is all of them together, with the last value of each field.
    """

    cause: str
    step: str
    ms: int
    steps: int
    report: Mapping[str, Json]
    questions: tuple[Question, ...]
    trace: tuple[StepTime, ...]
    left_out: int
    error: Json
    reports: tuple[Report, ...] = ()


def ended_of(memory: Memory, script: Script, masks: Masks) -> Ended | None:
    """How it ended, in that script, without what is secret; None before it has."""
    if memory.cause is None:
        return None
    reports = tuple(
        Report(report.script, {name: masks.blot(value) for name, value in report.values.items()})
        for report in (*memory.reports, report_of(memory, script))
    )
    return Ended(
        cause=memory.cause,
        step=memory.last_step,
        ms=memory.now_ms - memory.began_ms,
        steps=memory.steps,
        report=_together(reports),
        questions=tuple(
            Question(step, t.asked, t.no_input, t.no_match, t.repeats, t.ms, t.outcome)
            for step, t in memory.tallies.items()
        ),
        trace=tuple(memory.trace),
        left_out=memory.left_out,
        error=masks.blot(memory.error),
        reports=reports,
    )


def report_of(memory: Memory, script: Script) -> Report:
    """What the script that it is in has to report by now."""
    variables = memory.frames[0].variables
    return Report(script.name, {name: variables.get(name) for name in script.report})


def _together(reports: tuple[Report, ...]) -> dict[str, Json]:
    """All fields; one that a later script has no value for keeps that of an earlier one."""
    found: dict[str, Json] = {}
    for report in reports:
        for name, value in report.values.items():
            if value is not None or name not in found:
                found[name] = value
    return found
