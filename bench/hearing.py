"""What each call of a caller heard: its RTP stream found among all, and held against the prompt."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._native import Receiver

if TYPE_CHECKING:
    from ._native import Quantiles, Stream

PACKET_SAMPLES = 160
SPARE_CAPTURE_BYTES = 50 * PACKET_SAMPLES


@dataclass(frozen=True, slots=True)
class Expected:
    """The payload that a caller should hear: ``silence`` fills up its last packet.

    With ``loop`` it is heard again and again, and only a beginning need have been heard.
    """

    payload: bytes
    silence: int
    loop: bool = False

    @property
    def packets(self) -> int:
        """Packets of 20 ms that one pass takes."""
        return -(-len(self.payload) // PACKET_SAMPLES)

    def fault(self, heard: bytes) -> str | None:
        """What is wrong with the payload heard from the first packet on; None if nothing is."""
        wanted = self._wanted(len(heard))
        if heard == wanted:
            return None
        for place, (got, right) in enumerate(zip(heard, wanted, strict=False)):
            if got != right:
                return f"differs at byte {place}: 0x{got:02x} instead of 0x{right:02x}"
        if len(heard) < len(wanted):
            return f"ends after {len(heard)} bytes of {len(wanted)}"
        return f"goes on for {len(heard) - len(wanted)} bytes after its end"

    def _wanted(self, heard_bytes: int) -> bytes:
        if self.loop and self.payload:
            return (self.payload * (heard_bytes // len(self.payload) + 1))[:heard_bytes]
        padding_bytes = self.packets * PACKET_SAMPLES - len(self.payload)
        return self.payload + bytes([self.silence]) * padding_bytes


@dataclass(frozen=True, slots=True)
class Source:
    """Where a call's sound comes from, and to which of our sockets."""

    socket: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The stream of one call. ``payload_fault`` is None if the payload is right or not checked."""

    packets: int
    lost: int
    duplicates: int
    reordered: int
    timestamp_jumps: int
    streams: int
    payload_checked: bool
    payload_fault: str | None
    first_arrival_ns: int
    last_arrival_ns: int
    interval_error_us: Quantiles

    @property
    def fault(self) -> str | None:
        """Why the sound was not as it should be, or None."""
        if self.payload_fault:
            return f"payload {self.payload_fault}"
        for name in ("lost", "duplicates", "reordered", "timestamp_jumps"):
            if count := getattr(self, name):
                return f"{name.replace('_', ' ')}: {count}"
        return f"{self.streams} streams instead of one" if self.streams > 1 else None


class Ears:
    """The receiver of a caller process: hands out ports, tells afterwards what a call heard."""

    def __init__(
        self, *, sockets: int, streams_max: int, expected: Expected | None, capture_every: int = 1
    ) -> None:
        """Raises OSError if the sockets cannot be had."""
        self._receiver = Receiver(
            sockets=sockets,
            streams_max=streams_max,
            capture_every=capture_every if expected else 0,
            capture_bytes=len(expected.payload) + SPARE_CAPTURE_BYTES if expected else 0,
        )
        self._expected = expected
        self._ports = self._receiver.ports
        self._known = 0
        self._streams: dict[tuple[int, int, int], list[int]] = defaultdict(list)

    def port_of(self, socket: int) -> int:
        """The UDP port of a socket; sockets are counted round."""
        return self._ports[socket % len(self._ports)]

    def listen(self) -> int:
        """Take what has arrived, and note new streams; returns the number of packets."""
        packets = self._receiver.drain()
        while self._known < len(self._receiver):
            stream = self._receiver.stream(self._known)
            self._streams[stream["socket"], stream["address"], stream["port"]].append(self._known)
            self._known += 1
        return packets

    def dropped(self) -> int:
        """Packets that the kernel dropped because this process was too slow."""
        return self._receiver.totals()["dropped"]

    def interval_error_us(self) -> Quantiles:
        """How far the packets' intervals were from 20 ms, all calls together."""
        return self._receiver.interval_error_us()

    def interval_error_counts(self) -> list[tuple[int, int]]:
        """The same one by one, from small to large: (us, packets)."""
        return self._receiver.interval_error_counts()

    def heard(self, source: Source, since_ns: int) -> Heard | None:
        """What came from ``source`` since that time of day; None if nothing did.

        A source may serve one call after another: earlier streams of it are passed over.
        """
        address = int(ipaddress.IPv4Address(source.host))
        key = (source.socket % len(self._ports), address, source.port)
        streams = [(index, self._receiver.stream(index)) for index in self._streams.get(key, ())]
        ours = [entry for entry in streams if entry[1]["first_arrival_ns"] >= since_ns]
        return self._described(*ours[0], len(ours)) if ours else None

    def _described(self, index: int, stream: Stream, streams: int) -> Heard:
        captured = self._receiver.captured(index)
        checked = captured is not None and self._expected is not None
        fault = None
        if captured is not None and self._expected is not None:
            fault = self._expected.fault(captured)
        return Heard(
            packets=stream["packets"],
            lost=stream["lost"],
            duplicates=stream["duplicates"],
            reordered=stream["reordered"],
            timestamp_jumps=stream["timestamp_jumps"],
            streams=streams,
            payload_checked=checked,
            payload_fault=fault,
            first_arrival_ns=stream["first_arrival_ns"],
            last_arrival_ns=stream["last_arrival_ns"],
            interval_error_us=stream["interval_error_us"],
        )
