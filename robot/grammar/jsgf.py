"""JSGF, the grammar form of pocketsphinx, written.

It has words alone: what they mean is found by :meth:`Grammar.match` in what was recognized.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .expansion import (
    Alternatives,
    Expansion,
    GrammarError,
    Repeat,
    Rule,
    RuleRef,
    Sequence,
    Special,
    Tag,
    Words,
    parts_of,
    walk,
)
from .link import mapped
from .model import Grammar
from .network import can_match, productive
from .text import language_of, normalize_word

MAX_WORDS = 50_000
"""Words of a grammar with every rule written out in its place, as the engine does it."""
_NOTHING = "<NULL>"
_MARKS = re.compile(r"[;=|*+<>()\[\]{}\"/\\]")
"""What no word can have: it means something in JSGF."""


@dataclass(frozen=True, slots=True)
class Jsgf:
    """A grammar as JSGF; ``unknown`` are words that the dictionary does not have: what needs them
    was left out. ``words`` are the others."""

    text: str
    words: tuple[str, ...]
    unknown: tuple[str, ...]


def write(grammar: Grammar, known: Callable[[str], bool] = lambda _: True) -> Jsgf:
    """Write a spoken grammar with the words that a dictionary knows.

    GARBAGE is left out: the engine has nothing for it. GrammarError: the grammar is for keys, is
    recursive, is too large, or nothing of it can be said with those words.
    """
    if grammar.mode != "voice":
        raise GrammarError("a speech engine takes no grammar of keys")
    written = _Writer(grammar, known)
    return Jsgf(written.text(), tuple(sorted(written.words)), tuple(sorted(written.unknown)))


class _Writer:
    def __init__(self, grammar: Grammar, known: Callable[[str], bool]) -> None:
        self._grammar = grammar
        self._known = known
        self._language = language_of(grammar.locale)
        self.words: set[str] = set()
        self.unknown: set[str] = set()
        rules = {
            rule.name: Rule(rule.name, mapped(rule.expansion, self._spoken))
            for rule in _reachable(grammar)
        }
        possible = productive(rules)
        if grammar.root not in possible:
            words = ", ".join(sorted(self.unknown)[:20])
            raise GrammarError(f"nothing can be said: the dictionary does not have {words}")
        self._rules = {name: rules[name] for name in rules if name in possible}
        self._possible = possible
        self._names = {name: f"r{number}" for number, name in enumerate(self._rules)}

    def _spoken(self, part: Expansion) -> Expansion:
        """The words of a part as the dictionary has them; VOID if it lacks one."""
        if not isinstance(part, Words):
            return part
        words = " ".join(normalize_word(word, self._language) for word in part.words).split()
        missing = {word for word in words if _MARKS.search(word) or not self._known(word)}
        self.unknown |= missing
        if missing:
            return Special("VOID")
        self.words.update(words)
        return Words(tuple(words)) if words else Special("NULL")

    def text(self) -> str:
        order = _used(self._rules, self._grammar.root, self._possible)
        check_size(self._rules, order)
        lines = ["#JSGF V1.0 UTF-8;", "grammar ringwheel;"]
        for name in reversed(order):
            public = "public " if name == self._grammar.root else ""
            body = self._written(self._rules[name].expansion)
            lines.append(f"{public}<{self._names[name]}> = {body};")
        return "\n".join(lines) + "\n"

    def _written(self, expansion: Expansion) -> str:
        match expansion:
            case Words(words):
                text = " ".join(words)
            case Sequence(items):
                parts = [self._written(item) for item in items]
                text = " ".join(part for part in parts if part != _NOTHING) or _NOTHING
            case Alternatives(items, weights):
                text = self._written_alternatives(items, weights)
            case Repeat():
                text = self._written_repeat(expansion)
            case RuleRef(name):
                text = f"<{self._names[name]}>"
            case Special() | Tag():
                text = _NOTHING
        return text

    def _written_alternatives(
        self, items: tuple[Expansion, ...], weights: tuple[float, ...]
    ) -> str:
        parts = []
        for index, item in enumerate(items):
            if can_match(item, self._possible):
                # No weight is nothing: the engine takes its logarithm.
                weight = f"/{max(weights[index], 1e-6):.6f}/ " if weights else ""
                parts.append(weight + self._written(item))
        return f"({' | '.join(parts)})"

    def _written_repeat(self, repeat: Repeat) -> str:
        if not can_match(repeat.item, self._possible):
            return _NOTHING
        one = self._written(repeat.item)
        if one == _NOTHING:
            return _NOTHING
        one = f"({one})"
        parts = [one] * repeat.minimum
        if repeat.maximum is None:
            parts.append(f"{one}*")
        else:
            more = repeat.maximum - repeat.minimum
            parts.append(f"[{one} " * more + "]" * more)
        return " ".join(part for part in parts if part) or _NOTHING


def _reachable(grammar: Grammar) -> list[Rule]:
    """The rules that the root refers to, in whatever way; the root first."""
    found = {grammar.root: grammar.by_name[grammar.root]}
    pending = [grammar.root]
    while pending:
        for part in walk(found[pending.pop()].expansion):
            if isinstance(part, RuleRef) and part.name not in found:
                found[part.name] = grammar.by_name[part.name]
                pending.append(part.name)
    return list(found.values())


def _used(rules: Mapping[str, Rule], root: str, possible: frozenset[str]) -> list[str]:
    """The rules that the root needs, each behind those that it needs itself.

    GrammarError: one needs itself.
    """
    done: dict[str, None] = {}
    open_rules = [root]
    begun: set[str] = set()
    while open_rules:
        name = open_rules[-1]
        if name not in begun:
            begun.add(name)
            needed = {
                part.name
                for part in walk(rules[name].expansion)
                if isinstance(part, RuleRef) and part.name in possible
            }
            if looped := needed & begun - done.keys():
                raise GrammarError(f"rule {min(looped)} is recursive: the speech engine takes none")
            open_rules.extend(sorted(needed - done.keys()))
        else:
            open_rules.pop()
            done[name] = None
    return list(done)


def check_size(rules: Mapping[str, Rule], order: list[str]) -> None:
    """GrammarError: written out, the rules have too many words."""
    sizes: dict[str, int] = {}

    def size_of(expansion: Expansion) -> int:
        match expansion:
            case RuleRef(name):
                return sizes.get(name, 0) + 1
            case Words(words):
                return len(words)
            case Repeat(item, minimum, maximum):
                return size_of(item) * max(minimum + 1 if maximum is None else maximum, 1)
        return 1 + sum(size_of(part) for part in parts_of(expansion))

    for name in order:
        sizes[name] = size_of(rules[name].expansion)
        if sizes[name] > MAX_WORDS:
            raise GrammarError(
                f"rule {name} has more than {MAX_WORDS} words for the speech engine: "
                "lower its repetitions"
            )
