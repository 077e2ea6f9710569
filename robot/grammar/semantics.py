"""What tags mean (SISR 1.0): string literals, and the part of ECMAScript that grammars use.

That part is: assignments (``=``, ``+=``) to ``out``, to properties of it and to variables of the
rule; ``rules.NAME``, ``rules.latest()``, ``meta.current().text``, ``meta.latest().text``,
``meta.NAME.text``; literals of strings, numbers, objects and arrays; ``+ - * / %``, ``Number()``,
``String()``. There are no loops, functions or comparisons: a tag always ends. Whatever else it has
is an error when the grammar is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from .expansion import GrammarError, Json

TagFormat = Literal["semantics/1.0", "semantics/1.0-literals"]

MAX_TAG_CHARS = 8_192
MAX_TAG_DEPTH = 32
MAX_KEPT_CHARS = 128
MAX_VALUE_PARTS = 1_000
MAX_VALUE_CHARS = 16_384
"""Of all strings in a value together: a tag that doubles its string soon meets this bound."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<number>(?:0[xX][0-9a-fA-F]{1,12}|(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,3})?))
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<name>[^\W\d][\w$]*|\$[\w$]*)
    |(?P<mark>\+=|-=|\*=|[-+*/%=.,;:()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_FIGURE = re.compile(r"\s*[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,3})?\s*")
_RESERVED_WORDS = (
    "break case catch class const continue debugger default delete do else enum export extends "
    "finally for function if import in instanceof let new return super switch this throw try "
    "typeof void while with yield eval rules meta out"
)
_RESERVED = frozenset(_RESERVED_WORDS.split())


_CONSTANTS: dict[str, Json] = {"true": True, "false": False, "null": None, "undefined": None}


class _Token(NamedTuple):
    kind: str
    text: str


@dataclass(slots=True)
class RuleScope:
    """What the tags of one matched rule see: ``out``, its own variables, and the rules that were
    matched within it before, with their values and texts, the latest last."""

    text: str = ""
    out: Json = field(default_factory=dict)
    variables: dict[str, Json] = field(default_factory=dict)
    rules: dict[str, tuple[Json, str]] = field(default_factory=dict)

    def matched(self, name: str, value: Json, text: str) -> None:
        """A rule within this one was matched."""
        self.rules.pop(name, None)
        self.rules[name] = (value, text)

    def latest(self) -> tuple[Json, str]:
        """Value and text of the rule that was matched last."""
        return next(reversed(self.rules.values()), (None, ""))


_Value = Callable[[RuleScope], Json]
_Statement = Callable[[RuleScope], None]


@dataclass(frozen=True, slots=True)
class Script:
    """A tag that was read."""

    text: str
    statements: tuple[_Statement, ...]

    def run(self, scope: RuleScope) -> None:
        """Run it. GrammarError: it does what cannot be done."""
        try:
            for statement in self.statements:
                statement(scope)
        except GrammarError as error:
            raise GrammarError(f"tag {_shown(self.text)}: {error.cause}") from None


def parse_tag(text: str, tag_format: TagFormat) -> Script:
    """Read a tag. GrammarError: it is none, or has what is not understood here."""
    if len(text) > MAX_TAG_CHARS:
        raise GrammarError(f"a tag is longer than {MAX_TAG_CHARS} characters")
    # Grammars have the same short tags again and again; long ones must not fill the memory.
    parse = _parse_short if len(text) <= MAX_KEPT_CHARS else _parse
    return parse(text, tag_format)


def _parse(text: str, tag_format: TagFormat) -> Script:
    if tag_format == "semantics/1.0-literals":
        literal = text.strip()
        return Script(text, (lambda scope: setattr(scope, "out", literal),))
    try:
        return Script(text, tuple(_Parser(_tokens(text)).program()))
    except GrammarError as error:
        raise GrammarError(f"tag {_shown(text)}: {error.cause}") from None


_parse_short = lru_cache(maxsize=4_096)(_parse)


def rename_rules(text: str, names: Mapping[str, str]) -> str:
    """A tag with other names for the rules that it refers to."""
    renamed = []
    last: list[str] = []
    at = 0
    while found := _TOKEN.match(text, at):
        at = found.end()
        word = found[0]
        if last in (["rules", "."], ["meta", "."]):
            word = names.get(word, word)
        elif last in (["rules", "["], ["meta", "["]) and found.lastgroup == "string":
            name = _unescape(word)
            word = json.dumps(names.get(name, name))
        renamed.append(word)
        if found.lastgroup != "space":
            last = [*last[-1:], found[0]]
    return "".join(renamed)


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "...")


# Reading


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise GrammarError(f"{text[at]!r} is not understood in a tag")
        if found.lastgroup != "space":
            tokens.append(_Token(found.lastgroup or "", found[0]))
        at = found.end()
    return tokens


def _unescape(literal: str) -> str:
    def one(found: re.Match[str]) -> str:
        if code := found[1] or found[2]:
            return chr(int(code, 16))
        return _ESCAPES.get(found[3], found[3])

    text = _ESCAPE.sub(one, literal[1:-1])
    # Two escapes may spell one character (UTF-16); half of one is no text.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Parser:
    """Recursive descent, at most ``MAX_TAG_DEPTH`` deep; what it makes are functions."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def program(self) -> list[_Statement]:
        statements = []
        while self._at < len(self._tokens):
            if not self._take(";"):
                statements.append(self._statement())
                if self._at < len(self._tokens):
                    self._need(";")
        return statements

    # Tokens

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "the end")

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, mark: str) -> bool:
        if self._peek() == ("mark", mark):
            self._at += 1
            return True
        return False

    def _need(self, mark: str) -> None:
        if not self._take(mark):
            raise GrammarError(f"{mark!r} is missing before {self._peek().text!r}")

    def _name(self) -> str:
        token = self._next()
        if token.kind != "name":
            raise GrammarError(f"a name is missing before {token.text!r}")
        return token.text

    # Statements

    def _statement(self) -> _Statement:
        declares = self._peek() == ("name", "var")
        if declares:
            self._next()
        name = self._name()
        if name in _RESERVED and (declares or name != "out"):
            raise GrammarError(f"nothing can be assigned to {name!r}: tags assign to out")
        keys = () if declares else self._path()
        for mark in ("=", "+=", "-=", "*="):
            if self._take(mark):
                return _assignment(name, keys, mark, self._sum())
        raise GrammarError(f"a tag assigns to out or to a variable; {self._peek().text!r} does not")

    def _path(self) -> tuple[_Value, ...]:
        keys = []
        while True:
            if self._take("."):
                keys.append(_constant(self._name()))
            elif self._take("["):
                keys.append(self._sum())
                self._need("]")
            else:
                return tuple(keys)

    # Values, from the weakest binding to the strongest

    def _sum(self) -> _Value:
        self._depth += 1
        if self._depth > MAX_TAG_DEPTH:
            raise GrammarError(f"values stand in each other more than {MAX_TAG_DEPTH} deep")
        value = self._chain("+-", self._product)
        self._depth -= 1
        return value

    def _product(self) -> _Value:
        return self._chain("*/%", self._signed)

    def _chain(self, marks: str, part: Callable[[], _Value]) -> _Value:
        first, rest = part(), []
        while (token := self._peek()).kind == "mark" and token.text in marks:
            rest.append((self._next().text, part()))
        return _operations(first, rest) if rest else first

    def _signed(self) -> _Value:
        if self._take("-"):
            value = self._member()
            return lambda scope: _number(-_figure(value(scope)))
        return self._member()

    def _member(self) -> _Value:
        value = self._primary()
        keys = self._path()
        if not keys:
            return value
        return lambda scope: _property(value(scope), [key(scope) for key in keys])

    def _primary(self) -> _Value:
        token = self._next()
        match token:
            case _Token("number", text):
                return _constant(
                    _number(int(text, 16) if text[:2] in {"0x", "0X"} else float(text))
                )
            case _Token("string", text):
                return _constant(_unescape(text))
            case _Token("mark", "("):
                value = self._sum()
                self._need(")")
                return value
            case _Token("mark", "["):
                return self._array()
            case _Token("mark", "{"):
                return self._object()
            case _Token("name", name):
                return self._named(name)
        raise GrammarError(f"a value is missing before {token.text!r}")

    def _array(self) -> _Value:
        items: list[_Value] = []
        while not self._take("]"):
            items.append(self._sum())
            if self._peek() != ("mark", "]"):
                self._need(",")
        return lambda scope: [item(scope) for item in items]

    def _object(self) -> _Value:
        items: list[tuple[str, _Value]] = []
        while not self._take("}"):
            key = self._next()
            if key.kind not in {"name", "string", "number"}:
                raise GrammarError(f"a property's name is missing before {key.text!r}")
            self._need(":")
            name = _unescape(key.text) if key.kind == "string" else key.text
            items.append((name, self._sum()))
            if self._peek() != ("mark", "}"):
                self._need(",")
        return lambda scope: {name: item(scope) for name, item in items}

    def _named(self, name: str) -> _Value:
        if name in _CONSTANTS:
            return _constant(_CONSTANTS[name])
        match name:
            case "rules":
                return self._rule_value()
            case "meta":
                return self._meta_text()
            case "Number" | "String":
                return self._conversion(_to_number if name == "Number" else _to_string)
        if name in _RESERVED - {"out"}:
            raise GrammarError(f"{name!r} is not understood in a tag")
        return lambda scope: _variable(scope, name)

    def _conversion(self, convert: Callable[[Json], Json]) -> _Value:
        self._need("(")
        value = self._sum()
        self._need(")")
        return lambda scope: convert(value(scope))

    def _rule_name(self) -> str:
        if self._take("["):
            token = self._next()
            if token.kind != "string":
                raise GrammarError("rules[...] takes a name in quotes")
            self._need("]")
            return _unescape(token.text)
        self._need(".")
        return self._name()

    def _no_arguments(self) -> None:
        self._need("(")
        self._need(")")

    def _rule_value(self) -> _Value:
        name = self._rule_name()
        if name == "latest" and self._peek() == ("mark", "("):
            self._no_arguments()
            return lambda scope: scope.latest()[0]
        return lambda scope: scope.rules.get(name, (None, ""))[0]

    def _meta_text(self) -> _Value:
        name = self._rule_name()
        called = name in {"current", "latest"} and self._peek() == ("mark", "(")
        if called:
            self._no_arguments()
        self._need(".")
        if (wanted := self._name()) != "text":
            raise GrammarError(f"meta has text alone, not {wanted!r}")
        if called and name == "current":
            return lambda scope: scope.text
        if called:
            return lambda scope: scope.latest()[1]
        return lambda scope: scope.rules.get(name, (None, ""))[1]


# Running


def _constant(value: Json) -> _Value:
    return lambda _: value


def _assignment(name: str, keys: tuple[_Value, ...], mark: str, value: _Value) -> _Statement:
    def assign(scope: RuleScope) -> None:
        path = [key(scope) for key in keys]
        found = value(scope)
        if mark != "=":
            before = _property(_variable(scope, name), path)
            found = _operate(mark[0], before, found)
        if path:
            # Values are shared until one is changed: that is done to a copy.
            whole = bounded_copy(_variable(scope, name))
            _put(whole, path, found)
            found = bounded_copy(whole)
        if name == "out":
            scope.out = found
        else:
            scope.variables[name] = found

    return assign


def _operations(first: _Value, rest: list[tuple[str, _Value]]) -> _Value:
    def run(scope: RuleScope) -> Json:
        value = first(scope)
        for mark, operand in rest:
            value = _operate(mark, value, operand(scope))
        return value

    return run


def _operate(mark: str, left: Json, right: Json) -> Json:
    if mark == "+" and (isinstance(left, str) or isinstance(right, str)):
        joined = _to_string(left) + _to_string(right)
        if len(joined) > MAX_VALUE_CHARS:
            raise GrammarError(f"a string is longer than {MAX_VALUE_CHARS} characters")
        return joined
    first, second = _figure(left), _figure(right)
    if mark in "/%" and second == 0:
        raise GrammarError("division by zero")
    match mark:
        case "+":
            return _number(first + second)
        case "-":
            return _number(first - second)
        case "*":
            return _number(first * second)
        case "/":
            return _number(first / second)
    return _number(math.fmod(first, second))


def _number(value: float) -> Json:
    """A number that JSON and ECMAScript have: integral ones without a fraction."""
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise GrammarError("a number is too large")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _figure(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GrammarError(f"{_shown(str(value))} is not a number")
    return value


def _to_number(value: Json) -> Json:
    if isinstance(value, str) and _FIGURE.fullmatch(value):
        return _number(float(value))
    return _number(_figure(value))


def _to_string(value: Json) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    raise GrammarError("null, an object or an array has no text")


def _variable(scope: RuleScope, name: str) -> Json:
    if name == "out":
        return scope.out
    if name not in scope.variables:
        raise GrammarError(f"{name!r} has no value")
    return scope.variables[name]


def _property(value: Json, path: list[Json]) -> Json:
    for key in path:
        match value, key:
            case dict(), str():
                value = value.get(key)
            case list(), int() if not isinstance(key, bool) and 0 <= key < len(value):
                value = value[key]
            case _:
                raise GrammarError(f"there is no {key!r} in it")
    return value


def _put(value: Json, path: list[Json], new: Json) -> None:
    holder = _property(value, path[:-1])
    match holder, path[-1]:
        case dict(), str() as key:
            holder[key] = new
        case list(), int() as index if not isinstance(index, bool) and 0 <= index <= len(holder):
            holder[index : index + 1] = [new]
        case _:
            raise GrammarError(f"{path[-1]!r} cannot be put into what is no object")


def bounded_copy(value: Json) -> Json:
    """A copy that shares nothing with it. GrammarError: it breaks a bound of values."""
    left = [MAX_VALUE_PARTS, MAX_VALUE_CHARS]

    def copy(value: Json, depth: int) -> Json:
        left[0] -= 1
        left[1] -= len(value) if isinstance(value, str) else 0
        if min(left) < 0 or depth > MAX_TAG_DEPTH:
            raise GrammarError("a value is too large")
        match value:
            case list():
                return [copy(item, depth + 1) for item in value]
            case dict():
                left[1] -= sum(len(key) for key in value)
                return {key: copy(item, depth + 1) for key, item in value.items()}
        return value

    return copy(value, 0)
