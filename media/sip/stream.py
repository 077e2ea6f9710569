"""SIP over TCP and TLS at the edge: connections that are accepted, opened, shared and given up.

RFC 3261 section 18, RFC 5626 3.5.1 (keep-alive), RFC 5923 (one connection for both directions).
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, cast

import structlog

from .dns_records import numeric
from .edge import Flow, SendFailure, TimerHandle, Timers
from .framer import Broken, Framer, Signal
from .lifeline import Due, Lifeline, StreamLimits
from .listener import UNSPECIFIED, Listener, bound_port, open_socket
from .logs import LogGate
from .tls import TlsContexts, failure_text

if TYPE_CHECKING:
    from .transport import TransportCounts

log = structlog.get_logger(__name__)

BATCH = 64
"""Messages of one connection that are taken before others have their turn."""

ACCEPT_BATCH = 32
LINGER_MS = 2_000
"""How long a peer gets to read the answer that says why its connection ends."""

ACCEPT_PAUSE_S = 1.0
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

DEAD_PEER_MS = 32_000
"""How long what we have sent may stay unacknowledged by the peer's kernel: 64*T1."""


class StreamEdge(Protocol):
    """What connections need of the endpoint that they belong to."""

    counts: TransportCounts

    @property
    def timers(self) -> Timers: ...

    def take(self, data: bytes, flow: Flow) -> None:
        """A message came."""

    def refuse(self, broken: Broken, flow: Flow) -> None:
        """Something came that ends its connection: answer it, if that can be."""

    def undelivered(self, data: bytes, flow: Flow, failure: SendFailure) -> None:
        """A message of ours did not get away."""

    def disconnected(self, flow: Flow, failure: SendFailure) -> None:
        """A connection that we had opened is gone."""


class Connection(asyncio.Protocol):
    """One TCP or TLS connection. Its ``flow`` names it, for what comes and for what is sent."""

    def __init__(self, streams: Streams, flow: Flow, *, initiator: bool) -> None:
        self.flow = flow
        self.initiator = initiator
        self._streams = streams
        self._framer = Framer(initiator=initiator)
        self._transport: asyncio.Transport | None = None
        self._lifeline: Lifeline | None = None
        self._timer: TimerHandle | None = None
        self._next_turn: asyncio.Handle | None = None
        self._cause = ""

    @property
    def made(self) -> bool:
        """True once it is there, also when it is gone again."""
        return self._transport is not None

    @property
    def closing(self) -> bool:
        """True if nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        streams = self._streams
        now_ms = streams.edge.timers.now_ms
        share = hash((self.flow, now_ms)) % 1_000 / 1_000
        self._lifeline = Lifeline(streams.limits, now_ms, share, initiator=self.initiator)
        self._watch()
        streams.made(self)

    def data_received(self, data: bytes) -> None:
        self._framer.feed(data)
        if self._next_turn is None:
            self._work()

    def pause_writing(self) -> None:
        if self._lifeline is not None:
            self._lifeline.stalled(self._streams.edge.timers.now_ms)

    def resume_writing(self) -> None:
        if self._lifeline is not None:
            self._lifeline.stalled(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._next_turn is not None:
            self._next_turn.cancel()
        if not self._cause:
            self._cause = failure_text(error) if error else "the peer has closed the connection"
        self._streams.lost(self, self._cause)

    # What the pool calls

    def send(self, data: bytes, flow: Flow) -> None:
        """Send a message; ``flow`` is what it was sent to. A peer that reads too little is cut."""
        transport, limits = self._transport, self._streams.limits
        edge = self._streams.edge
        if transport is None or self._lifeline is None or transport.is_closing():
            edge.undelivered(data, flow, SendFailure(self._cause or "the connection is closing"))
            return
        if transport.get_write_buffer_size() + len(data) > limits.queue_bytes:
            self._cut(Due.STALLED)
            edge.undelivered(data, flow, SendFailure(Due.STALLED.value))
            return
        edge.counts.stream_messages_sent += 1
        self._lifeline.sent(edge.timers.now_ms)
        transport.write(data)

    def tune(self) -> None:
        """See `_tune_socket`."""
        assert self._transport is not None
        _tune_socket(self._transport.get_extra_info("socket"))

    def close(self) -> None:
        """Send what waits, and close."""
        self._cause = self._cause or "closed by us"
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # Within

    def _work(self) -> None:
        """Take what has come, a batch at a time."""
        self._next_turn = None
        transport, lifeline, edge = self._transport, self._lifeline, self._streams.edge
        if transport is None or lifeline is None or transport.is_closing():
            return
        messages = pings = 0
        for _ in range(BATCH):
            frame = self._framer.next()
            if frame is None:
                break
            if isinstance(frame, bytes):
                messages += 1
                edge.take(frame, self.flow)
            elif isinstance(frame, Broken):
                self._break(frame)
                return
            elif frame is Signal.PING:
                pings += 1
            else:
                lifeline.ponged(edge.timers.now_ms)
        else:
            transport.pause_reading()
            self._next_turn = asyncio.get_running_loop().call_soon(self._work)
        self._note(lifeline, messages, pings)
        if self._next_turn is None and not transport.is_closing() and not transport.is_reading():
            transport.resume_reading()

    def _note(self, lifeline: Lifeline, messages: int, pings: int) -> None:
        now_ms = self._streams.edge.timers.now_ms
        within = self._framer.within_message
        lifeline.heard(now_ms, message=messages > 0, within=within)
        self._streams.edge.counts.stream_messages_received += messages
        if pings and self._transport is not None:
            lifeline.pinged(now_ms)
            # One answer says what several would.
            self._write_signal(Signal.PONG)

    def _write_signal(self, signal: Signal) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(signal.value)

    def _watch(self) -> None:
        assert self._lifeline is not None
        timers = self._streams.edge.timers
        self._timer = timers.arm(self._lifeline.wait_ms(timers.now_ms), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        lifeline = self._lifeline
        if lifeline is None or self._transport is None or self._transport.is_closing():
            return
        due = lifeline.due(self._streams.edge.timers.now_ms)
        if due is Due.IDLE:
            self._cause = due.value
            self._streams.forget(self)
            self.close()
            self._abort_later()
            return
        if due is Due.PING:
            self._write_signal(Signal.PING)
        elif due is not Due.NOTHING:
            self._cut(due)
            return
        self._watch()

    def _cut(self, due: Due) -> None:
        """Close at once, for what the peer does or leaves undone."""
        self._cause = due.value
        self._streams.note_cut(self, due)
        self.abort()

    def _break(self, broken: Broken) -> None:
        """Say what is wrong, if the peer can be told, and close."""
        self._cause = broken.fault.value
        self._streams.note_malformed(self, broken.fault.value)
        self._streams.edge.refuse(broken, self.flow)
        self._streams.forget(self)
        transport = self._transport
        assert transport is not None
        if self.flow.transport == "TCP" and transport.can_write_eof():
            # Closed with something unread, the socket would take our answer back (RFC 2525 2.17).
            transport.write_eof()
        else:
            transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._streams.edge.timers.arm(LINGER_MS, self.abort)


@dataclass(slots=True, eq=False)
class Opening:
    """A connection that is being opened, and what waits for it."""

    task: asyncio.Task[None] | None = None
    waiting: list[tuple[bytes, Flow]] = field(default_factory=list)
    waiting_bytes: int = 0


class Streams:
    """All connections of an endpoint. One for each peer and name; one attempt at a time."""

    def __init__(
        self, edge: StreamEdge, bind_hosts: list[str], limits: StreamLimits | None = None
    ) -> None:
        """``bind_hosts``: for each listener the address that it is bound to."""
        self.edge = edge
        self.limits = limits or _affordable_limits()
        self.contexts: TlsContexts | None = None
        self._bind_hosts = bind_hosts
        self._gate = LogGate()
        self._open: dict[Flow, Connection] = {}
        self._opening: dict[Flow, Opening] = {}
        self._accepted: Counter[str] = Counter()
        self._connections: set[Connection] = set()
        self._welcoming: dict[asyncio.Task[None], str] = {}
        self._closed = False

    def __len__(self) -> int:
        """Connections that are open or being opened."""
        return len(self._connections) + len(self._opening) + len(self._welcoming)

    # Sending

    def send(self, data: bytes, flow: Flow) -> None:
        """Send by the connection of ``flow``, by another one to the same peer, or by a new one."""
        elsewhere = self._elsewhere(flow)
        for target in (flow, elsewhere):
            known = self._open.get(target)
            if known is not None and not known.closing:
                known.send(data, flow)
                return
        self._open_and_send(data, flow, elsewhere)

    @staticmethod
    def _elsewhere(flow: Flow) -> Flow:
        """Where the peer itself can be connected to (RFC 3261 18.2.2). One that calls itself by a
        name is where it came from."""
        host, port = flow.alias or (flow.remote_host, flow.remote_port)
        if not numeric(host):
            host = flow.remote_host
        return Flow(host, port, flow.listener, flow.transport, flow.name or flow.peer_name)

    def _open_and_send(self, data: bytes, flow: Flow, target: Flow) -> None:
        opening = self._opening.get(target)
        if opening is None:
            if self._closed or len(self) >= self.limits.connections:
                self._fail(data, flow, "too many connections")
                return
            opening = self._opening[target] = Opening()
            opening.task = asyncio.get_running_loop().create_task(self._connect(target, opening))
        queue_bytes = opening.waiting_bytes + len(data)
        full = len(opening.waiting) >= self.limits.queue_messages
        if full or queue_bytes > self.limits.queue_bytes:
            self._fail(data, flow, "too many messages wait for the connection")
            return
        opening.waiting.append((data, flow))
        opening.waiting_bytes = queue_bytes

    def _fail(self, data: bytes, flow: Flow, cause: str) -> None:
        self.edge.undelivered(data, flow, SendFailure(cause, unconnected=True))

    # Connecting

    async def _connect(self, flow: Flow, opening: Opening) -> None:
        tls = flow.transport == "TLS"
        limits = self.limits
        deadline_ms = limits.connect_ms + (limits.handshake_ms if tls else 0)
        connection = Connection(self, flow, initiator=True)
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                await self._dial(flow, connection, tls)
        # ValueError and UnicodeError: a name or port that the resolver's library refuses.
        except (OSError, ValueError) as error:
            self._connect_failed(flow, opening, failure_text(error))
        except BaseException:
            self._opening.pop(flow, None)
            raise

    async def _dial(self, flow: Flow, connection: Connection, tls: bool) -> None:
        loop = asyncio.get_running_loop()
        _refuse_names(flow.remote_host)
        bind_host = self._bind_hosts[flow.listener]
        same_family = (":" in bind_host) == (":" in flow.remote_host)
        own = (bind_host, 0) if same_family and bind_host not in UNSPECIFIED else None
        if not tls:
            await loop.create_connection(
                lambda: connection, flow.remote_host, flow.remote_port, local_addr=own
            )
            return
        assert self.contexts is not None
        await loop.create_connection(
            lambda: connection,
            flow.remote_host,
            flow.remote_port,
            local_addr=own,
            ssl=self.contexts.client,
            server_hostname=flow.name or flow.remote_host,
            ssl_handshake_timeout=self.limits.handshake_ms / 1_000,
            ssl_shutdown_timeout=LINGER_MS / 1_000,
        )

    def _connect_failed(self, flow: Flow, opening: Opening, cause: str) -> None:
        self._opening.pop(flow, None)
        self.edge.counts.streams_failed += 1
        self._tell("sip connection failed", flow, cause)
        for data, wanted in opening.waiting:
            self._fail(data, wanted, cause)

    def made(self, connection: Connection) -> None:
        """A connection is there: what waits for it goes out."""
        flow = connection.flow
        self._connections.add(connection)
        self._open[flow] = connection
        if connection.initiator:
            self.edge.counts.streams_opened += 1
            connection.tune()
            opening = self._opening.pop(flow, None)
            for data, wanted in opening.waiting if opening is not None else ():
                connection.send(data, wanted)
        else:
            self.edge.counts.streams_accepted += 1

    def forget(self, connection: Connection) -> None:
        """Send nothing by it any more."""
        if self._open.get(connection.flow) is connection:
            del self._open[connection.flow]

    def lost(self, connection: Connection, cause: str) -> None:
        """A connection is gone."""
        self.forget(connection)
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self.edge.counts.streams_closed += 1
        if connection.initiator:
            self.edge.disconnected(connection.flow, SendFailure(cause))
        else:
            self._release(connection.flow.remote_host)

    def note_cut(self, connection: Connection, due: Due) -> None:
        """A connection is cut for what its peer does or leaves undone."""
        counts = self.edge.counts
        if due is Due.SLOW:
            counts.streams_cut_slow += 1
        elif due is Due.DEAD:
            counts.streams_cut_dead += 1
        else:
            counts.streams_cut_stalled += 1
        self.forget(connection)
        self._tell("sip connection cut", connection.flow, due.value)

    def note_malformed(self, connection: Connection, cause: str) -> None:
        """A connection is cut for what it brought."""
        self.edge.counts.streams_cut_malformed += 1
        self._tell("sip connection cut", connection.flow, cause)

    # Accepting

    def accept(self, accepted: socket.socket, flow: Flow) -> None:
        """Take a connection that came in, if there is room; TLS has still to be agreed on."""
        host, limits = flow.remote_host, self.limits
        cause = ""
        if self._closed or len(self) >= limits.connections:
            cause = "too many connections"
        elif self._accepted[host] >= limits.per_source:
            cause = "too many connections from this address"
        elif len(self._welcoming) >= limits.handshakes or self._crowds(flow):
            cause = "too many connections at once"
        if cause:
            accepted.close()
            self.edge.counts.streams_refused += 1
            self._tell("sip connection refused", flow, cause)
            return
        self._accepted[host] += 1
        _tune_socket(accepted)
        task = asyncio.get_running_loop().create_task(self._welcome(accepted, flow))
        self._welcoming[task] = host
        task.add_done_callback(self._welcoming.pop)

    def _crowds(self, flow: Flow) -> bool:
        """True if this address alone has half of all handshakes under way: who does not go on with
        them must not keep others out."""
        if flow.transport != "TLS":
            return False  # without a handshake each is there at once
        waiting = sum(host == flow.remote_host for host in self._welcoming.values())
        return waiting >= max(1, self.limits.handshakes // 2)

    async def _welcome(self, accepted: socket.socket, flow: Flow) -> None:
        loop, limits = asyncio.get_running_loop(), self.limits
        connection = Connection(self, flow, initiator=False)
        try:
            if flow.transport == "TLS":
                assert self.contexts is not None and self.contexts.server is not None
                await loop.connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=self.contexts.server,
                    ssl_handshake_timeout=limits.handshake_ms / 1_000,
                    ssl_shutdown_timeout=LINGER_MS / 1_000,
                )
            else:
                await loop.connect_accepted_socket(lambda: connection, accepted)
        except (OSError, ValueError) as error:
            self.edge.counts.streams_failed += 1
            self._tell("sip connection failed", flow, failure_text(error))
        finally:
            if not connection.made:
                accepted.close()
                self._release(flow.remote_host)

    def _release(self, host: str) -> None:
        self._accepted[host] -= 1
        if self._accepted[host] <= 0:
            del self._accepted[host]

    def _tell(self, event: str, flow: Flow, cause: str) -> None:
        """One line a second for each kind of trouble."""
        unlogged = self._gate.passes((event, cause), self.edge.timers.now_ms)
        if unlogged is not None:
            log.info(
                event,
                transport=flow.transport,
                peer=flow.remote_host,
                port=flow.remote_port,
                reason=cause,
                not_logged=unlogged,
            )

    # The end

    def close(self) -> None:
        """Close every connection, once what it has to send is sent, and open none any more."""
        self._closed = True
        for task in [*self._welcoming, *(o.task for o in self._opening.values())]:
            if task is not None:
                task.cancel()
        for connection in list(self._connections):
            connection.close()

    async def wait_closed(self, timeout_s: float) -> None:
        """Wait for the peers; cut those that take longer than ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(self):  # noqa: ASYNC110 - at the end of an engine, and only there
                    await asyncio.sleep(0.005)
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await asyncio.sleep(0)


class StreamListener:
    """One socket that takes TCP connections, for TCP or TLS."""

    def __init__(self, listener: Listener, index: int) -> None:
        """Binds and listens. ListenError: it cannot be done."""
        self.listener = listener
        self.socket = open_socket(listener)
        self._index = index
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pause: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return bound_port(self.socket)

    def start(self, accept: Callable[[socket.socket, Flow], None]) -> None:
        """Give every connection to ``accept``, which owns it from then on."""
        self._loop = asyncio.get_running_loop()
        self._accept = accept
        self._loop.add_reader(self.socket, self._on_readable)

    def close(self) -> None:
        """Take no more."""
        if self._pause is not None:
            self._pause.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self.socket)
        self.socket.close()

    def _on_readable(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, address = self.socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NO_FILES:
                    self._rest()
                    return
                continue  # that one is gone already
            accepted.setblocking(False)
            flow = Flow(address[0], address[1], self._index, self.listener.transport)
            self._accept(accepted, flow)

    def _rest(self) -> None:
        """Without files or memory the socket would stay readable, and the loop would spin."""
        assert self._loop is not None
        log.warning("sip connections wait", cause="no files left; raise the limit of open files")
        self._loop.remove_reader(self.socket)
        self._pause = self._loop.call_later(ACCEPT_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        assert self._loop is not None
        self._pause = None
        self._loop.add_reader(self.socket, self._on_readable)


def _affordable_limits() -> StreamLimits:
    """The usual bounds, but no more than an eighth of the files: those are for calls."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual = StreamLimits()
    if files == resource.RLIM_INFINITY:
        return usual
    connections = max(8, min(usual.connections, files // 8))
    return replace(
        usual, connections=connections, per_source=min(usual.per_source, connections // 2)
    )


def _refuse_names(host: str) -> None:
    """A look-up would block: names are resolved before a flow is made."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):
        raise ValueError(f"no address to connect to: {host}") from None


def _tune_socket(opened: socket.socket) -> None:
    """Small messages go out at once, and a peer that is gone is noticed by the kernel."""
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
    except OSError:
        pass  # it is gone already, which its first use will tell
