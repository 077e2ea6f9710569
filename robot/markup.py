"""XML of strangers, read within bounds, and XML of ours, written.

There is no way from a document to anything outside of it: a document type, and with it entities
and external ones, is refused; includes are elements like others, which no reader here knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

MAX_BYTES = 1_048_576
MAX_DEPTH = 100
MAX_ELEMENTS = 50_000
MAX_ATTRIBUTES = 32
XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class MarkupError(ValueError):
    """A document that is not well formed, or breaks a bound. ``line`` and ``column`` from 1."""

    def __init__(self, cause: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {cause}")
        self.cause = cause
        self.line = line
        self.column = column


@dataclass(slots=True)
class Element:
    """An element: names without their prefix, but ``xml:lang``; ``line`` and ``column`` from 1."""

    name: str
    namespace: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)
    line: int = 1
    column: int = 1

    def elements(self, name: str | None = None) -> Iterator[Element]:
        """The elements in it, of one name or all."""
        for child in self.children:
            if isinstance(child, Element) and name in {None, child.name}:
                yield child

    def first(self, name: str) -> Element | None:
        """The first element of a name in it."""
        return next(self.elements(name), None)

    def text(self) -> str:
        """All text in it and in its elements, as it stands."""
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)


def parse(document: bytes | str) -> Element:
    """The root element. MarkupError: not well formed, a document type, or a bound is broken."""
    return _Reader(document).root


class _Reader:
    def __init__(self, document: bytes | str) -> None:
        encoding = "utf-8" if isinstance(document, str) else None
        data = document.encode("utf-8", "replace") if isinstance(document, str) else document
        if len(data) > MAX_BYTES:
            raise MarkupError(f"the document is longer than {MAX_BYTES} bytes", 1, 1)
        self._open: list[Element] = []
        self._count = 0
        self._root: Element | None = None
        self._parser = parser = expat.ParserCreate(encoding, namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            cause = expat.errors.messages.get(error.code, str(error))
            raise MarkupError(f"not well formed: {cause}", error.lineno, error.offset + 1) from None
        except (LookupError, ValueError) as error:
            if isinstance(error, MarkupError):
                raise
            raise self._error(f"not readable: {error}") from None

    @property
    def root(self) -> Element:
        if self._root is None:
            raise self._error("there is no element")
        return self._root

    def _error(self, cause: str) -> MarkupError:
        return MarkupError(
            cause, self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        )

    def _doctype(self, *_: object) -> None:
        raise self._error("a document type is refused: remove the DOCTYPE")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise self._error(f"more than {MAX_ELEMENTS} elements")
        if len(self._open) >= MAX_DEPTH:
            raise self._error(f"elements stand in each other more than {MAX_DEPTH} deep")
        if len(attributes) > MAX_ATTRIBUTES:
            raise self._error(f"an element with more than {MAX_ATTRIBUTES} attributes")
        namespace, _, local = name.rpartition(" ")
        element = Element(
            local,
            namespace,
            {_attribute(key): value for key, value in attributes.items()},
            line=self._parser.CurrentLineNumber,
            column=self._parser.CurrentColumnNumber + 1,
        )
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        children = self._open[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += text
        else:
            children.append(text)


def _attribute(name: str) -> str:
    namespace, _, local = name.rpartition(" ")
    return f"xml:{local}" if namespace == XML_NAMESPACE else local


def quoted(text: str) -> str:
    """Text as it stands between tags; what XML cannot have is replaced."""
    return escape(_FORBIDDEN.sub("\ufffd", text), {'"': "&quot;", "\r": "&#13;"})


def tag(name: str, attributes: Mapping[str, str], *content: str) -> str:
    """An element, written; ``content`` is XML already."""
    inside = "".join(content)
    pairs = "".join(
        f' {key}="{quoted(value).replace(chr(10), "&#10;").replace(chr(9), "&#9;")}"'
        for key, value in attributes.items()
    )
    return f"<{name}{pairs}>{inside}</{name}>" if inside else f"<{name}{pairs}/>"
