"""Bodies of several parts (RFC 2046 section 5.1, RFC 5621): the session description among them.

Beside it switches send ISUP (RFC 3204), and others where a caller is (RFC 6442). None of that is
for us, and a call need not fail for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .fields import media_type
from .message import Message
from .screening import SDP

MAX_PARTS = 32
_KIND = "multipart/"

# Possessive: no backtracking, whatever a peer sends.
_PARAMETER = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))')
_QUOTED_PAIR = re.compile(r"\\(.)")
_FOLD = re.compile(rb"\r\n[ \t]++")
_MAX_BOUNDARY = 70
# Encodings that leave content as it was (RFC 2045 section 6.2, RFC 3261 section 20.12).
_PLAIN = frozenset({"", "7bit", "8bit", "binary", "identity"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its header fields by lower-case name, and what it holds."""

    fields: dict[str, str]
    content: bytes

    @property
    def is_session(self) -> bool:
        """Whether it describes the session; an early one (RFC 3959) is another."""
        disposition = self.fields.get("content-disposition", "").partition(";")[0].strip().lower()
        encodings = {
            self.fields.get(name, "").lower()
            for name in ("content-transfer-encoding", "content-encoding")
        }
        kind = media_type(self.fields.get("content-type", ""))
        described = kind == SDP and disposition in ("", "session") and bool(self.content)
        return described and encodings <= _PLAIN

    @property
    def is_required(self) -> bool:
        """Whether who does not know it must not go on (RFC 3261 section 20.11). RFC 5621 has that
        hold where nothing is said, too; but those who say nothing mean no such thing."""
        handling = parameter(self.fields.get("content-disposition", ""), "handling")
        return handling is not None and handling.lower() == "required"


def unwrap(message: Message) -> None:
    """Have a message say what its part does that describes the session, as if it had come alone.

    A message stays as it is that has no such part, or another one that must be understood.
    """
    if not message.body:
        return
    value = message.headers.get("Content-Type") or ""
    if value[: len(_KIND)].lower() != _KIND:
        return
    session = session_of(parts_of(message.body, parameter(value, "boundary") or ""))
    if session is not None:
        message.body = session
        message.headers.set("Content-Type", SDP)


def session_of(parts: list[Part]) -> bytes | None:
    """The first description of the session; None if there is none, or a part beside it that must
    be understood."""
    sessions = [part for part in parts if part.is_session]
    if not sessions or any(part.is_required for part in parts if not part.is_session):
        return None
    return sessions[0].content


def parts_of(body: bytes, boundary: str) -> list[Part]:
    """The parts between a boundary's lines; none if it is no such body, or has too many of them."""
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        return []
    delimiter = re.escape(b"--" + boundary.encode())
    line = re.compile(rb"(?:\A|\r\n)" + delimiter + rb"(--)?+[ \t]*+(?=\r\n|\Z)")
    parts: list[Part] = []
    begin: int | None = None
    for found in line.finditer(body):
        if begin is not None:
            parts.append(_part(body[begin : found.start()]))
        if found[1]:
            return parts
        if len(parts) == MAX_PARTS:
            return []
        begin = found.end() + 2
    return []  # it was cut


def _part(data: bytes) -> Part:
    """A part's header fields and content, between which there is an empty line."""
    if data.startswith(b"\r\n"):
        return Part({}, data[2:])
    head, _, content = data.partition(b"\r\n\r\n")
    fields: dict[str, str] = {}
    for line in _FOLD.sub(b" ", head).decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return Part(fields, content)


def parameter(value: str, name: str) -> str | None:
    """A parameter of a header field's value; None if it has none of that name."""
    for found in _PARAMETER.finditer(value):
        if found[1].lower() == name:
            return found[3] if found[2] is None else _QUOTED_PAIR.sub(r"\1", found[2])
    return None
