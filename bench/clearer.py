"""`python -m ringwheel.bench.clearer`: an agent that interrupts itself, and callers who hear when
(see `child`).

First it tells ``{"url": ...}``, where its agent is. Then it is asked to ``call``, with ``target``
(``udp:HOST:PORT``), ``calls`` and ``clears`` for each of them, and answers ``{"up": N}`` when all
of them talk with the agent. At ``wait`` it tells what was measured: ``old_ms``, from a clear to the
last packet of what was said before, ``new_ms``, to the first one of what was said behind it, and
how many clears failed, because nothing was heard before.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ..cli.logging import configure_logging
from ..media.sip.edge import Flow
from ..media.sip.events import EndCause
from ..media.sip.session import SipCall
from ..media.sip.transport import Listener
from .child import Parent
from .interrupter import (
    FRAME_TS,
    SO_TIMESTAMPNS,
    Interrupter,
    Interruption,
    voice_packets,
)
from .phone import HOST, Phone

CALLS_PER_S = 20.0
UP_TIMEOUT_S = 30.0
WAIT_S = 3600.0
BLOCK_BYTES = 160
SAID_BYTES = 100 * BLOCK_BYTES
LISTEN_S = 0.3
"""How long what is said is heard before it is cleared, and up to a packet time longer."""
SETTLE_S = 0.2
"""How long is waited then for what may still come."""


@dataclass(slots=True)
class Measured:
    """What came of the clears."""

    old_ms: list[float] = field(default_factory=list)
    new_ms: list[float] = field(default_factory=list)
    failed: int = 0

    def note(self, cleared_ns: int, old: int, new: int, arrivals: list[tuple[int, int]]) -> None:
        """One clear at ``cleared_ns``, between turns whose sound is these bytes; packets by when
        they came and what is in them."""
        olds = [at_ns for at_ns, sound in arrivals if sound == old]
        news = [at_ns for at_ns, sound in arrivals if sound == new]
        if not olds or not news:
            self.failed += 1
            return
        # Below zero: the next packet was not due yet.
        self.old_ms.append(max(0.0, round((max(olds) - cleared_ns) / 1e6, 3)))
        self.new_ms.append(round((min(news) - cleared_ns) / 1e6, 3))


def arrivals_of(waiting: socket.socket) -> list[tuple[int, int]]:
    """The packets in a socket: when each came, on the system's clock, and its first sample."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            data, notes, _, _ = waiting.recvmsg(2048, 128)
        except BlockingIOError:
            return found
        for level, kind, stamp in notes:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) and len(data) > 12:
                seconds, nanoseconds = struct.unpack("qq", stamp[:16])
                found.append((seconds * 1_000_000_000 + nanoseconds, data[12]))


class Talkers(Interrupter):
    """Callers who talk all the time, and leave it to the agent to end the call."""

    def __init__(self, calls: int) -> None:
        super().__init__("stream", to_come=calls)
        self.sockets: dict[int, socket.socket] = {}

    async def _interrupt(
        self, call: SipCall, placed: Interruption, peer: tuple[str, int], events: int | None
    ) -> None:
        number = placed.local.session_id - 1
        self.sockets[number] = placed.rtp
        due_s = time.monotonic()
        sequence = 0
        packets = voice_packets(number)
        while True:
            packet = bytearray(packets[sequence % len(packets)])
            struct.pack_into("!HI", packet, 2, sequence & 0xFFFF, sequence * FRAME_TS)
            placed.rtp.sendto(packet, peer)
            sequence += 1
            due_s += 0.02
            await asyncio.sleep(due_s - time.monotonic())

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        if not isinstance(call.context, Interruption):
            return
        if call.context.task is not None:
            call.context.task.cancel()
        call.context.rtp.close()
        self.to_come -= 1
        if not self.to_come:
            self.done.set()


class Clearer:
    """The agent: what it says in each turn is one byte for all its length, and another in the
    next."""

    def __init__(self) -> None:
        self.measured = Measured()
        self.talkers: Talkers | None = None
        self.clears = 0
        self.up = 0
        self.change = asyncio.Event()
        self.begin = asyncio.Event()

    async def take(self, connection: ServerConnection) -> None:
        """One stream."""
        await connection.recv()
        start = json.loads(await connection.recv())
        number = re.search(r"caller(\d+)@", start["start"]["customParameters"]["from"])
        assert number is not None and self.talkers is not None
        hearing = asyncio.ensure_future(_hear(connection))
        self.up += 1
        self.change.set()
        try:
            await self.begin.wait()
            await self._talk(connection, start["streamSid"], int(number[1]))
        finally:
            hearing.cancel()

    async def _talk(self, connection: ServerConnection, sid: str, number: int) -> None:
        assert self.talkers is not None
        rtp = self.talkers.sockets[number]
        await asyncio.sleep(number % 20 / 20 * LISTEN_S)
        await _say(connection, sid, 1)
        for turn in range(self.clears):
            old, new = turn % 100 + 1, (turn + 1) % 100 + 1
            await asyncio.sleep(LISTEN_S + (number + turn) % 20 / 1000)
            cleared_ns = time.time_ns()
            await connection.send(json.dumps({"event": "clear", "streamSid": sid}))
            await _say(connection, sid, new)
            await asyncio.sleep(SETTLE_S)
            self.measured.note(cleared_ns, old, new, arrivals_of(rtp))


async def _say(connection: ServerConnection, sid: str, sound: int) -> None:
    payload = base64.b64encode(bytes([sound]) * BLOCK_BYTES).decode()
    message = json.dumps({"event": "media", "streamSid": sid, "media": {"payload": payload}})
    for _ in range(SAID_BYTES // BLOCK_BYTES):
        await connection.send(message)


async def _hear(connection: ServerConnection) -> None:
    try:
        async for _ in connection:
            pass
    except ConnectionClosed:
        return


async def command(parent: Parent) -> dict[str, Any]:
    """The parent's next command, with what came before it."""
    said = await asyncio.to_thread(parent.command, WAIT_S)
    if said is None:
        raise EOFError
    return parent.arguments


async def place(clearer: Clearer, phone: Phone, talkers: Talkers, target: Listener) -> None:
    """Call, and wait until all of the calls talk with the agent."""
    flow: Flow = phone.flow(target.host, target.port)
    for number in range(talkers.to_come):
        talkers.dial(phone.agent, flow, target, number)
        await asyncio.sleep(1 / CALLS_PER_S)
    async with asyncio.timeout(UP_TIMEOUT_S):
        while clearer.up < talkers.to_come:
            clearer.change.clear()
            await clearer.change.wait()


async def measure(parent: Parent) -> None:
    """One run."""
    clearer = Clearer()
    async with serve(clearer.take, HOST, 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        parent.tell({"url": f"ws://{HOST}:{port}/"})
        told = await command(parent)
        clearer.clears = told["clears"]
        clearer.talkers = talkers = Talkers(told["calls"])
        with Phone(talkers, max_calls=told["calls"]) as phone:
            await place(clearer, phone, talkers, Listener.parse(told["target"]))
            parent.tell({"up": clearer.up})
            await command(parent)
            clearer.begin.set()
            async with asyncio.timeout(told["clears"] * (LISTEN_S + SETTLE_S) * 3 + UP_TIMEOUT_S):
                await talkers.done.wait()
    measured = clearer.measured
    parent.tell({"old_ms": measured.old_ms, "new_ms": measured.new_ms, "failed": measured.failed})


def main() -> None:
    configure_logging("warning")
    parent = Parent()
    try:
        uvloop.run(measure(parent))
    except TimeoutError:
        parent.tell({"error": "the calls did not come up, or did not end"})


if __name__ == "__main__":
    main()
