"""SRGS 1.0 grammars in ABNF (``application/srgs``), read and written.

A grammar that is read is checked: what is not understood is refused with its line and column.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .expansion import (
    MAX_DEPTH,
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
from .semantics import parse_tag
from .srgs_xml import (
    DEFAULT_LOCALE,
    TAG_FORMATS,
    figure,
    read_figure,
    repeat_text,
    special_rule,
)

CONTENT_TYPE = "application/srgs"
MAX_CHARS = 1_048_576
_ENCODINGS = frozenset({"utf-8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})
_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?#ABNF\s+(?:\d\.\d)(?:\s+([A-Za-z0-9_-]{1,40}))?\s*;")

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
    |(?P<tag>\{!\{(?:[^}]|\}(?!!\}))*\}!\}|\{(?!!\{)[^{}]*\})
    |(?P<string>"[^"\n]*")
    |(?P<repeat><\s*\d{1,6}\s*(?:-\s*\d{0,6}\s*)?(?:/\s*[\d.]{1,20}\s*/\s*)?>)
    |(?P<uri><[^<>\s]{0,1000}>)
    |(?P<weight>/\s*[\d.]{1,20}\s*/)
    |(?P<rule>\$[^\W\d][\w-]*)
    |(?P<mark>[;=|()\[\]!~$])
    |(?P<word>[^\s;=|()\[\]{}<>"$!/*+~]+)""",
    re.VERBOSE,
)
_REPEAT = re.compile(r"<\s*(\d+)\s*(?:(-)\s*(\d*)\s*)?(?:/\s*([\d.]+)\s*/\s*)?>")
_PLAIN_WORD = re.compile(r"[^\W_][\w'’.,-]*")
_ENDS_SEQUENCE = frozenset({";", "|", ")", "]", "the end"})


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def read(
    document: bytes | str, *, resolver: Resolver | None = None, locale: str = DEFAULT_LOCALE
) -> Grammar:
    """Read a grammar. ``locale`` is that of a DTMF grammar, which need not name one.

    References to builtin grammars are resolved, others by ``resolver``. GrammarError: it is none,
    or has what is not understood.
    """
    data = document.encode("utf-8", "replace") if isinstance(document, str) else document
    if len(data) > MAX_CHARS:
        raise GrammarError(f"the grammar is longer than {MAX_CHARS} bytes")
    header = _HEADER.match(data)
    if not header:
        raise GrammarError("an ABNF grammar begins with: #ABNF 1.0 UTF-8;", 1, 1)
    named = (header[1] or b"utf-8").decode().lower()
    if isinstance(document, str):
        named = "utf-8"
    if named not in _ENCODINGS:
        raise GrammarError(f"encoding {named!r} is not known here: UTF-8 is", 1, 1)
    try:
        text = data.decode(named).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise GrammarError(f"the grammar is not in {named}", 1, 1) from None
    return _Reader(text, text.index(";") + 1, resolver, locale).grammar()


class _Reader:
    def __init__(self, text: str, start: int, resolver: Resolver | None, locale: str) -> None:
        self._text = text
        self._tokens = self._split(start)
        self._next = 0
        self._depth = 0
        self._resolver = resolver
        self._declared: dict[str, str] = {"mode": "voice", "language": locale}
        names = {token.text[1:] for token in self._tokens if token.kind == "rule"}
        self._names = names
        self._rules: dict[str, Rule] = {}
        self._linker: Linker | None = None

    # Tokens

    def _error(self, cause: str, at: int) -> GrammarError:
        line = self._text.count("\n", 0, at) + 1
        return GrammarError(cause, line, at - self._text.rfind("\n", 0, at))

    def _split(self, at: int) -> list[_Token]:
        tokens = []
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if not found:
                raise self._error(f"{self._text[at]!r} is not understood", at)
            if found.lastgroup != "space":
                tokens.append(_Token(found.lastgroup or "", found[0], at))
            at = found.end()
        return [*tokens, _Token("end", "the end", max(len(self._text) - 1, 0))]

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _need(self, text: str) -> None:
        token = self._take()
        if token.text != text or token.kind != "mark":
            raise self._error(f"{text!r} is missing before {token.text!r}", token.at)

    # Declarations (SRGS 1.0, section 4)

    def grammar(self) -> Grammar:
        while (token := self._peek()).kind != "end":
            if token.kind == "rule" or token.text in {"public", "private"}:
                self._rule()
            elif self._rules:
                raise self._error(f"{token.text!r} begins no rule", token.at)
            else:
                self._declaration()
        root = self._declared.get("root", "")
        if not root and len(self._rules) == 1:
            root = next(iter(self._rules))
        if root not in self._rules:
            raise self._error(f"the root rule {root!r} is not there", 0)
        try:
            rules, tag_format = self._linked().finish(
                list(self._rules.values()), TAG_FORMATS[self._declared.get("tags", "semantics/1.0")]
            )
            locale = self._declared["language"]
            return Grammar(self._mode(), locale, root, rules, tag_format)
        except GrammarError as error:
            raise self._error(error.cause, 0) from None

    def _mode(self) -> Mode:
        return "dtmf" if self._declared["mode"] == "dtmf" else "voice"

    def _linked(self) -> Linker:
        """Made behind the declarations, which it needs."""
        if self._linker is None:
            resolve = with_builtins(self._resolver, self._declared["language"])
            self._linker = Linker(self._mode(), self._names, resolve)
        return self._linker

    def _declaration(self) -> None:
        name, value = self._take(), self._take()
        match name.text:
            case "language" if value.kind == "word":
                self._declared["language"] = value.text
            case "mode" if value.text in {"voice", "dtmf"}:
                self._declared["mode"] = value.text
            case "root" if value.kind == "rule":
                self._declared["root"] = value.text[1:]
            case "tag-format" if value.text[1:-1] in TAG_FORMATS:
                self._declared["tags"] = value.text[1:-1]
            case "tag-format":
                known = " and ".join(TAG_FORMATS)
                raise self._error(f"tag-format {value.text} is not understood: {known}", value.at)
            case "base":
                pass
            case "meta" | "http-equiv":
                self._take()
                self._take()
            case _:
                raise self._error(f"declaration {name.text!r} is not understood", name.at)
        self._need(";")

    # Rules

    def _rule(self) -> None:
        public = self._peek().text == "public"
        if self._peek().kind == "word":
            self._take()
        name = self._take()
        if name.kind != "rule":
            raise self._error(f"a rule's $name is missing before {name.text!r}", name.at)
        if name.text[1:] in self._rules:
            raise self._error(f"rule {name.text} is there twice", name.at)
        self._need("=")
        expansion = self._alternatives()
        self._need(";")
        self._rules[name.text[1:]] = Rule(name.text[1:], expansion, public)

    def _alternatives(self) -> Expansion:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"brackets stand in each other {MAX_DEPTH} deep", self._peek().at)
        items, weights = [], []
        while True:
            weight = self._take() if self._peek().kind == "weight" else None
            weights.append(1.0 if weight is None else self._figure("weight", weight))
            items.append(self._sequence())
            if self._peek().text != "|" or self._peek().kind != "mark":
                break
            self._take()
        self._depth -= 1
        return Alternatives(tuple(items), tuple(weights)) if len(items) > 1 else items[0]

    def _figure(self, name: str, token: _Token) -> float:
        try:
            return read_figure(name, token.text.strip("/ \t\r\n"))
        except GrammarError as error:
            raise self._error(error.cause, token.at) from None

    def _sequence(self) -> Expansion:
        start = self._peek().at
        items: list[Expansion] = []
        while not (
            (token := self._peek()).kind in {"mark", "end"} and token.text in _ENDS_SEQUENCE
        ):
            if token.kind == "repeat":
                if not items:
                    raise self._error(f"nothing stands before {token.text}", token.at)
                items[-1] = self._repeated(items[-1])
            elif token.text == "!" and token.kind == "mark" and items:
                # A word of another language (4.9): how it is spoken, not what it is.
                self._take()
                self._take()
            else:
                items.append(self._item())
        if not items:
            raise self._error("words are missing", start)
        return Sequence(tuple(items))

    def _repeated(self, item: Expansion) -> Repeat:
        token = self._take()
        found = _REPEAT.fullmatch(token.text)
        if not found:
            raise self._error(f"{token.text} is no repeat: one is <n>, <n-m> or <n->", token.at)
        minimum = int(found[1])
        maximum = int(found[3]) if found[3] else None if found[2] else minimum
        probability = read_figure("repeat probability", found[4]) if found[4] else None
        return Repeat(item, minimum, maximum, probability)

    def _item(self) -> Expansion:
        token = self._take()
        try:
            match token.kind, token.text:
                case "word", text:
                    return Words((text,))
                case "string", text:
                    return Words(tuple(text[1:-1].split()))
                case "tag", text:
                    return self._tag(text)
                case "rule", text:
                    return self._reference(text[1:])
                case "mark", "$":
                    return self._reference_elsewhere()
                case "mark", ("(" | "[") as opening:
                    return self._group(opening)
        except GrammarError as error:
            raise error if error.line else self._error(error.cause, token.at) from None
        raise self._error(f"{token.text!r} is not understood here", token.at)

    def _group(self, opening: str) -> Expansion:
        closing = ")" if opening == "(" else "]"
        if self._peek().text == closing:
            self._take()
            return Special("NULL")
        inner = self._alternatives()
        self._need(closing)
        return inner if opening == "(" else Repeat(inner, 0, 1)

    def _tag(self, text: str) -> Tag:
        if "tags" not in self._declared:
            raise GrammarError("tags need a declaration such as: tag-format <semantics/1.0>;")
        content = text[3:-3] if text.startswith("{!{") else text[1:-1]
        parse_tag(content.strip(), TAG_FORMATS[self._declared["tags"]])
        return Tag(content)

    def _reference(self, name: str) -> Expansion:
        return special_rule(name) if name in {"NULL", "VOID", "GARBAGE"} else RuleRef(name)

    def _reference_elsewhere(self) -> Expansion:
        uri = self._take()
        if uri.kind != "uri":
            raise GrammarError(f"$ is followed by a name or a <URI>, not by {uri.text!r}")
        if self._peek().text == "~":
            self._take()
            self._take()
        return self._linked().refer(uri.text[1:-1])


def write(grammar: Grammar) -> str:
    """The grammar as ABNF. GrammarError: a tag holds what ABNF has no way to write."""
    lines = [
        "#ABNF 1.0 UTF-8;",
        f"language {grammar.locale};",
        f"mode {grammar.mode};",
        f"root ${grammar.root};",
        f"tag-format <{grammar.tag_format}>;",
    ]
    for rule in grammar.rules:
        public = "public " if rule.public else ""
        lines.append(f"{public}${rule.name} = {_written(rule.expansion)};")
    return "\n".join(lines) + "\n"


def _written(expansion: Expansion) -> str:
    match expansion:
        case Words(words):
            text = " ".join(w if _PLAIN_WORD.fullmatch(w) else f'"{w}"' for w in words)
        case Sequence(items):
            text = " ".join(_grouped(item) for item in items)
        case Alternatives(items, weights):
            shown = [f"/{figure(weight)}/ " for weight in weights] or [""] * len(items)
            pairs = zip(shown, items, strict=True)
            text = " | ".join(weight + _grouped(item) for weight, item in pairs)
        case Repeat(item, _, _, probability):
            chance = "" if probability is None else f" /{figure(probability)}/"
            text = f"({_written(item)}) <{repeat_text(expansion)}{chance}>"
        case RuleRef(name):
            text = f"${name}"
        case Special(kind):
            text = f"${kind}"
        case Tag(content):
            text = _written_tag(content)
    return text


def _grouped(item: Expansion) -> str:
    """In brackets, where it would fall apart in a row."""
    return f"({_written(item)})" if isinstance(item, Alternatives) else _written(item)


def _written_tag(text: str) -> str:
    if "{" not in text and "}" not in text:
        return f"{{{text}}}"
    if "}!}" in text:
        raise GrammarError("a tag with }!} in it cannot be written in ABNF")
    # A space keeps a bracket at the end of the tag apart from its closing marks.
    return f"{{!{{ {text} }}!}}"
