"""A robot and its calls, without a network."""

import asyncio
from types import SimpleNamespace

import pytest
from ringwheel.robot import runner
from ringwheel.robot.record import QUALITY
from ringwheel.robot.runner import Robot
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.script.events import Begin

SCRIPT = "ringwheel: 1\nname: Test\nsteps:\n  - hang_up: done\n"
TALKS = "ringwheel: 1\nname: Test\nsteps:\n  - say: Hello.\n"


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


class Answered(Incoming):
    """A call that has just ended, and whose last figures take their time."""

    ended = "by the caller"
    trunk = None

    def __init__(self):
        super().__init__()
        self.closing = asyncio.Event()

    async def answer(self):
        pass

    async def wait_closed(self):
        self.closing.set()
        await asyncio.get_running_loop().create_future()

    def quality(self):
        return SimpleNamespace(**dict.fromkeys(QUALITY))


async def begun(interpreter, channel, *, clock_ms, facts):
    interpreter.begin(Begin(at_ms=clock_ms(), facts=facts))
    raise RuntimeError("a defect")


async def answered(tmp_path, monkeypatch, cancel):
    """The record of a conversation that a defect ends."""
    monkeypatch.setattr(runner, "converse", begun)
    monkeypatch.setattr(runner, "LAST_FIGURES_S", 30.0 if cancel else 0.0)
    file = tmp_path / "script.yaml"
    file.write_text(TALKS)
    records = []

    async def take(record):
        records.append(record)

    async with Robot(SimpleNamespace(), load_script(file), results=take) as robot:
        call = Answered()
        answering = asyncio.create_task(robot.answer(call))
        if cancel:
            async with asyncio.timeout(20):
                await call.closing.wait()
            answering.cancel()
        with pytest.raises(asyncio.CancelledError if cancel else RuntimeError):
            await answering
    return records


async def test_a_defect_is_an_error_in_the_record(tmp_path, monkeypatch):
    (record,) = await answered(tmp_path, monkeypatch, cancel=False)
    assert (record["outcome"], record["cause"]) == ("answered", "error")


async def test_a_record_is_written_whoever_is_cancelled(tmp_path, monkeypatch):
    (record,) = await answered(tmp_path, monkeypatch, cancel=True)
    assert record["cause"] == "error"
