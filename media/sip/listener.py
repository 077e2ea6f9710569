"""Where to listen: reading it, opening the socket, and what peers write to reach it."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field

from .fields import format_host_port, parse_host_port
from .reject import SipParseError, SipReject

RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
BACKLOG = 512
UNSPECIFIED = frozenset({"0.0.0.0", "::"})
TRANSPORTS = ("UDP", "TCP", "TLS")

_FORM = "write it as udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT, an IPv6 host as [V6]"

_CAUSES = {
    errno.EADDRINUSE: "the port is in use; stop its holder (`ss -tulpn` names it) or take another",
    errno.EADDRNOTAVAIL: "the address is not this machine's; take one that `ip address` lists",
    errno.EACCES: "no permission for this port; take one from 1024 up",
    errno.EAFNOSUPPORT: "this machine has no IPv6; take an IPv4 address",
}


class ListenError(Exception):
    """A listener cannot be opened; the message is one line that names cause and remedy."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: ``host`` numeric and without brackets; port 0 lets the system choose.

    ``advertised_host`` and ``advertised_port`` are how peers reach it, where that is otherwise.
    """

    host: str
    port: int
    transport: str = "UDP"
    advertised_host: str | None = field(default=None, compare=False)
    advertised_port: int | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> Listener:
        """Read ``udp:HOST:PORT``, ``tcp:[V6]:PORT`` or ``tls:...``, perhaps with ``=HOST[:PORT]``
        behind it: the address that peers reach it by. ListenError: anything else."""
        bound, equals, advertised = text.partition("=")
        transport, _, address = bound.partition(":")
        host, colon, port = address.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if transport.upper() not in TRANSPORTS or not colon or (":" in host and not bracketed):
            raise ListenError(f"{text}: {_FORM}")
        if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
            raise ListenError(f"{text}: {port or 'nothing'} is no port; take 1 to 65535")
        outside = _advertised(text, advertised) if equals else (None, None)
        listener = cls(host.strip("[]"), int(port), transport.upper(), *outside)
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
        return f"{self.transport.lower()}:{format_host_port(self.host, self.port)}"


def _advertised(text: str, advertised: str) -> tuple[str, int | None]:
    try:
        return parse_host_port(advertised, SipReject.URI)
    except SipParseError:
        form = "write what peers reach it by as =HOST or =HOST:PORT, an IPv6 host as [V6]"
        raise ListenError(f"{text}: {form}") from None


def open_socket(listener: Listener) -> socket.socket:
    """A bound, non-blocking UDP socket with a large receive buffer, or a TCP socket that listens.

    ListenError: it cannot be had.
    """
    datagrams = listener.transport == "UDP"
    kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    try:
        bound = socket.socket(listener.family, kind | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise ListenError(f"{listener}: {_cause(error)}") from error
    try:
        if listener.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if datagrams:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        else:
            # A restart must not wait for the connections of the process before.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((listener.host, listener.port))
        if not datagrams:
            bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ListenError(f"{listener}: {_cause(error)}") from error
    return bound


def bound_port(bound: socket.socket) -> int:
    """The port that a socket is bound to."""
    port = bound.getsockname()[1]
    assert isinstance(port, int)
    return port


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
