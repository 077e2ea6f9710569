"""`ringwheel call`: place one call, play, send digits, record, and say how it was."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..media.call import CallEnded
from ..media.codec import UnknownCodec
from ..media.dialling import DialFailed, DialledCall
from ..media.engine import Engine
from ..media.keypad import check_digits
from ..media.order import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, checked_headers
from ..media.pool import announced_host
from ..media.ports import NoRtpPort
from ..media.prompt import PromptError
from ..media.record import Record
from ..media.sip.digest import Credentials
from ..media.sip.fields import format_host_port
from ..media.sip.gate import GateRules
from ..media.sip.message import SipParseError
from ..media.sip.transport import Listener, ListenError
from ..media.sip.uri import SipUri
from ..media.trunk import Trunk
from .config import ServeConfig, load_config, override, tls_of
from .errors import STATUS_FAILED, CommandError
from .logging import LogOptions, configure_logging

RECORD_TIMEOUT_S = 5.0
"""How long the call's end may take to be written down."""

DIGIT_MS = 100
CALLEE_ENDED = "the callee has hung up"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with the call."""

    uri: str
    prompts: tuple[Path, ...]
    record: Path | None
    digits: str
    max_s: float
    dialling: dict[str, Any]


def call(
    context: typer.Context,
    uri: Annotated[str, typer.Argument(help="Whom to call: sip:USER@HOST.")],
    *,
    prompt: Annotated[
        list[Path] | None, typer.Option(help="Sound file to play; again for more, gapless.")
    ] = None,
    dtmf: Annotated[
        str, typer.Option(help="Digits to send after the prompts.", metavar="DIGITS")
    ] = "",
    record: Annotated[
        Path | None,
        typer.Option(
            help="Record to a WAV file, callee left, robot right, until the callee hangs up.",
            metavar="FILE",
        ),
    ] = None,
    caller: Annotated[
        str | None, typer.Option(help="Who calls: a SIP URI, a number, a name.")
    ] = None,
    display_name: Annotated[str, typer.Option(help="The caller's name to be shown.")] = "",
    header: Annotated[
        list[str] | None,
        typer.Option(help="Header of the INVITE; again for more.", metavar="'NAME: VALUE'"),
    ] = None,
    user: Annotated[str | None, typer.Option(help="User name, if we are asked for it.")] = None,
    password_env: Annotated[
        str | None, typer.Option(help="Environment variable with the password.", metavar="VAR")
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, max=MAX_TIMEOUT_S, help="Seconds that the callee has to answer."),
    ] = DEFAULT_TIMEOUT_S,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="Seconds after which we hang up.")
    ] = 60.0,
    sip: Annotated[
        str | None,
        typer.Option(
            help="Call from here; by default the address that leads there.",
            metavar="udp:HOST:PORT",
        ),
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="Codecs to offer, with commas: pcmu,pcma.")
    ] = None,
    srtp: Annotated[
        str | None, typer.Option(help="Encrypt sound: off, optional (if taken), required.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of `ringwheel serve`: call by its trunks.", metavar="FILE"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the call's record as JSON.")
    ] = False,
) -> None:
    """Place a call, play the prompts, send the digits, hang up.

    Without prompts and digits, or with --record, we stay until the callee hangs up or
    --max-seconds are over; SIGTERM and Ctrl-C hang up. Exit status 1 if nobody answers: the outcome
    is in the one line on stderr, and in the record.

    With --config, sip:NUMBER@NAME goes by [trunk.NAME], with its rules and credentials. It may be
    the file of an engine that runs: we call from another port, and do not register.
    """
    plan = Plan(
        uri,
        tuple(prompt or ()),
        record,
        dtmf,
        max_seconds,
        {
            "caller": caller,
            "display_name": display_name,
            "timeout_s": timeout,
            "headers": _headers(header or ()),
            "credentials": _credentials(user, password_env),
        },
    )
    if record is not None:
        _check_record(record)
    settings = _settings(uri, config, {"sip": sip, "codecs": codec, "srtp": srtp})
    options = context.obj or LogOptions()
    configure_logging(options.terse_level, options.log_format)
    console = Console(stderr=True, highlight=False)
    told = asyncio.run(_place(plan, settings, lambda line: console.print(line, markup=False)))
    if as_json:
        typer.echo(json.dumps(told.record))
    if told.failure:
        raise CommandError(f"{uri}: {told.failure}", status=STATUS_FAILED)
    if not as_json:
        Console().print(summary_table(told.record))


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it. ``failure`` is empty if the call was answered, and recorded if asked for."""

    record: Record
    failure: str = ""


def _check_record(file: Path) -> None:
    """Nobody's telephone is to ring for a recording that cannot be. CommandError."""
    if file.exists():
        raise CommandError(f"--record {file}: the file exists", "Take another name")
    if not os.access(file.parent, os.W_OK | os.X_OK) or not file.parent.is_dir():
        cause = f"--record {file}: no file can be made in {file.parent}"
        raise CommandError(cause, "Name a folder that is there and may be written to")


def _headers(lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise CommandError(f"--header {line!r} is no header", "Write it as 'NAME: VALUE'")
        pairs.append((name.strip(), value.strip()))
    try:
        return checked_headers(pairs)
    except ValueError as error:
        raise CommandError(f"--header: {error}") from None


def _credentials(user: str | None, password_env: str | None) -> Credentials | None:
    if user is None and password_env is None:
        return None
    if user is None or password_env is None:
        raise CommandError("--user and --password-env belong together", "Give both")
    password = os.environ.get(password_env)
    if password is None:
        raise CommandError(
            f"--password-env: there is no variable {password_env}", f"Set it: export {password_env}"
        )
    try:
        return Credentials(user, password)
    except ValueError as error:
        raise CommandError(f"--user: {error}") from None


def _settings(uri: str, file: Path | None, flags: dict[str, str | None]) -> dict[str, Any]:
    """What the engine runs with: what the file says of calls out, and the flags over it."""
    config = ServeConfig() if file is None else load_config(file)
    if not flags["sip"]:
        ours = [_listener_to(uri)] if file is None else map(_on_free_port, config.sip)
        config = replace(config, sip=tuple(dict.fromkeys(ours)))
    config = override(config, flags)
    return {
        "sip": config.sip,
        "codecs": config.codecs,
        "srtp": config.srtp,
        "rtp_ports": config.rtp_ports,
        "rtp_source": config.rtp_source,
        "advertise": config.advertise,
        "tls": tls_of(config),
        "dns": config.dns,
        "session_expires_s": config.session_expires_s,
        "min_se_s": config.min_se_s,
        "sip_gather_ms": config.sip_gather_ms,
        "trunks": [_for_one_call(trunk, flags) for trunk in config.trunks],
        "gate": GateRules(strangers="drop"),  # nobody calls us, and what we ask for comes in anyway
    }


def _on_free_port(listener: str) -> str:
    """The same address, on whatever port is free: the engine of that file may be running."""
    there = Listener.parse(listener)
    free = str(replace(there, port=0))
    outside = there.advertised_host
    if outside is None:
        return free
    return f"{free}=[{outside}]" if ":" in outside else f"{free}={outside}"


def _for_one_call(trunk: Trunk, flags: dict[str, str | None]) -> Trunk:
    """The trunk without what is the running engine's to do, and with what flags say otherwise."""
    account = trunk.registration.user if trunk.registration and not trunk.user else ""
    caller = replace(trunk.caller, default=trunk.caller.default or account)
    return replace(
        trunk,
        registration=None,
        options_interval_s=0,
        caller=caller,
        codecs=() if flags["codecs"] else trunk.codecs,
        srtp=None if flags["srtp"] else trunk.srtp,
    )


def _listener_to(uri: str) -> str:
    """A listener on the address of ours that leads to the callee."""
    try:
        host = SipUri.parse(uri).host
    except SipParseError:
        raise CommandError(f"{uri} is no SIP URI", "Write it as sip:USER@HOST") from None
    host = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "udp:0.0.0.0:0"
    try:
        own = announced_host("::" if address.version == 6 else "0.0.0.0", host)
    except NoRtpPort as error:
        raise CommandError(str(error), status=STATUS_FAILED) from None
    return f"udp:{format_host_port(own, 0)}"


async def _place(plan: Plan, settings: dict[str, Any], tell: Tell) -> Told:
    """The call itself. Raises CommandError for what cannot be used."""
    loop = asyncio.get_running_loop()
    # As Ctrl-C, which cancels us: the callee is not to be left on a line where nobody is.
    loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    written: asyncio.Future[Record] = loop.create_future()
    try:
        check_digits(plan.digits)
        async with Engine(**settings, records=written.set_result) as engine:
            await engine.load(*plan.prompts)
            tell(f"calling {plan.uri}")
            try:
                call = await engine.dial(plan.uri, ringing=_Ringing(tell), **plan.dialling)
            except DialFailed as failed:
                placed = engine.snapshot().sip["calls_dialled"] > 0
                return Told(await _record_of(written, failed, placed=placed), str(failed))
            failure = await _talk(call, plan, tell)
            return Told(await asyncio.wait_for(written, RECORD_TIMEOUT_S), failure)
    except (PromptError, ListenError, UnknownCodec, ValueError) as error:
        raise CommandError(str(error)) from None


class _Ringing:
    """Tells what is new about a call that is not answered yet."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told = False

    def __call__(self, _: DialledCall) -> None:
        if not self._told:
            self._told = True
            self._tell("ringing")


async def _record_of(
    written: asyncio.Future[Record], failed: DialFailed, *, placed: bool
) -> Record:
    """The record, or what stands for it where nothing was ``placed``, or its end takes too long."""
    if placed:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(written, RECORD_TIMEOUT_S)
    return {
        "outcome": failed.outcome.value,
        "status": failed.status,
        "reason": failed.reason,
        "text": str(failed),
    }


async def _talk(call: DialledCall, plan: Plan, tell: Tell) -> str:
    """From the answer to the end; what has failed of it."""
    failure = ""
    sound = f", {call.early_sound.value} before" if call.early_sound else ""
    tell(f"answered ({call.codec}{sound})")
    try:
        async with asyncio.timeout(plan.max_s):
            if plan.record is not None:
                call.record(plan.record)
            if plan.prompts:
                tell(f"playing {', '.join(str(path) for path in plan.prompts)}")
                await call.play(*plan.prompts)
            if plan.digits:
                tell(f"sending {len(plan.digits)} digits")
                await call.send_digits(plan.digits, on_ms=DIGIT_MS, off_ms=DIGIT_MS)
                await asyncio.sleep(
                    2 * DIGIT_MS / 1000 * len(plan.digits)
                )  # events are only queued
            if plan.record is not None or not (plan.prompts or plan.digits):
                await call.wait_ended()
                tell(CALLEE_ENDED)
    except TimeoutError:
        tell(f"hanging up after {plan.max_s:g} s")
    except CallEnded:
        tell(CALLEE_ENDED)
    except OSError as error:
        failure = f"--record {plan.record}: {error.strerror}"
    await call.hangup()
    return failure


def summary_table(record: Record) -> Table:
    """What came of it, for people."""
    table = Table(title=f"Call to {record['to']}", title_justify="left", show_header=False)
    table.add_row("outcome", f"{record['outcome']} by {record['sip_peer']}")
    table.add_row("talked", f"{record['talked_s']:.1f} s, ended by {record['ended_by']}")
    codec = f"{record['codec']}, {'encrypted' if record['encrypted'] else 'in the clear'}"
    table.add_row("codec", codec)
    if record["early_sound"]:
        table.add_row("before the answer", record["early_sound"])
    sent, received = record["sent"], record["received"]
    table.add_row("sent", f"{sent['packets']} packets")
    table.add_row("received", f"{received['packets']} packets, {received['lost']} lost")
    table.add_row("jitter", f"{received['jitter_ms']:.1f} ms")
    for name, key in (("score, heard by us", "mos_in"), ("score, heard there", "mos_out")):
        if record[key] is not None:
            table.add_row(name, f"{record[key]:.2f}")
    return table
