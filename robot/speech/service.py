"""What speech is to a conversation, whoever does it: an MRCP server, or a voice agent.

A :class:`SpeechService` is one for the process, and knows its servers. A :class:`SpeechSession` is
one for a call, opened when the call first needs it, used over all of its turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ...media.call import Call, Played
from ..grammar.model import Grammar
from ..script.model import BargeIn, Json, Timing


class SpeechFailed(Exception):
    """Speech could not be had. ``kind`` is one word: ``unreachable``, ``refused``, ``deadline``,
    ``lost`` (the server or its channel is gone), ``protocol``, ``resource``, ``language``, ``uri``,
    ``grammar``, ``cancelled``; the text is for people."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Completion(StrEnum):
    """How a recognition ended (RFC 6787, 9.4.11); its failures are :class:`SpeechFailed`."""

    SUCCESS = "success"
    NO_MATCH = "no-match"
    NO_INPUT_TIMEOUT = "no-input-timeout"
    HOTWORD_MAXTIME = "hotword-maxtime"
    SUCCESS_MAXTIME = "success-maxtime"
    """It fits, though it was cut off for its length."""
    SPEECH_TOO_EARLY = "speech-too-early"
    NO_MATCH_MAXTIME = "no-match-maxtime"
    PARTIAL_MATCH = "partial-match"
    PARTIAL_MATCH_MAXTIME = "partial-match-maxtime"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was recognized: ``grammar`` counts in the order of those that were asked for."""

    completion: Completion
    text: str = ""
    value: Json = None
    confidence: float = 0.0
    grammar: int | None = None


class SpeechSession(Protocol):
    """Speech for one call. All methods may raise :class:`SpeechFailed`."""

    async def speak(
        self, text: str, *, locale: str, voice: str | None, ssml: bool, barge_in: BargeIn
    ) -> Played:
        """Speak to the caller, behind what plays already; returns when the last packet left.
        Cancelling it stops it at once."""
        ...

    async def recognize(
        self,
        grammars: Sequence[Grammar],
        *,
        locale: str,
        timing: Timing,
        min_confidence: float,
        timers_run: bool,
        on_speech: Callable[[], None],
    ) -> Recognition:
        """Recognize what the caller says from now on, while prompts may still play.

        ``timers_run``: whether the time for the first word runs from now on; if not,
        :meth:`start_timers` starts it. ``on_speech`` is called when the server hears speech begin.
        Cancelling it stops it.
        """
        ...

    def start_timers(self) -> None:
        """The prompt has ended: the time for the first word runs from now on."""
        ...

    async def close(self) -> None:
        """Give the session back, or end it."""
        ...


class SpeechService(Protocol):
    """Where sessions come from."""

    async def open(self, call: Call) -> SpeechSession:
        """A session for this call, from a pool where there is one."""
        ...

    async def close(self) -> None:
        """End all sessions."""
        ...
