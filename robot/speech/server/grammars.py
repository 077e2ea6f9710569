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
MAX_STATES = 100_000
MAX_BODY_BYTES = 8 << 20
"""Of all grammars that are defined on one channel: a state takes about 500 bytes."""
SERVER_STATES = 1_000_000
SERVER_BODY_BYTES = 64 << 20
"""Of those on all channels of a server."""
MAX_ACTIVE = 32
MAX_ACTIVE_STATES = 50_000
"""Of the grammars of one request."""

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


class Room:
    """What grammars may take together: of a channel, and of the server ``around`` it."""

    def __init__(
        self,
        most_states: int = SERVER_STATES,
        most_bytes: int = SERVER_BODY_BYTES,
        around: Room | None = None,
    ) -> None:
        self.states = 0
        self.body_bytes = 0
        self._most_states = most_states
        self._most_bytes = most_bytes
        self._around = around

    def take(self, states: int, body_bytes: int) -> bool:
        """False: there is not so much left."""
        fits = self.states + states <= self._most_states
        fits = fits and self.body_bytes + body_bytes <= self._most_bytes
        if not fits or (self._around and not self._around.take(states, body_bytes)):
            return False
        self.states += states
        self.body_bytes += body_bytes
        return True

    def give(self, states: int, body_bytes: int) -> None:
        """It is free again."""
        self.states -= states
        self.body_bytes -= body_bytes
        if self._around:
            self._around.give(states, body_bytes)


@dataclass(frozen=True, slots=True)
class _Defined:
    """A grammar, and the length of the body that it was read from."""

    grammar: Grammar
    body_bytes: int


class Grammars:
    """What was defined on a channel, by Content-ID (RFC 6787, 9.8). ``server`` is the room of all
    channels together."""

    def __init__(self, server: Room | None = None) -> None:
        self._defined: dict[str, _Defined] = {}
        self._room = Room(MAX_STATES, MAX_BODY_BYTES, server)

    @staticmethod
    def at_hand(message: Message) -> bool:
        """Whether all grammars of a body were read before, so that `read` takes no time."""
        lists = message.content_type in {URI_LIST, REFERENCES}
        return lists and b"builtin:" not in message.body

    def read(self, message: Message, locale: str) -> list[Active]:
        """The grammars of a body. GrammarRefused, UnknownEntity.

        It may take a second, and may run in a thread while nothing else is done here.
        """
        active = self._read(message, locale)
        if sum(one.grammar.size for one in active) > MAX_ACTIVE_STATES:
            cause = f"the grammars of one request are too large: {MAX_ACTIVE_STATES} states at most"
            raise GrammarRefused(RecognizeCause.GRAMMAR_LOAD_FAILURE, cause)
        return active

    def _read(self, message: Message, locale: str) -> list[Active]:
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

    def define(self, content_id: str, grammar: Grammar, body_bytes: int) -> None:
        """Keep it for requests to come. GrammarRefused: there is no room; what had that name
        stays."""
        before = self._defined.get(content_id)
        failed = RecognizeCause.GRAMMAR_DEFINITION_FAILURE
        if before is None and len(self._defined) >= MAX_DEFINED:
            cause = f"more than {MAX_DEFINED} grammars; forget some by an empty body"
            raise GrammarRefused(failed, cause)
        if before is not None:
            self._room.give(before.grammar.size, before.body_bytes)
        if not self._room.take(grammar.size, body_bytes):
            if before is not None:
                self._room.take(before.grammar.size, before.body_bytes)
            cause = "grammars take too much room; forget some by an empty body"
            raise GrammarRefused(failed, cause)
        self._defined[content_id] = _Defined(grammar, body_bytes)

    def forget(self, content_id: str) -> bool:
        """False: there is none of that name."""
        found = self._defined.pop(content_id, None)
        if found is not None:
            self._room.give(found.grammar.size, found.body_bytes)
        return found is not None

    def clear(self) -> None:
        """Forget all."""
        for content_id in list(self._defined):
            self.forget(content_id)

    def _find(self, uri: str, locale: str) -> Grammar:
        scheme, _, name = uri.partition(":")
        if scheme == "session":
            if name not in self._defined:
                raise GrammarRefused(
                    RecognizeCause.GRAMMAR_LOAD_FAILURE, f"no grammar {name!r} was defined", uri
                )
            return self._defined[name].grammar
        if scheme == "builtin":
            return _checked(lambda: builtin(uri, locale), uri)
        cause = "grammars are taken from session: and builtin: URIs, and from bodies"
        raise GrammarRefused(RecognizeCause.URI_FAILURE, cause, uri)


def attempt(
    read: Callable[[], list[Active]],
) -> list[Active] | GrammarRefused | UnknownEntity:
    """What came of reading, with refusals as values."""
    try:
        return read()
    except (GrammarRefused, UnknownEntity) as error:
        return error


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
