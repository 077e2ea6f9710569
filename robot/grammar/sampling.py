"""Random sentences of a grammar: for callers who are simulated."""

from __future__ import annotations

import random

from .expansion import Alternatives, Expansion, Repeat, RuleRef, Sequence, Special, Words
from .model import Grammar

MAX_WORDS = 60
MAX_NESTED = 40
MORE = 0.3
"""How often something that may be said once more is said once more."""


class _TooLong(Exception):
    """The sentence does not come to its end."""


def random_sentence(grammar: Grammar, chance: random.Random) -> str | None:
    """One that fits, by the weights of its alternatives; None where none is found that is short."""
    words: list[str] = []
    try:
        _say(grammar.by_name[grammar.root].expansion, grammar, chance, words, 0)
    except _TooLong:
        return None
    return " ".join(words)


def _say(
    part: Expansion, grammar: Grammar, chance: random.Random, words: list[str], nested: int
) -> None:
    if nested > MAX_NESTED or len(words) > MAX_WORDS:
        raise _TooLong
    match part:
        case Words(said):
            words.extend(said)
        case Sequence(items):
            for item in items:
                _say(item, grammar, chance, words, nested + 1)
        case Alternatives(items, weights):
            (item,) = chance.choices(items, weights or None)
            _say(item, grammar, chance, words, nested + 1)
        case Repeat(item, minimum, maximum, probability):
            for _ in range(_times(minimum, maximum, probability or MORE, chance)):
                _say(item, grammar, chance, words, nested + 1)
        case RuleRef(name):
            _say(grammar.by_name[name].expansion, grammar, chance, words, nested + 1)
        case Special("VOID"):
            raise _TooLong


def _times(minimum: int, maximum: int | None, more: float, chance: random.Random) -> int:
    times = minimum
    while times <= MAX_WORDS and (maximum is None or times < maximum) and chance.random() < more:
        times += 1
    return times
