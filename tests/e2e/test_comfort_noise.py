"""Comfort noise (RFC 3389), from a caller and to one."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soundfile
from ringwheel import Call, Engine

from .client import Phone, Rtp
from .conftest import phoning, serving
from .test_hear import FRAME, Mouth, vowel
from .test_play import Ticking

pytestmark = pytest.mark.one_loop

COMFORT_NOISE = 13
PAUSE_SLOTS = 25


async def talk_with_pauses(phone: Phone, mouth: Mouth) -> None:
    """Says something, and sends a packet of noise of -40 dBov for each pause, also the last."""
    for _ in range(2):
        await mouth.say(vowel(0.2))
        mouth.packet(bytes([40]), COMFORT_NOISE)
        await asyncio.sleep(PAUSE_SLOTS * 0.02)
        mouth._timestamp += PAUSE_SLOTS * FRAME
    await phone.hang_up()


async def test_pauses_of_a_caller_who_sends_it_sound_like_that_and_are_no_loss(tmp_path):
    records = []

    async def handler(call: Call) -> None:
        await call.answer()
        recording = call.record(tmp_path / "call.wav")
        heard = [block async for block in call.listen()]
        listened.append(np.concatenate(heard))
        recorded.append(await recording.wait())

    listened, recorded = [], []
    async with serving(handler, records=records.append) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await asyncio.sleep(0.1)
        await talk_with_pauses(phone, mouth)
    caller = soundfile.read(tmp_path / "call.wav", dtype="int16")[0][:, 0]
    for sound in (caller, listened[0]):
        loud = np.nonzero(np.abs(sound) > 4000)[0]
        gap = loud[np.argmax(np.diff(loud))]
        pause = sound[gap + 400 : gap + 3600].astype(float)
        assert -42 < 10 * np.log10(np.mean(pause**2) / 32768**2) < -38
    assert recorded[0].concealed_ms == 0
    assert records[0]["received"]["lost"] == 0
    assert records[0]["received"]["rejected"] == 0


async def test_a_pause_ends_speech():
    """A packet of noise is silence, however soon it comes."""
    said: list[bool] = []
    spoke, paused = asyncio.Event(), asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        await spoke.wait()
        said.append(call.speaking)
        await paused.wait()
        said.append(call.speaking)

    async with serving(handler) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await mouth.say(np.zeros(4000))
        await mouth.say(vowel(0.5))
        spoke.set()
        for _ in range(30):
            mouth.packet(bytes([40]), COMFORT_NOISE)
            mouth._timestamp += FRAME
            await asyncio.sleep(0.02)
        paused.set()
        await phone.until_bye()
    assert said == [True, False]


async def heard_around_a_prompt(prompt, endless, formats: str) -> tuple[str, list[Rtp]]:
    """What is on the wire before, in and after a prompt of five packets; and our answer's line."""
    calls: list[Call] = []
    go, on = asyncio.Event(), asyncio.Event()

    async def handler(call: Call) -> None:
        calls.append(call)
        first = len(calls) == 1
        await call.answer()
        if first:
            await call.play(endless, loop=True)
        await go.wait()
        await call.play(prompt)
        await on.wait()

    async with (
        serving(handler, silence="comfort-noise") as engine,
        phoning(engine) as clock_phone,
        phoning(engine, formats=formats) as phone,
    ):
        clock = Ticking(clock_phone)
        await clock_phone.call()
        answer = await phone.call()
        await clock.slots(10)
        go.set()
        await clock.slots(85)
        packets = phone.waiting_packets()
        on.set()
        await phone.until_bye()
    return answer.body, packets


async def test_it_is_sent_at_the_start_of_a_pause_and_rarely_within(make_prompt):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 5 * FRAME)
    endless, _ = make_prompt("endless.ulaw", 8000)
    answer, packets = await heard_around_a_prompt(prompt, endless, "0 13")
    assert " RTP/AVP 0 13\r\n" in answer
    assert "a=rtpmap:13 CN/8000\r\n" in answer
    assert [packet.payload_type for packet in packets] == [13, *[0] * 5, 13, 13]
    assert [packet.marker for packet in packets] == [False, True, *[False] * 6]
    assert b"".join(packet.payload for packet in packets[1:6]) == prompt_bytes
    assert {packets[at].payload for at in (0, 6, 7)} == {bytes([71])}
    numbers = [packet.sequence for packet in packets]
    assert numbers == [(numbers[0] + at) % 2**16 for at in range(8)]
    assert len({packet.ssrc for packet in packets}) == 1
    times = [(packet.timestamp - packets[0].timestamp) % 2**32 // FRAME for packet in packets]
    assert times[6] == times[5] + 1
    assert times[7] == times[6] + 50


async def test_who_has_not_asked_for_it_gets_none(make_prompt):
    prompt, _ = make_prompt("prompt.ulaw", 5 * FRAME)
    endless, _ = make_prompt("endless.ulaw", 8000)
    answer, packets = await heard_around_a_prompt(prompt, endless, "0")
    assert " RTP/AVP 0\r\n" in answer
    assert [packet.payload_type for packet in packets] == [0] * 5


async def test_it_stands_in_an_offer_of_ours():
    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_ended()

    async with serving(handler, silence="comfort-noise") as engine, phoning(engine) as phone:
        phone.invite("")
        offer = await phone.response("INVITE")
        phone.formats = "0 13"
        phone.send("ACK", phone.offer())
        (packet,) = await phone.packets(1)
        await phone.hang_up()
    assert " RTP/AVP 0 8 13 101\r\n" in offer.body
    assert packet.payload_type == 13


def test_a_silence_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="silence: 'hiss'; use one of stop, send, comfort-noise"):
        Engine(silence="hiss")  # type: ignore[arg-type]
