"""Calls in Opus: prompts, hearing, digits by a 48 kHz clock, bridges, whose order decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ringwheel import Call, Engine
from ringwheel.media import _core
from ringwheel.media._core import dial_tones
from ringwheel.media.call import Played
from ringwheel.media.codec import CODECS, OPUS, PCMU
from ringwheel.media.events import PlayOutcome
from ringwheel.media.keypad import Gathered, GatherEnd

from .client import Message, Phone, Rtp
from .conftest import eventually, phoning, serving
from .test_bridge import Meeting, correlation, sound_of, sweep
from .test_hear import EVENTS, Mouth, vowel

CODEC = next((codec for codec in CODECS if codec.label == OPUS), None)
pytestmark = [
    pytest.mark.one_loop,
    pytest.mark.skipif(CODEC is None, reason="built without libopus"),
]

RTPMAP = "rtpmap:96 opus/48000/2"
EVENTS_48K = ("rtpmap:98 telephone-event/48000", "fmtp:98 0-15")
TS_PER_MS = 48


def heard(packets: list[Rtp]) -> np.ndarray:
    """What the caller hears, at 16 kHz."""
    decoder = _core.CodecDecoder(CODEC.index)
    parts = []
    for packet in packets:
        room = np.zeros(60 * 16, np.int16)
        parts.append(room[: decoder.decode(packet.payload, room)])
    return np.concatenate(parts)


def skipped_by(engine: Engine) -> int:
    """Slots that a machine without time has left out, as the engine says."""
    return engine.snapshot().media["packets_skipped"]


def unbroken(packets: list[Rtp], packet_ms: int, skipped: int) -> np.ndarray:
    """The sound of packets that follow each other, with no gap but slots that were skipped."""
    steps = []
    for before, after in pairwise(packets):
        assert (after.sequence - before.sequence) % 2**16 == 1
        slots, rest = divmod((after.timestamp - before.timestamp) % 2**32, packet_ms * TS_PER_MS)
        assert rest == 0
        steps.append(slots)
    assert sum(steps) - len(steps) <= skipped
    assert [packet.marker for packet in packets] == [True] + [slots > 1 for slots in steps]
    sound = heard(packets)
    assert len(sound) == len(packets) * packet_ms * 16
    return sound


def alike(said: np.ndarray, got: np.ndarray) -> float:
    """Correlation of a sound at 8 kHz with what was heard in its place."""
    got = got[::2][: len(said)].astype(float)
    return float(np.corrcoef(said.astype(float), got)[0, 1])


class OpusMouth(Mouth):
    """Speaks Opus of 20 ms, as type 96, and presses keys by its clock, as type 98."""

    def __init__(self, phone: Phone, answer: Message) -> None:
        super().__init__(phone, answer)
        self._encoder = _core.CodecEncoder(CODEC.index)

    async def say(self, samples: np.ndarray) -> None:
        wide = np.repeat(np.ascontiguousarray(samples, np.int16), 2)
        for at in range(0, len(wide) - 319, 320):
            self.packet(self._encoder.encode(wide[at : at + 320], 1400), 96)
            self._timestamp += 960
            await asyncio.sleep(0.02)

    def press(self, digit: str, payload_type: int = 98, ts_per_ms: int = TS_PER_MS) -> None:
        super().press(digit, payload_type, ts_per_ms)


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[Path, np.ndarray]]:
    """Two sounds that end in the midst of a packet, at full level."""
    made = []
    for n, sound in enumerate((vowel(0.7313), vowel(0.4567)[::-1])):
        soundfile.write(tmp_path / f"{n}.wav", sound, 8000)
        made.append((tmp_path / f"{n}.wav", sound))
    return made


@pytest.mark.parametrize(
    ("attributes", "packet_ms"),
    [((), 20), (("ptime:20", "maxptime:10"), 10), (("ptime:30",), 20), (("ptime:60",), 60)],
)
async def test_a_list_is_heard_without_a_gap_in_no_packet_too_many(files, attributes, packet_ms):
    said = np.concatenate([sound for _, sound in files])
    played: list[Played] = []

    async def handler(call: Call) -> None:
        await call.answer()
        assert call.codec == OPUS
        played.append(await call.play(*(path for path, _ in files)))
        await call.hangup()

    async with (
        serving(handler, codecs=["opus", "pcmu"]) as engine,
        phoning(engine, formats="96 98 0") as phone,
    ):
        answer = await phone.call(phone.offer(RTPMAP, *EVENTS_48K, *attributes))
        await phone.until_bye()
        packets = phone.waiting_packets()
        skipped = skipped_by(engine)

    assert answer.sdp("m=audio ").split()[1:] == ["RTP/AVP", "96", "98"]
    assert answer.sdp("a=rtpmap:96 ") == "opus/48000/2"
    assert answer.sdp("a=rtpmap:98 ") == "telephone-event/48000"
    assert answer.sdp("a=ptime:") == str(packet_ms)
    assert {packet.payload_type for packet in packets} == {96}
    assert len(packets) == -(-len(said) // (8 * packet_ms))
    got = unbroken(packets, packet_ms, skipped)
    assert alike(said, got) > 0.95
    seam = len(files[0][1])
    assert alike(said[seam - 400 : seam + 400], got[2 * seam - 800 :]) > 0.9
    assert played == [Played(PlayOutcome.FINISHED, pytest.approx(len(said) / 8, abs=0.2))]


async def test_plays_that_queue_leave_no_slot_empty(files):
    async def handler(call: Call) -> None:
        await call.answer()
        await engine.load(*(path for path, _ in files))
        async with asyncio.TaskGroup() as tasks:
            for path, _ in files:
                tasks.create_task(call.play(path))
        await call.hangup()

    async with (
        serving(handler, codecs=["opus"]) as engine,
        phoning(engine, formats="96") as phone,
    ):
        await phone.call(phone.offer(RTPMAP))
        await phone.until_bye()
        packets = phone.waiting_packets()
        skipped = skipped_by(engine)
    got, (first, second) = unbroken(packets, 20, skipped), (sound for _, sound in files)
    begin = -(-len(first) // 160) * 160
    assert alike(first, got) > 0.95
    assert alike(second, got[2 * begin :]) > 0.95


async def test_a_loop_goes_round_until_it_is_stopped(files):
    stop = asyncio.Event()
    played: list[Played] = []
    (path, said), _ = files

    async def handler(call: Call) -> None:
        await call.answer()
        playing = asyncio.ensure_future(call.play(path, loop=True))
        await stop.wait()
        call.stop_playing()
        played.append(await playing)
        await call.hangup()

    async with (
        serving(handler, codecs=["opus"]) as engine,
        phoning(engine, formats="96") as phone,
    ):
        await phone.call(phone.offer(RTPMAP))
        packets = await phone.packets(80)
        stop.set()
        await phone.until_bye()
        packets += phone.waiting_packets()
        skipped = skipped_by(engine)
    got = unbroken(packets, 20, skipped)
    assert alike(np.tile(said, 2)[: 160 * 60], got) > 0.9
    assert played == [Played(PlayOutcome.STOPPED, 20.0 * len(packets))]


async def test_silence_is_sent_in_opus(files):
    stop = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(files[0][0])
        await stop.wait()
        await call.hangup()

    async with (
        serving(handler, codecs=["opus"], silence="send") as engine,
        phoning(engine, formats="96") as phone,
    ):
        await phone.call(phone.offer(RTPMAP))
        packets = await phone.packets(70)
        skipped = skipped_by(engine)
        stop.set()
        await phone.until_bye()
    got = unbroken(packets, 20, skipped)
    assert np.abs(got[-320 * 10 :]).max() < 100


async def test_the_packet_length_stays_for_the_whole_call(files):
    """A re-INVITE asks for other packets while a prompt plays that cannot be cut anew."""
    async with (
        serving(_player(files), codecs=["opus"]) as engine,
        phoning(engine, formats="96") as phone,
    ):
        await phone.call(phone.offer(RTPMAP))
        packets = await phone.packets(5)
        phone.invite(phone.offer(RTPMAP, "ptime:60"))
        assert (await phone.response("INVITE")).status == 200
        phone.send("ACK")
        await phone.until_bye()
        packets += phone.waiting_packets()
        skipped = skipped_by(engine)
    assert (
        alike(np.concatenate([sound for _, sound in files]), unbroken(packets, 20, skipped)) > 0.95
    )


def _player(files):
    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(*(path for path, _ in files))
        await call.hangup()

    return handler


async def test_the_record_tells_how_much_was_heard(files):
    records: list[dict] = []
    async with (
        serving(_player(files), codecs=["opus"], records=records.append) as engine,
        phoning(engine, formats="96") as phone,
    ):
        await phone.call(phone.offer(RTPMAP))
        await phone.until_bye()
        await eventually(lambda: bool(records))
    json.dumps(records)
    (record,) = records
    assert record["codec"] == "opus/48000/2"
    assert record["sent"]["packets"] == 60
    assert record["prompts"][0]["played_ms"] == pytest.approx(1188.0, abs=0.3)


# Whose order


@pytest.mark.parametrize(
    ("order", "formats", "chosen"),
    [
        ("caller", "0 96", "0"),
        ("own", "0 96", "96"),
        ("caller", "96 0", "96"),
        ("own", "8 0", "0"),
    ],
)
async def test_whose_order_of_codecs_decides(files, order, formats, chosen):
    async with (
        serving(_player(files), codecs=["opus", "pcmu", "pcma"], codec_order=order) as engine,
        phoning(engine, formats=formats) as phone,
    ):
        answer = await phone.call(phone.offer(RTPMAP))
        await phone.hang_up()
    assert answer.sdp("m=audio ").split()[2] == chosen


async def test_an_offer_of_ours_has_opus_with_events_of_its_clock():
    async with (
        serving(_player([]), codecs=["opus", "pcmu"]) as engine,
        phoning(engine, formats="96 101") as phone,
    ):
        phone.invite("")
        offer = await phone.response("INVITE")
        phone.send("ACK", phone.offer(RTPMAP, "rtpmap:101 telephone-event/48000"))
        await phone.until_bye()
    assert offer.sdp("m=audio ").split()[2:] == ["96", "0", "101", "97"]
    assert offer.sdp("a=rtpmap:96 ") == "opus/48000/2"
    assert offer.sdp("a=rtpmap:101 ") == "telephone-event/48000"
    assert offer.sdp("a=rtpmap:97 ") == "telephone-event/8000"


# Hearing


async def test_digits_are_heard_by_the_clock_of_opus():
    gathered: list[Gathered] = []

    async def handler(call: Call) -> None:
        await call.answer()
        gathered.append(await call.gather(max=8))

    async with (
        serving(handler, codecs=["opus"]) as engine,
        phoning(engine, formats="96 98") as phone,
    ):
        mouth = OpusMouth(phone, await phone.call(phone.offer(RTPMAP, *EVENTS_48K)))
        for digit in "12A#":
            mouth.press(digit)
        await phone.until_bye()
    assert gathered == [Gathered("12A", GatherEnd.TERMINATOR, "#")]


async def test_tones_are_heard_in_opus_and_sent_in_it():
    gathered: list[str] = []

    async def handler(call: Call) -> None:
        await call.answer()
        gathered.append((await call.gather(max=3)).digits)
        await call.send_digits("59", on_ms=100, off_ms=100)
        await call.hangup()

    async with (
        serving(handler, codecs=["opus"]) as engine,
        phoning(engine, formats="96") as phone,
    ):
        mouth = OpusMouth(phone, await phone.call(phone.offer(RTPMAP)))
        await mouth.say(dial_tones("7*#", 80, 80, 8000))
        await phone.until_bye()
        got = heard(phone.waiting_packets())
    assert gathered == ["7*"]
    tones = dial_tones("59", 100, 100, 16000)
    assert correlation(tones[::2], got[::2]) > 0.9


async def test_speech_in_opus_interrupts_a_prompt_and_an_echo_does_not(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.tile(vowel(1.0), 20), 8000)
    play = asyncio.Event()
    outcomes: list[PlayOutcome] = []

    async def handler(call: Call) -> None:
        await call.answer()
        await play.wait()
        outcomes.append((await call.play(tmp_path / "long.wav", barge_in="speech")).outcome)

    async with (
        serving(handler, codecs=["opus"]) as engine,
        phoning(engine, formats="96") as phone,
    ):
        mouth = OpusMouth(phone, await phone.call(phone.offer(RTPMAP)))
        quiet = vowel(0.6) // 10
        await mouth.say(quiet)
        await eventually(lambda: engine.snapshot().media["speech_starts"] == 1)
        await mouth.say(np.zeros(6400, np.int16))
        play.set()
        await phone.packets(30)
        await mouth.say(quiet)  # as loud as before, and now 20 dB below what is sent
        assert engine.snapshot().media["speech_starts"] == 1
        assert outcomes == []
        await mouth.say(vowel(1.0))
        await phone.until_bye()
        assert engine.snapshot().media["speech_starts"] == 2
    assert outcomes == [PlayOutcome.BARGED_IN]


async def test_live_sound_is_coded_as_it_comes():
    played: list[Played] = []

    async def source() -> AsyncIterator[np.ndarray]:
        for part in np.array_split(sweep(1.0), 20):
            yield part

    async def handler(call: Call) -> None:
        await call.answer()
        played.append(await call.speak(source(), sample_rate_hz=8000))
        await call.hangup()

    async with (
        serving(handler, codecs=["opus"]) as engine,
        phoning(engine, formats="96") as phone,
    ):
        await phone.call(phone.offer(RTPMAP))
        await phone.until_bye()
        packets = phone.waiting_packets()
        skipped = skipped_by(engine)
    assert correlation(sweep(1.0), unbroken(packets, 20, skipped)[::2]) > 0.95
    assert played == [Played(PlayOutcome.FINISHED, 20.0 * len(packets))]


# Bridging


async def test_pcmu_and_opus_are_the_same_sound_both_ways():
    meeting = Meeting()
    async with (
        serving(meeting, codecs=["opus", "pcmu"]) as engine,
        phoning(engine) as one,
        phoning(engine, formats="96") as two,
    ):
        first = Mouth(one, await one.call())
        second = OpusMouth(two, await two.call(two.offer(RTPMAP)))
        await meeting.connected.wait()
        sound = sweep(1.0)
        async with asyncio.TaskGroup() as talking:
            talking.create_task(first.say(sound))
            talking.create_task(second.say(vowel(1.0)))
        to_two = await two.packets(50)
        assert {packet.payload_type for packet in to_two} == {96}
        assert {len(heard([packet])) for packet in to_two} == {320}
        assert correlation(sound, heard(to_two)[::2]) > 0.95
        to_one = PCMU.decode(await sound_of(one, 50, 0))
        assert correlation(vowel(1.0), to_one) > 0.95
        assert engine.snapshot().media["packets_not_relayed"] == 0
        await two.hang_up()
        await one.until_bye()


async def test_packets_of_30_ms_pass_into_opus():
    meeting = Meeting()
    async with (
        serving(meeting, codecs=["opus", "pcmu"]) as engine,
        phoning(engine) as one,
        phoning(engine, formats="96") as two,
    ):
        first = Mouth(one, await one.call())
        await two.call(two.offer(RTPMAP))
        await meeting.connected.wait()
        sound = sweep(0.9)
        await first.say(sound, frame=240)
        packets = await two.packets(30)
        assert correlation(sound, heard(packets)[::2]) > 0.95
        steps = {(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(packets)}
        assert steps == {30 * TS_PER_MS}
        await one.hang_up()
        await two.until_bye()


async def test_digits_pass_from_clock_to_clock():
    meeting = Meeting()
    async with (
        serving(meeting, codecs=["opus", "pcmu"]) as engine,
        phoning(engine, formats="0 101") as one,
        phoning(engine, formats="96 98") as two,
    ):
        first = Mouth(one, await one.call(one.offer(*EVENTS)))
        second = OpusMouth(two, await two.call(two.offer(RTPMAP, *EVENTS_48K)))
        await meeting.connected.wait()
        first.press("5")
        await expect_digit(two, 98, 5, TS_PER_MS)
        second.press("8")
        await expect_digit(one, 101, 8, 8)
        await one.hang_up()
        await two.until_bye()


async def expect_digit(phone: Phone, payload_type: int, code: int, ts_per_ms: int) -> None:
    """A digit of 100 ms, as :meth:`Mouth.press` presses it."""
    events = await phone.packets(5)
    assert {event.payload_type for event in events} == {payload_type}
    assert {event.payload[0] for event in events} == {code}
    assert len({event.timestamp for event in events}) == 1
    durations = [int.from_bytes(event.payload[2:4], "big") for event in events]
    assert durations == [ms * ts_per_ms for ms in (20, 60, 100, 100, 100)]
