"""A call and, beside it, one with a server of speech: control channels, sound from leg to leg."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from ringwheel import ApplicationLine, Call, DialledCall, Engine, HoldRefused
from ringwheel.media.codec import CODECS, PCMU
from ringwheel.media.events import PlayOutcome

from .callee import Callee
from .client import Phone, Rtp, stood_still
from .conftest import eventually, phoning, serving
from .test_bridge import correlation, sweep
from .test_dial import dialling
from .test_hear import EVENTS, Mouth

pytestmark = pytest.mark.one_loop

RECOG = (("setup", "active"), ("connection", "new"), ("resource", "speechrecog"), ("cmid", "1"))
SYNTH = (("setup", "active"), ("connection", "new"), ("resource", "speechsynth"), ("cmid", "1"))
CONTROL = "m=application 1544 TCP/MRCPv2 1\r\na=setup:passive\r\na=channel:{}\r\na=cmid:1\r\n"


# Control channels


async def test_a_call_of_ours_offers_its_lines_and_has_their_answer():
    async with dialling() as engine, Callee() as server:
        lines = [ApplicationLine(9, attributes=SYNTH)]
        dialled = asyncio.create_task(engine.dial(server.uri, applications=lines))
        invite = await server.invited()
        body = invite.body.split("\r\n")
        assert body[5:10] == [
            "m=application 9 TCP/MRCPv2 1",
            "a=setup:active",
            "a=connection:new",
            "a=resource:speechsynth",
            "a=cmid:1",
        ]
        assert body[-2:] == ["a=mid:1", ""]
        head, audio = server.offer("mid:1").split("m=audio")
        server.answer(invite, body=f"{head}{CONTROL.format('1@speechsynth')}m=audio{audio}")
        call = await dialled
        await server.request("ACK")
        (line,) = call.application_lines
        assert (line.port, line.host, line.value("channel")) == (1544, "127.0.0.1", "1@speechsynth")
        # One more, by a re-INVITE; the other one stands.
        lines = [lines[0].standing(), ApplicationLine(9, attributes=RECOG)]
        changing = asyncio.create_task(call.offer_applications(lines))
        again = await server.invited()
        assert [text for text in again.body.split("\r\n") if text[:2] == "m="] == [
            "m=application 9 TCP/MRCPv2 1",
            f"m=audio {again.sdp('m=audio ').split()[0]} RTP/AVP 0",
            "m=application 9 TCP/MRCPv2 1",
        ]
        assert "a=connection:existing" in again.body
        first, second = CONTROL.format("1@speechsynth"), CONTROL.format("1@speechrecog")
        server.answer(again, body=f"{head}{first}m=audio{audio}{second}")
        await changing
        assert [line.value("channel") for line in call.application_lines] == [
            "1@speechsynth",
            "1@speechrecog",
        ]
        await server.request("ACK")
        # Another change is refused, and all stands.
        changing = asyncio.create_task(call.offer_applications([]))
        server.answer(await server.invited(), "488 Not Acceptable Here")
        with pytest.raises(HoldRefused, match="488"):
            await changing
        assert len(call.application_lines) == 2
        server.hang_up_on(invite)
        await call.wait_ended()


async def test_a_caller_gets_the_channels_that_the_handler_grants_and_later_ones():
    """One line at first, of a server of ours; two after a re-INVITE; a refresh changes nothing."""

    def grant(lines: tuple[ApplicationLine, ...]) -> list[ApplicationLine]:
        return [
            ApplicationLine(
                1544, attributes=(("setup", "passive"), ("channel", f"7@{line.value('resource')}"))
            )
            for line in lines
        ]

    async def handler(call: Call) -> None:
        call.on_applications = grant
        await call.answer(applications=grant(call.application_lines))
        await call.wait_ended()

    first = "m=application 9 TCP/MRCPv2 1\r\na=resource:speechsynth\r\na=cmid:1\r\n"
    second = "m=application 9 TCP/MRCPv2 1\r\na=resource:speechrecog\r\na=cmid:1\r\n"
    async with serving(handler) as engine, phoning(engine) as phone:
        answer = await phone.call(phone.offer("mid:1") + first)
        assert [text for text in answer.body.split("\r\n") if text[:5] in ("m=app", "a=cha")] == [
            "m=application 1544 TCP/MRCPv2 1",
            "a=channel:7@speechsynth",
        ]
        assert "a=mid:1" in answer.body.split("\r\n")
        answer = await phone.call(phone.offer("mid:1") + first + second)
        assert [text for text in answer.body.split("\r\n") if text[:5] == "a=cha"] == [
            "a=channel:7@speechsynth",
            "a=channel:7@speechrecog",
        ]
        await phone.hang_up()


async def test_lines_that_nobody_asked_for_are_refused_and_the_call_goes_on(make_prompt):
    prompt, payload = make_prompt("a.ulaw", 800)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt)

    async with serving(handler) as engine, phoning(engine) as phone:
        answer = await phone.call(phone.offer() + "m=application 9 TCP/MRCPv2 1\r\na=cmid:1\r\n")
        assert "m=application 0 TCP/MRCPv2 1" in answer.body
        assert b"".join(packet.payload for packet in await phone.packets(5)) == payload
        await phone.until_bye()


# Sound


@dataclass
class Pair:
    """A call that came in and one of ours beside it; the phones of both, and their mouths."""

    engine: Engine
    call: Call
    session: DialledCall
    phone: Phone
    server: Callee
    caller_says: Mouth
    server_says: Mouth


@contextlib.asynccontextmanager
async def paired(
    caller_offer: Callable[[Phone], str] = Phone.offer,
    server_offer: Callable[[Phone], str] = Phone.offer,
    caller: dict | None = None,
    server: dict | None = None,
    lines: Sequence[ApplicationLine] = (),
    beside: bool = True,
    **options: object,
) -> AsyncIterator[Pair]:
    arrived: asyncio.Future[Call] = asyncio.get_running_loop().create_future()

    async def handler(call: Call) -> None:
        await call.answer()
        arrived.set_result(call)
        await call.wait_ended()

    async with (
        serving(handler, **options) as engine,
        phoning(engine, **(caller or {})) as phone,
        Callee(**(server or {})) as callee,
    ):
        answer = await phone.call(caller_offer(phone))
        call = await arrived
        dialled = asyncio.create_task(
            engine.dial(callee.uri, beside=call if beside else None, applications=lines)
        )
        invite = await callee.invited()
        head, mark, audio = server_offer(callee).partition("m=audio")
        control = CONTROL.format("1@speechrecog") if lines else ""
        callee.answer(invite, body=head + control + mark + audio)
        session = await dialled
        await callee.request("ACK")
        yield Pair(
            engine, call, session, phone, callee, Mouth(phone, answer), Mouth(callee, invite)
        )


def payload_of(packets: list[Rtp]) -> bytes:
    """What the packets carry, one behind the other on one timeline."""
    assert {(b.sequence - a.sequence) % 65536 for a, b in itertools.pairwise(packets)} <= {1}
    pairs = [pair for pair in itertools.pairwise(packets) if not stood_still(*pair)]
    times = {(b.timestamp - a.timestamp) % 2**32 for a, b in pairs}
    assert times <= {len(packets[0].payload)}
    return b"".join(packet.payload for packet in packets)


async def taken_over(engine: Engine) -> None:
    """Return when the media threads do what they were told: in the turn after the one that they
    may be in the middle of."""
    for shard in engine.shards:
        for _ in range(2):
            before = shard.turns
            shard.poke()
            await eventually(lambda shard=shard, before=before: shard.turns != before)


def audible(payload: bytes) -> bytes:
    """Mu-law has two codes for zero; what is decoded and encoded has one."""
    return payload.replace(b"\x7f", b"\xff")


async def test_the_caller_is_heard_by_the_session_while_a_prompt_plays(make_prompt):
    """To the byte, with its digits; the session hears nothing else, and the caller its prompt."""
    prompt, payload = make_prompt("a.ulaw", 8_000)

    def events(phone: Phone) -> str:
        return phone.offer(*EVENTS)

    formats = {"formats": "0 101"}
    async with paired(events, events, caller=formats, server=formats) as pair:
        way = pair.call.send_sound_to(pair.session)
        await taken_over(pair.engine)
        playing = asyncio.create_task(pair.call.play(prompt))
        sound = sweep(0.6)
        await pair.caller_says.say(sound)
        heard = await pair.server.packets(30)
        assert payload_of(heard) == PCMU.encode(sound)
        assert heard[0].marker
        pair.caller_says.press("5")
        assert {packet.payload[0] for packet in await pair.server.packets(5)} == {5}
        assert (await pair.call.gather(1)).digits == "5"
        assert payload_of(await pair.phone.packets(50)) == payload
        await playing
        way.stop()
        await taken_over(pair.engine)
        await pair.caller_says.say(sound[:800])
        assert pair.server.waiting_packets() == []
        # Once more: the stream goes on where it was.
        way = pair.call.send_sound_to(pair.session)
        await taken_over(pair.engine)
        await pair.caller_says.say(sound[:800])
        again = await pair.server.packets(5)
        assert again[0].ssrc == heard[0].ssrc
        assert again[0].sequence == (heard[-1].sequence + 6) % 65536
        assert b"".join(packet.payload for packet in again) == PCMU.encode(sound[:800])
        assert way.active
        await pair.phone.hang_up()
        await pair.call.wait_ended()
        await eventually(lambda: not way.active)


async def test_another_codec_of_the_session_is_the_same_sound():
    g722 = next(codec for codec in CODECS if codec.label == "g722")
    async with paired(server={"formats": "9"}, codecs=["pcmu", "g722"]) as pair:
        pair.call.send_sound_to(pair.session)
        await taken_over(pair.engine)
        sound = sweep(1.0)
        await pair.caller_says.say(sound)
        heard = g722.decode(payload_of(await pair.server.packets(50)))
        assert correlation(sound, heard[::2]) > 0.95


async def test_the_way_ends_with_the_session_and_parts_before_a_bridge():
    async with paired() as pair:
        way = pair.call.send_sound_to(pair.session)
        with pytest.raises(RuntimeError, match="sends its sound to"):
            await pair.call.bridge(pair.session)
        with pytest.raises(RuntimeError, match="sends its sound to"):
            pair.call.send_sound_to(pair.session)
        await pair.session.hangup()
        await eventually(lambda: not way.active)
        way.stop()
        pair.call.check_unbridged()


async def test_what_a_session_says_is_played_to_the_byte_behind_a_prompt_and_before_one(
    make_prompt,
):
    """Of 30 ms packets come 20 ms ones, on one timeline with the prompts, and no silence."""
    before, first = make_prompt("a.ulaw", 1_000)
    behind, last = make_prompt("b.ulaw", 800)
    sound = sweep(0.6)
    async with paired() as pair:
        playing = asyncio.create_task(pair.call.play(before))
        await asyncio.sleep(0)
        speaking = asyncio.create_task(
            pair.call.play_from(pair.session, pair.server_says.say(sound, frame=240))
        )
        packets = await pair.phone.packets(5)
        following = asyncio.create_task(pair.call.play(behind))
        packets += await pair.phone.packets(37)
        assert (await playing).outcome is (await following).outcome is PlayOutcome.FINISHED
        assert (await speaking).played_ms == 600
        heard = b"".join(packet.payload for packet in packets)
        spoken = audible(PCMU.encode(sound))
        heard = first + audible(heard[len(first) :]) if heard.startswith(first) else b""
        assert spoken in heard  # whole, and without a gap
        assert heard[-800 - 160 :].find(audible(last)) >= 0
        # A gap may be where the synthesizer had not begun yet, and nowhere else.
        assert len(heard) - len(first + spoken + last) < 3 * 160


async def test_a_synthesizer_of_another_rate_is_the_same_sound():
    l16 = next(codec for codec in CODECS if codec.label == "l16-16k")
    sound = sweep(1.0)
    rows = np.repeat(sound, 2)

    def wide(phone: Phone) -> str:
        return phone.offer("rtpmap:97 L16/16000")

    async with paired(
        server_offer=wide, server={"formats": "97"}, codecs=["pcmu", "l16-16k"]
    ) as pair:

        async def say() -> None:
            payload = l16.encode(rows)
            for at in range(0, len(payload), 640):
                pair.server_says.packet(payload[at : at + 640], 97)
                pair.server_says._timestamp += 320
                await asyncio.sleep(0.02)

        speaking = asyncio.create_task(pair.call.play_from(pair.session, say()))
        packets = await pair.phone.packets(48)
        heard = PCMU.decode(b"".join(packet.payload for packet in packets))
        assert correlation(sound, heard) > 0.95
        assert (await speaking).outcome is PlayOutcome.FINISHED


async def test_the_caller_interrupts_and_what_was_on_its_way_is_not_heard_later():
    sound = sweep(4.0)
    said = asyncio.Event()

    def events(phone: Phone) -> str:
        return phone.offer(*EVENTS)

    async with paired(events, caller={"formats": "0 101"}) as pair:

        async def say() -> None:
            try:
                await pair.server_says.say(sound)
            finally:
                said.set()

        speaking = asyncio.create_task(pair.call.play_from(pair.session, say(), barge_in="dtmf"))
        await pair.phone.packets(10)
        pair.caller_says.press("1")
        assert (await speaking).outcome is PlayOutcome.BARGED_IN
        assert said.is_set()  # whoever spoke for us was told
        # What it had still sent was before the next order, and is no part of that.
        for _ in range(3):
            pair.server_says.packet(b"\x55" * 160, 0)
        other = sweep(0.2)[::-1].copy()
        pair.phone.waiting_packets()
        await pair.call.play_from(pair.session, pair.server_says.say(other))
        heard = b"".join(packet.payload for packet in pair.phone.waiting_packets())
        assert audible(heard).strip(b"\xff") == audible(PCMU.encode(other)).strip(b"\xff")


async def test_the_end_of_a_session_ends_its_sound_and_an_error_is_told():
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with paired() as pair:

        async def fail() -> None:
            raise LookupError("no voice")

        with pytest.raises(LookupError, match="no voice"):
            await pair.call.play_from(pair.session, fail())
        speaking = asyncio.create_task(pair.call.play_from(pair.session, never))
        await pair.server_says.say(sweep(0.2))
        await pair.phone.packets(8)
        await pair.session.hangup()
        assert (await speaking).outcome is PlayOutcome.FINISHED
        assert not never.done()  # a future is its owner's


async def test_a_server_of_speech_may_be_silent_for_longer_than_callers():
    line = ApplicationLine(9, attributes=RECOG)
    async with paired(lines=[line], media_timeout_ms=1_000) as pair:
        pair.call.send_sound_to(pair.session)
        await pair.caller_says.say(sweep(1.0))
        # Now the caller is silent, and is taken for lost; the server has been all the time.
        assert "no media" in (await pair.call.wait_ended()).text
        assert pair.session.ended is None


async def test_what_is_said_on_another_shard_is_played_all_the_same():
    sound = sweep(0.3)
    async with paired(shards=2, beside=False) as pair:
        assert pair.call.connected()[0].shard is not pair.session.connected()[0].shard
        with pytest.raises(ValueError, match="beside="):
            pair.call.send_sound_to(pair.session)
        await pair.call.play_from(pair.session, pair.server_says.say(sound))
        heard = b"".join(packet.payload for packet in pair.phone.waiting_packets())
        assert audible(heard) == audible(PCMU.encode(sound))


async def test_a_session_lands_on_the_shard_of_its_call():
    async with paired(shards=3) as pair:
        assert pair.call.connected()[0].shard is pair.session.connected()[0].shard
        pair.call.send_sound_to(pair.session)
        await taken_over(pair.engine)
        await pair.caller_says.say(sweep(0.1))
        assert len(await pair.server.packets(5)) == 5
