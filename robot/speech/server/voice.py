"""The mouth of a session: one utterance after the other, spoken into its call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import structlog

from ....media.call import Call, CallEnded
from ....media.codec import Samples
from ....media.sound import to_int16
from ..engines.engine import EngineFailed, Synthesizer, Utterance
from .resource import ResourceFigures

log = structlog.get_logger(__name__)

SPEAK_S = 600.0
"""The longest that one utterance may take, with its pauses."""


class CallSpeaker:
    """Speaks into a call; ``spoken`` is told how each utterance ended that was not stopped."""

    def __init__(
        self,
        call: Call,
        engine: Synthesizer,
        spoken: Callable[[EngineFailed | None], None],
        default_voice: str | None = None,
        figures: ResourceFigures | None = None,
    ) -> None:
        self._call = call
        self._engine = engine
        self._spoken = spoken
        self._default_voice = default_voice
        self._task: asyncio.Task[None] | None = None
        # Who was stopped holds the line until its sound is put away; several may wait for that.
        self._line = asyncio.Lock()
        self._figures = figures or ResourceFigures()
        self._volume = 1.0

    def start(self, utterance: Utterance) -> None:
        """Speak it, once the utterance before has let go of the line."""
        self._volume = 1.0
        self._task = asyncio.create_task(self._speak(utterance))

    def stop(self) -> None:
        """Stop at once."""
        if self._task is not None:
            self._task.cancel()
        self._call.resume()

    def pause(self) -> None:
        """Hold."""
        self._call.pause()

    def resume(self) -> None:
        """Go on."""
        self._call.resume()

    def set_volume(self, volume: float) -> None:
        """What is still to be made of the utterance is so loud."""
        self._volume = volume

    async def close(self) -> None:
        """Stop, and wait until all is put away."""
        if self._task is not None:
            self._task.cancel()
        async with self._line:
            self._task = None

    async def _speak(self, utterance: Utterance) -> None:
        try:
            async with self._line:
                failure = await self._attempt(utterance)
        except CallEnded:
            return
        self._task = None
        self._spoken(failure)

    async def _attempt(self, utterance: Utterance) -> EngineFailed | None:
        """Say it; why that was not to be. CallEnded."""
        try:
            await self._say(self._voiced(utterance))
        except CallEnded:
            raise
        except EngineFailed as error:
            log.warning("not spoken", call=self._call.id, kind=error.kind, cause=str(error))
            return error
        except TimeoutError:
            return EngineFailed("deadline", f"still speaking after {SPEAK_S:.0f} s")
        except Exception as error:
            log.exception("not spoken", call=self._call.id)
            return EngineFailed("failed", f"{type(error).__name__}: {error}")
        return None

    async def _say(self, utterance: Utterance) -> None:
        await self._engine.check(utterance)
        async with asyncio.timeout(SPEAK_S):
            await self._call.answer()  # the request may have overtaken the ACK
            rate_hz = self._engine.sample_rate_hz
            await self._call.speak(self._blocks(utterance), sample_rate_hz=rate_hz)

    def _voiced(self, utterance: Utterance) -> Utterance:
        if utterance.voice is None and self._default_voice is not None:
            return replace(utterance, voice=self._default_voice)
        return utterance

    async def _blocks(self, utterance: Utterance) -> AsyncGenerator[Samples, None]:
        async with aclosing(self._engine.synthesize(utterance)) as blocks:
            async for block in blocks:
                self._figures.synthesized_s += len(block) / self._engine.sample_rate_hz
                loud = self._volume
                yield block if loud == 1.0 else to_int16(block.astype(np.float64) * loud)
