"""The test client over TCP or TLS: listens where its Contact says, and calls from another port."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from types import TracebackType

from .client import TIMEOUT_S, Message, Phone, read_message, udp_pair


@dataclass(slots=True)
class StreamPhone(Phone):
    """Like `Phone`. ``context`` makes TLS of it; ``piece_bytes`` cuts what it sends."""

    context: ssl.SSLContext | None = None
    piece_bytes: int = 65_536
    connections: int = 0
    _inbox: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    _writer: asyncio.StreamWriter | None = None
    _server: asyncio.Server | None = None
    _readers: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rtp, self.rtcp = udp_pair(self.host)

    async def __aenter__(self) -> StreamPhone:
        self._server = await asyncio.start_server(self._accepted, self.host, 0)
        reader, self._writer = await asyncio.open_connection(
            *self.server,
            ssl=self.context,
            server_hostname=self.server[0] if self.context else None,
            local_addr=(self.host, 0),
        )
        self._readers.append(asyncio.create_task(self._read(reader)))
        self.sip = self  # type: ignore[assignment] # what `Phone` sends by
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.rtp.close()
        self.rtcp.close()
        assert self._server is not None
        self._server.close()
        await self.hang_up_connection()
        for task in self._readers:
            task.cancel()

    async def hang_up_connection(self) -> None:
        """Close the connection that is used now."""
        assert self._writer is not None
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the other side was faster
            await self._writer.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writer = writer
        await self._read(reader)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # closed
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(read_message(head).get("Content-Length"))
                await self._inbox.put(head + await reader.readexactly(length))

    # What `Phone` takes for its socket

    def sendto(self, data: bytes, server: tuple[str, int]) -> None:
        """Write a message, by the names of its transport."""
        assert self._writer is not None
        name = b"TLS" if self.context else b"TCP"
        data = data.replace(b"SIP/2.0/UDP", b"SIP/2.0/" + name)
        for start in range(0, len(data), self.piece_bytes):
            self._writer.write(data[start : start + self.piece_bytes])

    def getsockname(self) -> tuple[str, int]:
        """Where the phone listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def message(self) -> Message:
        async with asyncio.timeout(TIMEOUT_S):
            message = read_message(await self._inbox.get())
        if message.method == "BYE" and not message.status:
            self.bye = message
            self.answer(message)
        return message
