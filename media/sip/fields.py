"""Values inside SIP headers: lists, parameters, Via, CSeq (RFC 3261 sections 7.3.1 and 20).

Everything here reads text of a peer: what does not fit raises `SipParseError`, and every look at a
value is linear in its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._core import is_token
from .reject import SipParseError, SipReject

# Possessive quantifiers (Python 3.11): no backtracking, whatever a peer sends.
_QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_QUOTED_STRING = re.compile(_QUOTED, re.DOTALL)
_LIST_PIECE = re.compile(rf'{_QUOTED}|<[^>]*+>|[^",<]++|,|["<]', re.DOTALL)
_PARAM_PIECE = re.compile(rf'{_QUOTED}|[^";]++|;|"', re.DOTALL)
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._]+")
_MAX_CSEQ = 2**31 - 1

Params = tuple[tuple[str, str], ...]
"""Parameters in order: name in lower case, value as written; "" for one without a value."""


def quoted_end(text: str, start: int) -> int:
    """Index behind the quoted string that opens at ``start``."""
    found = _QUOTED_STRING.match(text, start)
    if not found:
        raise SipParseError(SipReject.QUOTE)
    return found.end()


def unquote(text: str) -> str:
    """The content of a quoted string, escapes resolved; other text unchanged."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def quote(text: str) -> str:
    """A quoted string of any text without line breaks."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _split(text: str, piece: re.Pattern[str], separator: str) -> list[str]:
    parts: list[str] = []
    begin = 0
    for found in piece.finditer(text):
        token = found.group()
        if token == separator:
            parts.append(text[begin : found.start()].strip())
            begin = found.end()
        elif token == '"':
            raise SipParseError(SipReject.QUOTE)
        elif token == "<":
            raise SipParseError(SipReject.BRACKET)
    return [*parts, text[begin:].strip()]


def split_commas(value: str) -> list[str]:
    """The elements of a comma-separated header value, stripped; empty ones are left out.

    Commas in quoted strings and in angle brackets do not separate. SipParseError: a quote or a
    bracket is never closed.
    """
    if '"' in value or "<" in value:
        parts = _split(value, _LIST_PIECE, ",")
    else:
        parts = [part.strip() for part in value.split(",")]
    return [part for part in parts if part]


def has_token(lines: list[str], token: str) -> bool:
    """True if one of the comma-separated lists (Supported, Allow, Require) holds ``token``."""
    wanted = token.lower()
    return any(wanted == item.strip().lower() for line in lines for item in line.split(","))


def parse_params(text: str) -> Params:
    """Parameters from ``;name=value;flag`` (or an empty text). SipParseError: malformed."""
    text = text.strip()
    if not text:
        return ()
    parts = _split(text, _PARAM_PIECE, ";") if '"' in text else text.split(";")
    if parts[0].strip():
        raise SipParseError(SipReject.PARAMETER)
    return tuple(_parse_param(part) for part in parts[1:])


def _parse_param(part: str) -> tuple[str, str]:
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if not is_token(name) or (equals and not value):
        raise SipParseError(SipReject.PARAMETER)
    return name.lower(), value


def format_params(params: Params) -> str:
    """``;name=value;flag``; the reverse of `parse_params`."""
    return "".join(f";{name}={value}" if value else f";{name}" for name, value in params)


def get_param(params: Params, name: str) -> str | None:
    """The value of the first parameter ``name`` (lower case), "" for a flag, None if absent."""
    for found, value in params:
        if found == name:
            return value
    return None


def parse_host_port(text: str, reason: SipReject) -> tuple[str, int | None]:
    """``host[:port]``; an IPv6 host loses its brackets. SipParseError (``reason``): malformed."""
    host = _HOST.match(text)
    if not host:
        raise SipParseError(reason)
    rest = text[host.end() :].strip()
    if not rest:
        return host.group().strip("[]"), None
    digits = rest[1:].strip()
    if rest[0] != ":" or not digits.isascii() or not digits.isdigit() or len(digits) > 5:
        raise SipParseError(reason)
    port = int(digits)
    if not 0 < port < 65536:
        raise SipParseError(reason)
    return host.group().strip("[]"), port


def format_host_port(host: str, port: int | None) -> str:
    """``host[:port]``, an IPv6 host in brackets."""
    text = f"[{host}]" if ":" in host else host
    return text if port is None else f"{text}:{port}"


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value (RFC 3261 section 20.42). ``host`` is without brackets; ``port`` as given."""

    transport: str
    host: str
    port: int | None = None
    params: Params = ()

    @classmethod
    def parse(cls, value: str) -> Via:
        """Read one value, that is, an element of `split_commas`. SipParseError: malformed."""
        head, semicolon, params = value.partition(";")
        pieces = head.split("/", 2)
        sip = len(pieces) == 3 and pieces[0].strip().upper() == "SIP" and pieces[1].strip() == "2.0"
        words = pieces[-1].split(None, 1)
        if not sip or len(words) != 2 or not is_token(words[0]):
            raise SipParseError(SipReject.VIA)
        transport, sent_by = words
        host, port = parse_host_port(sent_by.strip(), SipReject.VIA)
        return cls(transport.upper(), host, port, parse_params(semicolon + params))

    def param(self, name: str) -> str | None:
        """The value of a parameter, "" for one without a value (``rport``), None if absent."""
        return get_param(self.params, name)

    def __str__(self) -> str:
        sent_by = format_host_port(self.host, self.port)
        return f"SIP/2.0/{self.transport} {sent_by}{format_params(self.params)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """A CSeq value (RFC 3261 section 20.16): ``number`` below 2**31, and the method."""

    number: int
    method: str

    @classmethod
    def parse(cls, value: str) -> CSeq:
        """SipParseError: malformed, or the number is out of range."""
        parts = value.split()
        digits = parts[0].lstrip("0") if parts else ""
        if len(parts) != 2 or not is_token(parts[1]) or len(digits) > 10:
            raise SipParseError(SipReject.CSEQ)
        if not (parts[0].isascii() and parts[0].isdigit()) or int(digits or "0") > _MAX_CSEQ:
            raise SipParseError(SipReject.CSEQ)
        return cls(int(digits or "0"), parts[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def media_type(value: str) -> str:
    """Type and subtype of a Content-Type or Accept value, in lower case, without parameters."""
    return value.partition(";")[0].replace(" ", "").lower()
