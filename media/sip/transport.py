"""The asyncio edge of SIP: UDP sockets in batches, and a clock for the timer wheel."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import structlog

from .._core import DatagramReader, Timer, TimerWheel
from .edge import Flow, MessageObserver
from .fields import format_host_port
from .gate import Gate
from .logs import LogGate
from .message import Request, Response, SipParseError, parse

log = structlog.get_logger(__name__)

BATCH = 64

READ_INTERVAL_S = 0.01
"""How long datagrams gather while the socket is busy. A process that wakes for each of them finds
its caches cold every time, which costs more than the message; and 10 ms are little beside T1."""

COARSE_FROM_MS = 5_000
COARSE_MS = 128
"""Timers from 5 s on, of which each call leaves two behind, expire in groups, up to 128 ms late."""

RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
SEND_QUEUE_DATAGRAMS = 4_096
KNOWN_PEERS = 4_096
UNSPECIFIED = frozenset({"0.0.0.0", "::"})

_CAUSES = {
    errno.EADDRINUSE: "the port is in use; stop its holder (`ss -ulpn` names it) or take another",
    errno.EADDRNOTAVAIL: "the address is not this machine's; take one that `ip address` lists",
    errno.EACCES: "no permission for this port; take one from 1024 up",
    errno.EAFNOSUPPORT: "this machine has no IPv6; take an IPv4 address",
}


class ListenError(Exception):
    """A listener cannot be opened; the message is one line that names cause and remedy."""


class MessageTaker(Protocol):
    """Who takes the messages (`UserAgent`)."""

    def receive(self, message: Request | Response, flow: Flow) -> None: ...

    def receive_error(self, error: SipParseError, flow: Flow) -> None: ...


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: ``host`` numeric and without brackets; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listener:
        """Read ``udp:HOST:PORT`` or ``udp:[v6]:PORT``. ListenError: anything else."""
        transport, _, address = text.partition(":")
        host, colon, port = address.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if transport.lower() != "udp" or not colon or (":" in host and not bracketed):
            raise ListenError(f"{text}: write it as udp:HOST:PORT or udp:[V6]:PORT")
        if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
            raise ListenError(f"{text}: {port or 'nothing'} is no port; take 1 to 65535")
        listener = cls(host.strip("[]"), int(port))
        try:
            socket.inet_pton(listener.family, listener.host)
        except (OSError, ValueError):
            raise ListenError(f"{text}: {host} is no numeric address; write one") from None
        return listener

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        return f"udp:{format_host_port(self.host, self.port)}"


@dataclass(slots=True)
class TransportCounts:
    """What happened at the edge since the start."""

    datagrams_received: int = 0
    datagrams_sent: int = 0
    sends_queued: int = 0
    sends_dropped: int = 0
    send_errors: int = 0
    receive_errors: int = 0
    parse_errors: int = 0
    failures: int = 0

    def as_dict(self) -> dict[str, int]:
        """Every counter by its name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class WheelClock:
    """`Timers` over a C wheel, driven by one timer of the event loop, at most one a tick."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        """``failed`` is told in an ``except`` block that a callback raised."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed = failed
        self._wheel = TimerWheel(0)
        self._handle: asyncio.TimerHandle | None = None
        self._wake_ms = 0

    @property
    def now_ms(self) -> int:
        """The event loop's clock in milliseconds; what the wheel shows before the start."""
        return self._wheel.now_ms if self._loop is None else int(self._loop.time() * 1_000)

    def __len__(self) -> int:
        return len(self._wheel)

    def start(self) -> None:
        """Run on the running event loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._wheel.advance(self.now_ms)
        self._schedule()

    def stop(self) -> None:
        """Drop every timer."""
        self._wheel.clear()
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop = None

    def arm(self, delay_ms: int, callback: Callable[[], object]) -> Timer:
        """See `Timers`. The wheel shows the time of its last wake-up, so the delay is extended."""
        now_ms = self.now_ms
        if delay_ms >= COARSE_FROM_MS:
            delay_ms += -(now_ms + delay_ms) % COARSE_MS
        timer = self._wheel.arm(delay_ms + now_ms - self._wheel.now_ms, callback)
        if self._loop is not None and (self._handle is None or now_ms + delay_ms < self._wake_ms):
            self._wake_at(self._loop, now_ms + max(1, delay_ms))
        return timer

    def _wake_at(self, loop: asyncio.AbstractEventLoop, time_ms: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._wake_ms = time_ms
        self._handle = loop.call_at(time_ms / 1_000, self._wake)

    def _schedule(self) -> None:
        next_ms = self._wheel.next_ms()
        if next_ms is not None and self._loop is not None:
            self._wake_at(self._loop, max(next_ms, self._wheel.now_ms + 1))

    def _wake(self) -> None:
        self._handle = None
        try:
            # A loop may wake up to its clock's resolution early: never before the tick asked for.
            self._wheel.advance(max(self.now_ms, self._wake_ms))
        except Exception:  # noqa: BLE001 - one bad callback must not stop all timers
            self._failed("timer")
        self._schedule()


class UdpTransport:
    """One bound UDP socket, its peers' flows, and what waits to be sent."""

    def __init__(self, listener: Listener, index: int, counts: TransportCounts) -> None:
        """Binds. ListenError: it cannot be done."""
        self.listener = listener
        self.socket = open_socket(listener)
        self._index = index
        self._counts = counts
        self._flows: dict[tuple[str, int], Flow] = {}
        self._waiting: deque[tuple[bytes, tuple[str, int]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_up = select.epoll()
        self._next_read: asyncio.Handle | None = None

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        port = self.socket.getsockname()[1]
        assert isinstance(port, int)
        return port

    def start(self, read: Callable[[UdpTransport], int]) -> None:
        """Call ``read(self)``, which returns how many datagrams it took, while some come.

        The first one after a rest is read at once; then the socket is read every few milliseconds,
        until it rests again.
        """
        self._loop = asyncio.get_running_loop()
        self._read = read
        # One-shot, in an epoll of its own: to pause a reader of the loop costs more than to read.
        self._wake_up.register(self.socket, select.EPOLLIN | select.EPOLLONESHOT)
        self._loop.add_reader(self._wake_up.fileno(), self._on_wake_up)

    def _on_wake_up(self) -> None:
        self._wake_up.poll(0)
        self._read_on()

    def _read_on(self) -> None:
        assert self._loop is not None
        count = self._read(self)
        if count >= BATCH:
            self._next_read = self._loop.call_soon(self._read_on)
        elif count:
            self._next_read = self._loop.call_later(READ_INTERVAL_S, self._read_on)
        else:
            self._next_read = None
            self._wake_up.modify(self.socket, select.EPOLLIN | select.EPOLLONESHOT)

    def close(self) -> None:
        """Stop and close; what waits to be sent is dropped and counted."""
        if self._loop is not None:
            self._loop.remove_reader(self._wake_up.fileno())
            self._loop.remove_writer(self.socket)
        if self._next_read is not None:
            self._next_read.cancel()
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

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        """Send now, or when the socket has room; beyond the queue's bound it is dropped."""
        if self._waiting or not self._try(data, address):
            self._queue(data, address)

    def _queue(self, data: bytes, address: tuple[str, int]) -> None:
        if len(self._waiting) >= SEND_QUEUE_DATAGRAMS or self._loop is None:
            self._counts.sends_dropped += 1
            return
        if not self._waiting:
            self._loop.add_writer(self.socket, self._on_writable)
        self._waiting.append((data, address))
        self._counts.sends_queued += 1

    def _on_writable(self) -> None:
        while self._waiting and self._try(*self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting and self._loop is not None:
            self._loop.remove_writer(self.socket)

    def _try(self, data: bytes, address: tuple[str, int]) -> bool:
        """False if the socket has no room; errors are counted and end the attempt."""
        try:
            self.socket.sendto(data, address)
        except (BlockingIOError, InterruptedError):
            return False
        except (OSError, OverflowError, ValueError):
            self._counts.send_errors += 1
        else:
            self._counts.datagrams_sent += 1
        return True


class SipEndpoint:
    """The listeners of a user agent, its `Sender` and its `Timers`.

    Open it, make the `UserAgent` with `send`, `timers` and `addresses`, then `start` it with the
    agent on the running event loop (uvloop or asyncio's own). ``observer`` sees every message.
    """

    def __init__(self, listeners: Sequence[str], advertise: str | None = None) -> None:
        """Bind every listener. ``advertise`` is the numeric address that peers reach us by, where
        it is not the bound one. ListenError: one cannot be bound; then none is."""
        self.counts = TransportCounts()
        self.timers = WheelClock(self._failed)
        self._advertise = advertise
        self._reader = DatagramReader(BATCH)
        self._gate = LogGate()
        self._taker: MessageTaker | None = None
        self.observer: MessageObserver | None = None
        self.gate: Gate | None = None
        """Who is read at all; None: everybody."""
        self._transports: list[UdpTransport] = []
        try:
            for index, text in enumerate(listeners):
                transport = UdpTransport(Listener.parse(text), index, self.counts)
                self._transports.append(transport)
        except ListenError:
            self.close()
            raise

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of each listener as peers should write it, for `UserAgentConfig`."""
        return tuple(
            format_host_port(self._advertise or reachable_host(t.listener), t.port)
            for t in self._transports
        )

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """What is listened on, in the order of `Flow.listener`."""
        return tuple(transport.listener for transport in self._transports)

    def start(self, taker: MessageTaker) -> None:
        """Take messages from now on, on the running event loop."""
        self._taker = taker
        self.timers.start()
        for transport in self._transports:
            transport.start(self._read)

    def close(self) -> None:
        """Close the sockets and drop the timers. Shut the user agent down first."""
        self._taker = None
        for transport in self._transports:
            transport.close()
        self._transports.clear()
        self.timers.stop()

    def flow(self, host: str, port: int, listener: int = 0) -> Flow:
        """The flow to a peer by way of one of the listeners, for `UserAgent.dial`."""
        return self._transports[listener].flow(host, port)

    def send(self, data: bytes, flow: Flow) -> None:
        """See `Sender`."""
        if self.observer is not None:
            self.observer(True, flow, data, time.time())
        if flow.listener < len(self._transports):
            self._transports[flow.listener].send(data, (flow.remote_host, flow.remote_port))
        else:
            self.counts.sends_dropped += 1

    def _read(self, transport: UdpTransport) -> int:
        try:
            batch = self._reader.receive_batch(transport.socket.fileno(), BATCH)
        except OSError:
            self.counts.receive_errors += 1
            return 0
        self.counts.datagrams_received += len(batch)
        gate = self.gate
        for data, host, port in batch:
            try:
                if gate is not None and not gate.admits(data, host):
                    continue
                self._take(data, transport.flow(host, port))
            except Exception:  # noqa: BLE001 - one message must not cost the others
                self._failed("message")
        return len(batch)

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

    def _failed(self, where: str) -> None:
        self.counts.failures += 1
        log.exception("sip edge failed", where=where)


def open_socket(listener: Listener) -> socket.socket:
    """A bound, non-blocking UDP socket with a large receive buffer. ListenError: cannot be had."""
    try:
        udp = socket.socket(listener.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise ListenError(f"{listener}: {_cause(error)}") from error
    try:
        if listener.family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        udp.bind((listener.host, listener.port))
    except OSError as error:
        udp.close()
        raise ListenError(f"{listener}: {_cause(error)}") from error
    return udp


def reachable_host(listener: Listener) -> str:
    """The bound address; for 0.0.0.0 and ``::`` the one that leads to the default route."""
    if listener.host not in UNSPECIFIED:
        return listener.host
    v6 = listener.family == socket.AF_INET6
    # Connecting a UDP socket sends nothing; the addresses are for documentation (RFC 5737, 3849).
    with socket.socket(listener.family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if v6 else "192.0.2.1", 9))
        except OSError:
            return "::1" if v6 else "127.0.0.1"
        return str(probe.getsockname()[0])


def _cause(error: OSError) -> str:
    return _CAUSES.get(error.errno or 0, f"{error.strerror}; take another address or port")
