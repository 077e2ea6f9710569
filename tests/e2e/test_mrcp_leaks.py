"""Two hundred speech sessions, opened and closed fifty times: nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ringwheel import Call
from ringwheel.robot.speech.mrcp.connection import ConnectionLimits
from ringwheel.robot.speech.mrcp.pool import PoolLimits
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpOptions, MrcpService
from ringwheel.robot.speech.mrcp.session import MrcpSession, SessionLimits
from ringwheel.robot.speech.server.server import SpeechServer

from ..ports import pairs_of
from .conftest import eventually, phoning, serving
from .speech_peer import speech_peer

SESSIONS, ROUNDS = 200, 50
FEW_ROUNDS = 5


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
        for _ in range(FEW_ROUNDS):
            opened = await asyncio.gather(*(service.open(call) for _ in range(SESSIONS)))
            figures = service.figures()
            assert figures.servers[0].taken == peer.open_sessions == SESSIONS
            assert engine.snapshot().speech_sessions == SESSIONS
            for speech in opened:
                await speech.close()
            await eventually(lambda: peer.open_sessions == 0)
            await eventually(lambda: engine.snapshot().places_taken == 1)
            peer.sessions.clear()
        figures = service.figures()
        assert figures.servers[0].opened == SESSIONS * FEW_ROUNDS
        assert (figures.servers[0].taken, figures.servers[0].idle) == (0, 0)
        assert figures.failures == figures.odd == figures.stray == {}
        del opened, speech
        assert sessions_in_memory() == 0
        assert (engine.snapshot().calls_up, engine.snapshot().speech_sessions) == (1, 0)
        await service.close()
        assert len(service._connections) == 0
        await eventually(lambda: not peer.writers)
        # The caller's leg may have opened one for RTCP since.
        await eventually(lambda: open_files() <= files + 1)
        await phone.hang_up()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.one_loop
@pytest.mark.timeout(600)
@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng")
async def test_nothing_is_left_on_either_side_with_our_server() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        calls.put_nowait(call)
        await call.wait_ended()

    calls: asyncio.Queue[Call] = asyncio.Queue()
    listeners: dict[str, Any] = {"mrcp": "127.0.0.1:0", "workers": 1, "max_sessions": SESSIONS}
    async with (
        SpeechServer(("udp:127.0.0.1:0",), rtp_ports=pairs_of(SESSIONS), **listeners) as server,
        serving(handler, rtp_ports=pairs_of(SESSIONS + 10)) as engine,
        phoning(engine) as phone,
    ):
        served = asyncio.create_task(server.serve())
        await phone.call()
        call = await calls.get()
        address = f"sip:{server.engine.addresses[0]}"
        limits = SessionLimits(invite_s=20.0, response_ms=20_000)
        options = MrcpOptions(
            (MrcpServer(address, max_sessions=SESSIONS, keep=0),),
            sessions=limits,
            pool=PoolLimits(open_s=60.0),
        )
        service = MrcpService(engine, options)
        files = 0
        for number in range(ROUNDS):
            opened = await asyncio.gather(*(service.open(call) for _ in range(SESSIONS)))
            assert server.figures().channels == 2 * SESSIONS
            for speech in opened:
                await speech.close()
            await eventually(lambda: server.figures().sessions == 0)
            await eventually(lambda: engine.snapshot().places_taken == 1)
            await eventually(lambda: server.engine.snapshot().places_taken == 0)
            if number == 1:
                files = open_files()
        assert server.figures().channels == 0
        assert service.figures().servers[0].opened == SESSIONS * ROUNDS
        assert service.figures().failures == service.figures().odd == {}
        del opened, speech
        assert sessions_in_memory() == 0
        await service.close()
        await eventually(lambda: open_files() <= files + 1)
        await phone.hang_up()
        await server.drain(0.0)
        await served
