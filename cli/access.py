"""The table ``[gate]`` of a configuration, and the flags over it: who gets service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from ..media.secret import SecretError, read_users
from ..media.sip.gate import GateRules, Strangers
from .checks import (
    Check,
    Problem,
    amount,
    choice,
    join,
    networks,
    problem_of,
    read_table,
    text,
    texts,
    whole,
)

GATE_FLAGS = ("allow", "strangers", "users")


def _scanners(value: object) -> tuple[str, ...]:
    return () if value == [] else texts(value)


CHECKS: dict[str, Check] = {
    "allow": networks,
    "strangers": choice(get_args(Strangers)),
    "users": text,
    "realm": text,
    "scanners": _scanners,
    "stranger_requests_per_s": amount(0.1, 10_000),
    "ban_after": whole(0, 1_000_000),
    "ban_s": amount(1, 10_000_000),
}


def read_gate(table: object, folder: Path, problems: list[Problem]) -> GateRules:
    """The rules of a ``[gate]`` table; what is wrong joins ``problems``."""
    given = read_table(table, CHECKS, "gate", problems)
    return _rules(GateRules(), given, folder, problems, "gate")


def override_gate(
    rules: GateRules, flags: Mapping[str, object], problems: list[Problem]
) -> GateRules:
    """``rules`` with the flags that were given."""
    given = read_table(dict(flags), CHECKS, "", problems)
    return _rules(rules, given, Path(), problems, "")


def _rules(
    rules: GateRules, given: dict[str, Any], folder: Path, problems: list[Problem], where: str
) -> GateRules:
    try:
        if "users" in given:
            realm = given.get("realm", rules.realm)
            users = read_users(folder / given["users"], realm)
            given |= {"users": users, "algorithms": users.algorithms}
        return replace(rules, **given)
    except SecretError as error:
        problems.append(problem_of(join(where, "users"), error))
    except ValueError as error:
        remedy = "Name a file of users, or take strangers = 'drop' or '403'"
        problems.append(Problem(join(where, "strangers"), str(error), remedy))
    return rules
