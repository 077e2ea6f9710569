"""What happens to a conversation: the events that its interpreter takes.

``at_ms`` is the time of the event in milliseconds since 1970 (UTC): the interpreter reads no clock,
and what it calls now is the time of the last event. ``turn`` is that of the action which the event
answers; one of an older turn comes late and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .model import Json

Channel = Literal["phone", "text"]
Mode = Literal["speech", "dtmf", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """The conversation begins. ``facts`` is what is known: ``caller``, ``callee``, ``call_id``,
    ``direction`` (``in`` or ``out``), and what came with an order to dial."""

    at_ms: int
    channel: Channel = "phone"
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The action of ``turn`` has done what it should; ``result`` is what it brought."""

    at_ms: int
    turn: int
    result: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An answer. ``value`` is its meaning by the grammar, ``handler`` the global handler whose
    grammar it fits instead of the question's."""

    at_ms: int
    turn: int
    mode: Mode
    text: str
    value: Json = None
    confidence: float = 1.0
    handler: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInput:
    """Nobody answered in time."""

    at_ms: int
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMatch:
    """What was answered fits no grammar; ``text`` is what it seemed to be, if anything."""

    at_ms: int
    turn: int
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The action of ``turn`` could not be done. ``kind`` is one word (``deadline``, ``speech``,
    ``http``, ``prompt``, ``transfer``, ``stream``, ``record``), ``reason`` is for people."""

    at_ms: int
    turn: int
    kind: str
    reason: str
    result: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The far side has hung up, or is gone; ``result`` is what a recording under way has come to,
    in the form of its Done."""

    at_ms: int
    cause: str
    result: Json = None


Event = Begin | Done | Heard | NoInput | NoMatch | Failed | Left
