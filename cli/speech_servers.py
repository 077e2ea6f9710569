"""The table ``[speech]`` of a configuration: from TOML to `MrcpOptions`, every error by its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from ..media.sip.tls import TlsConfig
from ..robot.speech.mrcp.pool import PoolLimits
from ..robot.speech.mrcp.servers import ControlTransport, MrcpServer
from ..robot.speech.mrcp.service import MrcpOptions
from ..robot.speech.mrcp.session import SessionLimits
from ..robot.speech.mrcp.speech import SpeechLimits
from .checks import (
    Check,
    Problem,
    amount,
    choice,
    codecs,
    flag,
    join,
    pairs,
    problem_of,
    read_table,
    text,
    whole,
)

MAX_SERVERS = 100

_SERVER: dict[str, Check] = {
    "uri": text,
    "transport": choice(get_args(ControlTransport)),
    "priority": whole(0, 65_535),
    "weight": whole(1, 65_535),
    "codecs": codecs,
    "max_sessions": whole(1, 100_000),
    "keep": whole(0, 100_000),
    "ready": whole(0, 100_000),
    "share": flag,
    "parameters": pairs,
}
_TLS = {"tls_cert": "certificate", "tls_key": "key", "tls_ca": "ca"}
_SPEECH: dict[str, Check] = {
    "open_s": amount(0.5, 60),
    "idle_s": amount(1, 86_400),
    "age_s": amount(1, 604_800),
    "invite_s": amount(0.5, 32),
    "response_s": amount(0.1, 60),
    "grace_s": amount(0.5, 60),
    **dict.fromkeys(_TLS, text),
    "server": lambda value: value,
}


def read_speech(table: object, folder: Path, problems: list[Problem]) -> MrcpOptions | None:
    """The speech servers of a ``[speech]`` table; None, and what is wrong among ``problems``, if
    they cannot be used. Paths are relative to ``folder``."""
    before = len(problems)
    given = read_table(table, _SPEECH, "speech", problems)
    if not isinstance(table, dict):
        return None
    servers = _read_servers(given.pop("server", {}), problems)
    if len(problems) > before:
        return None
    files = {_TLS[key]: folder / given[key] for key in _TLS if key in given}
    response_ms = int(given.get("response_s", SessionLimits().response_ms / 1_000) * 1_000)
    try:
        return MrcpOptions(
            servers,
            tls=TlsConfig(**files),
            sessions=SessionLimits(**_of(given, "invite_s"), response_ms=response_ms),
            pool=PoolLimits(**_of(given, "open_s", "idle_s", "age_s")),
            speech=SpeechLimits(**_of(given, "grace_s")),
        )
    except ValueError as error:
        problems.append(problem_of("speech", error))
        return None


def speech_table(options: MrcpOptions) -> dict[str, Any]:
    """The same as `read_speech` reads it, defaults included; what is not set is None."""
    files = {key: getattr(options.tls, name) for key, name in _TLS.items()}
    return {
        "open_s": options.pool.open_s,
        "idle_s": options.pool.idle_s,
        "age_s": options.pool.age_s,
        "invite_s": options.sessions.invite_s,
        "response_s": options.sessions.response_ms / 1_000,
        "grace_s": options.speech.grace_s,
        **{key: None if path is None else str(path) for key, path in files.items()},
        "server": {server.name: _server_table(server) for server in options.servers},
    }


def _server_table(server: MrcpServer) -> dict[str, Any]:
    values = {key: getattr(server, key) for key in _SERVER}
    return values | {"codecs": list(server.codecs), "parameters": dict(server.parameters)}


def _of(given: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: given[key] for key in keys if key in given}


def _read_servers(tables: object, problems: list[Problem]) -> tuple[MrcpServer, ...]:
    where = "speech.server"
    if not isinstance(tables, dict) or not all(isinstance(item, dict) for item in tables.values()):
        cause = "a speech server is a table with a name"
        problems.append(Problem(where, cause, "Write [speech.server.NAME] above its keys"))
        return ()
    if not 1 <= len(tables) <= MAX_SERVERS:
        cause = f"there are {len(tables)} servers"
        remedy = f"Write [speech.server.NAME] with its uri, for 1 to {MAX_SERVERS} of them"
        problems.append(Problem(where, cause, remedy))
        return ()
    read = [_read_server(name, item, join(where, name), problems) for name, item in tables.items()]
    return tuple(server for server in read if server is not None)


def _read_server(
    name: str, table: object, where: str, problems: list[Problem]
) -> MrcpServer | None:
    before = len(problems)
    given = read_table(table, _SERVER, where, problems)
    if len(problems) > before:
        return None
    if "uri" not in given:
        problems.append(Problem(where, "it has no uri", "Add uri = 'sip:HOST:PORT'"))
        return None
    try:
        return MrcpServer(name=name, **given)
    except ValueError as error:
        problem = problem_of(where, error)
        key, _, cause = problem.cause.partition(": ")
        known = key in _SERVER
        cause = cause if known else problem.cause
        problems.append(Problem(join(where, key) if known else where, cause, problem.remedy))
        return None
