"""SRGS 1.0 grammars in XML (``application/srgs+xml``), read and written.

A grammar that is read is checked: what is not understood is refused with its line and column.
"""

from __future__ import annotations

import re

from .. import markup
from ..markup import Element, MarkupError, quoted, tag
from .expansion import (
    Alternatives,
    Expansion,
    GrammarError,
    Mode,
    Repeat,
    Rule,
    RuleRef,
    Sequence,
    Special,
    Tag,
    Words,
)
from .link import Linker, Resolver, with_builtins
from .model import Grammar
from .semantics import TagFormat, parse_tag

CONTENT_TYPE = "application/srgs+xml"
NAMESPACE = "http://www.w3.org/2001/06/grammar"
DEFAULT_LOCALE = "en-US"
TAG_FORMATS: dict[str, TagFormat] = {
    "semantics/1.0": "semantics/1.0",
    "semantics/1.0-literals": "semantics/1.0-literals",
}
_REPEAT = re.compile(r"\s*(\d{1,6})\s*(?:(-)\s*(\d{1,6})?\s*)?")
_IGNORED = frozenset({"meta", "metadata", "example"})


def read(
    document: bytes | str, *, resolver: Resolver | None = None, locale: str = DEFAULT_LOCALE
) -> Grammar:
    """Read a grammar. ``locale`` is that of a DTMF grammar, which need not name one.

    References to builtin grammars are resolved, others by ``resolver``. GrammarError: it is none,
    or has what is not understood.
    """
    try:
        root = markup.parse(document)
    except MarkupError as error:
        raise GrammarError(error.cause, error.line, error.column) from None
    return _Reader(root, resolver, locale).grammar()


def _error(cause: str, at: Element) -> GrammarError:
    return GrammarError(cause, at.line, at.column)


class _Reader:
    def __init__(self, root: Element, resolver: Resolver | None, locale: str) -> None:
        if root.name != "grammar" or root.namespace not in {"", NAMESPACE}:
            raise _error(f"<{root.name}> is no SRGS grammar, which is <grammar>", root)
        self._root = root
        self._mode: Mode = "voice"
        match root.attributes.get("mode", "voice"):
            case "dtmf":
                self._mode = "dtmf"
            case "voice":
                pass
            case other:
                raise _error(f"mode {other!r} is neither voice nor dtmf", root)
        self._locale = root.attributes.get("xml:lang") or locale
        self._tag_format = self._read_tag_format()
        self._rules: dict[str, Element] = {}
        for element in root.elements():
            self._read_header(element)

        resolve = with_builtins(resolver, self._locale)
        self._linker = Linker(self._mode, set(self._rules), resolve)

    def _read_tag_format(self) -> TagFormat | None:
        named = self._root.attributes.get("tag-format")
        if named is None:
            return None
        if named not in TAG_FORMATS:
            known = " and ".join(TAG_FORMATS)
            raise _error(f"tag-format {named!r} is not understood: {known} are", self._root)
        return TAG_FORMATS[named]

    def _read_header(self, element: Element) -> None:
        if element.name == "rule":
            name = element.attributes.get("id", "")
            if not name or name in self._rules:
                raise _error(
                    f"rule {name!r} is there twice" if name else "a rule has no id", element
                )
            self._rules[name] = element
        elif element.name not in _IGNORED:
            raise _error(f"<{element.name}> in <grammar> is not understood", element)

    def grammar(self) -> Grammar:
        root = self._root.attributes.get("root")
        if root is None and len(self._rules) == 1:
            root = next(iter(self._rules))
        if root not in self._rules:
            raise _error("<grammar> names no root rule that is there", self._root)
        rules = [self._rule(name, element) for name, element in self._rules.items()]
        try:
            linked, tag_format = self._linker.finish(rules, self._tag_format or "semantics/1.0")
            return Grammar(self._mode, self._locale, root, linked, tag_format)
        except GrammarError as error:
            raise _error(error.cause, self._root) from None

    def _rule(self, name: str, element: Element) -> Rule:
        public = {"public": True, "private": False}.get(element.attributes.get("scope", "private"))
        if public is None:
            raise _error("a rule's scope is public or private", element)
        return Rule(name, self._content(element), public)

    def _content(self, element: Element) -> Expansion:
        parts: list[Expansion] = []
        for child in element.children:
            if isinstance(child, str):
                parts.append(Words(tuple(child.replace('"', " ").split())))
            elif child.name not in _IGNORED:
                parts.append(self._part(child))
        return Sequence(tuple(part for part in parts if part != Words(())))

    def _part(self, element: Element) -> Expansion:
        try:
            match element.name:
                case "token":
                    return Words(tuple(element.text().replace('"', " ").split()))
                case "item":
                    return self._item(element)
                case "one-of":
                    return self._alternatives(element)
                case "ruleref":
                    return self._reference(element)
                case "tag":
                    return self._tag(element)
        except GrammarError as error:
            raise error if error.line else _error(error.cause, element) from None
        raise _error(f"<{element.name}> in a rule is not understood", element)

    def _item(self, element: Element) -> Expansion:
        content = self._content(element)
        repeat = element.attributes.get("repeat")
        if repeat is None:
            return content
        found = _REPEAT.fullmatch(repeat)
        if not found:
            raise GrammarError(f"repeat={repeat!r} is none: one is n, n-m or n-")
        minimum = int(found[1])
        maximum = int(found[3]) if found[3] else None if found[2] else minimum
        probability = element.attributes.get("repeat-prob")
        return Repeat(
            content,
            minimum,
            maximum,
            None if probability is None else read_figure("repeat-prob", probability),
        )

    def _alternatives(self, element: Element) -> Expansion:
        items, weights = [], []
        for child in element.elements():
            if child.name != "item":
                raise _error(f"<{child.name}> in <one-of> is not understood", child)
            items.append(self._part(child))
            weights.append(read_figure("weight", child.attributes.get("weight", "1")))
        if not items:
            raise GrammarError("<one-of> without an <item>")
        return Alternatives(tuple(items), tuple(weights))

    def _reference(self, element: Element) -> Expansion:
        uri, special = element.attributes.get("uri"), element.attributes.get("special")
        if (uri is None) == (special is None):
            raise GrammarError("<ruleref> has either uri or special")
        if uri is None:
            return special_rule(special or "")
        if not uri.startswith("#"):
            return self._linker.refer(uri)
        if uri[1:] not in self._rules:
            raise GrammarError(f"there is no rule {uri[1:]}")
        return RuleRef(uri[1:])

    def _tag(self, element: Element) -> Tag:
        text = element.text()
        if self._tag_format is None:
            raise GrammarError("<tag> needs a tag-format: say which one in <grammar>")
        parse_tag(text.strip(), self._tag_format)
        return Tag(text)


def special_rule(kind: str) -> Special:
    """A special rule by its name. GrammarError: there is none of that name."""
    match kind:
        case "NULL" | "VOID" | "GARBAGE":
            return Special(kind)
    raise GrammarError(f"special rule {kind!r}: NULL, VOID and GARBAGE are")


def read_figure(name: str, text: str) -> float:
    """A weight or a probability. GrammarError: it is no number."""
    if not re.fullmatch(r"\s*(\d{1,20}\.?\d{0,20}|\.\d{1,20})\s*", text):
        raise GrammarError(f"{name} {text!r} is no number")
    return float(text)


def write(grammar: Grammar) -> str:
    """The grammar as an XML document."""
    attributes = {
        "xmlns": NAMESPACE,
        "version": "1.0",
        "xml:lang": grammar.locale,
        "mode": grammar.mode,
        "root": grammar.root,
        "tag-format": grammar.tag_format,
    }
    rules = "".join(f"\n  {_write_rule(rule)}" for rule in grammar.rules)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tag("grammar", attributes, rules)}\n'


def _write_rule(rule: Rule) -> str:
    attributes = {"id": rule.name, **({"scope": "public"} if rule.public else {})}
    return tag("rule", attributes, _written(rule.expansion))


def _written(expansion: Expansion) -> str:
    match expansion:
        case Words(words):
            text = quoted(" ".join(words))
        case Sequence(items):
            # Between words, a space parts them; elsewhere it means nothing.
            text = " ".join(_written(item) for item in items)
        case Alternatives(items, weights):
            text = tag("one-of", {}, *_written_items(items, weights))
        case Repeat(item):
            text = tag("item", repeat_attributes(expansion), _written(item))
        case RuleRef(name):
            text = tag("ruleref", {"uri": f"#{name}"})
        case Special(kind):
            text = tag("ruleref", {"special": kind})
        case Tag(content):
            text = tag("tag", {}, quoted(content))
    return text


def _written_items(items: tuple[Expansion, ...], weights: tuple[float, ...]) -> list[str]:
    if not weights:
        return [tag("item", {}, _written(item)) for item in items]
    pairs = zip(items, weights, strict=True)
    return [tag("item", {"weight": figure(weight)}, _written(item)) for item, weight in pairs]


def figure(value: float) -> str:
    """A weight or probability, written without an exponent."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def repeat_text(repeat: Repeat) -> str:
    """How often, in the form that both syntaxes have."""
    if repeat.maximum is None:
        return f"{repeat.minimum}-"
    if repeat.minimum == repeat.maximum:
        return str(repeat.minimum)
    return f"{repeat.minimum}-{repeat.maximum}"


def repeat_attributes(repeat: Repeat) -> dict[str, str]:
    """The attributes of an item that repeats."""
    attributes = {"repeat": repeat_text(repeat)}
    if repeat.probability is not None:
        attributes["repeat-prob"] = figure(repeat.probability)
    return attributes
