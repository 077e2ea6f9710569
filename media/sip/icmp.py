"""What the network says of datagrams that it could not deliver (RFC 3261 18.4).

Linux keeps the ICMP messages that answer a socket's datagrams on its error queue, with as much of
the datagram as the router or host quoted (RFC 1812 4.3.2.3: up to 576 bytes): enough for the
request line and the topmost Via, which tell the transaction.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct

__all__ = ["ICMP_ERRORS", "queue_refusals", "refused_request", "take_refusals", "why_refused"]

# linux/in.h, linux/in6.h, linux/errqueue.h; the socket module has no names for them.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_BELIEVED = frozenset({(2, 3), (2, 12), (3, 1), (3, 4)})
"""Origin, ICMP or ICMPv6, and type: destination unreachable and parameter problem. RFC 3261 18.4
has the others ignored: a hop whose time was exceeded says nothing of the peer."""

ICMP_ERRORS = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.EPROTO,
        errno.EMSGSIZE,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EACCES,
        errno.ENETDOWN,
    }
)
"""What a call on a socket may fail with because of an earlier datagram (ip(7))."""

_CAUSES = {
    errno.ECONNREFUSED: "nobody listens there (port unreachable)",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
}
_MAX_BYTES = 1_024
_MAX_TAKEN = 64

_TOPMOST_VIA = re.compile(
    rb"([A-Z]++) [^\r\n]++\r\n(?:Via|v) *+: *+[^\r\n,]*?; *+branch=(z9hG4bK[^;,\s]++)[;,\s]"
)
"""Of a request of ours, which has its Via first. Possessive: anybody may send ICMP messages."""


def queue_refusals(udp: socket.socket) -> None:
    """Have the kernel keep what ICMP says of the socket's datagrams, for `take_refusals`."""
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def take_refusals(udp: socket.socket) -> tuple[list[tuple[bytes, str]], bool]:
    """Each datagram that came back, as far as it was quoted, and why; of at most 64 messages in one
    go. The other value says whether there may be more."""
    refusals: list[tuple[bytes, str]] = []
    for _ in range(_MAX_TAKEN):
        try:
            quoted, ancillary, _flags, _to = udp.recvmsg(_MAX_BYTES, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return refusals, False
        for _level, _kind, told in ancillary:
            if len(told) >= _EXTENDED_ERROR.size:
                code, origin, kind, *_rest = _EXTENDED_ERROR.unpack_from(told)
                # What is too large for a hop is cut by the kernel when it is sent again.
                if (origin, kind) in _BELIEVED and code != errno.EMSGSIZE:
                    refusals.append((quoted, why_refused(code)))
    return refusals, True


def why_refused(code: int) -> str:
    """The cause in words, of an ``errno``."""
    return _CAUSES.get(code) or os.strerror(code)


def refused_request(quoted: bytes) -> tuple[str, str] | None:
    """Branch and method of a request of ours, maybe cut off; None: it is none, or too little."""
    found = _TOPMOST_VIA.match(quoted)
    return (found[2].decode("ascii", "replace"), found[1].decode("ascii")) if found else None
