"""A grammar as it is matched: for each rule a network of states, with edges that take words,
other rules, or nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .expansion import (
    Alternatives,
    Expansion,
    GrammarError,
    Mode,
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
from .semantics import Script, TagFormat, parse_tag
from .text import joins_words, keys_of, language_of, normalize_word

MAX_STATES = 50_000
MAX_REPEATED_STATES = 5_000
STATES_OF_A_PART = 4
"""Repetitions are written out. What becomes of a grammar is bounded by its own length, and by so
many states beyond that: a few bytes of somebody else's must not become megabytes."""
LATER = 1e-6
"""What it costs that an alternative stands behind another one: it decides between equal ones."""
GARBAGE_COST = 1_000.0
MAX_WEIGHT_COST = 50.0


@dataclass(slots=True)
class State:
    """One state. ``words`` takes a phrase to the states behind it, with the cost of each; ``free``
    takes nothing; ``calls`` take a rule, by its start. ``garbage`` takes any one word. ``ends`` is
    the start of the rule that ends here."""

    words: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    free: list[tuple[int, float, Script | None]] = field(default_factory=list)
    calls: list[tuple[int, int]] = field(default_factory=list)
    garbage: int | None = None
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """All states; ``start`` is that of the root, ``end`` where it has matched. ``names`` are the
    rules' names by their starts.

    ``joined``: words may stand together without a space.
    """

    states: tuple[State, ...]
    names: dict[int, str]
    start: int
    end: int
    mode: Mode
    joined: bool


def productive(rules: dict[str, Rule]) -> frozenset[str]:
    """Names of the rules that some text matches."""
    found: set[str] = set()
    users: dict[str, set[str]] = {}
    for rule in rules.values():
        for part in walk(rule.expansion):
            if isinstance(part, RuleRef):
                users.setdefault(part.name, set()).add(rule.name)
    pending = list(rules)
    while pending:
        name = pending.pop()
        if name not in found and can_match(rules[name].expansion, found):
            found.add(name)
            pending.extend(users.get(name, ()))
    return frozenset(found)


def can_match(expansion: Expansion, rules: set[str] | frozenset[str]) -> bool:
    """Whether some text matches, given the rules that some text matches."""
    match expansion:
        case RuleRef(name):
            return name in rules
        case Special(kind):
            return kind != "VOID"
        case Alternatives(items):
            return any(can_match(item, rules) for item in items)
        case Repeat(item, minimum):
            return minimum == 0 or can_match(item, rules)
    return all(can_match(part, rules) for part in parts_of(expansion))


def build(
    rules: dict[str, Rule], root: str, mode: Mode, locale: str, tag_format: TagFormat
) -> Network:
    """GrammarError: a rule is missing, the root can never match, or it is too large."""
    return _Builder(rules, mode, locale, tag_format).build(root)


def _length(expansion: Expansion) -> int:
    """Parts and words of an expansion."""
    parts = walk(expansion)
    return sum(1 + (len(part.words) if isinstance(part, Words) else 0) for part in parts)


class _Builder:
    def __init__(
        self, rules: dict[str, Rule], mode: Mode, locale: str, tag_format: TagFormat
    ) -> None:
        self._rules = rules
        self._mode = mode
        self._language = language_of(locale)
        self._joined = mode == "dtmf" or joins_words(locale)
        self._tag_format = tag_format
        self._possible = productive(rules)
        self._states: list[State] = []
        own = sum(_length(rule.expansion) for rule in rules.values())
        self._most = min(MAX_STATES, MAX_REPEATED_STATES + STATES_OF_A_PART * own)
        self._starts: dict[str, int] = {}

    def build(self, root: str) -> Network:
        if root not in self._possible:
            raise GrammarError(f"no text can match the root rule {root}")
        for name in sorted(self._possible):
            self._starts[name] = self._state()
        end = -1
        for name in sorted(self._possible):
            last = self._add(self._rules[name].expansion, self._starts[name])
            if self._states[last].ends is not None or last == self._starts[name]:
                last = self._free(last, self._state())
            self._states[last].ends = self._starts[name]
            end = last if name == root else end
        for state in self._states:
            state.lengths = tuple({len(phrase) for phrase in state.words})
        names = {start: name for name, start in self._starts.items()}
        states = tuple(self._states)
        return Network(states, names, self._starts[root], end, self._mode, self._joined)

    def _state(self) -> int:
        if len(self._states) >= self._most:
            raise GrammarError(
                f"the grammar is too large: written out, it has more than {self._most} states; "
                "lower its repetitions"
            )
        self._states.append(State())
        return len(self._states) - 1

    def _free(self, at: int, to: int, cost: float = 0.0, tag: Script | None = None) -> int:
        self._states[at].free.append((to, cost, tag))
        return to

    def _add(self, expansion: Expansion, at: int) -> int:
        """Edges of an expansion that can match, from a state on; the state behind it."""
        match expansion:
            case Words(words):
                to = self._add_words(words, at)
            case Sequence(items):
                to = at
                for item in items:
                    to = self._add(item, to)
            case Alternatives(items, weights):
                to = self._add_alternatives(items, weights, at)
            case Repeat(item, minimum, maximum):
                to = self._add_repeat(item, minimum, maximum, at)
            case RuleRef(name):
                to = self._state()
                self._states[at].calls.append((self._starts[name], to))
            case Tag(text):
                to = self._free(at, self._state(), tag=parse_tag(text, self._tag_format))
            case Special(kind):
                to = self._add_garbage(at) if kind == "GARBAGE" else at
        return to

    def _add_garbage(self, at: int) -> int:
        # A state of its own: whoever comes by here later must not get into the loop.
        at = self._free(at, self._state())
        self._states[at].garbage = at
        return self._free(at, self._state())

    def _phrases(self, words: tuple[str, ...]) -> list[str]:
        """What is looked for in one piece: all of the words, or, where words may stand together
        and keys come one by one, each of them."""
        if self._mode == "dtmf":
            return [key for word in words for key in keys_of(word)]
        normal = " ".join(normalize_word(word, self._language) for word in words).split()
        return normal if self._joined else [" ".join(normal)] if normal else []

    def _add_words(self, words: tuple[str, ...], at: int, cost: float = 0.0) -> int:
        phrases = self._phrases(words)
        if not phrases:
            return self._free(at, self._state(), cost)
        for phrase in phrases:
            to = self._state()
            self._states[at].words.setdefault(phrase, []).append((to, cost))
            at, cost = to, 0.0
        return at

    def _add_alternatives(
        self, items: tuple[Expansion, ...], weights: tuple[float, ...], at: int
    ) -> int:
        end = self._state()
        heaviest = max(weights, default=1.0) or 1.0
        for index, item in enumerate(items):
            if not can_match(item, self._possible):
                continue
            weight = (weights[index] if weights else 1.0) / heaviest
            cost = MAX_WEIGHT_COST if weight <= 0 else min(-math.log(weight), MAX_WEIGHT_COST)
            self._free(self._add_branch(item, at, cost + index * LATER), end)
        return end

    def _add_branch(self, item: Expansion, at: int, cost: float) -> int:
        """An alternative. Its first words are looked up in one dictionary with those of the
        others, so that a list of thousands costs no more than a short one."""
        parts = item.items if isinstance(item, Sequence) else (item,)
        if parts and isinstance(parts[0], Words):
            at = self._add_words(parts[0].words, at, cost)
            parts = parts[1:]
        else:
            at = self._free(at, self._state(), cost)
        return self._add(Sequence(parts), at)

    def _add_repeat(self, item: Expansion, minimum: int, maximum: int | None, at: int) -> int:
        if not can_match(item, self._possible):
            return at
        for _ in range(minimum):
            at = self._add(item, at)
        if maximum is None:
            loop = self._free(at, self._state())
            self._free(self._add(item, loop), loop)
            return self._free(loop, self._state())
        end = self._state()
        for _ in range(maximum - minimum):
            self._free(at, end)
            at = self._add(item, self._free(at, self._state()))
        return self._free(at, end)
