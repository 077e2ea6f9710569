"""Redirection (RFC 3261 8.1.3.4): which targets a call of ours may still try."""

from __future__ import annotations

import re

from .dialog import request_uri_of
from .fields import split_commas
from .message import Headers, Response, SipParseError
from .uri import NameAddr, SipUri

MAX_TARGETS = 5
"""So many targets of redirections are tried in one call."""

MAX_CONTACTS = 20
FOLLOWED = frozenset({300, 301, 302})
"""305 would have the peer choose our proxy, and 380 describes another service."""

_Q_VALUE = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def contacts_of(headers: Headers) -> tuple[str, ...]:
    """The URIs of every Contact, best first (by q); those that cannot be read are left out."""
    ranked: list[tuple[float, str]] = []
    for line in headers.all("Contact"):
        try:
            addresses = [NameAddr.parse(value) for value in split_commas(line)[:MAX_CONTACTS]]
            ranked += [(_q_of(address), request_uri_of(address.uri)) for address in addresses]
        except SipParseError:
            continue
    ranked.sort(key=lambda item: -item[0])
    return tuple(uri for _, uri in ranked[:MAX_CONTACTS])


def _q_of(address: NameAddr) -> float:
    value = address.param("q")
    if value is None:
        return 1.0
    return float(value) if _Q_VALUE.fullmatch(value) else 0.0


class TargetSet:
    """The targets of one call: those that wait, and those that were tried, which never come again.

    That ends loops; and after `MAX_TARGETS` there are no more. A SIPS URI leads to no other scheme
    (RFC 3261 8.1.3.4, 26.4.4).
    """

    __slots__ = ("_secure", "_tried", "_waiting")

    def __init__(self, uri: str) -> None:
        """``uri`` is the one that was dialled."""
        self._tried = {_identity(uri)}
        self._secure = _is_secure(uri)
        self._waiting: list[str] = []

    def add(self, response: Response) -> None:
        """Where a 3xx sends us comes before what was waiting."""
        if response.status in FOLLOWED:
            self._waiting = [*contacts_of(response.headers), *self._waiting][:MAX_CONTACTS]

    def take(self) -> str | None:
        """The next target; None if there is none to be tried."""
        while self._waiting and len(self._tried) <= MAX_TARGETS:
            uri = self._waiting.pop(0)
            identity = _identity(uri)
            safe = _is_secure(uri) or not self._secure
            if identity and safe and identity not in self._tried:
                self._tried.add(identity)
                return uri
        return None


def _is_secure(uri: str) -> bool:
    return uri[:5].lower() == "sips:"


def _identity(uri: str) -> str:
    """What two spellings of a URI have in common; empty if we cannot call it."""
    try:
        return str(SipUri.parse(uri))
    except SipParseError:
        return ""
