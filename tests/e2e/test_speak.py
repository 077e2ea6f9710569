"""Sound that a program makes while it plays: ``Call.speak``."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import numpy as np
import pytest
from ringwheel import Call, CallEnded
from ringwheel.media.call import Played
from ringwheel.media.codec import G722, PCMU
from ringwheel.media.events import PlayOutcome

from .client import Rtp, stood_still
from .conftest import phoning, serving
from .test_bridge import correlation, sweep
from .test_hear import EVENTS, Mouth


def payload_of(packets: list[Rtp]) -> bytes:
    """What the packets carry, one behind the other without a gap."""
    assert {b.sequence - a.sequence for a, b in itertools.pairwise(packets)} <= {1, -65535}
    pairs = [pair for pair in itertools.pairwise(packets) if not stood_still(*pair)]
    assert {(b.timestamp - a.timestamp) % 2**32 for a, b in pairs} == {160}
    return b"".join(packet.payload for packet in packets)


async def blocks(samples: np.ndarray, length: int, pause_s: float = 0.0) -> AsyncIterator[bytes]:
    for at in range(0, len(samples), length):
        yield samples[at : at + length].tobytes()
        if pause_s:
            await asyncio.sleep(pause_s)


class Speaker:
    """Answers a call and speaks what ``source`` makes; ``ended`` says what came of it."""

    def __init__(self, make_source, **options) -> None:
        self._make_source = make_source
        self._options = options
        self.ended: asyncio.Future[Played] = asyncio.get_running_loop().create_future()

    async def __call__(self, call: Call) -> None:
        await call.answer()
        try:
            self.ended.set_result(await call.speak(self._make_source(), **self._options))
        except (CallEnded, LookupError, TypeError) as error:
            self.ended.set_exception(error)
            self.ended.exception()  # else it is logged, wherever it is collected, if no test asks


async def test_what_a_source_gives_is_heard_to_the_byte():
    """Blocks of an odd length, given faster than they can be played: none is lost."""
    sound = sweep(1.5)
    speaker = Speaker(lambda: blocks(sound, 333))
    async with serving(speaker) as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(75)
        assert payload_of(packets) == PCMU.encode(sound)
        assert (await speaker.ended).outcome is PlayOutcome.FINISHED
        assert (await speaker.ended).played_ms == 1500
        await phone.until_bye()


async def test_speech_follows_a_prompt_without_a_gap(make_prompt):
    prompt, payload = make_prompt("a.ulaw", 1_000)
    sound = sweep(0.21)

    async def handler(call: Call) -> None:
        await call.answer()
        playing = asyncio.ensure_future(call.play(prompt))
        await asyncio.sleep(0)
        await call.speak(blocks(sound, 100))
        await playing

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        heard = payload_of(await phone.packets(17))
        assert heard[: 1_000 + len(sound)] == payload + PCMU.encode(sound)
        assert set(heard[1_000 + len(sound) :]) == {0xFF}


async def test_a_slow_source_leaves_gaps_and_no_noise():
    """Every block is heard whole; the time between is told by timestamp and marker."""
    sound = sweep(0.4)
    speaker = Speaker(lambda: blocks(sound, 320, pause_s=0.15))
    async with serving(speaker) as engine, phoning(engine) as phone:
        await phone.call()
        packets = await phone.packets(20)
        assert b"".join(packet.payload for packet in packets) == PCMU.encode(sound)
        assert sum(packet.marker for packet in packets) >= 8
        steps = {(b.sequence - a.sequence) % 65536 for a, b in itertools.pairwise(packets)}
        assert steps == {1}


async def test_another_rate_is_converted():
    at = np.arange(24_000) / 24_000
    sound = (8000 * np.sin(2 * np.pi * (300 + 500 * at) * at)).astype(np.int16)
    speaker = Speaker(lambda: blocks(sound, 480), sample_rate_hz=24_000)
    async with (
        serving(speaker, codecs=["g722"]) as engine,
        phoning(engine, formats="9") as phone,
    ):
        await phone.call()
        heard = G722.decode(payload_of(await phone.packets(49)))
        assert correlation(sound[::3], heard[::2]) > 0.95


async def test_who_speaks_is_interrupted_by_a_digit():
    speaker = Speaker(lambda: blocks(sweep(5.0), 160), barge_in="dtmf")
    async with serving(speaker) as engine, phoning(engine, formats="0 101") as phone:
        mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
        await phone.packets(5)
        mouth.press("1")
        assert (await speaker.ended).outcome is PlayOutcome.BARGED_IN
        await phone.until_bye()


async def test_an_error_of_the_source_stops_the_sound_and_is_told():
    async def broken() -> AsyncIterator[np.ndarray]:
        yield sweep(0.1)
        raise LookupError("no voice")

    speaker = Speaker(broken)
    async with serving(speaker) as engine, phoning(engine) as phone:
        await phone.call()
        with pytest.raises(LookupError, match="no voice"):
            await speaker.ended
        await phone.until_bye()


async def test_what_is_no_sound_is_refused():
    async def letters() -> AsyncIterator[str]:
        yield "sound"

    speaker = Speaker(letters)
    async with serving(speaker) as engine, phoning(engine) as phone:
        await phone.call()
        with pytest.raises(TypeError, match="int16"):
            await speaker.ended


async def test_hanging_up_closes_the_source():
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[np.ndarray]:
        try:
            while True:
                yield sweep(0.2)
        finally:
            closed.set()

    speaker = Speaker(endless)
    async with serving(speaker) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.packets(3)
        await phone.hang_up()
        with pytest.raises(CallEnded):
            await speaker.ended
        async with asyncio.timeout(5):
            await closed.wait()
