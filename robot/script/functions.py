"""The functions that expressions of scripts may call.

They are pure: what they give depends on their arguments alone, and on the time that the scope has
in ``now_ms``. Their work and what they give are bounded. What they say when they refuse names no
value, since that may be a secret, and ends in a log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import re2

from .place import Json
from .values import MOST_TEXT, as_text

MOST_PATTERN = 500
PATTERN_MEMORY_BYTES = 1 << 20
MOST_DAYS = 400_000
"""A millennium, and some."""


class FunctionRefused(Exception):
    """A function cannot do with what it was given. The text is for people, and names no value."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function, and how many arguments it takes. ``timed``: the first is ``now_ms``."""

    call: Callable[..., Json]
    least: int
    most: int
    timed: bool = False


def _len(value: Json) -> int:
    if not isinstance(value, str | list | dict):
        raise FunctionRefused("len() takes a text, a list or a mapping")
    return len(value)


def _int(value: Json) -> int:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float) and abs(value) < 1e18:
        return int(value)
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            pass
    raise FunctionRefused("int() was given something that is no whole number")


def _float(value: Json) -> float:
    if isinstance(value, bool | int | float) and abs(value) < 1e300:
        return float(value)
    if isinstance(value, str) and len(value) <= 40:
        try:
            return float(value)
        except ValueError:
            pass
    raise FunctionRefused("float() was given something that is no number")


def _text(name: str, value: Json) -> str:
    if not isinstance(value, str):
        raise FunctionRefused(f"{name}() takes a text; str() makes one of a number")
    return value


def _number(name: str, value: Json) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FunctionRefused(f"{name}() takes numbers; int() and float() make one of a text")
    return value


def _list(name: str, value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise FunctionRefused(f"{name}() takes a list")
    return value


def _lower(value: Json) -> str:
    return _text("lower", value).lower()


def _upper(value: Json) -> str:
    return _text("upper", value).upper()


def _strip(value: Json) -> str:
    return _text("strip", value).strip()


def _round(value: Json, places: Json = 0) -> int | float:
    number = _number("round", value)
    if isinstance(places, bool) or not isinstance(places, int) or not 0 <= places <= 10:
        raise FunctionRefused("round() keeps 0 to 10 places")
    return round(number, places) if places else round(number)


def _abs(value: Json) -> int | float:
    return abs(_number("abs", value))


def _values(name: str, given: Sequence[Json]) -> list[Any]:
    values = _list(name, given[0]) if len(given) == 1 else list(given)
    texts = sum(isinstance(value, str) for value in values)
    if not values or (texts and texts != len(values)):
        raise FunctionRefused(f"{name}() takes values of one kind, at least one")
    return values if texts else [_number(name, value) for value in values]


def _min(*given: Json) -> Json:
    found: Json = min(_values("min", given))
    return found


def _max(*given: Json) -> Json:
    found: Json = max(_values("max", given))
    return found


def _sum(values: Json) -> int | float:
    return sum(_number("sum", value) for value in _list("sum", values))


def _any(values: Json) -> bool:
    return any(_list("any", values))


def _all(values: Json) -> bool:
    return all(_list("all", values))


def _contains(where: Json, what: Json) -> bool:
    if isinstance(where, str):
        return isinstance(what, str) and what.casefold() in where.casefold()
    if isinstance(where, list):
        return what in where
    if isinstance(where, dict):
        return isinstance(what, str) and what in where
    raise FunctionRefused("contains() looks into a text, a list or a mapping")


def _get(where: Json, path: Json, otherwise: Json = None) -> Json:
    for part in _text("get", path).split("."):
        if isinstance(where, dict) and part in where:
            where = where[part]
        elif isinstance(where, list) and part.isdecimal() and int(part[:9]) < len(where):
            where = where[int(part[:9])]
        else:
            return otherwise
    return where


def _split(text: Json, separator: Json) -> Json:
    if not separator:
        raise FunctionRefused("split() takes a separator of at least one character")
    parts = _text("split", text).split(_text("split", separator), 1_000)
    return list(parts)


def _join(values: Json, separator: Json = ", ") -> str:
    return _text("join", separator).join(as_text(value) for value in _list("join", values))


@lru_cache(maxsize=128)
def compile_pattern(pattern: str) -> Any:
    """A regular expression (RE2: matching takes time in proportion to the text, whatever it is)."""
    if len(pattern) > MOST_PATTERN:
        raise FunctionRefused(f"a pattern has at most {MOST_PATTERN} characters")
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise FunctionRefused(
            "matches() was given a pattern that is no regular expression (RE2 syntax)"
        ) from None


def _matches(text: Json, pattern: Json) -> bool:
    subject = _text("matches", text)
    if len(subject) > MOST_TEXT:
        raise FunctionRefused(f"matches() takes at most {MOST_TEXT} characters")
    return compile_pattern(_text("matches", pattern)).fullmatch(subject) is not None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FunctionRefused(
            "there is no such time zone here; name one as Europe/Berlin (Debian: tzdata)"
        ) from None


def _local(now_ms: Json, zone: Json) -> datetime:
    where = UTC if zone is None else _zone(_text("now", zone))
    try:
        return datetime.fromtimestamp(_number("now", now_ms) / 1000, where)
    except (OverflowError, OSError, ValueError):
        raise FunctionRefused("the time of the conversation is beyond the calendar") from None


def _now(now_ms: Json, zone: Json = None) -> Json:
    now = _local(now_ms, zone)
    return {
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M"),
        "year": now.year,
        "month": now.month,
        "day": now.day,
        "hour": now.hour,
        "minute": now.minute,
        "weekday": now.isoweekday(),
    }


def _today(now_ms: Json, zone: Json = None) -> str:
    return _local(now_ms, zone).date().isoformat()


def _date(name: str, value: Json) -> date:
    try:
        return date.fromisoformat(_text(name, value))
    except ValueError:
        raise FunctionRefused(f"{name}() takes dates as 2026-12-24") from None


def _weekday(day: Json) -> int:
    return _date("weekday", day).isoweekday()


def _add_days(day: Json, days: Json) -> str:
    number = _number("add_days", days)
    if not isinstance(number, int) or abs(number) > MOST_DAYS:
        raise FunctionRefused(f"add_days() takes a whole number of at most {MOST_DAYS} days")
    try:
        return (_date("add_days", day) + timedelta(days=number)).isoformat()
    except OverflowError:
        raise FunctionRefused("add_days() leaves the calendar") from None


def _days_between(first: Json, last: Json) -> int:
    return (_date("days_between", last) - _date("days_between", first)).days


FUNCTIONS = {
    "abs": Function(_abs, 1, 1),
    "add_days": Function(_add_days, 2, 2),
    "all": Function(_all, 1, 1),
    "any": Function(_any, 1, 1),
    "contains": Function(_contains, 2, 2),
    "days_between": Function(_days_between, 2, 2),
    "float": Function(_float, 1, 1),
    "get": Function(_get, 2, 3),
    "int": Function(_int, 1, 1),
    "join": Function(_join, 1, 2),
    "len": Function(_len, 1, 1),
    "lower": Function(_lower, 1, 1),
    "matches": Function(_matches, 2, 2),
    "max": Function(_max, 1, 20),
    "min": Function(_min, 1, 20),
    "now": Function(_now, 0, 1, timed=True),
    "round": Function(_round, 1, 2),
    "split": Function(_split, 2, 2),
    "str": Function(as_text, 1, 1),
    "strip": Function(_strip, 1, 1),
    "sum": Function(_sum, 1, 1),
    "today": Function(_today, 0, 1, timed=True),
    "upper": Function(_upper, 1, 1),
    "weekday": Function(_weekday, 1, 1),
}
