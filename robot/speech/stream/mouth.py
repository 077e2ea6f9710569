"""What a peer says, played to the caller of a call."""

from __future__ import annotations

from collections.abc import Callable

from ....media.call import Call
from ....media.live import LiveOut
from .playout import ROOM_MS

MAX_MARKS = 128
"""Marks that wait in the engine, of the 256 for which it has room; the others wait before it."""


class CallMouth:
    """A `Mouth` of a call: sound at ``rate_hz``, mu-law if ``encoded``, else linear.

    ``on_sent`` is called with the number of a mark when the sound before it was sent, or will not
    be any more.
    """

    def __init__(self, rate_hz: int, *, encoded: bool, on_sent: Callable[[int], None]) -> None:
        self._rate_hz = rate_hz
        self._encoded = encoded
        self._sample_bytes = 1 if encoded else 2
        self._on_sent = on_sent
        self._marks = 0
        self._out: LiveOut | None = None

    async def open(self, call: Call) -> None:
        """Begin to play to a call that was answered, behind what is queued already."""
        self._out = await call.open_live(
            sample_rate_hz=self._rate_hz, encoding="mulaw" if self._encoded else "pcm"
        )

    def close(self) -> None:
        """Play nothing any more."""
        if self._out is not None:
            self._out.stop()

    @property
    def over(self) -> bool:
        """True if somebody has stopped what plays: then nothing is taken any more."""
        return self._out is not None and self._out.over

    @property
    def buffered_ms(self) -> float:
        """How much was written and not yet sent."""
        return self._out.buffered_ms if self._out is not None else 0.0

    def write(self, sound: memoryview) -> int:
        """Takes what there is room for."""
        assert self._out is not None
        room = int((ROOM_MS - self.buffered_ms) * self._rate_hz / 1000) * self._sample_bytes
        if room <= 0:
            return 0
        return self._out.write(bytes(sound[:room])) * self._sample_bytes

    def mark(self, number: int) -> bool:
        """To be told when what was written was sent; False if too many wait."""
        assert self._out is not None
        if self._marks >= MAX_MARKS:
            return False
        self._marks += 1
        self._out.mark().add_done_callback(lambda _: self._reached(number))
        return True

    def _reached(self, number: int) -> None:
        self._marks -= 1
        self._on_sent(number)

    def clear(self) -> None:
        """Stop with the next packet."""
        if self._out is not None:
            self._out.clear()
