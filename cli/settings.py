"""`ringwheel config`: check a configuration, and show what it comes to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..media.secret import SecretError, environment_secret
from ..media.sip.gate import GateRules
from ..media.sip.tls import TlsContexts
from ..media.sip.transport import ListenError
from ..media.trunk import Trunk
from ..robot.speech.stream.wire import read_address
from .checks import Problem, problem_of
from .config import ServeConfig, check_config, load_config, tls_of
from .errors import STATUS_USAGE, CommandError
from .help import examples
from .speech_servers import speech_table

MASK = "***"

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Check and show configurations.")

File = Annotated[Path, typer.Argument(help="The TOML file.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_FILE = Path("ringwheel.toml")


@app.command(
    epilog=examples("ringwheel config check", "ringwheel config check serve.toml --json"),
)
def check(file: File = DEFAULT_FILE, as_json: Json = False) -> None:
    """Say all that is wrong with a configuration. Exit status 2 if anything is."""
    config, problems = check_config(file)
    problems += absent(config)
    if as_json:
        found = [
            {"key": problem.key, "cause": problem.cause, "remedy": problem.remedy}
            for problem in problems
        ]
        typer.echo(json.dumps({"file": str(file), "good": not found, "problems": found}))
    elif problems:
        for problem in problems:
            typer.echo(f"{file}: {CommandError(str(problem), problem.remedy)}")
    else:
        typer.echo(f"{file} is good: {summary_of(config)}.")
    raise typer.Exit(STATUS_USAGE if problems else 0)


@app.command(
    epilog=examples("ringwheel config show", "ringwheel config show serve.toml --json"),
)
def show(file: File = DEFAULT_FILE, as_json: Json = False) -> None:
    """Show what a configuration comes to, defaults included; secrets are masked."""
    values = shown(load_config(file))
    typer.echo(json.dumps(values) if as_json else "\n".join(toml_lines(values)))


def absent(config: ServeConfig) -> Iterator[Problem]:
    """What a start would miss: files that cannot be used, and a token that is not set."""
    for prompt in config.prompts:
        if not prompt.is_file():
            yield Problem("prompts", f"there is no file {prompt}", "Check the path")
    if config.stream_token_env is not None:
        try:
            environment_secret(config.stream_token_env, os.environ)
        except SecretError as error:
            yield problem_of("stream_token_env", error)
    try:
        TlsContexts(tls_of(config))
    except ListenError as error:
        yield problem_of("", error)
    except ValueError:
        pass  # check_config() has told it


def summary_of(config: ServeConfig) -> str:
    """A configuration in a few words."""
    strangers = {
        "drop": "strangers are dropped",
        "403": "strangers get 403",
        "challenge": "strangers are challenged",
        "open": "everybody is served",
    }
    trunks = [trunk.name for trunk in config.trunks]
    listed = f"trunks {', '.join(trunks)}" if trunks else "no trunks"
    return f"listens on {', '.join(config.sip)}; {listed}; {strangers[gate_policy(config)]}"


def gate_policy(config: ServeConfig) -> str:
    """What becomes of strangers, the trunks taken into account."""
    policy = config.gate.policy
    return "drop" if policy == "open" and not config.gate.strangers and config.trunks else policy


def shown(config: ServeConfig) -> dict[str, Any]:
    """The effective values under the keys of the file. None is left out."""
    values = {
        item.name: plain(getattr(config, item.name))
        for item in fields(ServeConfig)
        if item.name not in ("gate", "trunks", "speech")
    }
    if config.stream is not None:
        values["stream"] = read_address(config.stream).shown  # users and queries hold secrets
    values["gate"] = _gate_of(config.gate) | {"strangers": gate_policy(config)}
    values["trunk"] = {trunk.name: _trunk_of(trunk) for trunk in config.trunks}
    values["speech"] = {} if config.speech is None else speech_table(config.speech)
    return without_nothing(values)


def _gate_of(rules: GateRules) -> dict[str, Any]:
    users = {"users": MASK} if rules.users is not None else {}
    return _parts(rules, leave={"users", "trunks", "algorithms"}) | users


def _trunk_of(trunk: Trunk) -> dict[str, Any]:
    values = _parts(trunk, leave={"name", "password", "limits", "peers", "caller", "headers"})
    values |= _parts(trunk.limits, leave=set())
    if trunk.password:
        values["password"] = MASK
    values["peers"] = [
        {"address": str(peer), "priority": peer.priority, "weight": peer.weight}
        for peer in trunk.peers
    ]
    for name, rules in (("caller", trunk.caller), ("headers", trunk.headers)):
        values[name] = {
            key: dict(value) if _is_table(value) else value
            for key, value in _parts(rules, leave=set()).items()
        }
    return values


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, list) for i in value)


def _parts(value: Any, leave: set[str]) -> dict[str, Any]:
    return {
        item.name: plain(getattr(value, item.name))
        for item in fields(value)
        if item.name not in leave
    }


def plain(value: Any) -> Any:
    """A value as TOML and JSON have it."""
    if is_dataclass(value):
        return _parts(value, leave=set())
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def without_nothing(table: dict[str, Any]) -> dict[str, Any]:
    """A table without what is not set: None, and empty texts, lists and tables."""
    kept = {
        key: without_nothing(value) if isinstance(value, dict) else value
        for key, value in table.items()
    }
    return {key: value for key, value in kept.items() if value not in (None, "", [], {})}


def toml_lines(table: dict[str, Any], path: str = "") -> Iterator[str]:
    """A table as lines of TOML, its own tables behind its other keys."""
    if path and any(not isinstance(value, dict) for value in table.values()):
        yield ""
        yield f"[{path}]"
    for key, value in table.items():
        if not isinstance(value, dict):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from toml_lines(value, f"{path}.{_key(key)}" if path else _key(key))


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # What JSON writes of a text, number or truth value is TOML too.
    return json.dumps(value)
