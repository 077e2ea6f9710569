"""What the robot hears: digits as events and as tones, speech, silence; and what that ends."""

from __future__ import annotations

import asyncio
import itertools
import struct
import time

import numpy as np
import pytest
from ringwheel import Call, CallEnded, EndedBy
from ringwheel.media._core import dial_tones
from ringwheel.media.codec import PCMU
from ringwheel.media.events import PlayOutcome
from ringwheel.media.keypad import Gathered, GatherEnd

from .client import Message, Phone
from .conftest import eventually, phoning, serving

EVENTS = ("rtpmap:101 telephone-event/8000", "fmtp:101 0-15")
FRAME = 160


class Mouth:
    """Sends RTP to the engine, paced, from a phone whose call is up."""

    def __init__(self, phone: Phone, answer: Message) -> None:
        self._phone = phone
        self._target = ("127.0.0.1", int(answer.sdp("m=audio ").split()[0]))
        self._sequence = 1000
        self._timestamp = 5000
        self.sent = b""
        self.late_s = 0.0

    def packet(self, payload: bytes, payload_type: int, *, marker: bool = False) -> None:
        first = payload_type | (0x80 if marker else 0)
        header = struct.pack("!BBHII", 0x80, first, self._sequence, self._timestamp, 0xABCD)
        self.send(header + payload)
        self._sequence += 1

    def lose(self) -> None:
        """The packet that comes next is lost on its way."""
        self._sequence += 1
        self._timestamp += FRAME

    def send(self, packet: bytes) -> None:
        self.sent = packet
        self._phone.rtp.sendto(packet, self._target)

    async def say(self, samples: np.ndarray, frame: int = FRAME) -> None:
        await self.say_encoded(PCMU.encode(np.ascontiguousarray(samples, np.int16)), 0, frame)

    async def say_encoded(self, payload: bytes, payload_type: int, frame: int = FRAME) -> None:
        """``payload`` of a codec of 8,000 bytes a second."""
        due_s = time.monotonic()
        for at in range(0, len(payload) - frame + 1, frame):
            self.packet(payload[at : at + frame], payload_type)
            self._timestamp += frame
            due_s += frame / 8000
            await asyncio.sleep(due_s - time.monotonic())
            self.late_s = max(self.late_s, time.monotonic() - due_s)

    def press(self, digit: str, payload_type: int = 101, ts_per_ms: int = 8) -> None:
        """One digit of 100 ms: its start, an update, and the end three times (RFC 4733 2.5.1)."""
        code = "0123456789*#ABCD".index(digit)
        for ms, end in ((20, 0), (60, 0), (100, 0x80), (100, 0x80), (100, 0x80)):
            event = struct.pack("!BBH", code, end | 10, ms * ts_per_ms)
            self.packet(event, payload_type, marker=ms == 20)
        self._timestamp += 200 * ts_per_ms


def vowel(seconds: float) -> np.ndarray:
    """A voice of 120 Hz that goes up and down in loudness as syllables do."""
    at = np.arange(int(8000 * seconds)) / 8000
    voice = sum(np.sin(2 * np.pi * 120 * k * at) / k for k in range(1, 15))
    sound = 9000 * voice * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))
    return np.clip(sound, -32768, 32767).astype(np.int16)


async def test_digits_as_events_are_gathered_and_end_the_prompt(make_prompt):
    prompt, _ = make_prompt("menu.ulaw", 80_000)
    heard: list[object] = []

    async def handler(call: Call) -> None:
        await call.answer()
        heard.append((await call.play(prompt, barge_in="dtmf")).outcome)
        heard.append(await call.gather(max=4, terminators="#"))
        heard.append(await call.gather(max=2))

    async with serving(handler) as engine, phoning(engine, formats="0 101") as phone:
        mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
        await phone.packets(3)
        for digit in "12#A*":
            mouth.press(digit)
        await phone.until_bye()
        await eventually(lambda: engine.snapshot().media["digits_heard"] == 5)
    assert heard == [
        PlayOutcome.BARGED_IN,
        Gathered("12", GatherEnd.TERMINATOR, "#"),
        Gathered("A*", GatherEnd.MAX),
    ]


async def test_tones_are_heard_where_no_events_were_agreed_on():
    gathered: list[Gathered] = []

    async def handler(call: Call) -> None:
        await call.answer()
        gathered.append(await call.gather(max=3))

    async with serving(handler) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await mouth.say(dial_tones("7#", 80, 80, 8000))
        await phone.until_bye()
    assert gathered == [Gathered("7", GatherEnd.TERMINATOR, "#")]


async def test_an_entry_that_does_not_come_or_stops_ends_by_time():
    gathered: list[Gathered] = []

    async def handler(call: Call) -> None:
        await call.answer()
        gathered.append(await call.gather(max=3, first_ms=20))
        await call.gather(max=1)
        gathered.append(await call.gather(max=3, inter_ms=20))

    async with serving(handler) as engine, phoning(engine, formats="0 101") as phone:
        mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
        await eventually(lambda: bool(gathered))
        mouth.press("1")
        mouth.press("2")
        await phone.until_bye()
    assert gathered == [
        Gathered("", GatherEnd.FIRST_TIMEOUT),
        Gathered("2", GatherEnd.INTER_TIMEOUT),
    ]


async def test_hanging_up_ends_an_entry():
    ended: list[CallEnded] = []
    answered = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        answered.set()
        try:
            await call.gather(max=3)
        except CallEnded as error:
            ended.append(error)
            raise

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await answered.wait()
        await phone.hang_up()
        await eventually(lambda: bool(ended))
    assert ended[0].cause.by is EndedBy.REMOTE


@pytest.mark.parametrize(
    ("barge_in", "length_bytes", "outcome"),
    [("speech", 80_000, PlayOutcome.BARGED_IN), ("dtmf", 16_000, PlayOutcome.FINISHED)],
)
async def test_speech_ends_a_prompt_that_it_may_end(make_prompt, barge_in, length_bytes, outcome):
    prompt, _ = make_prompt("menu.ulaw", length_bytes)
    outcomes: list[PlayOutcome] = []

    async def handler(call: Call) -> None:
        await call.answer()
        outcomes.append((await call.play(prompt, barge_in=barge_in)).outcome)

    async with serving(handler) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await phone.packets(1)  # who speaks before it begins does not interrupt it
        await mouth.say(vowel(0.5))
        await phone.until_bye()
        assert engine.snapshot().media["speech_starts"] == 1
    assert outcomes == [outcome]


async def test_without_voice_nobody_speaks(make_prompt):
    prompt, _ = make_prompt("menu.ulaw", 6_400)
    outcomes: list[PlayOutcome] = []

    async def handler(call: Call) -> None:
        await call.answer()
        outcomes.append((await call.play(prompt, barge_in="both")).outcome)

    async with serving(handler, voice="off") as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await mouth.say(vowel(0.5))
        await phone.until_bye()
    assert outcomes == [PlayOutcome.FINISHED]


async def test_digits_are_sent_as_events_while_the_prompt_stands_still(make_prompt):
    prompt, payload = make_prompt("menu.ulaw", 3_200)

    async def handler(call: Call) -> None:
        await call.answer()
        playing = asyncio.create_task(call.play(prompt))
        await asyncio.sleep(0)
        await call.send_digits("5#", on_ms=60, off_ms=60)
        await playing

    async with serving(handler) as engine, phoning(engine, formats="0 101") as phone:
        await phone.call(phone.offer(*EVENTS))
        await phone.until_bye()
        packets = phone.waiting_packets()
    events = [packet for packet in packets if packet.payload_type == 101]
    sound = b"".join(packet.payload for packet in packets if packet.payload_type == 0)
    assert [packet.payload[0] for packet in events if packet.marker] == [5, 11]
    assert sum(packet.payload[1] >> 7 for packet in events) == 6
    assert sound == payload
    sequences = [packet.sequence for packet in packets]
    assert [(b - a) % 65536 for a, b in itertools.pairwise(sequences)] == [1] * (len(packets) - 1)


async def test_digits_are_sent_as_tones_where_no_events_were_agreed_on():
    async def handler(call: Call) -> None:
        await call.answer()
        await call.send_digits("42", on_ms=80, off_ms=80)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        sound = b"".join(packet.payload for packet in phone.waiting_packets())
    assert sound == PCMU.encode(dial_tones("42", 80, 80, 8000))


async def test_a_silent_caller_is_let_go():
    causes: list[CallEnded] = []

    async def handler(call: Call) -> None:
        await call.answer()
        try:
            await call.gather(first_ms=60_000)
        except CallEnded as ended:
            causes.append(ended)
            raise

    async with serving(handler, media_timeout_ms=1000) as engine, phoning(engine) as phone:
        await phone.call()
        bye = await phone.until_bye()
        assert "no media" in bye.get("Reason")
        assert engine.snapshot().media["media_timeouts"] == 1
    assert causes[0].cause.by is EndedBy.LOCAL


@pytest.mark.parametrize(
    "wrong",
    [
        {"max": 0},
        {"max": 65},
        {"terminators": "x"},
        {"first_ms": -1},
    ],
)
async def test_entries_that_make_no_sense_are_refused(wrong):
    refused: list[ValueError] = []

    async def handler(call: Call) -> None:
        await call.answer()
        with pytest.raises(ValueError, match=r".") as error:
            await call.gather(**wrong)
        refused.append(error.value)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
    assert refused


async def test_digits_by_info_are_gathered():
    gathered: list[Gathered] = []

    async def handler(call: Call) -> None:
        await call.answer()
        gathered.append(await call.gather(max=4))

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        relay = "Content-Type: application/dtmf-relay"
        for digit in "42#":
            phone.send("INFO", "", relay, content=f"Signal={digit}")
            assert (await phone.response("INFO")).status == 200
        await phone.until_bye()
    assert gathered == [Gathered("42", GatherEnd.TERMINATOR, "#")]


async def test_no_such_barge_in(make_prompt):
    prompt, _ = make_prompt("menu.ulaw", 160)
    refused: list[str] = []

    async def handler(call: Call) -> None:
        await call.answer()
        with pytest.raises(ValueError, match="use one of none, dtmf, speech, both") as error:
            await call.play(prompt, barge_in="shout")  # type: ignore[arg-type]
        refused.append(str(error.value))

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
    assert len(refused) == 1
