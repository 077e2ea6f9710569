"""Live sound: what a program says while it makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable

import numpy as np
import soxr

from ._core import LiveSound
from .codec import Samples

LIVE_ROOM_MS = 400
"""How much sound may wait for its slot; a source that is faster waits."""

FULL_PAUSE_S = 0.1
"""How long to wait then: a quarter of the room."""

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
