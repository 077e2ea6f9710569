"""The asyncio edge of SIP: UDP sockets in batches, and streams."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import structlog

from .._core import DatagramReader, DatagramSender, WheelClock
from .edge import Flow, MessageObserver, SendFailure
from .fields import format_host_port
from .framer import Broken
from .gate import Gate
from .icmp import ICMP_ERRORS, queue_refusals, refused_request, take_refusals, why_refused
from .lifeline import StreamLimits
from .listener import Listener, ListenError, bound_port, open_socket, reachable_host
from .logs import LogGate
from .message import Request, Response, SipParseError, SipReject, parse
from .stream import StreamListener, Streams
from .tls import TlsConfig, TlsContexts

__all__ = [
    "ListenError",
    "Listener",
    "MessageTaker",
    "SipEndpoint",
    "TransportCounts",
    "UdpTransport",
    "WheelClock",
    "checked_gather_ms",
    "reachable_host",
]

log = structlog.get_logger(__name__)

BATCH = 64

GATHER_MS = 40
"""How long datagrams gather while the socket is busy, where nobody says. A process that wakes for
each of them finds its caches cold every time, which costs more than the message; and it is little
beside T1."""

MAX_GATHER_MS = 100
"""More would be felt, by those who wait for an answer and by T1 at each hop."""

_FULL = (errno.EAGAIN, errno.EINTR)
_NO_ROOM = (errno.ENOBUFS, errno.ENOMEM)
"""The kernel is out of memory for the moment: what was sent will be sent again."""

SEND_TOGETHER = 16
"""How many datagrams wait for the end of a wake-up to leave together. One that leaves alone wakes
its peer alone, where that is on the same machine, and finds the kernel's way out cold."""

SEND_QUEUE_DATAGRAMS = 4_096
SEND_AGAIN_S = 0.002
"""When a socket that had no room is tried again. Its buffer is what leaves in about that time."""

SEND_TRIES = 4
KNOWN_PEERS = 4_096


def checked_gather_ms(gather_ms: int) -> int:
    """How long datagrams may gather. ValueError: not so long."""
    if not 0 <= gather_ms <= MAX_GATHER_MS:
        raise ValueError(f"sip_gather_ms: {gather_ms}; use 0 to {MAX_GATHER_MS}")
    return gather_ms


class MessageTaker(Protocol):
    """Who takes the messages (`UserAgent`)."""

    def receive(self, message: Request | Response, flow: Flow) -> None: ...

    def receive_error(self, error: SipParseError, flow: Flow) -> None: ...

    def undelivered(self, message: Request | Response, failure: SendFailure) -> None:
        """A message of ours did not get away (RFC 3261 17.1.4, 17.2.4)."""

    def disconnected(self, flow: Flow, failure: SendFailure) -> None:
        """A connection that we had opened is gone, with what it still had to bring."""

    def refused(self, branch: str, method: str, failure: SendFailure) -> None:
        """A datagram with a request of ours came back, or could not be sent (RFC 3261 18.4)."""


@dataclass(slots=True)
class TransportCounts:
    """What happened at the edge since the start."""

    datagrams_received: int = 0
    datagrams_sent: int = 0
    sends_queued: int = 0
    sends_dropped: int = 0
    send_errors: int = 0
    receive_errors: int = 0
    datagrams_refused: int = 0
    parse_errors: int = 0
    failures: int = 0
    streams_accepted: int = 0
    streams_opened: int = 0
    streams_closed: int = 0
    streams_refused: int = 0
    streams_failed: int = 0
    streams_cut_malformed: int = 0
    streams_cut_slow: int = 0
    streams_cut_stalled: int = 0
    streams_cut_dead: int = 0
    stream_messages_received: int = 0
    stream_messages_sent: int = 0
    undelivered: int = 0

    def as_dict(self) -> dict[str, int]:
        """Every counter by its name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class UdpTransport:
    """One bound UDP socket, its peers' flows, and what waits to be sent."""

    def __init__(
        self,
        listener: Listener,
        index: int,
        counts: TransportCounts,
        gather_ms: int = GATHER_MS,
    ) -> None:
        """Binds. ListenError: it cannot be done. ``gather_ms``: as of `SipEndpoint`."""
        self._gather_s = gather_ms / 1_000
        self.listener = listener
        self.socket = open_socket(listener)
        self._index = index
        self._counts = counts
        self.reader = DatagramReader(self.flow, BATCH)
        self._sender = DatagramSender()
        self._flows: dict[tuple[str, int], Flow] = {}
        self._leaving: list[tuple[bytes, str, int]] = []
        self._waiting: deque[tuple[bytes, str, int]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_up = select.epoll()
        self._next_read: asyncio.Handle | None = None
        self._next_send: asyncio.Handle | None = None
        self._early_s = 0.0
        self._soonest_s = 0.0
        self._has_refusals = False
        self.on_refused: Callable[[bytes, str], None] | None = None
        """Told of each datagram that came back or could not be sent, maybe cut off, and why."""
        queue_refusals(self.socket)

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return bound_port(self.socket)

    def start(self, read: Callable[[UdpTransport], int]) -> None:
        """Call ``read(self)``, which returns how many datagrams it took, while some come.

        The first one after a rest is read at once; then the socket is read every ``gather_ms``,
        until it rests again. One that came alone is of a call at rest, whose next message waits no
        longer than half of that. Who sends meanwhile is at work anyway: then it is read after half
        of that time too.
        """
        self._loop = asyncio.get_running_loop()
        self._read = read
        # The loop itself never watches the socket: uvloop stops for good when ICMP leaves an error.
        if not self._gather_s:
            self._wake_up.register(self.socket, select.EPOLLIN)
            self._loop.add_reader(self._wake_up.fileno(), read, self)
            return
        # One-shot: to pause a reader of the loop costs more than to read.
        self._wake_up.register(self.socket, select.EPOLLIN | select.EPOLLONESHOT)
        self._loop.add_reader(self._wake_up.fileno(), self._on_wake_up)

    def _on_wake_up(self) -> None:
        assert self._loop is not None
        self._wake_up.poll(0)
        if self._loop.time() < self._soonest_s:
            self._next_read = self._loop.call_at(self._soonest_s, self._read_on)
        else:
            self._read_on()

    def _read_on(self) -> None:
        assert self._loop is not None
        self._next_read = None  # until then: what is answered meanwhile brings no other one
        read_at_s = self._loop.time()
        self._early_s = read_at_s + self._gather_s / 2
        count = self._read(self)
        self._soonest_s = read_at_s + self._gather_s if count > 1 else self._early_s
        if count >= BATCH:
            self._next_read = self._loop.call_soon(self._read_on)
        elif count:
            self._next_read = self._loop.call_at(self._soonest_s, self._read_on)
        else:
            self._next_read = None
            self._wake_up.modify(self.socket, select.EPOLLIN | select.EPOLLONESHOT)

    def close(self) -> None:
        """Stop and close; what the socket has no room for is dropped and counted."""
        self._send_together()
        if self._loop is not None:
            self._loop.remove_reader(self._wake_up.fileno())
        for handle in (self._next_read, self._next_send):
            if handle is not None:
                handle.cancel()
        self._counts.sends_dropped += len(self._waiting)
        self._waiting.clear()
        self._wake_up.close()
        self.socket.close()

    def flow(self, host: str, port: int) -> Flow:
        """The flow to a peer: one object for each, for as long as the table has room."""
        key = (host, port)
        known = self._flows.get(key)
        if known is None:
            if len(self._flows) >= KNOWN_PEERS:
                self._flows.clear()
            known = self._flows[key] = Flow(host, port, self._index)
        return known

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send when what runs now is done, or when the socket has room; beyond the queue's bound it
        is dropped."""
        if not self._leaving and self._loop is not None:
            self._loop.call_soon(self._send_together)
        self._leaving.append((data, host, port))
        if len(self._leaving) >= SEND_TOGETHER or self._loop is None:
            self._send_together()
        if self._next_read is not None and self._loop is not None:
            now_s = self._loop.time()
            if now_s >= self._early_s:
                self._next_read.cancel()
                self._early_s = now_s + self._gather_s / 2
                self._next_read = self._loop.call_soon(self._read_on)

    def _send_together(self) -> None:
        leaving, self._leaving = self._leaving, []
        for data, host, port in leaving:
            if self._waiting or not self._try(data, host, port):
                self._queue(data, host, port)

    def _queue(self, data: bytes, host: str, port: int) -> None:
        if len(self._waiting) >= SEND_QUEUE_DATAGRAMS or self._loop is None:
            self._counts.sends_dropped += 1
            return
        if not self._waiting:
            self._next_send = self._loop.call_later(SEND_AGAIN_S, self._send_on)
        self._waiting.append((data, host, port))
        self._counts.sends_queued += 1

    def _send_on(self) -> None:
        assert self._loop is not None
        while self._waiting and self._try(*self._waiting[0]):
            self._waiting.popleft()
        if self._waiting:
            self._next_send = self._loop.call_later(SEND_AGAIN_S, self._send_on)

    def _try(self, data: bytes, host: str, port: int) -> bool:
        """False if the socket has no room; errors are counted and end the attempt."""
        try:
            for _ in range(SEND_TRIES):
                code = self._sender.send(self.socket.fileno(), data, host, port)
                if code not in ICMP_ERRORS:
                    break
                # The refusal of an earlier datagram, told once in place of sending this one.
                self._has_refusals = True
        except (OverflowError, ValueError):
            code = errno.EDESTADDRREQ
        if not code:
            self._counts.datagrams_sent += 1
        elif code in _FULL:
            return False
        else:
            self._counts.send_errors += 1
            if code not in _NO_ROOM and self.on_refused is not None:
                self.on_refused(data, why_refused(code))
        return True

    def tell_refusals(self, *, told: bool) -> None:
        """Tell of the datagrams that came back: if receiving has ``told`` of one, or sending."""
        if told or self._has_refusals:
            # What is left on the queue would wake us for nothing until somebody takes it.
            refusals, self._has_refusals = take_refusals(self.socket)
            for quoted, cause in refusals:
                if self.on_refused is not None:
                    self.on_refused(quoted, cause)


class SipEndpoint:
    """The listeners of a user agent, its `Sender` and its `Timers`.

    Open it, make the `UserAgent` with `send`, `timers`, `addresses` and `transports`, then `start`
    it with the agent on the running event loop (uvloop or asyncio's own). ``observer`` sees every
    message.
    """

    def __init__(
        self,
        listeners: Sequence[str],
        advertise: str | None = None,
        tls: TlsConfig | None = None,
        limits: StreamLimits | None = None,
        gather_ms: int = GATHER_MS,
    ) -> None:
        """Bind every listener. ``advertise`` is the numeric address that peers reach us by, where
        it is not the bound one, of those listeners that name none themselves. ``gather_ms``: how
        long datagrams gather while they keep coming; 0: each is read at once. ListenError: one
        cannot be bound, or has no certificate for TLS; then none is."""
        self.counts = TransportCounts()
        self.timers = WheelClock(self._failed)
        self._advertise = advertise
        self._gather_ms = gather_ms
        self._tls = tls or TlsConfig()
        self._gate = LogGate()
        self._taker: MessageTaker | None = None
        self.observer: MessageObserver | None = None
        self.gate: Gate | None = None
        """Who is read at all; None: everybody."""
        self.on_batch: Callable[[], None] | None = None
        """Called when datagrams have been taken: for what can wait until the process is at work
        anyway. It never raises."""
        self._transports: list[UdpTransport | StreamListener] = []
        self._listeners = tuple(Listener.parse(text) for text in listeners)
        hosts = [listener.host for listener in self._listeners]
        self.streams = Streams(self, hosts, limits)
        self.reload_tls()
        try:
            for index, listener in enumerate(self._listeners):
                self._transports.append(self._opened(listener, index))
        except ListenError:
            self.close()
            raise

    def _opened(self, listener: Listener, index: int) -> UdpTransport | StreamListener:
        if listener.transport == "UDP":
            transport = UdpTransport(listener, index, self.counts, self._gather_ms)
            transport.on_refused = self._refused
            return transport
        return StreamListener(listener, index)

    def reload_tls(self) -> None:
        """Read the files of TLS again, for connections from now on. ListenError: one of them cannot
        be used; then everything stays as it was."""
        contexts = TlsContexts(self._tls)
        for listener in self._listeners:
            if listener.transport == "TLS" and contexts.server is None:
                remedy = "name its files with --tls-cert and --tls-key"
                raise ListenError(f"{listener}: there is no certificate to show; {remedy}")
        self.streams.contexts = contexts

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of each listener as peers should write it, for `UserAgentConfig`."""
        return tuple(map(self._address, self._listeners, self._transports))

    def _address(self, listener: Listener, transport: UdpTransport | StreamListener) -> str:
        host = listener.advertised_host or self._advertise or reachable_host(listener)
        return format_host_port(host, listener.advertised_port or transport.port)

    @property
    def bound_addresses(self) -> tuple[str, ...]:
        """The numeric ``host:port`` of each listener on this machine, whatever peers are told."""
        return tuple(
            format_host_port(reachable_host(listener), transport.port)
            for listener, transport in zip(self._listeners, self._transports, strict=True)
        )

    @property
    def transports(self) -> tuple[str, ...]:
        """``UDP``, ``TCP`` or ``TLS`` for each listener, for `UserAgentConfig`."""
        return tuple(listener.transport for listener in self._listeners)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """What is listened on, in the order of `Flow.listener`."""
        return self._listeners

    def media_host(self, listener: int) -> str | None:
        """The numeric address that is advertised instead of the bound one, for session
        descriptions; None: none is."""
        host = self._listeners[listener].advertised_host
        if host is None:
            return self._advertise
        return host if _is_numeric(host) else self._advertise

    def start(self, taker: MessageTaker) -> None:
        """Take messages from now on, on the running event loop."""
        self._taker = taker
        self.timers.start()
        for transport in self._transports:
            if isinstance(transport, UdpTransport):
                transport.start(self._read)
            else:
                transport.start(self._accept)

    def close(self) -> None:
        """Close the sockets and drop the timers. Shut the user agent down first."""
        self._taker = None
        self.streams.close()
        for transport in self._transports:
            transport.close()
        self._transports.clear()
        self.timers.stop()

    async def wait_closed(self, timeout_s: float = 1.0) -> None:
        """After `close`: give connections the time to send the rest, and to take their leave."""
        await self.streams.wait_closed(timeout_s)

    def flow(
        self, host: str, port: int, listener: int = 0, transport: str = "UDP", name: str = ""
    ) -> Flow:
        """The flow to a peer, for `UserAgent.dial`: by way of ``listener`` if it is of that
        transport and family of addresses, else of the first one that is.

        ``name``: who its certificate must be made out to, over TLS; ``host`` by default. TCP and
        TLS need no listener of their own: what they lack is a way for the peer to connect to us.
        ListenError: there is no way for such a flow.
        """
        index = self._way_to(host, listener, transport)
        if transport == "UDP":
            way = self._transports[index]
            assert isinstance(way, UdpTransport)
            return way.flow(host, port)
        return Flow(host, port, index, transport, name if transport == "TLS" else "")

    def _way_to(self, host: str, listener: int, transport: str) -> int:
        v6 = ":" in host
        family = [i for i, known in enumerate(self._listeners) if (":" in known.host) == v6]
        fitting = [i for i in family if self._listeners[i].transport == transport]
        if transport != "UDP":
            fitting = fitting or family
        if fitting:
            return listener if listener in fitting else fitting[0]
        example = f"{transport.lower()}:{'[::]' if v6 else '0.0.0.0'}:5060"
        raise ListenError(f"{host}: no listener leads there by {transport}; add one like {example}")

    def send(self, data: bytes, flow: Flow) -> None:
        """See `Sender`."""
        if self.observer is not None:
            self.observer(True, flow, data, time.time())
        if flow.listener >= len(self._transports):
            self.counts.sends_dropped += 1
        elif flow.transport == "UDP":
            way = self._transports[flow.listener]
            if isinstance(way, UdpTransport):
                way.send(data, flow.remote_host, flow.remote_port)
        else:
            self.streams.send(data, flow)

    # What arrives

    def _accept(self, accepted: socket.socket, flow: Flow) -> None:
        if self.gate is None or self.gate.admits_connection(flow.remote_host):
            self.streams.accept(accepted, flow)
        else:
            accepted.close()

    def _read(self, transport: UdpTransport) -> int:
        reader = transport.reader
        refusals = reader.icmp_errors
        try:
            batch = reader.receive_batch(transport.socket.fileno(), BATCH)
        except OSError:
            self.counts.receive_errors += 1
            return 0
        transport.tell_refusals(told=reader.icmp_errors != refusals)
        self.counts.datagrams_received += len(batch)
        gate = self.gate
        for data, flow in batch:
            try:
                if gate is None or gate.admits(data, flow.remote_host):
                    self._take(data, flow)
            except Exception:  # noqa: BLE001 - one message must not cost the others
                self._failed("message")
        if batch and self.on_batch is not None:
            asyncio.get_running_loop().call_soon(self.on_batch)
        return len(batch)

    def take(self, data: bytes, flow: Flow) -> None:
        """A message came on the connection of ``flow``."""
        try:
            self._take(data, flow)
        except Exception:  # noqa: BLE001 - one message must not cost the others
            self._failed("message")

    def _take(self, data: bytes, flow: Flow) -> None:
        taker = self._taker
        if taker is None:
            return
        if self.observer is not None:
            self.observer(False, flow, data, time.time())
        try:
            message = parse(data)
        except SipParseError as error:
            self._note_unreadable(error, flow)
            taker.receive_error(error, flow)
        else:
            taker.receive(message, flow)

    def refuse(self, broken: Broken, flow: Flow) -> None:
        """A stream broke off; its last message may be one that can be answered (RFC 3261 18.3)."""
        if not broken.head:
            return
        try:
            message = parse(broken.head)
        except SipParseError as error:
            refused = SipParseError(error.reason, error.status and broken.status, error.partial)
        else:
            if not isinstance(message, Request) or message.method == "ACK":
                return
            refused = SipParseError(SipReject.CONTENT_LENGTH, broken.status, message)
        self._note_unreadable(refused, flow)
        if self._taker is not None:
            self._tell(self._taker.receive_error, refused, flow)

    def _note_unreadable(self, error: SipParseError, flow: Flow) -> None:
        self.counts.parse_errors += 1
        unlogged = self._gate.passes(error.reason, self.timers.now_ms)
        if unlogged is not None:
            log.info(
                "sip message unreadable",
                reason=str(error),
                source=flow.remote_host,
                not_logged=unlogged,
            )

    # What did not get away

    def undelivered(self, data: bytes, flow: Flow, failure: SendFailure) -> None:
        """Tell the user agent, but not while it is still busy with sending."""
        self.counts.undelivered += 1
        taker = self._taker
        if taker is None:
            return
        try:
            message = parse(data)
        except SipParseError:
            return  # the refusal of what cannot be read repeats it: no transaction waits for that
        asyncio.get_running_loop().call_soon(self._tell, taker.undelivered, message, failure)

    def _refused(self, quoted: bytes, cause: str) -> None:
        self.counts.datagrams_refused += 1
        request = refused_request(quoted)
        if request is not None and self._taker is not None:
            # Not while the user agent is still busy with sending.
            tell, failure = self._taker.refused, SendFailure(cause)
            asyncio.get_running_loop().call_soon(self._tell, tell, *request, failure)

    def disconnected(self, flow: Flow, failure: SendFailure) -> None:
        """A connection that we had opened is gone."""
        if self._taker is not None:
            self._tell(self._taker.disconnected, flow, failure)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - the event loop has no use for it
            self._failed("delivery")

    def _failed(self, where: str) -> None:
        self.counts.failures += 1
        log.exception("sip edge failed", where=where)


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
