"""Calling out, without a network: one number's trouble is no other's."""

from __future__ import annotations

import asyncio

from ringwheel.robot.calling import CallingOut
from ringwheel.robot.numbers import Number, NumbersError

DEADLINE_S = 20.0


class Robot:
    """Talks with each for as long as the test likes; a number may be a defect."""

    def __init__(self):
        self.dialled = []
        self.talked_enough = asyncio.Event()

    async def dial(self, uri, facts, **options):
        self.dialled.append(uri)
        if "defect" in uri:
            raise RuntimeError("a defect")
        await self.talked_enough.wait()
        return {"outcome": "answered", "cause": "done"}


def calling(robot):
    return CallingOut(robot, trunk=None, concurrent=10, rate_per_s=1000, caller=None, timeout_s=1.0)


async def test_numbers_that_cannot_be_read_any_more_cut_nobody_short():
    def numbers():
        yield Number(2, "sip:a@b", {})
        # The second is asked for when the first is being called.
        raise NumbersError("n.csv:3: changed meanwhile")

    robot = Robot()
    calls = asyncio.create_task(calling(robot).run(numbers()))
    async with asyncio.timeout(DEADLINE_S):
        while not robot.dialled:  # noqa: ASYNC110 - a list has nobody to wait for
            await asyncio.sleep(0)
        robot.talked_enough.set()
        tally = await calls
    assert tally.causes == {"done": 1}
    assert (tally.unread, tally.good) == ("n.csv:3: changed meanwhile", False)


async def test_a_defect_in_one_call_ends_no_other():
    robot = Robot()
    numbers = [Number(2, "sip:a@b", {}), Number(3, "sip:defect@b", {}), Number(4, "sip:c@b", {})]
    calls = asyncio.create_task(calling(robot).run(numbers))
    async with asyncio.timeout(DEADLINE_S):
        while len(robot.dialled) < len(numbers):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        robot.talked_enough.set()
        tally = await calls
    assert tally.outcomes == {"answered": 2, "failed": 1}
    assert not tally.good
