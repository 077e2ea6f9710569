"""SIP, SIPS and tel URIs, and the addresses of From, To, Contact and Route headers.

RFC 3261 sections 19.1 and 20.10, RFC 3966. Text of a peer: what does not fit raises
`SipParseError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from .._core import is_token
from .fields import (
    Params,
    format_host_port,
    format_params,
    get_param,
    parse_host_port,
    parse_params,
    quote,
    quoted_end,
    unquote,
)
from .reject import SipParseError, SipReject

_BAD_IN_URI = re.compile(r'[\x00-\x20\x7f<>"]')
_TEL_NUMBER = re.compile(r"\+?[0-9A-Fa-f*#\-.()]+")

# Characters that stay as they are; all others are escaped (RFC 3261 section 25.1).
_UNRESERVED = "A-Za-z0-9\\-_.!~*'()"
_ESCAPE_IN_USER = re.compile(rf"[^{_UNRESERVED}&=+$,;?/]")
_ESCAPE_IN_PASSWORD = re.compile(rf"[^{_UNRESERVED}&=+$,]")
_ESCAPE_IN_PARAM = re.compile(rf"[^{_UNRESERVED}\[\]/:&+$]")
_ESCAPE_IN_HEADER = re.compile(rf"[^{_UNRESERVED}\[\]/?:+$]")


KNOWN_URIS = 2_048
MAX_KNOWN_CHARS = 128
"""Longer ones are not kept: what strangers send must not fill the memory."""


def _hex_escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode("utf-8", "surrogateescape"))


def _escape(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(_hex_escape, text)


def _unescape(text: str) -> str:
    """Resolve %HH. SipParseError: a percent sign without two hexadecimal digits."""
    if "%" not in text:
        return text
    first, *rest = text.encode("utf-8", "surrogateescape").split(b"%")
    data = bytearray(first)
    for piece in rest:
        digits = piece[:2]
        if len(digits) < 2 or digits.strip(b"0123456789abcdefABCDEF"):
            raise SipParseError(SipReject.URI)
        data.append(int(digits, 16))
        data += piece[2:]
    return data.decode("utf-8", "surrogateescape")


def _parse_uri_params(text: str) -> Params:
    # Names may be escaped too: RFC 4475 section 3.1.1.3.
    return tuple((_unescape(name).lower(), _unescape(value)) for name, value in parse_params(text))


def _format_uri_params(params: Params) -> str:
    escaped = (
        (_escape(name, _ESCAPE_IN_PARAM), _escape(value, _ESCAPE_IN_PARAM))
        for name, value in params
    )
    return format_params(tuple(escaped))


def _parse_headers(text: str) -> Params:
    """``name=value&name=value`` behind the question mark."""
    pairs = []
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise SipParseError(SipReject.URI)
        pairs.append((_unescape(name), _unescape(value)))
    return tuple(pairs)


def _format_headers(headers: Params) -> str:
    pairs = "&".join(
        f"{_escape(name, _ESCAPE_IN_HEADER)}={_escape(value, _ESCAPE_IN_HEADER)}"
        for name, value in headers
    )
    return f"?{pairs}" if pairs else ""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A ``sip:``, ``sips:`` or ``tel:`` URI, escapes resolved.

    ``host`` is in lower case, IPv6 without brackets. A tel URI has its number as ``user`` and an
    empty ``host``. ``user`` is None where there is no user part. Parameter names are in lower case.
    """

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: Params = ()
    headers: Params = ()
    password: str | None = None

    parse: ClassVar[Callable[[str], SipUri]]
    """Read a URI as it stands on the wire, without angle brackets.

    SipParseError: malformed (status None), or of another scheme (status 416).
    """

    @classmethod
    def read(cls, text: str) -> SipUri:
        """As `parse`, whatever was read before."""
        scheme, colon, rest = text.partition(":")
        scheme = scheme.lower()
        if not colon or not rest or _BAD_IN_URI.search(text):
            raise SipParseError(SipReject.URI)
        if scheme == "tel":
            return cls._parse_tel(rest)
        if scheme not in ("sip", "sips"):
            raise SipParseError(SipReject.URI, 416)  # RFC 3261 section 8.2.2.1
        return cls._parse_sip(scheme, rest)

    @classmethod
    def _parse_tel(cls, rest: str) -> SipUri:
        number, semicolon, params = rest.partition(";")
        if not _TEL_NUMBER.fullmatch(number):
            raise SipParseError(SipReject.URI)
        return cls("tel", number, "", None, _parse_uri_params(semicolon + params))

    @classmethod
    def _parse_sip(cls, scheme: str, rest: str) -> SipUri:
        # A user part may hold semicolons and question marks, so the last @ is looked for first.
        userinfo, at_sign, target = rest.rpartition("@")
        if at_sign and not userinfo:
            raise SipParseError(SipReject.URI)
        user, colon, password = userinfo.partition(":")
        address, question, headers = target.partition("?")
        host_port, semicolon, params = address.partition(";")
        host, port = parse_host_port(host_port, SipReject.URI)
        return cls(
            scheme,
            _unescape(user) if at_sign else None,
            host.lower(),
            port,
            _parse_uri_params(semicolon + params),
            _parse_headers(headers) if question else (),
            _unescape(password) if colon else None,
        )

    def param(self, name: str) -> str | None:
        """The value of a parameter (lower case), "" for a flag (``lr``), None if absent."""
        for found, value in self.params:
            if found == name:
                return value
        return None

    def __str__(self) -> str:
        params = _format_uri_params(self.params)
        if self.scheme == "tel":
            return f"tel:{self.user}{params}"
        userinfo = "" if self.user is None else _escape(self.user, _ESCAPE_IN_USER)
        if self.password is not None:
            userinfo += ":" + _escape(self.password, _ESCAPE_IN_PASSWORD)
        if self.user is not None:
            userinfo += "@"
        address = format_host_port(self.host, self.port)
        return f"{self.scheme}:{userinfo}{address}{params}{_format_headers(self.headers)}"


class _KnownUris(dict[str, SipUri]):
    """Every URI that was read, as a call reads the same few again and again; a look-up of what is
    known calls no Python."""

    def __missing__(self, text: str) -> SipUri:
        uri = SipUri.read(text)
        if len(text) <= MAX_KNOWN_CHARS:
            if len(self) >= KNOWN_URIS:
                self.clear()
            self[text] = uri
        return uri


SipUri.parse = _KnownUris().__getitem__


@dataclass(frozen=True, slots=True)
class NameAddr:
    """An address with display name and header parameters (From, To, Contact, Route ...).

    ``uri`` is the text as on the wire, of any scheme, since what a peer gave as its target is used
    unchanged; `target` reads it. ``display`` is without quotes, "" where absent.
    """

    uri: str
    display: str = ""
    params: Params = ()

    @classmethod
    def parse(cls, value: str) -> NameAddr:
        """Read one address: a From or To value, or one element of `split_commas`.

        SipParseError: malformed.
        """
        value = value.strip()
        start = quoted_end(value, 0) if value.startswith('"') else 0
        opening = value.find("<", start)
        # A bracket behind a semicolon is part of a parameter, unless the name before is quoted.
        if opening < 0 or (not start and ";" in value[:opening]):
            return cls._parse_bare(value)
        closing = value.find(">", opening)
        if closing < 0:
            raise SipParseError(SipReject.BRACKET)
        display = value[:opening].strip()
        if (start and len(display) != start) or (not start and '"' in display):
            raise SipParseError(SipReject.QUOTE)
        uri = _checked_uri(value[opening + 1 : closing])
        return cls(uri, unquote(display), parse_params(value[closing + 1 :]))

    @classmethod
    def _parse_bare(cls, value: str) -> NameAddr:
        # RFC 3261 section 20: without brackets, what follows a semicolon belongs to the header.
        uri, semicolon, params = value.partition(";")
        if "," in uri or "?" in uri:
            raise SipParseError(SipReject.ADDRESS)
        return cls(_checked_uri(uri), "", parse_params(semicolon + params))

    def param(self, name: str) -> str | None:
        """The value of a header parameter (lower case), "" for a flag, None if absent."""
        return get_param(self.params, name)

    @property
    def tag(self) -> str | None:
        """The tag parameter of From and To."""
        return get_param(self.params, "tag")

    def target(self) -> SipUri:
        """The URI, read. SipParseError as `SipUri.parse`."""
        return SipUri.parse(self.uri)

    def __str__(self) -> str:
        return f"{self._display()}<{self.uri}>{format_params(self.params)}"

    def _display(self) -> str:
        if not self.display:
            return ""
        plain = all(is_token(word) for word in self.display.split(" "))
        return f"{self.display} " if plain else f"{quote(self.display)} "


def _checked_uri(text: str) -> str:
    uri = text.strip()
    scheme, colon, _ = uri.partition(":")
    if not scheme or not colon or _BAD_IN_URI.search(uri):
        raise SipParseError(SipReject.ADDRESS)
    return uri
