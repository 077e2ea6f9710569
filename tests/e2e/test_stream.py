"""Agents that hear a caller and speak to him, over WebSocket and AudioSocket."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import socket
import ssl
import uuid
from pathlib import Path

import numpy as np
import pytest
import trustme
from ringwheel import Call, Engine
from ringwheel.media.codec import PCMU
from ringwheel.robot.speech.stream import (
    Streamed,
    StreamEnd,
    StreamFailed,
    StreamTotals,
    playout,
    stream,
    uplink,
)
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from .agent import AudioTalk, Talk, agent, audio_server
from .client import Phone, Rtp
from .conftest import eventually, phoning, serving
from .test_bridge import correlation, sweep
from .test_hear import EVENTS, Mouth, vowel
from .test_listen import is_heard

pytestmark = pytest.mark.one_loop

EXAMPLE = Path(__file__).parents[2] / "examples" / "agent.py"


class Connected:
    """Answers a call, streams it to ``url``, then says so; ``ended`` says what came of it."""

    def __init__(self, url: str, **options: object) -> None:
        self._url = url
        self._options = options
        self.call: Call | None = None
        self.ended: asyncio.Future[Streamed] = asyncio.get_running_loop().create_future()

    async def __call__(self, call: Call) -> None:
        self.call = call
        await call.answer()
        try:
            self.ended.set_result(await stream(call, self._url, **self._options))
        except StreamFailed as error:
            self.ended.set_exception(error)
        await call.hangup()


def payload_of(packets: list[Rtp]) -> bytes:
    assert {(b.sequence - a.sequence) % 65536 for a, b in itertools.pairwise(packets)} <= {1}
    return b"".join(packet.payload for packet in packets)


def tone(seconds: float, hz: float) -> bytes:
    at = np.arange(int(8000 * seconds)) / 8000
    return PCMU.encode((8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16))


async def test_a_conversation():
    """The agent hears the caller's words and keys, answers, and is told when that was heard."""
    question, words, answer = tone(1.0, 400), sweep(1.0), tone(0.5, 900)

    async def program(talk: Talk) -> None:
        await talk.say(question)
        await talk.mark("asked")
        await talk.until(lambda: "asked" in talk.marks and talk.digits == "5#")
        await talk.until(lambda: PCMU.decode(bytes(talk.heard[-1600:])).any())
        await talk.until(lambda: not PCMU.decode(bytes(talk.heard[-1600:])).any())
        await talk.say(answer, block=4_000)
        await talk.mark("answered")
        await talk.until(lambda: "answered" in talk.marks)

    async with agent(program) as made:
        totals = StreamTotals()
        robot = Connected(made.url, parameters={"who": "Ada"}, totals=totals)
        async with serving(robot) as engine, phoning(engine, formats="0 101") as phone:
            mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
            assert payload_of(await phone.packets(50)) == question
            mouth.press("5")
            mouth.press("#")
            await mouth.say(words)
            assert payload_of(await phone.packets(25)) == answer
            await phone.until_bye()
        streamed = await robot.ended
    (talk,) = made.talks
    assert talk.start["customParameters"] == {"who": "Ada"}
    assert robot.call is not None and talk.start["callSid"] == robot.call.id
    assert talk.numbers == list(range(1, len(talk.numbers) + 1))
    assert talk.chunks == list(range(1, len(talk.chunks) + 1))
    assert talk.timestamps == [20 * (chunk - 1) for chunk in talk.chunks]
    assert talk.marks == ["asked", "answered"]
    is_heard(mouth, PCMU.decode(bytes(talk.heard)), words)
    assert streamed.ended_by is StreamEnd.PEER
    assert (streamed.figures.spoken_ms, streamed.figures.marks) == (1_500, 2)
    assert (totals.up, totals.ends, totals.sound_ms["spoken"]) == (0, {"peer": 1}, 1_500)


async def test_after_a_clear_nothing_old_is_heard():
    """The agent sends ten seconds at once; the caller speaks into them. When the mark is back, one
    packet may be on its way."""
    old, new = tone(10.0, 400), tone(0.5, 900)
    phones: list[Phone] = []
    heard = [b"", b""]

    async def program(talk: Talk) -> None:
        await talk.say(old)
        await talk.mark("old")
        await talk.until(lambda: PCMU.decode(bytes(talk.heard[-1600:])).any())
        await talk.clear()
        await talk.until(lambda: talk.marks == ["old"])
        heard[0] = payload_of(phones[0].waiting_packets())
        await talk.say(new)
        await talk.mark("new")
        await talk.until(lambda: talk.marks == ["old", "new"])

    async with agent(program) as made:
        robot = Connected(made.url)
        async with serving(robot) as engine, phoning(engine) as phone:
            phones.append(phone)
            mouth = Mouth(phone, await phone.call())
            await mouth.say(vowel(0.1))
            await phone.until_bye()
            heard[1] = payload_of(phone.waiting_packets())
        streamed = await robot.ended
    cut = heard[1].index(new)
    assert cut <= 160
    played = heard[0] + heard[1][:cut]
    assert played == old[: len(played)]
    assert set(heard[1][cut + len(new) :]) <= {0xFF}
    assert streamed.figures.clears == 1
    assert streamed.figures.cleared_ms > 8_000


async def test_the_caller_who_speaks_is_not_talked_over_if_we_are_to_see_to_that():
    """The agent never clears; it learns by its mark that it was interrupted."""
    old = tone(10.0, 400)

    async def program(talk: Talk) -> None:
        await talk.say(old)
        await talk.mark("said")
        await talk.until(lambda: talk.marks == ["said"])

    async with agent(program) as made:
        robot = Connected(made.url, barge_in="speech")
        async with serving(robot) as engine, phoning(engine) as phone:
            mouth = Mouth(phone, await phone.call())
            await phone.packets(5)
            await mouth.say(vowel(0.6))
            await phone.until_bye()
            assert len(phone.waiting_packets()) < 60
        assert (await robot.ended).figures.barge_ins == 1


async def test_a_peer_that_leaves_is_heard_to_the_end_of_what_it_said():
    farewell = tone(1.0, 400)

    async def program(talk: Talk) -> None:
        await talk.say(farewell)

    async with agent(program) as made:
        robot = Connected(made.url)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            assert payload_of(await phone.packets(50)) == farewell
            await phone.until_bye()
        assert (await robot.ended).ended_by is StreamEnd.PEER


async def test_a_peer_that_leaves_is_heard_to_the_end_though_it_has_cleared_before():
    farewell = tone(1.0, 400)

    async def program(talk: Talk) -> None:
        await talk.clear()
        await talk.say(farewell)

    async with agent(program) as made:
        robot = Connected(made.url)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            assert payload_of(await phone.packets(50)) == farewell
            await phone.until_bye()


async def test_the_example_repeats_what_it_hears():
    spec = importlib.util.spec_from_file_location("agent_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    async with serve(example.talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        robot = Connected(f"ws://127.0.0.1:{port}/")
        async with serving(robot) as engine, phoning(engine) as phone:
            mouth = Mouth(phone, await phone.call())
            beep = PCMU.decode(payload_of(await phone.packets(10)))
            assert correlation(PCMU.decode(tone(0.2, 440)), beep) > 0.99
            words = vowel(0.4)
            await mouth.say(np.append(words, np.zeros(8_000, np.int16)))
            # On a busy machine the caller stammers, which is smoothed.
            said = PCMU.decode(payload_of(await phone.packets(24)))
            assert correlation(words[:2_000], said) > 0.8
            await phone.hang_up()
            await robot.ended


async def test_the_caller_hangs_up_and_the_peer_is_told():
    over = asyncio.Event()

    async def program(talk: Talk) -> None:
        await talk.say(tone(10.0, 400))
        await talk.until(lambda: talk.stopped)
        await talk.socket.wait_closed()
        assert talk.socket.close_code == 1000
        over.set()

    async with agent(program) as made:
        robot = Connected(made.url)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.packets(5)
            await phone.hang_up()
            assert (await robot.ended).ended_by is StreamEnd.CALLER
            await over.wait()


async def test_a_stream_has_its_time():
    async def program(talk: Talk) -> None:
        await talk.until(lambda: talk.stopped)

    async with agent(program) as made:
        robot = Connected(made.url, max_ms=300)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        assert (await robot.ended).ended_by is StreamEnd.LIMIT


async def test_cancelling_ends_the_stream_and_the_call_goes_on():
    told = asyncio.Event()

    async def program(talk: Talk) -> None:
        await talk.say(tone(10.0, 400))
        await talk.until(lambda: talk.stopped)
        told.set()

    async with agent(program) as made:

        async def handler(call: Call) -> None:
            await call.answer()
            streaming = asyncio.ensure_future(stream(call, made.url))
            await eventually(lambda: bool(made.talks and made.talks[0].heard))
            streaming.cancel()
            await asyncio.wait([streaming])
            assert streaming.cancelled()
            await call.speak(said())
            await call.hangup()

        async def said():
            yield PCMU.decode(tone(0.2, 900))

        async with serving(handler) as engine, phoning(engine) as phone:
            await phone.call()
            await told.wait()
            await phone.until_bye()
            assert payload_of(phone.waiting_packets()).endswith(tone(0.2, 900))


async def test_credentials_reach_the_peer_and_no_log(capfd):
    """In the URL's user and query, and in headers."""

    async def program(talk: Talk) -> None:
        assert talk.socket.request is not None
        assert talk.socket.request.path == "/agent?token=s3cret"

    async with agent(program, path="/agent?token=s3cret") as made:
        url = made.url.replace("localhost", "ada:s3cret@localhost")
        robot = Connected(url, headers={"X-Key": "s3cret"})
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        await robot.ended
    sent = made.headers[0]
    assert sent["X-Key"] == "s3cret"
    assert sent["Authorization"].startswith("Basic ")
    assert "Sec-WebSocket-Extensions" not in sent
    assert "Sec-WebSocket-Protocol" not in sent
    logged = capfd.readouterr()
    assert "stream over" in logged.out + logged.err
    assert "s3cret" not in logged.out + logged.err


async def fails(robot: Connected) -> StreamFailed:
    """A call whose stream fails goes on: it is hung up by its handler."""
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
    with pytest.raises(StreamFailed) as raised:
        await robot.ended
    return raised.value


async def test_a_peer_that_is_not_there():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        for scheme in ("ws", "wss", "audiosocket+tcp"):
            failed = await fails(Connected(f"{scheme}://127.0.0.1:{port}"))
            assert failed.kind == "unreachable"


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("http://localhost/", {}, "scheme"),
        ("ws://", {}, "no host"),
        ("ws://localhost/ x", {}, "blank"),
        ("audiosocket+tcp://localhost", {}, "HOST:PORT"),
        ("audiosocket+tcp://localhost:1?rate=11025", {}, "rate"),
        ("audiosocket+tcp://localhost:1", {"parameters": {"name": "Ada"}}, "uuid"),
        ("ws://localhost/", {"headers": {"X": "a\r\nY: b"}}, "plain ASCII"),
        ("ws://localhost/", {"parameters": {"x": "y" * 20_000}}, "parameters"),
    ],
)
async def test_what_cannot_be_asked_for(url, options, reason):
    failed = await fails(Connected(url, **options))
    assert failed.kind == "request"
    assert reason in str(failed)


async def answer_with(data: bytes) -> tuple[asyncio.Server, str]:
    """A server that answers every connection with ``data``, and is silent then."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "deadline"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "refused"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "refused",
        ),
        (b"\x00garbage\r\n\r\n", "refused"),
    ],
)
async def test_a_peer_that_is_no_agent(data, kind):
    server, address = await answer_with(data)
    async with server:
        failed = await fails(
            Connected(f"ws://{address}/", connect_ms=400 if kind == "deadline" else 5_000)
        )
    assert failed.kind == kind


async def test_the_name_in_a_certificate_is_verified():
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def program(talk: Talk) -> None:
        pass

    async with agent(program, ssl=context) as made:
        robot = Connected(made.url, tls=trusting)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        assert (await robot.ended).ended_by is StreamEnd.PEER
        assert (await fails(Connected(made.url))).kind == "unreachable"
        other = made.url.replace("localhost", "127.0.0.1")
        assert (await fails(Connected(other, tls=trusting))).kind == "unreachable"
    assert len(made.talks) == 1


async def lie(talk: Talk, count: int) -> None:
    for _ in range(count):
        await talk.socket.send('{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA"}}')
        await talk.socket.send('{"event":"media","media":{"payload":"A!"}}')
        await talk.socket.send('{"event":"dance"}')
        await talk.socket.send("}{")
        await talk.socket.send(b"\x01\x02")
        await talk.send("mark", name=7)


async def test_what_is_wrong_is_left_out_and_counted():
    words = tone(0.5, 400)

    async def program(talk: Talk) -> None:
        await lie(talk, 3)
        await talk.say(words)

    async with agent(program) as made:
        robot = Connected(made.url)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            assert payload_of(await phone.packets(25)) == words
            await phone.until_bye()
        rejected = (await robot.ended).figures.rejected
    assert rejected == {
        "wrong_stream": 3,
        "bad_sound": 3,
        "unknown_event": 3,
        "not_json": 3,
        "binary": 3,
        "bad_mark": 3,
    }


async def test_marks_that_are_too_many_do_not_come_back_and_are_counted(monkeypatch):
    monkeypatch.setattr(playout, "MAX_MARKS", 2)

    async def program(talk: Talk) -> None:
        await talk.say(tone(0.5, 400))
        for name in "abcde":
            await talk.mark(name)
        await talk.until(lambda: talk.marks == ["a", "b"])

    async with agent(program) as made:
        robot = Connected(made.url)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        figures = (await robot.ended).figures
        assert (figures.marks, figures.marks_refused) == (2, 3)


async def test_a_peer_that_lies_all_the_time_is_cut():
    async def program(talk: Talk) -> None:
        with contextlib.suppress(ConnectionClosed):
            await lie(talk, 1_000)
            await talk.socket.wait_closed()

    async with agent(program) as made:
        failed = await fails(Connected(made.url))
    assert failed.kind == "protocol"


async def test_a_message_that_is_too_long_ends_the_stream():
    async def program(talk: Talk) -> None:
        with contextlib.suppress(ConnectionClosed):
            await talk.say(bytes(900_000), block=900_000)
            await talk.socket.wait_closed()

    async with agent(program) as made:
        failed = await fails(Connected(made.url))
    assert failed.kind == "protocol"


async def test_a_peer_that_breaks_off_in_the_middle_of_a_frame():
    async def program(talk: Talk) -> None:
        await talk.say(tone(5.0, 400))
        talk.socket.transport.write(b"\x81\xfe\x01\x00half")
        talk.socket.transport.abort()

    async with agent(program) as made:
        failed = await fails(Connected(made.url))
    assert failed.kind in ("lost", "protocol")


async def test_a_flood_of_sound_is_bounded_and_a_clear_gets_through():
    """Five minutes at once: what there is no room for is discarded."""
    minute = bytes(480_000)

    async def program(talk: Talk) -> None:
        for _ in range(5):
            await talk.say(minute, block=480_000)
        await talk.clear()
        await talk.mark("over")
        await talk.until(lambda: talk.marks == ["over"])

    async with agent(program) as made:
        robot = Connected(made.url)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        figures = (await robot.ended).figures
    # Some of it was played while the rest came, and has made room.
    assert 180_000 <= figures.spoken_ms < 240_000
    assert figures.spoken_ms + figures.discarded_ms == 5 * 60_000
    assert figures.cleared_ms > 170_000


@pytest.mark.parametrize("frame", [b"\x89\x00", b"\x8a\x00", b"\x81\x00"])
async def test_a_flood_of_empty_frames_is_cut(frame):
    """Pings, pongs, messages."""

    async def program(talk: Talk) -> None:
        talk.socket.transport.write(frame * 100_000)
        await talk.socket.wait_closed()

    async with agent(program) as made:
        failed = await fails(Connected(made.url))
    assert failed.kind == "protocol"


async def test_a_peer_that_reads_nothing_is_cut(monkeypatch):
    monkeypatch.setattr(uplink, "STALL_S", 0.3)
    monkeypatch.setattr(uplink, "CHECK_S", 0.2)

    cut = asyncio.Event()

    async def program(talk: Talk) -> None:
        talk.socket.transport.pause_reading()
        await cut.wait()
        talk.socket.transport.abort()

    async with agent(program, ping_interval=None) as made:
        failed = await fails(Connected(made.url))
        cut.set()
    assert failed.kind == "stalled"


async def test_who_stops_what_plays_has_ended_the_stream():
    async def program(talk: Talk) -> None:
        with contextlib.suppress(ConnectionClosed):
            await talk.say(tone(2.0, 400))
            await talk.until(lambda: robot.call is not None and len(talk.heard) > 1_600)
            assert robot.call is not None
            robot.call.stop_playing()
            await talk.say(tone(2.0, 400))
            await talk.socket.wait_closed()

    async with agent(program) as made:
        robot = Connected(made.url)
        failed = await fails(robot)
    assert failed.kind == "lost"
    assert "stopped" in str(failed)


async def test_nobody_says_anything():
    async def program(talk: Talk) -> None:
        with contextlib.suppress(ConnectionClosed):
            await talk.say(tone(0.3, 400))
            await talk.socket.wait_closed()

    async with agent(program) as made:
        failed = await fails(Connected(made.url, max_silence_ms=700))
    assert failed.kind == "stalled"
    assert "700 ms" in str(failed)


async def test_a_conversation_by_audiosocket():
    question, words = sweep(1.0), sweep(0.8)
    name = uuid.uuid4()

    async def program(talk: AudioTalk) -> None:
        assert talk.uuid == name.bytes
        pcm = question.astype("<i2").tobytes()
        for at in range(0, len(pcm), 320):
            talk.send(0x10, pcm[at : at + 320])
        await talk.until(lambda: talk.digits == "7")
        await talk.until(lambda: np.frombuffer(talk.heard[-1600:], "<i2").any())
        await talk.until(lambda: not np.frombuffer(talk.heard[-1600:], "<i2").any())
        talk.send(0x00)

    async with audio_server(program) as (address, talks):
        robot = Connected(f"audiosocket+tcp://{address}", parameters={"uuid": str(name)})
        async with serving(robot) as engine, phoning(engine, formats="0 101") as phone:
            mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
            assert payload_of(await phone.packets(50)) == PCMU.encode(question)
            mouth.press("7")
            await mouth.say(words)
            await phone.until_bye()
        assert (await robot.ended).ended_by is StreamEnd.PEER
    is_heard(mouth, np.frombuffer(bytes(talks[0].heard), "<i2"), words)
    assert talks[0].kinds == {0x03, 0x10}


async def test_a_caller_interrupts_an_audiosocket_which_cannot_be_told():
    async def program(talk: AudioTalk) -> None:
        for _ in range(20):
            talk.send(0x10, sweep(0.5).astype("<i2").tobytes())
        await talk.until(lambda: np.frombuffer(talk.heard[-1600:], "<i2").any())
        await talk.until(lambda: not np.frombuffer(talk.heard[-1600:], "<i2").any())
        talk.send(0x00)

    async with audio_server(program) as (address, _):
        robot = Connected(f"audiosocket+tcp://{address}", barge_in="speech")
        async with serving(robot) as engine, phoning(engine) as phone:
            mouth = Mouth(phone, await phone.call())
            await phone.packets(5)
            await mouth.say(vowel(0.3))
            await phone.until_bye()
            assert len(phone.waiting_packets()) < 60
        figures = (await robot.ended).figures
    assert figures.barge_ins == 1
    assert figures.cleared_ms > 8_000


async def test_audiosocket_at_a_higher_rate():
    at = np.arange(16_000) / 16_000
    chirp = (8000 * np.sin(2 * np.pi * (300 + 500 * at) * at)).astype("<i2")

    async def program(talk: AudioTalk) -> None:
        talk.send(0x12, chirp[:7_000].tobytes())
        talk.send(0x12, chirp[7_000:].tobytes())
        await talk.until(lambda: len(talk.heard) >= 640)
        talk.send(0x00)

    async with audio_server(program) as (address, talks):
        robot = Connected(f"audiosocket+tcp://{address}?rate=24000")
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            heard = PCMU.decode(payload_of(await phone.packets(47)))
            await phone.until_bye()
        await robot.ended
    assert correlation(chirp[::2], heard) > 0.95
    assert talks[0].kinds == {0x13}


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"\x10\x01\x40half", "lost"),
        (b"\xff\x00\x01\x02", "lost"),
        (b"\x10\x00\x01x" * 200, "protocol"),
    ],
)
async def test_an_audiosocket_server_that_fails(wire, kind):
    async def program(talk: AudioTalk) -> None:
        talk.writer.write(wire)
        await talk.writer.drain()
        if kind == "protocol":
            await talk.until(lambda: talk.over)

    async with audio_server(program) as (address, _):
        failed = await fails(Connected(f"audiosocket+tcp://{address}"))
    assert failed.kind == kind


async def test_a_caller_who_hangs_up_ends_an_audiosocket():
    over = asyncio.Event()

    async def program(talk: AudioTalk) -> None:
        await talk.until(lambda: talk.over)
        over.set()

    async with audio_server(program) as (address, talks):
        robot = Connected(f"audiosocket+tcp://{address}")
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await eventually(lambda: bool(talks and talks[0].heard))
            await phone.hang_up()
            assert (await robot.ended).ended_by is StreamEnd.CALLER
            await over.wait()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("scheme", ["ws", "audiosocket+tcp"])
async def test_streams_leave_nothing_behind(scheme):
    """However they end: by the caller, by the peer, in the middle of connecting."""
    leaves = asyncio.Event()
    begun: list[object] = []

    async def program(talk: Talk | AudioTalk) -> None:
        begun.append(talk)
        if not leaves.is_set():
            await talk.until(lambda: talk.over)

    async def handler(call: Call) -> None:
        await call.answer()
        await stream(call, url)
        await call.hangup()

    async def one_call(engine: Engine, way: int) -> None:
        async with phoning(engine) as phone:
            count = len(begun)
            (leaves.set if way == 2 else leaves.clear)()
            await phone.call()
            if way == 1:
                await eventually(lambda: len(begun) > count)
            if way == 2:
                await phone.until_bye()
            else:
                await phone.hang_up()
        await eventually(lambda: engine.snapshot().calls_up == 0)

    async with agent(program) as made, audio_server(program) as (address, _):
        url = made.url if scheme == "ws" else f"{scheme}://{address}"
        async with serving(handler) as engine:
            for way in range(3):
                await one_call(engine, way)
            await asyncio.sleep(0.1)
            tasks, files = len(asyncio.all_tasks()), open_files()
            for number in range(9):
                await one_call(engine, number % 3)
            await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
            await eventually(lambda: open_files() <= files)
