"""What a caller says, as a program hears it: blocks of samples, one behind the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import numpy as np
import structlog

from ._core import Listener
from .codec import PCMU, Codec, Samples
from .leg import Leg
from .live import resampler_between

log = structlog.get_logger(__name__)

ROOM_MS = 2_000
"""Sound that may wait for a program that is slow; what is more is dropped, and counted."""

MIN_BLOCK_MS, MAX_BLOCK_MS = 10, 1_000


class _Blocks:
    """Cuts sound into blocks of one length, at another rate if need be."""

    def __init__(self, from_hz: int, to_hz: int, block_ms: int) -> None:
        self._length = to_hz * block_ms // 1000
        self._resampler = None if from_hz == to_hz else resampler_between(from_hz, to_hz)
        self._rest = np.empty(0, np.int16)

    def cut(self, samples: Samples) -> list[Samples]:
        """The blocks that ``samples`` complete."""
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // self._length * self._length
        self._rest = joined[whole:]
        return list(joined[:whole].reshape(-1, self._length))


async def listen_mulaw(leg: Leg, codec: Codec, block_ms: int) -> AsyncGenerator[bytes, None]:
    """As :func:`listen`, encoded as mu-law at 8,000 Hz."""
    async with contextlib.aclosing(listen(leg, codec, PCMU.sample_rate_hz, block_ms)) as blocks:
        async for block in blocks:
            yield PCMU.encode(block)


async def listen(
    leg: Leg, codec: Codec, sample_rate_hz: int, block_ms: int
) -> AsyncGenerator[Samples, None]:
    """What ``leg`` hears from now on, until it is closed. Closing the generator ends it."""
    blocks = _Blocks(codec.sample_rate_hz, sample_rate_hz, block_ms)
    listener = Listener(codec.sample_rate_hz, ROOM_MS)
    sound = asyncio.Event()
    tap = leg.listen(codec, listener, sound.set)
    tap.ended.add_done_callback(lambda _: sound.set())
    try:
        while True:
            await sound.wait()
            sound.clear()
            over = tap.ended.done()  # before the look at what waits: then that is all
            for block in blocks.cut(listener.read()):
                yield block
            if over:
                return
    finally:
        leg.end_tap(tap)
        if listener.dropped:
            dropped_ms = listener.dropped * 1000 // codec.sample_rate_hz
            log.warning("listener too slow", leg=leg.id, dropped_ms=dropped_ms)
