"""Reading what another engine has written down of a call: checked as if it came off the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

State = dict[str, Any]
"""Plain data for JSON."""

MAX_TEXT = 4_096

_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udc7f\udd00-\udfff]")
"""Controls, and what cannot be written as bytes. A caller's name may hold anything else, as wide
spaces and bytes that are no UTF-8 (``surrogateescape``)."""


class SnapshotError(ValueError):
    """What was written down cannot be read; the message names the place."""


def member(state: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """A value of exactly that type. SnapshotError."""
    value = state.get(name)
    if type(value) is not kind:
        raise SnapshotError(f"{name}: {_shown(value)} where {kind.__name__} should be")
    return value


def text(state: Mapping[str, Any], name: str) -> str:
    """A text that is fit for a header. SnapshotError."""
    value: str = member(state, name, str)
    if len(value) > MAX_TEXT or _UNFIT.search(value):
        raise SnapshotError(f"{name}: {_shown(value)} is no text for a header")
    return value


def number(state: Mapping[str, Any], name: str, most: int, least: int = 0) -> int:
    """A whole number from ``least`` to ``most``. SnapshotError."""
    value: int = member(state, name, int)
    if not least <= value <= most:
        raise SnapshotError(f"{name}: {value} is not within {least} to {most}")
    return value


def optional_number(state: Mapping[str, Any], name: str, most: int) -> int | None:
    """The same, or None where there is none. SnapshotError."""
    return None if state.get(name) is None else number(state, name, most)


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)[:60]
