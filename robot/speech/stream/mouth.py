"""What a peer says, played to the caller of a call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from ....media._core import LiveSound
from ....media.call import Call
from ....media.codec import PCMU, Samples
from ....media.live import resampler_between
from .playout import ROOM_MS

POLL_S = 0.01


class CallMouth:
    """A `Mouth` of a call: sound at ``rate_hz``, mu-law if ``encoded``, else linear.

    ``on_sent`` is called with the number of a mark when the sound before it was sent.
    """

    def __init__(self, rate_hz: int, *, encoded: bool, on_sent: Callable[[int], None]) -> None:
        self._rate_hz = rate_hz
        self._encoded = encoded
        self._on_sent = on_sent
        self._loop = asyncio.get_running_loop()
        self._marks: deque[tuple[int, int]] = deque()
        self._poll: asyncio.TimerHandle | None = None
        self._written = 0
        self._live: LiveSound | None = None

    async def open(self, call: Call) -> None:
        """Begin to play to a call that was answered, behind what is queued already."""
        self._leg, self._codec = call.connected()
        self._packet_ms = call._packet_ms

    def close(self) -> None:
        """Play nothing any more."""
        self.clear()

    @property
    def buffered_ms(self) -> float:
        """How much was written and not yet sent."""
        if self._live is None:
            return 0
        return self._live.waiting * 1000 / self._codec.sample_rate_hz

    def write(self, sound: memoryview) -> int:
        """Takes what there is room for."""
        sample_bytes = 1 if self._encoded else 2
        room = int((ROOM_MS - self.buffered_ms) * self._rate_hz / 1000) * sample_bytes
        part = sound[: max(0, room)]
        if not part:
            return 0
        self._play(self._samples(bytes(part)))
        return len(part)

    def _samples(self, part: bytes) -> Samples:
        samples = PCMU.decode(part) if self._encoded else np.frombuffer(part, np.int16)
        if self._live is None:
            self._resampler = (
                None
                if self._rate_hz == self._codec.sample_rate_hz
                else resampler_between(self._rate_hz, self._codec.sample_rate_hz)
            )
        return samples if self._resampler is None else self._resampler.resample_chunk(samples)

    def _play(self, samples: Samples) -> None:
        if self._live is None:
            name = (self._codec.name, self._codec.clock_rate_hz)
            self._live = LiveSound(name, self._packet_ms, 2 * ROOM_MS)
            self._written = 0
            self._leg.play_live(self._live)
        self._written += self._live.write(samples)

    def mark(self, number: int) -> None:
        """To be told when what was written was sent."""
        self._marks.append((self._written, number))
        self._tell()

    def _tell(self) -> None:
        self._poll = None
        sent = self._written - (self._live.waiting if self._live is not None else 0)
        while self._marks and self._marks[0][0] <= sent:
            self._on_sent(self._marks.popleft()[1])
        if self._marks and self._poll is None:
            self._fill_up()
            self._poll = self._loop.call_later(POLL_S, self._tell)

    def _fill_up(self) -> None:
        """What is less than a packet is not sent: silence behind it."""
        packet = self._packet_ms * self._codec.sample_rate_hz // 1000
        if self._live is not None and 0 < self._live.waiting < packet:
            self._live.write(np.zeros(packet - self._live.waiting, np.int16))

    def clear(self) -> None:
        """Stop at once."""
        self._marks.clear()
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        if self._live is not None:
            self._live = None
            if not self._leg.closed.done():
                self._leg.stop_playing()
