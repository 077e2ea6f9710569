"""Dates, spoken and typed: day and month, with a year or without."""

from __future__ import annotations

from typing import Literal

from .builders import known_language, meant, phrase
from .expansion import (
    Alternatives,
    Expansion,
    Mode,
    Rule,
    RuleRef,
    Sequence,
    Tag,
    Words,
    optional,
)
from .model import Grammar
from .numerals import DIGITS, below_hundred, cardinal, ordinal

Order = Literal["ymd", "dmy", "mdy"]
"""In which order a date is typed: four keys for the year, two for month and day."""

YEARS = range(1_900, 2_100)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LENGTHS = (29, 30, 31)
MONTHS = {
    "de": (
        "januar|jänner",
        "februar|feber",
        "märz",
        "april",
        "mai",
        "juni",
        "juli",
        "august",
        "september",
        "oktober",
        "november",
        "dezember",
    ),
    "en": (
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ),
}


def date(locale: str, mode: Mode = "voice", order: Order = "ymd", *, iso: bool = True) -> Grammar:
    """A date. What it means is ISO 8601, ``2026-05-03``, or ``--05-03`` without a year; or, if not
    ``iso``, that of VoiceXML 2.1, ``20260503`` and ``????0503``."""
    items: tuple[Expansion, ...]
    if mode == "dtmf":
        names = _Names({}, {}, {})
        items = tuple(_typed(length, order, iso) for length in _LENGTHS)
    else:
        language = known_language(locale, MONTHS, "dates")
        names = _names(language)
        items = tuple(_spoken(length, language, iso) for length in _LENGTHS)
    root = Rule("date", Alternatives(items), True)
    return Grammar(mode, locale, "date", (root, *names.rules()))


class _Names:
    """What days, months and years are called; by their keys where nothing else is said."""

    def __init__(
        self, days: dict[int, list[str]], months: dict[int, list[str]], years: dict[int, list[str]]
    ) -> None:
        self._days, self._months, self._years = days, months, years

    def rules(self) -> list[Rule]:
        """Rules ``dayN`` and ``monthN`` for months of N days at most, and ``year``."""
        rules = [Rule("year", _named(YEARS, self._years, 4))]
        known = 0
        for length in _LENGTHS:
            days = _named(range(known + 1, length + 1), self._days, 2)
            before: tuple[Expansion, ...] = (RuleRef(f"day{known}"),) if known else ()
            rules.append(Rule(f"day{length}", Alternatives((*before, days))))
            known = length
            months = [month for month in range(1, 13) if _MONTH_DAYS[month - 1] == length]
            rules.append(Rule(f"month{length}", _named(months, self._months, 2)))
        return rules


def _named(numbers: range | list[int], names: dict[int, list[str]], width: int) -> Alternatives:
    items: list[Expansion] = []
    for number in numbers:
        typed = f"{number:0{width}}"
        said = [phrase(name) for name in names.get(number, ())] or [Words(tuple(typed))]
        items += [meant(words, typed) for words in said]
    return Alternatives(tuple(items))


def _value(length: int, iso: bool) -> Tag:
    mark = ' + "-" + ' if iso else " + "
    return Tag(f"out = year{mark}rules.month{length}{mark}rules.day{length}")


def _typed(length: int, order: Order, iso: bool) -> Expansion:
    year = Sequence((RuleRef("year"), Tag("var year = rules.year")))
    parts: dict[str, Expansion] = {
        "y": year,
        "m": RuleRef(f"month{length}"),
        "d": RuleRef(f"day{length}"),
    }
    return Sequence((*(parts[part] for part in order), _value(length, iso)))


def _spoken(length: int, language: str, iso: bool) -> Expansion:
    day, month = RuleRef(f"day{length}"), RuleRef(f"month{length}")
    begin = Tag(f'var year = "{"-" if iso else "????"}"')
    year = optional(Sequence((RuleRef("year"), Tag("year = rules.year"))))
    if language == "de":
        article = Alternatives(tuple(phrase(word) for word in ("der", "am", "den", "dem")))
        both: Expansion = Sequence((optional(article), day, month))
    else:
        day_first = Sequence((optional(phrase("the")), day, optional(phrase("of")), month))
        both = Alternatives((day_first, Sequence((month, optional(phrase("the")), day))))
    return Sequence((begin, both, year, _value(length, iso)))


def _names(language: str) -> _Names:
    numbers = range(1, 32)
    if language == "de":
        days = {day: [ordinal(day, language) + end for end in ("", "n", "r")] for day in numbers}
        months = {month: MONTHS["de"][month - 1].split("|") + days[month] for month in range(1, 13)}
        return _Names(days, months, {year: _german_year(year) for year in YEARS})
    days = {day: [ordinal(day, language)] for day in numbers}
    months = {month: [MONTHS["en"][month - 1]] for month in range(1, 13)}
    return _Names(days, months, {year: _english_year(year) for year in YEARS})


def _english_year(year: int) -> list[str]:
    century, rest = divmod(year, 100)
    head = below_hundred(century, "en")[0]
    tail = below_hundred(rest, "en")[0]
    said = [cardinal(year, "en")]
    if rest >= 10:
        said.append(f"{head} {tail}")
    elif rest:
        said += [f"{head} {zero} {tail}" for zero in DIGITS["en"][0][1:]]
    if century == 19:
        said.append(f"nineteen hundred{f' and {tail}' if rest else ''}")
    if century == 20 and rest:
        said.append(f"two thousand and {tail}")
    return said


def _german_year(year: int) -> list[str]:
    century, rest = divmod(year, 100)
    tails = below_hundred(rest, "de")[:1] if rest else ("",)
    said = [cardinal(year, "de")]
    if century == 19:
        said += [f"neunzehn hundert {tail}" for tail in tails]
    elif rest >= 10:
        said += [f"zwanzig {tail}" for tail in tails]
    elif rest:
        said += [f"zwei tausend und {tail}" for tail in tails]
    return said
