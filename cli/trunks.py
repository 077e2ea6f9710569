"""The tables ``[trunk.NAME]`` of a configuration: from TOML to `Trunk`, every error by its key."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

from ..media.secret import SecretError, environment_secret, read_secret
from ..media.trunk import (
    CallerRules,
    HeaderRules,
    Peer,
    Registration,
    Trunk,
    TrunkError,
    TrunkLimits,
)
from ..media.trunk.trunk import SrtpUse
from .checks import (
    Check,
    Problem,
    Refused,
    amount,
    choice,
    codecs,
    join,
    networks,
    pairs,
    problem_of,
    read_table,
    text,
    texts,
    whole,
)

MAX_TRUNKS = 1_000
Part = TypeVar("Part")


def _peer(value: object) -> Peer:
    if isinstance(value, str):
        return _peer({"address": value})
    problems: list[Problem] = []
    given = read_table(value, _PEER, "", problems)
    if problems or "address" not in given:
        first = f"{problems[0]}. {problems[0].remedy}" if problems else "a peer has no address"
        raise Refused(first, "Write { address = 'tls:sbc.example.com', priority = 1, weight = 1 }")
    return Peer.parse(given.pop("address"), **given)


def _peers(value: object) -> tuple[Peer, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise Refused(f"{value!r} is not a list of peers")
    try:
        return tuple(_peer(item) for item in value)
    except TrunkError as error:
        raise Refused(str(error)) from None


def _statuses(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise Refused(f"{value!r} is not a list of SIP statuses, such as [408, 503]")
    return tuple(whole(400, 699)(status) for status in value)


_PEER: dict[str, Check] = {
    "address": text,
    "priority": whole(0, 65_535),
    "weight": whole(0, 65_535),
}
_REGISTRATION: dict[str, Check] = {
    "user": text,
    "domain": text,
    "expires_s": whole(30, 86_400),
}
_CALLER: dict[str, Check] = {
    "from_uri": text,
    "display": text,
    "asserted": text,
    "privacy": text,
    "default": text,
    "caller_prefixes": pairs,
    "called_prefixes": pairs,
}
_HEADERS: dict[str, Check] = {"copy": pairs, "remove": texts, "add": pairs}
_LIMITS: dict[str, Check] = {
    "channels": whole(1, 1_000_000),
    "calls_per_s": amount(0.01, 10_000),
    "burst_calls": whole(1, 10_000),
}
_TABLES: dict[str, tuple[dict[str, Check], Callable[..., object]]] = {
    "registration": (_REGISTRATION, Registration),
    "caller": (_CALLER, CallerRules),
    "headers": (_HEADERS, HeaderRules),
}
_TRUNK: dict[str, Check] = {
    "peers": _peers,
    "domain": text,
    "user": text,
    "password_env": text,
    "password_file": text,
    "codecs": codecs,
    "srtp": choice(get_args(SrtpUse)),
    **_LIMITS,
    "sources": networks,
    "options_interval_s": amount(0, 86_400),
    "peer_timeout_s": amount(0.5, 32),
    "failover_statuses": _statuses,
    **{name: lambda value: value for name in _TABLES},
}


def read_trunks(
    tables: object,
    folder: Path,
    problems: list[Problem],
    environment: Mapping[str, str] = os.environ,
) -> tuple[Trunk, ...]:
    """The trunks of ``[trunk.NAME]`` tables that are right; what is wrong joins ``problems``.

    Password files are relative to ``folder``.
    """
    if not isinstance(tables, dict) or not all(isinstance(item, dict) for item in tables.values()):
        cause = "a trunk is a table with a name"
        problems.append(Problem("trunk", cause, "Write [trunk.NAME] above its keys"))
        return ()
    if len(tables) > MAX_TRUNKS:
        cause = f"{len(tables):,} are more than {MAX_TRUNKS:,}"
        problems.append(Problem("trunk", cause, "Have fewer, or run several engines"))
        return ()
    for name in tables:
        if sum(other.lower() == name.lower() for other in tables) > 1:
            cause = "another trunk has this name, but for its case"
            problems.append(Problem(join("trunk", name), cause, "Give one of them another name"))
    trunks = (_read(name, table, folder, problems, environment) for name, table in tables.items())
    return tuple(trunk for trunk in trunks if trunk is not None)


def _read(
    name: str,
    table: dict[str, object],
    folder: Path,
    problems: list[Problem],
    environment: Mapping[str, str],
) -> Trunk | None:
    where = f"trunk.{name}"
    before = len(problems)
    given = read_table(table, _TRUNK, where, problems)
    password = _password(given, where, folder, problems, environment)
    for key, (checks, make) in _TABLES.items():
        if key in given:
            part = read_table(given[key], checks, join(where, key), problems)
            if key == "registration":
                part = {"user": given.get("user", "")} | part
            given[key] = _made(partial(make, **part), join(where, key), problems)
    limits = {key: given.pop(key) for key in _LIMITS if key in given}
    if len(problems) > before:
        return None
    return _made(
        lambda: Trunk(name, password=password, limits=TrunkLimits(**limits), **given),
        where,
        problems,
    )


def _made(make: Callable[[], Part], where: str, problems: list[Problem]) -> Part | None:
    """What ``make`` makes; None, and a problem, if it cannot be."""
    try:
        return make()
    except TrunkError as error:
        told = str(error).removeprefix(f"{where.replace('.', ' ', 1)}: ")
        problems.append(problem_of(where, TrunkError(told)))
        return None


def _password(
    given: dict[str, Any],
    where: str,
    folder: Path,
    problems: list[Problem],
    environment: Mapping[str, str],
) -> str:
    name, file = given.pop("password_env", None), given.pop("password_file", None)
    key = join(where, "password_env" if name else "password_file")
    if name and file:
        cause = "there is a password_file too"
        problems.append(Problem(key, cause, "Keep one of the two"))
        return ""
    try:
        if name:
            return environment_secret(name, environment)
        return read_secret(folder / file) if file else ""
    except SecretError as error:
        problems.append(problem_of(key, error))
        return ""
