"""Expressions (``age >= 18``) and templates (``Hello ${name}``) of scripts.

They are written as in Python, of a small part of it: texts, numbers, lists, mappings, arithmetic,
comparisons, ``and``, ``or``, ``not``, ``in``, ``a if b else c``, ``value.key``, ``value[key]`` and
the functions of ``functions.py``. They are parsed once, when the script is compiled; evaluating
is simpleeval's, with everything that could take long or much bounded. The scope has the script's
variables, and ``now_ms``, which ``now()`` and ``today()`` read.
"""

from __future__ import annotations

import ast
import operator
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from simpleeval import SimpleEval

from .functions import FUNCTIONS, Function, FunctionRefused, compile_pattern
from .nearest import suggestion
from .place import NOWHERE, Json, Place
from .values import MOST_NUMBER, MOST_TEXT, TooMuch, as_text, check_value

MOST_SOURCE = 4_000
MOST_NODES = 500
DEEPEST_NODE = 40
MOST_TEMPLATE = 10_000
MOST_PARTS = 100
HIGHEST_EXPONENT = 64
CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
NOW = "now_ms"


class ExpressionError(Exception):
    """An expression cannot be read, or has no value. The text names no value of a variable."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.text = text


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, parsed. ``names`` are the variables that it reads."""

    source: str
    place: Place
    names: frozenset[str]
    _node: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(cls, source: str, place: Place = NOWHERE) -> Expression:
        """Read an expression; :class:`ExpressionError` says what is wrong with it."""
        node = _Reader(place).read(source)
        return cls(source, place, frozenset(_names(node)), node)

    def keys_of(self, name: str) -> frozenset[str]:
        """The keys of a variable that it names outright (``secrets.key``)."""
        found = set()
        for node in ast.walk(self._node):
            if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.value, ast.Name):
                inner = node.attr if isinstance(node, ast.Attribute) else node.slice
                key = inner.value if isinstance(inner, ast.Constant) else inner
                if node.value.id == name and isinstance(key, str):
                    found.add(key)
        return frozenset(found)

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        """Its value in this scope; :class:`ExpressionError` if it has none."""
        node = self._node
        if type(node) is ast.Constant:
            return cast(Json, node.value)
        try:
            return check_value(_EVALUATORS.one.evaluate(node, scope))
        except (FunctionRefused, TooMuch, _NoValue) as error:
            reason = str(error)
        except ZeroDivisionError:
            reason = "it divides by zero"
        except (TypeError, ValueError):
            reason = "values of these kinds do not go together (str() and int() turn them)"
        except (ArithmeticError, RecursionError):
            reason = "a value is too large"
        raise ExpressionError(self.place, f"{_short(self.source)} has no value: {reason}")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with expressions in it, as ``${...}``; ``$${`` stands for ``${`` itself."""

    source: str
    place: Place
    names: frozenset[str]
    parts: tuple[str | Expression, ...]
    constant: str | None = field(init=False, repr=False, compare=False)
    """Its text, if there are no expressions in it."""

    def __post_init__(self) -> None:
        text = "".join(cast(tuple[str, ...], self.parts)) if self.is_constant else None
        object.__setattr__(self, "constant", text)

    @classmethod
    def parse(cls, source: str, place: Place = NOWHERE, *, exact: bool = True) -> Template:
        """Read a template; :class:`ExpressionError` says what is wrong with it.

        ``exact``: the text stands at ``place`` as it is, so that its parts have their own places.
        """
        if len(source) > MOST_TEMPLATE:
            raise ExpressionError(place, f"a text has at most {MOST_TEMPLATE} characters")
        parts = tuple(islice(_parts(source, place, exact and "\n" not in source), MOST_PARTS + 1))
        if len(parts) > MOST_PARTS:
            raise ExpressionError(place, f"a text has at most {MOST_PARTS} parts")
        read = [part.names for part in parts if isinstance(part, Expression)]
        return cls(source, place, frozenset().union(*read), parts)

    @property
    def is_constant(self) -> bool:
        """Whether there are no expressions in it."""
        return all(isinstance(part, str) for part in self.parts)

    def render(self, scope: Mapping[str, Json]) -> str:
        """The text with the values in it; :class:`ExpressionError` if one has none."""
        text = self.constant
        if text is None:
            text = "".join(
                part if isinstance(part, str) else as_text(part.evaluate(scope))
                for part in self.parts
            )
        if len(text) > MOST_TEXT:
            raise ExpressionError(self.place, f"a text has at most {MOST_TEXT} characters")
        return text


def _short(source: str) -> str:
    line = " ".join(source.split())
    return f"`{line}`" if len(line) <= 60 else f"`{line[:57]}...`"


def _written(node: ast.expr) -> str:
    try:
        return _short(ast.unparse(node))
    except RecursionError:
        return "a part of it"


def _parts(source: str, place: Place, exact: bool) -> Iterator[str | Expression]:
    """Text and expressions in turn. Text is whole: no two texts follow each other."""
    at, text = 0, ""
    while (found := source.find("${", at)) >= 0:
        if found > at and source[found - 1] == "$":
            text += source[at : found - 1] + "${"
            at = found + 2
            continue
        text += source[at:found]
        if text:
            yield text
        text = ""
        at = _closing_brace(source, found + 2, place)
        where = Place(place.line, place.column + found + 2) if exact else place
        yield Expression.parse(source[found + 2 : at - 1], where)
    if text or at < len(source):
        yield text + source[at:]


def _closing_brace(source: str, at: int, place: Place) -> int:
    """Behind the brace that closes the one before ``at``; those in quotes do not count."""
    depth, quote = 1, ""
    while at < len(source):
        character = source[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if not depth:
                return at + 1
        at += 1
    raise ExpressionError(place, "`${` without `}`; write `$${` for the characters themselves")


def _names(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name):
            if FUNCTIONS[inner.func.id].timed:
                yield NOW
        elif isinstance(inner, ast.Name) and inner.id not in FUNCTIONS:
            yield inner.id


class _Reader:
    """Reads an expression: nothing is left in the tree that the evaluator should not meet."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._left = MOST_NODES
        self._kinds: dict[type[ast.expr], Callable[[Any, int], ast.expr]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.BinOp: self._binop,
            ast.UnaryOp: self._unary,
            ast.Compare: self._compare,
            ast.BoolOp: self._within,
            ast.IfExp: self._within,
            ast.List: self._within,
            ast.Dict: self._dict,
            ast.Subscript: self._within,
            ast.Slice: self._within,
        }

    def read(self, source: str) -> ast.expr:
        if not source.strip():
            raise self._error("an expression is missing")
        if len(source) > MOST_SOURCE:
            raise self._error(f"an expression has at most {MOST_SOURCE} characters")
        return self._node(self._parse(source), 0)

    def _parse(self, source: str) -> ast.expr:
        # Line breaks mean nothing: scripts fold long expressions.
        line = " ".join(source.split("\n")).strip()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                return ast.parse(line, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            cause = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
            hint = ""
            if "=" in source and "==" not in source:
                hint = "; `==` compares"
            elif "&&" in source or "||" in source:
                hint = "; write `and`, `or`, `not`"
            raise self._error(f"{_short(source)} is no expression: {cause}{hint}") from None

    def _error(self, text: str) -> ExpressionError:
        return ExpressionError(self._place, text)

    def _node(self, node: ast.expr, depth: int) -> ast.expr:
        self._left -= 1
        if self._left < 0 or depth > DEEPEST_NODE:
            raise self._error(f"an expression has at most {MOST_NODES} parts")
        read = self._kinds.get(type(node))
        if read is None:
            raise self._error(
                f"{_written(node)} cannot stand in an expression: "
                f"{_WHAT.get(type(node), type(node).__name__)}"
            )
        return read(node, depth + 1)

    def _within(self, node: Any, depth: int) -> ast.expr:
        for name, inner in ast.iter_fields(node):
            if isinstance(inner, ast.expr):
                setattr(node, name, self._node(inner, depth))
            elif isinstance(inner, list):
                setattr(node, name, [self._node(item, depth) for item in inner])
        return cast(ast.expr, node)

    def _constant(self, node: ast.Constant, depth: int) -> ast.expr:
        value: object = node.value
        if isinstance(value, bytes | complex) or value is ...:
            raise self._error(f"{_written(node)} is no value that scripts know")
        if isinstance(value, int | float) and not abs(value) <= MOST_NUMBER:
            raise self._error("a number is too large")
        return node

    def _name(self, node: ast.Name, depth: int) -> ast.expr:
        if node.id in CONSTANTS:
            return ast.Constant(CONSTANTS[node.id])
        if node.id in FUNCTIONS:
            raise self._error(f"`{node.id}` is a function: write `{node.id}(...)`")
        if node.id.startswith("_"):
            raise self._error(f"`{node.id}`: names begin with a letter")
        return node

    def _attribute(self, node: ast.Attribute, depth: int) -> ast.expr:
        node.value = self._node(node.value, depth)
        return node

    def _call(self, node: ast.Call, depth: int) -> ast.expr:
        if not isinstance(node.func, ast.Name):
            raise self._error(
                f"{_written(node)}: values have no functions of their own; write `lower(name)`"
            )
        name = node.func.id
        function = FUNCTIONS.get(name)
        if function is None:
            near = suggestion(name, FUNCTIONS)
            raise self._error(f"there is no function `{name}`{near or ': ' + ', '.join(FUNCTIONS)}")
        if node.keywords:
            raise self._error(f"{name}() takes its arguments by their order, not by name")
        if not function.least <= len(node.args) <= function.most:
            raise self._error(f"{name}() takes {_arguments(function)}, not {len(node.args)}")
        node.args = [self._node(argument, depth) for argument in node.args]
        if name == "matches" and isinstance(node.args[1], ast.Constant):
            self._check_pattern(node.args[1].value)
        return node

    def _check_pattern(self, pattern: object) -> None:
        try:
            compile_pattern(pattern if isinstance(pattern, str) else "(")
        except FunctionRefused as error:
            raise self._error(str(error)) from None

    def _binop(self, node: ast.BinOp, depth: int) -> ast.expr:
        if type(node.op) not in _OPERATORS:
            raise self._error(f"{_written(node)}: there are + - * / // % **")
        return self._within(node, depth)

    def _unary(self, node: ast.UnaryOp, depth: int) -> ast.expr:
        if isinstance(node.op, ast.Invert):
            raise self._error(f"{_written(node)}: there are -, + and not")
        return self._within(node, depth)

    def _compare(self, node: ast.Compare, depth: int) -> ast.expr:
        if any(isinstance(sign, ast.Is | ast.IsNot) for sign in node.ops):
            raise self._error(f"{_written(node)}: == and != compare")
        node.left = self._node(node.left, depth)
        node.comparators = [self._node(item, depth) for item in node.comparators]
        return node

    def _dict(self, node: ast.Dict, depth: int) -> ast.expr:
        for key in node.keys:
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                raise self._error("a mapping's keys are texts in quotes")
        node.values = [self._node(item, depth) for item in node.values]
        return node


_WHAT: dict[type[ast.expr], str] = {
    ast.JoinedStr: "texts are put together by +",
    ast.Lambda: "there are no functions to be made",
    ast.ListComp: "there are no loops",
    ast.GeneratorExp: "there are no loops",
    ast.Tuple: "a list stands in square brackets",
    ast.Set: "a list stands in square brackets",
    ast.NamedExpr: "the step `set` gives variables their values",
}


def _arguments(function: Function) -> str:
    least, most = function.least, function.most
    count = str(least) if least == most else f"{least} to {most}"
    return f"{count} argument{'' if most == 1 else 's'}"


class _NoValue(Exception):
    """A part has no value."""


def _numbers(work: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Arithmetic: of numbers alone, since ``*`` and ``%`` of texts can make very long ones."""

    def checked(left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TypeError
        return check_value(work(left, right))

    return checked


def _add(left: Any, right: Any) -> Any:
    if type(left) is not type(right) or isinstance(left, dict):
        return _numbers(operator.add)(left, right)
    return check_value(left + right)


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > HIGHEST_EXPONENT or abs(base) > MOST_NUMBER:
        raise TooMuch("a power is too large")
    return base**exponent


def _ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An order of values; null, for what was not answered, is neither less nor more than any."""

    def checked(left: Any, right: Any) -> Any:
        return left is not None and right is not None and compare(left, right)

    return checked


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _add,
    ast.Sub: _numbers(operator.sub),
    ast.Mult: _numbers(operator.mul),
    ast.Div: _numbers(operator.truediv),
    ast.FloorDiv: _numbers(operator.floordiv),
    ast.Mod: _numbers(operator.mod),
    ast.Pow: _numbers(_power),
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: lambda item, where: operator.contains(where, item),
    ast.NotIn: lambda item, where: not operator.contains(where, item),
}


class _Evaluator(SimpleEval):  # type: ignore[misc]
    """simpleeval over trees that :class:`_Reader` has read.

    Its own search of every value for functions and modules is left out: a scope has JSON alone,
    and searching all of an HTTP answer at each of its keys would take long.
    """

    def __init__(self) -> None:
        super().__init__(operators=dict(_OPERATORS), functions={}, names={})
        self.nodes |= {ast.List: self._eval_list, ast.Dict: self._eval_dict}

    def evaluate(self, node: ast.expr, scope: Mapping[str, Json]) -> object:
        self.names = scope
        return self._eval(node)

    def _eval(self, node: ast.expr) -> Any:
        return self.nodes[type(node)](node)

    def _eval_name(self, node: ast.Name) -> Any:
        try:
            return self.names[node.id]
        except KeyError:
            raise _NoValue(f"`{node.id}` has been given none") from None

    def _eval_call(self, node: ast.Call) -> Any:
        function = FUNCTIONS[cast(ast.Name, node.func).id]
        given = [self._eval(argument) for argument in node.args]
        return function.call(self._now(), *given) if function.timed else function.call(*given)

    def _now(self) -> Json:
        if NOW not in self.names:
            raise _NoValue("the time is not known here")
        return self.names[NOW]

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        # A key of a mapping and nothing else: values have no attributes here.
        return self._part(node.value, node.attr, f"`{node.attr}`")

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        constant = isinstance(node.slice, ast.Constant)
        return self._part(
            node.value, self._eval(node.slice), _written(node.slice) if constant else "such part"
        )

    def _part(self, whole: ast.expr, key: Any, called: str) -> Any:
        container = self._eval(whole)
        try:
            return container[key]
        except (KeyError, IndexError, TypeError):
            text = f"{_written(whole)} has no {called}; get() has a default"
            raise _NoValue(text) from None

    def _eval_list(self, node: ast.List) -> list[Any]:
        return [self._eval(item) for item in node.elts]

    def _eval_dict(self, node: ast.Dict) -> dict[str, Any]:
        keys = (cast(ast.Constant, key).value for key in node.keys)
        return {str(key): self._eval(value) for key, value in zip(keys, node.values, strict=True)}


class _PerThread(threading.local):
    """An evaluator has the scope of what it evaluates: one for each thread."""

    def __init__(self) -> None:
        self.one = _Evaluator()


_EVALUATORS = _PerThread()
