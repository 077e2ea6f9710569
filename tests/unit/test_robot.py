"""A robot and its calls, without a network."""

import asyncio
from types import SimpleNamespace

from ringwheel.robot.runner import Robot
from ringwheel.robot.script.compiler import load_script

SCRIPT = "ringwheel: 1\nname: Test\nsteps:\n  - hang_up: done\n"


class Incoming:
    """A call that is being answered, for as long as the test likes."""

    def __init__(self):
        self.id = self.call_id = self.from_uri = self.to_uri = "x"
        self.outgoing = False
        self.rejected = 0
        self.answering = asyncio.Event()

    async def answer(self):
        self.answering.set()
        await asyncio.get_running_loop().create_future()

    def reject(self, status):
        self.rejected = status


async def test_a_call_counts_from_before_it_is_answered(tmp_path):
    file = tmp_path / "script.yaml"
    file.write_text(SCRIPT)
    async with Robot(SimpleNamespace(), load_script(file), max_conversations=1) as robot:
        first, second = Incoming(), Incoming()
        answering = asyncio.create_task(robot.answer(first))
        await first.answering.wait()
        second.answering.set()
        refused = asyncio.create_task(robot.answer(second))
        await asyncio.wait({refused}, timeout=1)
        assert (first.rejected, second.rejected) == (0, 503)
        robot.drain()
        assert robot.conversations == 1 and not robot.idle.is_set()
        answering.cancel()
        refused.cancel()
        await robot.idle.wait()
