"""Goes over a compiled script: where each step may lead, and what it reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal

from ..grammar.model import Grammar
from .expressions import Expression, Template
from .model import (
    Ask,
    CallFlow,
    Choice,
    FilePrompt,
    Goto,
    HandOver,
    HangUp,
    Http,
    Record,
    Return,
    Script,
    Set,
    Step,
    Stream,
    Transfer,
)

WAITS = (Ask, Record, Stream, Transfer)
"""Steps at which a person, or somebody else, decides when it goes on."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way out of a step: ``to`` is a step, or None, the end of the flow. ``kind`` is ``failed``
    or ``retries`` where the step could not do what it should; ``label`` is for people."""

    to: str | None
    label: str = ""
    kind: Literal["done", "failed", "retries"] = "done"


def ways(step: Step) -> Iterator[Way]:
    """Where a step may lead within its flow.

    What leaves the flow for good (``goto``, ``return``, ``hang_up``, another script) leads nowhere
    here.
    """
    if isinstance(step, Goto | Return | HangUp | HandOver):
        return
    if isinstance(step, Choice):
        yield from (Way(case.to or step.next, case.when.source) for case in step.cases)
        yield Way(step.otherwise or step.next, "else")
        return
    if isinstance(step, Ask) and step.branches:
        yield from (Way(branch.to or step.next, str(branch.value)) for branch in step.branches)
    else:
        yield Way(step.next)
    if isinstance(step, Ask) and step.retries.then is not None:
        yield Way(step.retries.then, "retries", "retries")
    if isinstance(step, Http | Transfer | Stream) and step.has_failed_branch:
        yield Way(step.failed or step.next, "failed", "failed")


def leads_to(step: Step) -> str | None:
    """The flow that a step goes to, or runs."""
    return step.to_flow if isinstance(step, Goto | CallFlow) else None


def parts(value: object) -> Iterator[Expression | FilePrompt]:
    """All expressions and sound files in a step, or in a part of it."""
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, Template):
        yield from (part for part in value.parts if isinstance(part, Expression))
    elif isinstance(value, tuple):
        for item in value:
            yield from parts(item)
    elif is_dataclass(value) and not isinstance(value, Grammar):
        if isinstance(value, FilePrompt):
            yield value
        for item in fields(value):
            yield from parts(getattr(value, item.name))


def reads(step: Step) -> Iterator[Expression]:
    """What a step reads variables by."""
    return (part for part in parts(step) if isinstance(part, Expression))


def writes(step: Step) -> tuple[str, ...]:
    """The variables that a step gives values."""
    if isinstance(step, Set):
        return tuple(name for name, _ in step.values)
    if isinstance(step, Ask | CallFlow | Http | Record | Stream) and step.into is not None:
        return (step.into,)
    return ()


def reachable(script: Script, entries: Iterable[str | None]) -> set[str]:
    """The steps that are reached from these, through other flows as well."""
    found: set[str] = set()
    waiting = [entry for entry in entries if entry is not None]
    while waiting:
        id_ = waiting.pop()
        if id_ in found:
            continue
        found.add(id_)
        step = script.steps[id_]
        waiting += [way.to for way in ways(step) if way.to is not None]
        flow = leads_to(step)
        entry = None if flow is None else script.flows[flow].entry
        if entry is not None:
            waiting.append(entry)
    return found
