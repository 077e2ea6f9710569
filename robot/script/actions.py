"""What a conversation wants done: the actions that its interpreter gives to a channel.

An action that has a ``turn`` is answered by one event of that turn, whatever becomes of it: the
channel owes it. There is one such action at a time. A new one replaces what goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .model import BargeIn, By, Input, Json


@dataclass(frozen=True, slots=True)
class SpokenText:
    """Words to be spoken in a locale (BCP 47) by a voice (None: the service's own)."""

    text: str
    locale: str
    voice: str | None = None
    ssml: bool = False


@dataclass(frozen=True, slots=True)
class SpokenFile:
    """A sound file, by its path; ``text`` is what it says, for a text channel."""

    path: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class SpokenPause:
    """Silence."""

    pause_ms: int


Spoken = SpokenText | SpokenFile | SpokenPause
Speech = tuple[Spoken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SayNow:
    """Say it; done when the last of it was sent, or when the caller ended it."""

    turn: int
    step: str
    speech: Speech
    barge_in: BargeIn


@dataclass(frozen=True, slots=True, kw_only=True)
class AskNow:
    """Say it, and hear an answer: Heard, NoInput, NoMatch or Failed.

    ``handlers`` are the global inputs that are open as well, by their handlers' names.
    """

    turn: int
    step: str
    speech: Speech
    barge_in: BargeIn
    input: Input
    handlers: Mapping[str, Input]
    by: By
    locale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchNow:
    """Make an HTTP request; ``result`` of Done and Failed: ``{"status": int, "body": Json}``."""

    turn: int
    step: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: Json
    deadline_ms: int
    retries: int
    filler: Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNow:
    """Record the caller; ``result`` of Done: ``{"file": str, "ms": int, "ended_by": str}``."""

    turn: int
    step: str
    speech: Speech
    max_ms: int
    silence_ms: int
    finish_keys: str
    beep: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferNow:
    """Hand the call over; ``result`` of Done: ``{"how": str}``, of Failed: ``{"status": int}``."""

    turn: int
    step: str
    to: str
    timeout_ms: int
    speech: Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDigitsNow:
    """Send keypad digits."""

    turn: int
    step: str
    digits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamNow:
    """Connect the sound to a peer; ``result`` of Done: ``{"ended_by": str, "seconds": float}``.
    It has failed when neither side has said anything for ``max_silence_ms``."""

    turn: int
    step: str
    url: str
    parameters: Mapping[str, str]
    max_ms: int
    max_silence_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUpNow:
    """Say the last words and end the conversation. No event is owed."""

    step: str
    speech: Speech
    cause: str


Action = (
    SayNow | AskNow | FetchNow | RecordNow | TransferNow | SendDigitsNow | StreamNow | HangUpNow
)
