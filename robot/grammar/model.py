"""A grammar: what may be said or typed, and what it means (SRGS 1.0, with SISR 1.0).

A :class:`Grammar` is immutable, checked when it is made, and equal to another one with the same
content. ``builders.py`` makes those of common questions, ``srgs_xml.py`` and ``srgs_abnf.py`` read
and write files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

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
    Special,
    Tag,
    Words,
    check_rule,
    optional,
    simple,
    walk,
)
from .matching import Budget, Chart
from .network import MAX_STATES, Network, build
from .numerals import spellings
from .semantics import TagFormat, parse_tag
from .text import keys_of, normalize

__all__ = [
    "Alternatives",
    "Expansion",
    "Grammar",
    "GrammarError",
    "Json",
    "Match",
    "Mode",
    "Repeat",
    "Rule",
    "RuleRef",
    "Sequence",
    "Special",
    "Tag",
    "TagFormat",
    "Words",
    "optional",
]

MAX_RULES = 5_000
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,8}")


@dataclass(frozen=True, slots=True)
class Match:
    """A text that fits a grammar: ``value`` is what it means, ``text`` the words as compared."""

    value: Json
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """What may be said (``voice``) or typed (``dtmf``).

    ``id`` is a hash of the content, the same on every machine. Making one raises
    :class:`GrammarError` for what cannot be used: rules that are missing, tags that cannot be
    read, more states than a grammar may have.
    """

    mode: Mode
    locale: str
    root: str
    rules: tuple[Rule, ...]
    tag_format: TagFormat = "semantics/1.0"
    id: str = field(init=False, repr=False)
    by_name: Mapping[str, Rule] = field(init=False, repr=False)
    _network: Network = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _LOCALE.fullmatch(self.locale):
            raise GrammarError(f"{self.locale!r} is no locale; one is such as en-GB")
        if len(self.rules) > MAX_RULES:
            raise GrammarError(f"a grammar has at most {MAX_RULES} rules")
        self._check_rules()
        simpler = tuple(Rule(rule.name, simple(rule.expansion), rule.public) for rule in self.rules)
        rules = {rule.name: rule for rule in simpler}
        object.__setattr__(self, "rules", simpler)
        network = build(rules, self.root, self.mode, self.locale, self.tag_format)
        object.__setattr__(self, "by_name", MappingProxyType(rules))
        object.__setattr__(self, "_network", network)
        object.__setattr__(self, "id", self._content_id())

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Grammar) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[type[Grammar], tuple[object, ...]]:
        """Pickled as its content: what is made of it for matching is made anew."""
        return Grammar, (self.mode, self.locale, self.root, self.rules, self.tag_format)

    @property
    def size(self) -> int:
        """How many states it has for matching: about 500 bytes of memory each."""
        return len(self._network.states)

    def match(self, text: str, budget: Budget | None = None) -> Match | None:
        """What the whole of ``text`` means; None if it does not fit.

        Figures are tried as they are, and then as words: "23" is twenty three, or two three.
        ``budget`` is that of several grammars, where more than one is tried. GrammarError: a tag
        cannot be run, or it would take too much work.
        """
        normal = normalize(text, self.mode, self.locale)
        if normal is None:
            return None
        spoken = spellings(normal, self.locale) if self.mode == "voice" else ()
        budget = budget or Budget()
        for candidate in (normal, *spoken):
            chart = Chart(self._network, candidate, budget)
            if chart.end is not None:
                return Match(chart.value(chart.end), candidate)
        return None

    def progress(self, typed: str, budget: Budget | None = None) -> tuple[bool, bool]:
        """Whether the keys that were typed so far are a complete entry, and whether more keys may
        follow. With neither, they fit no more; so too where it would take too much work to tell,
        which `match` then says."""
        normal = normalize(typed, self.mode, self.locale)
        if normal is None:
            return False, False
        try:
            chart = Chart(self._network, normal, budget or Budget())
        except GrammarError:
            return False, False
        return chart.end is not None, chart.more()

    def _check_rules(self) -> None:
        rules: dict[str, Rule] = {}
        parts = 0
        for rule in self.rules:
            if rule.name in rules:
                raise GrammarError(f"rule {rule.name} is there twice")
            check_rule(rule)
            rules[rule.name] = rule
        if self.root not in rules:
            raise GrammarError(f"the root rule {self.root} is missing")
        for rule in self.rules:
            for part in walk(rule.expansion):
                parts += 1
                self._check_part(part, rules)
            if parts > MAX_STATES:
                raise GrammarError(f"a grammar has at most {MAX_STATES} parts")

    def _check_part(self, part: Expansion, rules: Mapping[str, Rule]) -> None:
        match part:
            case RuleRef(name) if name not in rules:
                raise GrammarError(f"there is no rule {name}")
            case Tag(text):
                parse_tag(text, self.tag_format)
            case Words(words) if self.mode == "dtmf":
                for word in words:
                    keys_of(word)
            case _:
                pass

    def _content_id(self) -> str:
        rules = [[rule.name, rule.public, _form(rule.expansion)] for rule in self.rules]
        content = [self.mode, self.locale, self.root, self.tag_format, rules]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _form(part: object) -> object:
    """The content of an expansion as lists, which are written the same everywhere."""
    match part:
        case tuple():
            return [_form(item) for item in part]
        case float() if part.is_integer():
            return int(part)
        case None | str() | int() | float():
            return part
    return [type(part).__name__, *(_form(getattr(part, name.name)) for name in fields(part))]  # type: ignore[arg-type]
