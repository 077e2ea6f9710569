"""Prompts that were spoken once are files from then on, where the engine that speaks is our own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from .script.actions import SpokenText
from .speech.cache import CacheFigures, PromptCache
from .speech.engines.engine import EngineFailed, Utterance

log = structlog.get_logger(__name__)

MAX_WANTED = 32
"""Texts that are being made at once; what is wanted beyond is made another time."""


class CachedPrompts:
    """`KeptPrompts` in a cache that has a synthesizer. ``close`` it when no more calls come."""

    def __init__(self, cache: PromptCache) -> None:
        self._cache = cache
        self._making: set[asyncio.Task[None]] = set()

    @property
    def figures(self) -> CacheFigures:
        """What became of what was asked for."""
        return self._cache.figures

    def find(self, text: SpokenText) -> Path | None:
        """The file, if it is there."""
        return self._cache.find(_utterance_of(text))

    def want(self, text: SpokenText) -> None:
        """Have it made, for the next time."""
        if len(self._making) < MAX_WANTED:
            task = asyncio.ensure_future(self._make(_utterance_of(text)))
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    async def close(self) -> None:
        """Make no more."""
        for task in self._making:
            task.cancel()
        if self._making:
            await asyncio.wait(self._making)

    async def _make(self, utterance: Utterance) -> None:
        try:
            await self._cache.render(utterance)
        except (EngineFailed, OSError) as error:
            log.warning("prompt not kept", cause=str(error))


def _utterance_of(text: SpokenText) -> Utterance:
    return Utterance(text.text, text.locale, text.voice, text.ssml)
