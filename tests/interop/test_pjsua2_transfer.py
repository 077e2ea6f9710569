"""Transfers with pjsua2 (PJSIP): it follows one, and asks for one, blind and attended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from ringwheel import Call, Engine, Refer, Transferred
from ringwheel.media.engine import CallHandlerFunction
from ringwheel.media.transfer import OnRefer

from .test_pjsua2 import call_at, pjsua2

__all__ = ["pjsua2"]


@contextlib.asynccontextmanager
async def engine(
    handler: CallHandlerFunction, on_refer: OnRefer | None = None
) -> AsyncIterator[Engine]:
    """An engine on loopback."""
    async with Engine(["udp:127.0.0.1:0"]) as ours:
        serving = asyncio.create_task(ours.serve(handler, on_refer=on_refer))
        yield ours
        await ours.drain(1)
        await serving


async def waits(call: Call) -> None:
    """Answers, and leaves the rest to the other side."""
    await call.answer()
    await call.wait_ended()


@pytest.fixture
def player(chirps):
    """A handler that plays the chirps."""

    async def play(call: Call) -> None:
        await call.answer()
        await call.play(*chirps)

    return play


async def test_pjsip_goes_where_it_is_sent(chirps, player, share_heard, tmp_path):
    results: list[Transferred] = []
    progress: list[int] = []

    async def send_away(call: Call) -> None:
        await call.answer()
        target = f"sip:third@{third.addresses[0]}"
        results.append(
            await call.transfer(target, on_progress=lambda seen: progress.append(seen.status))
        )

    wav = tmp_path / "heard.wav"
    async with engine(player) as third, engine(send_away) as robot:
        said = await asyncio.to_thread(call_at, robot.addresses[0], wav, "pcmu")
    assert (said["confirmed"], said["over"], said["moved"]) == (True, True, True)
    assert results == [Transferred(200, "OK", "refer")]
    assert progress[-1] == 200
    share, _ = share_heard(tmp_path / "heard.wav-2.wav", chirps)
    assert share > 0.9


async def test_pjsip_sends_us_to_a_third(chirps, player, tmp_path):
    heard: list[float] = []

    async def follow(call: Call, refer: Refer) -> None:
        other = await refer.follow()
        async for block in other.listen():
            heard.append(float(abs(block).max()))

    async with engine(player) as third, engine(waits, follow) as robot:
        transfer = ("--transfer", f"sip:third@{third.addresses[0]}")
        wav = tmp_path / "heard.wav"
        said = await asyncio.to_thread(call_at, robot.addresses[0], wav, "pcmu", *transfer)
        while robot.snapshot().calls_up:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert (said["over"], said["status"], said["told"][-1]) == (True, 200, 200)
    assert len(heard) > 200
    assert max(heard) > 5000


async def test_pjsip_connects_us_with_whom_it_has_talked(chirps, player, tmp_path):
    followed: list[bool] = []
    at_third: list[Call] = []

    async def follow(call: Call, refer: Refer) -> None:
        followed.append(refer.attended)
        other = await refer.follow()
        await other.play(*chirps[:1])

    async def third_handler(call: Call) -> None:
        at_third.append(call)
        await waits(call)

    async with engine(third_handler) as third, engine(waits, follow) as robot:
        attend = ("--attend", f"sip:third@{third.addresses[0]}")
        wav = tmp_path / "heard.wav"
        said = await asyncio.to_thread(call_at, robot.addresses[0], wav, "pcmu", *attend)
        (call,) = at_third
        await call.wait_ended()
    assert (said["over"], said["told"][-1]) == (True, 200)
    assert followed == [True]
    # The one call of the third party has had two peers: its leg has gone on.
    assert call.from_uri.startswith("sip:ringwheel@")
    assert call.figures.packets_received >= 12_003 // 160
    assert third.snapshot().sip["calls_replaced"] == 1
