"""Compiles what is said: texts, files, values that are read out, pauses, lists of them."""

from __future__ import annotations

import posixpath
import re
from typing import cast

from .forms import Form, Reader
from .model import (
    BargeIn,
    FilePrompt,
    PausePrompt,
    Prompt,
    Prompts,
    SayAs,
    TextPrompt,
    ValuePrompt,
)
from .nearest import suggestion
from .readout import currency_known, supported
from .source import Items, Node, Scalar, Table

BARGE_IN = ("none", "dtmf", "speech", "both")
SAY_AS = ("number", "ordinal", "digits", "characters", "date", "time", "amount", "list")
KINDS = ("text", "ssml", "file", "pause", *SAY_AS)
EXTRAS = {
    "text": ("voice", "locale"),
    "ssml": ("voice", "locale"),
    "file": ("text",),
    "amount": ("currency",),
}
LONGEST_PAUSE_MS = 60_000
MOST_PROMPTS = 100
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_CURRENCY = re.compile(r"[A-Z]{3}")


class PromptReader:
    """Reads prompts; ``locale`` is the script's."""

    def __init__(self, reader: Reader, locale: str) -> None:
        self._reader = reader
        self._locale = locale

    def prompts(self, node: Node) -> Prompts:
        """What is said: one prompt or a list."""
        if not isinstance(node, Items):
            prompt = self._prompt(node)
            return () if prompt is None else (prompt,)
        items = self._reader.items(node, "prompts", MOST_PROMPTS)
        if not items:
            self._reader.problems.error("wrong-value", node.place, "there is nothing to say here")
        return tuple(prompt for item in items if (prompt := self._prompt(item)) is not None)

    def escalation(self, node: Node) -> tuple[Prompts, ...]:
        """What is said after the first, second, ... failure: a list, or one for all of them."""
        if not isinstance(node, Items):
            return (self.prompts(node),)
        return tuple(self.prompts(item) for item in self._reader.items(node, "prompts", 20))

    def optional(self, form: Form, key: str) -> Prompts:
        """The prompts of a key; none where it is not given."""
        node = form.get(key)
        return () if node is None else self.prompts(node)

    def barge_in(self, form: Form, otherwise: BargeIn) -> BargeIn:
        """Who may interrupt what is said."""
        node = form.get("barge_in")
        if node is None:
            return otherwise
        found = self._reader.one_of(node, BARGE_IN, "`barge_in`")
        return otherwise if found is None else cast(BargeIn, found)

    def locale(self, node: Node) -> str | None:
        """A locale (BCP 47)."""
        text = self._reader.text(node, "a locale")
        if text is None or _LOCALE.fullmatch(text):
            return text
        cause = f"`{text[:60]}` is no locale"
        self._reader.problems.error("locale", node.place, cause, "Write it as en-US or de")
        return None

    def _prompt(self, node: Node) -> Prompt | None:
        if isinstance(node, Scalar):
            text = self._reader.template(node, "a text to say")
            return None if text is None else TextPrompt(text)
        if not isinstance(node, Table):
            self._reader.wrong(node, "a prompt", "Lists of prompts are not nested")
            return None
        kind = self._kind(node)
        return None if kind is None else self._of_kind(kind, node)

    def _kind(self, table: Table) -> str | None:
        """The one key that says what kind of prompt it is."""
        kinds = [key for key in table.entries if key in KINDS]
        if "file" in kinds:
            kinds = [key for key in kinds if key != "text"]
        if len(kinds) == 1:
            return kinds[0]
        if kinds:
            place = table.entries[kinds[1]].place
            cause = f"`{kinds[1]}` cannot stand beside `{kinds[0]}`"
            self._reader.problems.error("prompt", place, cause, "Make a list of prompts of it")
            return None
        first = next(iter(table.entries.values()), None)
        near = suggestion(first.key, KINDS) if first is not None else ""
        cause = f"`{first.key[:60]}` is no kind of prompt{near}" if first else "an empty prompt"
        place = first.place if first is not None else table.place
        remedy = f"There are: {', '.join(KINDS)}"
        self._reader.problems.error("prompt", place, cause, "" if near else remedy)
        return None

    def _of_kind(self, kind: str, table: Table) -> Prompt | None:
        known = (kind, *EXTRAS.get(kind, ()))
        form = self._reader.form(table, known, f"a prompt `{kind}`", (kind,))
        node = None if form is None else form.get(kind)
        if form is None or node is None:
            return None
        if kind == "pause":
            pause_ms = self._reader.duration_ms(node, "`pause`", 10, LONGEST_PAUSE_MS)
            return None if pause_ms is None else PausePrompt(pause_ms)
        if kind == "file":
            return self._file(form, node)
        if kind in ("text", "ssml"):
            return self._text(form, node, kind == "ssml")
        return self._value(form, node, cast(SayAs, kind))

    def _text(self, form: Form, node: Node, ssml: bool) -> Prompt | None:
        text = self._reader.template(node, "a text to say")
        voice = self._reader.optional(form, "voice", lambda n: self._reader.text(n, "a voice"))
        locale = self._reader.optional(form, "locale", self.locale)
        return None if text is None else TextPrompt(text, voice, locale, ssml)

    def _file(self, form: Form, node: Node) -> Prompt | None:
        path = self._reader.template(node, "the name of a sound file")
        said = self._reader.optional(form, "text", lambda n: self._reader.template(n, "its text"))
        constant = None if path is None else path.constant
        if constant is not None and not inside(constant):
            cause = f"`{constant[:60]}` lies outside of the folder of prompts"
            remedy = "Name the file within it; `prompts:` at the top says which folder that is"
            self._reader.problems.error("prompt", node.place, cause, remedy)
            return None
        return None if path is None else FilePrompt(path, said)

    def _value(self, form: Form, node: Node, as_: SayAs) -> Prompt | None:
        value = self._reader.expression(node)
        currency = self._reader.optional(form, "currency", self._currency)
        if as_ == "amount" and form.get("currency") is None:
            cause = "an amount needs its currency"
            self._reader.problems.error("missing-key", form.place, cause, "Give `currency: EUR`")
        if not supported(self._locale):
            cause = f"values cannot be read out in `{self._locale}`"
            remedy = "Say them in a text, or take another locale"
            self._reader.problems.error("locale", form.place, cause, remedy)
        return None if value is None else ValuePrompt(value, as_, currency)

    def _currency(self, node: Node) -> str | None:
        text = self._reader.text(node, "a currency")
        if text is None or (_CURRENCY.fullmatch(text) and currency_known(text)):
            return text
        cause = f"`{text[:60]}` is no currency"
        self._reader.problems.error("wrong-value", node.place, cause, "Write it as EUR (ISO 4217)")
        return None


def inside(path: str) -> bool:
    """Whether a path stays in the folder that it begins in."""
    clean = posixpath.normpath(path)
    outside = clean.startswith(("/", "../", "~")) or clean in (".", "..")
    return not outside and "\\" not in path and path.isprintable()
