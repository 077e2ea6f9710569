"""What a program hears of a caller: ``Call.listen``."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from ringwheel import Call
from ringwheel.media.codec import PCMU

from .client import Phone
from .conftest import eventually, phoning, serving
from .test_bridge import correlation, sweep
from .test_hear import Mouth
from .test_record import heard_in

ON_TIME_S = 0.015


class Ear:
    """Answers a call and listens until it ends, or until it has ``enough`` blocks."""

    def __init__(self, enough: int | None = None, **options) -> None:
        self._enough, self._options = enough, options
        self.blocks: list[np.ndarray] = []
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        await call.answer()
        try:
            async for block in call.listen(**self._options):
                self.begun.set()
                self.blocks.append(block)
                if len(self.blocks) == self._enough:
                    break
        finally:
            self.over.set()
        await call.wait_ended()

    @property
    def heard(self) -> np.ndarray:
        return np.concatenate(self.blocks)


async def talk(ear: Ear, phone: Phone, sound: np.ndarray) -> Mouth:
    """Say it when somebody listens, and hang up when it was heard."""
    mouth = Mouth(phone, await phone.call())
    await ear.begun.wait()
    await mouth.say(sound)
    await asyncio.sleep(0.2)
    await phone.hang_up()
    await ear.over.wait()
    return mouth


def is_heard(mouth: Mouth, heard: np.ndarray, sound: np.ndarray) -> None:
    """To the sample; or well, if a busy machine made the caller stammer, which is smoothed."""
    clean = PCMU.decode(PCMU.encode(sound))
    if mouth.late_s < ON_TIME_S:
        heard_in(heard, clean)
    else:
        start = int(np.nonzero(np.abs(heard) > 500)[0][0])
        assert correlation(clean[:2000], heard[max(0, start - 80) :]) > 0.9


async def test_what_the_caller_says_is_heard_to_the_sample():
    ear, sound = Ear(), sweep(1.0)
    async with serving(ear) as engine, phoning(engine) as phone:
        mouth = await talk(ear, phone, sound)
    assert {len(block) for block in ear.blocks} == {160}
    assert {block.dtype for block in ear.blocks} == {np.dtype(np.int16)}
    is_heard(mouth, ear.heard, sound)


async def test_blocks_come_while_the_caller_is_silent():
    ear = Ear(enough=30, block_ms=10)
    async with serving(ear) as engine, phoning(engine) as phone:
        await phone.call()
        await ear.over.wait()
    assert not ear.heard.any()
    assert len(ear.heard) == 30 * 80


async def test_sound_that_comes_in_the_middle_of_a_read_is_not_the_last(monkeypatch):
    """A program that is slow to make room for what waits finds the room full: there is more, which
    nobody would tell it of."""
    make_room, slow_reads = np.empty, iter(range(3))

    def make_room_slowly(shape, *args):
        if isinstance(shape, int) and shape > 0 and args == (np.int16,):
            # Not awaited: the media thread goes on, and nothing of this one.
            time.sleep(0.06 * (next(slow_reads, None) is not None))
        return make_room(shape, *args)

    ear = Ear(enough=50)
    async with serving(ear) as engine, phoning(engine) as phone:
        await phone.call()
        await ear.begun.wait()
        monkeypatch.setattr(np, "empty", make_room_slowly)
        async with asyncio.timeout(10):
            await ear.over.wait()
    assert next(slow_reads, None) is None
    assert len(ear.heard) == 50 * 160


async def test_another_rate_is_converted():
    ear, sound = Ear(sample_rate_hz=16_000, block_ms=30), sweep(1.0)
    async with serving(ear) as engine, phoning(engine) as phone:
        mouth = await talk(ear, phone, sound)
    assert {len(block) for block in ear.blocks} == {480}
    heard = ear.heard[::2]
    start = int(np.nonzero(np.abs(heard) > 500)[0][0])
    clean = sound if mouth.late_s < ON_TIME_S else sound[:2000]
    assert correlation(clean, heard[max(0, start - 80) :]) > 0.9


async def test_a_lost_packet_leaves_no_hole_in_time():
    """It is concealed; what comes after stands where it would have stood."""
    ear, sound = Ear(), sweep(1.0)
    async with serving(ear) as engine, phoning(engine) as phone:
        mouth = Mouth(phone, await phone.call())
        await ear.begun.wait()
        await mouth.say(sound[:4000])
        mouth.lose()
        await asyncio.sleep(0.02)
        await mouth.say(sound[4160:])
        await asyncio.sleep(0.2)
        await phone.hang_up()
        await ear.over.wait()
    if mouth.late_s < ON_TIME_S:
        clean = PCMU.decode(PCMU.encode(sound))
        first = heard_in(ear.heard, clean[:4000])
        assert heard_in(ear.heard, clean[4400:]) == first + 4400
    else:
        is_heard(mouth, ear.heard, sound)


async def test_who_stops_to_listen_takes_nothing_more():
    ear = Ear(enough=5)
    async with serving(ear) as engine, phoning(engine) as phone:
        await talk(ear, phone, sweep(0.5))
        assert len(ear.blocks) == 5
        await eventually(lambda: engine.snapshot().calls_up == 0)


@pytest.mark.parametrize("options", [{"block_ms": 5}, {"sample_rate_hz": 4000}])
async def test_impossible_figures_are_refused(options):
    refused = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        with pytest.raises(ValueError, match="use"):
            call.listen(**options)
        refused.set()

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await refused.wait()
