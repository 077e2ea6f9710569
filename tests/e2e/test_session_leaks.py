"""What calls with servers of speech, and live sound, leave behind in the process: nothing."""

from __future__ import annotations

import asyncio
import gc

import pytest
from ringwheel import Call, CallEnded
from ringwheel.media.leg import Leg
from ringwheel.media.live import LiveOut
from ringwheel.media.one_way import OneWay
from ringwheel.media.session import MediaSession

from .conftest import eventually
from .test_bridge import sweep
from .test_leaks import no_collector
from .test_sessions import Pair, paired

__all__ = ["no_collector"]

pytestmark = [pytest.mark.alone, pytest.mark.one_loop]

KINDS = (Call, Leg, MediaSession, LiveOut, OneWay)


def left() -> list[object]:
    """What no reference count has freed."""
    return [thing for thing in gc.get_objects() if isinstance(thing, KINDS)]


async def use(pair: Pair, ending: str) -> None:
    """All that sound can do between two calls, cut off in the middle by one of them or at rest."""
    way = pair.call.send_sound_to(pair.session)
    await pair.caller_says.say(sweep(0.06))
    await pair.call.play_from(pair.session, pair.server_says.say(sweep(0.1)))
    out = await pair.call.open_live(encoding="mulaw")
    out.write(bytes(8_000))
    mark = out.mark()
    await pair.phone.packets(2)
    out.clear()
    assert not await mark
    if ending == "stopped":
        out.stop()
        way.stop()
        return
    out.finish()
    marks = [out.mark()]
    speaking = asyncio.create_task(
        pair.call.play_from(pair.session, pair.server_says.say(sweep(4.0)))
    )
    await pair.server_says.say(sweep(0.1))
    if ending == "caller":
        await pair.phone.hang_up()
    else:
        await pair.session.hangup()
    # Awaited, what it raises would know this frame, and this frame knows it.
    await asyncio.wait([speaking, *marks])
    assert isinstance(speaking.exception(), CallEnded if ending == "caller" else type(None))
    await eventually(lambda: not way.active)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("ending", ["stopped", "caller", "server"])
async def test_sessions_are_freed_without_the_collector(ending: str):
    others = set(map(id, left()))  # of other tests
    async with paired(shards=2) as pair:
        await use(pair, ending)
        engine = pair.engine
    del pair
    await eventually(lambda: not [thing for thing in left() if id(thing) not in others])
    assert engine.snapshot().places_taken == 0
