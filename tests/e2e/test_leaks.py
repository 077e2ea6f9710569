"""What calls leave behind in the process: nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ringwheel import Call, CallEnded
from ringwheel.media.leg import Leg
from ringwheel.media.session import MediaSession
from ringwheel.media.sip.session import SipCall

from ..ports import can_bind, pairs_of
from .conftest import eventually, phoning, serving

pytestmark = pytest.mark.alone

CALLS = 24
KINDS = (Call, Leg, MediaSession, SipCall)


def open_files() -> int:
    """File descriptors of this process; the one that lists them is always among them."""
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def left_in_memory(others: Sequence[object] = ()) -> list[object]:
    """What no reference count has freed; the collector is off while calls run."""
    known = set(map(id, others))
    things = (thing for thing in gc.get_objects() if isinstance(thing, KINDS))
    return [thing for thing in things if id(thing) not in known]


async def one_call(engine, number: int) -> None:
    """A call of one of six ends."""
    async with phoning(engine, formats="18" if number % 6 == 5 else "0") as phone:
        phone.invite()
        if number % 6 == 0:
            phone.send("CANCEL")
        answer = await phone.response("INVITE")
        phone.send("ACK", cseq=1)
        if answer.status != 200:
            return
        if number % 6 == 1:
            await phone.hang_up()
            return
        await phone.packets(2)
        if number % 6 == 2:
            await phone.hang_up()
        elif number % 6 == 3:
            await phone.call(phone.offer("sendonly"))
            await phone.hang_up()
        else:
            await phone.until_bye()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage stays, so that it can be seen."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_calls_leave_no_thread_file_task_port_or_object_behind(make_prompt):
    path, _ = make_prompt("a.ulaw", 1000)
    others = left_in_memory()  # of other tests

    async def handler(call: Call) -> None:
        call.ring()
        await asyncio.sleep(0)
        await call.answer()
        try:
            await call.play(path)
        except CallEnded as ended:
            assert str(ended)
            raise
        if call.call_id.endswith("4"):
            raise ZeroDivisionError

    ports = pairs_of(CALLS)
    async with serving(handler, rtp_ports=ports, shards=2) as engine:
        tasks_at_rest = len(asyncio.all_tasks())
        for number in range(6):  # what is made once is made now: threads that read prompts, caches
            await one_call(engine, number)
        await eventually(lambda: engine.snapshot().calls_up == 0)
        await eventually(lambda: all(map(can_bind, range(ports[0], ports[1] + 1))))
        await eventually(lambda: len(asyncio.all_tasks()) == tasks_at_rest)
        before = open_files(), threads()

        async with asyncio.TaskGroup() as tasks:
            for number in range(CALLS):
                tasks.create_task(one_call(engine, number))
        await eventually(lambda: engine.snapshot().calls_up == 0)
        await eventually(lambda: all(map(can_bind, range(ports[0], ports[1] + 1))))
        assert engine.snapshot().media["legs_opened"] > CALLS // 2
        await eventually(lambda: len(asyncio.all_tasks()) == tasks_at_rest)
        assert (open_files(), threads()) == before
        await eventually(lambda: not left_in_memory(others))


async def test_threads_do_not_grow_with_calls(make_prompt):
    path, _ = make_prompt("a.ulaw", 1000)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(path, loop=True)

    async with serving(handler) as engine:
        phones = [phoning(engine) for _ in range(CALLS)]
        counts = []
        try:
            for context in phones:
                phone = await context.__aenter__()
                await phone.call()
                await phone.packets(1)
                counts.append(threads())
            assert engine.snapshot().calls_up == CALLS
        finally:
            for context in phones[: len(counts)]:
                await context.__aexit__(None, None, None)
    assert set(counts) == {counts[0]}
