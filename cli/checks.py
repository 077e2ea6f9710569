"""Checks of configured values: from what TOML or a flag gave to what the engine takes.

A check returns the value, or raises :class:`Refused` with the reason; who knows the key makes a
:class:`Problem` of it, so that all of them can be shown at once.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..media.codec import UnknownCodec, codecs_by_name
from .errors import capitalized

Check = Callable[[object], Any]


class Refused(ValueError):
    """Why a value is refused; the key is not known here. ``remedy``: where it is special."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a key. ``key`` has the tables around it (``trunk.one.peers``), and is
    empty where no single key is to blame."""

    key: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.cause}" if self.key else self.cause


def problem_of(key: str, error: Exception) -> Problem:
    """What an exception says, whose message is ``CAUSE; REMEDY`` or a cause alone."""
    cause, _, remedy = str(error).partition("; ")
    return Problem(key, cause, capitalized(remedy) or "Correct it, or see --help")


def read_table(
    values: object, checks: Mapping[str, Check], where: str, problems: list[Problem]
) -> dict[str, Any]:
    """The values of a TOML table that pass their checks; what is wrong joins ``problems``."""
    if not isinstance(values, dict):
        cause = f"{values!r} is not a table"
        problems.append(Problem(where, cause, f"Write [{where}] above its keys"))
        return {}
    checked = {}
    for written, value in values.items():
        key = written.replace("-", "_")
        if key not in checks:
            problems.append(_unknown(written, checks, where))
            continue
        try:
            checked[key] = checks[key](value)
        except Refused as error:
            remedy = error.remedy or "Correct it, or see --help"
            problems.append(Problem(join(where, key), str(error), remedy))
    return checked


def join(table: str, key: str) -> str:
    """A key with the tables around it."""
    return f"{table}.{key}" if table else key


def _unknown(key: str, checks: Mapping[str, Check], where: str) -> Problem:
    if key.replace("-", "_") == "password" and "password_env" in checks:
        remedy = "No secret stands in this file: use password_env or password_file"
    else:
        remedy = nearest(key, checks)
    return Problem(where, f"{key!r} is not a key", remedy)


def nearest(key: str, keys: Iterable[str]) -> str:
    """The remedy for a key that is none."""
    known = list(keys)
    near = difflib.get_close_matches(key.replace("-", "_"), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Keys are: {', '.join(known)}"


def decimal(text: str) -> int:
    """A number of up to five digits, or -1."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else -1


def numeric_address(text: str) -> str:
    """An IPv4 or IPv6 address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Refused(f"{text!r} is not an IP address") from None


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str):
        raise Refused(f"{value!r} is not a text")
    if not value:
        raise Refused("the text is empty")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one text with commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)) or not value:
        raise Refused(f"{value!r} is not a list of texts")
    return tuple(text(part) for part in value)


def codecs(value: object) -> tuple[str, ...]:
    """Names of codecs, as :func:`texts` has them, in the form that the engine takes."""
    try:
        return tuple(codec.label for codec in codecs_by_name(texts(value)))
    except UnknownCodec as error:
        raise Refused(str(error)) from None


def networks(value: object) -> tuple[str, ...]:
    """A list of addresses and networks in CIDR form."""
    found = texts(value)
    for item in found:
        try:
            ipaddress.ip_network(item)
        except ValueError:
            raise Refused(_no_network(item)) from None
    return found


def _no_network(item: str) -> str:
    try:
        wider = ipaddress.ip_network(item, strict=False)
    except ValueError:
        return f"{item!r} is no network; write 192.0.2.0/24 or 192.0.2.7"
    return f"{item!r} has bits behind its mask; write {wider}"


def pairs(value: object) -> tuple[tuple[str, str], ...]:
    """A table of texts."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Refused(f"{value!r} is not a table of texts, such as {{ name = 'value' }}")
    return tuple(value.items())


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Refused(f"{value!r} is neither true nor false")
    return value


def whole(low: int, high: int) -> Callable[[object], int]:
    """A whole number from ``low`` to ``high``."""

    def check(value: object) -> int:
        # A bool is an int to Python, but not to whoever wrote the file.
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Refused(f"{value!r} is not a whole number from {low:,} to {high:,}")
        return value

    return check


def amount(low: float, high: float) -> Callable[[object], float]:
    """A number from ``low`` to ``high``."""

    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused(f"{value!r} is not a number")
        if low <= value <= high:  # False for what is not a number, nan
            return float(value)
        raise Refused(f"{value!r} is not a number from {low:g} to {high:g}")

    return check


def choice(choices: tuple[str, ...]) -> Callable[[object], str]:
    """One of several texts."""

    def check(value: object) -> str:
        if value not in choices:
            raise Refused(f"{value!r} is not one of: {', '.join(choices)}")
        return str(value)

    return check
