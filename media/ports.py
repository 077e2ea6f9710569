"""UDP sockets for RTP: which local ports are free, and binding them."""

from __future__ import annotations

import errno
import socket
from collections import deque

DSCP_EXPEDITED_FORWARDING = 46 << 2
"""What RTP is marked with in the IP header (RFC 4594 section 4.1), as a TOS byte."""


class NoRtpPort(Exception):
    """No RTP socket can be had; the message says why, in words fit for a refusal's Warning."""


def bind_udp(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket bound to a numeric address, marked for expedited forwarding."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_EXPEDITED_FORWARDING)
        else:
            bound.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_EXPEDITED_FORWARDING)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def rtp_port_range(first: int, last: int) -> range:
    """The even ports from ``first`` to ``last`` that have the odd one above them for RTCP."""
    return range(first + first % 2, last, 2)


class RtpPorts:
    """The even ports of a range (RFC 3550 section 11), the odd one above each kept for RTCP.

    A port given back goes to the end of the line, so that late packets of one call do not reach
    the next. ``first`` and ``last`` are inclusive.
    """

    def __init__(self, first: int, last: int) -> None:
        self._free = deque(rtp_port_range(first, last))
        self.capacity = len(self._free)
        self._range = f"{first}-{last}"

    @property
    def free(self) -> int:
        """How many ports are free, as far as we know."""
        return len(self._free)

    def bind(self, host: str) -> tuple[socket.socket, int]:
        """A bound socket and its port, which is taken until :meth:`give_back`.

        Ports that somebody else holds are passed over. Raises :class:`NoRtpPort`.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return bind_udp(host, port), port
            except OSError as error:
                self._free.append(port)
                if error.errno != errno.EADDRINUSE:
                    raise NoRtpPort(f"cannot bind {host} for RTP: {error.strerror}") from error
        raise NoRtpPort(f"every RTP port of {self._range} is in use")

    def give_back(self, port: int) -> None:
        """The socket of ``port`` is closed."""
        self._free.append(port)
