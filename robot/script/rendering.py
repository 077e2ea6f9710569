"""What a step's prompts and templates come to, in the scope of its flow."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote
from xml.sax.saxutils import escape

from .actions import Speech, Spoken, SpokenFile, SpokenPause, SpokenText
from .expressions import Template
from .model import FilePrompt, Json, PausePrompt, Prompt, Prompts, Script, TextPrompt
from .readout import ReadoutError, read_out
from .values import as_text

MAX_SPOKEN_CHARACTERS = 4_000
MAX_LINE_CHARACTERS = 2_048
MAX_BODY_BYTES = 65_536
KEPT_PATHS = 4_096
DIGITS = frozenset("0123456789*#ABCDabcd,")

Scope = dict[str, Json]


class Fault(Exception):
    """A step cannot be done; ``kind`` is one word, ``reason`` is for people."""

    def __init__(self, kind: str, reason: str, result: Json = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.result = result


class Exhausted(Fault):
    """A bound of the whole conversation is reached: no branch of a step's own goes on from here."""


def speech_of(prompts: Prompts, script: Script, scope: Callable[[], Scope]) -> Speech:
    """The prompts as they are to be said; the scope is asked for where one needs it. Fault;
    ExpressionError."""
    return tuple([_spoken(prompt, script, scope) for prompt in prompts])


def _spoken(prompt: Prompt, script: Script, scope: Callable[[], Scope]) -> Spoken:
    if isinstance(prompt, FilePrompt):
        if prompt.text is None and prompt.path.constant is not None:
            return _own_file(script.base, prompt.path.constant)
        text = "" if prompt.text is None else _bounded(prompt.text.render(scope()))
        return SpokenFile(_path_of(prompt.path, script.base, scope()), text)
    if isinstance(prompt, TextPrompt):
        # In SSML a value is text, and no markup.
        known = scope()
        text = _encoded(prompt.text, known, _xml) if prompt.ssml else prompt.text.render(known)
        text = _bounded(text)
        locale = prompt.locale or script.locale
        return SpokenText(text, locale, prompt.voice or script.voice, prompt.ssml)
    if isinstance(prompt, PausePrompt):
        return SpokenPause(prompt.pause_ms)
    try:
        value = prompt.value.evaluate(scope())
        words = read_out(value, prompt.as_, script.locale, prompt.currency)
    except ReadoutError as error:
        raise Fault("prompt", str(error)) from error
    return SpokenText(_bounded(words), script.locale, script.voice)


def _bounded(text: str) -> str:
    if len(text) > MAX_SPOKEN_CHARACTERS:
        raise Fault("prompt", f"{len(text):,} characters to say: at most {MAX_SPOKEN_CHARACTERS:,}")
    return text


def _encoded(template: Template, scope: Scope, encode: Callable[[str], str]) -> str:
    """The template's own text as it is, and what is put into it encoded."""
    return "".join(
        part if isinstance(part, str) else encode(as_text(part.evaluate(scope)))
        for part in template.parts
    )


def _xml(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})


def url_of(template: Template, scope: Scope, kind: str) -> str:
    """A URL. A value in it is percent-encoded, so that nobody's answer leads to another place;
    only one at the very beginning is not: the base of the author's own URLs. Fault."""
    base, *others = template.parts or ("",)
    start = base if isinstance(base, str) else as_text(base.evaluate(scope))
    rest = Template("", template.place, template.names, tuple(others))
    return _line(start + _encoded(rest, scope, _percent), kind, "url")


def _percent(text: str) -> str:
    return quote(text, safe="")


def _path_of(path: Template, base: str, scope: Scope) -> str:
    """Where a sound file lies: within the script's folder, if its name was not written there."""
    if path.constant is not None:
        return _own_file(base, path.constant).path
    rendered = path.render(scope)
    inside = posixpath.normpath(rendered)
    climbs = inside.startswith(("/", "../")) or inside in (".", "..") or "\0" in inside
    if path.names and climbs:
        raise Fault("prompt", f"{rendered[:60]!r} is no sound file in the script's folder")
    return posixpath.join(base, inside)


@lru_cache(KEPT_PATHS)
def _own_file(base: str, path: str) -> SpokenFile:
    """A file that the script names outright."""
    return SpokenFile(posixpath.join(base, posixpath.normpath(path)))


def line_of(template: Template, scope: Scope, kind: str, what: str) -> str:
    """A text that goes into a request's line: printable, and not too long. Fault."""
    return _line(template.render(scope), kind, what)


def _line(text: str, kind: str, what: str) -> str:
    if not text.isprintable() or len(text) > MAX_LINE_CHARACTERS:
        raise Fault(kind, f"{what}: {text[:60]!r} is too long, or has characters it may not have")
    return text


def digits_of(template: Template, scope: Scope) -> str:
    """Keypad digits. Fault."""
    digits = line_of(template, scope, "digits", "digits").replace(" ", "")
    if not digits or not set(digits) <= DIGITS:
        raise Fault("digits", f"{digits[:60]!r} are no keypad digits (0-9 * # A-D, and , for 1 s)")
    return digits
