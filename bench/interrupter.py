"""`python -m ringwheel.bench.interrupter`: callers who speak or type into a prompt (see `child`).

Arguments: ``target`` (``udp:HOST:PORT``), ``calls``, ``rate_per_s``, ``cause`` (``speech`` or
``dtmf``). It tells one line: ``{"latencies_ms": [...], "missed": ..., "failed": ...}``. A latency
is the time from the first packet that a caller sent to the last packet of the prompt, by the
kernel's receive time stamp; a prompt that goes on to the end of the call is missed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass, field

import uvloop

from ..cli.logging import configure_logging
from ..media.codec import PCMU
from ..media.sdp import LocalMedia, SdpError, accept_answer, make_offer, parse_sdp
from ..media.sip.edge import Flow
from ..media.sip.events import EndCause
from ..media.sip.session import SipCall
from ..media.sip.transport import Listener
from ..media.sip.ua import UserAgent
from .child import Parent
from .phone import HOST, OnlyPlaces, Phone, call_robot
from .speech import vowel

LISTEN_S = 0.6
"""How long a caller listens before the interruption, spread over a packet time."""
SPEAK_S = 0.8
PATIENCE_S = 1.0
FRAME_TS = 160
EVENT_5 = 5
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python's module does not name it
BUFFER_BYTES = 1 << 20


def rtp_socket() -> socket.socket:
    """A UDP socket that notes when datagrams came, with room for those of a whole call."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    made.bind((HOST, 0))
    return made


def last_arrival_ns(waiting: socket.socket) -> int:
    """When the last datagram in a socket came, on the system's clock; 0 if there is none."""
    last_ns = 0
    while True:
        try:
            _, notes, _, _ = waiting.recvmsg(2048, 128)
        except BlockingIOError:
            return last_ns
        for level, kind, data in notes:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                last_ns = seconds * 1_000_000_000 + nanoseconds


@dataclass(slots=True)
class Interruption:
    """One call: its socket, and when its caller began."""

    rtp: socket.socket
    local: LocalMedia
    offer: bytes
    began_ns: int = 0
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Interrupter(OnlyPlaces):
    """The handler of a user agent whose callers interrupt (`CallHandler`)."""

    cause: str
    latencies_ms: list[float] = field(default_factory=list)
    missed: int = 0
    failed: int = 0
    to_come: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def dial(self, agent: UserAgent, flow: Flow, target: Listener, number: int) -> None:
        """Place one call."""
        rtp = rtp_socket()
        local = LocalMedia(HOST, rtp.getsockname()[1], (PCMU,), number + 1)
        placed = Interruption(rtp, local, make_offer(local))
        call_robot(agent, flow, target, number, placed.offer).context = placed

    def on_answered(self, call: SipCall, sdp: bytes | None) -> None:
        placed = _context_of(call)
        try:
            media = accept_answer(placed.offer, parse_sdp(sdp or b""), placed.local)
        except SdpError:
            call.hangup()
            return
        peer = (media.remote_host, media.remote_port)
        events = media.telephone_event_payload_type
        placed.task = asyncio.ensure_future(self._interrupt(call, placed, peer, events))

    async def _interrupt(
        self, call: SipCall, placed: Interruption, peer: tuple[str, int], events: int | None
    ) -> None:
        number = placed.local.session_id
        await asyncio.sleep(LISTEN_S + number % 20 / 1000)
        packets = digit_packets(events or 101) if self.cause == "dtmf" else voice_packets(number)
        placed.began_ns = time.time_ns()
        for packet in packets:
            placed.rtp.sendto(packet, peer)
            await asyncio.sleep(0.02)
        await asyncio.sleep(PATIENCE_S)
        call.hangup()  # nobody has listened

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        if not isinstance(call.context, Interruption):
            return
        placed = call.context
        if placed.task is not None:
            placed.task.cancel()
        last_ns = last_arrival_ns(placed.rtp)
        placed.rtp.close()
        self.to_come -= 1
        if not self.to_come:
            self.done.set()
        if not placed.began_ns or not last_ns:
            self.failed += 1
        elif cause.by.value == "local":
            self.missed += 1
        else:
            # Below zero: the prompt stopped before its next packet was due.
            self.latencies_ms.append(max(0.0, round((last_ns - placed.began_ns) / 1e6, 3)))


def _context_of(call: SipCall) -> Interruption:
    assert isinstance(call.context, Interruption)
    return call.context


def rtp_packet(payload_type: int, number: int, timestamp: int, payload: bytes) -> bytes:
    """One packet of a stream that began with number 0."""
    marker = 0x80 if number == 0 else 0
    return struct.pack("!BBHII", 0x80, marker | payload_type, number, timestamp, 0x5EED) + payload


def voice_packets(number: int) -> list[bytes]:
    """A voice that starts with its first sample; each caller has a pitch of his own."""
    payload = PCMU.encode(vowel(SPEAK_S, pitch_hz=90 + number % 130))
    count = len(payload) // FRAME_TS
    return [
        rtp_packet(0, i, i * FRAME_TS, payload[i * FRAME_TS : (i + 1) * FRAME_TS])
        for i in range(count)
    ]


def digit_packets(payload_type: int) -> list[bytes]:
    """One digit of 100 ms as events: updates every 20 ms, the end three times (RFC 4733 2.5.1)."""
    packets = []
    for i in range(7):
        duration_ts, end = min(i + 1, 5) * FRAME_TS, 0x80 if i >= 4 else 0
        event = struct.pack("!BBH", EVENT_5, end | 10, duration_ts)
        packets.append(rtp_packet(payload_type, i, 0, event))
    return packets


async def interrupt(arguments: dict[str, object]) -> dict[str, object]:
    """Place the calls; what came of them."""
    target = Listener.parse(str(arguments["target"]))
    calls, rate_per_s = int(str(arguments["calls"])), float(str(arguments["rate_per_s"]))
    handler = Interrupter(str(arguments["cause"]), to_come=calls)
    with Phone(handler, max_calls=calls) as phone:
        flow = phone.flow(target.host, target.port)
        for number in range(calls):
            handler.dial(phone.agent, flow, target, number)
            await asyncio.sleep(1 / rate_per_s)
        async with asyncio.timeout(60):
            await handler.done.wait()
    return {
        "latencies_ms": handler.latencies_ms,
        "missed": handler.missed,
        "failed": handler.failed,
    }


def main() -> None:
    configure_logging("warning")
    parent = Parent()
    parent.tell(uvloop.run(interrupt(parent.arguments)))


if __name__ == "__main__":
    main()
