"""Where a conversation stands, as a JSON document: saved here, resumed on another machine.

The document holds no secret: where a variable has one's text, the document has a mark in its place,
and whoever resumes puts his own back. It is as small as its script's ``limits.state_bytes`` asks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, cast, get_args

from . import events
from .model import (
    Ask,
    CallFlow,
    Http,
    Json,
    Record,
    Say,
    Script,
    SendDigits,
    Stream,
    Transfer,
)

VERSION = 1
MAX_DOCUMENT_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_INTEGER = 1 << 63
MAX_FRAMES = 32
MAX_HAND_OVERS = 32
"""How often one conversation may go on in another script."""
MAX_TRACE = 64
MAX_AT_MS = 1 << 53
MAX_CHARACTER_BYTES = 12
"""As JSON in ASCII: two halves of a pair."""
MIN_SECRET = 4
"""Shorter texts are in every other word: they are no secrets, and hiding them spoils reports."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

WAITING = (Say, Ask, Http, Record, Transfer, SendDigits, Stream)
"""Steps that are done by somebody else, and waited for."""

Said = Literal["question", "no_input", "no_match"]
FrameKind = Literal["main", "call", "handler"]
Gone = Literal["left", "transferred"]


class StateError(ValueError):
    """A state cannot be resumed; the message says why."""


class UnfitValue(ValueError):
    """A value is not JSON, or beyond our bounds; the message says what of it."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """One turn: its step, when it began (from the conversation's begin), how long it took."""

    step: str
    at_ms: int
    ms: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a script had to report, by its name, when it ended or handed over."""

    script: str
    values: Mapping[str, Json]


@dataclass(slots=True)
class Tally:
    """How a question went: how often it was asked, and what came of it the last time."""

    asked: int = 0
    no_input: int = 0
    no_match: int = 0
    repeats: int = 0
    ms: int = 0
    outcome: str = ""


@dataclass(slots=True)
class Asked:
    """The counters of the question that is open (VoiceXML 2.1, 5.2.2), and what is said for it."""

    no_input: int = 0
    no_match: int = 0
    said: Said = "question"


@dataclass(slots=True)
class Frame:
    """A flow that runs: ``at`` is its step, None at its end. ``handler`` is whose flow it is."""

    flow: str
    at: str | None
    kind: FrameKind
    variables: dict[str, Json]
    handler: str | None = None
    asked: Asked | None = None


@dataclass(slots=True)
class Memory:
    """All that an interpreter remembers. Values of variables are never changed in place.

    ``part`` is which of the scripts it is in, "" the first; ``reports`` are of those before.
    """

    channel: events.Channel = "phone"
    facts: dict[str, Json] = field(default_factory=dict)
    began_ms: int = 0
    now_ms: int = 0
    turn: int = 0
    turn_ms: int = 0
    steps: int = 0
    frames: list[Frame] = field(default_factory=list)
    answer: Json = None
    heard: Json = None
    error: Json = None
    gone: Gone | None = None
    tallies: dict[str, Tally] = field(default_factory=dict)
    trace: list[StepTime] = field(default_factory=list)
    left_out: int = 0
    cause: str | None = None
    last_step: str = ""
    part: str = ""
    reports: list[Report] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class State:
    """A saved conversation. ``document`` is plain data for JSON, and not to be changed."""

    document: dict[str, Any]

    def to_json(self) -> str:
        """The document in one line of ASCII."""
        return _ENCODER.encode(self.document)

    @classmethod
    def from_json(cls, text: str | bytes) -> State:
        """Read what :meth:`to_json` wrote. StateError where it is no JSON object, or too large;
        the rest is checked against the script, by ``Interpreter.restore()``."""
        if len(text) > MAX_DOCUMENT_BYTES:
            raise StateError(f"{len(text):,} bytes are no state: at most {MAX_DOCUMENT_BYTES:,}")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StateError(f"not JSON: {str(error)[:200]}") from error
        if not isinstance(document, dict):
            raise StateError("not a JSON object")
        return cls(document)


def json_bytes(value: object, depth: int = 0) -> int:
    """How long the value is as JSON in ASCII at most. UnfitValue."""
    if isinstance(value, str):
        return len(encode_basestring_ascii(value))
    if value is None or value is True or value is False:
        return 5
    if isinstance(value, int):
        if not -MAX_INTEGER <= value < MAX_INTEGER:
            raise UnfitValue("a number beyond 64 bits")
        return 20
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnfitValue(f"{value} is no number of JSON")
        return 25
    if depth >= MAX_DEPTH:
        raise UnfitValue(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return 2 + sum(1 + json_bytes(item, depth + 1) for item in value)
    if isinstance(value, dict):
        total = 2
        for key, item in value.items():
            if not isinstance(key, str):
                raise UnfitValue(f"a key that is no text: {str(key)[:20]!r}")
            total += len(encode_basestring_ascii(key)) + 2 + json_bytes(item, depth + 1)
        return total
    raise UnfitValue(f"{type(value).__name__} is no type of JSON")


def cut(text: str, most_bytes: int) -> str:
    """The beginning of a text that takes no more bytes than that in a state."""
    if MAX_CHARACTER_BYTES * len(text) <= most_bytes:
        return text
    text = text[:most_bytes]
    while json_bytes(text) > most_bytes + 2:
        text = text[: len(text) * 3 // 4]
    return text


class Masks:
    """Takes the texts of secrets out of values, and puts them back.

    A mark is a control character that no mark's text may have, around the secret's name; a text
    that has such a character of its own has it doubled.
    """

    EDGE = "\x1a"

    def __init__(self, secrets: Mapping[str, str]) -> None:
        # The longest first: one secret may be a part of another.
        ordered = sorted(secrets.items(), key=lambda item: (-len(item[1]), item[0]))
        self._secrets = [(name, text) for name, text in ordered if len(text) >= MIN_SECRET]

    def hide(self, value: Json) -> Json:
        """The value with marks in the place of secrets."""
        return self._map(value, self._hide) if self._secrets else value

    def show(self, value: Json) -> Json:
        """What :meth:`hide` was given."""
        return self._map(value, self._show) if self._secrets else value

    def blot(self, value: Json) -> Json:
        """The value with asterisks in the place of secrets: for reports."""
        return self._map(value, self._blot) if self._secrets else value

    def _hide(self, text: str) -> str:
        pieces = [text]
        for name, secret in self._secrets:
            mark = f"{self.EDGE}{name}{self.EDGE}"
            pieces = _split(pieces, secret, mark)
        # Marks stand at odd places: what is between them is the text's own.
        return "".join(
            piece if place % 2 else piece.replace(self.EDGE, self.EDGE * 2)
            for place, piece in enumerate(pieces)
        )

    def _show(self, text: str) -> str:
        if self.EDGE not in text:
            return text
        secrets = dict(self._secrets)
        shown, rest = [], text
        while rest:
            before, edge, rest = rest.partition(self.EDGE)
            shown.append(before)
            if edge:
                name, closing, rest = rest.partition(self.EDGE)
                if not closing or (name and name not in secrets):
                    raise StateError(f"a secret that is not known here: {name[:40]!r}")
                shown.append(secrets[name] if name else self.EDGE)
        return "".join(shown)

    def _blot(self, text: str) -> str:
        for _, secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _map(self, value: Json, change: Any) -> Json:
        if isinstance(value, str):
            return cast(str, change(value))
        if isinstance(value, list):
            return [self._map(item, change) for item in value]
        if isinstance(value, dict):
            return {change(key): self._map(item, change) for key, item in value.items()}
        return value


def _split(pieces: list[str], secret: str, mark: str) -> list[str]:
    """Each piece at an even place is cut at the secret, with marks at odd places between."""
    cut: list[str] = []
    for place, piece in enumerate(pieces):
        if place % 2:
            cut.append(piece)
            continue
        first, *others = piece.split(secret)
        cut.append(first)
        for other in others:
            cut += [mark, other]
    return cut


def write(memory: Memory, script: Script, masks: Masks) -> State:
    """The document of a memory."""
    hide = masks.hide
    handed_over: dict[str, Any] = {
        "part": memory.part,
        "reports": [[report.script, hide(dict(report.values))] for report in memory.reports],
    }
    return State(
        {
            "version": VERSION,
            "script": script.hash,
            "channel": memory.channel,
            "facts": hide(memory.facts),
            "began_ms": memory.began_ms,
            "now_ms": memory.now_ms,
            "turn": memory.turn,
            "turn_ms": memory.turn_ms,
            "steps": memory.steps,
            "frames": [_write_frame(frame, hide) for frame in memory.frames],
            "answer": hide(memory.answer),
            "heard": hide(memory.heard),
            "error": hide(memory.error),
            "gone": memory.gone,
            "questions": {
                step: [t.asked, t.no_input, t.no_match, t.repeats, t.ms, t.outcome]
                for step, t in memory.tallies.items()
            },
            "trace": [[t.step, t.at_ms, t.ms, t.outcome] for t in memory.trace],
            "left_out": memory.left_out,
            "cause": memory.cause,
            "last_step": memory.last_step,
            **(handed_over if memory.part or memory.reports else {}),
        }
    )


def _write_frame(frame: Frame, hide: Any) -> dict[str, Any]:
    # A handler's flow has the variables of the first frame, which are written there.
    own = {} if frame.kind == "handler" else {"variables": hide(frame.variables)}
    asked = frame.asked
    return {
        "flow": frame.flow,
        "at": frame.at,
        "kind": frame.kind,
        **own,
        **({"handler": frame.handler} if frame.handler is not None else {}),
        **({"asked": [asked.no_input, asked.no_match, asked.said]} if asked else {}),
    }


def read(state: State, script: Script, masks: Masks) -> Memory:
    """The memory of a document, every value of it checked. StateError."""
    document = state.document
    if _member(document, "version", int) != VERSION:
        raise StateError(f"version {document['version']!r}: this engine reads version {VERSION}")
    if _text(document, "script") != script.hash:
        raise StateError(f"it is of another script than {script.name!r} ({script.hash[:12]})")
    try:
        size = json_bytes(document, -4)
    except (UnfitValue, RecursionError) as error:
        raise StateError(str(error)) from error
    if size > MAX_DOCUMENT_BYTES:
        raise StateError(f"{size:,} bytes are no state: at most {MAX_DOCUMENT_BYTES:,}")
    part = script.part(_optional_text(document, "part") or "")
    if part is None:
        raise StateError(f"part: {document['part'][:60]!r} is none of the scripts")
    memory = _Reader(document, script, part, masks).memory()
    if memory.frames and memory.cause is None:
        _check_places(memory, part)
    return memory


def _check_places(memory: Memory, script: Script) -> None:
    """What is interrupted by a sub-dialogue stands where it was called, and what runs, waits."""
    for frame, above in pairwise(memory.frames):
        step = None if frame.at is None else script.steps[frame.at]
        if above.kind == "call" and not isinstance(step, CallFlow):
            raise StateError(f"frames: {above.flow!r} is called where {frame.at} stands")
    top = memory.frames[-1].at
    if top is None or not isinstance(script.steps[top], WAITING):
        raise StateError(f"frames: {top} is no step that waits")


class _Reader:
    """``script`` is the one that the conversation is in, ``first`` that in which it began."""

    def __init__(
        self, document: dict[str, Any], first: Script, script: Script, masks: Masks
    ) -> None:
        self.document = document
        self.first = first
        self.script = script
        self.masks = masks

    def memory(self) -> Memory:
        document, show = self.document, self.masks.show
        frames = self._frames()
        cause = _optional_text(document, "cause")
        began = bool(frames)
        if cause is not None and not began:
            raise StateError("it has ended, but never began")
        return Memory(
            channel=cast(events.Channel, _one_of(document, "channel", get_args(events.Channel))),
            facts=cast("dict[str, Json]", show(_member(document, "facts", dict))),
            began_ms=_number(document, "began_ms", MAX_AT_MS),
            now_ms=_number(document, "now_ms", MAX_AT_MS),
            turn=_number(document, "turn", MAX_INTEGER),
            turn_ms=_number(document, "turn_ms", MAX_AT_MS),
            steps=_number(document, "steps", MAX_INTEGER),
            frames=frames,
            answer=show(document.get("answer")),
            heard=show(document.get("heard")),
            error=show(document.get("error")),
            gone=self._gone(),
            tallies=self._tallies(),
            trace=self._trace(),
            left_out=_number(document, "left_out", MAX_INTEGER),
            cause=cause,
            last_step=self._last_step(),
            part=_optional_text(document, "part") or "",
            reports=self._reports(),
        )

    def _reports(self) -> list[Report]:
        if self.document.get("reports") is None:
            return []
        written = _member(self.document, "reports", list)
        if len(written) > MAX_HAND_OVERS:
            raise StateError(f"reports: {len(written)} of them, at most {MAX_HAND_OVERS}")
        rows = [_row(row, "reports", (str, dict)) for row in written]
        return [
            Report(name, cast("dict[str, Json]", self.masks.show(values))) for name, values in rows
        ]

    def _last_step(self) -> str:
        # One that ended before its first step has none; it may be of a script before.
        step = _text(self.document, "last_step")
        if step and self.first.find(step) is None:
            raise StateError(f"last_step: {step[:60]!r} is none of the script's steps")
        return step

    def _gone(self) -> Gone | None:
        if self.document.get("gone") is None:
            return None
        return cast(Gone, _one_of(self.document, "gone", get_args(Gone)))

    def _frames(self) -> list[Frame]:
        written = _member(self.document, "frames", list)
        if len(written) > MAX_FRAMES:
            raise StateError(f"frames: {len(written)} of them, at most {MAX_FRAMES}")
        frames: list[Frame] = []
        for frame in written:
            frames.append(self._frame(frame, frames))
        return frames

    def _frame(self, written: object, below: list[Frame]) -> Frame:
        document = _object(written, "frames")
        kind = cast(FrameKind, _one_of(document, "kind", get_args(FrameKind)))
        if (kind == "main") == bool(below):
            raise StateError("frames: the first one is 'main', and no other")
        handler = _optional_text(document, "handler")
        if (kind == "handler") != (handler is not None):
            raise StateError(f"frames: kind {kind!r} with handler {handler!r}")
        if handler is not None and handler not in self.script.handlers:
            raise StateError(f"handler: {handler!r} is none of the script's")
        flow = _text(document, "flow")
        if flow not in self.script.flows:
            raise StateError(f"flow: {flow!r} is none of the script's")
        at = None if document.get("at") is None else self._step(document, "at")
        return Frame(
            flow=flow,
            at=at,
            kind=kind,
            variables=below[0].variables if kind == "handler" else self._variables(document),
            handler=handler,
            asked=self._asked(document, at),
        )

    def _variables(self, document: Mapping[str, Any]) -> dict[str, Json]:
        return cast("dict[str, Json]", self.masks.show(_member(document, "variables", dict)))

    def _asked(self, document: Mapping[str, Any], at: str | None) -> Asked | None:
        if document.get("asked") is None:
            return None
        if at is None or not isinstance(self.script.steps[at], Ask):
            raise StateError("asked: its step is no question")
        no_input, no_match, said = _row(document["asked"], "asked", (int, int, str))
        if said not in get_args(Said):
            raise StateError(f"asked: {said!r:.60}")
        if said != "question" and not (no_input if said == "no_input" else no_match):
            raise StateError(f"asked: {said!r} that never happened")
        return Asked(no_input, no_match, said)

    def _step(self, document: Mapping[str, Any], name: str) -> str:
        step = _text(document, name)
        if step not in self.script.steps:
            raise StateError(f"{name}: {step[:60]!r} is none of the script's steps")
        return step

    def _tallies(self) -> dict[str, Tally]:
        kinds = (int, int, int, int, int, str)
        written = _member(self.document, "questions", dict)
        return {step: Tally(*_row(row, "questions", kinds)) for step, row in written.items()}

    def _trace(self) -> list[StepTime]:
        written = _member(self.document, "trace", list)
        if len(written) > MAX_TRACE:
            raise StateError(f"trace: {len(written)} rows, at most {MAX_TRACE}")
        return [StepTime(*_row(row, "trace", (str, int, int, str))) for row in written]


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StateError(f"{name}: {value!r:.60} where an object should be")
    return value


def _member(document: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = document.get(name)
    if type(value) is not kind:
        shown = "nothing" if value is None else f"{value!r:.60}"
        raise StateError(f"{name}: {shown} where {kind.__name__} should be")
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    return cast(str, _member(document, name, str))


def _optional_text(document: Mapping[str, Any], name: str) -> str | None:
    return None if document.get(name) is None else _text(document, name)


def _one_of(document: Mapping[str, Any], name: str, words: tuple[str, ...]) -> str:
    word = _text(document, name)
    if word not in words:
        raise StateError(f"{name}: {word[:60]!r} is none of {', '.join(words)}")
    return word


def _number(document: Mapping[str, Any], name: str, most: int) -> int:
    value: int = _member(document, name, int)
    if not 0 <= value <= most:
        raise StateError(f"{name}: {value} is not within 0 to {most}")
    return value


def _row(value: object, name: str, kinds: tuple[type[Any], ...]) -> list[Any]:
    """A list of values of these kinds; its numbers are counts."""
    if not isinstance(value, list) or [type(item) for item in value] != list(kinds):
        raise StateError(f"{name}: {value!r:.60} is no row of {len(kinds)} values")
    if any(type(item) is int and item < 0 for item in value):
        raise StateError(f"{name}: {value!r:.60} has a number below 0")
    return value
