"""Rules for all numbers between two, and no others: spoken, and typed."""

from __future__ import annotations

from .expansion import (
    Alternatives,
    Expansion,
    GrammarError,
    Rule,
    RuleRef,
    Sequence,
    Special,
    Tag,
    Words,
)
from .numerals import AND_BEFORE, MAX_SPELLED, MINUS, SCALES, below_hundred
from .text import language_of


def _said(text: str) -> Words:
    return Words(tuple(text.split()))


def check_range(minimum: int, maximum: int) -> None:
    """GrammarError: no number lies between both, or it is too large to be said."""
    if not -MAX_SPELLED <= minimum <= maximum <= MAX_SPELLED:
        raise GrammarError(
            f"numbers from {minimum} to {maximum}: up to {MAX_SPELLED} either way, the lower first"
        )


def spoken_rules(minimum: int, maximum: int, locale: str) -> tuple[Rule, ...]:
    """Rules for the numbers from ``minimum`` to ``maximum``, in words; the first is all of them."""
    check_range(minimum, maximum)
    language = language_of(locale)
    if language not in SCALES:
        known = ", ".join(sorted(SCALES))
        raise GrammarError(f"numbers in {locale!r} are not known: languages are {known}")
    spoken = SpokenRange(language)
    items: list[Expansion] = []
    if maximum >= 0:
        items.append(spoken.between(max(minimum, 0), maximum))
    if minimum < 0:
        below = spoken.between(max(1, -maximum), -minimum)
        items.append(Sequence((_said(MINUS[language]), below, Tag("out = -rules.latest()"))))
    return (Rule("range", Alternatives(tuple(items))), *spoken.rules.values())


class SpokenRange:
    """Rules for ranges, each made once. Their names have the range in them."""

    def __init__(self, language: str) -> None:
        self._language = language
        self.rules: dict[str, Rule] = {}

    def between(self, low: int, high: int) -> RuleRef:
        """A rule for the numbers from ``low`` to ``high``, neither negative, that means them."""
        name = f"n{low}to{high}"
        if name not in self.rules:
            items = self._items(low, high)
            self.rules[name] = Rule(name, Alternatives(tuple(items)))
        return RuleRef(name)

    def _items(self, low: int, high: int) -> list[Expansion]:
        if high < 100:
            return [
                Sequence((_said(name), Tag(f"out = {number}")))
                for number in range(low, high + 1)
                for name in below_hundred(number, self._language)
            ]
        scale = next(scale for scale, _ in SCALES[self._language] if scale <= high)
        items: list[Expansion] = []
        if low < scale:
            items.append(self.between(low, scale - 1))
            low = scale
        first, last = low // scale, high // scale
        # The first and the last of them are cut off; those between them are whole.
        lowest, highest = low % scale, high % scale
        if first == last:
            return [*items, self._scaled(first, last, scale, lowest, highest)]
        if lowest:
            items.append(self._scaled(first, first, scale, lowest, scale - 1))
            first += 1
        if highest < scale - 1:
            items.append(self._scaled(last, last, scale, 0, highest))
            last -= 1
        if first <= last:
            items.append(self._scaled(first, last, scale, 0, scale - 1))
        return items

    def _scaled(self, first: int, last: int, scale: int, low: int, high: int) -> Expansion:
        """So many hundreds or thousands, and what comes behind them."""
        count = Sequence((self._count(first, last, scale), Tag(f"out = {scale} * rules.latest()")))
        names = dict(SCALES[self._language])[scale]
        name = Alternatives(tuple(_said(text) for text in names))
        rest: list[Expansion] = [] if low else [Special("NULL")]
        if high:
            tail = Sequence((self.between(max(low, 1), high), Tag("out += rules.latest()")))
            rest.append(tail)
            if low <= (most := AND_BEFORE[self._language][1]):
                small = self.between(max(low, 1), min(high, most))
                link = _said(AND_BEFORE[self._language][0])
                rest.append(Sequence((link, small, Tag("out += rules.latest()"))))
        return Sequence((count, name, Alternatives(tuple(rest))))

    def _count(self, first: int, last: int, scale: int) -> Expansion:
        """How many of a scale: German and English have words of their own for one of them."""
        plain = self.between(first, last)
        if first > 1:
            return plain
        one: tuple[str, ...] = ("a",)
        if self._language == "de":
            one = ("eine", "ein") if scale > 1_000 else ("ein", "")
        name = f"one{scale}"
        said = (_said(text) if text else Special("NULL") for text in one)
        items = tuple(Sequence((item, Tag("out = 1"))) for item in said)
        self.rules[name] = Rule(name, Alternatives(items))
        return Alternatives((plain, RuleRef(name)))


def key_rules(minimum: int, maximum: int) -> tuple[Rule, ...]:
    """Rules for the numbers from ``minimum`` to ``maximum`` as they are typed, without leading
    zeros; the first is all of them. They mean what was typed, as text."""
    check_range(minimum, maximum)
    typed = _TypedRange()
    items: list[Expansion] = []
    for length in range(len(str(minimum)), len(str(maximum)) + 1):
        low = max(minimum, 10 ** (length - 1) if length > 1 else 0)
        items.append(typed.between(str(low), str(min(maximum, 10**length - 1))))
    return (Rule("range", Alternatives(tuple(items))), *typed.rules.values())


class _TypedRange:
    """Rules for ranges of digit strings of one length, each made once."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}

    def between(self, low: str, high: str) -> RuleRef:
        name = f"k{low}to{high}"
        if name not in self.rules:
            items = tuple(
                self._item(int(first), low, high) for first in range(int(low[0]), int(high[0]) + 1)
            )
            self.rules[name] = Rule(name, Alternatives(items))
        return RuleRef(name)

    def _item(self, first: int, low: str, high: str) -> Expansion:
        key = Sequence((Words((str(first),)), Tag(f'out = "{first}"')))
        if len(low) == 1:
            return key
        rest = len(low) - 1
        lowest = low[1:] if first == int(low[0]) else "0" * rest
        highest = high[1:] if first == int(high[0]) else "9" * rest
        return Sequence((key, self.between(lowest, highest), Tag("out += rules.latest()")))
