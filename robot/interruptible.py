"""Work that callbacks may end, in the task that does it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self


class Interruptible:
    """A block of a task that is left when a callback says so: :meth:`interrupt`. It may be entered
    again.

    It is done as `asyncio.timeout` does it, by a cancellation that ends with the block, so that
    whoever else cancels the task is heard all the same. A task for the work alone, and another one
    that waits for it, would cost more than most of the work that a conversation has.

    Only callbacks of the loop may interrupt, and never the task itself: what is within the block
    waits then, and hears of it there. ``task``: whose it is, where that is known before.
    """

    __slots__ = ("_asked", "_before", "_owner", "_task")

    def __init__(self, task: asyncio.Task[Any] | None = None) -> None:
        self._owner = task
        self._task: asyncio.Task[Any] | None = None
        self._before = 0
        self._asked = 0

    @property
    def interrupted(self) -> bool:
        """Whether somebody has asked for its end."""
        return self._asked > 0

    def interrupt(self) -> bool:
        """End the block; False: it has not begun, or is over."""
        if self._task is None:
            return False
        self._asked += 1
        self._task.cancel()
        return True

    def __enter__(self) -> Self:
        self._asked = 0
        self._task = task = self._owner or asyncio.current_task()
        assert task is not None
        self._before = task.cancelling()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        assert task is not None
        if not self._asked:
            return False
        for _ in range(self._asked):
            task.uncancel()
        ours = task.cancelling() <= self._before
        return ours and kind is not None and issubclass(kind, asyncio.CancelledError)
