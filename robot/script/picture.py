"""A script as a picture: what its steps say, and where they lead; for Graphviz and Mermaid too.

Steps are boxes, flow by flow. What goes to another flow is a box that names it, so that no line
crosses the whole picture.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass

from .model import (
    Ask,
    CallFlow,
    Choice,
    FilePrompt,
    Goto,
    HandOver,
    HangUp,
    Http,
    Json,
    PausePrompt,
    Prompts,
    Record,
    Return,
    Say,
    Script,
    SendDigits,
    Set,
    Step,
    Stream,
    TextPrompt,
    Transfer,
)

MAX_TEXT = 90
MAX_LABEL = 26


@dataclass(frozen=True, slots=True)
class Box:
    """One step. ``link`` is the flow that it leads to, where there is one."""

    id: str
    verb: str
    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """From one step to another; ``label`` says when. ``trouble``: when something did not work."""

    source: str
    target: str
    label: str = ""
    trouble: bool = False


@dataclass(frozen=True, slots=True)
class FlowPicture:
    """One flow: its boxes in the order of the script, and the lines between them."""

    name: str
    title: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    entry: str | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole script: its flows, the first one first, and where its handlers lead."""

    title: str
    subtitle: str
    flows: tuple[FlowPicture, ...]
    handlers: tuple[tuple[str, str], ...]


def picture_of(script: Script) -> Picture:
    """What there is to see of a script."""
    names = sorted(script.flows, key=lambda name: name != script.start)
    handlers = [
        (handler.name, handler.flow or "asks again") for handler in script.handlers.values()
    ]
    return Picture(
        title=script.name,
        subtitle=f"{len(script.steps)} steps, {script.locale}, {script.hash[:12]}",
        flows=tuple(_flow_picture(script, name) for name in names),
        handlers=tuple(handlers),
    )


def _flow_picture(script: Script, name: str) -> FlowPicture:
    flow = script.flows[name]
    steps = [step for step in script.steps.values() if step.flow == name]
    ids = {step.id for step in steps}
    lines: dict[tuple[str, str, bool], list[str]] = {}
    for step in steps:
        for line in _lines_of(step):
            if line.target in ids:
                key = (line.source, line.target, line.trouble)
                lines.setdefault(key, []).append(line.label)
    return FlowPicture(
        name=name,
        title=f"{name}({', '.join(flow.parameters)})" if flow.parameters else name,
        boxes=tuple(_box(step) for step in steps),
        lines=tuple(
            Line(source, target, cut(" · ".join(filter(None, labels)), MAX_LABEL), trouble)
            for (source, target, trouble), labels in lines.items()
        ),
        entry=flow.entry,
    )


def _lines_of(step: Step) -> Iterator[Line]:
    """Where a step leads, with None as the step behind it."""
    for label, to, trouble in _ways_of(step):
        target = to or step.next
        if target is not None:
            yield Line(step.id, target, label, trouble)


def _ways_of(step: Step) -> Iterator[tuple[str, str | None, bool]]:
    match step:
        case Ask():
            for branch in step.branches:
                yield _value(branch.value), branch.to, False
            if not step.branches:
                yield "", None, False
            if step.retries.then is not None:
                yield "given up", step.retries.then, True
        case Choice():
            for case in step.cases:
                # The box has the condition where there is but one.
                label = "yes" if len(step.cases) == 1 else _case(case.when.source)
                yield label, case.to, False
            yield "else", step.otherwise, False
        case Goto() | Return() | HangUp() | HandOver():
            pass
        case Http() | Transfer() | Stream():
            yield "", None, False
            if step.has_failed_branch:
                yield "failed", step.failed, True
        case _:
            yield "", None, False


def _case(condition: str) -> str:
    """What tells the cases of a switch apart: what its value is compared with."""
    return condition.rpartition(" == ")[2]


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _box(step: Step) -> Box:
    link = step.to_flow if isinstance(step, Goto | CallFlow) else None
    verb = step.verb if isinstance(step, Ask) else VERBS[type(step)]
    return Box(step.id, verb, cut(_text_of(step), MAX_TEXT), link)


VERBS: dict[type[Step], str] = {
    Say: "say",
    Set: "set",
    Choice: "if",
    Goto: "goto",
    CallFlow: "call",
    Return: "return",
    Http: "http",
    Record: "record",
    Transfer: "transfer",
    HandOver: "transfer",
    SendDigits: "send digits",
    Stream: "stream",
    HangUp: "hang up",
}


def _text_of(step: Step) -> str:  # noqa: PLR0911 - one for each kind
    match step:
        case Say() | Ask() | Record():
            return _prompts(step.prompts)
        case Set():
            return ", ".join(f"{name} = {value.source}" for name, value in step.values)
        case Choice():
            return step.cases[0].when.source + "?" if len(step.cases) == 1 else "which case?"
        case Goto():
            return step.to_flow
        case CallFlow():
            return step.to_flow + (f" → {step.into}" if step.into else "")
        case Return():
            return "" if step.value is None else step.value.source
        case Http():
            return f"{step.method} {step.url.source}"
        case Transfer():
            return step.to.source
        case HandOver():
            given = ", ".join(f"{name} = {value.source}" for name, value in step.arguments)
            return (step.script or "the first script") + (f" ({given})" if given else "")
        case SendDigits():
            return step.digits.source
        case Stream():
            return step.url.source
        case HangUp():
            return ": ".join(filter(None, (step.cause, _prompts(step.prompts))))
    return ""


def _prompts(prompts: Prompts) -> str:
    said = []
    for prompt in prompts:
        if isinstance(prompt, TextPrompt):
            said.append(prompt.text.source)
        elif isinstance(prompt, FilePrompt):
            said.append(prompt.text.source if prompt.text else prompt.path.source)
        elif not isinstance(prompt, PausePrompt):
            said.append(f"‹{prompt.value.source}›")
    return " ".join(said)


def cut(text: str, most: int) -> str:
    """A text on one line, and its beginning where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def to_dot(picture: Picture) -> str:
    """The picture in the language of Graphviz."""
    numbers = _numbers(picture)
    out = [
        "digraph script {",
        f"  label={_quoted(picture.title)};",
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];',
    ]
    for place, flow in enumerate(picture.flows):
        out += [f"  subgraph cluster_{place} {{", f"    label={_quoted(flow.title)};"]
        for box in flow.boxes:
            out.append(f"    {numbers[box.id]} [label={_quoted(f'{box.verb}: {box.text}')}];")
        out.append("  }")
    for line in _all_lines(picture):
        style = f"label={_quoted(line.label)}" + (", style=dashed" if line.trouble else "")
        out.append(f"  {numbers[line.source]} -> {numbers[line.target]} [{style}];")
    return "\n".join([*out, "}", ""])


def to_mermaid(picture: Picture) -> str:
    """The picture in the language of Mermaid."""
    numbers = _numbers(picture)
    out = ["flowchart TD"]
    for place, flow in enumerate(picture.flows):
        out.append(f"  subgraph flow{place}[{_escaped(flow.title)}]")
        for box in flow.boxes:
            out.append(f"    {numbers[box.id]}[{_escaped(f'{box.verb}: {box.text}')}]")
        out.append("  end")
    for line in _all_lines(picture):
        arrow = "-.->" if line.trouble else "-->"
        label = f"|{_escaped(line.label)}|" if line.label else ""
        out.append(f"  {numbers[line.source]} {arrow}{label} {numbers[line.target]}")
    return "\n".join([*out, ""])


def _numbers(picture: Picture) -> dict[str, str]:
    boxes = (box for flow in picture.flows for box in flow.boxes)
    return {box.id: f"s{number}" for number, box in enumerate(boxes)}


def _all_lines(picture: Picture) -> Iterator[Line]:
    """All lines, those to other flows as well: these programs can draw them."""
    entries = {flow.name: flow.entry for flow in picture.flows}
    for flow in picture.flows:
        yield from flow.lines
        for box in flow.boxes:
            entry = entries.get(box.link) if box.link else None
            if entry is not None:
                yield Line(box.id, entry, box.verb)


def _quoted(text: str) -> str:
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _escaped(text: str) -> str:
    return '"' + html.escape(text).replace("&#x27;", "'").replace("#", "#35;") + '"'
