"""Copies of SIP messages to a capture server such as Homer, by HEP3 over UDP.

The chunks are those of the "HEP3/EEP Network Protocol" of sipcapture.org, revision 36.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from .edge import Flow
from .masking import mask_secrets

MAX_DATAGRAM_BYTES = 65_507
_PROTOCOLS = {"UDP": socket.IPPROTO_UDP}
_SIP = 1
_VENDOR = 0
# Types of the generic vendor's chunks.
_FAMILY, _PROTOCOL, _PORTS, _SECONDS, _MICROSECONDS = 1, 2, (7, 8), 9, 10
_KIND, _CAPTURE_ID, _PAYLOAD = 11, 12, 15
_ADDRESSES = {socket.AF_INET: (3, 4), socket.AF_INET6: (5, 6)}
_FAMILIES = {socket.AF_INET: 2, socket.AF_INET6: 10}


def hep3(
    payload: bytes,
    source: tuple[str, int],
    target: tuple[str, int],
    *,
    transport: str = "UDP",
    time_s: float,
    capture_id: int,
) -> bytes:
    """One HEP3 packet around a SIP message. ValueError: the addresses are of different families,
    or no addresses, or it would be too long for a datagram."""
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    microseconds = round(time_s * 1_000_000)
    protocol = _PROTOCOLS.get(transport, socket.IPPROTO_TCP)
    chunks = [
        _chunk(_FAMILY, struct.pack("!B", _FAMILIES[family])),
        _chunk(_PROTOCOL, struct.pack("!B", protocol)),
        *(
            _chunk(kind, _packed(family, host))
            for kind, (host, _) in zip(_ADDRESSES[family], (source, target), strict=True)
        ),
        *(
            _chunk(kind, struct.pack("!H", port))
            for kind, (_, port) in zip(_PORTS, (source, target), strict=True)
        ),
        _chunk(_SECONDS, struct.pack("!I", microseconds // 1_000_000)),
        _chunk(_MICROSECONDS, struct.pack("!I", microseconds % 1_000_000)),
        _chunk(_KIND, struct.pack("!B", _SIP)),
        _chunk(_CAPTURE_ID, struct.pack("!I", capture_id)),
    ]
    head = b"".join(chunks)
    length = 6 + len(head) + 6 + len(payload)
    if length > MAX_DATAGRAM_BYTES:
        raise ValueError("a message too long for a datagram")
    return b"HEP3" + struct.pack("!H", length) + head + _chunk(_PAYLOAD, payload)


def _chunk(kind: int, payload: bytes) -> bytes:
    return struct.pack("!HHH", _VENDOR, kind, 6 + len(payload)) + payload


def _packed(family: socket.AddressFamily, host: str) -> bytes:
    try:
        return socket.inet_pton(family, host.partition("%")[0])  # without a zone
    except OSError as error:
        raise ValueError(f"{host} is no address of that family") from error


class HepSender:
    """Sends a copy of each message, its secrets masked, and never waits: what the socket has no
    room for is dropped and counted.

    It is a `MessageObserver`. ``local`` has the address of each listener, in the order of
    `Flow.listener`. OSError: there is no way to ``server``, which is numeric.
    """

    def __init__(
        self, server: tuple[str, int], capture_id: int, local: Sequence[tuple[str, int]]
    ) -> None:
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.sent = 0
        self.dropped = 0
        self._capture_id = capture_id
        self._local = tuple(local)
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(server)
        except OSError:
            self._socket.close()
            raise

    def __call__(self, sent: bool, flow: Flow, data: bytes, time_s: float) -> None:
        """Send a copy."""
        try:
            ours, peer = self._local[flow.listener], (flow.remote_host, flow.remote_port)
            packet = hep3(
                mask_secrets(data),
                ours if sent else peer,
                peer if sent else ours,
                transport=flow.transport,
                time_s=time_s,
                capture_id=self._capture_id,
            )
            self._socket.send(packet)
        except (OSError, ValueError, IndexError):
            self.dropped += 1  # also what ICMP said of the packet before
        else:
            self.sent += 1

    def close(self) -> None:
        """Send no more."""
        self._socket.close()
