"""Control connections (RFC 6787, 4.2): TCP and TLS, shared by the channels of many sessions.

A channel belongs to the connection that uses it first, and nobody else is heard for it. What a peer
sends is bounded, and so is what waits to be read by it; whoever breaks a bound is cut off, and
counted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol, cast

import structlog

from ....media.sip.listener import Listener, bound_port, open_socket
from ..mrcp.connection import tune
from ..mrcp.message import (
    AnyMessage,
    Broken,
    ChannelId,
    Fault,
    Frame,
    Framer,
    Headers,
    Rejected,
    Request,
    Response,
)
from ..mrcp.words import Header, Status

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 262_144
MAX_WAITING_BYTES = 1_048_576
"""What may wait for a peer that does not read; a result is at most some KiB."""
MAX_FAULTS = 16
MAX_CHANNELS = 1_024
"""Of one connection; a client opens another one for more."""
IDLE_S = 60.0
"""A connection that no channel is bound to is closed after so long."""
BATCH = 32
"""Messages of one connection that are taken before others have their turn."""

_FAULT_STATUS = {
    Fault.MESSAGE_TOO_LONG: Status.MESSAGE_TOO_LARGE,
    Fault.VERSION: Status.VERSION_NOT_SUPPORTED,
}


@dataclass(slots=True)
class ControlFigures:
    """What came of connections, each by its reason."""

    connections: int = 0
    accepted: int = 0
    refused: int = 0
    cut_malformed: int = 0
    cut_stalled: int = 0
    cut_idle: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    messages_rejected: int = 0
    channel_unknown: int = 0
    channel_of_another: int = 0
    channels_too_many: int = 0

    def as_dict(self) -> dict[str, int]:
        """Every counter by its name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class Served(Protocol):
    """A channel, as connections see it."""

    connection: ControlConnection | None

    def receive(self, request: Request) -> None:
        """A request for it."""
        ...

    def disconnected(self) -> None:
        """The connection that it belonged to is gone."""
        ...


class ControlConnection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, listener: ControlListener) -> None:
        self._listener = listener
        self._framer = Framer(MAX_MESSAGE_BYTES)
        self._transport: asyncio.Transport
        self._channels: dict[str, Served] = {}
        self._faults = 0
        self._idle: asyncio.TimerHandle | None = None
        self._reading: asyncio.Handle | None = None
        self.peer = "unknown"

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without being one
        self._transport = transport
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if name else "unknown"
        tune(transport.get_extra_info("socket"))
        transport.set_write_buffer_limits(high=MAX_WAITING_BYTES)
        if not self._listener.admit(self):
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._framer.feed(data)
        self._read()

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.lost(self)
        for handle in (self._idle, self._reading):
            if handle is not None:
                handle.cancel()
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.connection = None
            channel.disconnected()

    # What channels do

    def send(self, message: AnyMessage) -> None:
        """Send a message, or cut off a peer that does not read."""
        if self._transport.is_closing():
            return
        self._transport.write(message.to_bytes())
        self._listener.figures.messages_sent += 1
        if self._transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self._listener.figures.cut_stalled += 1
            self._cut("does not read what it is sent")

    def release(self, channel_id: str) -> None:
        """A channel is gone."""
        self._channels.pop(channel_id, None)
        self._watch()

    def close(self) -> None:
        """Close it when what waits has been sent."""
        self._transport.close()

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    # Within

    def _read(self) -> None:
        """Take what came: a batch, and the rest when others had their turn."""
        self._reading = None
        for _ in range(BATCH):
            frame = self._framer.next()
            if frame is None:
                self._transport.resume_reading()
                return
            self._take(frame)
            if self._transport.is_closing():
                return
        self._transport.pause_reading()
        self._reading = asyncio.get_running_loop().call_soon(self._read)

    def _take(self, frame: Frame) -> None:
        figures = self._listener.figures
        if isinstance(frame, Request):
            figures.messages_received += 1
            self._route(frame)
            return
        figures.messages_rejected += 1
        self._faults += 1
        if isinstance(frame, Rejected | Broken):
            if frame.request_id is not None:
                status = _FAULT_STATUS.get(frame.fault, Status.ILLEGAL_HEADER_VALUE)
                self.send(Response(frame.request_id, status=status))
            cause = str(frame.fault)
        else:
            cause = "a response or an event, which servers send and not clients"
        if isinstance(frame, Broken) or self._faults > MAX_FAULTS:
            figures.cut_malformed += 1
            self._cut(cause)

    def _route(self, request: Request) -> None:
        """To the channel that it names."""
        if Header.CHANNEL_IDENTIFIER not in request.headers:
            self.send(Response(request.request_id, status=Status.MANDATORY_HEADER_MISSING))
            return
        named = request.channel
        channel = self._listener.find(named) if named else None
        figures = self._listener.figures
        if channel is None:
            figures.channel_unknown += 1
        elif channel.connection not in {None, self}:
            figures.channel_of_another += 1
            log.warning("mrcp channel of another connection", peer=self.peer, channel=str(named))
        elif channel.connection is None and len(self._channels) >= MAX_CHANNELS:
            figures.channels_too_many += 1
            log.warning("mrcp connection has too many channels", peer=self.peer)
        else:
            self._bind(str(named), channel)
            channel.receive(request)
            return
        lines = [(Header.CHANNEL_IDENTIFIER, str(named))] if named else []
        status = Status.NO_SUCH_RESOURCE
        self.send(Response(request.request_id, headers=Headers(lines), status=status))

    def _bind(self, channel_id: str, channel: Served) -> None:
        if channel.connection is None:
            channel.connection = self
            self._channels[channel_id] = channel
            self._watch()

    def _watch(self) -> None:
        """Let the time of an idle connection run, or stop it."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if not self._channels and not self._transport.is_closing():
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._listener.idle_s, self._on_idle)

    def _on_idle(self) -> None:
        self._listener.figures.cut_idle += 1
        self._transport.close()

    def _cut(self, cause: str) -> None:
        log.warning("mrcp connection cut", peer=self.peer, cause=cause)
        # What was said of it before has a chance to arrive; a peer that does not read has none.
        if self._transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self._transport.abort()
        else:
            self._transport.close()


class ControlListener:
    """Accepts control connections at ``listener``, of at most ``max_connections`` at a time."""

    def __init__(
        self,
        listener: Listener,
        find: Callable[[ChannelId], Served | None],
        *,
        context: ssl.SSLContext | None = None,
        max_connections: int = 1_000,
        idle_s: float = IDLE_S,
    ) -> None:
        self.find = find
        self.figures = ControlFigures()
        self.idle_s = idle_s
        self._listener = listener
        self._context = context
        self._max_connections = max_connections
        self._connections: set[ControlConnection] = set()

    async def start(self) -> None:
        """Listen. ListenError: it cannot be."""
        bound = open_socket(self._listener)
        self.port = bound_port(bound)
        handshake_s = 10.0 if self._context else None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: ControlConnection(self),
            sock=bound,
            ssl=self._context,
            ssl_handshake_timeout=handshake_s,
        )

    async def close(self) -> None:
        """End all connections."""
        self._server.close()
        for connection in list(self._connections):
            connection.abort()

    def admit(self, connection: ControlConnection) -> bool:
        """Count a connection in; False: there are too many."""
        if len(self._connections) >= self._max_connections:
            self.figures.refused += 1
            log.warning("mrcp connection refused", peer=connection.peer, cause="too many")
            return False
        self._connections.add(connection)
        self.figures.accepted += 1
        self.figures.connections = len(self._connections)
        return True

    def lost(self, connection: ControlConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self.figures.connections = len(self._connections)
