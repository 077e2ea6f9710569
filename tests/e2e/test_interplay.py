"""What a call can go through one thing after the other, and that nothing of it is left."""

from __future__ import annotations

import asyncio

import pytest
import soundfile
from ringwheel import Call, CallEnded, DialFailed, Outcome
from ringwheel.media.trunk import Peer, Trunk, TrunkLimits

from .callee import Callee
from .client import TIMEOUT_S
from .conftest import eventually, phoning, serving

pytestmark = pytest.mark.one_loop


def carrier(peer: Callee, channels: int = 1) -> Trunk:
    """A trunk that carries so many calls, those that come in from this machine included."""
    address = Peer("127.0.0.1", peer.sip.getsockname()[1])
    limits = TrunkLimits(channels=channels)
    return Trunk("carrier", (address,), options_interval_s=0, limits=limits)


def left_over(engine) -> list[int]:
    """What calls hold: channels, calls, places for legs, dialogs."""
    figures = engine.snapshot()
    (trunk,) = engine.trunks
    return [trunk.channels, figures.calls_up, figures.places_taken, figures.dialogs]


async def stays(call: Call) -> None:
    """A handler that answers and waits."""
    await call.answer()
    await call.wait_ended()


async def test_a_call_by_a_trunk_is_heard_early_recorded_held_bridged_and_drained(tmp_path):
    file = tmp_path / "call.wav"
    records, blocks = [], []

    async def early(call) -> None:
        call.record(file)
        async for block in call.listen():
            blocks.append(block)

    async with Callee() as callee:
        options = {"trunks": [carrier(callee, 2)], "records": records.append}
        async with serving(stays, **options) as engine, phoning(engine) as phone:
            dialled = asyncio.create_task(engine.dial("sip:4711@carrier", early=early))
            invite = await callee.invited()
            callee.reply(invite, "183 Session Progress", callee.offer())
            await eventually(lambda: len(blocks) > 2)
            callee.reply(invite, "200 OK", callee.offer())
            call = await dialled
            await callee.request("ACK")
            for change in (call.hold, call.unhold):
                changing = asyncio.create_task(change())
                callee.reply(await callee.request("INVITE"), "200 OK", callee.offer())
                await callee.request("ACK")
                await changing
            await phone.call()
            with pytest.raises(DialFailed, match="all 2 channels are in use"):
                await engine.dial("sip:4712@carrier")
            theirs = next(other for other in engine.calls if other is not call)
            await eventually(lambda: theirs.state == "confirmed")
            bridging = asyncio.create_task(call.bridge(theirs))
            draining = asyncio.create_task(engine.drain(TIMEOUT_S))
            await phone.hang_up()
            await bridging
            assert not draining.done()
            callee.hang_up_on(invite)
            assert await draining
            await eventually(lambda: not any(left_over(engine)) and len(records) == 2)
    ours = next(record for record in records if record["direction"] == "out")
    assert (ours["trunk"], ours["outcome"]) == ("carrier", "answered")
    (told,) = ours["recordings"]
    assert soundfile.info(file).frames == pytest.approx(8 * told["recorded_ms"], abs=1)


async def test_who_drains_while_somebody_is_dialled_calls_it_off():
    async with Callee() as callee, serving(stays, trunks=[carrier(callee)]) as engine:
        dialled = asyncio.create_task(engine.dial("sip:4711@carrier"))
        invite = await callee.invited()
        callee.reply(invite, "180 Ringing")
        await eventually(lambda: engine.snapshot().calls_by_state["calling"] == 1)
        draining = asyncio.create_task(engine.drain(0))
        callee.reply(await callee.request("CANCEL"), "200 OK")
        callee.reply(invite, "487 Request Terminated")
        with pytest.raises(DialFailed) as failed:
            await dialled
        assert failed.value.outcome is Outcome.CANCELLED
        assert not await draining
        await eventually(lambda: not any(left_over(engine)))


async def test_a_reload_takes_the_trunk_of_a_call_away_and_brings_it_back():
    async with Callee() as callee:
        trunk = carrier(callee)
        async with serving(stays, trunks=[trunk]) as engine:
            dialled = asyncio.create_task(engine.dial("sip:4711@carrier"))
            invite = await callee.invited()
            callee.reply(invite, "200 OK", callee.offer())
            call = await dialled
            await callee.request("ACK")
            engine.reload([])
            engine.reload([trunk])
            with pytest.raises(DialFailed, match="all 1 channels are in use"):
                await engine.dial("sip:4712@carrier")
            callee.hang_up_on(invite)
            await call.wait_ended()
            with pytest.raises(CallEnded):
                await call.play("never.wav")
            await eventually(lambda: not any(left_over(engine)))
