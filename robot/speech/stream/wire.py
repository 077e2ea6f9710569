"""How a stream reaches its peer: addresses, failures, and what both forms have in common."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import SplitResult, parse_qs, urlsplit

from .audiosocket import RATES_HZ
from .budget import Budget
from .outbox import Outgoing
from .twilio import Incoming

SCHEMES = ("ws", "wss", "audiosocket+tcp")

PeerBargeIn = Literal["none", "speech"]
"""What the caller may do to end what a peer says, without the peer."""

MAX_URL_CHARS = 2_048
MAX_PARAMETERS = 64
MAX_PARAMETERS_CHARS = 16_384
MAX_HEADERS = 32
MAX_HEADERS_CHARS = 8_192

CLOSE_S = 1.0
"""How long a peer gets to take its leave."""

BATCH = 32
"""Messages that are taken before others have their turn."""

MAX_MESSAGES_PER_S = 2_000
MAX_MESSAGES_AT_ONCE = 10_000
"""What may come in a burst, which is more than three minutes of sound in blocks of 20 ms."""

MAX_BYTES_PER_S = 1 << 20
MAX_BYTES_AT_ONCE = 1 << 23

MAX_REJECTED = 100
"""Messages that cannot be taken, after which a peer is cut."""


class StreamFailed(Exception):
    """A stream could not be had, or broke. ``kind`` is one word: ``request`` (what was asked for
    makes no sense), ``unreachable``, ``refused``, ``deadline``, ``lost`` (the connection broke),
    ``stalled`` (the peer does not read, or is silent), ``protocol``; the text is for people, and
    has no credentials in it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer is. ``shown`` is what may be logged: without user, password and query."""

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int
    rate_hz: int
    shown: str


@dataclass(frozen=True, slots=True)
class Opening:
    """What a stream begins with."""

    call_id: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None
    connect_ms: int


class Rejections:
    """Counts what a peer has sent and was not taken, by its reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._wrong = 0

    def note(self, reason: str, *, harmless: bool = False) -> None:
        """One message more. StreamFailed: that was too much of what is wrong."""
        self.counts[reason] += 1
        self._wrong += not harmless
        if self._wrong > MAX_REJECTED:
            raise StreamFailed("protocol", f"the peer has sent too much that is wrong: {reason}")


class Intake:
    """Holds a peer to what it may send: who sends more is read later, and others have their turn
    meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        now_ms = int(self._loop.time() * 1000)
        self._messages = Budget(MAX_MESSAGES_PER_S, MAX_MESSAGES_AT_ONCE, now_ms)
        self._bytes = Budget(MAX_BYTES_PER_S, MAX_BYTES_AT_ONCE, now_ms)
        self._turn = 0

    async def took(self, messages: int, size_bytes: int) -> None:
        """So much came; returns when more may be read."""
        now_ms = int(self._loop.time() * 1000)
        wait_ms = max(self._messages.take(messages, now_ms), self._bytes.take(size_bytes, now_ms))
        self._turn += messages
        if wait_ms or self._turn >= BATCH:
            self._turn = 0
            await asyncio.sleep(wait_ms / 1000)


class Wire(Protocol):
    """A connection to a peer, in one of the two forms. Methods raise :class:`StreamFailed`.

    ``rate_hz`` is that of the sound that is sent and that :class:`~.twilio.Media` has, which is
    mu-law if ``encoded``, else linear with 16 bits. ``rejections`` are of what it has sent.
    """

    rate_hz: int
    encoded: bool
    rejections: Rejections

    async def open(self) -> None:
        """Connect and begin, within the deadline."""
        ...

    async def send(self, message: Outgoing) -> None:
        """Send it, if the form has a message for it; returns when there is room for the next."""
        ...

    async def receive(self) -> Sequence[Incoming]:
        """What came next. EOFError: the peer has ended the stream."""
        ...

    async def check(self) -> None:
        """Return when the peer has shown that it reads and answers, or at once if there is no way
        to ask it."""
        ...

    async def close(self, *, politely: bool) -> None:
        """End the stream and the connection, within `CLOSE_S`."""
        ...


def read_address(url: str) -> Address:
    """Where a URL leads: ``ws://``, ``wss://``, or ``audiosocket+tcp://HOST:PORT?rate=HZ``.
    StreamFailed: it cannot be used."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise StreamFailed("request", "the URL cannot be read") from None
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise StreamFailed("request", f"the URL's scheme is {scheme!r}; use {', '.join(SCHEMES)}")
    if not host or len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable():
        raise StreamFailed("request", "the URL has no host, is too long, or is not plain ASCII")
    if " " in url or parts.fragment:
        raise StreamFailed("request", "the URL has a blank or a fragment; leave that out")
    rate_hz = 8_000
    if scheme == "audiosocket+tcp":
        if port is None or parts.path not in ("", "/") or parts.username is not None:
            raise StreamFailed("request", "write an AudioSocket as audiosocket+tcp://HOST:PORT")
        rate_hz = _rate_of(parts)
    port = port or (443 if scheme == "wss" else 80)
    named = f"[{host}]" if ":" in host else host
    return Address(url, scheme, host, port, rate_hz, f"{scheme}://{named}:{port}{parts.path}")


def _rate_of(parts: SplitResult) -> int:
    query = parse_qs(parts.query)
    given = query.pop("rate", ["8000"])
    rate_hz = int(given[0]) if given[0].isdecimal() and len(given[0]) < 7 else 0
    if query or len(given) > 1 or rate_hz not in RATES_HZ:
        rates = ", ".join(map(str, RATES_HZ))
        raise StreamFailed("request", f"behind an AudioSocket's port write ?rate= with {rates}")
    return rate_hz


def check_opening(opening: Opening) -> None:
    """StreamFailed: what a stream is to begin with is too much, or no text."""
    for name, table, most, most_chars in (
        ("parameters", opening.parameters, MAX_PARAMETERS, MAX_PARAMETERS_CHARS),
        ("headers", opening.headers, MAX_HEADERS, MAX_HEADERS_CHARS),
    ):
        chars = sum(len(key) + len(value) for key, value in table.items())
        if len(table) > most or chars > most_chars:
            raise StreamFailed(
                "request", f"{name}: at most {most} with {most_chars:,} characters in all"
            )
    for key, value in opening.headers.items():
        token = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
        if not token or not value.isascii() or not value.isprintable():
            raise StreamFailed("request", f"header {key!r}: use plain ASCII, on one line")


def call_uuid(opening: Opening) -> uuid.UUID:
    """What names a call over AudioSocket: the parameter ``uuid``, or one made for this stream."""
    others = set(opening.parameters) - {"uuid"}
    if others or opening.headers:
        raise StreamFailed("request", "AudioSocket has no headers, and no parameter but uuid")
    if "uuid" not in opening.parameters:
        return uuid.uuid4()
    try:
        return uuid.UUID(opening.parameters["uuid"])
    except ValueError:
        raise StreamFailed("request", "parameter uuid: that is no UUID") from None
