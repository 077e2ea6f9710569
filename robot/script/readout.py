"""Values as words of a language: numbers, dates, times, amounts and lists that are read out.

The words of numbers, months and currencies are CLDR's (unicode-rbnf, Babel); what CLDR has no data
for is how a date or an amount is said with them, and stands here, for the languages of `LANGUAGES`.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from .model import Json, SayAs

if TYPE_CHECKING:
    from unicode_rbnf import RbnfEngine

MAX_NUMBER = Decimal(10) ** 15
MAX_DECIMALS = 9
MAX_ITEMS = 50
MAX_CHARACTERS = 100

MASCULINE = ("spellout-cardinal-masculine", "spellout-cardinal", "spellout-numbering")
FEMININE = ("spellout-cardinal-feminine", "spellout-cardinal", "spellout-numbering")
PLAIN = ("spellout-numbering",)
ORDINAL = ("spellout-ordinal-masculine", "spellout-ordinal")
YEAR = ("spellout-numbering-year", "spellout-numbering")


class ReadoutError(ValueError):
    """A value cannot be read out so; the message says why."""


@dataclass(frozen=True, slots=True)
class Language:
    """How a language says a date, a time and an amount with the words that CLDR has.

    ``minus`` and ``point`` are a number's, since CLDR's rules do not read all of them. ``day`` is
    the day's word, ``time`` hour and minute, ``amount`` the units with their currency and the
    hundredths; ``feminine`` has the currencies that are.
    """

    minus: str
    point: str
    date: str
    day: Callable[[Speaker, int], str]
    time: Callable[[Speaker, int, int], str]
    amount: str
    feminine: frozenset[str] = frozenset()


class Speaker:
    """The words of one locale."""

    def __init__(self, locale: str) -> None:
        from unicode_rbnf import RbnfEngine  # noqa: PLC0415

        self.locale = locale
        self.code = locale.replace("-", "_")
        self.name = locale.split("-", maxsplit=1)[0].lower()
        self.language = LANGUAGES[self.name]
        self._engine: RbnfEngine = RbnfEngine.for_language(self.name)
        # British and most other English has an "and" behind hundreds, American has none.
        self._and = self.name == "en" and locale.lower() not in ("en", "en-us", "en-ca")

    def number(self, value: Decimal | int, rules: tuple[str, ...] = PLAIN) -> str:
        """A number in words, by the first of these rule sets that the language has."""
        if value < 0:
            return self.joined(self.language.minus, self.number(-value, rules))
        whole = int(value)
        if value != whole:
            decimals = f"{value:f}".partition(".")[2]
            digits = self.joined(*(self.number(int(digit)) for digit in decimals))
            return self.joined(self.number(whole), self.language.point, digits)
        return self._whole(whole, rules)

    def joined(self, *words: str) -> str:
        return ("" if self.name == "zh" else " ").join(words)

    def _whole(self, value: int, rules: tuple[str, ...]) -> str:
        if self.name == "zh" and value == 0:
            return "零"
        wanted = rules
        if self._and and rules is not YEAR:
            wanted = tuple(f"{rule}-verbose" for rule in rules) + rules
        found: dict[str, str] = {}
        for ruleset in wanted:
            if ruleset in self._engine.rulesets:
                found = self._engine.format_number(
                    str(value), ruleset_names=[ruleset]
                ).text_by_ruleset
            if found:
                return found[ruleset]
        raise ReadoutError(f"{self.locale} has no words for {value} as {rules[0]}")

    def month(self, number: int) -> str:
        from babel.dates import get_month_names  # noqa: PLC0415

        return str(get_month_names("wide", locale=self.code)[number])

    def year(self, number: int) -> str:
        if self.name == "zh":
            return "".join(self.number(int(digit)) for digit in str(number))
        return self.number(number, YEAR)


def _ordinal(speaker: Speaker, day: int) -> str:
    return speaker.number(day, ORDINAL)


def _ordinal_of_german(speaker: Speaker, day: int) -> str:
    return speaker.number(day, ("spellout-ordinal-r",))


def _first_ordinal(speaker: Speaker, day: int) -> str:
    """The first, and then two, three: as most Romance languages count days."""
    return speaker.number(day, ORDINAL if day == 1 else MASCULINE)


def _cardinal(speaker: Speaker, day: int) -> str:
    return speaker.number(day, MASCULINE)


def _time_of_english(speaker: Speaker, hour: int, minute: int) -> str:
    half = "a.m." if hour < 12 else "p.m."
    minutes = (
        ["", f"oh {speaker.number(minute)}"][minute > 0]
        if minute < 10
        else (speaker.number(minute))
    )
    return " ".join(word for word in (speaker.number(hour % 12 or 12), minutes, half) if word)


def _hours(
    one: str, many: str, joined: str = "", rules: tuple[str, ...] = FEMININE, end: str = ""
) -> Callable[[Speaker, int, int], str]:
    """Hours with their word, and minutes behind it."""

    def say(speaker: Speaker, hour: int, minute: int) -> str:
        # French counts in the plural from two on.
        singular = hour == 1 or (hour == 0 and speaker.name == "fr")
        said = f"{speaker.number(hour, rules)}{one if singular else many}"
        minutes = FEMININE if speaker.name == "fr" else PLAIN
        return f"{said}{joined}{speaker.number(minute, minutes)}{end}" if minute else said

    return say


LANGUAGES = {
    "en": Language(
        "minus",
        "point",
        "{month} {day}, {year}",
        _ordinal,
        _time_of_english,
        "{units} {currency} and {parts}",
    ),
    "de": Language(
        "minus",
        "Komma",
        "{day} {month} {year}",
        _ordinal_of_german,
        _hours(" Uhr", " Uhr", " ", ("spellout-cardinal-masculine",)),
        "{units} {currency} {parts}",
        frozenset({"SEK", "NOK", "DKK", "CZK", "ISK", "TRY", "INR"}),
    ),
    "fr": Language(
        "moins",
        "virgule",
        "{day} {month} {year}",
        _first_ordinal,
        _hours(" heure", " heures", " "),
        "{units} {currency} {parts}",
        frozenset({"GBP", "SEK", "NOK", "DKK", "CZK", "ISK", "TRY", "INR"}),
    ),
    "es": Language(
        "menos",
        "coma",
        "{day} de {month} de {year}",
        _first_ordinal,
        _hours(" hora", " horas", " y "),
        "{units} {currency} con {parts}",
        frozenset({"GBP", "SEK", "NOK", "DKK", "CZK", "ISK", "TRY", "INR"}),
    ),
    "it": Language(
        "meno",
        "virgola",
        "{day} {month} {year}",
        _first_ordinal,
        _hours("", "", " e "),
        "{units} {currency} e {parts}",
        frozenset({"GBP", "SEK", "NOK", "DKK", "CZK", "ISK", "TRY", "INR"}),
    ),
    "pt": Language(
        "menos",
        "vírgula",
        "{day} de {month} de {year}",
        _first_ordinal,
        _hours(" hora", " horas", " e "),
        "{units} {currency} e {parts}",
        frozenset({"GBP", "SEK", "NOK", "DKK", "CZK", "ISK", "TRY", "INR"}),
    ),
    "nl": Language(
        "min",
        "komma",
        "{day} {month} {year}",
        _cardinal,
        _hours(" uur", " uur", " ", PLAIN),
        "{units} {currency} {parts}",
    ),
    "zh": Language(
        "负",
        "点",
        "{year}年{month}{day}日",
        _cardinal,
        _hours("点", "点", "", PLAIN, "分"),
        "{whole}{currency}",
    ),
}
ENGLISH_PARTS = {
    **dict.fromkeys(("USD", "EUR", "CAD", "AUD", "NZD", "ZAR", "SGD"), ("cent", "cents")),
    "GBP": ("penny", "pence"),
}


def supported(locale: str) -> bool:
    """Whether values can be read out in this locale (BCP 47)."""
    return re.fullmatch(r"[A-Za-z]{2}(-[A-Za-z0-9]{2,8})*", locale) is not None and (
        locale[:2].lower() in LANGUAGES
    )


def currency_known(currency: str) -> bool:
    """Whether this is the code of a currency (ISO 4217)."""
    from babel.numbers import is_currency  # noqa: PLC0415

    return bool(is_currency(currency))


def read_out(value: Json, say_as: SayAs, locale: str, currency: str | None = None) -> str:
    """The value in words. ReadoutError, where it is not what it is to be read out as."""
    if say_as == "list":
        return _list(value, locale)
    speaker = _speaker(locale)
    if say_as == "amount":
        return _amount(speaker, _number(value, say_as), currency)
    return _READERS[say_as](speaker, value)


@functools.lru_cache(maxsize=64)
def _speaker(locale: str) -> Speaker:
    if not supported(locale):
        raise ReadoutError(f"nothing can be read out in {locale!r}: {', '.join(LANGUAGES)}")
    return Speaker(locale)


def _number(value: Json, say_as: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ReadoutError(f"{value!r:.40} is no {say_as}")
    try:
        number = Decimal(str(value).strip()[:MAX_CHARACTERS])
    except InvalidOperation as error:
        raise ReadoutError(f"{value!r:.40} is no {say_as}") from error
    if not number.is_finite() or abs(number) >= MAX_NUMBER:
        raise ReadoutError(f"{value!r:.40} is too large to be read out")
    number = round(number, MAX_DECIMALS)
    return (
        number.to_integral_value() if number == number.to_integral_value() else number.normalize()
    )


def _say_number(speaker: Speaker, value: Json) -> str:
    return speaker.number(_number(value, "number"))


def _say_ordinal(speaker: Speaker, value: Json) -> str:
    number = _number(value, "ordinal")
    if number < 1 or number != number.to_integral_value():
        raise ReadoutError(f"{value!r:.40} is no ordinal: they begin at 1")
    return speaker.number(int(number), ORDINAL)


def _say_digits(speaker: Speaker, value: Json) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9 .+()/-]{1,100}", text):
        raise ReadoutError(f"{value!r:.40} are no digits")
    return _separately(speaker, "".join(character for character in text if character.isdigit()))


def _say_characters(speaker: Speaker, value: Json) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ReadoutError(f"{value!r:.40} has no characters")
    return _separately(speaker, "".join(str(value).split())[:MAX_CHARACTERS])


def _separately(speaker: Speaker, text: str) -> str:
    """Character by character: digits as words, letters in upper case, as synthesizers want it."""
    said = (
        speaker.number(int(character)) if character in "0123456789" else character.upper()
        for character in text
    )
    return ("" if speaker.name == "zh" else ", " if not text.isdigit() else " ").join(said)


def _say_date(speaker: Speaker, value: Json) -> str:
    try:
        day = datetime.date.fromisoformat(value[:10] if isinstance(value, str) else "")
    except ValueError as error:
        raise ReadoutError(f"{value!r:.40} is no date: YYYY-MM-DD") from error
    language = speaker.language
    return language.date.format(
        day=language.day(speaker, day.day),
        month=speaker.month(day.month),
        year=speaker.year(day.year),
    )


def _say_time(speaker: Speaker, value: Json) -> str:
    clock = value.rpartition("T")[2] if isinstance(value, str) else ""
    found = re.match(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?![0-9])", clock)
    if found is None:
        raise ReadoutError(f"{value!r:.40} is no time: HH:MM")
    return speaker.language.time(speaker, int(found[1]), int(found[2]))


def _amount(speaker: Speaker, number: Decimal, currency: str | None) -> str:
    from babel.numbers import get_currency_name, get_currency_precision  # noqa: PLC0415

    if currency is None:
        return speaker.number(number)
    places = get_currency_precision(currency)
    number = round(number, places)
    units = int(abs(number))
    parts = int((abs(number) - units) * 10**places)
    feminine = currency in speaker.language.feminine
    rules = FEMININE if feminine else MASCULINE
    name = str(get_currency_name(currency, count=units, locale=speaker.code))
    if speaker.name == "zh" and currency == "CNY":
        name = "元"
    words = {
        "units": speaker.number(units, rules),
        "whole": speaker.number(abs(number).normalize()),
        "currency": name,
        "parts": _parts_of(speaker, parts, currency),
    }
    pattern = speaker.language.amount
    if "{whole}" not in pattern and not parts:
        pattern = "{units} {currency}"
    said = pattern.format(**words)
    return speaker.joined(speaker.language.minus, said) if number < 0 else said


def _parts_of(speaker: Speaker, parts: int, currency: str) -> str:
    one_many = ENGLISH_PARTS.get(currency) if speaker.name == "en" else None
    said = speaker.number(parts)
    return f"{said} {one_many[parts != 1]}" if one_many else said


def _list(value: Json, locale: str) -> str:
    from babel.lists import format_list  # noqa: PLC0415

    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise ReadoutError(f"{value!r:.40} is no list of at most {MAX_ITEMS} items")
    items = []
    for item in value:
        if not isinstance(item, str | int | float) or isinstance(item, bool):
            raise ReadoutError(f"{item!r:.40} cannot be read out in a list")
        items.append(
            item if isinstance(item, str) else _speaker(locale).number(_number(item, "number"))
        )
    return str(format_list(items, locale=locale.replace("-", "_"))) if items else ""


_READERS: dict[SayAs, Callable[[Speaker, Json], str]] = {
    "number": _say_number,
    "ordinal": _say_ordinal,
    "digits": _say_digits,
    "characters": _say_characters,
    "date": _say_date,
    "time": _say_time,
}
