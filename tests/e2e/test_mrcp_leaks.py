"""Two hundred speech sessions, opened and closed fifty times: nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest
from ringwheel import Call
from ringwheel.robot.speech.mrcp.connection import ConnectionLimits
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpOptions, MrcpService
from ringwheel.robot.speech.mrcp.session import MrcpSession, SessionLimits

from .conftest import eventually, pairs_of, phoning, serving
from .speech_peer import speech_peer

SESSIONS, ROUNDS = 200, 50


def open_files() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


def sessions_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, MrcpSession) for thing in gc.get_objects())


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.one_loop
@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", [True, False])
async def test_nothing_is_left_of_many_sessions(share: bool) -> None:
    rounds = ROUNDS if share else 5
    calls: asyncio.Queue[Call] = asyncio.Queue()

    async def handler(call: Call) -> None:
        await call.answer()
        calls.put_nowait(call)
        await call.wait_ended()

    ports = pairs_of(SESSIONS + 10)
    async with (
        speech_peer() as peer,
        serving(handler, rtp_ports=ports) as engine,
        phoning(engine) as phone,
    ):
        await phone.call()
        call = await calls.get()
        server = MrcpServer(peer.uri, max_sessions=SESSIONS, keep=0, share=share)
        # A machine that does everything at once may take its time.
        limits = SessionLimits(invite_s=20.0)
        connections = ConnectionLimits(connections=2 * SESSIONS)
        service = MrcpService(
            engine, MrcpOptions((server,), sessions=limits, connections=connections)
        )
        files = open_files()
        for _ in range(rounds):
            opened = await asyncio.gather(*(service.open(call) for _ in range(SESSIONS)))
            figures = service.figures()
            assert figures.servers[0].taken == peer.open_sessions == SESSIONS
            assert engine.snapshot().calls_up == SESSIONS + 1
            for speech in opened:
                await speech.close()
            await eventually(lambda: peer.open_sessions == 0)
            await eventually(lambda: engine.snapshot().places_taken == 1)
            peer.sessions.clear()
        figures = service.figures()
        assert figures.servers[0].opened == SESSIONS * rounds
        assert (figures.servers[0].taken, figures.servers[0].idle) == (0, 0)
        assert figures.failures == figures.odd == figures.stray == {}
        del opened, speech
        assert sessions_in_memory() == 0
        assert engine.snapshot().calls_up == 1
        await service.close()
        assert len(service._connections) == 0
        await eventually(lambda: not peer.writers)
        # The caller's leg may have opened one for RTCP since.
        await eventually(lambda: open_files() <= files + 1)
        await phone.hang_up()
