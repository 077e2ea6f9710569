"""A small HTTP port for who looks after an engine: GET, few connections, nothing that waits long.

The protocol is h11's; here are the sockets, the limits and the deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

import h11
import structlog

from ..sip.fields import format_host_port
from ..sip.transport import ListenError

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 32
MAX_HEAD_BYTES = 8_192
READ_BYTES = 8_192
WAIT_S = 10.0
"""How long a peer may take for a request, and for taking what we answer."""
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked: the parameters, the last of each name, and whether a process of this machine
    asks, which is no browser that was sent here by the name of somebody's site."""

    values: Mapping[str, str]
    local: bool

    def get(self, name: str) -> str:
        """A parameter; empty if it is not there."""
        return self.values.get(name, "")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    body: bytes
    content_type: str = TEXT
    status: int = 200


Page = Callable[[Query], Awaitable[Reply]]


class HttpPort:
    """Serves ``pages`` by their paths, from :meth:`open` to :meth:`close`."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = ""

    async def open(self, host: str, port: int) -> None:
        """Listen; ``address`` is ``host:port`` then. ListenError: it cannot be done."""
        try:
            self._server = await asyncio.start_server(
                self._connected, host, port, limit=MAX_HEAD_BYTES
            )
        except OSError as error:
            where = format_host_port(host, port)
            # asyncio puts a sentence of its own into strerror.
            cause = os.strerror(error.errno) if error.errno else str(error)
            raise ListenError(f"http {where}: {cause}; take another address or port") from error
        bound = self._server.sockets[0].getsockname()
        self.address = format_host_port(bound[0], bound[1])

    async def close(self) -> None:
        """End every connection, and listen no more."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(self._pages, reader, writer)
        try:
            while await exchange.next():
                pass
        except (OSError, TimeoutError, h11.ProtocolError):
            pass  # a peer that is gone, too slow, or speaks no HTTP any more
        except Exception:
            log.exception("http connection failed")
        finally:
            writer.transport.abort()


class Exchange:
    """One connection: requests one after the other."""

    def __init__(
        self, pages: Mapping[str, Page], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._pages = pages
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        peer = writer.get_extra_info("peername")
        self._local = bool(peer) and ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback

    async def next(self) -> bool:
        """Take a request and answer it; False if it was the last of this connection."""
        try:
            async with asyncio.timeout(WAIT_S):
                request = await self._request()
        except h11.RemoteProtocolError as error:
            refusal = Reply(f"{error}\n".encode(), status=error.error_status_hint)
            await self._answer(refusal, head=False)
            await self._say_goodbye()
            return False
        if request is None:
            return False
        await self._answer(await self._page(request), head=request.method == b"HEAD")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        await self._say_goodbye()
        return False

    async def _request(self) -> h11.Request | None:
        """The next request, its body read and forgotten; None: the peer has closed."""
        request, body_bytes = None, 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(READ_BYTES))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body_bytes += len(event.data)
                if body_bytes > MAX_HEAD_BYTES:
                    raise h11.RemoteProtocolError("no page takes a body", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage):
                return request
            else:
                return None

    async def _page(self, request: h11.Request) -> Reply:
        if request.method not in (b"GET", b"HEAD"):
            return Reply(b"there is nothing to change here\n", status=405)
        path, _, query = request.target.decode("latin-1").partition("?")
        page = self._pages.get(path)
        if page is None:
            paths = "\n".join(self._pages)
            return Reply(f"no such page; there are:\n{paths}\n".encode(), status=404)
        try:
            asked = parse_qs(query, max_num_fields=16)
            values = {name: all[-1] for name, all in asked.items()}
            return await page(Query(values, self._local and _names_this_machine(request)))
        except ValueError as error:
            return Reply(f"{error}\n".encode(), status=400)
        except Exception:
            log.exception("http page failed", path=path)
            return Reply(b"failed; the log says why\n", status=500)

    async def _answer(self, reply: Reply, *, head: bool) -> None:
        headers = [
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        events: list[h11.Event] = [h11.Response(status_code=reply.status, headers=headers)]
        if not head:
            events.append(h11.Data(data=reply.body))
        events.append(h11.EndOfMessage())
        async with asyncio.timeout(WAIT_S):
            for event in events:
                self._writer.write(self._http.send(event) or b"")
                await self._writer.drain()

    async def _say_goodbye(self) -> None:
        """Have what was written arrive before the connection is closed."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(WAIT_S):
                self._writer.write_eof()
                while await self._reader.read(READ_BYTES):
                    pass


def _names_this_machine(request: h11.Request) -> bool:
    """Whether Host is an address, or localhost: a name may be anybody's who lets it lead here."""
    hosts = [value.decode("latin-1") for name, value in request.headers if name == b"host"]
    host = hosts[0].rpartition(":")[0] or hosts[0] if hosts else ""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    return True
