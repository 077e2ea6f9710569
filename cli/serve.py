"""`ringwheel serve`: answer every call, and play it prompts or connect it with an agent."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import structlog
import typer

from ..media.call import Call
from ..media.capacity import RESERVED_FILES
from ..media.engine import Engine, Voice
from ..media.memory import settle_gc
from ..media.monitor import Monitor
from ..media.monitor.families import Part
from ..media.pool import RealtimeRefused
from ..media.ports import NoRtpPort
from ..media.prompt import PromptError
from ..media.sip.transport import ListenError
from ..robot.speech.stream import StreamTotals
from ..robot.speech.stream.wire import read_address
from . import options
from .config import ServeConfig, load_config, override, tls_of
from .errors import CommandError
from .logging import LogOptions
from .reload import gate_rules, reload_on_signal
from .status import shown_status
from .streaming import make_streamer

log = structlog.get_logger(__name__)

# A hard limit may be a thousand million: more than we use would only slow down who walks it.
MAX_OPEN_FILES = 1_000_000


def serve(
    context: typer.Context,
    *,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Sound file to play; again for more, gapless.")
    ] = None,
    loop: Annotated[
        bool | None,
        typer.Option("--loop/--no-loop", help="Play the list for ever, instead of hanging up."),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            help="Connect each call with this agent (Twilio Media Streams, or AudioSocket).",
            metavar="wss://HOST/PATH|audiosocket+tcp://HOST:PORT",
        ),
    ] = None,
    stream_max: Annotated[
        float | None, typer.Option(help="Seconds that a call has with the agent.")
    ] = None,
    stream_barge_in: Annotated[
        str | None,
        typer.Option(help="What ends at once what the agent says: none, or the caller's speech."),
    ] = None,
    stream_token_env: options.StreamTokenEnv = None,
    sip: options.Sip = None,
    codec: options.CodecNames = None,
    codec_order: Annotated[
        str | None, typer.Option(help="Whose order of codecs decides: caller, or own.")
    ] = None,
    rtp_ports: options.RtpPortRange = None,
    advertise: options.Advertise = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    tls_ca: options.TlsCa = None,
    tls_verify_client: Annotated[
        str | None,
        typer.Option(help="Certificates of those who connect: off, optional, required."),
    ] = None,
    shards: Annotated[int | None, typer.Option(help="Media threads.")] = None,
    max_calls: options.MaxCalls = None,
    realtime: options.Realtime = None,
    sip_gather_ms: options.SipGatherMs = None,
    rtp_sockets: Annotated[str | None, typer.Option(help="per-leg, or shared for trunks.")] = None,
    rtp_source: Annotated[
        str | None,
        typer.Option(help="Take sound from where the SDP says, or latch (callers behind NAT)."),
    ] = None,
    silence: Annotated[
        str | None,
        typer.Option(help="While nothing plays: stop, send silence, or comfort-noise (RFC 3389)."),
    ] = None,
    media_timeout_ms: Annotated[
        int | None,
        typer.Option(
            help="Hang up on who was not heard for so long, holds apart; 0: never.", metavar="MS"
        ),
    ] = None,
    srtp: options.SrtpPolicy = None,
    per_source_rate: Annotated[
        float | None, typer.Option(help="New requests a second from one address.")
    ] = None,
    records: options.Records = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Record each call to a WAV file in DIR, caller left, robot right.", metavar="DIR"
        ),
    ] = None,
    session_expires: Annotated[
        int | None,
        typer.Option(help="Longest session timer, in seconds (RFC 4028).", metavar="SECONDS"),
    ] = None,
    min_se: Annotated[
        int | None,
        typer.Option(help="Shortest that callers may ask for; 422 below.", metavar="SECONDS"),
    ] = None,
    drain: options.Drain = None,
    allow: options.Allow = None,
    strangers: options.Strangers = None,
    users: options.Users = None,
    http: options.Http = None,
    trace_messages: Annotated[
        int | None, typer.Option(help="SIP messages kept for `ringwheel trace`; 0: none.")
    ] = None,
    hep: Annotated[
        str | None,
        typer.Option(help="Send copies of SIP messages there (HEP3, Homer).", metavar="HOST:PORT"),
    ] = None,
    hep_id: Annotated[int | None, typer.Option(help="Our agent number in HEP3.")] = None,
    config: options.Config = None,
) -> None:
    """Answer every call, play the prompts without a gap, hang up; or connect it with an agent by
    --stream.

    SIGTERM and Ctrl-C drain: new calls get 503, running ones may end; a second one hangs up.
    SIGHUP reads the configuration again, without touching calls: who may call, trunks,
    certificates.
    """
    flags = {
        "prompts": prompt,
        "loop": loop,
        "stream": stream,
        "stream_max_s": stream_max,
        "stream_barge_in": stream_barge_in,
        "stream_token_env": stream_token_env,
        "sip": sip,
        "codecs": codec,
        "codec_order": codec_order,
        "rtp_ports": rtp_ports,
        "advertise": advertise,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_ca": tls_ca,
        "tls_verify_client": tls_verify_client,
        "shards": shards,
        "max_calls": max_calls,
        "realtime": realtime,
        "sip_gather_ms": sip_gather_ms,
        "rtp_sockets": rtp_sockets,
        "rtp_source": rtp_source,
        "silence": silence,
        "media_timeout_ms": media_timeout_ms,
        "srtp": srtp,
        "per_source_rate": per_source_rate,
        "records": records,
        "record": record,
        "session_expires_s": session_expires,
        "min_se_s": min_se,
        "drain_s": drain,
        "allow": allow,
        "strangers": strangers,
        "users": users,
        "http": http,
        "trace_messages": trace_messages,
        "hep": hep,
        "hep_id": hep_id,
    }

    def settle() -> ServeConfig:
        return override(load_config(config) if config else ServeConfig(), flags)

    settled = settle()
    if not settled.prompts and settled.stream is None:
        remedy = "Name one with --prompt FILE, or an agent with --stream URL"
        raise CommandError("there is no prompt to play", remedy)
    raise_file_limit(settled)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settled, context.obj or LogOptions(), settle))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed; None is asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not there on every system
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def raise_file_limit(config: ServeConfig, speech_sessions: int = 0) -> None:
    """Use all the files that the hard limit gives; ``speech_sessions`` take some. Raises
    CommandError if those are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    needed = (config.max_calls or 0) + speech_sessions + RESERVED_FILES
    if config.rtp_sockets == "per-leg" and soft != resource.RLIM_INFINITY and needed > soft:
        cause = f"--max-calls {config.max_calls} needs {needed} open files, the limit is {soft}"
        raise CommandError(cause, f"Raise it (ulimit -n {needed}), or lower --max-calls")


async def _serve(
    config: ServeConfig, log_options: LogOptions, settle: Callable[[], ServeConfig]
) -> None:
    try:
        async with make_engine(config) as engine:
            if config.prompts:
                await engine.load(*config.prompts, as_list=True, loop=config.loop)
            settle_gc()
            totals = StreamTotals()
            handler = make_handler(engine, config, totals)
            async with (
                make_monitor(engine, config, [totals] if config.stream else ()),
                shown_status(engine, log_options),
                reload_on_signal(engine, config, settle),
                drain_on_signal(engine, config.drain_s),
            ):
                # Calls that came while prompts were read got 503: now they are welcome.
                log.info("serving", **_served(config))
                await engine.serve(handler)
    except PromptError as error:
        raise CommandError(str(error)) from error
    except (ListenError, NoRtpPort, RealtimeRefused) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        if config.records is None or error.filename != str(config.records):
            raise
        remedy = "Name a file in a folder that is there and may be written to"
        raise CommandError(f"--records {config.records}: {error.strerror}", remedy) from error


def make_engine(
    config: ServeConfig, voice: Voice = "off", max_speech_sessions: int | None = None
) -> Engine:
    """The engine of a configuration, not started. ``voice``: how easily a caller is taken to
    speak; prompts that nobody may interrupt need none of it. ``max_speech_sessions``: as of
    `Engine`."""
    return Engine(
        config.sip,
        codecs=config.codecs,
        codec_order=config.codec_order,
        rtp_ports=config.rtp_ports,
        advertise=config.advertise,
        tls=tls_of(config),
        shards=config.shards,
        max_calls=config.max_calls,
        max_speech_sessions=max_speech_sessions,
        per_source_rate=config.per_source_rate,
        session_expires_s=config.session_expires_s,
        min_se_s=config.min_se_s,
        realtime=config.realtime,
        sip_gather_ms=config.sip_gather_ms,
        rtp_sockets=config.rtp_sockets,
        rtp_source=config.rtp_source,
        silence=config.silence,
        media_timeout_ms=config.media_timeout_ms,
        srtp=config.srtp,
        records=config.records,
        gate=gate_rules(config),
        trunks=config.trunks,
        dns=config.dns,
        # An agent that callers may interrupt has to hear them, whatever prompts need.
        voice=voice if config.stream_barge_in == "none" else "medium",
    )


def make_monitor(engine: Engine, config: ServeConfig, parts: Sequence[Part] = ()) -> Monitor:
    """Who looks at the engine, as far as the configuration asks for it."""
    return Monitor(
        engine,
        http=config.http,
        trace_messages=config.trace_messages,
        hep=config.hep,
        hep_id=config.hep_id,
        parts=parts,
    )


def _served(config: ServeConfig) -> dict[str, object]:
    if config.stream is not None:
        return {"stream": read_address(config.stream).shown}
    return {"prompts": [str(path) for path in config.prompts]}


def make_handler(
    engine: Engine, config: ServeConfig, totals: StreamTotals
) -> Callable[[Call], Awaitable[None]]:
    """What is done with each call; streams are added to ``totals``. Raises CommandError."""
    if config.stream is None:
        return make_greeter(engine, config)

    def on_answer(call: Call) -> None:
        if config.record is not None:
            _record(call, config.record)

    return make_streamer(config, on_answer, totals)


def make_greeter(engine: Engine, config: ServeConfig) -> Callable[[Call], Awaitable[None]]:
    """What is done with each call."""

    async def greet(call: Call) -> None:
        try:
            # From memory, unless a file was changed: then it has to be sound before we answer.
            await engine.load(*config.prompts, as_list=True, loop=config.loop)
        except PromptError as error:
            log.error("call refused", call=call.id, status=500, cause=str(error))
            call.reject(500)
            return
        await call.answer()
        if config.record is not None:
            _record(call, config.record)
        await call.play(*config.prompts, loop=config.loop)
        await call.hangup()

    return greet


def _record(call: Call, directory: Path) -> None:
    """A disk that takes no file costs the recording, and not the call."""
    try:
        call.record(directory / f"{call.id}.wav")
    except OSError as error:
        log.error("call not recorded", call=call.id, path=error.filename, cause=error.strerror)


@contextlib.asynccontextmanager
async def drain_on_signal(
    engine: Engine, drain_s: float, on_drain: Callable[[], None] | None = None
) -> AsyncIterator[None]:
    """The first SIGTERM or SIGINT drains; any further one hangs up at once. ``on_drain`` is called
    with each."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    async with asyncio.TaskGroup() as tasks:
        timeouts_s = iter([drain_s])

        def drain() -> None:
            if on_drain is not None:
                on_drain()
            tasks.create_task(engine.drain(next(timeouts_s, 0.0)))

        for number in signals:
            loop.add_signal_handler(number, drain)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
