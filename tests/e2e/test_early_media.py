"""Sound before the answer, and sessions that are refreshed: what a caller gets on the wire."""

from __future__ import annotations

import pytest
from ringwheel import Call, CallEnded

from .client import Message
from .conftest import phoning, serving

CAN = ("Supported: 100rel",)


async def progress(phone) -> Message:
    """The next provisional response but 100."""
    while True:
        message = await phone.message()
        if 100 < message.status < 200:
            phone.to_tag = message.get("To").rpartition("tag=")[2]
            return message


def playing(path, heard):
    """A handler that plays before it answers."""

    async def handler(call: Call) -> None:
        call.ring(early_media=True)
        heard.append((await call.play(path)).played_ms)
        await call.answer()
        heard.append((await call.play(path)).played_ms)
        await call.hangup()

    return handler


async def test_a_caller_hears_before_the_answer_and_goes_on_hearing(make_prompt):
    path, payload = make_prompt("a.ulaw", 480)
    heard: list[float] = []
    async with serving(playing(path, heard)) as engine, phoning(engine) as phone:
        phone.invite()
        early = await progress(phone)
        assert (early.status, early.get("RSeq")) == (183, "")
        before = await phone.packets(3)
        answer = await phone.response("INVITE")
        assert answer.body == early.body  # the same, for it is one answer (RFC 3261 13.2.1)
        phone.send("ACK")
        packets = before + await phone.packets(3)
        await phone.until_bye()
    assert b"".join(packet.payload for packet in packets) == 2 * payload
    numbers = [packet.sequence for packet in packets]
    assert [(number - numbers[0]) % 65536 for number in numbers] == list(range(6))
    assert heard == [60, 60]


async def test_a_caller_who_confirms_it_gets_no_second_answer(make_prompt):
    path, _ = make_prompt("a.ulaw", 480)
    heard: list[float] = []
    async with (
        serving(playing(path, heard)) as engine,
        phoning(engine, invite_headers=CAN) as phone,
    ):
        phone.invite()
        early = await progress(phone)
        await phone.packets(3)
        assert early.get("Require") == "100rel"
        phone.send("PRACK", "", f"RAck: {early.get('RSeq')} 1 INVITE")
        assert (await phone.response("PRACK")).status == 200
        answer = await phone.response("INVITE")
        assert (answer.status, answer.body) == (200, "")
        phone.send("ACK", cseq=1)
        await phone.until_bye()
    assert heard == [60, 60]


async def test_our_offer_is_answered_before_the_call_is(make_prompt):
    path, payload = make_prompt("a.ulaw", 480)

    async def handler(call: Call) -> None:
        call.ring(early_media=True)
        await call.answer()
        await call.play(path)
        await call.hangup()

    async with serving(handler) as engine, phoning(engine, invite_headers=CAN) as phone:
        phone.invite("")
        early = await progress(phone)
        assert "m=audio" in early.body
        phone.send("PRACK", phone.offer(), f"RAck: {early.get('RSeq')} 1 INVITE")
        answer = await phone.response("INVITE")
        assert (answer.status, answer.body) == (200, "")
        phone.send("ACK", cseq=1)
        packets = await phone.packets(3)
        await phone.until_bye()
    assert b"".join(packet.payload for packet in packets) == payload


async def test_a_caller_who_cannot_confirm_our_offer_is_answered_all_the_same():
    async def handler(call: Call) -> None:
        with pytest.raises(RuntimeError, match="no offer"):
            call.ring(early_media=True)
        await call.answer()
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        phone.invite("")
        answer = await phone.response("INVITE")
        assert "m=audio" in answer.body
        phone.send("ACK", phone.offer())
        await phone.until_bye()


async def test_early_media_that_cannot_be_agreed_on_refuses_the_call():
    ended: list[int] = []

    async def handler(call: Call) -> None:
        try:
            call.ring(early_media=True)
        except CallEnded as error:
            ended.append(error.cause.status)

    async with serving(handler) as engine, phoning(engine, formats="34") as phone:
        phone.invite()
        assert (await phone.response("INVITE")).status == 488
        phone.send("ACK")
    assert ended == [488]


async def test_what_a_peer_answers_to_our_refresh_counts():
    held: list[bool] = []

    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_held()
        held.append(call.held)
        await call.wait_resumed()
        await call.hangup()

    lines = ("Supported: timer", "Session-Expires: 2;refresher=uas")
    async with (
        serving(handler, session_expires_s=2, min_se_s=1) as engine,
        phoning(engine, invite_headers=lines) as phone,
    ):
        answer = await phone.call()
        for attribute in ("inactive", "sendrecv"):
            refresh = await phone.request("INVITE")
            assert refresh.get("Session-Expires") == "2;refresher=uac"
            # What stands is offered again, as it stands.
            assert refresh.body.count("m=audio") == 1
            assert refresh.sdp("m=") == answer.sdp("m=")
            phone.answer(refresh, body=phone.offer(attribute), lines=["Session-Expires: 2"])
        await phone.until_bye()
    assert held == [True]
