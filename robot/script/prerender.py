"""Speaks the fixed texts of a script beforehand, for its pack."""

from __future__ import annotations

import asyncio

from ..speech.cache import PromptCache
from ..speech.engines.engine import EngineFailed, Utterance
from .model import Script
from .pack import Said, texts_of

AT_ONCE = 4


async def prerender(script: Script, cache: PromptCache) -> dict[Said, bytes]:
    """The sound of each text that is always the same. EngineFailed, OSError: one cannot be had."""
    turns = asyncio.Semaphore(AT_ONCE)
    found: dict[Said, bytes] = {}

    async def speak(said: Said) -> None:
        async with turns:
            utterance = Utterance(said.text, said.locale, said.voice or None, said.ssml)
            try:
                path = await cache.render(utterance)
            except EngineFailed as error:
                raise EngineFailed(error.kind, f"{_short(said.text)}: {error}") from None
            found[said] = await asyncio.to_thread(path.read_bytes)

    try:
        async with asyncio.TaskGroup() as group:
            for said in texts_of(script):
                group.create_task(speak(said))
    except ExceptionGroup as failed:
        # The first that failed has stopped the others: it says why.
        raise failed.exceptions[0] from None
    return found


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line}”" if len(line) <= 40 else f"“{line[:37]}...”"
