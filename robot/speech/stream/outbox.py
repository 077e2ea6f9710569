"""What goes out to a peer, in order, with a bound: sans-I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_WAITING_BLOCKS = 50
"""A second of the caller's sound: what is older is of no use to somebody who answers."""

MAX_WAITING_NOTES = 20_000
"""Keys and marks, of which none is left out: twice as many as marks can wait for their sound."""


@dataclass(frozen=True, slots=True)
class Said:
    """20 ms of what the caller said, which began ``at_ms`` after the stream did."""

    sound: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class MarkPassed:
    """What came before a mark of the peer was played or cleared."""

    name: str


Outgoing = Said | Pressed | MarkPassed


class OutboxFull(Exception):
    """There are more keys and marks than a peer that reads could leave unread."""


class Outbox:
    """Messages for a peer that may read too slowly: then the oldest sound is left out."""

    def __init__(self) -> None:
        self.dropped_blocks = 0
        self._messages: deque[Outgoing] = deque()
        self._blocks = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Outgoing) -> None:
        """A message behind the others. OutboxFull: see there."""
        if isinstance(message, Said):
            if self._blocks == MAX_WAITING_BLOCKS:
                self._drop_oldest_block()
            self._blocks += 1
        elif len(self._messages) - self._blocks >= MAX_WAITING_NOTES:
            raise OutboxFull
        self._messages.append(message)

    def take(self) -> Outgoing | None:
        """The next message, None if there is none."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._blocks -= isinstance(message, Said)
        return message

    def _drop_oldest_block(self) -> None:
        for at, message in enumerate(self._messages):
            if isinstance(message, Said):
                del self._messages[at]
                break
        self._blocks -= 1
        self.dropped_blocks += 1
