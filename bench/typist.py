"""`python -m ringwheel.bench.typist`: callers who type an answer to each question (see `child`).

Arguments: ``target`` (``udp:HOST:PORT``), ``calls``, ``rate_per_s``. It tells a line of progress
twice a second, and in the end ``{"calls": ..., "up_most": ..., "faults": {...}}``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
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
from .interrupter import rtp_packet, rtp_socket
from .measure import allow_files
from .phone import HOST, OnlyPlaces, Phone, call_robot
from .robot import CALL_S, digits_of

FIRST_S = 1.0
"""When the first digit is typed: the greeting is over then, and the first question is asked."""
BETWEEN_S = 1.0
DIGIT_TS = 800
PROGRESS_S = 0.5


@dataclass(slots=True)
class Typing:
    """One call."""

    number: int
    local: LocalMedia
    offer: bytes
    rtp: socket.socket
    answered: bool = False
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Typists(OnlyPlaces):
    """The handler of a user agent whose callers type (`CallHandler`)."""

    to_come: int
    up: int = 0
    up_most: int = 0
    ended: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def dial(self, agent: UserAgent, flow: Flow, target: Listener, number: int) -> None:
        """Place one call."""
        rtp = rtp_socket()
        local = LocalMedia(HOST, rtp.getsockname()[1], (PCMU,), number + 1)
        placed = Typing(number, local, make_offer(local), rtp)
        call_robot(agent, flow, target, number, placed.offer).context = placed

    def on_answered(self, call: SipCall, sdp: bytes | None) -> None:
        placed = _context_of(call)
        try:
            media = accept_answer(placed.offer, parse_sdp(sdp or b""), placed.local)
        except SdpError as error:
            self.faults[f"answer: {error}"] += 1
            call.hangup()
            return
        placed.answered = True
        self.up += 1
        self.up_most = max(self.up_most, self.up)
        peer = (media.remote_host, media.remote_port)
        events = media.telephone_event_payload_type or 101
        placed.task = asyncio.ensure_future(self._type(call, placed, peer, events))

    async def _type(
        self, call: SipCall, placed: Typing, peer: tuple[str, int], events: int
    ) -> None:
        await asyncio.sleep(FIRST_S)
        for place, digit in enumerate(digits_of(placed.number)):
            for packet in digit_packets(events, int(digit), place):
                placed.rtp.sendto(packet, peer)
            await asyncio.sleep(BETWEEN_S)
        await asyncio.sleep(CALL_S)
        self.faults["the robot did not hang up"] += 1
        call.hangup()

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        if not isinstance(call.context, Typing):
            return
        placed = call.context
        if placed.task is not None:
            placed.task.cancel()
        placed.rtp.close()
        if placed.answered:
            self.up -= 1
        elif cause.status != 200:
            self.faults[f"{cause.status} {cause.reason}"] += 1
        self.ended += 1
        if self.ended == self.to_come:
            self.done.set()


def _context_of(call: SipCall) -> Typing:
    assert isinstance(call.context, Typing)
    return call.context


def digit_packets(payload_type: int, digit: int, place: int) -> list[bytes]:
    """A digit of 100 ms as events, sent at once: one at its start, three at its end."""
    timestamp = place * 8_000
    packets = []
    for number, (duration_ts, end) in enumerate(((160, 0), *((DIGIT_TS, 0x80),) * 3)):
        event = struct.pack("!BBH", digit, end | 10, duration_ts)
        packets.append(rtp_packet(payload_type, 4 * place + number, timestamp, event))
    return packets


async def call_all(parent: Parent) -> dict[str, object]:
    """Place the calls, and wait for the end of the last."""
    target = Listener.parse(parent.arguments["target"])
    calls, rate_per_s = int(parent.arguments["calls"]), float(parent.arguments["rate_per_s"])
    allow_files(calls)
    handler = Typists(calls)
    loop = asyncio.get_running_loop()
    with Phone(handler, max_calls=calls) as phone:
        flow = phone.flow(target.host, target.port)
        began_s = told_s = loop.time()
        for number in range(calls):
            handler.dial(phone.agent, flow, target, number)
            await asyncio.sleep(max(0.0, began_s + (number + 1) / rate_per_s - loop.time()))
            if loop.time() > told_s + PROGRESS_S:
                told_s = loop.time()
                parent.tell({"up": handler.up, "ended": handler.ended})
        async with asyncio.timeout(60):
            await handler.done.wait()
    return {"calls": calls, "up_most": handler.up_most, "faults": dict(handler.faults)}


def main() -> None:
    configure_logging("warning")
    parent = Parent()
    parent.tell(uvloop.run(call_all(parent)))


if __name__ == "__main__":
    main()
