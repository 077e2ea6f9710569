"""What rules are made of (SRGS 1.0, section 2): words, and ways to put them together.

All of it is immutable. Bounds hold for what a file has as for what a program builds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Mode = Literal["voice", "dtmf"]

MAX_DEPTH = 64
"""How deeply expansions may stand in each other."""
MAX_REPEATS = 10_000
MAX_WORD_CHARS = 100
MAX_WEIGHT = 1e9
_RULE_NAME = re.compile(r"[^\W\d][\w-]{0,99}")
"""A rule's name is an identifier of XML and of ABNF as well (SRGS 1.0, 3.1)."""
_NO_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class GrammarError(ValueError):
    """A grammar that cannot be used, or a text that cannot be read for it.

    ``line`` and ``column`` count from 1, and are None for what has no source.
    """

    def __init__(self, cause: str, line: int | None = None, column: int | None = None) -> None:
        place = "" if line is None else f"line {line}, column {column}: "
        super().__init__(place + cause)
        self.cause = cause
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Words:
    """Words, or keys, one after the other, as they were written."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    items: tuple[Expansion, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """One of them. ``weights`` is empty, or has one for each."""

    items: tuple[Expansion, ...]
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """Between ``minimum`` and ``maximum`` times; None is as often as one likes.

    ``probability`` of one more time is for recognizers (SRGS 1.0, 2.5.1).
    """

    item: Expansion
    minimum: int = 0
    maximum: int | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class RuleRef:
    """What another rule of the grammar says."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """NULL is always there, VOID never, GARBAGE is any words (SRGS 1.0, 2.2.3)."""

    kind: Literal["NULL", "VOID", "GARBAGE"]


@dataclass(frozen=True, slots=True)
class Tag:
    """What the words before it mean, in the grammar's ``tag_format``."""

    text: str


Expansion = Words | Sequence | Alternatives | Repeat | RuleRef | Special | Tag


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule; others' grammars may refer to it if it is ``public``."""

    name: str
    expansion: Expansion
    public: bool = False


def optional(item: Expansion) -> Repeat:
    """It may be there or not."""
    return Repeat(item, 0, 1)


def parts_of(expansion: Expansion) -> tuple[Expansion, ...]:
    """What stands in it, in order."""
    match expansion:
        case Sequence(items) | Alternatives(items):
            return items
        case Repeat(item):
            return (item,)
    return ()


def simple(expansion: Expansion) -> Expansion:
    """The same, as simple as it can be: what is read again after it was written is equal to it.

    It does not go deeper than ``walk`` has found it to be.
    """
    simpler = expansion
    match expansion:
        case Words(words):
            split = tuple(part for word in words for part in word.replace('"', " ").split())
            simpler = Words(split) if split else Special("NULL")
        case Sequence(items):
            simpler = _simple_sequence(items)
        case Alternatives((item,)) | Repeat(item, 1, 1):
            simpler = simple(item)
        case Alternatives(items, weights):
            floats = tuple(round(float(weight), 9) for weight in weights)
            parts = tuple(simple(item) for item in items)
            simpler = Alternatives(parts, floats if set(floats) - {1.0} else ())
        case Repeat(item, minimum, maximum, probability):
            rounded = None if probability is None else round(float(probability), 9)
            simpler = Repeat(simple(item), minimum, maximum, rounded)
        case Tag(text):
            simpler = Tag(text.strip())
    return simpler


def _simple_sequence(items: tuple[Expansion, ...]) -> Expansion:
    flat: list[Expansion] = []
    for item in items:
        simpler = simple(item)
        for part in simpler.items if isinstance(simpler, Sequence) else (simpler,):
            if isinstance(part, Words) and flat and isinstance(flat[-1], Words):
                flat[-1] = Words(flat[-1].words + part.words)
            elif part != Special("NULL"):
                flat.append(part)
    return Sequence(tuple(flat)) if len(flat) > 1 else flat[0] if flat else Special("NULL")


def walk(expansion: Expansion) -> Iterator[Expansion]:
    """It and all that stands in it, in order. GrammarError: it goes too deep."""
    pending = [(expansion, 1)]
    while pending:
        found, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise GrammarError(f"expansions stand in each other more than {MAX_DEPTH} deep")
        yield found
        pending.extend((part, depth + 1) for part in reversed(parts_of(found)))


def check_rule(rule: Rule) -> None:
    """GrammarError: the rule breaks a bound, or cannot be written down."""
    if not _RULE_NAME.fullmatch(rule.name) or rule.name in {"NULL", "VOID", "GARBAGE"}:
        raise GrammarError(f"rule name {rule.name!r}: a letter, then letters, digits, - and _")
    for found in walk(rule.expansion):
        try:
            _check(found)
        except GrammarError as error:
            raise GrammarError(f"rule {rule.name}: {error.cause}") from None


def _check_text(text: str) -> None:
    if found := _NO_TEXT.search(text):
        raise GrammarError(f"{found[0]!r} cannot be in a grammar")


def _check(expansion: Expansion) -> None:
    match expansion:
        case Words(words):
            if any(not word.strip() or len(word) > MAX_WORD_CHARS for word in words):
                raise GrammarError(f"a word is empty, or longer than {MAX_WORD_CHARS} characters")
            _check_text("".join(words))
        case Tag(text):
            _check_text(text)
        case Alternatives(items, weights):
            if not items:
                raise GrammarError("alternatives without one")
            if weights and len(weights) != len(items):
                raise GrammarError("weights are given for some alternatives only")
            if any(not 0 <= weight <= MAX_WEIGHT for weight in weights):
                raise GrammarError(f"a weight is a number from 0 to {MAX_WEIGHT:.0f}")
        case Repeat(_, minimum, maximum, probability):
            most = minimum if maximum is None else maximum
            if not 0 <= minimum <= most <= MAX_REPEATS:
                raise GrammarError(
                    f"repeated {minimum} to {maximum} times: 0 to {MAX_REPEATS}, the lower first"
                )
            if probability is not None and not 0 <= probability <= 1:
                raise GrammarError("a repeat probability lies between 0 and 1")
        case _:
            pass
