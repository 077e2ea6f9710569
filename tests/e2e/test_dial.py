"""Calls of ours on the wire: what is sent, what comes of each answer, and what the record says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from ringwheel import Call, CallEnded, DialFailed, Engine, Outcome

from .callee import Callee
from .conftest import address_of, eventually, pairs_of, serving
from .test_hear import Mouth

pytestmark = pytest.mark.one_loop


@contextlib.asynccontextmanager
async def dialling(**options: object) -> AsyncIterator[Engine]:
    """An engine that has no handler; whatever it dials is over when the block is left."""
    settings = {"sip": ["udp:127.0.0.1:0"], "rtp_ports": pairs_of(40), **options}
    async with Engine(**settings) as engine:  # type: ignore[arg-type]
        yield engine
        await eventually(lambda: engine.snapshot().calls_up == 0)


async def test_a_call_is_placed_answered_played_to_and_hung_up(make_prompt):
    prompt, payload = make_prompt("hello.ulaw", 1_600)
    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(
            engine.dial(callee.uri, caller="4711", display_name="A Robot")
        )
        invite = await callee.invited()
        assert invite.start == f"INVITE {callee.uri} SIP/2.0"
        assert invite.get("From").startswith(f"A Robot <sip:4711@{engine.addresses[0]}>;tag=")
        assert invite.sdp("m=audio ").split()[1:] == ["RTP/AVP", "0", "8", "101"]
        callee.reply(invite, "180 Ringing")
        callee.reply(invite, "200 OK", callee.offer())
        call = await dialled
        assert (await callee.request("ACK")).get("CSeq") == "1 ACK"
        assert (call.outcome, call.codec, call.to_uri) == (Outcome.ANSWERED, "PCMU", callee.uri)
        played = asyncio.create_task(call.play(prompt))
        packets = await callee.packets(10)
        assert b"".join(packet.payload for packet in packets) == payload
        await played
        ending = asyncio.create_task(call.hangup())
        await callee.until_bye()
        assert (await ending).by.value == "local"


async def test_the_callee_hangs_up():
    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri))
        invite = await callee.invited()
        callee.reply(invite, "200 OK", callee.offer())
        call = await dialled
        callee.hang_up_on(invite)
        assert (await call.wait_ended()).by.value == "remote"
        with pytest.raises(CallEnded):
            await call.play("anything.wav")


@pytest.mark.parametrize(
    ("status", "reason", "outcome", "q850"),
    [
        ("486 Busy Here", "", Outcome.BUSY, None),
        ("404 Not Found", "", Outcome.NUMBER_INVALID, None),
        ("503 Service Unavailable", 'Q.850;cause=34;text="no circuit"', Outcome.CONGESTION, 34),
        ("480 Temporarily Unavailable", "SIP;cause=480, Q.850;cause=20", Outcome.UNREACHABLE, 20),
        ("603 Decline", "", Outcome.REJECTED, None),
    ],
)
async def test_a_refusal_is_told_by_its_outcome_and_recorded(status, reason, outcome, q850):
    records = []
    async with dialling(records=records.append) as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri))
        invite = await callee.invited()
        lines = [f"Reason: {value}" for value in reason.split(", ") if value]
        callee.reply(invite, status, "", *lines)
        with pytest.raises(DialFailed) as failed:
            await dialled
        await callee.request("ACK")
    error = failed.value
    assert (error.outcome, error.status, error.q850) == (outcome, int(status[:3]), q850)
    (record,) = records
    assert (record["direction"], record["outcome"]) == ("out", outcome.value)
    assert (record["status"], record["q850"]) == (int(status[:3]), q850)
    assert record["answered"] is None


async def test_nobody_answers_in_time():
    records = []
    async with dialling(records=records.append) as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri, timeout_s=0.2))
        invite = await callee.invited()
        callee.reply(invite, "180 Ringing")
        cancel = await callee.request("CANCEL")
        with pytest.raises(DialFailed) as failed:
            await dialled
        callee.reply(cancel, "200 OK")
        callee.reply(invite, "487 Request Terminated")
        await callee.request("ACK")
    assert (failed.value.outcome, failed.value.status) == (Outcome.NO_ANSWER, 408)
    assert [record["outcome"] for record in records] == ["no-answer"]


async def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_left():
    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri))
        invite = await callee.invited()
        callee.reply(invite, "180 Ringing")
        await eventually(lambda: engine.snapshot().sip["responses"] == 1)
        dialled.cancel()
        cancel = await callee.request("CANCEL")
        callee.reply(invite, "200 OK", callee.offer())
        callee.reply(cancel, "200 OK")
        await callee.request("ACK")
        await callee.until_bye()
        with pytest.raises(asyncio.CancelledError):
            await dialled


async def test_a_dialled_call_is_bridged_to_the_one_that_came_in():
    async with Callee() as caller, Callee() as callee:

        async def handler(call: Call) -> None:
            await call.answer()
            onward = await engine.dial(callee.uri, beside=call)
            await call.bridge(onward)
            await onward.hangup()

        async with serving(handler, shards=2) as engine:
            caller.server = address_of(engine)
            mouth = Mouth(caller, await caller.call())
            invite = await callee.invited()
            callee.reply(invite, "200 OK", callee.offer())
            await callee.request("ACK")
            heard = asyncio.create_task(callee.packets(1))
            while not heard.done():
                mouth.packet(b"\x12" * 160, 0)
                await asyncio.sleep(0.02)
            assert (await heard)[0].payload == b"\x12" * 160
            await caller.hang_up()
            await callee.until_bye()
