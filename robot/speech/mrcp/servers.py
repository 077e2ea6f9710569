"""Speech servers: what is configured of them, how they are, and which is taken next. Sans-I/O."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from ....media.codec import UnknownCodec, codecs_by_name
from ....media.sip.fields import format_host_port
from ....media.sip.reject import SipParseError
from ....media.sip.uri import SipUri
from .message import parameters_text

ControlTransport = Literal["tcp", "tls"]

BACK_OFF_MS = 500
MAX_BACK_OFF_MS = 15_000
MAX_RETRY_AFTER_MS = 300_000
"""A server that wants to be left alone for longer is asked again all the same."""


@dataclass(frozen=True, slots=True)
class MrcpServer:
    """One MRCPv2 server: ``sip:HOST:PORT``, or ``sips:``, where its sessions are set up. Without a
    ``name`` it is called by that address.

    ``transport`` is that of control connections. Servers of the lowest ``priority`` come first,
    among them by ``weight``. ``max_sessions`` may be open to it at once, of which ``keep`` wait for
    the next call when one is over, and ``ready`` are opened at the start, and go on waiting.
    ``share``: its channels share connections. ``parameters`` go out as vendor-specific ones.
    ValueError: it makes no sense.
    """

    uri: str
    name: str = ""
    transport: ControlTransport = "tcp"
    priority: int = 1
    weight: int = 1
    codecs: tuple[str, ...] = ("pcmu", "pcma")
    max_sessions: int = 100
    keep: int = 4
    ready: int = 0
    share: bool = True
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        try:
            uri = SipUri.parse(self.uri)
        except SipParseError:
            raise ValueError(
                f"uri: {self.uri!r} is no SIP URI; write it as sip:HOST:PORT"
            ) from None
        if not self.name:
            object.__setattr__(self, "name", format_host_port(uri.host, uri.port))
        if self.transport not in get_args(ControlTransport):
            raise ValueError(f"transport: {self.transport!r}; use tcp or tls")
        try:
            codecs_by_name(self.codecs)
        except UnknownCodec as error:
            raise ValueError(f"codecs: {error}") from None
        if not self.codecs:
            raise ValueError("codecs: a server needs at least one")
        for name, least, most in (
            ("priority", 0, 65_535),
            ("weight", 1, 65_535),
            ("max_sessions", 1, 100_000),
            ("keep", 0, self.max_sessions),
            ("ready", 0, self.max_sessions),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name}: {getattr(self, name)}; use {least} to {most}")
        parameters_text(self.parameters)

    @property
    def host(self) -> str:
        """Who its certificate must be made out to."""
        return SipUri.parse(self.uri).host


@dataclass(slots=True, eq=False)
class ServerHealth:
    """How a server is: ``until_ms`` it is left alone, because of ``cause``."""

    server: MrcpServer
    failures: int = 0
    until_ms: int = 0
    cause: str = ""

    def resting(self, now_ms: int) -> bool:
        """True while it is left alone."""
        return now_ms < self.until_ms

    def failed(
        self, now_ms: int, cause: str, share: float, retry_after_ms: int | None = None
    ) -> None:
        """It could not be reached, has refused, or is gone: leave it alone for a while, twice as
        long each time. ``share``, from 0 to 1, spreads who comes back."""
        if self.resting(now_ms):
            return  # what was under way when it failed tells nothing new
        self.failures += 1
        back_off_ms = min(BACK_OFF_MS * 2 ** min(self.failures - 1, 16), MAX_BACK_OFF_MS)
        wait_ms = int(back_off_ms * (0.75 + share / 2))
        if retry_after_ms is not None:
            wait_ms = max(wait_ms, min(retry_after_ms, MAX_RETRY_AFTER_MS))
        self.until_ms = now_ms + wait_ms
        self.cause = cause

    def worked(self) -> None:
        """It serves."""
        self.failures, self.until_ms, self.cause = 0, 0, ""


def order_servers(
    healths: Iterable[ServerHealth], now_ms: int, source: random.Random
) -> list[ServerHealth]:
    """Those that may be tried, the best first: by priority, and at random by weight within one, as
    RFC 2782 has it."""
    able = [health for health in healths if not health.resting(now_ms)]
    # The keys of a weighted draw without replacement: the larger, the earlier.
    keys = {id(h): source.random() ** (1 / h.server.weight) for h in able}
    return sorted(able, key=lambda h: (h.server.priority, -keys[id(h)]))
