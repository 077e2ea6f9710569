"""Numbers in words, in the locales that they are known in, and figures in a text as words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from .text import language_of, normalize

MAX_SPELLED_DIGITS = 12
MAX_FIGURES = 20
"""So many figures in one text are put into words; with more it is taken as it is."""


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _names(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names.split("|")) for names in text.split())


DIGITS = {
    "de": _names("null eins|ein zwei|zwo drei vier fünf sechs sieben acht neun"),
    "en": _names("zero|oh|o one two three four five six seven eight nine"),
    "es": _names("cero uno dos tres cuatro cinco seis siete ocho nueve"),
    "fr": _names("zéro un deux trois quatre cinq six sept huit neuf"),
    "it": _names("zero uno due tre quattro cinque sei sette otto nove"),
    "nl": _names("nul een twee drie vier vijf zes zeven acht negen"),
}
"""What each digit may be called, the usual name first."""

_EN_TEENS = _listed(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_EN_TENS = _listed("twenty thirty forty fifty sixty seventy eighty ninety")
_DE_TEENS = _listed("zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn")
_DE_TENS = _listed("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")

EN_ORDINALS = {
    1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth",
}  # fmt: skip
DE_ORDINALS = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}

SCALES: dict[str, tuple[tuple[int, tuple[str, ...]], ...]] = {
    "de": ((1_000_000, ("millionen", "million")), (1_000, ("tausend",)), (100, ("hundert",))),
    "en": ((1_000_000, ("million",)), (1_000, ("thousand",)), (100, ("hundred",))),
}
AND_BEFORE = {"de": ("und", 12), "en": ("and", 99)}
"""The word that may stand behind hundreds and thousands, and the largest number behind it."""
MAX_SPELLED = 999_999_999
POINT = {"de": "komma", "en": "point"}
THOUSANDS = {"de": ".", "en": ","}
"""The mark that may part thousands in figures."""
MINUS = {"de": "minus", "en": "minus"}
"""Languages that numbers are known in have an entry in all of these."""


def below_hundred(number: int, language: str) -> tuple[str, ...]:
    """How a number from 0 to 99 may be said, the usual way first.

    German ones are in the words that a compound is made of; written together, they match too.
    """
    return _german(number) if language == "de" else _english(number)


def _english(number: int) -> tuple[str, ...]:
    if number < 10:
        return DIGITS["en"][number][:1]
    if number < 20:
        return (_EN_TEENS[number - 10],)
    tens, unit = divmod(number, 10)
    word = _EN_TENS[tens - 2]
    return (f"{word} {DIGITS['en'][unit][0]}" if unit else word,)


def _german(number: int) -> tuple[str, ...]:
    if number < 10:
        return DIGITS["de"][number][: 1 if number == 1 else None]
    if number < 20:
        return (_DE_TEENS[number - 10],)
    tens, unit = divmod(number, 10)
    word = _DE_TENS[tens - 2]
    units = ("ein",) if unit == 1 else DIGITS["de"][unit]
    return tuple(f"{name} und {word}" for name in units) if unit else (word,)


def cardinal(number: int, language: str) -> str:
    """A number up to ``MAX_SPELLED`` in words."""
    words = []
    for scale, names in SCALES[language]:
        count, number = divmod(number, scale)
        if count:
            one = "eine" if scale > 1_000 else "ein"
            head = one if language == "de" and count == 1 else cardinal(count, language)
            words.append(f"{head} {names[-1] if count == 1 else names[0]}")
    if number or not words:
        words.append(below_hundred(number, language)[0])
    return " ".join(words)


def ordinal(number: int, language: str) -> str:
    """An ordinal number from 1 to 99; German ones end in -e."""
    if language == "de":
        ending = "te" if number < 20 else "ste"
        return DE_ORDINALS.get(number) or _german(number)[0] + ending
    tens, unit = divmod(number, 10)
    if number > 20 and unit:
        return f"{_EN_TENS[tens - 2]} {ordinal(unit, language)}"
    if number in EN_ORDINALS:
        return EN_ORDINALS[number]
    word = _english(number)[0]
    return f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"


_FIGURE = re.compile(r"(?<![\w.,:])(\d{1,12})(?:([.,:])(\d{1,6}))?(st|nd|rd|th)?(?![\w.,:])")


def spellings(text: str, locale: str) -> Iterator[str]:
    """A text with its figures in words: as numbers, digit by digit, as ordinal numbers."""
    language = language_of(locale)
    figures = len(_FIGURE.findall(text))
    if not figures or figures > MAX_FIGURES or language not in DIGITS:
        return
    ways = [_as_number, _as_digits, _as_ordinal] if language in SCALES else [_as_digits]
    seen = {text}
    for way in ways:
        words = _FIGURE.sub(partial(way, language=language), text)
        spoken = normalize(words, "voice", locale)
        if spoken is not None and spoken not in seen:
            seen.add(spoken)
            yield spoken


def _as_digits(found: re.Match[str], language: str) -> str:
    if found[2]:
        return found[0]
    return " ".join(DIGITS[language][int(digit)][0] for digit in found[1])


def _as_number(found: re.Match[str], language: str) -> str:
    whole, mark, part, ending = found.groups()
    if mark == THOUSANDS[language] and len(part) == 3:
        whole, mark = whole + part, None
    number = int(whole)
    if number > MAX_SPELLED or (len(whole) > 1 and whole[0] == "0" and mark != ":"):
        return found[0]
    words = cardinal(number, language)
    if ending:
        return ordinal(number, language) if 0 < number < 100 else words
    if mark == ":":
        return f"{words} {_minutes(part, language)}"
    if mark:
        digits = " ".join(DIGITS[language][int(digit)][0] for digit in part)
        return f"{words} {POINT[language]} {digits}"
    return words


def _minutes(part: str, language: str) -> str:
    """The minutes of a time of day: 10:05 is ten oh five, zehn Uhr fünf."""
    hour_word = "uhr" if language == "de" else ""
    if int(part) == 0:
        return hour_word
    oh = "oh " if language == "en" and len(part) == 2 and part[0] == "0" else ""
    return f"{hour_word} {oh}{cardinal(int(part), language)}"


def _as_ordinal(found: re.Match[str], language: str) -> str:
    number = int(found[1])
    if found[3] or not 0 < number < 100:
        return _as_number(found, language)
    return ordinal(number, language)
