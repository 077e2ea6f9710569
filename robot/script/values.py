"""The values of a script: their bounds, and how they are written as text."""

from __future__ import annotations

import json
import math

from .place import Json

MOST_TEXT = 10_000
MOST_NUMBER = 10**18
MOST_ITEMS = 2_000
TEXT_OF_AN_ITEM = 64
"""Within a list or mapping, a text counts as one more part for each so many characters."""
DEEPEST = 20


class TooMuch(Exception):
    """A value is beyond the bounds. The text is for people, and names no value."""


def check_value(value: object) -> Json:
    """``value``, if it is one that a script may have: JSON, finite, within the bounds."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _check_text(value)
    if isinstance(value, int | float):
        return _check_number(value)
    if isinstance(value, list | dict):
        _count(value, 0)
        return value
    raise TooMuch("what comes out is neither text, number, truth value, list nor mapping")


def _check_text(value: str) -> str:
    if len(value) > MOST_TEXT:
        raise TooMuch(f"a text has at most {MOST_TEXT} characters")
    return value


def _check_number(value: int | float) -> int | float:
    if not math.isfinite(value) if isinstance(value, float) else abs(value) > MOST_NUMBER:
        raise TooMuch("a number is too large")
    return value


def _count(value: object, depth: int) -> int:
    """How many values there are in this one, which is checked."""
    if not isinstance(value, list | dict):
        checked = check_value(value)
        return 1 + (len(checked) // TEXT_OF_AN_ITEM if isinstance(checked, str) else 0)
    if depth >= DEEPEST:
        raise TooMuch(f"values are nested more than {DEEPEST} deep")
    if len(value) > MOST_ITEMS:
        raise TooMuch(f"a value has more than {MOST_ITEMS} parts")
    inner = value.values() if isinstance(value, dict) else value
    total = 1
    for item in inner:
        total += _count(item, depth + 1)
        if total > MOST_ITEMS:
            raise TooMuch(f"a value has more than {MOST_ITEMS} parts")
    return total


def same(one: Json, other: Json) -> bool:
    """Equal as JSON has it: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def as_text(value: Json) -> str:
    """A value as people write it: nothing for null, no ``.0`` behind whole numbers."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int | float):
        return str(_check_number(value))
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
