"""The asyncio edge of SIP: sockets, the clock, and one wake-up a tick for protocol timers.

Works on uvloop and on plain asyncio: all it asks of the loop is ``add_reader``, ``add_writer`` and
``call_at``.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from .._core import DatagramReader, Timer, TimerWheel
from .edge import Flow
from .message import Request, Response, SipParseError, parse

log = structlog.get_logger(__name__)

DATAGRAMS_PER_WAKE_UP = 64
QUEUED_DATAGRAMS = 1_000
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
DEFAULT_PORT = 5060


class ListenError(Exception):
    """A listener cannot be opened; one line that names cause and remedy."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: a numeric address and a port (0: any)."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listener:
        """Read ``udp:HOST[:PORT]``; IPv6 in brackets. Raises :class:`ListenError`."""
        scheme, _, place = text.partition(":")
        if scheme.lower() != "udp" or not place:
            raise ListenError(f"{text!r} is no listener. Write it as udp:127.0.0.1:5060")
        host, port_text = _split_port(place)
        try:
            ipaddress.ip_address(host)
            port = int(port_text or DEFAULT_PORT)
        except ValueError:
            raise ListenError(
                f"{text!r} has no numeric address and port. Write it as udp:192.0.2.1:5060 or "
                "udp:[2001:db8::1]:5060"
            ) from None
        if not 0 <= port <= 65535:
            raise ListenError(f"{text!r}: there is no port {port}. Use 1 to 65535")
        return cls(host, port)


def _split_port(place: str) -> tuple[str, str]:
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = place.partition(":")
    return host, port


def bracketed(host: str) -> str:
    """A numeric host as it stands in a URI: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


class UdpSocket:
    """One bound UDP socket. What cannot be sent at once waits in a bounded queue."""

    def __init__(
        self,
        listener: Listener,
        reader: DatagramReader,
        on_datagram: Callable[[bytes, str, int], None],
    ) -> None:
        """Raises :class:`ListenError`."""
        self._reader = reader
        self._on_datagram = on_datagram
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[bytes, tuple[str, int]]] = deque()
        self._socket = _bind(listener)
        self.dropped = 0
        self.host, self.port = self._socket.getsockname()[:2]
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        for data, host, port in self._reader.receive_batch(
            self._socket.fileno(), DATAGRAMS_PER_WAKE_UP
        ):
            self._on_datagram(data, host, port)

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send, or queue, or count a datagram that cannot be sent."""
        if self._queue:
            self._enqueue(data, (host, port))
            return
        try:
            self._socket.sendto(data, (host, port))
        except BlockingIOError:
            self._enqueue(data, (host, port))
        except (OSError, UnicodeError) as error:
            self._drop(host, error)

    def _enqueue(self, data: bytes, address: tuple[str, int]) -> None:
        if len(self._queue) >= QUEUED_DATAGRAMS:
            self._drop(address[0], OSError(errno.ENOBUFS, "the send queue is full"))
            return
        if not self._queue:
            self._loop.add_writer(self._socket, self._write)
        self._queue.append((data, address))

    def _write(self) -> None:
        while self._queue:
            data, address = self._queue[0]
            try:
                self._socket.sendto(data, address)
            except BlockingIOError:
                return
            except OSError as error:
                self._drop(address[0], error)
            self._queue.popleft()
        self._loop.remove_writer(self._socket)

    def _drop(self, host: str, error: Exception) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # at 1, 2, 4, 8 ...: a flood fills no log
            log.warning("SIP not sent", peer=host, cause=str(error), so_far=self.dropped)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._socket)
        if self._queue:
            self._loop.remove_writer(self._socket)
        self._socket.close()


def _bind(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            bound.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((listener.host, listener.port))
    except OSError as error:
        bound.close()
        raise ListenError(_why(listener, error)) from error
    return bound


def _why(listener: Listener, error: OSError) -> str:
    place = f"udp:{bracketed(listener.host)}:{listener.port}"
    remedies = {
        errno.EADDRINUSE: f"another program listens there; end it or choose another port "
        f"(see `ss -ulpn sport = {listener.port}`)",
        errno.EADDRNOTAVAIL: "this machine does not have that address; see `ip address`",
        errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one",
    }
    remedy = remedies.get(error.errno or 0, error.strerror or "unknown error")
    return f"cannot listen on {place}: {remedy}"


class LoopTimers:
    """A :class:`TimerWheel` on the clock of a loop: one wake-up, at the wheel's next tick."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wheel = TimerWheel(_monotonic_ms())
        self._wake_up: asyncio.TimerHandle | None = None
        self._wake_up_ms = 0

    @property
    def now_ms(self) -> int:
        """The present; the wheel itself stands still while nothing is due."""
        return _monotonic_ms()

    def __len__(self) -> int:
        return len(self._wheel)

    def arm(self, delay_ms: int, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` after ``delay_ms``."""
        behind_ms = _monotonic_ms() - self._wheel.now_ms
        timer = self._wheel.arm(delay_ms + behind_ms, callback)
        self._schedule()
        return timer

    def _schedule(self) -> None:
        next_ms = self._wheel.next_ms()
        if next_ms is None or (self._wake_up is not None and self._wake_up_ms <= next_ms):
            return
        if self._wake_up is not None:
            self._wake_up.cancel()
        delay_ms = max(next_ms - _monotonic_ms(), 0)
        self._wake_up_ms = next_ms
        self._wake_up = self._loop.call_later(delay_ms / 1000, self._advance)

    def _advance(self) -> None:
        self._wake_up = None
        self._wheel.advance(_monotonic_ms())
        self._schedule()

    def close(self) -> None:
        """Forget every timer."""
        if self._wake_up is not None:
            self._wake_up.cancel()
        self._wheel.clear()


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class SipEndpoint:
    """All listeners of an engine: datagrams in as messages, messages out as datagrams."""

    def __init__(
        self,
        listeners: list[Listener],
        on_message: Callable[[Request | Response, Flow], None],
        on_error: Callable[[SipParseError, Flow], None],
    ) -> None:
        """Raises :class:`ListenError`; then nothing stays open."""
        self._on_message = on_message
        self._on_error = on_error
        self.failures = 0
        self.sockets: list[UdpSocket] = []
        reader = DatagramReader(DATAGRAMS_PER_WAKE_UP)
        try:
            for index, listener in enumerate(listeners):
                self.sockets.append(UdpSocket(listener, reader, self._receiver(index)))
        except ListenError:
            self.close()
            raise

    def send(self, data: bytes, flow: Flow) -> None:
        """Put a message on the wire; never raises."""
        self.sockets[flow.listener].send(data, flow.remote_host, flow.remote_port)

    def _receiver(self, listener: int) -> Callable[[bytes, str, int], None]:
        def receive(data: bytes, host: str, port: int) -> None:
            self._receive(data, Flow(host, port, listener))

        return receive

    def _receive(self, data: bytes, flow: Flow) -> None:
        # RFC 5626 section 4.4.1: CRLFs alone keep a binding alive.
        if not data.strip(b"\r\n\0 "):
            return
        try:
            message = parse(data)
        except SipParseError as error:
            self._on_error(error, flow)
            return
        try:
            self._on_message(message, flow)
        except Exception:
            self.failures += 1
            log.exception("SIP message failed", peer=flow.remote_host)

    def close(self) -> None:
        """Stop listening."""
        for opened in self.sockets:
            opened.close()
        self.sockets.clear()
