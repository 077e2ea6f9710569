"""Reads the parts of a script's tree as what they should be, and takes down where they are not.

Every method gives None where the node is not what was asked for, with the problem noted: so that
a compiler goes on and finds all that is wrong at once.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .expressions import MOST_SOURCE, Expression, ExpressionError, Template
from .functions import FUNCTIONS
from .model import SCOPE_NAMES
from .nearest import suggestion
from .place import Json, Place
from .problems import Problems
from .source import Entry, Items, Node, Scalar, Table, describe

T = TypeVar("T")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True)
class Form:
    """A mapping whose keys are known. ``what`` it is, in words for people."""

    table: Table
    what: str

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.table.place

    def get(self, key: str) -> Node | None:
        """What a key has; None where it is not given, or has nothing."""
        entry = self.table.entries.get(key)
        if entry is None or (isinstance(entry.value, Scalar) and entry.value.value is None):
            return None
        return entry.value

    def place_of(self, key: str) -> Place:
        """Where a key stands, or the form, if the key is not given."""
        entry = self.table.entries.get(key)
        return entry.place if entry is not None else self.table.place


class Reader:
    """Reads nodes; ``problems`` has what was wrong with them."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def wrong(self, node: Node, wanted: str, remedy: str = "") -> None:
        """Take down that something else was wanted here."""
        text = f"{describe(node)} stands here where {wanted} is wanted"
        self.problems.error("wrong-type", node.place, text, remedy)

    def form(
        self, node: Node, known: Sequence[str], what: str, needs: Sequence[str] = ()
    ) -> Form | None:
        """A mapping with these keys and no others."""
        if not isinstance(node, Table):
            self.wrong(node, f"a mapping ({what})", f"Its keys: {', '.join(known)}")
            return None
        for entry in node.entries.values():
            if entry.key not in known:
                near = suggestion(entry.key, known)
                remedy = "" if near else f"There are: {', '.join(known)}"
                text = f"{what} has no key `{entry.key[:60]}`{near}"
                self.problems.error("unknown-key", entry.place, text, remedy)
        form = Form(node, what)
        self._check_needed(form, needs)
        return form

    def _check_needed(self, form: Form, needs: Sequence[str]) -> None:
        for key in needs:
            if form.get(key) is None:
                text = f"{form.what} needs `{key}`"
                self.problems.error("missing-key", form.place_of(key), text, f"Give `{key}:`")

    def entries(self, node: Node, what: str, most: int = 500) -> Iterator[Entry]:
        """The entries of a mapping with keys of the author's."""
        if not isinstance(node, Table):
            self.wrong(node, f"a mapping ({what})")
            return
        yield from list(node.entries.values())[:most]
        if len(node.entries) > most:
            self._too_many(node.place, what, most)

    def items(self, node: Node, what: str, most: int = 1_000) -> tuple[Node, ...]:
        """The items of a list."""
        if not isinstance(node, Items):
            self.wrong(node, f"a list ({what})")
            return ()
        if len(node.items) > most:
            self._too_many(node.place, what, most)
        return node.items[:most]

    def _too_many(self, place: Place, what: str, most: int) -> None:
        self.problems.error("wrong-value", place, f"{what}: there may be at most {most}")

    def text(self, node: Node, what: str, most: int = 500) -> str | None:
        """A text as it was written: a number's too (``012`` stays what it is)."""
        if not isinstance(node, Scalar) or node.value is None:
            self.wrong(node, f"a text ({what})")
            return None
        if not node.text.strip() or len(node.text) > most:
            text = f"{what} has 1 to {most} characters"
            self.problems.error("wrong-value", node.place, text)
            return None
        return node.text

    def name(self, node: Node, what: str) -> str | None:
        """A name that the author makes."""
        text = self.text(node, what)
        return text if text is not None and self.check_name(text, node.place, what) else None

    def check_name(self, text: str, place: Place, what: str) -> bool:
        """Whether ``text`` can be the name of a variable, a flow or the like."""
        if not _NAME.fullmatch(text):
            cause = f"`{text[:60]}` cannot be {what}"
            remedy = "Names have small letters, digits and _, beginning with a letter"
            self.problems.error("name", place, cause, remedy)
            return False
        return True

    def variable(self, node: Node) -> str | None:
        """The name of a variable."""
        text = self.name(node, "the name of a variable")
        return text if text is not None and self.check_variable(text, node.place) else None

    def check_variable(self, text: str, place: Place) -> bool:
        """Whether a variable may be called so."""
        if not self.check_name(text, place, "the name of a variable"):
            return False
        taken = text in FUNCTIONS or text in SCOPE_NAMES or text in ("true", "false", "null")
        if taken or keyword.iskeyword(text):
            cause = f"`{text}` has a meaning of its own in expressions"
            self.problems.error("name", place, cause, "Give the variable another name")
            return False
        return True

    def one_of(self, node: Node, known: Sequence[str], what: str) -> str | None:
        """One word out of several."""
        text = self.text(node, what)
        if text is None or text in known:
            return text
        near = suggestion(text, known)
        remedy = "" if near else f"Take one of: {', '.join(known)}"
        cause = f"{what} cannot be `{text[:60]}`{near}"
        self.problems.error("wrong-value", node.place, cause, remedy)
        return None

    def flag(self, node: Node, what: str) -> bool | None:
        """true or false."""
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.wrong(node, f"true or false ({what})")
        return None

    def integer(self, node: Node, what: str, least: int, most: int) -> int | None:
        """A whole number within bounds."""
        if not isinstance(node, Scalar) or type(node.value) is not int:
            self.wrong(node, f"a whole number ({what})")
            return None
        return self._within(node, node.value, what, least, most)

    def number(self, node: Node, what: str, least: float, most: float) -> float | None:
        """A number within bounds."""
        if not isinstance(node, Scalar) or type(node.value) not in (int, float):
            self.wrong(node, f"a number ({what})")
            return None
        assert isinstance(node.value, int | float)
        return self._within(node, node.value, what, least, most)

    def _within(self, node: Node, value: T, what: str, least: T, most: T) -> T | None:
        if least <= value <= most:  # type: ignore[operator]
            return value
        text = f"{what} is {least} to {most}, not {value}"
        self.problems.error("wrong-value", node.place, text)
        return None

    def duration_ms(self, node: Node, what: str, least_ms: int, most_ms: int) -> int | None:
        """A duration as ``500ms``, ``3s``, ``1.5s``, ``2m`` or ``1h``, in milliseconds."""
        found = _DURATION.fullmatch(node.text) if isinstance(node, Scalar) else None
        if found is None:
            self.wrong(node, f"a duration ({what})", "Write it as 500ms, 3s or 2m")
            return None
        ms = round(float(found[1]) * _UNIT_MS[found[2]])
        if least_ms <= ms <= most_ms:
            return ms
        text = f"{what} is {_ms(least_ms)} to {_ms(most_ms)}"
        self.problems.error("wrong-value", node.place, text)
        return None

    def template(self, node: Node, what: str) -> Template | None:
        """Text with ``${...}`` in it."""
        text = self.text(node, what, 10_000)
        if text is None:
            return None
        assert isinstance(node, Scalar)
        try:
            exact = node.begin is not None
            return Template.parse(text, node.begin or node.place, exact=exact)
        except ExpressionError as error:
            self.problems.error("expression", error.place, error.text)
            return None

    def expression(self, node: Node) -> Expression | None:
        """A text is an expression; a number or truth value itself; a list or mapping has them."""
        source = self._source(node)
        if source is None:
            return None
        if len(source) > MOST_SOURCE:
            text = f"there is more here than {MOST_SOURCE} characters"
            self.problems.error("expression", node.place, text, "Divide it among several `set`")
            return None
        return self._parse(source, node)

    def _parse(self, source: str, node: Node) -> Expression | None:
        place = (node.begin or node.place) if isinstance(node, Scalar) else node.place
        try:
            return Expression.parse(source, place)
        except ExpressionError as error:
            self.problems.error("expression", error.place, error.text)
            return None

    def _source(self, node: Node) -> str | None:
        """What an expression is that makes this; each text in it is read by itself at first."""
        if isinstance(node, Scalar):
            return node.text if isinstance(node.value, str) else json_source(node.value)
        nodes = (
            node.items
            if isinstance(node, Items)
            else tuple(entry.value for entry in node.entries.values())
        )
        sources = [self._checked(item) for item in nodes]
        if None in sources:
            return None
        if isinstance(node, Items):
            return f"[{', '.join(map(str, sources))}]"
        pairs = zip(node.entries, sources, strict=True)
        return "{" + ", ".join(f"{json.dumps(key)}: {source}" for key, source in pairs) + "}"

    def _checked(self, node: Node) -> str | None:
        source = self._source(node)
        if source is None or not isinstance(node, Scalar) or not isinstance(node.value, str):
            return source
        return f"({source})" if self._parse(source, node) is not None else None

    def optional(self, form: Form, key: str, read: Callable[[Node], T | None]) -> T | None:
        """What ``read`` makes of a key; None where it is not given."""
        node = form.get(key)
        return None if node is None else read(node)


def json_source(value: Json) -> str:
    """An expression that has this value."""
    return json.dumps(value, ensure_ascii=False)


def _ms(duration_ms: int) -> str:
    for unit in ("h", "m", "s"):
        if duration_ms >= _UNIT_MS[unit] and duration_ms % _UNIT_MS[unit] == 0:
            return f"{duration_ms // _UNIT_MS[unit]}{unit}"
    return f"{duration_ms}ms"
