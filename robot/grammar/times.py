"""Times of day, spoken and typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from .builders import known_language, meant, phrase
from .expansion import Alternatives, Expansion, Mode, Rule, RuleRef, Sequence, Tag, Words, optional
from .model import Grammar
from .numerals import below_hundred

Half = Literal["a", "p", "?"]
"""Before noon, after noon, or not said."""

HALVES: dict[str, dict[Half, tuple[str, ...]]] = {
    "de": {
        "a": ("morgens", "früh", "am morgen", "vormittags", "am vormittag"),
        "p": ("nachmittags", "am nachmittag", "abends", "am abend"),
    },
    "en": {
        "a": ("am", "a m", "in the morning"),
        "p": ("pm", "p m", "in the afternoon", "in the evening", "at night"),
    },
}
_HALVES: tuple[Half, ...] = ("?", "a", "p")


def time(locale: str, mode: Mode = "voice", *, iso: bool = True) -> Grammar:
    """A time of day. What it means is ``15:30``; or, if not ``iso``, that of VoiceXML 2.1:
    ``0330p``, ``0330?`` where nobody said which half of the day, ``1530h``.

    Where nobody said which half, the ISO form takes the hour as it was said.
    """
    if mode == "dtmf":
        return _typed(locale, iso)
    language = known_language(locale, HALVES, "times of day")
    return Grammar(mode, locale, "time", _Spoken(language, iso).rules())


def _keys(values: range) -> Alternatives:
    return Alternatives(tuple(meant(Words(tuple(f"{n:02}")), f"{n:02}") for n in values))


def _typed(locale: str, iso: bool) -> Grammar:
    value = "rules.hour + ':' + rules.minute" if iso else "rules.hour + rules.minute + 'h'"
    root = Sequence((RuleRef("hour"), RuleRef("minute"), Tag(f"out = {value}")))
    rules = (
        Rule("time", root, True),
        Rule("hour", _keys(range(24))),
        Rule("minute", _keys(range(60))),
    )
    return Grammar("dtmf", locale, "time", rules)


class _Spoken:
    """Rules for times in words: ``hour_`` and ``before_`` (the hour before it) for each half of
    the day, ``minute`` and ``minute_to`` (those that are left of the hour)."""

    def __init__(self, language: str, iso: bool) -> None:
        self._language = language
        self._iso = iso
        self._half: Half = "?"

    def rules(self) -> tuple[Rule, ...]:
        items = []
        rules = [
            Rule("minute", self._minutes(lambda minute: minute)),
            Rule("minute_to", self._minutes(lambda minute: 60 - minute)),
        ]
        for half in _HALVES:
            self._half = half
            items.append(self._times())
            rules.append(Rule(self._name("hour"), self._hours(0)))
            rules.append(Rule(self._name("before"), self._hours(-1)))
        names = {"de": (("mittag", 12), ("mitternacht", 0)), "en": (("noon", 12), ("midnight", 0))}
        for name, hour in names[self._language]:
            value = f"{hour:02}:00" if self._iso else f"{hour:02}00h"
            items.append(meant(phrase(name), value))
        return (Rule("time", Alternatives(tuple(items)), True), *rules)

    def _name(self, kind: str) -> str:
        return f"{kind}_{ {'?': 'any', 'a': 'am', 'p': 'pm'}[self._half] }"

    def _hours(self, shift: int) -> Alternatives:
        numbers = range(24) if self._half == "?" else range(1, 13)
        items = []
        for number in numbers:
            names = below_hundred(number, self._language)
            if number == 1 and self._language == "de":
                names = ("eins", "ein")
            items += [meant(phrase(name), self._hour(number, shift)) for name in names]
        return Alternatives(tuple(items))

    def _hour(self, said: int, shift: int) -> str:
        if self._half == "?" and said > 12:
            return f"{said + shift:02}"
        if self._half == "?":
            return f"{(said + shift) % 24:02}" if said == 0 else f"{said + shift or 12:02}"
        hour = (said + shift) % 12
        if self._iso:
            return f"{hour + (12 if self._half == 'p' else 0):02}"
        return f"{hour or 12:02}"

    def _minutes(self, value: Callable[[int], int]) -> Alternatives:
        items = []
        for minute in range(1, 60):
            shown = f"{value(minute):02}"
            names = list(below_hundred(minute, self._language))
            if self._language == "en" and minute < 10:
                names += [f"oh {names[0]}", f"zero {names[0]}"]
            items += [meant(phrase(name), shown) for name in names]
        return Alternatives(tuple(items))

    def _times(self) -> Expansion:
        """All ways to say a time in one half of the day."""
        ways = self._german_ways() if self._language == "de" else self._english_ways()
        parts: list[Expansion] = [Tag('var h = ""; var m = "00"'), Alternatives(tuple(ways))]
        if self._half != "?":
            names = HALVES[self._language][self._half]
            parts.append(Alternatives(tuple(phrase(name) for name in names)))
        if self._iso:
            return Sequence((*parts, Tag('out = h + ":" + m')))
        return Sequence((*parts, Tag(f'out = h + m + "{self._half}"')))

    def _at(self, kind: str) -> Sequence:
        return Sequence((RuleRef(self._name(kind)), Tag("h = rules.latest()")))

    def _minute(self, rule: str = "minute") -> Sequence:
        return Sequence((RuleRef(rule), Tag("m = rules.latest()")))

    def _fixed(self, text: str, minute: str, kind: str) -> Sequence:
        return Sequence((phrase(text), Tag(f'm = "{minute}"'), self._at(kind)))

    def _english_ways(self) -> list[Expansion]:
        past = Alternatives((phrase("past"), phrase("after")))
        until = Alternatives((phrase("to"), phrase("before"), phrase("till")))
        minutes = optional(Alternatives((phrase("minutes"), phrase("minute"))))
        return [
            Sequence((self._at("hour"), optional(phrase("o'clock")))),
            Sequence((self._at("hour"), self._minute())),
            Sequence((self._at("hour"), phrase("hundred"), optional(phrase("hours")))),
            self._fixed("half past", "30", "hour"),
            Sequence((optional(phrase("a")), self._fixed("quarter past", "15", "hour"))),
            Sequence((optional(phrase("a")), self._fixed("quarter to", "45", "before"))),
            Sequence((self._minute(), minutes, past, self._at("hour"))),
            Sequence((self._minute("minute_to"), minutes, until, self._at("before"))),
        ]

    def _german_ways(self) -> list[Expansion]:
        minutes = optional(Alternatives((phrase("minuten"), phrase("minute"))))
        clock = phrase("uhr")
        return [
            Sequence((self._at("hour"), optional(clock))),
            Sequence((self._at("hour"), clock, self._minute(), optional(clock))),
            self._fixed("halb", "30", "before"),
            self._fixed("viertel nach", "15", "hour"),
            self._fixed("viertel vor", "45", "before"),
            self._fixed("dreiviertel", "45", "before"),
            Sequence((self._minute(), minutes, phrase("nach"), self._at("hour"))),
            Sequence((self._minute("minute_to"), minutes, phrase("vor"), self._at("before"))),
        ]
