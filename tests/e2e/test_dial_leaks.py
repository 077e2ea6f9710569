"""What calls of ours leave behind in the process: nothing, however they end."""

from __future__ import annotations

import asyncio

import pytest
from ringwheel import Call, DialFailed

from ..ports import can_bind, pairs_of
from .callee import Callee
from .conftest import eventually
from .test_dial import dialling
from .test_leaks import left_in_memory, no_collector, open_files, threads

__all__ = ["no_collector"]  # a fixture

pytestmark = pytest.mark.alone

CALLS = 24
ENDS = 6


async def early(call: Call) -> None:
    """Hears until it is cancelled."""
    async for _ in call.listen():
        pass


async def one_call(engine, number: int) -> None:
    """A call of ours with one of six ends."""
    async with Callee() as callee, Callee(formats="8") as other:
        dialled = asyncio.create_task(engine.dial(callee.uri, early=early))
        invite = await callee.invited()
        end = number % ENDS
        if end == 0:
            callee.reply(invite, "486 Busy Here")
        else:
            callee.reply(invite, "183 Session Progress", callee.offer(), tag="one")
        if end == 1:
            dialled.cancel()
            callee.reply(await callee.request("CANCEL"), "200 OK")
            callee.reply(invite, "487 Request Terminated", tag="one")
        elif end == 2:
            callee.reply(invite, "503 Service Unavailable", tag="one")
        elif end >= 3:
            # The fork that answers has the same codec, or another one, early or not.
            fork = callee if end == 3 else other
            if end == 5:
                callee.reply(invite, "183 Session Progress", fork.offer(), tag="two")
            callee.tag = "two"
            callee.reply(invite, "200 OK", fork.offer())
        await asyncio.wait([dialled])
        if end >= 3:
            callee.hang_up_on(invite)
            await dialled.result().wait_ended()
        elif end != 1:
            assert isinstance(dialled.exception(), DialFailed)


@pytest.mark.usefixtures("no_collector")
async def test_dialled_calls_leave_no_thread_file_task_port_or_object_behind():
    others = left_in_memory()  # of other tests
    ports = pairs_of(CALLS)
    async with dialling(rtp_ports=ports, shards=2) as engine:
        at_rest = len(asyncio.all_tasks())

        async def rest() -> None:
            await eventually(lambda: engine.snapshot().calls_up == 0)
            await eventually(lambda: all(map(can_bind, range(ports[0], ports[1] + 1))))
            await eventually(lambda: len(asyncio.all_tasks()) == at_rest)

        for number in range(ENDS):  # what is made once is made now
            await one_call(engine, number)
        await rest()
        before = open_files(), threads()
        async with asyncio.TaskGroup() as tasks:
            for number in range(CALLS):
                tasks.create_task(one_call(engine, number))
        await rest()
        assert engine.snapshot().media["legs_opened"] > CALLS
        assert (open_files(), threads()) == before
        await eventually(lambda: not left_in_memory(others))
        async with asyncio.TaskGroup() as tasks:  # every port came back, once
            for number in range(CALLS):
                tasks.create_task(one_call(engine, number))
