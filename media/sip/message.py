"""SIP messages (RFC 3261 section 7): requests, responses, headers; reading and writing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


class Headers:
    """Header lines in wire order, under their canonical long names (``Via``, ``Call-ID``).

    Look-up by canonical name is exact: the parser has already turned compact forms and any case
    into the canonical name (``v``, ``VIA`` and ``via`` all read as ``Via``).
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._lines: list[tuple[str, str]] = list(lines)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._lines == other._lines

    def __repr__(self) -> str:
        return f"Headers({self._lines!r})"

    def get(self, name: str) -> str | None:
        """Value of the first line of that name, unfolded and stripped; None if there is none."""
        for line_name, value in self._lines:
            if line_name == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """Values of every line of that name, one entry a line (commas are not split)."""
        return [value for line_name, value in self._lines if line_name == name]

    def add(self, name: str, value: str) -> None:
        """Append a line."""
        self._lines.append((name, value))

    def set(self, name: str, value: str) -> None:
        """Put one line in the place of every line of that name."""
        self.remove(name)
        self._lines.append((name, value))

    def remove(self, name: str) -> None:
        """Take every line of that name out."""
        self._lines = [line for line in self._lines if line[0] != name]


@dataclass(slots=True)
class Message:
    """What requests and responses share. The fields below the body are read off the headers once.

    ``branch`` and ``sent_by`` are those of the topmost Via; ``sent_by`` is ``host:port`` in lower
    case with the default port filled in. ``from_tag`` and ``to_tag`` are None where absent.
    """

    headers: Headers
    body: bytes = field(default=b"", kw_only=True)
    call_id: str = field(default="", kw_only=True)
    cseq: int = field(default=0, kw_only=True)
    cseq_method: str = field(default="", kw_only=True)
    from_tag: str | None = field(default=None, kw_only=True)
    to_tag: str | None = field(default=None, kw_only=True)
    branch: str = field(default="", kw_only=True)
    sent_by: str = field(default="", kw_only=True)

    def start_line(self) -> str:
        """The first line, without its CRLF."""
        raise AssertionError("a message is a Request or a Response")

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; Content-Length is always written, once, and right."""
        lines = [self.start_line()]
        lines += [f"{name}: {value}" for name, value in self.headers if name != "Content-Length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


@dataclass(slots=True)
class Request(Message):
    """A SIP request. ``uri`` is the Request-URI as on the wire."""

    method: str = field(kw_only=True)
    uri: str = field(kw_only=True)

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass(slots=True)
class Response(Message):
    """A SIP response. ``reason`` may be empty (RFC 3261 section 25.1)."""

    status: int = field(kw_only=True)
    reason: str = field(kw_only=True)

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"
