"""Calls of ours on the wire: what is sent, what comes of each answer, and what the record says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace

import numpy as np
import pytest
from ringwheel import (
    Call,
    CallEnded,
    Credentials,
    DialFailed,
    DialledCall,
    EarlySound,
    Engine,
    Outcome,
)
from ringwheel.media.codec import PCMA
from ringwheel.media.order import first_way

from ..ports import pairs_of
from .callee import Callee
from .conftest import address_of, eventually, serving
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


@pytest.mark.parametrize(
    ("own_s", "dial_s", "error"), [(30, 0.1, DialFailed), (0.1, 30, TimeoutError)]
)
async def test_who_dials_may_have_a_time_limit_of_their_own(own_s, dial_s, error):
    """The one that is over is told, and leaves no cancellation behind."""

    async def dial(uri):
        try:
            async with asyncio.timeout(own_s):
                await engine.dial(uri, timeout_s=dial_s)
        finally:
            assert asyncio.current_task().cancelling() == 0

    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(dial(callee.uri))
        invite = await callee.invited()
        callee.reply(invite, "180 Ringing")
        callee.reply(await callee.request("CANCEL"), "200 OK")
        callee.reply(invite, "487 Request Terminated")
        await callee.request("ACK")
        with pytest.raises(error):
            await dialled


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


async def test_a_redirection_is_followed():
    async with dialling() as engine, Callee() as first, Callee() as second:
        dialled = asyncio.create_task(engine.dial(first.uri))
        invite = await first.invited()
        first.reply(invite, "302 Moved Temporarily", "", f"Contact: <{second.uri}>")
        await first.request("ACK")
        again = await second.invited()
        assert again.start == f"INVITE {second.uri} SIP/2.0"
        second.reply(again, "200 OK", second.offer())
        await second.request("ACK")
        call = await dialled
        ending = asyncio.create_task(call.hangup())
        await second.until_bye()
        await ending


async def test_a_redirection_is_told_where_none_is_to_be_followed():
    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri, redirects=0))
        callee.reply(await callee.invited(), "302 Moved", "", "Contact: <sip:b@192.0.2.7>")
        with pytest.raises(DialFailed) as failed:
            await dialled
    assert (failed.value.status, failed.value.contacts) == (302, ("sip:b@192.0.2.7",))


async def test_a_challenge_is_answered():
    async with dialling() as engine, Callee() as callee:
        credentials = Credentials("robot", "secret")
        dialled = asyncio.create_task(engine.dial(callee.uri, credentials=credentials))
        challenge = 'Proxy-Authenticate: Digest realm="test", nonce="abc", qop="auth"'
        callee.reply(await callee.invited(), "407 Proxy Authentication Required", "", challenge)
        await callee.request("ACK")
        again = await callee.invited()
        assert 'username="robot"' in again.get("Proxy-Authorization")
        callee.reply(again, "200 OK", callee.offer())
        call = await dialled
        callee.hang_up_on(again)
        await call.wait_ended()


async def test_what_is_said_of_the_caller_goes_into_the_invite():
    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(
            engine.dial(
                callee.uri,
                headers=[("X-Campaign", "7")],
                user_to_user="order 66",
                asserted_identity="sip:+4930123456@example.com",
                privacy="id",
                diversion="tel:+4930654321",
            )
        )
        invite = await callee.invited()
        callee.reply(invite, "486 Busy Here")
        with pytest.raises(DialFailed):
            await dialled
    assert invite.get("X-Campaign") == "7"
    assert bytes.fromhex(invite.get("User-to-User").removesuffix(";encoding=hex")) == b"order 66"
    assert invite.get("P-Asserted-Identity") == "<sip:+4930123456@example.com>"
    assert invite.get("Privacy") == "id"
    assert invite.get("Diversion") == "<tel:+4930654321>"
    assert invite.get("From").startswith("<sip:anonymous@anonymous.invalid>;tag=")


async def test_who_asks_for_no_privacy_is_shown():
    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri, privacy="none"))
        invite = await callee.invited()
        callee.reply(invite, "486 Busy Here")
        with pytest.raises(DialFailed):
            await dialled
    assert invite.get("Privacy") == "none"
    assert invite.get("From").startswith("<sip:ringwheel@")


@pytest.mark.parametrize(
    "options",
    [
        {"headers": [("X-A", "b\r\nX-Evil: 1")]},
        {"headers": [("X A", "b")]},
        {"headers": [("Via", "SIP/2.0/UDP 192.0.2.1")]},
        {"caller": "sip:a@b>;tag=1"},
        {"caller": "4711\r\nX-Evil: 1"},
        {"display_name": "A\r\nX-Evil: 1"},
        {"asserted_identity": "nobody"},
        {"privacy": "please"},
        {"timeout_s": 0},
        {"timeout_s": 1000},
        {"redirects": -1},
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is(options):
    async with dialling() as engine, Callee() as callee:
        with pytest.raises(ValueError):
            await engine.dial(callee.uri, **options)
        assert engine.snapshot().sip["calls_dialled"] == 0


@contextlib.contextmanager
def ways_to(engine, *peers):
    """The engine goes by these: pairs of a callee, and how long it may be silent."""
    numeric = engine.router

    async def route(order):
        for callee, sign_of_life_s in peers:
            way = await first_way(numeric(order._replace(uri=callee.uri)))
            yield way._replace(sign_of_life_s=sign_of_life_s)

    engine.router = route
    yield


async def test_the_next_way_is_tried_when_one_is_silent_or_full():
    records = []
    async with (
        dialling(records=records.append) as engine,
        Callee() as silent,
        Callee() as full,
        Callee() as callee,
    ):
        with ways_to(engine, (silent, 0.05), (full, None), (callee, 60)):
            dialled = asyncio.create_task(engine.dial("sip:4711@carrier"))
        lost = await silent.invited()
        invite = await full.invited()
        full.reply(invite, "503 Service Unavailable")
        await full.request("ACK")
        invite = await callee.invited()
        callee.reply(invite, "200 OK", callee.offer())
        call = await dialled
        callee.hang_up_on(invite)
        await call.wait_ended()
        # Whoever was given up as dead, and is not, is told so.
        silent.reply(lost, "180 Ringing")
        cancel = await silent.request("CANCEL")
        silent.reply(cancel, "200 OK")
        silent.reply(lost, "487 Request Terminated")
        await eventually(lambda: len(records) == 1)
        uris = silent.uri, full.uri, callee.uri
    (record,) = records
    assert (record["outcome"], record["to"]) == ("answered", uris[2])
    told = [(one["to"], one["outcome"], one["status"]) for one in record["attempts"]]
    assert told == [(uris[0], "unreachable", 408), (uris[1], "congestion", 503)]


async def test_who_is_not_there_is_known_at_once():
    async with Callee() as gone:
        uri = gone.uri
    records = []
    async with dialling(records=records.append) as engine:
        with pytest.raises(DialFailed, match=r"unreachable .*: nobody listens there") as failed:
            await engine.dial(uri, timeout_s=30)
        assert (failed.value.outcome, failed.value.status) == (Outcome.UNREACHABLE, 503)
        assert engine.snapshot().sip["transaction_timeouts"] == 0
        await eventually(lambda: len(records) == 1)


async def test_who_is_not_there_costs_the_next_way_no_timeout():
    async with dialling() as engine, Callee() as callee:
        async with Callee() as leaving:
            gone = SimpleNamespace(uri=leaving.uri)
        with ways_to(engine, (gone, 60), (callee, 60)):
            dialled = asyncio.create_task(engine.dial("sip:4711@carrier"))
            invite = await callee.invited()
            callee.reply(invite, "200 OK", callee.offer())
            call = await dialled
            callee.hang_up_on(invite)
            await call.wait_ended()
            assert engine.snapshot().sip["transaction_timeouts"] == 0


async def test_a_refusal_of_the_callee_is_the_last_word():
    async with dialling() as engine, Callee() as callee, Callee() as other:
        with ways_to(engine, (callee, None), (other, None)):
            dialled = asyncio.create_task(engine.dial("sip:4711@carrier"))
        callee.reply(await callee.invited(), "486 Busy Here")
        with pytest.raises(DialFailed):
            await dialled
        assert engine.snapshot().sip["calls_dialled"] == 1


async def test_a_name_that_leads_nowhere_is_told():
    async with dialling() as engine:
        with pytest.raises(DialFailed, match="the name is none that DNS can have") as failed:
            await engine.dial(f"sip:a@{'x' * 70}.invalid")
        assert failed.value.outcome is Outcome.UNREACHABLE


async def test_sound_before_the_answer_is_heard_and_nothing_is_sent(make_prompt, tmp_path):
    prompt, payload = make_prompt("hello.ulaw", 320)
    heard = []
    playing = []

    async def early(call: Call) -> None:
        playing.append(asyncio.create_task(call.play(prompt)))
        async for block in call.listen():
            heard.append(block)

    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri, early=early))
        invite = await callee.invited()
        callee.reply(invite, "183 Session Progress", callee.offer())
        mouth = Mouth(callee, invite)
        while len(heard) < 5:
            mouth.packet(b"\x12" * 160, 0)
            await asyncio.sleep(0.02)
        assert not callee.waiting_packets()
        callee.reply(invite, "200 OK", callee.offer())
        call = await dialled
        await callee.request("ACK")
        packets = await callee.packets(2)
        assert b"".join(packet.payload for packet in packets) == payload
        assert (await playing[0]).played_ms == 40
        callee.hang_up_on(invite)
        await call.wait_ended()
    assert np.concatenate(heard).any()


@pytest.mark.parametrize("repeats", [True, False])
async def test_the_answer_may_come_before_the_200_alone(repeats):
    async with dialling() as engine, Callee() as callee:
        dialled = asyncio.create_task(engine.dial(callee.uri))
        invite = await callee.invited()
        body = callee.offer()
        callee.reply(invite, "183 Session Progress", body)
        callee.reply(invite, "200 OK", body if repeats else "")
        call = await dialled
        assert call.codec == "PCMU"
        callee.hang_up_on(invite)
        await call.wait_ended()


@pytest.mark.parametrize("formats", ["0", "8"])
async def test_the_fork_that_answers_is_talked_with(formats, make_prompt):
    prompt, _ = make_prompt("hello.ulaw", 800)
    records = []
    async with (
        dialling(records=records.append) as engine,
        Callee() as callee,
        Callee(formats=formats) as other,
    ):
        over = []
        engine.watch(None, over.append)
        ports = engine.snapshot().media["legs_opened"]
        dialled = asyncio.create_task(engine.dial(callee.uri))
        invite = await callee.invited()
        callee.reply(invite, "183 Session Progress", callee.offer(), tag="first")
        await eventually(lambda: engine.snapshot().media["legs_opened"] == ports + 1)
        callee.reply(invite, "183 Session Progress", other.offer(), tag="second")
        await eventually(lambda: engine.snapshot().sip["responses"] == 2)
        callee.reply(invite, "200 OK", other.offer(), tag="second")
        call = await dialled
        assert call.codec == {"0": "PCMU", "8": "PCMA"}[formats]
        playing = asyncio.create_task(call.play(prompt))
        packets = await other.packets(5)
        assert {packet.payload_type for packet in packets} == {int(formats)}
        assert {packet.source[1] for packet in packets} == {int(invite.sdp("m=audio ").split()[0])}
        await playing
        callee.tag = "second"
        callee.hang_up_on(invite)
        await call.wait_ended()
        await eventually(lambda: len(records) == 1)
        assert over == [call]  # once, however many legs it took
        assert not callee.waiting_packets()


async def test_what_is_heard_before_the_answer_is_told(tmp_path):
    at_s = np.arange(8_000) / 8_000
    tone = PCMA.encode((6_000 * np.sin(2 * np.pi * 425 * at_s)).astype(np.int16))
    records = []
    async with (
        dialling(records=records.append) as engine,
        Callee(formats="8") as callee,
    ):
        recordings = []

        async def early(call: DialledCall) -> None:
            recordings.append(call.record(tmp_path / "early.wav"))
            await eventually(lambda: call.early_sound is EarlySound.BUSY)
            await call.hangup()

        dialled = asyncio.create_task(engine.dial(callee.uri, early=early))
        invite = await callee.invited()
        callee.reply(invite, "183 Session Progress", callee.offer())
        mouth = Mouth(callee, invite)
        cancelled = asyncio.create_task(callee.request("CANCEL"))
        while not cancelled.done():
            await mouth.say_encoded(tone[:4_000], 8)
            await mouth.say_encoded(b"\xd5" * 4_000, 8)
        callee.reply(await cancelled, "200 OK")
        callee.reply(invite, "487 Request Terminated")
        with pytest.raises(DialFailed) as failed:
            await dialled
        await eventually(lambda: len(records) == 1)
    error = failed.value
    assert (error.outcome, error.early_sound) == (Outcome.CANCELLED, EarlySound.BUSY)
    assert (records[0]["early_sound"], records[0]["outcome"]) == ("busy", "cancelled")
