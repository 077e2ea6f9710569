"""Hold: the caller holds us, we hold the caller, and both at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import groupby

import numpy as np
import pytest
import soundfile
from ringwheel import Call, CallEnded, Engine, HoldRefused, PlayOutcome, PromptError
from ringwheel.media.codec import CODECS

from .client import Message, Phone, udp
from .conftest import eventually, phoning, serving
from .test_hear import EVENTS, FRAME, Mouth, vowel
from .test_play import Ticking, unbroken
from .test_rtcp import is_rtcp

pytestmark = pytest.mark.one_loop


class Robot:
    """Answers a call and plays a prompt while ``act`` does what there is to do, then hangs up."""

    def __init__(self, prompt, act: Callable[[Call], Awaitable[None]], **options) -> None:
        self._prompt, self._act, self._options = prompt, act, options
        self.outcomes: list[PlayOutcome] = []

    async def __call__(self, call: Call) -> None:
        await call.answer()
        playing = asyncio.ensure_future(call.play(self._prompt, **self._options))
        await self._act(call)
        self.outcomes.append((await playing).outcome)


@contextlib.asynccontextmanager
async def ticking(engine: Engine):
    """A second call, beside the one under test, that tells time."""
    async with phoning(engine) as phone:
        await phone.call()
        yield Ticking(phone)


def either(robot: Robot, endless):
    """A handler for the call under test, which comes first, and for the one that tells time."""
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        if len(calls) == 1:
            await robot(call)
        else:
            await call.answer()
            with contextlib.suppress(CallEnded):
                await call.play(endless, loop=True)

    return handler


def version(message: Message) -> int:
    return int(message.sdp("o=").split()[2])


def taken_apart(heard: bytes, prompt: bytes, music: bytes) -> tuple[int, int]:
    """How much of the prompt, then of the music, is heard before the rest of the prompt."""
    before = max(at for at in range(0, len(prompt) + 1, FRAME) if heard.startswith(prompt[:at]))
    played = len(heard) - len(prompt)
    assert heard[before + played :] == prompt[before:]
    endless = music * (played // len(music) + 1)
    assert heard[before : before + played] == endless[:played]
    return before, played


async def taken_over(phone: Phone) -> None:
    """Return when the shard has taken over what was answered; something plays to ``phone``."""
    phone.waiting_packets()
    await phone.packets(2)


async def say_until(heard: Callable[[], bool], mouth: Mouth, frame: bytes) -> None:
    """Send a packet every 20 ms until it is heard."""
    while not heard():
        mouth.packet(frame, 0)
        mouth._timestamp += FRAME
        await asyncio.sleep(0.02)


# The caller holds


@pytest.mark.parametrize(
    ("attributes", "host", "answered"),
    [
        (["sendonly"], "", "recvonly"),
        (["inactive"], "", "inactive"),
        ([], "0.0.0.0", "recvonly"),
        (["inactive"], "0.0.0.0", "inactive"),
    ],
)
async def test_what_plays_stands_still_while_the_caller_holds(
    make_prompt, attributes, host, answered
):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 1600)
    endless, _ = make_prompt("endless.ulaw", 8000)
    seen: list[bool] = []

    async def act(call: Call) -> None:
        seen.append(call.held)
        await call.wait_held()
        seen.append(call.held)
        await call.wait_resumed()
        seen.append(call.held)

    robot = Robot(prompt, act)
    async with serving(either(robot, endless)) as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(3)
        async with ticking(engine) as clock:
            held = await phone.call(phone.offer(*attributes, host=host))
            await clock.slots(3)
            packets += phone.waiting_packets()
            await clock.slots(5)
            assert phone.waiting_packets() == []
            resumed = await phone.call(phone.offer("sendrecv"))
            packets += (rest := await phone.packets(10 - len(packets)))
            await phone.until_bye()
    assert f"a={answered}\r\n" in held.body
    assert "a=sendrecv\r\n" in resumed.body
    assert seen == [False, True, False]
    assert robot.outcomes == [PlayOutcome.FINISHED]
    assert rest[0].marker
    assert b"".join(packet.payload for packet in packets) == prompt_bytes


async def test_a_caller_who_only_listens_is_played_to_and_not_heard(make_prompt):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 16_000)
    gathered: list[str] = []
    held: list[bool] = []

    async def act(call: Call) -> None:
        gathered.append((await call.gather(max=1)).digits)
        held.append(call.held)

    robot = Robot(prompt, act)
    async with serving(robot) as engine, phoning(engine, formats="0 101") as phone:
        mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
        packets = await phone.packets(1)
        answer = await phone.call(phone.offer(*EVENTS, "recvonly"))
        packets += phone.waiting_packets() + await phone.packets(2)
        mouth.press("1")
        await eventually(lambda: engine.snapshot().media["packets_received"] == 5)
        await phone.call(phone.offer(*EVENTS, "sendrecv"))
        packets += phone.waiting_packets() + await phone.packets(2)
        mouth.press("2")
        await phone.until_bye()
        packets += phone.waiting_packets()
    assert "a=sendonly\r\n" in answer.body
    assert gathered == ["2"]
    assert held == [False]
    assert unbroken(packets) == prompt_bytes


async def test_music_of_the_caller_is_heard_and_interrupts_nothing(make_prompt):
    """It comes from another address, and is no speech of the caller's, who is heard again after."""
    prompt, _ = make_prompt("prompt.ulaw", 80_000)
    listened: list[np.ndarray] = []
    speaking: list[bool] = []

    async def act(call: Call) -> None:
        await call.wait_held()
        async for block in call.listen():
            listened.append(block)
            speaking.append(call.speaking)
            if not call.held:
                break

    robot = Robot(prompt, act, barge_in="both")
    async with serving(robot) as engine, phoning(engine, formats="0 101") as phone:
        answer = await phone.call(phone.offer(*EVENTS))
        with udp("127.0.0.2") as jukebox:
            port = jukebox.getsockname()[1]
            body = phone.offer(*EVENTS, "sendonly", host="127.0.0.2", rtp_port=port)
            await phone.call(body)
            music = Mouth(phone, answer)
            music.send = lambda packet: jukebox.sendto(packet, music._target)  # type: ignore[method-assign]
            await music.say(vowel(1.0))
            music.press("1")
        await phone.call(phone.offer(*EVENTS, "sendrecv"))
        await taken_over(phone)
        mouth = Mouth(phone, answer)
        mouth._sequence, mouth._timestamp = music._sequence, music._timestamp + 8000
        mouth.press("2")
        await phone.until_bye()
    assert robot.outcomes == [PlayOutcome.BARGED_IN]
    heard = np.concatenate(listened).astype(float)
    assert np.sqrt(np.mean(heard**2)) > 2000
    assert not any(speaking)
    assert engine.snapshot().media["digits_heard"] == 1


async def test_a_held_call_is_not_taken_for_a_dead_one(make_prompt):
    """The media timeout waits for a caller who is there again."""
    prompt, _ = make_prompt("prompt.ulaw", 160)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_ended()

    async with serving(handler, media_timeout_ms=1_000) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.call(phone.offer("sendonly"))
        await asyncio.sleep(1.5)
        assert engine.snapshot().media["media_timeouts"] == 0
        await phone.call(phone.offer("sendrecv"))
        assert phone.bye is None
        bye = await phone.until_bye()
    assert 'text="no media"' in bye.get("Reason")


async def test_reports_go_on_while_the_caller_holds():
    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_ended()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call(phone.offer("rtcp-mux"))
        await phone.call(phone.offer("rtcp-mux", "inactive"))
        reports = [(await phone.datagram())[0] for _ in range(2)]
        await phone.hang_up()
    assert all(is_rtcp(report) for report in reports)


# We hold


async def test_the_caller_hears_music_and_then_the_prompt_from_its_place(make_prompt):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 4800)
    music, music_bytes = make_prompt("music.ulaw", 700)
    go, holding = asyncio.Event(), []

    async def act(call: Call) -> None:
        await go.wait()
        await call.hold(music)
        holding.append(call.holding)
        await asyncio.sleep(0.2)
        await call.unhold()
        holding.append(call.holding)

    robot = Robot(prompt, act)
    async with serving(robot) as engine, phoning(engine) as phone:
        answer = await phone.call()
        packets = await phone.packets(3)
        go.set()
        hold = await phone.accept_reinvite("recvonly")
        unhold = await phone.accept_reinvite("sendrecv")
        await phone.until_bye()
        packets += phone.waiting_packets()
    before, played = taken_apart(unbroken(packets), prompt_bytes, music_bytes)
    assert before >= 3 * FRAME
    assert played >= 5 * FRAME
    assert holding == [True, False]
    assert "a=sendonly\r\n" in hold.body
    assert "a=sendrecv\r\n" in unhold.body
    assert [version(hold), version(unhold)] == [version(answer) + 1, version(answer) + 2]
    assert hold.sdp("m=audio ") == answer.sdp("m=audio ")
    assert hold.get("Contact")
    assert robot.outcomes == [PlayOutcome.FINISHED]


@pytest.mark.parametrize(
    ("label", "payload_type", "rtpmap"),
    [("g722", 9, "G722/8000"), ("l16-16k", 97, "L16/16000"), ("opus", 96, "opus/48000/2")],
)
async def test_in_any_codec_the_prompt_goes_on_with_the_packet_that_was_next(
    tmp_path, label, payload_type, rtpmap
):
    if label not in [codec.label for codec in CODECS]:
        pytest.skip(f"built without {label}")
    files = [tmp_path / "prompt.wav", tmp_path / "music.wav"]
    for hz, file in zip((440, 700), files, strict=True):
        samples = 9000 * np.sin(2 * np.pi * hz * np.arange(8000) / 16000)
        soundfile.write(file, samples.astype(np.int16), 16000)
    prompt, music = files
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        undisturbed = len(calls) == 1
        await call.answer()
        playing = asyncio.ensure_future(call.play(prompt))
        if not undisturbed:
            await asyncio.sleep(0.2)
            await call.hold(music)
            await asyncio.sleep(0.2)
            await call.unhold()
        await playing

    options = {"formats": str(payload_type)}
    async with serving(handler, codecs=[label]) as engine:
        async with phoning(engine, **options) as phone:
            await phone.call(phone.offer(f"rtpmap:{payload_type} {rtpmap}"))
            await phone.until_bye()
            expected = [packet.payload for packet in phone.waiting_packets()]
        async with phoning(engine, **options) as phone:
            await phone.call(phone.offer(f"rtpmap:{payload_type} {rtpmap}"))
            for way in ("recvonly", "sendrecv"):
                asked = await phone.accept_reinvite(f"rtpmap:{payload_type} {rtpmap}", way)
                assert f"RTP/AVP {payload_type}\r\n" in asked.body
            await phone.until_bye()
            packets = phone.waiting_packets()
    heard = [packet.payload for packet in packets]
    before = next(at for at in range(len(heard)) if heard[at] != expected[at])
    assert before >= 4
    assert heard[before + len(heard) - len(expected) :] == expected[before:]
    assert len(heard) - len(expected) >= 8
    numbers = [packet.sequence for packet in packets]
    assert numbers == [(numbers[0] + at) % 2**16 for at in range(len(numbers))]


async def test_without_music_nothing_goes_either_way(make_prompt):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 3200)
    endless, _ = make_prompt("endless.ulaw", 8000)
    held, on = asyncio.Event(), asyncio.Event()

    async def act(call: Call) -> None:
        await call.hold()
        held.set()
        await on.wait()
        await call.unhold()

    robot = Robot(prompt, act)
    async with serving(either(robot, endless)) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        async with ticking(engine) as clock:
            hold = await phone.accept_reinvite("inactive")
            await held.wait()
            await clock.slots(3)
            packets = phone.waiting_packets()
            mouth.packet(b"\xff" * FRAME, 0)
            await clock.slots(5)
            assert phone.waiting_packets() == []
            on.set()
            await phone.accept_reinvite("sendrecv")
            await phone.until_bye()
            packets += phone.waiting_packets()
    assert "a=inactive\r\n" in hold.body
    assert b"".join(packet.payload for packet in packets) == prompt_bytes


@pytest.mark.parametrize("status", ["488 Not Acceptable Here", "500 Server Internal Error"])
async def test_a_refused_hold_changes_nothing(make_prompt, status):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 3200)
    music, _ = make_prompt("music.ulaw", 700)
    refused: list[tuple[str, int, bool]] = []

    async def act(call: Call) -> None:
        with pytest.raises(HoldRefused) as raised:
            await call.hold(music)
        refused.append((str(raised.value), raised.value.status, call.holding))

    robot = Robot(prompt, act)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        phone.answer(await phone.request("INVITE"), status)
        packets = await phone.packets(20)
        await phone.until_bye()
    assert refused == [(f"the peer refused: {status}", int(status[:3]), False)]
    assert unbroken(packets) == prompt_bytes


async def test_music_that_cannot_be_played_asks_for_nothing(make_prompt, tmp_path):
    prompt, _ = make_prompt("prompt.ulaw", 1600)

    async def act(call: Call) -> None:
        with pytest.raises(PromptError):
            await call.hold(tmp_path / "nowhere.wav")

    async with serving(Robot(prompt, act)) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.packets(10)
        message = await phone.message()
    assert message is phone.bye


async def test_a_caller_who_will_not_be_taken_up_again_goes_on_hearing_music(make_prompt):
    prompt, _ = make_prompt("prompt.ulaw", 1600)
    music, music_bytes = make_prompt("music.ulaw", 160)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.hold(music)
        with pytest.raises(HoldRefused):
            await call.unhold()
        assert call.holding
        await call.play(prompt)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.accept_reinvite("recvonly")
        phone.answer(await phone.request("INVITE"), "603 Decline")
        phone.waiting_packets()
        packets = await phone.packets(20)
        await phone.hang_up()
    assert {packet.payload for packet in packets} == {music_bytes}


async def test_glare_is_sorted_out_and_both_hold(make_prompt):
    """The caller's 491 and its own hold cross ours, which is offered anew behind it."""
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 1600)
    states: list[tuple[bool, bool]] = []

    async def act(call: Call) -> None:
        await call.hold()
        states.append((call.holding, call.held))
        await call.unhold()
        states.append((call.holding, call.held))
        await call.wait_resumed()

    robot = Robot(prompt, act)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        first = await phone.request("INVITE")
        phone.answer(first, "491 Request Pending")
        await phone.request("ACK")
        theirs = await phone.call(phone.offer("sendonly"))
        again = await phone.accept_reinvite("inactive")
        unhold = await phone.accept_reinvite("sendonly")
        resumed = await phone.call(phone.offer("sendrecv"))
        await phone.until_bye()
        packets = phone.waiting_packets()
    assert "a=recvonly\r\n" in theirs.body
    assert "a=inactive\r\n" in again.body
    assert "a=sendrecv\r\n" in unhold.body
    assert "a=sendrecv\r\n" in resumed.body
    versions = [version(message) for message in (first, theirs, again, unhold)]
    assert versions == list(range(versions[0], versions[0] + 4))
    assert states == [(True, True), (False, True)]
    assert b"".join(packet.payload for packet in packets) == prompt_bytes


async def test_an_offer_of_the_caller_finds_the_hold_in_our_answer(make_prompt):
    music, _ = make_prompt("music.ulaw", 160)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.hold(music)
        await call.wait_ended()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.accept_reinvite("recvonly")
        both = await phone.call(phone.offer("sendrecv"))
        only_they = await phone.call(phone.offer("sendonly"))
        phone.invite("")
        late = await phone.response("INVITE")
        phone.send("ACK", phone.offer("recvonly"))
        await phone.packets(3)
        await phone.hang_up()
    assert "a=sendonly\r\n" in both.body
    assert "a=inactive\r\n" in only_they.body
    assert "a=sendonly\r\n" in late.body


async def test_other_streams_keep_their_places_in_our_offer():
    """RFC 3264 section 8: one line for each stream that there was, refused ones included."""

    async def handler(call: Call) -> None:
        await call.answer()
        await call.hold()

    video = "m=video 4444 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    audio = ("rtpmap:111 L16/8000", "rtpmap:105 telephone-event/8000")
    async with (
        serving(handler, codecs=["l16-8k"]) as engine,
        phoning(engine, formats="111 105") as phone,
    ):
        head, line, section = phone.offer(*audio).partition("m=audio")
        await phone.call(head + video + line + section)
        hold = await phone.request("INVITE")
        await phone.hang_up()
    lines = [line for line in hold.body.split("\r\n") if line.startswith(("m=", "a=rtpmap"))]
    assert lines[0] == "m=video 0 RTP/AVP 96"
    assert lines[1].endswith("RTP/AVP 111 105")
    assert lines[2:] == ["a=rtpmap:111 L16/8000", "a=rtpmap:105 telephone-event/8000"]


async def test_who_stops_waiting_for_a_hold_gets_it_all_the_same(make_prompt):
    music, music_bytes = make_prompt("music.ulaw", 160)
    held: list[bool] = []

    async def handler(call: Call) -> None:
        await call.answer()
        await engine.load(music)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await call.hold(music)
        await call.unhold()  # waits for the answer to the first
        held.append(call.holding)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        asked = await phone.request("INVITE")
        await asyncio.sleep(0.1)
        phone.answer(asked, body=phone.offer("recvonly"))
        await phone.request("ACK")
        (packet,) = await phone.packets(1)
        await phone.accept_reinvite("sendrecv")
        await phone.until_bye()
    assert packet.payload == music_bytes
    assert held == [False]


@pytest.mark.parametrize("body", ["", "v=0\r\no=- 1 9 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"])
async def test_an_answer_that_makes_no_sense_ends_the_call(body):
    ended: list[str] = []

    async def handler(call: Call) -> None:
        await call.answer()
        with pytest.raises(CallEnded) as raised:
            await call.hold()
        ended.append(raised.value.cause.by.value)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        phone.answer(await phone.request("INVITE"), body=body)
        bye = await phone.until_bye()
    assert "cause=488" in bye.get("Reason")
    assert ended == ["local"]


async def test_hanging_up_ends_a_hold_that_is_asked_for():
    ended = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        with pytest.raises(CallEnded):
            await call.hold()
        ended.set()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.request("INVITE")
        await phone.hang_up()
        await ended.wait()


async def test_a_recording_has_the_music_and_not_the_caller(make_prompt, tmp_path):
    prompt, _ = make_prompt("prompt.ulaw", 24_000)
    music, _ = make_prompt("music.ulaw", 1600)
    held, records = asyncio.Event(), []

    async def act(call: Call) -> None:
        recording = call.record(tmp_path / "call.wav")
        await asyncio.sleep(0.3)
        await call.hold(music)
        held.set()
        await asyncio.sleep(0.5)
        await recording.stop()
        await call.unhold()
        call.stop_playing()

    robot = Robot(prompt, act)
    async with (
        serving(robot, records=records.append) as engine,
        phoning(engine) as phone,
    ):
        mouth = Mouth(phone, await phone.call())
        talking = asyncio.ensure_future(mouth.say(vowel(1.2)))  # a peer that does not care
        await phone.accept_reinvite("recvonly")
        await phone.accept_reinvite("sendrecv")
        await talking
        await phone.until_bye()
        await eventually(lambda: bool(records))
    stereo, _ = soundfile.read(tmp_path / "call.wav", dtype="int16")
    caller, ours = stereo[:, 0].astype(float), stereo[:, 1].astype(float)
    assert np.abs(caller[:1600]).max() > 2000
    assert not caller[-2000:].any()
    assert np.abs(ours[-2000:]).max() > 2000
    assert records[0]["received"]["lost"] == 0
    assert records[0]["received"]["expected"] >= 40  # what came until the call was over


async def test_in_a_meeting_one_is_held_and_comes_back(make_prompt):
    music, music_bytes = make_prompt("music.ulaw", 160)
    calls: list[Call] = []
    met, go, back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        calls.append(call)
        if len(calls) == 1:
            await call.wait_ended()
            return
        meeting = asyncio.ensure_future(call.bridge(calls[0]))
        met.set()
        await go.wait()
        await calls[0].hold(music)
        await back.wait()
        await calls[0].unhold()
        await meeting

    async with serving(handler) as engine, phoning(engine) as first, phoning(engine) as second:
        await first.call()
        mouth = Mouth(second, await second.call())
        await met.wait()
        count = engine.snapshot
        await say_until(lambda: count().media["packets_relayed"] > 2, mouth, b"\x11" * FRAME)
        packets = await first.packets(3)
        go.set()
        await first.accept_reinvite("recvonly")
        while packets[-1].payload != music_bytes:
            packets += await first.packets(1)
        await say_until(lambda: count().media["packets_not_relayed"] > 0, mouth, b"\x22" * FRAME)
        relayed = count().media["packets_relayed"]
        back.set()
        await first.accept_reinvite("sendrecv")
        await say_until(lambda: count().media["packets_relayed"] > relayed, mouth, b"\x33" * FRAME)
        while packets[-1].payload != b"\x33" * FRAME:
            packets += await first.packets(1)
        await second.hang_up()
        await first.hang_up()
    frames = [packet.payload for packet in packets]
    assert [frame for frame, _ in groupby(frames)] == [
        b"\x11" * FRAME,
        music_bytes,
        b"\x33" * FRAME,
    ]
    numbers = [packet.sequence for packet in packets]
    assert numbers == [(numbers[0] + at) % 2**16 for at in range(len(numbers))]


async def test_before_the_answer_nobody_can_be_held():
    refused = asyncio.Event()

    async def handler(call: Call) -> None:
        assert not call.held
        assert not call.holding
        with pytest.raises(RuntimeError):
            await call.hold()
        refused.set()

    async with serving(handler) as engine, phoning(engine) as phone:
        phone.invite()
        await refused.wait()
        assert (await phone.response("INVITE")).status == 480
        phone.send("ACK")
