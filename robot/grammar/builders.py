"""Grammars of common questions, spoken and typed; what is meant is what a script gets.

In each, ``mode`` says which of both is made. Words are known in the locales that an error names;
typed ones are the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from .expansion import (
    Alternatives,
    Expansion,
    GrammarError,
    Json,
    Mode,
    Repeat,
    Rule,
    RuleRef,
    Sequence,
    Tag,
    Words,
    optional,
)
from .model import Grammar
from .numerals import DIGITS
from .ranges import key_rules, spoken_rules
from .text import keys_of, language_of, normalize_word

Option = tuple[Json, Iterable[str], str | None]
"""A choice: its value, how it may be said, and its keys."""

MAX_DIGITS = 64

YES_NO = {
    "de": (
        "ja|jawohl|ja bitte|ja gerne|genau|richtig|stimmt|klar|okay",
        "nein|nee|nö|nein danke|falsch",
    ),
    "en": (
        "yes|yeah|yep|yes please|sure|correct|right|that's right|okay",
        "no|nope|nah|no thanks|wrong",
    ),
    "es": ("sí|si|claro|correcto|vale", "no|no gracias|incorrecto"),
    "fr": ("oui|ouais|oui merci|d'accord|exactement", "non|non merci"),
    "it": ("sì|si|certo|esatto|va bene", "no|no grazie|sbagliato"),
    "nl": ("ja|jawel|ja graag|klopt|juist|oké", "nee|nee bedankt|onjuist"),
}


def phrase(text: str) -> Words:
    """Words of a text, parted by spaces."""
    return Words(tuple(text.split()))


def meant(said: Expansion, value: Json) -> Sequence:
    """What was said, and the value that it means."""
    return Sequence((said, Tag(f"out = {json.dumps(value, ensure_ascii=False)}")))


def known_language(locale: str, known: Iterable[str], what: str) -> str:
    """The locale's language. GrammarError: it is not among those known."""
    language = language_of(locale)
    languages = sorted(known)
    if language not in languages:
        raise GrammarError(
            f"{what} in {locale!r} is not known: languages are {', '.join(languages)}"
        )
    return language


def choices(options: Iterable[Option], locale: str, mode: Mode = "voice") -> Grammar:
    """One of several, by any of its phrases, or by its keys.

    GrammarError: nothing can be said, or typed, for any of them.
    """
    language = language_of(locale)
    items: list[Expansion] = []
    for value, phrases, keys in options:
        if mode == "dtmf":
            items += [meant(Words(keys_of(keys)), value)] if keys else []
            continue
        for said in phrases:
            if not normalize_word(said, language):
                raise GrammarError(f"the phrase {said!r} of {value!r} has no words")
            items.append(meant(phrase(said), value))
    if not items:
        raise GrammarError("no choice has phrases" if mode == "voice" else "no choice has a key")
    return Grammar(mode, locale, "choice", (Rule("choice", Alternatives(tuple(items)), True),))


def yes_no(locale: str, mode: Mode = "voice", keys: tuple[str, str] = ("1", "2")) -> Grammar:
    """Yes (true) or no (false); typed by ``keys``."""
    said = ("", "")
    if mode == "voice":
        said = YES_NO[known_language(locale, YES_NO, "yes and no")]
    phrases = (text.split("|") for text in said)
    pairs = zip((True, False), phrases, keys, strict=True)
    return choices(pairs, locale, mode)


def digit_rule(locale: str, mode: Mode) -> Rule:
    """A rule ``digit``, which means the digit as text."""
    if mode == "dtmf":
        names: tuple[tuple[str, ...], ...] = tuple((str(digit),) for digit in range(10))
    else:
        names = DIGITS[known_language(locale, DIGITS, "digits")]
    items = [meant(phrase(name), str(digit)) for digit in range(10) for name in names[digit]]
    return Rule("digit", Alternatives(tuple(items)))


def digits(
    minimum: int = 1,
    maximum: int = 20,
    locale: str = "en",
    mode: Mode = "voice",
    terminator: str | None = None,
) -> Grammar:
    """So many digits, as text. Typed, fewer than ``maximum`` end with the terminator's key, where
    there is one, or by a pause."""
    if not 0 <= minimum <= maximum <= MAX_DIGITS or not maximum:
        raise GrammarError(f"{minimum} to {maximum} digits: 0 to {MAX_DIGITS}, the lower first")
    one = Sequence((RuleRef("digit"), Tag("out += rules.digit")))
    entry: Expansion = Repeat(one, minimum, maximum)
    if mode == "dtmf" and terminator:
        entry = ended_by(one, minimum, maximum, terminator)
    root = Rule("digits", Sequence((Tag('out = ""'), entry)), True)
    return Grammar(mode, locale, "digits", (root, digit_rule(locale, mode)))


def ended_by(one: Expansion, minimum: int, maximum: int, terminator: str) -> Expansion:
    """An entry that its last key ends, or the terminator before."""
    key = Words(keys_of(terminator))
    if minimum == maximum:
        return Repeat(one, minimum, maximum)
    less = Sequence((Repeat(one, minimum, maximum - 1), optional(key)))
    return Alternatives((less, Repeat(one, maximum, maximum)))


def number(minimum: int, maximum: int, locale: str, mode: Mode = "voice") -> Grammar:
    """A whole number between both, themselves included."""
    if mode == "dtmf":
        if minimum < 0:
            raise GrammarError("a negative number cannot be typed on a keypad")
        rules = key_rules(minimum, maximum)
    else:
        rules = spoken_rules(minimum, maximum, locale)
    first = RuleRef(rules[0].name)
    root = Rule("number", Sequence((first, Tag(f"out = Number(rules.{first.name})"))), True)
    return Grammar(mode, locale, "number", (root, *rules))


def scale(minimum: int, maximum: int, locale: str, mode: Mode = "voice") -> Grammar:
    """A mark on a scale, such as from 1 to 10."""
    if maximum - minimum > 100:
        raise GrammarError(f"a scale from {minimum} to {maximum} is too long: 100 steps at most")
    return number(minimum, maximum, locale, mode)
