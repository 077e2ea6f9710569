"""The builtin grammars of VoiceXML 2.1 (appendix P), by their URIs, with the values that it has.

``builtin:grammar/digits?minlength=3;maxlength=5`` is spoken (``builtin:speech/`` says the same),
``builtin:dtmf/digits?length=4`` typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from . import builders
from .amounts import amount
from .builders import digit_rule, phrase
from .dates import date
from .expansion import (
    Alternatives,
    Expansion,
    GrammarError,
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
from .numerals import MAX_SPELLED, MINUS, POINT
from .ranges import spoken_rules
from .text import language_of
from .times import time

MAX_URI_CHARS = 1_000
_URI = re.compile(r"builtin:(grammar|speech|voice|dtmf)/(\w{1,20})(?:\?(.*))?", re.IGNORECASE)
_PARAMETER = re.compile(r"\s*(\w{1,20})\s*=\s*([^=;&]{0,100})\s*")
_DEFAULT_CURRENCIES = {"de": "EUR", "en": "USD"}

Parameters = dict[str, str]


def builtin(uri: str, locale: str) -> Grammar:
    """The builtin grammar of a URI in a locale. GrammarError: it is not known, or not there."""
    found = _URI.fullmatch(uri) if len(uri) <= MAX_URI_CHARS else None
    if not found:
        raise GrammarError(f"{uri[:100]!r} is no builtin grammar, such as builtin:speech/boolean")
    mode: Mode = "dtmf" if found[1].lower() == "dtmf" else "voice"
    kind = found[2].lower()
    if kind not in _KINDS:
        raise GrammarError(f"builtin grammar {kind!r} is not known: {', '.join(_KINDS)} are")
    parameters = _parameters(found[3] or "")
    make, known = _KINDS[kind]
    if unknown := parameters.keys() - known:
        raise GrammarError(f"builtin grammar {kind} has no parameter {min(unknown)!r}")
    return make(locale, mode, parameters)


def _parameters(text: str) -> Parameters:
    parameters = {}
    for pair in re.split("[;&]", text):
        if not pair.strip():
            continue
        found = _PARAMETER.fullmatch(pair)
        if not found:
            raise GrammarError(f"{pair[:100]!r} is no parameter of a builtin grammar: name=value")
        parameters[found[1].lower()] = found[2].strip()
    return parameters


def _count(parameters: Parameters, name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII):
        raise GrammarError(f"{name}={text!r} is no number of digits")
    return int(text)


def _boolean(locale: str, mode: Mode, parameters: Parameters) -> Grammar:
    keys = (parameters.get("y", "1"), parameters.get("n", "2"))
    if keys[0] == keys[1]:
        raise GrammarError(f"yes and no have the same key {keys[0]!r}")
    return builders.yes_no(locale, mode, keys)


def _digits(locale: str, mode: Mode, parameters: Parameters) -> Grammar:
    length = _count(parameters, "length", 0)
    minimum = length or _count(parameters, "minlength", 1)
    maximum = length or _count(parameters, "maxlength", max(20, minimum))
    return builders.digits(minimum, maximum, locale, mode)


def _number(locale: str, mode: Mode, _: Parameters) -> Grammar:
    digit = digit_rule(locale, mode)
    behind = Repeat(Sequence((RuleRef("digit"), Tag("text += rules.digit"))), 1, 6)
    value = Tag("out = Number(text)")
    if mode == "dtmf":
        before = Repeat(behind.item, 1, 9)
        point = Sequence((Words(("*",)), Tag('text += "."'), behind))
        entry: Expansion = Sequence((Tag('var text = ""'), before, optional(point), value))
        return Grammar(mode, locale, "number", (Rule("number", entry, True), digit))
    rules = spoken_rules(0, MAX_SPELLED, locale)
    language = language_of(locale)
    whole = Sequence((RuleRef(rules[0].name), Tag("text += String(rules.latest())")))
    point = Sequence((phrase(POINT[language]), Tag('text += "."'), behind))
    sign = optional(
        Alternatives((Sequence((phrase(MINUS[language]), Tag('text = "-"'))), phrase("plus")))
    )
    entry = Sequence((Tag('var text = ""'), sign, whole, optional(point), value))
    return Grammar(mode, locale, "number", (Rule("number", entry, True), digit, *rules))


def _currency(locale: str, mode: Mode, parameters: Parameters) -> Grammar:
    currency = parameters.get("currency") or _DEFAULT_CURRENCIES.get(language_of(locale), "EUR")
    return amount(currency, locale, mode, iso=False)


def _date(locale: str, mode: Mode, _: Parameters) -> Grammar:
    return date(locale, mode, iso=False)


def _time(locale: str, mode: Mode, _: Parameters) -> Grammar:
    return time(locale, mode, iso=False)


def phone(locale: str, mode: Mode = "voice") -> Grammar:
    """A telephone number of 3 to 20 digits as text, with ``x`` before an extension; typed, ``*``
    comes before it. Spoken, digits may be doubled and tripled."""
    one = Sequence((RuleRef("digit"), Tag("out += rules.digit")))
    if mode == "dtmf":
        number: Expansion = Repeat(one, 3, 20)
        before: Expansion = Words(("*",))
    else:
        language = language_of(locale)
        digit = Alternatives((one, *_repeated(language))) if language in _DOUBLE else one
        plus = optional(Sequence((phrase("plus"), Tag('out = "+"'))))
        number = Sequence((plus, Repeat(digit, 3, 20)))
        before = phrase(_EXTENSION.get(language, "x"))
    extension = Sequence((before, Tag('out += "x"'), Repeat(one, 1, 6)))
    entry = Sequence((Tag('out = ""'), number, optional(extension)))
    return Grammar(mode, locale, "phone", (Rule("phone", entry, True), digit_rule(locale, mode)))


_DOUBLE = {"de": ("doppel", "dreimal"), "en": ("double", "triple")}
_EXTENSION = {"de": "durchwahl", "en": "extension"}


def _repeated(language: str) -> list[Expansion]:
    double, triple = _DOUBLE[language]
    twice = Tag("out += rules.digit + rules.digit")
    thrice = Tag("out += rules.digit + rules.digit + rules.digit")
    return [
        Sequence((phrase(double), RuleRef("digit"), twice)),
        Sequence((phrase(triple), RuleRef("digit"), thrice)),
    ]


def _phone(locale: str, mode: Mode, _: Parameters) -> Grammar:
    return phone(locale, mode)


_KINDS: dict[str, tuple[Callable[[str, Mode, Parameters], Grammar], frozenset[str]]] = {
    "boolean": (_boolean, frozenset({"y", "n"})),
    "currency": (_currency, frozenset({"currency"})),
    "date": (_date, frozenset()),
    "digits": (_digits, frozenset({"minlength", "maxlength", "length"})),
    "number": (_number, frozenset()),
    "phone": (_phone, frozenset()),
    "time": (_time, frozenset()),
}
