"""Control connections at the edge: TCP and TLS, shared by channels of a server (RFC 6787 4.2)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, cast

import structlog

from ....media.sip.tls import failure_text
from .message import AnyMessage, Broken, ChannelId, Event, Framer, Rejected, Response

log = structlog.get_logger(__name__)

BATCH = 64
"""Messages of one connection that are taken before others have their turn."""
MAX_REJECTED = 8
"""Unreadable messages in a row after which a peer is not worth listening to."""
CLOSE_S = 1.0
DEAD_PEER_MS = 15_000
"""How long what we have sent may stay unacknowledged by the peer's kernel."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of control connections. ``idle_s``: how long one without channels is kept."""

    connect_s: float = 3.0
    queue_bytes: int = 1_048_576
    stall_s: float = 5.0
    idle_s: float = 10.0
    message_s: float = 10.0
    connections: int = 256


@dataclass(frozen=True, slots=True)
class ControlAddress:
    """Where a control connection goes: a numeric host. ``name`` is who the certificate must be
    made out to, over TLS."""

    host: str
    port: int
    tls: bool = False
    name: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'tcp'}:{host}:{self.port}"


class ConnectFailed(Exception):
    """A control connection cannot be had; the text says why."""


class Stray(StrEnum):
    """What comes by a control connection and is nobody's; it is counted."""

    NO_CHANNEL = "no-channel"
    UNKNOWN_CHANNEL = "unknown-channel"
    REQUEST = "request"
    REJECTED = "rejected"


class ChannelSink(Protocol):
    """Whose a channel is."""

    def on_message(self, message: Response | Event) -> None:
        """A message of the channel came."""

    def on_lost(self, text: str) -> None:
        """The connection is gone."""


class ControlConnection(asyncio.Protocol):
    """One connection, and the channels that use it; ``shared``: more may join them."""

    def __init__(
        self,
        address: ControlAddress,
        shared: bool,
        limits: ConnectionLimits,
        stray: Counter[Stray],
        on_lost: Callable[[ControlConnection], None],
    ) -> None:
        self.address = address
        self.shared = shared
        self._limits = limits
        self._stray = stray
        self._on_lost = on_lost
        self._framer = Framer()
        self._sinks: dict[ChannelId, ChannelSink] = {}
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._next_turn: asyncio.Handle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._partial: asyncio.TimerHandle | None = None
        self._rejected = 0
        self._cause = ""

    @property
    def usable(self) -> bool:
        """True while something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def channels(self) -> int:
        """How many use it."""
        return len(self._sinks)

    def attach(self, channel: ChannelId, sink: ChannelSink) -> None:
        """Give the messages of a channel to ``sink``. ConnectFailed: the connection is gone, or
        another session has a channel of that name."""
        if not self.usable:
            raise ConnectFailed(self._cause or "the control connection is gone")
        if channel in self._sinks:
            raise ConnectFailed(f"channel {channel} is in use already")
        self._sinks[channel] = sink
        self._drop(self._idle)

    def detach(self, channel: ChannelId) -> None:
        """The channel is not used any more."""
        self._sinks.pop(channel, None)
        if self._sinks or not self.usable:
            return
        if self.shared:
            self._rest()
        else:
            self._end()

    def send(self, data: bytes) -> None:
        """Send a message. A peer that reads too little is cut, which `on_lost` tells."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(data) > self._limits.queue_bytes:
            self.abort("the server does not read what it is sent")
            return
        transport.write(data)

    def abort(self, cause: str) -> None:
        """End it at once."""
        self._cause = self._cause or cause
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        tune(self._transport.get_extra_info("socket"))
        self._rest()

    def data_received(self, data: bytes) -> None:
        self._framer.feed(data)
        if self._next_turn is None:
            self._work()

    def pause_writing(self) -> None:
        text = "the server does not read what it is sent"
        self._stalled = self._loop.call_later(self._limits.stall_s, self.abort, text)

    def resume_writing(self) -> None:
        self._drop(self._stalled)

    def connection_lost(self, error: Exception | None) -> None:
        for handle in (self._next_turn, self._stalled, self._idle, self._partial):
            self._drop(handle)
        if not self._cause:
            self._cause = (
                failure_text(error) if error else "the server has closed the control connection"
            )
        self._on_lost(self)
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            sink.on_lost(self._cause)

    # Within

    def _rest(self) -> None:
        self._drop(self._idle)
        self._idle = self._loop.call_later(self._limits.idle_s, self._end)

    def _end(self) -> None:
        self._cause = self._cause or "closed by us"
        if self._transport is not None:
            self._transport.close()

    @staticmethod
    def _drop(handle: asyncio.Handle | None) -> None:
        if handle is not None:
            handle.cancel()

    def _work(self) -> None:
        """Take what has come, a batch at a time."""
        self._next_turn = None
        transport = self._transport
        if transport is None:
            return
        for _ in range(BATCH):
            if transport.is_closing():
                return
            frame = self._framer.next()
            if frame is None:
                break
            self._drop(self._partial)
            self._partial = None
            self._take(frame)
        else:
            transport.pause_reading()
            self._next_turn = self._loop.call_soon(self._work)
            return
        if not transport.is_reading() and not transport.is_closing():
            transport.resume_reading()
        self._watch_partial()

    def _watch_partial(self) -> None:
        """A message that has begun has to end."""
        if self._framer.buffered and self._partial is None:
            text = "the server began a message and did not end it"
            self._partial = self._loop.call_later(self._limits.message_s, self.abort, text)

    def _take(self, frame: AnyMessage | Rejected | Broken) -> None:
        if isinstance(frame, Broken):
            self.abort(f"the server sent {frame.fault}")
        elif isinstance(frame, Rejected):
            self._stray[Stray.REJECTED] += 1
            self._rejected += 1
            if self._rejected >= MAX_REJECTED:
                self.abort(f"the server sent {frame.fault}")
        elif not isinstance(frame, (Response, Event)):
            self._stray[Stray.REQUEST] += 1
        else:
            self._rejected = 0
            self._dispatch(frame)

    def _dispatch(self, message: Response | Event) -> None:
        channel = message.channel
        sink = None if channel is None else self._sinks.get(channel)
        if sink is None:
            self._stray[Stray.NO_CHANNEL if channel is None else Stray.UNKNOWN_CHANNEL] += 1
            return
        sink.on_message(message)


class ControlConnections:
    """The control connections of a client: one for each address, as far as servers share them."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, limits: ConnectionLimits | None = None
    ) -> None:
        self.stray: Counter[Stray] = Counter()
        self.opened = 0
        self.failed = 0
        self._tls = tls
        self._limits = limits or ConnectionLimits()
        self._open: set[ControlConnection] = set()
        self._opening: dict[ControlAddress, asyncio.Task[ControlConnection]] = {}
        self._dialling = 0
        self._closed = False

    def __len__(self) -> int:
        """Connections that are open or being opened."""
        return len(self._open) + self._dialling

    def existing(self, address: ControlAddress) -> ControlConnection | None:
        """One that is there, and can be shared."""
        usable = (c for c in self._open if c.shared and c.address == address and c.usable)
        return next(usable, None)

    async def get(
        self, address: ControlAddress, *, fresh: bool = False, shared: bool = True
    ) -> ControlConnection:
        """A connection: one that is there, or with ``fresh`` a new one, which others may join if it
        is ``shared``. ConnectFailed."""
        if fresh or not shared:
            return await self._connect(address, shared=shared)
        found = self.existing(address)
        if found is not None:
            return found
        task = self._opening.get(address)
        if task is None:
            task = asyncio.ensure_future(self._connect(address, shared=True))
            self._opening[address] = task
            task.add_done_callback(lambda done: self._opened(address, done))
        # Others wait for the same one: who gives up does not end it for them.
        return await asyncio.shield(task)

    def _opened(self, address: ControlAddress, done: asyncio.Task[ControlConnection]) -> None:
        self._opening.pop(address, None)
        if not done.cancelled():
            done.exception()  # told to those who wait, if there still are any

    async def _connect(self, address: ControlAddress, *, shared: bool) -> ControlConnection:
        if self._closed or len(self) >= self._limits.connections:
            raise ConnectFailed("too many control connections are open")
        self._dialling += 1
        try:
            async with asyncio.timeout(self._limits.connect_s):
                connection = await self._dial(address, shared)
        except (OSError, ValueError) as error:
            self.failed += 1
            raise ConnectFailed(
                f"no control connection to {address}: {failure_text(error)}"
            ) from None
        finally:
            self._dialling -= 1
        self.opened += 1
        return connection

    async def _dial(self, address: ControlAddress, shared: bool) -> ControlConnection:
        ipaddress.ip_address(address.host)  # a name would be looked up, which blocks
        context: ssl.SSLContext | None = None
        if address.tls:
            context = self._tls = self._tls or ssl.create_default_context()
        made = await asyncio.get_running_loop().create_connection(
            lambda: ControlConnection(address, shared, self._limits, self.stray, self._lost),
            address.host,
            address.port,
            ssl=context,
            server_hostname=(address.name or address.host) if context else None,
            ssl_handshake_timeout=self._limits.connect_s if context else None,
        )
        connection = made[1]
        self._open.add(connection)
        if not connection.usable:  # gone while nobody looked
            self._open.discard(connection)
            raise ConnectionResetError("the connection was closed at once")
        return connection

    def _lost(self, connection: ControlConnection) -> None:
        self._open.discard(connection)

    async def close(self) -> None:
        """End all of them, and open none any more."""
        self._closed = True
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        for connection in list(self._open):
            connection.abort("closed by us")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._open:  # noqa: ASYNC110 - at the end of a service, and only there
                    await asyncio.sleep(0)


def tune(opened: socket.socket | None) -> None:
    """Small messages go out at once, and a peer that is gone is noticed by the kernel."""
    if opened is None:
        return
    with contextlib.suppress(OSError):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
