"""An engine is killed, and another one goes on with its calls."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from pathlib import Path

import pytest
from ringwheel import Call, Engine

from ..e2e.client import Phone, Rtp
from ..e2e.conftest import address_of, eventually
from ..interop.conftest import serving
from ..ports import pairs_of

pytestmark = pytest.mark.alone

CALLS = 100
KEEPER = Path(__file__).with_name("keeper.py")
HEARD_PACKETS = 25
RTP_PORTS = 120


async def take_over(heir: Engine, snapshot: dict, prompt: Path) -> Call:
    """The call goes on with its prompt."""
    call = await heir.adopt(snapshot)
    files = [file for playing in snapshot["playing"] for file in playing["files"]]
    playing = asyncio.ensure_future(call.play(*files or [prompt], loop=True))
    playing.add_done_callback(asyncio.Future.exception)
    return call


async def follow(phone: Phone) -> tuple[float, list[Rtp]]:
    """Accept what the heir offers; when its sound came, and half a second of it."""
    asked = await phone.accept_reinvite()
    port = int(asked.sdp("m=audio ").split()[0])
    packets: list[Rtp] = []
    came_s = 0.0
    while len(packets) < HEARD_PACKETS:
        (packet,) = await phone.packets(1)
        if packet.source[1] == port:
            came_s = came_s or asyncio.get_running_loop().time()
            packets.append(packet)
    return came_s, packets


def unbroken(packets: list[Rtp]) -> bool:
    """True if each packet follows the one before."""
    pairs = itertools.pairwise(packets)
    return all(
        (two.sequence - one.sequence) % 2**16 == 1
        and (two.timestamp - one.timestamp) % 2**32 == 160
        for one, two in pairs
    )


async def test_every_call_of_a_killed_engine_goes_on_in_another(tmp_path: Path, prompt: Path):
    snapshots = tmp_path / "snapshots.jsonl"
    arguments = {"prompt": str(prompt), "snapshots": str(snapshots)}
    command = [str(KEEPER), json.dumps(arguments)]
    async with contextlib.AsyncExitStack() as stack:
        with serving(tmp_path, command, ends_with=-signal.SIGKILL) as keeper:
            server = (keeper.host, keeper.port)
            phones = [await stack.enter_async_context(Phone(server)) for _ in range(CALLS)]
            for phone in phones:
                await phone.call()
            await asyncio.gather(*(phone.packets(1) for phone in phones))
            os.kill(keeper.pid, signal.SIGKILL)
        written = [json.loads(line) for line in snapshots.read_text("utf-8").splitlines()]
        assert len(written) == CALLS
        heir = await stack.enter_async_context(
            Engine(["udp:127.0.0.1:0"], codecs=["pcmu"], rtp_ports=pairs_of(RTP_PORTS))
        )
        await heir.load(prompt)
        for phone in phones:
            phone.waiting_packets()
            phone.server = address_of(heir)
        following = [asyncio.ensure_future(follow(phone)) for phone in phones]
        began_s = asyncio.get_running_loop().time()
        calls = await asyncio.gather(*(take_over(heir, state, prompt) for state in written))
        followed = await asyncio.gather(*following)
        payload = prompt.read_bytes()
        for _, packets in followed:
            assert unbroken(packets)
            assert b"".join(packet.payload for packet in packets) in 2 * payload
        by_id = {phone.call_id: phone for phone in phones}
        for number, call in enumerate(calls):
            phone = by_id[call.call_id]
            if number % 2:
                await phone.hang_up()
            else:
                await call.hangup()
                assert (await phone.until_bye()).get("Call-ID") == phone.call_id
            assert await call.wait_ended() == call.ended
            assert call.ended.status == 200
        await eventually(lambda: heir.snapshot().media["legs_closed"] == CALLS)
        figures = heir.snapshot()
        assert (figures.calls_up, figures.media["legs_opened"]) == (0, CALLS)
        assert figures.sip["calls_adopted"] == CALLS
    slowest_ms = 1000 * (max(came_s for came_s, _ in followed) - began_s)
    print(f"{CALLS} calls adopted at once: sound in all of them within {slowest_ms:.0f} ms")
