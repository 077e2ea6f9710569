"""How a phone channel speaks: files and kept prompts gapless, other words by a speech service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog

from ...media.call import Call
from ...media.events import PlayOutcome
from ...media.sound import PromptError, StrPath
from ..script.actions import Speech, SpokenFile, SpokenPause, SpokenText
from ..script.model import BargeIn, By
from ..speech.service import SpeechFailed, SpeechService, SpeechSession
from .sounds import Sounds

log = structlog.get_logger(__name__)


class KeptPrompts(Protocol):
    """Spoken prompts that are kept, by what they say: none is made twice."""

    def find(self, text: SpokenText) -> Path | None:
        """The file, if it is there."""
        ...

    def want(self, text: SpokenText) -> None:
        """Have it made, for the next time."""
        ...


class SayFailed(Exception):
    """Something cannot be said; ``kind`` is one word for :class:`~..script.events.Failed`."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


Run = tuple[StrPath, ...]
"""Files that are played in one go."""


class Voice:
    """The mouth of one call, and its speech sessions: each is opened when it is first needed, used
    over all turns, and given up when it has failed, so that the next turn gets another one."""

    def __init__(
        self,
        call: Call,
        services: Mapping[By, SpeechService],
        sounds: Sounds,
        kept: KeptPrompts | None,
    ) -> None:
        self._call = call
        self._services = services
        self._sounds = sounds
        self._kept = kept
        self._sessions: dict[By, SpeechSession] = {}
        self._opening = asyncio.Lock()

    def serves(self, by: By) -> bool:
        """Whether there is speech of this kind."""
        return by in self._services

    async def session(self, by: By) -> SpeechSession:
        """The session of this call. SpeechFailed."""
        async with self._opening:
            session = self._sessions.get(by)
            if session is None:
                session = self._sessions[by] = await self._services[by].open(self._call)
            return session

    async def give_up(self, by: By) -> None:
        """The session has failed: end it."""
        session = self._sessions.pop(by, None)
        if session is not None:
            await _close(session)

    async def close(self) -> None:
        """Give back all sessions."""
        for by in list(self._sessions):
            await self.give_up(by)

    async def say(self, speech: Speech, barge_in: BargeIn, by: By) -> bool:
        """Say it; False: the caller, or somebody else, has ended it before. SayFailed."""
        for part in self._parts(speech, by):
            if isinstance(part, SpokenText):
                finished = await self._speak(part, barge_in, by)
            else:
                finished = await self._play(part, barge_in)
            if not finished:
                return False
        return True

    def _is_local(self, by: By) -> bool:
        """Whether our own engine speaks, as far as there is one: another service has another
        voice, and what is kept is none of its."""
        local = self._services.get("local")
        return local is None or self._services.get(by) is local

    def _parts(self, speech: Speech, by: By) -> list[Run | SpokenText]:
        """What is there as files, in the longest runs, and what has to be spoken between."""
        parts: list[Run | SpokenText] = []
        files: list[StrPath] = []
        for spoken in speech:
            if isinstance(spoken, SpokenFile):
                files.append(spoken.path)
            elif isinstance(spoken, SpokenPause):
                files.append(self._sounds.pause(spoken.pause_ms))
            elif spoken.text.strip():
                path = self._kept_file(spoken, by)
                if path is not None:
                    files.append(path)
                    continue
                if files:
                    parts.append(tuple(files))
                    files = []
                parts.append(spoken)
        if files:
            parts.append(tuple(files))
        return parts

    def _kept_file(self, text: SpokenText, by: By) -> StrPath | None:
        return self._kept.find(text) if self._kept is not None and self._is_local(by) else None

    async def _play(self, run: Run, barge_in: BargeIn) -> bool:
        try:
            played = await self._call.play(*run, barge_in=barge_in)
        except PromptError as error:
            raise SayFailed("prompt", str(error)) from error
        return played.outcome is PlayOutcome.FINISHED

    async def _speak(self, spoken: SpokenText, barge_in: BargeIn, by: By) -> bool:
        if by not in self._services:
            raise SayFailed(
                "speech", f"nothing speaks {spoken.text[:40]!r}: there is no speech service"
            )
        try:
            session = await self.session(by)
            played = await session.speak(
                spoken.text,
                locale=spoken.locale,
                voice=spoken.voice,
                ssml=spoken.ssml,
                barge_in=barge_in,
            )
        except SpeechFailed as error:
            await self.give_up(by)
            raise SayFailed("speech", f"{error.kind}: {error}") from error
        if self._kept is not None and self._is_local(by):
            self._kept.want(spoken)
        return played.outcome is PlayOutcome.FINISHED


async def _close(session: SpeechSession) -> None:
    try:
        await session.close()
    except SpeechFailed as error:
        log.info("speech session lost", cause=str(error))
