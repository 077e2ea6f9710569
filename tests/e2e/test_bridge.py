"""Two callers who talk with each other through the engine."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest
from ringwheel import Call
from ringwheel.media.codec import CODECS, PCMU
from ringwheel.media.events import PlayOutcome

from .client import Phone
from .conftest import eventually, phoning, serving
from .test_hear import EVENTS, Mouth

pytestmark = pytest.mark.one_loop


class Meeting:
    """Answers two callers and connects them, until ``part`` is set or one of them ends."""

    def __init__(self) -> None:
        self.part = asyncio.Event()
        self.connected = asyncio.Event()
        self.gathered = ""
        self._first: Call | None = None
        self._over = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        await call.answer()
        if self._first is None:
            self._first = call
            await self._over.wait()
            return
        bridging = asyncio.ensure_future(call.bridge(self._first))
        await asyncio.sleep(0)
        self.connected.set()
        parting = asyncio.ensure_future(self.part.wait())
        await asyncio.wait([bridging, parting], return_when=asyncio.FIRST_COMPLETED)
        bridging.cancel()
        parting.cancel()
        if self.part.is_set():
            self.gathered = (await call.gather(max=1, first_ms=100)).digits
        self._over.set()


def sweep(seconds: float) -> np.ndarray:
    """A tone that rises from 300 to 1,300 Hz."""
    at = np.arange(int(8000 * seconds)) / 8000
    return (8000 * np.sin(2 * np.pi * (300 + 500 * at / seconds) * at)).astype(np.int16)


def correlation(sent: np.ndarray, heard: np.ndarray) -> float:
    """The best over delays of up to 40 ms."""
    sent = sent.astype(float)
    best = 0.0
    for delay in range(320):
        shifted = heard[delay : delay + len(sent)].astype(float)
        common = sent[400 : len(shifted) - 400]
        other = shifted[400 : 400 + len(common)]
        best = max(best, float(common @ other / np.sqrt((common @ common) * (other @ other))))
    return best


async def sound_of(phone: Phone, count: int, payload_type: int) -> bytes:
    packets = await phone.packets(count)
    steps = {(b.sequence - a.sequence) % 65536 for a, b in itertools.pairwise(packets)}
    assert steps == {1}
    assert len({packet.ssrc for packet in packets}) == 1
    return b"".join(packet.payload for packet in packets if packet.payload_type == payload_type)


async def test_both_hear_each_other_to_the_byte_and_digits_pass():
    meeting = Meeting()
    async with (
        serving(meeting) as engine,
        phoning(engine, formats="0 101") as one,
        phoning(engine, formats="0 96") as two,
    ):
        first = Mouth(one, await one.call(one.offer(*EVENTS)))
        second = Mouth(two, await two.call(two.offer("rtpmap:96 telephone-event/8000")))
        await meeting.connected.wait()
        sound = sweep(0.5)
        async with asyncio.TaskGroup() as talking:
            talking.create_task(first.say(sound))
            talking.create_task(second.say(sound[::-1].copy()))
        assert await sound_of(two, 25, 0) == PCMU.encode(sound)
        assert await sound_of(one, 25, 0) == PCMU.encode(sound[::-1].copy())
        second.press("7", 96)
        events = await one.packets(5)
        assert {(event.payload_type, event.payload[0]) for event in events} == {(101, 7)}
        media = engine.snapshot().media
        assert (media["packets_relayed"], media["packets_not_relayed"]) == (55, 0)
        meeting.part.set()
        await asyncio.gather(one.until_bye(), two.until_bye())
        assert meeting.gathered == "7"


@pytest.mark.parametrize("label", ["g722", "pcma", "l16-16k"])
async def test_another_codec_is_the_same_sound(label):
    codec = next(codec for codec in CODECS if codec.label == label)
    number = 97 if codec.payload_type is None else codec.payload_type
    meeting = Meeting()
    codecs = ["pcmu", label]
    async with (
        serving(meeting, codecs=codecs) as engine,
        phoning(engine) as one,
        phoning(engine, formats=str(number)) as two,
    ):
        first = Mouth(one, await one.call())
        await two.call(two.offer(f"rtpmap:{number} {codec.rtpmap}"))
        await meeting.connected.wait()
        sound = sweep(1.0)
        await first.say(sound)
        heard = codec.decode(await sound_of(two, 50, number))
        step = codec.sample_rate_hz // 8000
        assert correlation(sound, heard[::step]) > 0.95
        await two.hang_up()
        await one.until_bye()


async def test_who_hangs_up_ends_the_meeting():
    meeting = Meeting()
    async with serving(meeting) as engine, phoning(engine) as one, phoning(engine) as two:
        await one.call()
        await two.call()
        await meeting.connected.wait()
        await one.hang_up()
        await two.until_bye()
        await eventually(lambda: engine.snapshot().calls_up == 0)


async def test_what_plays_stands_still_while_others_talk(make_prompt):
    prompt, payload = make_prompt("a.ulaw", 1_600)
    outcomes: list[PlayOutcome] = []
    first: list[Call] = []
    over = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        if not first:
            first.append(call)
            await over.wait()
            return
        bridging = asyncio.ensure_future(call.bridge(first[0]))
        await asyncio.sleep(0.1)
        playing = asyncio.ensure_future(call.play(prompt))
        await asyncio.sleep(0.3)
        assert not playing.done()
        bridging.cancel()
        outcomes.append((await playing).outcome)
        over.set()

    async with serving(handler) as engine, phoning(engine) as one, phoning(engine) as two:
        await one.call()
        await two.call()
        await asyncio.gather(one.until_bye(), two.until_bye())
        assert b"".join(packet.payload for packet in two.waiting_packets()) == payload
    assert outcomes == [PlayOutcome.FINISHED]


async def test_a_second_meeting_is_refused_and_leaves_the_first_alone():
    calls: list[Call] = []
    over = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        calls.append(call)
        await over.wait()

    async with (
        serving(handler) as engine,
        phoning(engine) as one,
        phoning(engine) as two,
        phoning(engine) as three,
    ):
        mouth = Mouth(one, await one.call())
        await two.call()
        await three.call()
        await eventually(lambda: len(calls) == 3)
        first, second, third = calls
        bridging = asyncio.ensure_future(first.bridge(second))
        await asyncio.sleep(0)
        for refused in (third.bridge(first), second.bridge(third), second.bridge(first)):
            with pytest.raises(RuntimeError, match=r"call \S+ is connected with call \S+ already"):
                await refused
        await mouth.say(sweep(0.2))
        assert await sound_of(two, 10, 0) == PCMU.encode(sweep(0.2))
        bridging.cancel()
        await asyncio.wait([bridging])
        again = asyncio.ensure_future(third.bridge(first))
        await asyncio.sleep(0)
        assert not again.done()
        over.set()
        await asyncio.gather(*(phone.until_bye() for phone in (one, two, three)))
        await again


async def test_calls_on_different_shards_cannot_be_connected():
    refused: list[str] = []
    first: list[Call] = []
    over = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        if not first:
            first.append(call)
            await over.wait()
            return
        with pytest.raises(ValueError, match="different shards") as error:
            await call.bridge(first[0])
        refused.append(str(error.value))
        over.set()

    async with serving(handler, shards=2) as engine, phoning(engine) as one, phoning(engine) as two:
        await one.call()
        await two.call()
        await asyncio.gather(one.until_bye(), two.until_bye())
    assert len(refused) == 1
