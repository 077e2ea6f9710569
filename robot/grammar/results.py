"""What a recognizer tells: NLSML (RFC 6787, 6.3.1) and EMMA 1.0, read and written.

A meaning is JSON here and XML there, as SISR 1.0 (section 7) has it: properties are elements, items
of arrays are numbered. What is no text says so in an attribute ``type``, which others may ignore.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from .. import markup
from ..markup import Element, MarkupError, quoted, tag
from .expansion import GrammarError, Json
from .semantics import bounded_copy

NLSML_TYPE = "application/nlsml+xml"
EMMA_TYPE = "application/emma+xml"
NLSML_NAMESPACE = "urn:ietf:params:xml:ns:mrcpv2"
EMMA_NAMESPACE = "http://www.w3.org/2003/04/emma"
JSON_NAMESPACE = "urn:ringwheel:json"
MAX_INTERPRETATIONS = 100
MAX_TEXT_CHARS = 16_384

InputMode = Literal["speech", "dtmf"]

_NAME = re.compile(r"(?!xml)[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.IGNORECASE)
_FIGURE = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


class ResultError(ValueError):
    """A result that cannot be read."""


@dataclass(frozen=True, slots=True)
class Interpretation:
    """One meaning of what was heard: ``confidence`` is from 0 to 1, ``text`` the words or keys,
    ``grammar`` the URI of the grammar that they fit, where it is told."""

    value: Json
    text: str = ""
    confidence: float = 1.0
    mode: InputMode = "speech"
    grammar: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What was heard: the likeliest meaning first, none if nothing fits. ``heard`` is what it
    seemed to be then; ``no_input``: it was nothing."""

    interpretations: tuple[Interpretation, ...] = ()
    no_input: bool = False
    heard: str = ""


def read(document: bytes | str) -> Result:
    """Read either form. ResultError: it is neither, or breaks a bound."""
    try:
        root = markup.parse(document)
        found = list(_READERS[root.name](root)) if root.name in _READERS else None
    except MarkupError as error:
        raise ResultError(str(error)) from None
    except GrammarError as error:
        raise ResultError(error.cause) from None
    if found is None:
        raise ResultError(f"<{root.name}> is no result: <result> of NLSML is, and <emma> of EMMA")
    interpretations = [item for item in found if isinstance(item, Interpretation)]
    interpretations.sort(key=lambda item: -item.confidence)
    failures = [item for item in found if isinstance(item, _Failure)]
    heard = next((item.text for item in failures if item.text), "")
    silent = not interpretations and any(item.no_input for item in failures)
    return Result(tuple(interpretations[:MAX_INTERPRETATIONS]), silent, heard)


@dataclass(frozen=True, slots=True)
class _Failure:
    """An interpretation that says that there is none."""

    no_input: bool
    text: str = ""


_Read = Iterator[Interpretation | _Failure]


def _confidence(text: str | None, otherwise: float) -> float:
    """From 0 to 1; older servers count to 100."""
    if text is None:
        return otherwise
    if not _FIGURE.fullmatch(text.strip()):
        raise ResultError(f"confidence {text[:40]!r} is no number")
    value = float(text)
    return max(0.0, min(value / 100 if value > 1 else value, 1.0))


def _plain(text: str) -> str:
    return " ".join(text[: 2 * MAX_TEXT_CHARS].split())[:MAX_TEXT_CHARS]


# NLSML


def _read_nlsml(root: Element) -> _Read:
    grammar = root.attributes.get("grammar", "")
    for element in root.elements("interpretation"):
        heard = element.first("input") or Element("input")
        # Several modes stand in each other; the innermost has the words (RFC 6787, 6.3.1).
        inner = next(heard.elements("input"), heard)
        if inner.first("noinput"):
            yield _Failure(no_input=True)
        elif no_match := inner.first("nomatch"):
            yield _Failure(no_input=False, text=_plain(no_match.text() or inner.text()))
        else:
            instance = element.first("instance")
            text = _plain(heard.text())
            otherwise = _confidence(heard.attributes.get("confidence"), 1.0)
            yield Interpretation(
                text if instance is None else bounded_copy(_read_value(instance, text)),
                text,
                _confidence(element.attributes.get("confidence"), otherwise),
                "dtmf" if inner.attributes.get("mode", "").lower() == "dtmf" else "speech",
                element.attributes.get("grammar", grammar),
            )


def write_nlsml(result: Result) -> str:
    """The result as NLSML."""
    items = [_nlsml_interpretation(item) for item in result.interpretations]
    if not items:
        failure = (
            tag("noinput", {}) if result.no_input else tag("nomatch", {}, quoted(result.heard))
        )
        items = [tag("interpretation", {}, tag("instance", {}), tag("input", {}, failure))]
    attributes = {"xmlns": NLSML_NAMESPACE, "xmlns:rw": JSON_NAMESPACE}
    grammar = next((item.grammar for item in result.interpretations if item.grammar), None)
    if grammar:
        attributes["grammar"] = grammar
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tag("result", attributes, *items)}\n'


def _nlsml_interpretation(item: Interpretation) -> str:
    attributes = {"confidence": _written_confidence(item.confidence)}
    if item.grammar:
        attributes["grammar"] = item.grammar
    heard = {"mode": item.mode, "confidence": _written_confidence(item.confidence)}
    return tag(
        "interpretation",
        attributes,
        _written_value("instance", {}, item.value),
        tag("input", heard, quoted(item.text)),
    )


def _written_confidence(value: float) -> str:
    return f"{max(0.0, min(value, 1.0)):.2f}"


# EMMA


def _read_emma(root: Element) -> _Read:
    grammars = {
        element.attributes.get("id", ""): element.attributes.get("ref", "")
        for element in root.elements("grammar")
    }
    yield from _read_container(root, {}, grammars)


def _read_container(
    element: Element, inherited: Mapping[str, str], grammars: Mapping[str, str]
) -> _Read:
    """Interpretations in it, which have what is said of those around them (EMMA 1.0, 3.3)."""
    attributes = {**inherited, **element.attributes}
    if element.name != "interpretation":
        for child in element.elements():
            if child.namespace == EMMA_NAMESPACE and child.name in _CONTAINERS:
                yield from _read_container(child, attributes, grammars)
        return
    text = _plain(attributes.get("tokens", ""))
    if attributes.get("no-input") == "true":
        yield _Failure(no_input=True)
    elif attributes.get("uninterpreted") == "true":
        yield _Failure(no_input=False, text=text)
    else:
        literal = element.first("literal")
        yield Interpretation(
            bounded_copy(_read_value(element if literal is None else literal, text)),
            text,
            _confidence(attributes.get("confidence"), 1.0),
            "dtmf" if attributes.get("mode") in {"dtmf", "dtmf_keypad", "keys"} else "speech",
            grammars.get(attributes.get("grammar-ref", ""), ""),
        )


_CONTAINERS = frozenset({"interpretation", "one-of", "group", "sequence"})
_READERS = {"result": _read_nlsml, "emma": _read_emma}


def write_emma(result: Result) -> str:
    """The result as EMMA."""
    grammars = list(dict.fromkeys(item.grammar for item in result.interpretations if item.grammar))
    declared = [
        tag("emma:grammar", {"id": f"grammar{number}", "ref": uri})
        for number, uri in enumerate(grammars)
    ]
    items = [
        _emma_interpretation(number, item, grammars)
        for number, item in enumerate(result.interpretations)
    ]
    if len(items) > 1:
        items = [tag("emma:one-of", {"id": "results"}, *items)]
    if not items:
        items = [tag("emma:interpretation", _emma_failure(result))]
    attributes = {
        "version": "1.0",
        "xmlns:emma": EMMA_NAMESPACE,
        "xmlns:rw": JSON_NAMESPACE,
    }
    document = tag("emma:emma", attributes, *declared, *items)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _emma_failure(result: Result) -> dict[str, str]:
    attributes = {"id": "result", **_EMMA_MODES["speech"]}
    if result.no_input:
        return {**attributes, "emma:no-input": "true"}
    return {**attributes, "emma:uninterpreted": "true", "emma:tokens": result.heard}


_EMMA_MODES: dict[InputMode, dict[str, str]] = {
    "dtmf": {"emma:medium": "tactile", "emma:mode": "dtmf"},
    "speech": {"emma:medium": "acoustic", "emma:mode": "voice"},
}


def _emma_interpretation(number: int, item: Interpretation, grammars: list[str]) -> str:
    attributes = {
        "id": f"result{number}",
        **_EMMA_MODES[item.mode],
        "emma:confidence": _written_confidence(item.confidence),
        "emma:tokens": item.text,
    }
    if item.grammar:
        attributes["emma:grammar-ref"] = f"grammar{grammars.index(item.grammar)}"
    if isinstance(item.value, dict) and item.value:
        return tag("emma:interpretation", attributes, *_written_entries(item.value))
    literal = _written_value("emma:literal", {}, item.value)
    return tag("emma:interpretation", attributes, literal)


# Values


def _read_value(element: Element, otherwise: Json) -> Json:
    """A value; ``otherwise`` if the element is empty and says nothing of its type."""
    kind = element.attributes.get("type")
    children = list(element.elements())
    if kind == "array":
        return [_read_value(child, "") for child in children]
    return _read_entries(children) if children else _read_text(element.text(), kind, otherwise)


def _read_text(text: str, kind: str | None, otherwise: Json) -> Json:
    plain = _plain(text)
    value: Json = plain or otherwise
    match kind, plain:
        case "null", "":
            value = None
        case "object", "":
            value = {}
        case "boolean", ("true" | "false"):
            value = plain == "true"
        case "number", _ if _FIGURE.fullmatch(plain):
            number = float(plain)
            value = int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "string", _:
            value = text
    return value


def _read_entries(children: list[Element]) -> dict[str, Json]:
    """Properties; what comes several times is a list."""
    entries: dict[str, Json] = {}
    repeated: dict[str, list[Json]] = {}
    for child in children:
        name = child.attributes.get("key", child.name)
        value = _read_value(child, "")
        if name not in entries:
            entries[name] = value
        elif name in repeated:
            repeated[name].append(value)
        else:
            repeated[name] = [entries[name], value]
            entries[name] = repeated[name]
    return entries


def _written_value(name: str, attributes: dict[str, str], value: Json) -> str:
    kind, content = _typed(value)
    return tag(name, {**attributes, **kind}, content)


def _typed(value: Json) -> tuple[dict[str, str], str]:
    """The attributes that say what a value is, where that is not plain, and its content."""
    match value:
        case None | bool() | int() | float():
            kind = "null" if value is None else "boolean" if isinstance(value, bool) else "number"
            typed = {"rw:type": kind}, "" if value is None else json.dumps(value)
        case str():
            plain = value and value == " ".join(value.split())
            typed = {} if plain else {"rw:type": "string"}, quoted(value)
        case list():
            items = [
                _written_value("item", {"index": str(index)}, item)
                for index, item in enumerate(value)
            ]
            typed = {"rw:type": "array", "length": str(len(value))}, "".join(items)
        case dict():
            typed = {} if value else {"rw:type": "object"}, "".join(_written_entries(value))
    return typed


def _written_entries(value: dict[str, Json]) -> list[str]:
    """Properties; a name that no element can have stands in an attribute."""
    return [
        _written_value(name, {}, item)
        if _NAME.fullmatch(name)
        else _written_value("item", {"rw:key": name}, item)
        for name, item in value.items()
    ]
