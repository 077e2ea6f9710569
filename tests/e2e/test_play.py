"""What a caller hears of an engine: every byte, in order, in the right packet."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from ringwheel import Call, Played, PlayOutcome
from ringwheel.media.codec import codec_by_name
from ringwheel.media.prompt import encode_sound, join_prompts, read_sound

from .client import Phone, Rtp, stood_still, udp
from .conftest import eventually, phoning, serving

FRAME_BYTES = 160
TRIES = 5
SILENCE = {0: b"\xff", 8: b"\xd5"}


def unbroken(packets: list[Rtp], frame_bytes: int = FRAME_BYTES) -> bytes:
    """The payload of packets that follow each other without a gap, a marker on the first alone."""
    assert packets[0].marker
    for before, after in pairwise(packets):
        assert after.sequence == (before.sequence + 1) % 2**16
        if not stood_still(before, after):
            assert after.timestamp == (before.timestamp + frame_bytes) % 2**32
            assert not after.marker
        assert (after.ssrc, after.payload_type, after.source) == (
            before.ssrc,
            before.payload_type,
            before.source,
        )
    assert {len(packet.payload) for packet in packets} == {frame_bytes}
    return b"".join(packet.payload for packet in packets)


def slots_between(before: Rtp, after: Rtp) -> int:
    """How many packet times lie between two packets that were sent one after the other."""
    assert after.sequence == (before.sequence + 1) % 2**16
    units = (after.timestamp - before.timestamp) % 2**32
    assert units % FRAME_BYTES == 0
    return units // FRAME_BYTES


class Ticking:
    """A second call that hears an endless prompt: its packets tell that time has passed."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone

    async def slots(self, count: int) -> None:
        """Return when that many 20 ms slots have gone by."""
        self._phone.waiting_packets()
        await self._phone.packets(count + 1)


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
@pytest.mark.parametrize(
    ("host", "suffix", "payload_type"),
    [("127.0.0.1", "ulaw", 0), ("127.0.0.1", "alaw", 8), ("::1", "ulaw", 0)],
)
async def test_a_list_is_heard_to_the_last_byte(make_prompt, host, suffix, payload_type, ptime_ms):
    files = [make_prompt(f"{n}.{suffix}", size) for n, size in enumerate((1234, 777, 2011))]
    prompts = b"".join(payload for _, payload in files)
    played: list[Played] = []

    async def handler(call: Call) -> None:
        await call.answer()
        played.append(await call.play(*(path for path, _ in files)))
        await call.hangup("done")

    sip = [f"udp:{'[::1]' if ':' in host else host}:0"]
    async with (
        serving(handler, sip=sip) as engine,
        phoning(engine, host=host, formats=f"18 {payload_type}", ptime_ms=ptime_ms) as phone,
    ):
        answer = await phone.call()
        bye = await phone.until_bye()
        packets = phone.waiting_packets()

    frame_bytes = 8 * ptime_ms
    assert answer.sdp("m=audio ").split()[1:] == ["RTP/AVP", str(payload_type)]
    assert answer.sdp("a=ptime:") == str(ptime_ms)
    assert 'text="done"' in bye.get("Reason")
    assert len(packets) == -(-len(prompts) // frame_bytes)
    assert packets[0].payload_type == payload_type
    assert packets[0].source == (host, int(answer.sdp("m=audio ").split()[0]))
    heard = unbroken(packets, frame_bytes)
    assert heard[: len(prompts)] == prompts
    rest = heard[len(prompts) :]
    assert rest == SILENCE[payload_type] * len(rest)
    assert played == [Played(PlayOutcome.FINISHED, len(prompts) / 8)]


@pytest.mark.parametrize(
    ("label", "payload_type", "rtpmap", "ptime_ms", "frame_ms"),
    [
        ("g722", 9, "G722/8000", 20, 20),
        ("l16-8k", 97, "L16/8000", 30, 30),
        ("l16-16k", 98, "L16/16000", 20, 20),
        ("l16-16k", 98, "L16/16000", 60, 44),  # 60 ms would not fit a packet
    ],
)
async def test_codecs_of_every_width(tmp_path, label, payload_type, rtpmap, ptime_ms, frame_ms):
    files = []
    for n, hz in enumerate((440, 700)):
        samples = 9000 * np.sin(2 * np.pi * hz * np.arange(6000) / 16000)
        soundfile.write(tmp_path / f"{n}.wav", samples.astype(np.int16), 16000)
        files.append(tmp_path / f"{n}.wav")
    played: list[Played] = []

    async def handler(call: Call) -> None:
        await call.answer()
        played.append(await call.play(*files))
        await call.hangup()

    codec = codec_by_name(label)
    async with (
        serving(handler, codecs=["pcmu", label]) as engine,
        phoning(engine, formats=str(payload_type), ptime_ms=ptime_ms) as phone,
    ):
        answer = await phone.call(phone.offer(f"rtpmap:{payload_type} {rtpmap}"))
        await phone.until_bye()
        packets = phone.waiting_packets()

    assert answer.sdp(f"a=rtpmap:{payload_type} ") == rtpmap
    frame_bytes = frame_ms * codec.bytes_per_s // 1000
    ts_per_byte = 1 / codec.bytes_per_ts
    for before, after in pairwise(packets):
        assert (after.timestamp - before.timestamp) % 2**32 == frame_bytes * ts_per_byte
    assert {(p.payload_type, len(p.payload)) for p in packets} == {(payload_type, frame_bytes)}
    prompts = [encode_sound(read_sound(file), codec) for file in files]
    sent = b"".join(map(bytes, join_prompts(prompts, loop=False)))
    heard = b"".join(packet.payload for packet in packets)
    assert heard[: len(sent)] == sent
    assert set(heard[len(sent) :]) <= {codec.silence}
    assert played == [Played(PlayOutcome.FINISHED, 750.0)]


async def test_a_loop_goes_round_without_a_gap_until_it_is_stopped(make_prompt):
    files = [make_prompt("a.ulaw", 333), make_prompt("b.ulaw", 250)]
    prompts = b"".join(payload for _, payload in files)
    stop = asyncio.Event()
    played: list[Played] = []

    async def handler(call: Call) -> None:
        await call.answer()
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(call.play(*(path for path, _ in files), loop=True))
            await stop.wait()
            call.stop_playing()
        played.append(playing.result())
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(12)
        stop.set()
        await phone.until_bye()
        packets += phone.waiting_packets()

    heard = unbroken(packets)
    assert heard == (prompts * (len(heard) // len(prompts) + 1))[: len(heard)]
    assert played == [Played(PlayOutcome.STOPPED, len(heard) / 8)]


async def test_a_replacement_starts_in_the_next_packet(make_prompt):
    (long, long_bytes), (short, short_bytes) = (
        make_prompt("long.ulaw", 800_000),
        make_prompt("short.ulaw", 1000),
    )
    switch = asyncio.Event()
    played: list[Played] = []

    async def handler(call: Call) -> None:
        await call.answer()
        first = asyncio.create_task(call.play(long))
        queued = asyncio.create_task(call.play(long))
        await switch.wait()
        played.append(await call.play(short, replace=True))
        played.extend([await first, await queued])
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(5)
        switch.set()
        await phone.until_bye()
        packets += phone.waiting_packets()

    heard = unbroken(packets)
    before_bytes = len(heard) - 7 * FRAME_BYTES
    assert heard[:before_bytes] == long_bytes[:before_bytes]
    assert heard[before_bytes : before_bytes + 1000] == short_bytes
    assert heard[before_bytes + 1000 :] == b"\xff" * (7 * FRAME_BYTES - 1000)
    assert played == [
        Played(PlayOutcome.FINISHED, 1000 / 8),
        Played(PlayOutcome.REPLACED, before_bytes / 8),
        Played(PlayOutcome.REPLACED, 0.0),
    ]


async def test_what_is_held_queues_behind_what_has_yet_to_be_read(make_prompt):
    (held, held_bytes), (other, other_bytes) = (
        make_prompt("held.ulaw", 2 * FRAME_BYTES),
        make_prompt("other.ulaw", 3 * FRAME_BYTES),
    )

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(held)
        await asyncio.gather(call.play(other), call.play(held))
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        packets = phone.waiting_packets()

    heard = b"".join(packet.payload for packet in packets)
    assert heard == held_bytes + other_bytes + held_bytes


async def test_a_prompt_queued_behind_another_shares_its_last_packet(make_prompt):
    (first, first_bytes), (second, second_bytes) = (
        make_prompt("first.ulaw", 1001),
        make_prompt("second.ulaw", 999),
    )

    async def handler(call: Call) -> None:
        await call.answer()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.play(first))
            tasks.create_task(call.play(second))
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        packets = phone.waiting_packets()

    assert unbroken(packets)[:2000] == first_bytes + second_bytes
    assert len(packets) == 13


async def test_a_prompt_that_is_at_hand_does_not_overtake_one_that_is_loading(make_prompt):
    (first, first_bytes), (second, second_bytes) = (
        make_prompt("first.ulaw", 1001),
        make_prompt("second.ulaw", 999),
    )

    async def handler(call: Call) -> None:
        await call.answer()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.play(first))
            tasks.create_task(call.play(second))
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await engine.load(second)
        await phone.call()
        await phone.until_bye()
        packets = phone.waiting_packets()

    assert unbroken(packets)[:2000] == first_bytes + second_bytes


async def test_two_awaited_plays_leave_no_slot_empty(make_prompt):
    (first, first_bytes), (second, second_bytes) = (
        make_prompt("first.ulaw", 1000),
        make_prompt("second.ulaw", 700),
    )

    async def handler(call: Call) -> None:
        await call.answer()
        await engine.load(first, second)
        await call.play(first)
        await call.play(second)
        await call.hangup()

    # Packets of 60 ms, so that a busy machine finds the time between two of them, and more than one
    # try, since it may stand still for longer.
    async with serving(handler) as engine:
        for _ in range(TRIES):
            async with phoning(engine, ptime_ms=60) as phone:
                await phone.call()
                await phone.until_bye()
                packets = phone.waiting_packets()
            if not any(packet.marker for packet in packets[1:]):
                break

    heard = unbroken(packets, 480)
    assert heard[:1000] == first_bytes
    assert heard[1000:1440] == b"\xff" * 440
    assert heard[1440:2140] == second_bytes


async def test_an_empty_play_ends_and_sends_nothing():
    played: list[Played] = []

    async def handler(call: Call) -> None:
        await call.answer()
        played.append(await call.play())
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        assert phone.waiting_packets() == []
    assert played == [Played(PlayOutcome.FINISHED, 0.0)]


async def test_cancelling_a_play_stops_the_sound(make_prompt):
    (long, long_bytes), (after, after_bytes) = (
        make_prompt("long.ulaw", 800_000),
        make_prompt("after.ulaw", 160),
    )
    enough = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        playing = asyncio.create_task(call.play(long))
        await enough.wait()
        playing.cancel()
        await asyncio.wait([playing])
        await call.play(after)
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(3)
        enough.set()
        await phone.until_bye()
        packets += phone.waiting_packets()

    heard = b"".join(packet.payload for packet in packets)
    assert heard == long_bytes[: len(heard) - 160] + after_bytes


def clocked(prompt, endless, started: asyncio.Future[Call]):
    """A handler: the first call hears an endless prompt; the second one is handed out, and hears
    ``prompt`` and a BYE."""
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        await call.answer()
        if len(calls) == 1:
            await call.play(endless, loop=True)
        started.set_result(call)
        await call.play(prompt)
        await call.hangup()

    return handler


async def test_a_pause_keeps_the_place_and_moves_the_timestamp(make_prompt):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 1600)
    endless, _ = make_prompt("endless.ulaw", 8000)
    started = asyncio.get_running_loop().create_future()
    async with (
        serving(clocked(prompt, endless, started)) as engine,
        phoning(engine) as clock_phone,
        phoning(engine) as phone,
    ):
        clock = Ticking(clock_phone)
        await clock_phone.call()
        await phone.call()
        call = await started
        packets = await phone.packets(3)
        call.pause()
        await clock.slots(3)
        packets += phone.waiting_packets()
        await clock.slots(5)
        assert phone.waiting_packets() == []
        call.resume()
        rest = await phone.packets(10 - len(packets))
        await phone.until_bye()
        assert phone.waiting_packets() == []

    heard = unbroken(packets) + unbroken(rest)
    assert heard == prompt_bytes
    assert slots_between(packets[-1], rest[0]) > 5
    assert packets[0].ssrc == rest[0].ssrc


HOLDS = {
    "sendonly": (["sendonly"], "", "recvonly"),
    "inactive": (["inactive"], "", "inactive"),
    "zeros": ([], "0.0.0.0", "recvonly"),
}


@pytest.mark.parametrize("hold", HOLDS)
async def test_hold_and_resume_at_another_address(make_prompt, hold):
    attributes, hold_host, answered = HOLDS[hold]
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 1600)
    endless, _ = make_prompt("endless.ulaw", 8000)
    started = asyncio.get_running_loop().create_future()
    async with (
        serving(clocked(prompt, endless, started)) as engine,
        phoning(engine) as clock_phone,
        phoning(engine) as phone,
    ):
        clock = Ticking(clock_phone)
        await clock_phone.call()
        first = await phone.call()
        packets = await phone.packets(3)
        held = await phone.call(phone.offer(*attributes, host=hold_host))
        await clock.slots(3)
        packets += phone.waiting_packets()
        await clock.slots(5)
        assert phone.waiting_packets() == []

        old_rtp, phone.rtp = phone.rtp, udp(phone.host)
        with old_rtp:
            resumed = await phone.call(phone.offer("sendrecv"))
            rest = await phone.packets(10 - len(packets))
            await phone.until_bye()
            assert phone.waiting_packets() == []
            with pytest.raises(BlockingIOError):
                old_rtp.recv(2048)

    assert f"a={answered}\r\n" in held.body
    assert "a=sendrecv\r\n" in resumed.body
    versions = [int(answer.sdp("o=").split()[2]) for answer in (first, held, resumed)]
    assert versions[1:] == [versions[0] + 1, versions[0] + 2]
    assert len({answer.sdp("m=audio ") for answer in (first, held, resumed)}) == 1
    assert unbroken(packets) + unbroken(rest) == prompt_bytes
    assert slots_between(packets[-1], rest[0]) > 5


async def test_a_stream_that_is_turned_off_is_silent_until_it_is_on_again(make_prompt):
    """RFC 3264 section 8.2: an offer with port 0 ends the stream, a later one may revive it."""
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 1600)
    endless, _ = make_prompt("endless.ulaw", 8000)
    started = asyncio.get_running_loop().create_future()
    async with (
        serving(clocked(prompt, endless, started)) as engine,
        phoning(engine) as clock_phone,
        phoning(engine) as phone,
    ):
        clock = Ticking(clock_phone)
        await clock_phone.call()
        await phone.call()
        packets = await phone.packets(3)
        off = await phone.call(phone.offer(rtp_port=0))
        await clock.slots(3)
        packets += phone.waiting_packets()
        await clock.slots(5)
        assert phone.waiting_packets() == []
        await phone.call(phone.offer())
        rest = await phone.packets(10 - len(packets))
        await phone.until_bye()

    assert off.sdp("m=audio ").split()[0] == "0"
    assert unbroken(packets) + unbroken(rest) == prompt_bytes


async def test_the_packet_time_follows_a_re_invite(make_prompt):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 8000)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt)
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(3)
        phone.ptime_ms = 40
        await phone.call(phone.offer())
        await phone.until_bye()
        packets += phone.waiting_packets()

    sizes = [len(packet.payload) for packet in packets]
    assert sizes == sorted(sizes)
    assert set(sizes) == {160, 320}
    for before, after in pairwise(packets):
        assert after.timestamp == (before.timestamp + len(before.payload)) % 2**32
        assert after.sequence == (before.sequence + 1) % 2**16
    assert b"".join(packet.payload for packet in packets)[:8000] == prompt_bytes


async def test_silence_is_sent_around_a_prompt_where_wanted(make_prompt):
    prompt, prompt_bytes = make_prompt("prompt.ulaw", 500)
    go = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        await go.wait()
        await call.play(prompt)
        await call.wait_ended()

    async with serving(handler, silence="send") as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(4)
        go.set()
        silent = b"\xff" * FRAME_BYTES
        while packets[-1].payload == silent:
            packets += await phone.packets(1)
        packets += await phone.packets(8)
        await phone.hang_up()

    heard = unbroken(packets)
    begin = heard.index(prompt_bytes)
    assert begin % FRAME_BYTES == 0
    assert begin >= 4 * FRAME_BYTES
    around = heard[:begin] + heard[begin + 500 :]
    assert around == b"\xff" * len(around)


async def test_shared_sockets_serve_calls_at_distinct_addresses(make_prompt):
    files = [make_prompt(f"{n}.ulaw", 1000 + n) for n in range(2)]
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        path, _ = files[len(calls) - 1]
        await call.answer()
        await call.play(path)
        await call.hangup()

    async with (
        serving(handler, rtp_sockets="shared") as engine,
        phoning(engine) as one,
        phoning(engine) as other,
    ):
        answers = [await phone.call() for phone in (one, other)]
        announced = [int(answer.sdp("m=audio ").split()[0]) for answer in answers]
        heard = [await phone.packets(1) for phone in (one, other)]
        for phone, packets in zip((one, other), heard, strict=True):
            phone.rtp.sendto(b"\x80\x00" + bytes(170), packets[0].source)
        for phone, packets, (_, payload) in zip((one, other), heard, files, strict=True):
            await phone.until_bye()
            assert unbroken(packets + phone.waiting_packets())[: len(payload)] == payload
            assert packets[0].source == ("127.0.0.1", announced[0])
        await eventually(lambda: engine.snapshot().media["packets_received"] == 2)
    assert announced[0] == announced[1]
    assert [call.figures.packets_received for call in calls] == [1, 1]


async def test_a_second_call_to_the_same_address_is_ended_with_the_reason_on_shared_sockets(
    make_prompt,
):
    endless, _ = make_prompt("endless.ulaw", 8000)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(endless, loop=True)

    async with (
        serving(handler, rtp_sockets="shared") as engine,
        phoning(engine) as first,
        phoning(engine) as second,
    ):
        await first.call()
        await first.packets(2)
        second.invite(second.offer(rtp_port=first.rtp.getsockname()[1]))
        await second.response("INVITE")
        second.send("ACK")
        assert "in use" in (await second.until_bye()).get("Reason")
        first.waiting_packets()
        await first.packets(3)
        assert engine.snapshot().calls_up == 1


async def test_a_closed_port_disturbs_nobody(make_prompt):
    prompt, payload = make_prompt("prompt.ulaw", 8000)
    played: dict[str, Played] = {}

    async def handler(call: Call) -> None:
        await call.answer()
        played[call.call_id] = await call.play(prompt)
        assert call.figures.send_errors == 0 or call.call_id == deaf.call_id
        await call.hangup()

    async with serving(handler) as engine, phoning(engine) as deaf, phoning(engine) as other:
        await deaf.call()
        await deaf.packets(2)
        deaf.rtp.close()
        await other.call()
        await asyncio.gather(deaf.until_bye(), other.until_bye())
        assert unbroken(other.waiting_packets()) == payload
        assert engine.snapshot().media["send_refused"] > 0
    finished = Played(PlayOutcome.FINISHED, 1000.0)
    assert played == {deaf.call_id: finished, other.call_id: finished}


async def test_sound_that_arrives_is_counted_and_rubbish_rejected(make_prompt):
    prompt, _ = make_prompt("prompt.ulaw", 160)
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        await call.answer()
        await call.wait_ended()

    async with serving(handler) as engine, phoning(engine) as phone:
        answer = await phone.call()
        target = ("127.0.0.1", int(answer.sdp("m=audio ").split()[0]))
        for datagram in (b"\x80\x00" + bytes(170), b"", b"\x80", b"\xff" * 40, b"\x80" * 1900):
            phone.rtp.sendto(datagram, target)
        phone.rtp.sendto(bytes(4000), target)
        await eventually(lambda: engine.snapshot().media["received_truncated"] == 1)
        media = engine.snapshot().media
        figures = calls[0].figures
        await phone.hang_up()
    assert media["packets_received"] == figures.packets_received == 2
    assert media["received_too_short"] == 2
    assert media["received_bad_version"] == 1
    assert media["received_unproved_source"] == 1  # the one of b"\x80" alone
    assert figures.packets_rejected == 4
