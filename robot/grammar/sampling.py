"""Random sentences of a grammar: for callers that are simulated, and to show what it takes."""

from __future__ import annotations

import random
from functools import lru_cache

from .expansion import (
    Alternatives,
    Expansion,
    GrammarError,
    Repeat,
    RuleRef,
    Sequence,
    Words,
    walk,
)
from .model import Grammar
from .network import can_match, productive
from .text import keys_of

MAX_STEPS = 5_000
MORE = 0.5
"""How likely one more time is, where nothing else is said."""
DEEP = 12
"""Rules in rules; deeper, the shortest way out is taken."""


class Sampler:
    """Gives sentences of one grammar."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._possible = productive(dict(grammar.by_name))
        self._heights = _heights(grammar, self._possible)

    def sentence(self, chance: random.Random) -> str:
        """Words with a space between them, or keys with none. Alternatives are taken by their
        weights. GrammarError: the grammar has no sentence of a reasonable length."""
        words: list[str] = []
        pending: list[tuple[Expansion, int]] = [(RuleRef(self._grammar.root), 0)]
        for _ in range(MAX_STEPS):
            if not pending:
                break
            part, depth = pending.pop()
            match part:
                case Words(said):
                    words += said
                case Sequence(items):
                    pending.extend((item, depth) for item in reversed(items))
                case Alternatives(items, weights):
                    pending.append((self._choose(items, weights, depth, chance), depth))
                case Repeat():
                    pending.extend([(part.item, depth)] * self._times(part, depth, chance))
                case RuleRef(name):
                    pending.append((self._grammar.by_name[name].expansion, depth + 1))
        if pending:
            raise GrammarError(f"no sentence was found in {MAX_STEPS} steps")
        if self._grammar.mode == "voice":
            return " ".join(words)
        return "".join(key for word in words for key in keys_of(word))

    def _choose(
        self,
        items: tuple[Expansion, ...],
        weights: tuple[float, ...],
        depth: int,
        chance: random.Random,
    ) -> Expansion:
        known = range(len(items))
        possible = [index for index in known if can_match(items[index], self._possible)]
        if depth > DEEP:
            return min((items[index] for index in possible), key=self._height)
        shares = [weights[index] if weights else 1.0 for index in possible]
        chosen = chance.choices(possible, shares)[0] if sum(shares) else chance.choice(possible)
        return items[chosen]

    def _times(self, repeat: Repeat, depth: int, chance: random.Random) -> int:
        times = repeat.minimum
        if depth > DEEP or not can_match(repeat.item, self._possible):
            return times
        more = MORE if repeat.probability is None else repeat.probability
        most = repeat.minimum + 20 if repeat.maximum is None else repeat.maximum
        while times < most and chance.random() < more:
            times += 1
        return times

    def _height(self, expansion: Expansion) -> int:
        return _height(expansion, self._heights)


_sampler = lru_cache(maxsize=64)(Sampler)


def random_sentence(grammar: Grammar, chance: random.Random) -> str | None:
    """One that fits; None where none of a reasonable length was found."""
    try:
        return _sampler(grammar).sentence(chance)
    except GrammarError:
        return None


def _heights(grammar: Grammar, possible: frozenset[str]) -> dict[str, int]:
    """How deeply rules must at least stand in each other below each rule."""
    users: dict[str, set[str]] = {}
    for name in possible:
        for part in walk(grammar.by_name[name].expansion):
            if isinstance(part, RuleRef):
                users.setdefault(part.name, set()).add(name)
    heights: dict[str, int] = {}
    pending = sorted(possible)
    for height in range(1, len(possible) + 1):
        # One round finds the rules of one height: the others have rules in them that are higher.
        found = [
            name
            for name in dict.fromkeys(pending)
            if name not in heights and _height(grammar.by_name[name].expansion, heights) < height
        ]
        heights.update(dict.fromkeys(found, height))
        pending = [user for name in found for user in sorted(users.get(name, ()))]
    return heights


_NEVER = 1_000_000


def _height(expansion: Expansion, heights: dict[str, int]) -> int:
    match expansion:
        case RuleRef(name):
            return heights.get(name, _NEVER)
        case Alternatives(items):
            return min(_height(item, heights) for item in items)
        case Sequence(items):
            return max(_height(item, heights) for item in items)
        case Repeat(item, minimum):
            return _height(item, heights) if minimum else 0
    return 0
