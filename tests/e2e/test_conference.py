"""Callers in a conference: who hears whom, by the tones that arrive at each phone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ringwheel import Call, Conference, Engine
from ringwheel.media.codec import G722, PCMU, Codec
from ringwheel.media.events import PlayOutcome
from ringwheel.media.keypad import Gathered

from .client import Phone
from .conftest import eventually, phoning, serving
from .test_hear import EVENTS, Mouth
from .test_opus import CODEC as OPUS_CODEC
from .test_opus import RTPMAP, OpusMouth
from .test_opus import heard as decoded_opus

TONES_HZ = (450, 800, 1400)
AMPLITUDE = 6_000
SPOKEN_S = 0.7
HEARD_PACKETS = 15
"""The last ones of those that came while all spoke: long after the first sound has come through."""

ROUNDS = 6
"""So often may a busy machine tear the sound or the pace of these callers."""


class Meeting:
    """Answers calls and has each of them join; a call that has left is hung up."""

    def __init__(self, **options: int) -> None:
        self.conference = Conference(**options)
        self.calls: list[Call] = []
        self.left: list[Call] = []

    async def __call__(self, call: Call) -> None:
        await call.answer()
        self.calls.append(call)
        await self.conference.join(call)
        self.left.append(call)


class Caller:
    """A phone in a conference that says a tone of its own."""

    def __init__(self, phone: Phone, mouth: Mouth, tone_hz: int, codec: Codec = PCMU) -> None:
        self.phone = phone
        self.mouth = mouth
        self._codec = codec
        self._number = codec.payload_type or 0
        rate_hz = codec.sample_rate_hz
        at = np.arange(int(rate_hz * SPOKEN_S)) / rate_hz
        self._tone = codec.encode((AMPLITUDE * np.sin(2 * np.pi * tone_hz * at)).astype(np.int16))

    async def speak(self) -> None:
        await self.mouth.say_encoded(self._tone, self._number)

    def heard(self) -> tuple[int, ...]:
        """The tones in what came last."""
        packets = self.phone.waiting_packets()
        steps = {(b.sequence - a.sequence) % 65536 for a, b in itertools.pairwise(packets)}
        assert steps == {1}
        assert {packet.payload_type for packet in packets} == {self._number}
        sound = b"".join(packet.payload for packet in packets[-HEARD_PACKETS:])
        return tones_in(self._codec.decode(sound), self._codec.sample_rate_hz)


def tones_in(sound: np.ndarray, rate_hz: int) -> tuple[int, ...]:
    """Those of TONES_HZ that are as loud as they were said. AssertionError: others are faint."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) / (len(sound) / 4)
    tones = []
    for tone_hz in TONES_HZ:
        middle = round(tone_hz * len(sound) / rate_hz)
        level = np.sqrt((spectrum[middle - 4 : middle + 5] ** 2).sum() / 1.5) / AMPLITUDE
        assert level < 0.05 or 0.85 < level < 1.15, (tone_hz, level)
        if level > 0.5:
            tones.append(tone_hz)
    return tuple(tones)


def loudest_tone(sound: np.ndarray, rate_hz: int) -> int:
    """Which of TONES_HZ there is most of, and much of."""
    at = np.arange(len(sound)) / rate_hz
    parts = [abs(np.mean(sound * np.exp(-2j * np.pi * hz * at))) for hz in TONES_HZ]
    assert max(parts) > AMPLITUDE / 8
    return TONES_HZ[int(np.argmax(parts))]


async def all_hear(callers: list[Caller], *expected: tuple[int, ...]) -> None:
    """All speak at once; in the end each hears the tones that are expected of it."""
    heard: list[object] = []
    for _ in range(ROUNDS):
        for caller in callers:
            caller.phone.waiting_packets()
        async with asyncio.TaskGroup() as speaking:
            for caller in callers:
                speaking.create_task(caller.speak())
        try:
            heard = [caller.heard() for caller in callers]
        except AssertionError as error:
            heard = [error]
        if heard == list(expected):
            return
    pytest.fail(f"heard {heard}, expected {expected}")


@contextlib.asynccontextmanager
async def three_callers(
    meeting: Callable[..., object], **options: object
) -> AsyncIterator[tuple[Engine, list[Caller]]]:
    """Three phones in ``meeting``, one after the other, each with a tone."""
    async with contextlib.AsyncExitStack() as stack:
        engine = await stack.enter_async_context(serving(meeting, **options))  # type: ignore[arg-type]
        callers = []
        for tone_hz in TONES_HZ:
            phone = await stack.enter_async_context(phoning(engine, formats="0 101"))
            mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
            callers.append(Caller(phone, mouth, tone_hz))
        yield engine, callers


async def test_each_hears_the_others_and_roles_change():
    meeting = Meeting()
    low, middle, high = TONES_HZ
    async with three_callers(meeting) as (engine, callers):
        await eventually(lambda: len(meeting.conference.members) == 3)
        customer, agent, supervisor = meeting.conference.members
        await all_hear(callers, (middle, high), (low, high), (low, middle))
        meeting.conference.set_role(supervisor, "listen")
        await all_hear(callers, (middle,), (low,), (low, middle))
        meeting.conference.set_role(supervisor, "whisper", whisper_to=agent)
        await all_hear(callers, (middle,), (low, high), (low, middle))
        meeting.conference.set_role(supervisor, "talk")
        await all_hear(callers, (middle, high), (low, high), (low, middle))
        meeting.conference.leave(customer)
        await callers[0].phone.until_bye()
        assert meeting.left == [customer]
        await all_hear(callers[1:], (high,), (middle,))
        await callers[1].phone.hang_up()
        await eventually(lambda: meeting.conference.members == (supervisor,))
        media = engine.snapshot().media
    assert media["packets_mixed"] > 100
    assert media["mix_blocks"] > 100


async def test_a_whisper_does_not_outlive_its_listener():
    meeting = Meeting()
    low, middle, _ = TONES_HZ
    async with three_callers(meeting) as (_, callers):
        await eventually(lambda: len(meeting.conference.members) == 3)
        customer, agent, supervisor = meeting.conference.members
        meeting.conference.set_role(supervisor, "whisper", whisper_to=agent)
        await all_hear(callers, (middle,), (low, TONES_HZ[2]), (low, middle))
        await callers[1].phone.hang_up()
        await eventually(lambda: meeting.conference.members == (customer, supervisor))
        await all_hear([callers[0], callers[2]], (), (low,))


async def test_other_codecs_are_mixed_too():
    meeting = Meeting(sample_rate_hz=16_000)
    low, middle, _ = TONES_HZ
    async with (
        serving(meeting, codecs=["pcmu", "g722"]) as engine,
        phoning(engine) as one,
        phoning(engine, formats="9") as two,
    ):
        callers = [
            Caller(one, Mouth(one, await one.call()), low),
            Caller(two, Mouth(two, await two.call()), middle, G722),
        ]
        await eventually(lambda: len(meeting.conference.members) == 2)
        await all_hear(callers, (middle,), (low,))


@pytest.mark.skipif(OPUS_CODEC is None, reason="built without libopus")
async def test_a_codec_of_whole_packets_is_mixed_too():
    meeting = Meeting(sample_rate_hz=16_000)
    at = np.arange(int(8000 * SPOKEN_S)) / 8000
    said = [(AMPLITUDE * np.sin(2 * np.pi * hz * at)).astype(np.int16) for hz in TONES_HZ[:2]]
    async with (
        serving(meeting, codecs=["pcmu", "opus"]) as engine,
        phoning(engine) as one,
        phoning(engine, formats="96") as two,
    ):
        mouths = (
            Mouth(one, await one.call()),
            OpusMouth(two, await two.call(two.offer(RTPMAP))),
        )
        await eventually(lambda: len(meeting.conference.members) == 2)
        for mouth, sound, phone in zip(mouths, said, (two, one), strict=True):
            phone.waiting_packets()
            await mouth.say(sound)
            packets = phone.waiting_packets()[-HEARD_PACKETS:]
            if phone is two:
                heard, rate_hz = decoded_opus(packets), 16_000
            else:
                heard, rate_hz = PCMU.decode(b"".join(p.payload for p in packets)), 8_000
            assert loudest_tone(heard, rate_hz) == TONES_HZ[phone is one]


async def test_digits_are_gathered_and_a_prompt_is_heard_by_one_alone(make_prompt):
    prompt, payload = make_prompt("menu.ulaw", 3_200)
    conference = Conference()
    gathered: list[Gathered] = []
    outcomes: list[PlayOutcome] = []

    async def handler(call: Call) -> None:
        await call.answer()
        first = not conference.members
        async with asyncio.TaskGroup() as tasks:
            joined = tasks.create_task(conference.join(call))
            if first:
                gathered.append(await call.gather(max=1, first_ms=20_000))
                outcomes.append((await call.play(prompt)).outcome)
                conference.leave(call)
            await joined

    async with three_callers(handler) as (_, callers):
        await eventually(lambda: len(conference.members) == 3)
        callers[0].mouth.press("7")
        await callers[0].phone.until_bye()
        sent = [packet.payload for packet in callers[0].phone.waiting_packets()]
        begin = sent.index(payload[:160])
        assert b"".join(sent[begin : begin + 20]) == payload
        assert {PCMU.decode(mix).any() for mix in sent[:begin]} == {False}
        for other in callers[1:]:
            packets = other.phone.waiting_packets()
            assert {packet.payload_type for packet in packets} == {0}
            assert not PCMU.decode(b"".join(packet.payload for packet in packets)).any()
    assert gathered[0].digits == "7"
    assert outcomes == [PlayOutcome.FINISHED]


async def test_a_recording_has_the_others_where_the_robot_would_be(tmp_path: Path):
    path = tmp_path / "meeting.wav"
    low, middle, _ = TONES_HZ
    conference = Conference()

    async def handler(call: Call) -> None:
        await call.answer()
        if not conference.members:
            call.record(path)
        await conference.join(call)

    async with serving(handler) as engine, phoning(engine) as one, phoning(engine) as two:
        callers = [
            Caller(one, Mouth(one, await one.call()), low),
            Caller(two, Mouth(two, await two.call()), middle),
        ]
        await eventually(lambda: len(conference.members) == 2)
        await all_hear(callers, (middle,), (low,))
        await one.hang_up()
        await eventually(lambda: len(conference.members) == 1)
    sound, rate_hz = soundfile.read(path, dtype="int16")
    last = sound[-int(rate_hz * SPOKEN_S) :]
    assert loudest_tone(last[:, 0], rate_hz) == low
    assert loudest_tone(last[:, 1], rate_hz) == middle


async def test_a_call_moves_to_another_conference():
    meeting, other = Meeting(), Conference()
    moved: list[asyncio.Task[None]] = []
    low, middle, high = TONES_HZ
    async with three_callers(meeting) as (_, callers):
        await eventually(lambda: len(meeting.conference.members) == 3)
        first = meeting.calls[0]
        moved.append(asyncio.ensure_future(other.join(first)))
        await callers[0].phone.until_bye()  # where it was, it has left
        await eventually(moved[0].done)
        await all_hear(callers[1:], (high,), (middle,))
        assert meeting.left == [first]


async def test_what_cannot_be_is_refused():
    meeting = Meeting(max_members=2)
    with pytest.raises(ValueError, match="11025"):
        Conference(sample_rate_hz=11_025)
    with pytest.raises(ValueError, match="2 to 64"):
        Conference(max_members=65)
    refused = asyncio.Event()

    async def third(call: Call) -> None:
        one, two = meeting.conference.members
        with pytest.raises(RuntimeError, match="not answered|before"):
            await Conference().join(call)
        await call.answer()
        with pytest.raises(RuntimeError, match="full: 2 members"):
            await meeting.conference.join(call)
        with pytest.raises(ValueError, match="already"):
            await meeting.conference.join(one)
        with pytest.raises(ValueError, match="'shout'"):
            meeting.conference.set_role(one, "shout")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="to whom"):
            meeting.conference.set_role(one, "whisper")
        with pytest.raises(ValueError, match="to whom"):
            meeting.conference.set_role(one, "talk", whisper_to=two)
        with pytest.raises(ValueError, match="itself"):
            meeting.conference.set_role(one, "whisper", whisper_to=one)
        with pytest.raises(ValueError, match="not in the conference"):
            meeting.conference.set_role(one, "whisper", whisper_to=call)
        with pytest.raises(ValueError, match="not in the conference"):
            meeting.conference.leave(call)
        refused.set()

    async def handler(call: Call) -> None:
        await (third if len(meeting.conference.members) == 2 else meeting)(call)

    async with (
        serving(handler) as engine,
        phoning(engine) as one,
        phoning(engine) as two,
        phoning(engine) as three,
    ):
        await one.call()
        await two.call()
        await eventually(lambda: len(meeting.conference.members) == 2)
        await three.call()
        await three.until_bye()
    assert refused.is_set()


async def test_calls_on_different_shards_cannot_meet():
    meeting = Meeting()
    refused: list[str] = []

    async def handler(call: Call) -> None:
        try:
            await meeting(call)
        except ValueError as error:
            refused.append(str(error))

    async with serving(handler, shards=2) as engine, phoning(engine) as one, phoning(engine) as two:
        await one.call()
        await eventually(lambda: len(meeting.conference.members) == 1)
        await two.call()
        await two.until_bye()
        assert len(meeting.conference.members) == 1
    assert len(refused) == 1
    assert "another shard" in refused[0]


async def test_cancelling_leaves():
    conference = Conference()
    joined: list[asyncio.Task[None]] = []

    async def handler(call: Call) -> None:
        await call.answer()
        joined.append(asyncio.ensure_future(conference.join(call)))
        await call.wait_ended()

    async with serving(handler) as engine, phoning(engine) as one:
        await one.call()
        await one.packets(3)
        joined[0].cancel()
        await eventually(lambda: not conference.members)
        await asyncio.sleep(0.1)
        one.waiting_packets()
        await asyncio.sleep(0.1)
        assert not one.waiting_packets()
        await one.hang_up()
