"""Follows the variables of a script: read before they have a value, never read, and secrets.

A flow that is called has variables of its own: its parameters, and what it sets. All others, and
handlers, share those of the script.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .compiled import Compiled
from .expressions import Expression
from .model import (
    SCOPE_NAMES,
    Ask,
    CallFlow,
    FilePrompt,
    Flow,
    Goto,
    HandOver,
    Prompts,
    Script,
    Set,
    Step,
    TextPrompt,
    ValuePrompt,
)
from .nearest import suggestion
from .place import Place
from .problems import Problems
from .walk import parts, reads, ways, writes

Names = frozenset[str]
Reads = Mapping[str, tuple[Expression, ...]]
"""What each step reads variables by, by its id."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Flows that share variables, those which have a value from the start, and where they begin;
    ``handlers`` begin at any question, when as much has a value as at the start."""

    given: Names
    entries: tuple[str, ...]
    steps: tuple[Step, ...]
    is_main: bool


def check_variables(compiled: Compiled, live: set[str], problems: Problems) -> None:
    """All that is wrong with variables and secrets."""
    script = compiled.script
    assert script is not None
    read = {id_: tuple(reads(script.steps[id_])) for id_ in live}
    frames = list(_frames(compiled, script, live))
    _check_declared(script, problems)
    for frame in frames:
        _Values(script, frame, read, problems).check()
    main = frames[0]
    for name, place in compiled.report.items():
        known = main.given.union(*map(writes, main.steps))
        if name not in known:
            cause = f"nothing gives `{name}` a value{suggestion(name, known)}"
            problems.error("unset-variable", place, cause)
    _check_used(compiled, frames, read, problems)
    _Secrets(script, frames, read, problems).check()


def _frames(compiled: Compiled, script: Script, live: set[str]) -> Iterator[Frame]:
    handlers = [handler.flow for handler in script.handlers.values() if handler.flow is not None]
    declared = frozenset(compiled.variables)
    yield _frame(script, live, [script.start, *handlers], declared, is_main=True)
    called = {step.to_flow for id_ in live if isinstance(step := script.steps[id_], CallFlow)}
    for name in sorted(called):
        given = frozenset(script.flows[name].parameters)
        yield _frame(script, live, [name], given, is_main=False)


def _frame(
    script: Script, live: set[str], flows: Sequence[str], given: Names, *, is_main: bool
) -> Frame:
    """The frame of these flows, with those that they go on at."""
    seen: dict[str, None] = {}
    waiting = list(flows)
    by_flow: dict[str, list[Step]] = {}
    for id_, step in script.steps.items():
        if id_ in live:
            by_flow.setdefault(step.flow, []).append(step)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name] = None
            waiting += [s.to_flow for s in by_flow.get(name, ()) if isinstance(s, Goto)]
    steps = tuple(step for name in seen for step in by_flow.get(name, ()))
    entries = (script.flows[name].entry for name in flows)
    # That `goto` does not give them is told elsewhere.
    given = given.union(*(script.flows[name].parameters for name in seen))
    return Frame(given, tuple(e for e in entries if e is not None), steps, is_main)


def _check_declared(script: Script, problems: Problems) -> None:
    """A variable's first value may refer to those that were declared before it."""
    known: set[str] = set()
    for name, expression in script.variables:
        for read in sorted(expression.names - known - set(SCOPE_NAMES)):
            cause = f"`{read}` has no value yet{suggestion(read, known)}"
            remedy = f"Declare it above `{name}`; a text stands in quotes within: \"'{read}'\""
            problems.error("unset-variable", expression.place, cause, remedy)
        known.add(name)


class _Values:
    """Which variables of a frame surely have a value at each step."""

    def __init__(self, script: Script, frame: Frame, read: Reads, problems: Problems) -> None:
        self._script = script
        self._frame = frame
        self._read = read
        self._problems = problems
        self._steps = {step.id: step for step in frame.steps}
        self._known = frame.given.union(*map(writes, frame.steps))

    def check(self) -> None:
        """Tell of what is read without a value."""
        have = self._flow()
        for step in self._frame.steps:
            sure = have.get(step.id, self._known)
            for part, names in self._reads(step):
                for name in sorted(names - sure):
                    self._tell(name, part.place)

    def _reads(self, step: Step) -> Iterator[tuple[Expression, Names]]:
        """What a step reads, without what it gives a value itself before."""
        before: set[str] = set(SCOPE_NAMES)
        if isinstance(step, Set):
            for name, expression in step.values:
                yield expression, expression.names - before
                before.add(name)
            return
        for part in self._read[step.id]:
            yield part, part.names - before

    def _tell(self, name: str, place: Place) -> None:
        if name not in self._known:
            cause = f"nothing gives `{name}` a value{suggestion(name, self._known)}"
            where = (
                "" if self._frame.is_main else "; a flow that is called sees its arguments alone"
            )
            remedy = f"Set it before{where}. A text stands in quotes within: \"'{name}'\""
            self._problems.error("unset-variable", place, cause, remedy)
            return
        cause = f"`{name}` may have no value here: not every way leads past what sets it"
        remedy = f"Give it a first value{' under `variables`' if self._frame.is_main else ''}"
        self._problems.warning("maybe-unset", place, cause, remedy)

    def _flow(self) -> dict[str, Names]:
        """What has a value before each step, whatever way was gone."""
        have: dict[str, Names] = {}
        waiting = [(entry, self._frame.given) for entry in self._frame.entries]
        while waiting:
            id_, given = waiting.pop()
            step = self._steps.get(id_)
            if step is None:
                continue
            known = have.get(id_)
            merged = given if known is None else known & given
            if merged == known:
                continue
            have[id_] = merged
            waiting += self._after(step, merged)
        return have

    def _after(self, step: Step, given: Names) -> Iterator[tuple[str, Names]]:
        if isinstance(step, Goto):
            entry = self._script.flows[step.to_flow].entry
            if entry is not None:
                yield entry, given
        for way in ways(step):
            if way.to is not None:
                yield way.to, given.union(writes(step)) if way.kind == "done" else given


def _check_used(
    compiled: Compiled, frames: Sequence[Frame], all_read: Reads, problems: Problems
) -> None:
    """Variables that nobody reads or reports, each told once."""
    script = compiled.script
    assert script is not None
    told: set[str] = set()
    for frame in frames:
        read = {n for step in frame.steps for part in all_read[step.id] for n in part.names}
        if frame.is_main:
            read |= set(script.report)
            read |= {name for _, first in script.variables for name in first.names}
            _tell_unused(compiled.variables.items(), read, told, problems)
        else:
            flow = _flow_of(script, frame)
            names = () if flow is None else flow.parameters
            given = ((name, flow.place) for name in names if flow is not None)
            _tell_unused(given, read, told, problems)
        written = ((name, step.place) for step in frame.steps for name in writes(step))
        _tell_unused(written, read, told, problems)


def _flow_of(script: Script, frame: Frame) -> Flow | None:
    return script.flows[frame.steps[0].flow] if frame.steps else None


def _tell_unused(
    names: Iterable[tuple[str, Place]], read: set[str], told: set[str], problems: Problems
) -> None:
    for name, place in names:
        if name not in read and name not in told:
            told.add(name)
            cause = f"`{name}` is neither read nor reported"
            problems.warning("unused-variable", place, cause, "Take it out, or `report` it")


class _Secrets:
    """Secrets are neither said nor reported, whatever variable they have come into."""

    def __init__(
        self, script: Script, frames: Sequence[Frame], read: Reads, problems: Problems
    ) -> None:
        self._script = script
        self._read = read
        self._steps = {step.id: step for frame in frames for step in frame.steps}.values()
        self._problems = problems
        self._tainted = self._spread()

    def _spread(self) -> set[str]:
        """The names that may hold a secret."""
        tainted = {"secrets"}
        while True:
            more = {
                name
                for step in self._steps
                for name, expression in _assigned(step, self._script)
                if expression.names & tainted
            }
            more |= {name for name, first in self._script.variables if first.names & tainted}
            if more <= tainted:
                return tainted
            tainted |= more

    def check(self) -> None:
        """Tell where they come out, and which are not declared."""
        for step in self._steps:
            for part in self._read[step.id]:
                self._check_known(part)
            for said in _said(step):
                if said.names & self._tainted:
                    cause = "a secret would be said here"
                    self._problems.error("secret", said.place, cause, "Say something else")
            if isinstance(step, HandOver):
                self._check_given(step)
        self._check_report()

    def _check_given(self, step: HandOver) -> None:
        for _, expression in step.arguments:
            if expression.names & self._tainted:
                cause = "a secret would be handed over here, and may be said there"
                remedy = "Declare it in the other script as well"
                self._problems.error("secret", expression.place, cause, remedy)

    def _check_report(self) -> None:
        for step in self._steps:
            for name, expression in _assigned(step, self._script):
                if name in self._script.report and expression.names & self._tainted:
                    cause = f"a secret would be reported, as `{name}`"
                    remedy = "Take it out of `report`, or give the variable something else"
                    self._problems.error("secret", expression.place, cause, remedy)

    def _check_known(self, part: Expression) -> None:
        known = self._script.secrets
        for name in sorted(part.keys_of("secrets") - known.keys()):
            cause = f"there is no secret `{name}`{suggestion(name, known)}"
            remedy = f"Declare it: `secrets: {{{name}: NAME_IN_THE_ENVIRONMENT}}`"
            self._problems.error("unknown-secret", part.place, cause, remedy)


def _assigned(step: Step, script: Script) -> Iterator[tuple[str, Expression]]:
    if isinstance(step, Set):
        yield from step.values
    elif isinstance(step, CallFlow):
        yield from step.arguments


def _said(step: Step) -> Iterator[Expression]:
    """What is said in a step, of which a person hears every word."""
    for prompt in _prompts(step):
        if isinstance(prompt, TextPrompt):
            said: object = prompt.text
        elif isinstance(prompt, ValuePrompt):
            said = prompt.value
        else:
            said = prompt.text if isinstance(prompt, FilePrompt) else ()
        yield from (part for part in parts(said) if isinstance(part, Expression))


def _prompts(step: Step) -> Iterator[object]:
    given: list[Prompts] = [
        getattr(step, name) for name in ("prompts", "filler") if hasattr(step, name)
    ]
    if isinstance(step, Ask):
        given += [*step.retries.no_input, *step.retries.no_match]
    for prompts in given:
        yield from prompts
