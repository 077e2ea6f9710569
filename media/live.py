"""Live sound: what a program says while it makes it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable

import numpy as np
import soxr

from ._core import LiveSound
from .codec import PCMU, Samples
from .events import PlayEnded, PlayOutcome
from .leg import Leg

LIVE_ROOM_MS = 400
"""How much sound may wait for its slot; a source that is faster waits."""

FULL_PAUSE_S = 0.1
"""How long to wait then: a quarter of the room."""

OUT_ROOM_MS = 10_000
"""How much may wait of what comes faster than it is played."""
MAX_OUT_ROOM_MS = 60_000
MAX_MARKS = 256

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000

Pcm = Samples | bytes
"""Mono sound: int16 samples, or their bytes in the machine's order."""


class Feed:
    """Brings a source of sound at ``sample_rate_hz`` to a leg that plays at ``to_hz``."""

    def __init__(self, live: LiveSound, sample_rate_hz: int, to_hz: int) -> None:
        self._live = live
        same = sample_rate_hz == to_hz
        self._resampler = None if same else resampler_between(sample_rate_hz, to_hz)

    async def run(self, source: AsyncIterable[Pcm]) -> None:
        """Write all of ``source``, waiting while there is no room. TypeError: it gives no sound.

        A generator is closed, however this ends.
        """
        try:
            async for block in source:
                await self._write(_samples_of(block))
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
        if self._resampler is not None:
            await self._put(self._resampler.resample_chunk(np.empty(0, np.int16), last=True))

    async def _write(self, samples: Samples) -> None:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        await self._put(samples)

    async def _put(self, samples: Samples) -> None:
        while True:
            samples = samples[self._live.write(samples) :]
            if not len(samples):
                return
            await asyncio.sleep(FULL_PAUSE_S)


def checked_rate(sample_rate_hz: int) -> int:
    """A sample rate, or ValueError."""
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise ValueError(f"sample_rate_hz: use {MIN_RATE_HZ} to {MAX_RATE_HZ}")
    return sample_rate_hz


def resampler_between(from_hz: int, to_hz: int) -> soxr.ResampleStream:
    """A resampler for mono sound that comes in pieces."""
    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality="MQ")


def _samples_of(block: Pcm) -> Samples:
    samples = np.frombuffer(block, np.int16) if isinstance(block, bytes) else block
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.ndim != 1:
        raise TypeError("sound to speak: give arrays of int16 with one dimension, or their bytes")
    return np.ascontiguousarray(samples)


class LiveOut:
    """Sound that somebody else makes, for as long as he likes: played in the order in which it is
    written, and counted until it has left.

    It plays behind what was queued before, and what is queued later waits until it has ended. Where
    nothing is buffered there are gaps, as where nothing plays. What is less than a packet is played
    when nothing was added for 20 to 40 ms. On hold it stands still.
    """

    __slots__ = (
        "_cleared_before",
        "_converter",
        "_ended",
        "_ids",
        "_live",
        "_loop",
        "_marks",
        "_rate_hz",
    )

    def __init__(self, live: LiveSound, converter: Converter | None, rate_hz: int) -> None:
        self._live = live
        self._converter = converter
        self._rate_hz = rate_hz
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._marks: dict[int, asyncio.Future[bool]] = {}
        self._cleared_before = 0
        self._ended: asyncio.Future[PlayEnded] | None = None

    def begin(self, leg: Leg) -> asyncio.Future[PlayEnded]:
        """Queue it on ``leg``."""
        self._ended = leg.play_live(self._live, on_mark=self._on_mark)
        self._ended.add_done_callback(self._on_ended)
        return self._ended

    @property
    def over(self) -> bool:
        """True once it has ended; nothing that is written is taken any more."""
        return self._ended is not None and self._ended.done()

    @property
    def buffered_ms(self) -> float:
        """How much of what was written has not been sent yet."""
        return self._live.waiting * 1000 / self._rate_hz

    def write(self, sound: Pcm) -> int:
        """Take as much of ``sound`` as there is room for; returns how many samples that is, of
        which mu-law has one a byte. TypeError: it is no sound."""
        if self.over:
            return 0
        if self._converter is not None:
            return self._converter.write(self._live, sound)
        return self._live.write_encoded(_bytes_of(sound))

    def mark(self) -> asyncio.Future[bool]:
        """Set a mark behind what was written: done when all of that has left, with True, or with
        False when it has been cleared or playing has ended before. Marks are done in their order.
        RuntimeError: 256 of them wait.
        """
        reached = self._loop.create_future()
        if self.over:
            reached.set_result(False)
            return reached
        if len(self._marks) >= MAX_MARKS:
            raise RuntimeError(f"{MAX_MARKS} marks wait; wait for one of them")
        self._flush()
        mark_id = next(self._ids)
        self._live.mark(mark_id)
        self._marks[mark_id] = reached
        return reached

    def clear(self) -> None:
        """Give up what was written and has not left: with the next packet it is gone."""
        self._live.clear()
        self._cleared_before = next(self._ids)
        if self._converter is not None:
            self._converter.clear()

    def finish(self) -> None:
        """Nothing more is written: it ends when all has left."""
        self._flush()
        self._live.finish()

    def stop(self) -> None:
        """End it with the next packet."""
        self.clear()
        self._live.finish()

    def _flush(self) -> None:
        if self._converter is not None:
            self._converter.flush(self._live)

    def _on_mark(self, mark_id: int, cleared: bool) -> None:
        self._reach(mark_id, not cleared)

    def _on_ended(self, ended: asyncio.Future[PlayEnded]) -> None:
        finished = not ended.cancelled() and ended.result().outcome is PlayOutcome.FINISHED
        for mark_id in list(self._marks):
            self._reach(mark_id, finished and mark_id > self._cleared_before)

    def _reach(self, mark_id: int, played: bool) -> None:
        reached = self._marks.pop(mark_id, None)
        if reached is not None and not reached.done():  # cancelled by whoever waited
            reached.set_result(played)


class Converter:
    """Makes samples at ``to_hz`` of PCM or mu-law at ``from_hz``, as they are written."""

    def __init__(self, from_hz: int, to_hz: int, *, mulaw: bool) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._mulaw = mulaw
        self._resampler = None if from_hz == to_hz else resampler_between(from_hz, to_hz)
        self._given = self._made = 0

    def write(self, live: LiveSound, sound: Pcm) -> int:
        """Write as much of ``sound`` as there is room for; returns how many of its samples."""
        samples = PCMU.decode(_bytes_of(sound)) if self._mulaw else _samples_of(sound)
        if self._resampler is None:
            return live.write(samples)
        # What the resampler holds back has its room already.
        owed = self._given * self._to_hz // self._from_hz + 1 - self._made
        room = max(0, (live.writable - owed) * self._from_hz // self._to_hz)
        samples = samples[:room]
        self._given += len(samples)
        self._put(live, self._resampler.resample_chunk(samples))
        return len(samples)

    def flush(self, live: LiveSound) -> None:
        """Write what the resampler holds back."""
        if self._resampler is not None and self._given:
            self._put(live, self._resampler.resample_chunk(np.empty(0, np.int16), last=True))
            self.clear()

    def clear(self) -> None:
        """Forget what came before."""
        if self._resampler is not None:
            self._resampler.clear()
            self._given = self._made = 0

    def _put(self, live: LiveSound, samples: Samples) -> None:
        self._made += live.write(samples)


def _bytes_of(sound: Pcm) -> bytes:
    if not isinstance(sound, bytes | bytearray | memoryview):
        raise TypeError("mu-law to speak: give bytes")
    return bytes(sound)
