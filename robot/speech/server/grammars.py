"""The grammars of a recognizer channel: what was defined, and what a request refers to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ...grammar import srgs_abnf, srgs_xml
from ...grammar.builtins import builtin
from ...grammar.model import Grammar, GrammarError
from ..mrcp.message import Message
from ..mrcp.words import Header, RecognizeCause

XML, ABNF = "application/srgs+xml", "application/srgs"
URI_LIST, REFERENCES = "text/uri-list", "text/grammar-ref-list"
ACCEPTED = f"{XML}, {ABNF}, {URI_LIST}, {REFERENCES}"

MAX_DEFINED = 256
MAX_ACTIVE = 32

_REFERENCE = re.compile(r'<([^<>]{1,1000})>(?:\s*;\s*weight\s*=\s*"?[0-9.]{1,10}"?)?')


class GrammarRefused(Exception):
    """Grammars that cannot be used; ``cause`` and the text go into the answer."""

    def __init__(self, cause: RecognizeCause, text: str, uri: str = "") -> None:
        super().__init__(text)
        self.cause = cause
        self.uri = uri


class UnknownEntity(Exception):
    """A body that is none of ``ACCEPTED``."""


@dataclass(frozen=True, slots=True)
class Active:
    """A grammar of a request, under the name that results give it."""

    uri: str
    grammar: Grammar


class Grammars:
    """What was defined on a channel, by Content-ID (RFC 6787, 9.8)."""

    def __init__(self) -> None:
        self._defined: dict[str, Grammar] = {}

    def read(self, message: Message, locale: str) -> list[Active]:
        """The grammars of a body. GrammarRefused, UnknownEntity."""
        kind, body = message.content_type, message.body
        if kind == XML:
            return [Active(_own_uri(message), _checked(lambda: srgs_xml.read(body, locale=locale)))]
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise UnknownEntity from None
        if kind == ABNF:
            grammar = _checked(lambda: srgs_abnf.read(text, locale=locale))
            return [Active(_own_uri(message), grammar)]
        if kind not in {URI_LIST, REFERENCES} or not text.strip():
            raise UnknownEntity
        lines = [line.strip() for line in text.splitlines()]
        uris = [_reference(line) for line in lines if line and not line.startswith("#")]
        if len(uris) > MAX_ACTIVE:
            cause = f"{len(uris)} grammars in one request, at most {MAX_ACTIVE}"
            raise GrammarRefused(RecognizeCause.GRAMMAR_LOAD_FAILURE, cause)
        return [Active(uri, self._find(uri, locale)) for uri in uris]

    def define(self, content_id: str, grammar: Grammar) -> None:
        """Keep it for requests to come. GrammarRefused: there are too many."""
        if content_id not in self._defined and len(self._defined) >= MAX_DEFINED:
            cause = f"more than {MAX_DEFINED} grammars; forget some by an empty body"
            raise GrammarRefused(RecognizeCause.GRAMMAR_DEFINITION_FAILURE, cause)
        self._defined[content_id] = grammar

    def forget(self, content_id: str) -> bool:
        """False: there is none of that name."""
        return self._defined.pop(content_id, None) is not None

    def _find(self, uri: str, locale: str) -> Grammar:
        scheme, _, name = uri.partition(":")
        if scheme == "session":
            if name not in self._defined:
                raise GrammarRefused(
                    RecognizeCause.GRAMMAR_LOAD_FAILURE, f"no grammar {name!r} was defined", uri
                )
            return self._defined[name]
        if scheme == "builtin":
            return _checked(lambda: builtin(uri, locale), uri)
        cause = "grammars are taken from session: and builtin: URIs, and from bodies"
        raise GrammarRefused(RecognizeCause.URI_FAILURE, cause, uri)


def content_id_of(message: Message) -> str:
    """Its Content-ID without the brackets; empty: it has none."""
    return (message.headers.get(Header.CONTENT_ID) or "").strip().removeprefix("<").rstrip(">")


def _own_uri(message: Message) -> str:
    content_id = content_id_of(message)
    return f"session:{content_id}" if content_id else "session:inline"


def _reference(line: str) -> str:
    found = _REFERENCE.fullmatch(line)
    return found[1] if found else line


def _checked(read: Callable[[], Grammar], uri: str = "") -> Grammar:
    try:
        return read()
    except GrammarError as error:
        cause = RecognizeCause.GRAMMAR_COMPILATION_FAILURE
        raise GrammarRefused(cause, str(error), uri) from error
