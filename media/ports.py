"""UDP sockets for RTP: which local ports are free, and binding them."""

from __future__ import annotations

import errno
from collections import deque

from ._core import open_udp_socket

DSCP_EXPEDITED_FORWARDING = 46 << 2
"""What RTP is marked with in the IP header (RFC 4594 section 4.1), as a TOS byte."""


class NoRtpPort(Exception):
    """No RTP socket can be had; the message says why, in words fit for a refusal's Warning."""


_REMEDIES = {
    errno.EMFILE: "too many open files; raise the limit (`ulimit -n`) or lower max_calls",
    errno.ENFILE: "the system has too many open files; raise fs.file-max",
}


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

    def bind(self, host: str) -> tuple[int, int]:
        """A bound socket, whose descriptor the caller owns, and its port until :meth:`give_back`.

        Ports that somebody else holds are passed over. Raises :class:`NoRtpPort`.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return open_udp_socket(host, port, DSCP_EXPEDITED_FORWARDING), port
            except OSError as error:
                self._free.append(port)
                if error.errno != errno.EADDRINUSE:
                    raise NoRtpPort(_cause(host, error)) from error
        raise NoRtpPort(f"every RTP port of {self._range} is in use")

    def give_back(self, port: int) -> None:
        """The socket of ``port`` is closed."""
        self._free.append(port)


def _cause(host: str, error: OSError) -> str:
    if error.errno in _REMEDIES:
        return f"no socket for RTP: {_REMEDIES[error.errno]}"
    return f"cannot bind {host} for RTP: {error.strerror}"
