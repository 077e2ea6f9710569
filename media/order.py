"""What is to be dialled, and the ways by which it may go.

The engine asks its `Router` for the ways of an `Order`, and tries them in turn. A router may change
the order for each way: the URI, the caller, headers, codecs.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ._core import is_token
from .codec import Codec
from .outcome import Outcome
from .sdp import SrtpPolicy
from .sip.digest import Credentials
from .sip.edge import Flow
from .sip.message import Headers, SipParseError
from .sip.redirect import MAX_TARGETS
from .sip.uri import NameAddr, SipUri

if TYPE_CHECKING:
    from .dialling import DialledCall

DEFAULT_TIMEOUT_S = 30.0
MAX_TIMEOUT_S = 180.0
"""The user agent gives up by then, whatever is asked (RFC 3261 13.3.1.1 has proxies wait 3 min)."""

ANONYMOUS = "sip:anonymous@anonymous.invalid"
"""RFC 3323 section 4.1.1.3."""

_UNHIDING = frozenset({"", "none", "critical"})
"""Values of Privacy that ask for nothing to be hidden (RFC 3323 4.2)."""

_PRIVACY = frozenset({"header", "session", "user", "none", "critical", "id", "history"})
"""RFC 3323 section 4.2, RFC 3325 section 9.3, RFC 7044 section 10.1."""

OWN_HEADERS = frozenset(
    {
        *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "max-forwards"),
        *("contact", "m", "content-length", "l", "content-type", "c", "content-encoding", "e"),
        *("allow", "supported", "k", "require", "proxy-require", "route", "record-route"),
        *("session-expires", "x", "min-se", "authorization", "proxy-authorization"),
    }
)
"""What the stack writes itself, in lower case: a second one would contradict it."""


class NoRoute(Exception):
    """There is no way to what is to be dialled; the message says why, in one line, and ``outcome``
    what that comes to."""

    def __init__(self, text: str, outcome: Outcome = Outcome.UNREACHABLE) -> None:
        super().__init__(text)
        self.outcome = outcome


class Order(NamedTuple):
    """What is to be dialled. ``caller`` is a URI, or the user part of one of ours. A target of the
    domain of ``trunk``, or at one of its peers, goes by it, and as it stands."""

    uri: str
    caller: str
    codecs: tuple[Codec, ...]
    srtp: SrtpPolicy
    display_name: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S
    redirects: int = MAX_TARGETS
    credentials: Credentials | None = None
    trunk: str = ""

    def from_uri(self, address: str) -> str:
        """Who calls, as it goes into From; ``address`` is ours."""
        return _caller_uri(self.caller, address)


@lru_cache(maxsize=256)
def _caller_uri(caller: str, address: str) -> str:
    if caller.partition(":")[0].lower() in ("sip", "sips", "tel"):
        return caller
    host, _, port = address.rpartition(":")
    return str(SipUri("sip", caller, host.strip("[]"), int(port)))


class Way(NamedTuple):
    """One way to try: ``order`` as it goes out there, by way of ``flow``.

    ``sign_of_life_s``: how long to wait for any response before the next way is tried; None: as
    long as SIP itself does (32 s over UDP). ``next_on``: final responses after which the next way
    is tried; no response, and a transport that fails, always leads there. ``on_placed`` is called
    with the call whose INVITE has gone this way, and ``on_ended`` when that call is over, however
    it ended; its ``result`` tells what it came to.
    """

    flow: Flow
    order: Order
    sign_of_life_s: float | None = None
    next_on: frozenset[int] = frozenset({503})
    on_ended: Callable[[DialledCall], None] | None = None
    on_placed: Callable[[DialledCall], None] | None = None


Ways = tuple[Way, ...] | AsyncGenerator[Way, None]
"""Several ways, the best first: a tuple where all are known, as most calls have one and no time to
lose with a generator, which is to be closed."""

Router = Callable[[Order], Ways]
"""Gives the ways of an order. NoRoute: there is none."""


async def first_way(ways: Ways) -> Way | None:
    """The best way, None if there is none."""
    if isinstance(ways, tuple):
        return ways[0] if ways else None
    async with contextlib.aclosing(ways):
        return await anext(ways, None)


def make_order(
    uri: str,
    *,
    caller: str | None,
    user: str,
    display_name: str,
    codecs: tuple[Codec, ...],
    srtp: SrtpPolicy,
    headers: tuple[tuple[str, str], ...],
    timeout_s: float,
    redirects: int,
    credentials: Credentials | None,
    private: bool,
    trunk: str | None = None,
) -> Order:
    """An order that was checked. Without ``caller``, ``user`` calls, or nobody known if it is
    ``private``. ValueError: something cannot be sent."""
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s: {timeout_s:g}; use more than 0, {MAX_TIMEOUT_S:g} at most")
    if not 0 <= redirects <= MAX_TARGETS:
        raise ValueError(f"redirects: {redirects}; use 0 to {MAX_TARGETS}")
    if caller is None:
        caller = ANONYMOUS if private else user
    if not display_name.isprintable():
        raise ValueError("display_name: leave out line breaks and control characters")
    return Order(
        checked_uri(uri),
        checked_caller(caller),
        codecs,
        srtp,
        display_name,
        headers,
        timeout_s,
        redirects,
        credentials,
        trunk or "",
    )


def extra_headers(
    headers: Iterable[tuple[str, str]],
    *,
    user_to_user: str | bytes | None,
    asserted_identity: str | None,
    privacy: str | None,
    diversion: str | None,
) -> tuple[tuple[str, str], ...]:
    """The header lines of an INVITE that its sender may choose. ValueError: one is malformed."""
    lines = list(checked_headers(headers)) if headers else []
    if user_to_user is not None:
        # RFC 7433 section 4.1: hexadecimal is the default, and holds whatever the data is.
        data = user_to_user.encode() if isinstance(user_to_user, str) else user_to_user
        lines.append(("User-to-User", f"{data.hex()};encoding=hex"))
    if asserted_identity is not None:
        lines.append(("P-Asserted-Identity", _address("asserted_identity", asserted_identity)))
    if privacy is not None:
        lines.append(("Privacy", _privacy(privacy)))
    if diversion is not None:
        lines.append(("Diversion", _address("diversion", diversion)))
    return tuple(Headers(lines)) if lines else ()


def checked_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Header lines as given. ValueError: one is malformed, or not for others to write."""
    lines = tuple(Headers(headers))
    for name, _ in lines:
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"{name}: this header is written by the engine; leave it out")
    return lines


def hides(privacy: str) -> bool:
    """True if the value of a Privacy header asks for anything to be hidden; "none" asks for the
    opposite."""
    return any(value.strip().lower() not in _UNHIDING for value in privacy.split(";"))


def _privacy(text: str) -> str:
    values = [value.strip().lower() for value in text.split(";")]
    for value in values:
        if value not in _PRIVACY:
            raise ValueError(f"privacy: {value!r}; use {', '.join(sorted(_PRIVACY))}")
    return ";".join(values)


def _address(name: str, text: str) -> str:
    """A header value of a URI, or of an address that is written as one."""
    try:
        if "<" in text:
            NameAddr.parse(text).target()
            return text
    except SipParseError:
        raise ValueError(f"{name}: {text!r} is no SIP address") from None
    return f"<{checked_uri(text, name)}>"


def checked_uri(uri: str, name: str = "uri") -> str:
    """A SIP URI as given. ValueError: it is none."""
    try:
        SipUri.parse(uri)
    except SipParseError:
        raise ValueError(f"{name}: {uri!r} is no SIP URI; write it as sip:USER@HOST") from None
    return uri


@lru_cache(maxsize=256)
def checked_caller(caller: str) -> str:
    """Who calls, as given. ValueError: nobody can be called so."""
    scheme, colon, _ = caller.partition(":")
    if colon and is_token(scheme):
        return checked_uri(caller, "caller")
    if not caller or not caller.isprintable() or set(caller) & set('@<>"'):
        raise ValueError(f"caller: {caller!r}; use a SIP URI, a number or a user name")
    return caller
