"""What the caller types: digits as they come, and gathering them into an entry."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

SYMBOLS = "0123456789*#ABCD"
MAX_TYPED = 64
"""Digits that wait to be gathered; of more, the oldest are forgotten."""


class GatherEnd(StrEnum):
    """Why gathering digits came to its end."""

    TERMINATOR = "terminator"
    MAX = "max"
    FIRST_TIMEOUT = "first-timeout"
    INTER_TIMEOUT = "inter-timeout"


class Gathered(NamedTuple):
    """An entry: its digits without the terminator, and what ended it."""

    digits: str
    ended_by: GatherEnd
    terminator: str = ""


class Keypad:
    """The digits of one call that nobody has gathered yet. ``on_typed`` is called with each."""

    __slots__ = ("_typed", "_waiting", "forgotten", "on_typed")

    def __init__(self) -> None:
        self._typed: deque[str] = deque()
        self._waiting: list[asyncio.Future[bool]] = []
        self.forgotten = 0
        self.on_typed: Callable[[], None] | None = None

    @property
    def typed(self) -> str:
        """What waits."""
        return "".join(self._typed)

    def clear(self) -> None:
        """Forget what was typed ahead."""
        self._typed.clear()

    def take(self, symbol: str) -> None:
        """A digit was pressed."""
        if len(self._typed) == MAX_TYPED:
            self._typed.popleft()
            self.forgotten += 1
        self._typed.append(symbol)
        for change in self._waiting:
            _wake(change, True)
        if self.on_typed is not None:
            self.on_typed()

    async def next(self, timeout_s: float) -> str | None:
        """The next digit, one that waits already or the first to come; None after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while not self._typed:
            if loop.time() >= deadline_s:
                return None
            # A timer by hand, and here, as this is waited for with every question:
            # `asyncio.timeout` costs several times as much.
            change: asyncio.Future[bool] = loop.create_future()
            deadline = loop.call_at(deadline_s, _wake, change, False)
            self._waiting.append(change)
            try:
                if not await change:
                    return None
            finally:
                deadline.cancel()
                self._waiting.remove(change)
        return self._typed.popleft()

    async def gather(
        self, max_digits: int, terminators: str, first_ms: int, inter_ms: int
    ) -> Gathered:
        """Digits up to a terminator, to ``max_digits``, or to a silence that is too long.

        ``first_ms`` is the time for the first one, ``inter_ms`` that between two.
        """
        digits = ""
        while len(digits) < max_digits:
            symbol = await self.next((inter_ms if digits else first_ms) / 1000)
            if symbol is None:
                return Gathered(
                    digits, GatherEnd.INTER_TIMEOUT if digits else GatherEnd.FIRST_TIMEOUT
                )
            if symbol in terminators:
                return Gathered(digits, GatherEnd.TERMINATOR, symbol)
            digits += symbol
        return Gathered(digits, GatherEnd.MAX)


def _wake(change: asyncio.Future[bool], typed: bool) -> None:
    if not change.done():
        change.set_result(typed)


def check_entry(max_digits: int, terminators: str, first_ms: int, inter_ms: int) -> None:
    """ValueError for settings of :meth:`Keypad.gather` that make no sense."""
    if not 1 <= max_digits <= MAX_TYPED:
        raise ValueError(f"max: {max_digits} digits; use 1 to {MAX_TYPED}")
    if first_ms < 0 or inter_ms < 0:
        raise ValueError("first_ms and inter_ms cannot be negative")
    check_digits(terminators)


def check_digits(digits: str) -> None:
    """ValueError for what has no key."""
    wrong = [symbol for symbol in digits if symbol not in SYMBOLS]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no digit; use {SYMBOLS}")
