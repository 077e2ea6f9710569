"""A voice agent for tests, written from Twilio's description of Media Streams with a public
WebSocket library, and an AudioSocket server written from Asterisk's.

Nothing of Ringwheel is used here, so that a mistake in our reading of a message cannot hide one in
our writing of it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

TIMEOUT_S = 30.0


@dataclass(slots=True)
class Talk:
    """One stream, as the agent's program sees it."""

    socket: ServerConnection
    start: dict[str, Any] = field(default_factory=dict)
    heard: bytearray = field(default_factory=bytearray)
    numbers: list[int] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    digits: str = ""
    stopped: bool = False
    over: bool = False
    change: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def sid(self) -> str:
        """The streamSid."""
        return str(self.start["streamSid"])

    async def begin(self) -> None:
        """``connected`` and ``start``."""
        connected = json.loads(await self.socket.recv())
        assert connected["event"] == "connected", connected
        assert connected["protocol"] == "Call", connected
        start = json.loads(await self.socket.recv())
        assert start["event"] == "start", start
        assert start["streamSid"] == start["start"]["streamSid"]
        self.numbers.append(int(start["sequenceNumber"]))
        self.start = start["start"]

    async def listen(self) -> None:
        """Take what comes until the stream is over."""
        async for text in self.socket:
            message = json.loads(text)
            assert message["streamSid"] == self.sid
            self.numbers.append(int(message["sequenceNumber"]))
            getattr(self, "_on_" + message["event"])(message)
            self.change.set()
        self.over = True
        self.change.set()

    def _on_media(self, message: dict[str, Any]) -> None:
        media = message["media"]
        assert media["track"] == "inbound"
        self.chunks.append(int(media["chunk"]))
        self.timestamps.append(int(media["timestamp"]))
        self.heard += base64.b64decode(media["payload"], validate=True)

    def _on_dtmf(self, message: dict[str, Any]) -> None:
        self.digits += message["dtmf"]["digit"]

    def _on_mark(self, message: dict[str, Any]) -> None:
        self.marks.append(message["mark"]["name"])

    def _on_stop(self, message: dict[str, Any]) -> None:
        assert message["stop"]["callSid"] == self.start["callSid"]
        self.stopped = True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the messages bring; TimeoutError if they never do."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                self.change.clear()
                await self.change.wait()

    async def send(self, event: str, **content: object) -> None:
        """A message with this stream's streamSid."""
        message = {"event": event, "streamSid": self.sid}
        await self.socket.send(json.dumps(message | ({event: content} if content else {})))

    async def say(self, sound: bytes, block: int = 160) -> None:
        """Send sound as fast as it goes, in blocks."""
        for at in range(0, len(sound), block):
            payload = base64.b64encode(sound[at : at + block]).decode()
            await self.send("media", payload=payload)

    async def mark(self, name: str) -> None:
        """Ask to be told when all before was played."""
        await self.send("mark", name=name)

    async def clear(self) -> None:
        """What was said and not yet played is not to be played."""
        await self.send("clear")


Program = Callable[[Talk], Awaitable[None]]


@dataclass(slots=True)
class Agent:
    """A server whose ``program`` is run for every stream; ``url`` is where it is."""

    url: str = ""
    talks: list[Talk] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)


@contextlib.asynccontextmanager
async def agent(program: Program, path: str = "/", **options: Any) -> AsyncIterator[Agent]:
    """An agent on a free port, until the block is left. What its program raised is raised then."""
    made = Agent()

    async def take(socket: ServerConnection) -> None:
        talk = Talk(socket)
        made.talks.append(talk)
        assert socket.request is not None
        made.headers.append(dict(socket.request.headers.raw_items()))
        await talk.begin()
        listening = asyncio.ensure_future(talk.listen())
        try:
            await program(talk)
        except (AssertionError, TimeoutError) as error:
            made.failures.append(error)
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async with serve(take, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        scheme = "wss" if options.get("ssl") else "ws"
        made.url = f"{scheme}://localhost:{port}{path}"
        yield made
    for failure in made.failures:
        raise failure


@dataclass(slots=True)
class AudioTalk:
    """One AudioSocket connection, as its server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    uuid: bytes = b""
    heard: bytearray = field(default_factory=bytearray)
    kinds: set[int] = field(default_factory=set)
    digits: str = ""
    over: bool = False
    change: asyncio.Event = field(default_factory=asyncio.Event)

    async def message(self) -> tuple[int, bytes]:
        """The next message: type and payload."""
        kind, length = struct.unpack("!BH", await self.reader.readexactly(3))
        return kind, await self.reader.readexactly(length)

    async def listen(self) -> None:
        """Take what comes until the connection is over."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not self.over:
                kind, payload = await self.message()
                self.kinds.add(kind)
                if kind == 0x03:
                    self.digits += payload.decode()
                elif kind == 0x00:
                    self.over = True
                else:
                    self.heard += payload
                self.change.set()
        self.over = True
        self.change.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the messages bring; TimeoutError if they never do."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                self.change.clear()
                await self.change.wait()

    def send(self, kind: int, payload: bytes = b"") -> None:
        """A message."""
        self.writer.write(struct.pack("!BH", kind, len(payload)) + payload)


@contextlib.asynccontextmanager
async def audio_server(
    program: Callable[[AudioTalk], Awaitable[None]],
) -> AsyncIterator[tuple[str, list[AudioTalk]]]:
    """An AudioSocket server on a free port; HOST:PORT, and its connections."""
    talks: list[AudioTalk] = []
    failures: list[BaseException] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = AudioTalk(reader, writer)
        talks.append(talk)
        try:
            kind, talk.uuid = await talk.message()
            assert kind == 0x01
            listening = asyncio.ensure_future(talk.listen())
            try:
                await program(talk)
            finally:
                listening.cancel()
                await asyncio.wait([listening])
        except (AssertionError, TimeoutError, OSError) as error:
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", talks
    if failures:
        raise failures[0]
