"""AudioSocket over a TCP connection that we open, as Asterisk does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import numpy as np
import soxr

from ....media.live import resampler_between
from ....media.sip.tls import failure_text
from . import audiosocket
from .outbox import MarkPassed, Outgoing, Pressed, Said
from .twilio import Incoming, Media
from .wire import CLOSE_S, Address, Intake, Opening, Rejections, StreamFailed, call_uuid

READ_BYTES = 1 << 16
SEND_BUFFER_BYTES = 1 << 16
WRITE_LIMIT_BYTES = 1 << 15


class AudioSocketWire:
    """A `Wire` to an AudioSocket server. It has no marks, and no way to clear."""

    encoded = False

    def __init__(self, address: Address, opening: Opening) -> None:
        self._intake = Intake()
        self.rejections = Rejections()
        self.rate_hz = address.rate_hz
        self.uuid = call_uuid(opening)
        self._address = address
        self._connect_ms = opening.connect_ms
        self._reader = audiosocket.Reader()
        self._over: EOFError | StreamFailed | None = None
        self._resampler: tuple[int, soxr.ResampleStream] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect, and say which call it is."""
        try:
            async with asyncio.timeout(self._connect_ms / 1000):
                self._streams = await asyncio.open_connection(
                    self._address.host, self._address.port, limit=READ_BYTES
                )
        except TimeoutError:
            text = f"no connection within {self._connect_ms} ms"
            raise StreamFailed("deadline", text) from None
        except OSError as error:
            raise StreamFailed("unreachable", failure_text(error)) from None
        writer = self._streams[1]
        bound: socket.socket = writer.get_extra_info("socket")
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        writer.transport.set_write_buffer_limits(WRITE_LIMIT_BYTES)
        writer.write(audiosocket.encode(audiosocket.Identity(self.uuid)))

    async def send(self, message: Outgoing) -> None:
        """Marks never come here: no peer could have set one."""
        assert self._streams is not None
        writer = self._streams[1]
        match message:
            case Said():
                writer.write(audiosocket.encode(audiosocket.Sound(self.rate_hz, message.sound)))
            case Pressed():
                writer.write(audiosocket.encode(audiosocket.Digit(message.digit)))
            case MarkPassed():
                return
        try:
            await writer.drain()
        except OSError as error:
            raise StreamFailed("lost", failure_text(error)) from None

    async def receive(self) -> Sequence[Incoming]:
        """The sound that came next."""
        assert self._streams is not None
        if self._over is not None:
            raise self._over
        try:
            data = await self._streams[0].read(READ_BYTES)
        except OSError as error:
            raise StreamFailed("lost", failure_text(error)) from None
        if not data:
            if self._reader.within:
                raise StreamFailed("lost", "the peer has closed within a message")
            raise EOFError
        found: list[Incoming] = []
        messages = self._reader.feed(data)
        await self._intake.took(len(messages), len(data))
        for message in messages:
            if self._over is None:  # sound before the end is played, behind it there is nothing
                self._take(message, found)
        return found

    def _take(
        self, message: audiosocket.Message | audiosocket.Reject, found: list[Incoming]
    ) -> None:
        match message:
            case audiosocket.Sound():
                found.append(Media(self._at_our_rate(message)))
            case audiosocket.Terminate():
                self._over = EOFError()
            case audiosocket.Error():
                code = message.code[:8].hex() or "none"
                self._over = StreamFailed("lost", f"the peer has failed, with error code {code}")
            case audiosocket.Reject():
                harmless = message is audiosocket.Reject.UNKNOWN_TYPE
                self.rejections.note(message.value, harmless=harmless)
            case _:
                self.rejections.note("unexpected")

    def _at_our_rate(self, sound: audiosocket.Sound) -> bytes:
        samples = np.frombuffer(sound.pcm, "<i2").astype(np.int16, copy=False)
        if sound.rate_hz == self.rate_hz:
            return samples.tobytes()
        if self._resampler is None or self._resampler[0] != sound.rate_hz:
            self._resampler = sound.rate_hz, resampler_between(sound.rate_hz, self.rate_hz)
        return bytes(self._resampler[1].resample_chunk(samples).tobytes())

    async def check(self) -> None:
        """There is nothing to ask an AudioSocket."""

    async def close(self, *, politely: bool) -> None:
        """The end of the stream as a message, and of the connection."""
        if self._streams is None:
            return
        writer = self._streams[1]
        try:
            async with asyncio.timeout(CLOSE_S):
                if politely:
                    writer.write(audiosocket.encode(audiosocket.Terminate()))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (TimeoutError, OSError):
            pass
        finally:
            writer.transport.abort()
