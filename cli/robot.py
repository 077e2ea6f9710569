"""`ringwheel robot`: hold the conversations of a script, with callers or by calling out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from rich.console import Console

from ..media.call import Call
from ..media.engine import Engine
from ..media.memory import settle_gc
from ..media.order import checked_caller
from ..media.pool import RealtimeRefused
from ..media.ports import NoRtpPort
from ..media.sip.transport import ListenError
from ..robot.calling import MAX_CONCURRENT, CallingOut, Tally
from ..robot.metrics import RobotMetrics
from ..robot.numbers import NumbersError, check_numbers, read_numbers
from ..robot.results import ResultsError, ResultWriter, format_of, open_sink
from ..robot.runner import Robot, RobotError
from ..robot.script.compiler import load_script
from ..robot.script.model import Script, TextPrompt
from ..robot.script.pack import prompts_in
from ..robot.script.problems import ScriptError
from ..robot.speech.embedded import EmbeddedSpeech
from . import options
from .config import ServeConfig, load_config, override
from .errors import STATUS_FAILED, CommandError
from .logging import LogOptions
from .reload import reload_on_signal
from .robot_speech import (
    LOCAL,
    Services,
    check_speech,
    close_services,
    close_when_idle,
    kept_prompts,
    speech_services,
    speech_sessions_of,
    wants_speech,
)
from .serve import (
    drain_on_signal,
    loop_factory,
    make_engine,
    make_monitor,
    raise_file_limit,
)
from .status import shown_status

if TYPE_CHECKING:
    from ..robot.results import Format

log = structlog.get_logger(__name__)

DIAL_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a robot is to do. Without ``dial`` it answers calls."""

    script: Script
    results: Path | None
    form: Format | None
    recordings: Path | None
    speech: tuple[str, ...]
    kept: Path | None
    max_calls: int | None
    dial: Path | None
    trunk: str | None
    concurrent: int
    rate_per_s: float
    caller: str | None
    timeout_s: float
    numbers: int = 0


def robot(
    context: typer.Context,
    *,
    script: Annotated[
        Path, typer.Option(help="The script: YAML, JSON, or a pack.", metavar="FILE")
    ],
    results: Annotated[
        Path | None,
        typer.Option(help="Append what comes of each call: .jsonl, .csv, .db.", metavar="FILE"),
    ] = None,
    results_format: Annotated[
        str | None, typer.Option(help="jsonl, csv or sqlite, where the suffix does not say.")
    ] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder for what callers leave.", metavar="DIR")
    ] = None,
    speech: Annotated[
        list[str] | None,
        typer.Option(
            help="Who speaks and hears: local, or an MRCP server; again for more.",
            metavar="local|sip:HOST:PORT",
        ),
    ] = None,
    keep_prompts: Annotated[
        Path | None,
        typer.Option(help="With --speech local: keep spoken prompts in DIR.", metavar="DIR"),
    ] = None,
    dial: Annotated[
        Path | None,
        typer.Option(
            help="Call these numbers instead of answering: CSV, columns become facts.",
            metavar="FILE",
        ),
    ] = None,
    trunk: Annotated[
        str | None, typer.Option(help="Trunk of the configuration to call by.", metavar="NAME")
    ] = None,
    concurrent: Annotated[
        int, typer.Option(min=1, max=MAX_CONCURRENT, help="With --dial: calls at the same time.")
    ] = 10,
    rate: Annotated[
        float, typer.Option(min=0.01, max=1000, help="With --dial: new calls a second.")
    ] = 1.0,
    caller: Annotated[
        str | None, typer.Option(help="With --dial: the number that is shown.")
    ] = None,
    ring: Annotated[
        float, typer.Option(min=1, max=180, help="With --dial: seconds to wait for an answer.")
    ] = DIAL_TIMEOUT_S,
    stream: Annotated[
        str | None,
        typer.Option(
            help="Agent that speaks and hears where the script says `by: stream`.",
            metavar="wss://HOST/PATH",
        ),
    ] = None,
    stream_token_env: options.StreamTokenEnv = None,
    sip: options.Sip = None,
    codec: options.CodecNames = None,
    rtp_ports: options.RtpPortRange = None,
    advertise: options.Advertise = None,
    max_calls: options.MaxCalls = None,
    realtime: options.Realtime = None,
    sip_gather_ms: options.SipGatherMs = None,
    srtp: options.SrtpPolicy = None,
    drain: options.Drain = None,
    allow: options.Allow = None,
    strangers: options.Strangers = None,
    http: options.Http = None,
    config: options.Config = None,
) -> None:
    """Answer calls with a script, or call numbers with it, and write down what came of each.

    SIGTERM and Ctrl-C drain: no new calls, and the conversations under way get --drain seconds to
    come to their end; a second one hangs up. With --dial the exit status is 1 if nobody was
    reached, or if a call failed or its conversation ended by an error.
    """
    flags = {
        "stream": stream,
        "stream_token_env": stream_token_env,
        "sip": sip,
        "codecs": codec,
        "rtp_ports": rtp_ports,
        "advertise": advertise,
        "max_calls": max_calls,
        "realtime": realtime,
        "sip_gather_ms": sip_gather_ms,
        "srtp": srtp,
        "drain_s": drain,
        "allow": allow,
        "strangers": strangers,
        "http": http,
    }

    def settle() -> ServeConfig:
        return override(load_config(config) if config else ServeConfig(), flags)

    settled = settle()
    if dial is None:
        _refuse_those_of_dial(context)
    check_speech(settled, speech or (), keep_prompts)
    work = Work(
        script=_script(script),
        results=results,
        form=_form(results, results_format),
        recordings=_folder(recordings),
        speech=tuple(speech or ()),
        kept=keep_prompts,
        max_calls=settled.max_calls,
        dial=dial,
        trunk=trunk,
        concurrent=concurrent,
        rate_per_s=rate,
        caller=caller,
        timeout_s=ring,
    )
    if caller is not None:
        _check_caller(caller)
    if dial is not None:
        work = replace(work, numbers=_count_numbers(settled, work))
        if not sip and config is None:
            settled = replace(settled, sip=("udp:0.0.0.0:0",))  # on a port of its own
    spoken = wants_speech(settled, work.speech)
    raise_file_limit(settled, (settled.max_calls or 0) if spoken else 0)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        tally = runner.run(_run(settled, work, context.obj or LogOptions(), settle))
    if tally is not None:
        _report(tally)
        raise typer.Exit(0 if tally.good else STATUS_FAILED)


def _refuse_those_of_dial(context: typer.Context) -> None:
    """Who answers calls would look in vain for what these do."""
    for name in ("trunk", "concurrent", "rate", "caller", "ring"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise CommandError(f"--{name} is for calling out", "Add --dial FILE, or leave it out")


def _script(path: Path) -> Script:
    try:
        return load_script(path)
    except ScriptError as error:
        raise CommandError(str(error), f"See all of it: ringwheel script check {path}") from error


def _form(results: Path | None, wanted: str | None) -> Format | None:
    if results is None:
        if wanted is not None:
            raise CommandError("--results-format says how --results is written", "Name a file")
        return None
    try:
        return format_of(results, wanted)
    except ResultsError as error:
        if wanted is not None:
            raise CommandError(f"--results-format: {error}") from error
        raise CommandError(f"--results {error}", "Or say --results-format") from error


def _folder(recordings: Path | None) -> Path | None:
    if recordings is not None and not recordings.is_dir():
        raise CommandError(f"--recordings {recordings} is no folder", "Create it first")
    return recordings


def _count_numbers(config: ServeConfig, work: Work) -> int:
    """How many are to be called. CommandError: they cannot be."""
    names = [trunk.name for trunk in config.trunks]
    if work.trunk is not None and work.trunk not in names:
        known = f"The configuration has {', '.join(names)}" if names else "Describe it in --config"
        raise CommandError(f"--trunk: no {work.trunk!r}", known)
    assert work.dial is not None
    try:
        count = check_numbers(work.dial, work.trunk)
    except NumbersError as error:
        raise CommandError(f"--dial {error}") from error
    log.info("numbers to call", numbers=count)
    return count


def _check_caller(caller: str) -> None:
    try:
        checked_caller(caller)
    except ValueError as error:
        # Else it would be in the results of each number, as if all had refused.
        raise CommandError(f"--{error}") from error


async def _run(
    config: ServeConfig, work: Work, log_options: LogOptions, settle: Callable[[], ServeConfig]
) -> Tally | None:
    try:
        async with contextlib.AsyncExitStack() as stack:
            writer = await _writer(work, stack)
            engine = await stack.enter_async_context(
                make_engine(config, "medium", speech_sessions_of(config, work.speech))
            )
            embedded = EmbeddedSpeech() if LOCAL in work.speech else None
            services = await stack.enter_async_context(
                speech_services(engine, config, work.speech, embedded)
            )
            kept = await stack.enter_async_context(kept_prompts(work.kept))
            robot = await stack.enter_async_context(
                Robot(
                    engine,
                    work.script,
                    speech=services,
                    kept=kept,
                    max_conversations=work.max_calls,
                    recordings=work.recordings,
                    results=None if writer is None else writer.put,
                )
            )
            await robot.prepare()
            _warn_of_silence(work.script, services)
            settle_gc()
            metrics = RobotMetrics(
                robot, services=services, writer=writer, kept=kept, embedded=embedded
            )
            await stack.enter_async_context(make_monitor(engine, config, [metrics, robot.streams]))
            await stack.enter_async_context(shown_status(engine, log_options))
            await stack.enter_async_context(reload_on_signal(engine, config, settle))
            if work.dial is None:
                await _answer(engine, robot, services, config)
                return None
            metrics.calling = _calling(robot, work)
            return await _call_out(engine, metrics.calling, services, config, work)
    except (RobotError, ListenError, NoRtpPort, RealtimeRefused) as error:
        raise CommandError(str(error)) from error


def _warn_of_silence(script: Script, services: Services) -> None:
    """A script may have texts for text channels alone; but mostly somebody has forgotten speech,
    and each caller would meet the handler `error`."""
    steps = (step for part in script.all for step in part.steps.values())
    texts = sum(isinstance(prompt, TextPrompt) for step in steps for prompt in prompts_in(step))
    if texts and not services:
        log.warning("nobody speaks the texts", texts=texts, remedy="--speech local, or a server's")


async def _answer(engine: Engine, robot: Robot, services: Services, config: ServeConfig) -> None:
    """Answer calls until a signal ends that."""
    closing = asyncio.create_task(close_when_idle(robot, services))
    try:
        async with drain_on_signal(engine, config.drain_s, robot.drain):
            log.info("answering", script=robot.script.name, sip=engine.addresses)
            await engine.serve(robot.answer)
    finally:
        closing.cancel()
        await asyncio.wait([closing])


async def _writer(work: Work, stack: contextlib.AsyncExitStack) -> ResultWriter | None:
    if work.results is None or work.form is None:
        return None
    try:
        sink = open_sink(work.results, work.form, work.script.all_fields)
    except ResultsError as error:
        raise CommandError(f"--results {error}") from error
    return await stack.enter_async_context(ResultWriter(sink))


def _calling(robot: Robot, work: Work) -> CallingOut:
    return CallingOut(
        robot,
        trunk=work.trunk,
        concurrent=work.concurrent,
        rate_per_s=work.rate_per_s,
        caller=work.caller,
        timeout_s=work.timeout_s,
        numbers=work.numbers,
    )


async def _call_out(
    engine: Engine, calling: CallingOut, services: Services, config: ServeConfig, work: Work
) -> Tally:
    """Call all numbers, and end when the last conversation is over."""
    assert work.dial is not None
    async with _serving(engine), drain_on_signal(engine, config.drain_s, calling.stop):
        try:
            return await calling.run(read_numbers(work.dial, work.trunk))
        finally:
            await close_services(services)


@contextlib.asynccontextmanager
async def _serving(engine: Engine) -> AsyncIterator[None]:
    """Transfers need an engine that serves; whoever calls it is refused."""

    async def refuse(call: Call) -> None:
        call.reject(480)

    serving = asyncio.create_task(engine.serve(refuse))
    try:
        yield
    finally:
        await engine.drain(0)
        await serving


def _report(tally: Tally) -> None:
    """What came of calling out: for people on a terminal, as JSON elsewhere."""
    console = Console()
    if not console.is_terminal:
        typer.echo(json.dumps({"outcomes": tally.outcomes, "causes": tally.causes}))
        return
    for title, counts in (("calls", tally.outcomes), ("conversations", tally.causes)):
        console.print(f"{title}: {_counts(counts.most_common())}")


def _counts(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts) or "none"
