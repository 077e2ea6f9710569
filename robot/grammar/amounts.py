"""Amounts of money, spoken and typed."""

from __future__ import annotations

from .builders import digit_rule, known_language, meant, phrase
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
from .numerals import POINT, below_hundred
from .ranges import SpokenRange

MAX_WHOLE = 999_999
CURRENCIES: dict[str, dict[str, tuple[str, str]]] = {
    "de": {
        "CHF": ("franken|stutz|chf", "rappen"),
        "EUR": ("euro|euros|€|eur", "cent|cents"),
        "GBP": ("pfund|£|gbp", "pence|penny"),
        "USD": ("dollar|$|usd", "cent|cents"),
    },
    "en": {
        "CHF": ("francs|franc|chf", "centimes|centime|rappen"),
        "EUR": ("euros|euro|€|eur", "cents|cent"),
        "GBP": ("pounds|pound|quid|£|gbp", "pence|penny|p"),
        "USD": ("dollars|dollar|bucks|buck|$|usd", "cents|cent"),
    },
}
"""What a currency (ISO 4217) and its hundredth are called."""


def amount(currency: str, locale: str, mode: Mode = "voice", *, iso: bool = True) -> Grammar:
    """An amount of up to 999,999.99. What it means is a number, 12.5; or, if not ``iso``, that of
    VoiceXML 2.1: ``EUR12.50``. Typed, ``*`` is the point, and two digits follow it."""
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise GrammarError(f"currency {currency!r} is none of ISO 4217, such as EUR")
    number = 'whole + "." + part'
    value = Tag(f"out = Number({number})" if iso else f'out = "{currency}" + {number}')
    begin = Tag('var whole = "0"; var part = "00"')
    entry, rules = _typed(locale) if mode == "dtmf" else _spoken(currency, locale)
    root = Rule("amount", Sequence((begin, entry, value)), True)
    return Grammar(mode, locale, "amount", (root, *rules))


def _typed(locale: str) -> tuple[Expansion, list[Rule]]:
    one = Sequence((RuleRef("digit"), Tag("whole += rules.digit")))
    whole = Sequence((Tag('whole = ""'), Repeat(one, 1, 6)))
    two = Repeat(Sequence((RuleRef("digit"), Tag("part += rules.digit"))), 2, 2)
    part = optional(Sequence((Words(("*",)), Tag('part = ""'), two)))
    return Sequence((whole, part)), [digit_rule(locale, "dtmf")]


def _spoken(currency: str, locale: str) -> tuple[Expansion, list[Rule]]:
    language = known_language(locale, CURRENCIES, "amounts")
    known = CURRENCIES[language]
    if currency not in known:
        raise GrammarError(f"amounts in {currency} are not known: {', '.join(known)} are")
    units, cents = (_either(names) for names in known[currency])
    spoken = SpokenRange(language)
    whole = Sequence((spoken.between(0, MAX_WHOLE), Tag("whole = String(rules.latest())")))
    part = Sequence((RuleRef("cents"), Tag("part = rules.cents")))
    digit = RuleRef("digit")
    tenths = Sequence((digit, Tag('part = rules.digit + "0"')))
    hundredths = optional(Sequence((digit, Tag("part = tenth + rules.digit"))))
    behind = Sequence((tenths, Tag("var tenth = rules.digit"), hundredths))
    link = optional(_either("und" if language == "de" else "and"))
    ways: tuple[Expansion, ...] = (
        Sequence((optional(units), whole, optional(units))),
        Sequence((whole, units, link, part, optional(cents))),
        Sequence((part, cents)),
        Sequence((optional(units), whole, phrase(POINT[language]), behind, optional(units))),
        Sequence((whole, RuleRef("tens"), Tag("part = rules.tens"))),
    )
    # Without the unit, one hundred fifty is 150 and not 100.50, and twelve five is nothing.
    entry = Alternatives(ways, (1.0, 1.0, 1.0, 1.0, 0.01))
    cent_rules = (_cents("cents", 1, language), _cents("tens", 10, language))
    rules = [*spoken.rules.values(), *cent_rules, digit_rule(locale, "voice")]
    return entry, rules


def _either(names: str) -> Alternatives:
    return Alternatives(tuple(phrase(name) for name in names.split("|")))


def _cents(name: str, first: int, language: str) -> Rule:
    items = [
        meant(phrase(said), f"{cent:02}")
        for cent in range(first, 100)
        for said in below_hundred(cent, language)
    ]
    return Rule(name, Alternatives(tuple(items)))
