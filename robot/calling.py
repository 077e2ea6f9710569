"""Calls out, one for each number: so many at the same time, so many a second."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from .numbers import Number, NumbersError
from .runner import Record, Robot

log = structlog.get_logger(__name__)

MAX_CONCURRENT = 10_000
FAILED = "failed"
"""The outcome of a call that a defect of ours has ended."""


@dataclass(slots=True)
class Tally:
    """How calling goes: ``outcomes`` of dialling, ``causes`` of the conversations that came of it.
    ``under_way`` are dialled or talked with; ``unread`` is why the rest of the numbers could not be
    read, if it could not."""

    under_way: int = 0
    unread: str = ""
    outcomes: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Numbers that are through."""
        return self.outcomes.total()

    @property
    def good(self) -> bool:
        """Whether somebody was reached, and nothing failed."""
        failed = self.unread or self.outcomes[FAILED] or self.causes["error"]
        return self.outcomes["answered"] > 0 and not failed


class CallingOut:
    """Calls numbers by a robot. After :meth:`stop` no more are begun; those under way go on."""

    def __init__(
        self,
        robot: Robot,
        *,
        trunk: str | None,
        concurrent: int,
        rate_per_s: float,
        caller: str | None,
        timeout_s: float,
        numbers: int = 0,
    ) -> None:
        self._robot = robot
        self._trunk = trunk
        self._room = asyncio.Semaphore(concurrent)
        self._interval_s = 1 / rate_per_s
        self._caller = caller
        self._timeout_s = timeout_s
        self._stopped = asyncio.Event()
        self.tally = Tally()
        self._numbers = numbers

    @property
    def waiting(self) -> int:
        """Of the ``numbers``, those whose turn has not come; none any more after `stop`."""
        if self._stopped.is_set():
            return 0
        return max(0, self._numbers - self.tally.done - self.tally.under_way)

    def stop(self) -> None:
        """Begin no more calls."""
        self._stopped.set()

    async def run(self, numbers: Iterable[Number]) -> Tally:
        """Call them all; returns when the last conversation is over."""
        async with asyncio.TaskGroup() as tasks:
            try:
                await self._begin(numbers, tasks)
            except NumbersError as error:
                # Somebody has changed the file. Raised here, it would cut short those who talk.
                log.error("no more calls are begun", cause=str(error))
                self.tally.unread = str(error)
        return self.tally

    async def _begin(self, numbers: Iterable[Number], tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        for number in numbers:
            if not await self._turn(next_s):
                break
            next_s = max(next_s + self._interval_s, loop.time())
            tasks.create_task(self._call(number))

    async def _turn(self, at_s: float) -> bool:
        """Wait for this call's time and for room; False: no more calls are to be begun."""
        ready = asyncio.ensure_future(self._ready(at_s))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
            return not stopped.done()
        finally:
            ready.cancel()
            stopped.cancel()

    async def _ready(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
        await self._room.acquire()

    async def _call(self, number: Number) -> None:
        self.tally.under_way += 1
        try:
            self._count(
                await self._robot.dial(
                    number.uri(self._trunk),
                    number.facts | {"line": number.line},
                    caller=self._caller,
                    timeout_s=self._timeout_s,
                )
            )
        except Exception:
            log.exception("a call out has failed", line=number.line)
            self.tally.outcomes[FAILED] += 1
        finally:
            self.tally.under_way -= 1
            self._room.release()

    def _count(self, record: Record) -> None:
        self.tally.outcomes[record["outcome"]] += 1
        if record["cause"] is not None:
            self.tally.causes[record["cause"]] += 1
