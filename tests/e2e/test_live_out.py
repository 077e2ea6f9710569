"""Sound that is written piece by piece, as voice agents stream it: ``Call.open_live``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from ringwheel import Call
from ringwheel.media.codec import PCMA, PCMU
from ringwheel.media.events import PlayOutcome
from ringwheel.media.live import MAX_MARKS

from .client import Phone
from .conftest import eventually, phoning, serving
from .test_bridge import correlation, sweep
from .test_hear import Mouth
from .test_listen import ON_TIME_S
from .test_sessions import payload_of

pytestmark = pytest.mark.one_loop

ALL_CODES = bytes(range(256)) * 5
"""Every code of mu-law, also the two for zero: eight packets."""


@contextlib.asynccontextmanager
async def answered(formats: str = "0", **options: object) -> AsyncIterator[tuple[Call, Phone]]:
    arrived: asyncio.Future[Call] = asyncio.get_running_loop().create_future()

    async def handler(call: Call) -> None:
        await call.answer()
        arrived.set_result(call)
        await call.wait_ended()

    async with serving(handler, **options) as engine, phoning(engine, formats=formats) as phone:
        await phone.call()
        yield await arrived, phone


async def test_mulaw_leaves_as_it_was_written_and_marks_tell_when():
    async with answered() as (call, phone):
        out = await call.open_live(encoding="mulaw")
        assert out.write(ALL_CODES) == len(ALL_CODES)
        assert out.buffered_ms > 100
        half = out.mark()
        assert out.write(ALL_CODES) == len(ALL_CODES)
        end = out.mark()
        packets = await phone.packets(1)
        assert await half
        packets += phone.waiting_packets()
        assert len(packets) >= 8  # it is told when its last packet has left
        assert await end
        packets += phone.waiting_packets()
        assert payload_of(packets) == ALL_CODES * 2
        assert out.buffered_ms == 0
        out.finish()
        assert (await call.play()).outcome is PlayOutcome.FINISHED  # what was behind it


async def test_what_is_less_than_a_packet_leaves_too():
    async with answered() as (call, phone):
        out = await call.open_live(encoding="mulaw")
        out.write(ALL_CODES[:200])
        mark = out.mark()
        first, second = await phone.packets(2)
        assert first.payload + second.payload == ALL_CODES[:200] + b"\xff" * 120
        assert (second.timestamp - first.timestamp) % 2**32 == 320  # one slot was waited for more
        assert await mark


async def test_clear_stops_with_the_next_packet_and_tells_of_the_marks():
    async with answered() as (call, phone):
        out = await call.open_live(encoding="mulaw")
        for piece in range(10):
            out.write(bytes([piece]) * 1_600)
        marks = [out.mark(), out.mark()]
        heard = await phone.packets(12)
        assert {packet.payload[0] for packet in heard} == {0, 1}
        sent = len(heard) + len(phone.waiting_packets())
        out.clear()
        assert out.buffered_ms == 0
        out.write(b"\x77" * 320)
        after = out.mark()
        assert [await mark for mark in marks] == [False, False]
        assert await after
        rest = [packet.payload for packet in await phone.packets(2)]
        old = [payload for payload in rest if payload != b"\x77" * 160]
        assert len(old) <= 1  # that had left while the order was given
        assert sent + len(old) < 20
        assert call.figures.packets_sent == sent + 2 + len(old)


async def test_a_full_buffer_takes_what_fits():
    async with answered() as (call, _):
        out = await call.open_live(encoding="mulaw", room_ms=1_000)
        taken = out.write(bytes(80_000))
        assert 8_000 <= taken < 17_000
        assert out.write(bytes(80_000)) <= 2_000  # for what was played meanwhile
        for _ in range(MAX_MARKS):
            out.mark()
        with pytest.raises(RuntimeError, match="256 marks"):
            out.mark()
        out.stop()
        await eventually(lambda: out.over)
        assert out.write(bytes(160)) == 0
        assert not await out.mark()


@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
async def test_pcm_of_any_rate_is_the_same_sound_whole(rate_hz):
    at = np.arange(rate_hz) / rate_hz
    sound = (8000 * np.sin(2 * np.pi * (300 + 500 * at) * at)).astype(np.int16)
    async with answered() as (call, phone):
        out = await call.open_live(sample_rate_hz=rate_hz)
        rest = sound
        while len(rest):
            rest = rest[out.write(rest[:1_111].tobytes()) :]
        end = out.mark()
        packets = await phone.packets(50)
        assert await end
        heard = PCMU.decode(payload_of(packets))
        if rate_hz == 8_000:
            assert np.array_equal(heard, PCMU.decode(PCMU.encode(sound)))
        assert correlation(sound[:: rate_hz // 8_000], heard) > 0.95


async def test_mulaw_to_another_codec_is_the_same_sound():
    sound = sweep(1.0)
    async with answered("8", codecs=["pcma"]) as (call, phone):
        out = await call.open_live(encoding="mulaw")
        out.write(PCMU.encode(sound))
        assert correlation(sound, PCMA.decode(payload_of(await phone.packets(50)))) > 0.95


async def test_marks_that_wait_are_told_when_the_call_ends():
    async with answered() as (call, phone):
        out = await call.open_live(encoding="mulaw")
        out.write(bytes(16_000))
        mark = out.mark()
        await phone.packets(2)
        await phone.hang_up()
        assert not await mark
        assert out.over


async def test_what_makes_no_sense_is_refused():
    async with answered() as (call, _):
        with pytest.raises(ValueError, match="pcm or mulaw"):
            await call.open_live(encoding="alaw")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="8000"):
            await call.open_live(encoding="mulaw", sample_rate_hz=16_000)
        with pytest.raises(ValueError, match="room_ms"):
            await call.open_live(room_ms=10)
        out = await call.open_live(encoding="mulaw")
        with pytest.raises(TypeError, match="bytes"):
            out.write(np.zeros(160, np.int16))


async def test_a_caller_is_heard_as_mulaw():
    sound = sweep(0.5)
    blocks: list[bytes] = []
    async with serving(lambda call: listening(call, blocks)) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await eventually(lambda: bool(blocks))
        await mouth.say(sound)
        await asyncio.sleep(0.2)
        await phone.hang_up()
        assert {len(block) for block in blocks} == {160}
        heard = b"".join(blocks).strip(b"\xff")
        clean = sound if mouth.late_s < ON_TIME_S else sound[:2_000]  # it may have stammered
        assert correlation(clean, PCMU.decode(b"\xff" * 8 + heard)) > 0.9


async def listening(call: Call, blocks: list[bytes]) -> None:
    await call.answer()
    async for block in call.listen_mulaw():
        blocks.append(block)
