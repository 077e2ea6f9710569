"""SSML 1.1: the part of it that telephones need, checked, written, and cut into pieces that an
engine can speak which takes plain text alone.

The elements are ``speak``, ``p``, ``s``, ``w``, ``token``, ``voice``, ``lang``, ``sub``,
``say-as``, ``phoneme``, ``break``, ``emphasis``, ``prosody``, ``mark``, ``audio``, ``desc``,
``meta`` and ``metadata``. Nothing is fetched: of ``audio`` its content is spoken, which is there
for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .. import markup
from ..markup import Element, MarkupError, quoted, tag

NAMESPACE = "http://www.w3.org/2001/10/synthesis"
CONTENT_TYPE = "application/ssml+xml"
MAX_CHARS = 65_536
MAX_PIECES = 2_000
MAX_PAUSE_MS = 30_000
MAX_NAME_CHARS = 256

_FLOWS = frozenset({"speak", "p", "s", "voice", "lang", "emphasis", "prosody", "audio"})
_SPELLED = frozenset({"characters", "digits", "spell-out", "verbatim", "telephone"})
_STRENGTHS_MS = {
    "none": 0,
    "x-weak": 100,
    "weak": 200,
    "medium": 400,
    "strong": 700,
    "x-strong": 1_000,
}
_BEHIND_MS = {"p": 500, "s": 200}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "fast": 1.4, "x-fast": 2.0}
_PITCHES = {"x-low": 0.6, "low": 0.8, "medium": 1.0, "high": 1.25, "x-high": 1.6}
_VOLUMES_DB = {"x-soft": -12.0, "soft": -6.0, "medium": 0.0, "loud": 4.0, "x-loud": 8.0}
_SILENT_DB = -100.0
_TIME = re.compile(r"\s*\+?(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})(ms|s)\s*")
_RELATIVE = re.compile(r"\s*([+-]?)(\d{1,4}(?:\.\d{1,4})?)(%|st|Hz|dB|)\s*")
_ENDS_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+")


class SsmlError(ValueError):
    """Markup that cannot be spoken. ``line`` and ``column`` count from 1."""

    def __init__(self, cause: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {cause}")
        self.cause = cause
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """Words spoken in one way. ``rate`` and ``pitch`` are 1 as the voice has them, 2 is double;
    ``volume_db`` is 0 then."""

    text: str
    locale: str
    voice: str | None = None
    rate: float = 1.0
    pitch: float = 1.0
    volume_db: float = 0.0


@dataclass(frozen=True, slots=True)
class PausePiece:
    """Silence."""

    pause_ms: int


@dataclass(frozen=True, slots=True)
class MarkPiece:
    """A place that is told when it is reached (RFC 6787, 8.4.8: Speech-Marker)."""

    name: str


Piece = SpokenPiece | PausePiece | MarkPiece


def to_ssml(text: str, locale: str, voice: str | None = None) -> str:
    """Plain text as a document."""
    content = quoted(text)
    if voice is not None:
        content = tag("voice", {"name": voice}, content)
    attributes = {"xmlns": NAMESPACE, "version": "1.1", "xml:lang": locale}
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tag("speak", attributes, content)}\n'


def check(document: bytes | str) -> None:
    """SsmlError: it cannot be spoken."""
    pieces(document, "en-US")


def plain_text(document: bytes | str) -> str:
    """What is said, as text: for channels that write."""
    return _tidy("".join(map(_written, _pieces(_root(document), SpokenPiece("", "und")))))


def _written(piece: Piece) -> str:
    match piece:
        case SpokenPiece(text):
            return text
        case PausePiece(pause_ms) if pause_ms:
            return " "
    return ""


def pieces(document: bytes | str, locale: str, voice: str | None = None) -> tuple[Piece, ...]:
    """The document, cut where the way of speaking changes, and at pauses and marks.

    ``locale`` and ``voice`` are those of what names none. SsmlError: it cannot be spoken.
    """
    root = _root(document)
    found: list[Piece] = []
    for piece in _pieces(root, SpokenPiece("", locale, voice)):
        _append(found, piece)
        if len(found) > MAX_PIECES:
            raise SsmlError(f"more than {MAX_PIECES} pieces in one document")
    while found and isinstance(found[-1], PausePiece) and not _asked_for(root):
        found.pop()
    return tuple(
        replace(piece, text=_tidy(piece.text)) if isinstance(piece, SpokenPiece) else piece
        for piece in found
    )


def sentences(piece: SpokenPiece) -> tuple[SpokenPiece, ...]:
    """A piece cut behind its sentences, so that the first can be heard while others are made."""
    cut = [text for text in _ENDS_SENTENCE.split(piece.text) if text]
    return tuple(replace(piece, text=text) for text in cut)


def _root(document: bytes | str) -> Element:
    """The document's element. SsmlError: it is none of SSML."""
    if len(document) > MAX_CHARS:
        raise SsmlError(f"more than {MAX_CHARS} characters in one document")
    try:
        root = markup.parse(document)
    except MarkupError as error:
        raise SsmlError(error.cause, error.line, error.column) from None
    if root.name != "speak" or root.namespace not in {"", NAMESPACE}:
        raise SsmlError(f"<{root.name}> is no SSML, which is <speak>", root.line, root.column)
    return root


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _asked_for(root: Element) -> bool:
    """Whether the last thing in a document is a break; what ends a sentence is no pause there."""
    last = [child for child in root.children if not isinstance(child, str) or child.strip()][-1:]
    return bool(last) and isinstance(last[0], Element) and last[0].name == "break"


def _append(found: list[Piece], piece: Piece) -> None:
    """Add a piece; words that are spoken alike, and pauses, are one piece."""
    last = found[-1] if found else None
    match last, piece:
        case SpokenPiece(), SpokenPiece(text) if not text.strip():
            # It parts the words around it, whatever their manner.
            found[-1] = replace(last, text=f"{last.text} ")
        case _, SpokenPiece(text) if not text.strip():
            return
        case _, PausePiece(0):
            return
        case SpokenPiece(), SpokenPiece() if replace(last, text="") == replace(piece, text=""):
            found[-1] = replace(last, text=f"{last.text}{piece.text}")
        case PausePiece(before), PausePiece(more):
            found[-1] = PausePiece(min(before + more, MAX_PAUSE_MS))
        case _:
            found.append(piece)


def _pieces(element: Element, manner: SpokenPiece) -> Iterator[Piece]:
    """What an element says, in the manner of those around it; words with the space that is between
    them, since an element may begin and end within a word, or before a comma."""
    manner = _manner(element, manner)
    match element.name:
        case "break":
            yield PausePiece(_pause_ms(element))
        case "mark":
            yield MarkPiece(_attribute(element, "name"))
        case "sub":
            yield replace(manner, text=_attribute(element, "alias"))
        case "say-as":
            yield replace(manner, text=_said_as(element))
        case "phoneme":
            yield replace(manner, text=_only_text(element))
        case "w" | "token":
            # A word of its own, also behind another one (SSML 1.1, 3.1.8.2).
            yield replace(manner, text=f" {_only_text(element)}")
        case "desc" | "meta" | "metadata":
            pass
        case name if name in _FLOWS:
            for child in element.children:
                if isinstance(child, str):
                    yield replace(manner, text=child)
                else:
                    yield from _pieces(child, manner)
            yield PausePiece(_BEHIND_MS.get(name, 0))
        case name:
            raise _error(element, f"<{name}> is not understood")


def _error(element: Element, cause: str) -> SsmlError:
    return SsmlError(cause, element.line, element.column)


def _attribute(element: Element, name: str) -> str:
    value = element.attributes.get(name, "").strip()
    if not value or len(value) > MAX_NAME_CHARS:
        cause = f"<{element.name}> needs {name}, of at most {MAX_NAME_CHARS} characters"
        raise _error(element, cause)
    return value


def _only_text(element: Element) -> str:
    for child in element.elements():
        raise _error(child, f"<{child.name}> in <{element.name}> is not understood")
    return element.text()


def _said_as(element: Element) -> str:
    kind = _attribute(element, "interpret-as")
    text = _only_text(element)
    if kind.partition(":")[2] in _SPELLED or kind in _SPELLED:
        return " ".join("".join(text.split()))
    return text


def _pause_ms(element: Element) -> int:
    _only_text(element)
    time, strength = element.attributes.get("time"), element.attributes.get("strength", "medium")
    if time is None:
        if strength not in _STRENGTHS_MS:
            raise _error(element, f"strength {strength!r} is none of {', '.join(_STRENGTHS_MS)}")
        return _STRENGTHS_MS[strength]
    found = _TIME.fullmatch(time)
    pause_ms = round(float(found[1]) * (1_000 if found[2] == "s" else 1)) if found else None
    if pause_ms is None or pause_ms > MAX_PAUSE_MS:
        raise _error(element, f"time {time[:40]!r} is none of at most {MAX_PAUSE_MS} ms: 500ms, 2s")
    return pause_ms


def _manner(element: Element, manner: SpokenPiece) -> SpokenPiece:
    """The manner in which an element is spoken."""
    attributes = element.attributes
    if language := attributes.get("xml:lang", "").strip():
        # A voice of another language is no voice for this one.
        changed = language.lower() != manner.locale.lower()
        manner = replace(manner, locale=language, voice=None if changed else manner.voice)
    if element.name == "voice":
        voice = attributes.get("name", "").split()
        return replace(manner, voice=voice[0]) if voice else manner
    if element.name != "prosody":
        return manner
    try:
        return replace(
            manner,
            rate=_clamped(manner.rate * _factor("rate", attributes.get("rate"), _RATES)),
            pitch=_clamped(manner.pitch * _factor("pitch", attributes.get("pitch"), _PITCHES)),
            volume_db=_volume_db(attributes.get("volume"), manner.volume_db),
        )
    except SsmlError as error:
        raise _error(element, error.cause) from None


def _clamped(factor: float) -> float:
    return min(max(round(factor, 4), 0.25), 4.0)


def _factor(name: str, text: str | None, labels: dict[str, float]) -> float:
    """How much faster or higher: by a label, ``80%``, ``+10%``, ``-2st``, or, as SSML 1.0 had it
    for the rate, ``1.2``."""
    if text is None or text.strip() == "default":
        return 1.0
    if text.strip() in labels:
        return labels[text.strip()]
    if not (found := _RELATIVE.fullmatch(text)):
        raise _unknown(name, text, labels, "80%")
    sign, value, unit = found[1], float(found[2]), found[3]
    signed = -value if sign == "-" else value
    factors = {"%": 1 + signed / 100 if sign else value / 100}
    if name == "pitch":
        # Engines without SSML have no pitch in Hz: the voice keeps its own.
        factors |= {"st": 2.0 ** (max(min(signed, 24.0), -24.0) / 12), "Hz": 1.0}
    elif not sign:
        factors[""] = value
    if unit not in factors:
        raise _unknown(name, text, labels, "80%")
    return factors[unit]


def _unknown(name: str, text: str, labels: dict[str, float], example: str) -> SsmlError:
    known = ", ".join(labels)
    return SsmlError(f"{name} {text[:40]!r} is not understood: {known}, or {example}")


def _volume_db(text: str | None, around_db: float) -> float:
    """The volume: a label is absolute, decibels are relative; SSML 1.0 had 0 to 100."""
    if text is None or text.strip() == "default":
        return around_db
    if text.strip() == "silent":
        return _SILENT_DB
    if text.strip() in _VOLUMES_DB:
        return _VOLUMES_DB[text.strip()]
    found = _RELATIVE.fullmatch(text)
    match (found[1], float(found[2]), found[3]) if found else None:
        case sign, value, "dB" if sign:
            return max(min(around_db + (value if sign == "+" else -value), 20.0), _SILENT_DB)
        case "", value, "" if value <= 100:
            return _SILENT_DB if value == 0 else round((value - 100) * 0.3, 2)
    raise _unknown("volume", text, _VOLUMES_DB, "-6dB")
