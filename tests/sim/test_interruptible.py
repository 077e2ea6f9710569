"""Blocks that callbacks end: what of it is seen outside, and who else cancels is heard."""

import asyncio
import contextlib

import pytest
from ringwheel.robot.interruptible import Interruptible

from .virtual_loop import run_virtual


def at(seconds, do):
    asyncio.get_running_loop().call_later(seconds, do)


async def forever():
    await asyncio.get_running_loop().create_future()


async def unmoved(seconds):
    """Work that takes no notice of the first cancellation."""
    with contextlib.suppress(asyncio.CancelledError):
        await forever()
    await asyncio.sleep(seconds)


def test_a_block_ends_when_a_callback_says_so_and_the_task_goes_on():
    async def main():
        with Interruptible() as block:
            at(3, block.interrupt)
            await forever()
        assert block.interrupted
        await asyncio.sleep(1)
        assert asyncio.current_task().cancelling() == 0
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(4)


def test_who_is_not_in_the_block_is_not_interrupted():
    async def main():
        block = Interruptible()
        assert not block.interrupt()
        with block:
            await asyncio.sleep(1)
        assert not block.interrupt()
        await asyncio.sleep(1)
        return block.interrupted

    assert run_virtual(main()) is False


def test_work_that_ends_by_itself_when_interrupted_leaves_nothing_behind():
    async def main():
        with Interruptible() as block:
            at(1, block.interrupt)
            await unmoved(5)
        assert block.interrupted
        await asyncio.sleep(1)
        return asyncio.current_task().cancelling()

    assert run_virtual(main()) == 0


def test_work_that_does_not_end_may_be_interrupted_again():
    async def main():
        with Interruptible() as block:
            at(1, block.interrupt)
            at(3, block.interrupt)
            await unmoved(100)
        assert asyncio.current_task().cancelling() == 0
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(3)


@pytest.mark.parametrize("first", ["callback", "cancel"])
def test_whoever_else_cancels_the_task_is_heard(first):
    async def work():
        with Interruptible() as block:
            task = asyncio.current_task()
            both = [block.interrupt, task.cancel]
            at(1, both[first == "cancel"])
            at(1, both[first == "callback"])
            await forever()
        raise AssertionError("it goes on")

    async def main():
        task = asyncio.create_task(work())
        await asyncio.wait({task})
        return task.cancelled()

    assert run_virtual(main())


def test_of_two_blocks_the_outer_one_ends_where_both_are_interrupted():
    ended = []

    async def main():
        with Interruptible() as outer:
            with Interruptible() as inner:
                at(1, inner.interrupt)
                at(1, outer.interrupt)
                await forever()
            ended.append("inner")
        ended.append("outer")
        return asyncio.current_task().cancelling()

    assert run_virtual(main()) == 0
    assert ended == ["outer"]


def test_of_two_blocks_the_inner_one_ends_alone():
    async def main():
        with Interruptible() as outer:
            with Interruptible() as inner:
                at(1, inner.interrupt)
                await forever()
            assert inner.interrupted
            await asyncio.sleep(1)
        return outer.interrupted, asyncio.get_running_loop().time()

    assert run_virtual(main()) == (False, pytest.approx(2))


def test_an_error_within_is_not_hidden():
    async def fails():
        try:
            await forever()
        finally:
            raise RuntimeError("a defect")

    async def main():
        with pytest.raises(RuntimeError), Interruptible() as block:
            at(1, block.interrupt)
            await fails()
        return asyncio.current_task().cancelling()

    assert run_virtual(main()) == 0
