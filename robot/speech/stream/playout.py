"""What a peer says, on its way to the caller: sans-I/O.

A peer may send a minute at once, or each block when it is due, or late. What it sends waits here,
and goes on to a :class:`Mouth`, which has room for a moment and plays at the pace of the call.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

ROOM_MS = 400
"""What a mouth should have room for."""

CUSHION_MS = 60
"""Sound after a pause waits for more of it, so long at most: then a peer that sends every block as
it is due may be late with one, and no gap is heard."""

REFILL_MS = ROOM_MS // 4

MAX_MARKS = 10_000
"""Marks that wait for their sound: a block of 20 ms for each is more than peers are known to send
for what there is room for."""


class Mouth(Protocol):
    """What plays to the caller."""

    def write(self, sound: memoryview) -> int:
        """Takes as many bytes as there is room for, whole samples; returns how many."""
        ...

    def mark(self, number: int) -> bool:
        """To be told when all that was written before was sent; False if too many marks wait."""
        ...

    def clear(self) -> None:
        """What was written and not yet sent is not to be sent; its marks are told no more."""
        ...

    @property
    def buffered_ms(self) -> float:
        """How much of what was written was not yet sent."""
        ...


@dataclass(slots=True)
class PlayoutFigures:
    """What became of a peer's sound, in bytes of it, and of its marks."""

    taken: int = 0
    discarded: int = 0
    cleared: int = 0
    marks: int = 0
    marks_cleared: int = 0
    marks_refused: int = 0
    clears: int = 0


class Playout:
    """Sound and marks of one peer in the order in which they came.

    ``room`` is how many bytes may wait: more of them are discarded, the last first, because those
    that wait are the beginning of what is to be said. What is returned as names are marks that go
    back to the peer now. After :meth:`clear`, nothing that came before it is played.
    """

    def __init__(self, mouth: Mouth, *, bytes_per_ms: int, room: int) -> None:
        self.figures = PlayoutFigures()
        self._mouth = mouth
        self._bytes_per_ms = bytes_per_ms
        self._room = room
        self._items: deque[memoryview | int] = deque()
        self._waiting = 0
        self._held_since_ms: int | None = None
        self._marks: deque[tuple[int, str]] = deque()
        self._number = 0

    @property
    def idle(self) -> bool:
        """True if there is nothing left to be played."""
        return not self._items and not self._marks and not self._mouth.buffered_ms

    def put(self, sound: bytes) -> None:
        """Sound that came."""
        fits = min(len(sound), self._room - self._waiting)
        fits -= fits % 2 if fits < len(sound) else 0
        self.figures.discarded += len(sound) - fits
        self.figures.taken += fits
        if fits:
            self._items.append(memoryview(sound)[:fits])
            self._waiting += fits

    def mark(self, name: str) -> None:
        """A mark behind the sound that came before."""
        if len(self._marks) >= MAX_MARKS:
            self.figures.marks_refused += 1
            return
        self.figures.marks += 1
        self._number += 1
        self._marks.append((self._number, name))
        self._items.append(self._number)

    def end(self) -> int:
        """Nothing more comes: the mouth is given one more mark, which is of no peer; returns it."""
        self._number += 1
        self._items.append(self._number)
        return self._number

    def clear(self) -> list[str]:
        """Play nothing of what came before; its marks go back."""
        self.figures.cleared += self._waiting + int(self._mouth.buffered_ms * self._bytes_per_ms)
        self._mouth.clear()
        names = [name for _, name in self._marks]
        self.figures.clears += 1
        self.figures.marks_cleared += len(names)
        self._items.clear()
        self._marks.clear()
        self._waiting = 0
        self._held_since_ms = None
        return names

    def sent(self, number: int) -> list[str]:
        """The mouth has sent all before mark ``number``, and with it before those that it was given
        earlier. One of before a clear changes nothing."""
        names = []
        while self._marks and self._marks[0][0] <= number:
            names.append(self._marks.popleft()[1])
        return names

    def advance(self, now_ms: int) -> int | None:
        """Give the mouth what it has room for; returns in how many milliseconds to call again, None
        if there is nothing to be done before more comes."""
        if (wait_ms := self._cushion_ms(now_ms)) is not None:
            return wait_ms
        while self._items:
            item = self._items[0]
            if isinstance(item, int):
                if not self._mouth.mark(item):
                    return REFILL_MS
            else:
                taken = self._mouth.write(item)
                self._waiting -= taken
                if taken < len(item):
                    self._items[0] = item[taken:]
                    return REFILL_MS
            self._items.popleft()
        return None

    def _cushion_ms(self, now_ms: int) -> int | None:
        """How long to hold sound back after a pause, None if it need not be."""
        if not self._waiting:
            return None
        if self._waiting >= self._bytes_per_ms * CUSHION_MS or self._mouth.buffered_ms:
            self._held_since_ms = None
            return None
        if self._held_since_ms is None:
            self._held_since_ms = now_ms
        rest_ms = self._held_since_ms + CUSHION_MS - now_ms
        if rest_ms > 0:
            return rest_ms
        self._held_since_ms = None
        return None
