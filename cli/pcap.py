"""SIP messages as a capture file that Wireshark reads: each is one UDP packet, whatever it was.

The classic format of libpcap, with link type RAW (IP without a frame around it).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

MAGIC = 0xA1B2C3D4
SNAP_BYTES = 262_144
LINKTYPE_RAW = 101
MAX_PAYLOAD_BYTES = 65_000
TTL = 64


@dataclass(frozen=True, slots=True)
class Captured:
    """A message on its way from ``source`` to ``target`` (numeric host, port)."""

    time_s: float
    source: tuple[str, int]
    target: tuple[str, int]
    data: bytes


def pcap(messages: Iterable[Captured]) -> bytes:
    """The file. Messages of more than 65,000 bytes are cut."""
    header = struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, SNAP_BYTES, LINKTYPE_RAW)
    return header + b"".join(map(_record, messages))


def _record(message: Captured) -> bytes:
    packet = _ip_packet(message.source, message.target, message.data[:MAX_PAYLOAD_BYTES])
    microseconds = round(message.time_s * 1_000_000)
    seconds, rest = divmod(microseconds, 1_000_000)
    return struct.pack("<IIII", seconds, rest, len(packet), len(packet)) + packet


def _ip_packet(source: tuple[str, int], target: tuple[str, int], payload: bytes) -> bytes:
    length = 8 + len(payload)
    v6 = ":" in source[0]
    family = socket.AF_INET6 if v6 else socket.AF_INET
    hosts = socket.inet_pton(family, source[0]) + socket.inet_pton(family, target[0])
    udp = struct.pack("!HHHH", source[1], target[1], length, 0)
    pseudo = hosts + struct.pack("!IHBB", length, 0, 0, socket.IPPROTO_UDP)
    # RFC 768: no checksum is written as 0, so one that is 0 is written as its complement.
    checksum = _checksum(pseudo + udp + payload) or 0xFFFF
    datagram = udp[:6] + struct.pack("!H", checksum) + payload
    if v6:
        head = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, TTL)
        return head + hosts + datagram
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, TTL, socket.IPPROTO_UDP, 0)
    return head[:10] + struct.pack("!H", _checksum(head + hosts)) + hosts + datagram


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    words: tuple[int, ...] = struct.unpack(
        f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)
    )
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
