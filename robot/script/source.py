"""Reads YAML and JSON (a part of YAML) into a tree whose nodes know where they stand.

Scalars are YAML 1.2's: ``yes``, ``no`` and ``on`` are words. What YAML has for other ends is
refused or bounded: tags, several documents, merge keys, keys that are no words, keys given twice,
and aliases that make much out of little.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from .place import NOWHERE, Place
from .problems import Problem, Problems, ScriptError

MOST_BYTES = 1 << 20
MOST_NODES = 100_000
TEXT_OF_A_NODE = 16
"""A text counts as one more value for each so many characters, where aliases repeat it as well."""
DEEPEST = 50
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_TWO_HALVES = re.compile(
    r"((?<!\\)(?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word, text, number, truth value or nothing. ``text`` is how it was written.

    ``begin`` is where the text itself begins, if it stands in the source as it is.
    """

    place: Place
    value: bool | int | float | str | None
    text: str
    begin: Place | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value."""

    key: str
    place: Place
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping."""

    place: Place
    entries: Mapping[str, Entry] = field(default_factory=dict)


Node = Scalar | Items | Table


def describe(node: Node) -> str:
    """What a node is, in words for people."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Table):
        return "a mapping"
    if isinstance(node.value, bool):
        return f"`{node.text}`"
    if node.value is None:
        return "nothing"
    return "a text" if isinstance(node.value, str) else "a number"


def read_source(data: bytes, problems: Problems, file: str = "script") -> Node:
    """The tree of a file. Faults that leave a tree go into ``problems``; :class:`ScriptError` is
    raised for those that leave none."""
    text = _whole_characters(_decode(data, file))
    loader = _LOADER(text)
    try:
        return _Builder(loader, _LINE_BREAK.split(text), problems).document()
    except _Unreadable as error:
        raise ScriptError(file, [*problems.found, error.problem]) from None
    except yaml.YAMLError as error:
        raise ScriptError(file, [*problems.found, _syntax_problem(error, text)]) from None
    finally:
        loader.dispose()


def _decode(data: bytes, file: str) -> str:
    if len(data) > MOST_BYTES:
        text = f"it has more than {MOST_BYTES >> 20} MiB"
        raise ScriptError(file, [Problem("too-large", NOWHERE, text, "Split the script")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        place = _place_of(before, len(before))
        text = "this is not UTF-8"
        raise ScriptError(file, [Problem("syntax", place, text, "Save it as UTF-8")]) from None


def _whole_characters(text: str) -> str:
    """JSON may write a character in two halves, which YAML does not know."""
    if "\\ud" not in text.lower() or not text.lstrip().startswith(("{", "[")):
        return text

    def joined(found: re.Match[str]) -> str:
        halves = int(found[2], 16), int(found[3], 16)
        code = 0x10000 + ((halves[0] - 0xD800) << 10) + (halves[1] - 0xDC00)
        return f"{found[1]}\\U{code:08x}"

    return _TWO_HALVES.sub(joined, text)


def _place_of(text: str, offset: int) -> Place:
    lines = _LINE_BREAK.split(text[:offset])
    return Place(len(lines), len(lines[-1]) + 1)


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    remedy = "Look at the indentation and at quotes and brackets before it"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        context = getattr(error, "context", None)
        cause = getattr(error, "problem", None) or "this is no YAML"
        text = f"{cause} ({context})" if context else str(cause)
        return Problem("syntax", Place(mark.line + 1, mark.column + 1), text, remedy)
    offset = getattr(error, "position", 0)
    cause = getattr(error, "reason", None) or "this is no YAML"
    return Problem("syntax", _place_of(text, offset), str(cause), "Take the character out")


class _Unreadable(Exception):
    """There is no tree to go on with."""

    def __init__(self, code: str, place: Place, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(code, place, message, remedy)


class _Builder:
    """Makes the tree of YAML's events."""

    def __init__(self, loader: Any, lines: list[str], problems: Problems) -> None:
        self._loader = loader
        self._lines = lines
        self._problems = problems
        self._anchors: dict[str, tuple[Node, int, int] | None] = {}
        self._nodes = 0

    def document(self) -> Node:
        self._expect(yaml.StreamStartEvent)
        if isinstance(self._loader.peek_event(), yaml.StreamEndEvent):
            raise _Unreadable(
                "empty", NOWHERE, "there is nothing in it", "Begin with `ringwheel: 1`"
            )
        self._expect(yaml.DocumentStartEvent)
        node = self._node(0)
        self._expect(yaml.DocumentEndEvent)
        event = self._loader.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Unreadable(
                "documents",
                _place(event),
                "a second document begins here",
                "Keep one script in a file",
            )
        return node

    def _expect(self, kind: type[yaml.Event]) -> None:
        event = self._loader.get_event()
        assert isinstance(event, kind), event

    def _node(self, depth: int) -> Node:
        event = self._loader.get_event()
        place = _place(event)
        self._check_depth(depth, place)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, place, depth)
        before = self._nodes
        text = len(event.value) if isinstance(event, yaml.ScalarEvent) else 0
        self._count(1 + text // TEXT_OF_A_NODE, place)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._check_tag(event, place)
        node = self._built(event, place, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._nodes - before, _height(node)
        return node

    def _built(self, event: Any, place: Place, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(place, tuple(self._items(depth)))
        return Table(place, self._entries(depth))

    def _alias(self, name: str, place: Place, depth: int) -> Node:
        if name not in self._anchors:
            raise _Unreadable(
                "alias", place, f"there is no anchor `&{name}` before it", "Define it above"
            )
        known = self._anchors[name]
        if known is None:
            raise _Unreadable(
                "alias", place, f"`*{name}` stands within what it stands for", "Write it out"
            )
        node, size, height = known
        self._check_depth(depth + height, place)
        # What an alias stands for counts each time: so nine lines cannot make a billion nodes.
        self._count(size, place)
        return node

    def _check_depth(self, depth: int, place: Place) -> None:
        if depth > DEEPEST:
            raise _Unreadable(
                "too-deep",
                place,
                f"this is nested more than {DEEPEST} deep",
                "Move steps into flows of their own",
            )

    def _count(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            raise _Unreadable(
                "too-large",
                place,
                "there is too much in it so far, aliases written out",
                "Split the script",
            )

    def _check_tag(self, event: Any, place: Place) -> None:
        if event.tag is not None and event.tag != "!":
            self._problems.error(
                "tag", place, f"the tag `{event.tag[:60]}` means nothing here", "Leave it out"
            )

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(self._loader.peek_event(), yaml.SequenceEndEvent):
            yield self._node(depth + 1)
        self._loader.get_event()

    def _entries(self, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while not isinstance(self._loader.peek_event(), yaml.MappingEndEvent):
            key = self._node(depth + 1)
            value = self._node(depth + 1)
            if not isinstance(key, Scalar):
                self._problems.error(
                    "key", key.place, f"{describe(key)} stands here for a key", "A key is a word"
                )
            elif key.text in entries:
                line = entries[key.text].place.line
                self._problems.error(
                    "duplicate-key",
                    key.place,
                    f"`{key.text[:60]}` is given twice: in line {line} as well",
                    "Keep one of them",
                )
            elif key.text == "<<":
                self._problems.error(
                    "key",
                    key.place,
                    "YAML's merge keys are not taken",
                    "Write the keys out, or use a flow",
                )
            else:
                entries[key.text] = Entry(key.text, key.place, value)
        self._loader.get_event()
        return entries

    def _scalar(self, event: Any, place: Place) -> Scalar:
        plain = event.style in (None, "")
        text: str = event.value
        value = resolve(text) if plain and event.tag is None else text
        column = place.column + (0 if plain else 1)
        line = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        verbatim = event.style not in ("|", ">") and line.startswith(text, column - 1)
        return Scalar(place, value, text, Place(place.line, column) if verbatim else None)


def _height(node: Node) -> int:
    if isinstance(node, Scalar):
        return 0
    inner = node.items if isinstance(node, Items) else [e.value for e in node.entries.values()]
    return 1 + max(map(_height, inner), default=0)


def _place(event: Any) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)


def resolve(text: str) -> bool | int | float | str | None:
    """The value of a plain scalar by YAML 1.2's core schema, without octal and hexadecimal."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text
