"""Twilio Media Streams over a WebSocket that we open (RFC 6455)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)
from websockets.protocol import Event

from ....media.sip.tls import failure_text
from .budget import Budget
from .outbox import MarkPassed, Outgoing, Pressed, Said
from .twilio import MAX_MESSAGE_BYTES, SAMPLE_RATE_HZ, Incoming, Reject, TwilioStream
from .wire import CLOSE_S, Address, Intake, Opening, Rejections, StreamFailed

MAX_FRAMES = 64
"""Frames that are read ahead; the peer's own system keeps what comes beyond."""

MAX_FRAMES_PER_S = 5_000
MAX_FRAMES_AT_ONCE = 20_000
"""More than messages may come, since those of them that are too many are not read."""

SLICE_BYTES = 4_096

SEND_BUFFER_BYTES = 1 << 16
"""What the system may hold for a peer that does not read: four seconds of sound, instead of the
minutes that it would hold by itself."""

_QUIET = logging.getLogger("ringwheel.stream.websocket")
_QUIET.disabled = True
"""The library's own log would show headers, which hold credentials."""


class _Connect(connect):
    """Follows no redirection: credentials go to whom they were meant for."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Connection(ClientConnection):
    """Cuts a peer that floods us with frames, such as pings, that the library answers by itself."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.flooded = False
        self._frames = Budget(MAX_FRAMES_PER_S, MAX_FRAMES_AT_ONCE, self._now_ms())

    def _now_ms(self) -> int:
        return int(self.loop.time() * 1000)

    def data_received(self, data: bytes) -> None:
        # Cut up, because a flood is only seen between the pieces.
        for at in range(0, len(data), SLICE_BYTES):
            if self.flooded:
                return
            super().data_received(data[at : at + SLICE_BYTES])

    def process_event(self, event: Event) -> None:
        if self._frames.take(1, self._now_ms()):
            self.flooded = True
            self.transport.abort()
        else:
            super().process_event(event)


class WebSocketWire:
    """A `Wire` to an agent that speaks Twilio's messages."""

    rate_hz = SAMPLE_RATE_HZ
    encoded = True

    def __init__(self, address: Address, opening: Opening) -> None:
        self._intake = Intake()
        self.rejections = Rejections()
        self._address = address
        self._opening = opening
        self._stream = TwilioStream(opening.call_id, opening.parameters)
        self._socket: _Connection | None = None

    async def open(self) -> None:
        """Connect, and send ``connected`` and ``start``."""
        try:
            async with asyncio.timeout(self._opening.connect_ms / 1000):
                self._socket = await self._connect()
                await self._socket.send(self._stream.connected())
                await self._socket.send(self._stream.start())
        except TimeoutError:
            ms = self._opening.connect_ms
            raise StreamFailed("deadline", f"no connection within {ms} ms") from None
        except InvalidStatus as error:
            status = error.response.status_code
            raise StreamFailed("refused", f"the peer answered with status {status}") from None
        except InvalidURI:
            raise StreamFailed("request", "the URL cannot be used for a WebSocket") from None
        except InvalidHandshake as error:
            text = f"the peer speaks no WebSocket: {type(error).__name__}"
            raise StreamFailed("refused", text) from None
        except ConnectionClosed as error:
            raise self._closed(error) from None
        except OSError as error:
            raise StreamFailed("unreachable", failure_text(error)) from None

    async def _connect(self) -> _Connection:
        secure: dict[str, Any] = {}
        if self._opening.tls is not None and self._address.scheme == "wss":
            secure["ssl"] = self._opening.tls
        opened = await _Connect(
            self._address.url,
            additional_headers=dict(self._opening.headers),
            user_agent_header="ringwheel",
            compression=None,
            proxy=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_S,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=MAX_FRAMES,
            logger=_QUIET,
            create_connection=_Connection,
            **secure,
        )
        assert isinstance(opened, _Connection)
        bound: socket.socket = opened.transport.get_extra_info("socket")
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        return opened

    async def send(self, message: Outgoing) -> None:
        """All messages have a form of their own here."""
        assert self._socket is not None
        try:
            await self._socket.send(self._text_of(message))
        except ConnectionClosed as error:
            raise self._closed(error) from None

    def _text_of(self, message: Outgoing) -> str:
        match message:
            case Said():
                return self._stream.media(message.sound, message.at_ms)
            case Pressed():
                return self._stream.dtmf(message.digit)
            case MarkPassed():
                return self._stream.mark(message.name)

    async def receive(self) -> Sequence[Incoming]:
        """The next message, if it can be taken."""
        assert self._socket is not None
        try:
            message = await self._socket.recv()
        except ConnectionClosedOK:
            raise EOFError from None
        except ConnectionClosed as error:
            raise self._closed(error) from None
        await self._intake.took(1, len(message))
        found = self._stream.read(message)
        if not isinstance(found, Reject):
            return [found]
        # A newer peer may know more than we do, which is no fault of it.
        self.rejections.note(found.value, harmless=found is Reject.UNKNOWN_EVENT)
        return []

    async def check(self) -> None:
        """A ping and its pong."""
        assert self._socket is not None
        try:
            await (await self._socket.ping())
        except ConnectionClosed:
            return  # whoever receives tells why

    async def close(self, *, politely: bool) -> None:
        """``stop`` and a closing handshake, or none of them."""
        if self._socket is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                if politely:
                    await self._socket.send(self._stream.stop())
                    await self._socket.close()
        except (TimeoutError, ConnectionClosed):
            pass
        finally:
            self._socket.transport.abort()

    def _closed(self, error: ConnectionClosed) -> StreamFailed:
        """Who has broken what."""
        if self._socket is not None and self._socket.flooded:
            return StreamFailed("protocol", "the peer has flooded us with frames")
        if error.rcvd is not None and error.rcvd_then_sent is not False:
            return StreamFailed("lost", f"the peer has closed with code {error.rcvd.code}")
        if error.sent is not None:
            reason = f": {error.sent.reason}" if error.sent.reason else ""
            return StreamFailed("protocol", f"code {error.sent.code}{reason}")
        return StreamFailed("lost", "the connection broke")
