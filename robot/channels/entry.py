"""What is typed for a question, key by key, held against all that may be typed there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..grammar.model import Grammar, GrammarError, Match
from ..script.model import Json

TERMINATOR = "#"
"""Ends an entry, where no grammar takes it for something else (VoiceXML 2.1, ``termchar``)."""
MAX_KEYS = 64
KEPT_KEYS = 2
"""Entries of so many keys are worked out once for all calls: menus and marks, and no secrets."""
KEPT = 4_096


class Entry:
    """Keys of one answer. ``grammars`` are those of the question (None) and of handlers, by name;
    the first that fits has it. ``typed`` is what counts of the keys."""

    __slots__ = ("_grammars", "typed")

    def __init__(self, grammars: Sequence[tuple[str | None, Grammar]]) -> None:
        self._grammars = grammars
        self.typed = ""

    @property
    def open(self) -> bool:
        """Whether keys can be an answer at all."""
        return bool(self._grammars)

    def strays(self, symbol: str) -> bool:
        """Whether a first key means nothing: the end of an entry that was complete without it."""
        if self.typed or symbol != TERMINATOR:
            return False
        return not any(any(_progress(grammar, symbol)) for _, grammar in self._grammars)

    def press(self, symbol: str) -> bool:
        """Take a key; True: no more are waited for."""
        typed = self.typed + symbol
        fits = more = False
        for _, grammar in self._grammars:
            complete, continues = _progress(grammar, typed)
            fits = fits or complete or continues
            more = more or continues
        if not fits and symbol == TERMINATOR:
            return True
        self.typed = typed
        return not more or len(typed) >= MAX_KEYS

    def meaning(self) -> tuple[str | None, Json] | None:
        """Whose grammar the keys fit, and what they mean; None if they fit none."""
        for name, grammar in self._grammars:
            try:
                match = _match(grammar, self.typed)
            except GrammarError:  # it cannot say what these keys mean
                continue
            if match is not None:
                return name, match.value
        return None


def _progress(grammar: Grammar, typed: str) -> tuple[bool, bool]:
    if len(typed) > KEPT_KEYS:
        return grammar.progress(typed)
    return _kept_progress(grammar, typed)


def _match(grammar: Grammar, typed: str) -> Match | None:
    return grammar.match(typed) if len(typed) > KEPT_KEYS else _kept_match(grammar, typed)


@lru_cache(KEPT)
def _kept_progress(grammar: Grammar, typed: str) -> tuple[bool, bool]:
    return grammar.progress(typed)


@lru_cache(KEPT)
def _kept_match(grammar: Grammar, typed: str) -> Match | None:
    return grammar.match(typed)
