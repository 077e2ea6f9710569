"""Where something stands in a script, and what the values of a script are."""

from __future__ import annotations

from dataclasses import dataclass

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in the source: line and column, both from 1."""

    line: int
    column: int


NOWHERE = Place(1, 1)
"""The beginning: of what comes from no file."""
