"""The record of one conversation by phone, as result files have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from ..media.call import Call
from ..media.quality import Quality
from .script.model import Json, Script
from .script.outcome import Ended

VERSION = 1
QUESTION = ("step", "asked", "no_input", "no_match", "repeats", "ms", "outcome")
REPORT = ("script", "values")
TURN = ("step", "at_ms", "ms", "outcome")
QUALITY = tuple(field.name for field in fields(Quality))


def time_text(at_ms: int) -> str:
    """A time in ISO 8601, UTC."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record_of(
    script: Script,
    call: Call | None,
    facts: Mapping[str, Json],
    *,
    began_ms: int,
    ended_ms: int,
    outcome: str,
    ended: Ended | None = None,
    reason: str = "",
    trunk: str | None = None,
) -> dict[str, Any]:
    """What is known in the end. Without ``ended`` there was no conversation: ``outcome`` says why,
    and ``reason`` in words. Without ``call`` it was never answered; ``trunk`` is the last tried."""
    quality = _plain(call.quality(), QUALITY) if call is not None else {}
    record: dict[str, Any] = {
        "version": VERSION,
        "call": facts.get("call") or "",
        "call_id": facts.get("call_id"),
        "direction": facts.get("direction"),
        "caller": facts.get("caller"),
        "callee": facts.get("callee"),
        "trunk": call.trunk if call is not None else trunk,
        "script": script.name,
        "script_hash": script.hash,
        "began": time_text(began_ms),
        "ended": time_text(ended_ms),
        "seconds": round((ended_ms - began_ms) / 1000, 3),
        "outcome": outcome,
        "reason": reason,
        "cause": ended.cause if ended else None,
        "step": ended.step if ended else None,
        "steps": ended.steps if ended else 0,
        "report": dict(ended.report) if ended else {},
        "reports": [_plain(report, REPORT) for report in ended.reports] if ended else [],
        "questions": [_plain(question, QUESTION) for question in ended.questions] if ended else [],
        "turns": [_plain(turn, TURN) for turn in ended.trace] if ended else [],
        "turns_left_out": ended.left_out if ended else 0,
        "error": ended.error if ended else None,
        "quality": {name: value for name, value in quality.items() if value is not None},
        "facts": {name: value for name, value in facts.items() if name not in KNOWN_FACTS},
    }
    return record


def _plain(values: object, names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, attrgetter(*names)(values), strict=True))


KNOWN_FACTS = frozenset({"call", "call_id", "direction", "caller", "callee"})
"""Facts that have a key of their own in the record."""
