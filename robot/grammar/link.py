"""Rules of one grammar taken over into another one that refers to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from .builtins import builtin
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
)
from .model import Grammar
from .semantics import TagFormat, rename_rules

Resolver = Callable[[str], Grammar]
"""Gives the grammar at a URI, which has no fragment. GrammarError: there is none."""

MAX_LINKS = 64


def with_builtins(resolver: Resolver | None, locale: str) -> Resolver:
    """Gives builtin grammars in a locale, and others by ``resolver``, if there is one."""

    def resolve(uri: str) -> Grammar:
        if uri.startswith("builtin:"):
            return builtin(uri, locale)
        if resolver is None:
            raise GrammarError(
                f"the grammar {uri!r} is elsewhere: only builtin ones are known here"
            )
        return resolver(uri)

    return resolve


def mapped(expansion: Expansion, change: Callable[[Expansion], Expansion]) -> Expansion:
    """The same with every part in it changed, from the inside out."""
    match expansion:
        case Sequence(items):
            expansion = Sequence(tuple(mapped(item, change) for item in items))
        case Alternatives(items, weights):
            expansion = Alternatives(tuple(mapped(item, change) for item in items), weights)
        case Repeat(item):
            expansion = replace(expansion, item=mapped(item, change))
    return change(expansion)


def _scripted(part: Expansion) -> Expansion:
    return Tag(f"out = {json.dumps(part.text.strip())}") if isinstance(part, Tag) else part


def scripted(rule: Rule) -> Rule:
    """A rule with string literals for tags, with scripts that mean the same."""
    return replace(rule, expansion=mapped(rule.expansion, _scripted))


class Linker:
    """Grammars that others of one file are referred to by, each taken over once."""

    def __init__(self, mode: Mode, names: set[str], resolver: Resolver) -> None:
        self._mode = mode
        self._names = names
        self._resolver = resolver
        self._linked: dict[str, tuple[Grammar, Mapping[str, str]]] = {}
        self._rules: list[Rule] = []

    def refer(self, uri: str) -> RuleRef:
        """A reference to a rule elsewhere. GrammarError: it cannot be had."""
        base, _, fragment = uri.partition("#")
        if base not in self._linked:
            self._linked[base] = self._take(base)
        grammar, names = self._linked[base]
        name = fragment or grammar.root
        if fragment and not (fragment in grammar.by_name and grammar.by_name[fragment].public):
            raise GrammarError(f"{base} has no public rule {fragment}")
        return RuleRef(names[name])

    def finish(
        self, rules: list[Rule], tag_format: TagFormat
    ) -> tuple[tuple[Rule, ...], TagFormat]:
        """All rules, and the form of their tags: those that were taken over have scripts."""
        if not self._rules or tag_format == "semantics/1.0":
            return (*rules, *self._rules), tag_format
        return (*map(scripted, rules), *self._rules), "semantics/1.0"

    def _take(self, uri: str) -> tuple[Grammar, Mapping[str, str]]:
        if self._resolver is None:
            raise GrammarError(
                f"the grammar {uri!r} is elsewhere: only builtin ones are known here"
            )
        if len(self._linked) >= MAX_LINKS:
            raise GrammarError(f"more than {MAX_LINKS} grammars are referred to")
        grammar = self._resolver(uri)
        if grammar.mode != self._mode:
            raise GrammarError(f"the grammar {uri!r} is for {grammar.mode}, not for {self._mode}")
        names = {rule.name: self._free_name(rule.name) for rule in grammar.rules}
        for rule in grammar.rules:
            plain = rule if grammar.tag_format == "semantics/1.0" else scripted(rule)
            expansion = mapped(plain.expansion, lambda part: _renamed(part, names))
            self._rules.append(Rule(names[rule.name], expansion))
        return grammar, names

    def _free_name(self, name: str) -> str:
        free, count = name, 1
        while free in self._names:
            count += 1
            free = f"{name}_{count}"
        self._names.add(free)
        return free


def _renamed(part: Expansion, names: Mapping[str, str]) -> Expansion:
    match part:
        case RuleRef(name):
            return RuleRef(names[name])
        case Tag(text):
            return Tag(rename_rules(text, names))
    return part
