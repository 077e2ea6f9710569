"""`ringwheel speech`: an MRCPv2 server on local engines of speech."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.live import Live
from rich.table import Table

from ..media.memory import settle_gc
from ..media.monitor import Monitor
from ..media.sip.tls import TlsConfig
from ..media.sip.transport import Listener, ListenError
from ..robot.speech.engines.engine import EngineFailed
from ..robot.speech.server.metrics import SpeechMetrics
from ..robot.speech.server.server import MAX_SESSIONS, WORKERS, SpeechServer, as_json
from ..robot.speech.server.session import PLAIN
from .config import ServeConfig, override
from .errors import CommandError
from .logging import LogOptions
from .serve import drain_on_signal, loop_factory, raise_file_limit
from .status import LOG_INTERVAL_S, TERMINAL_INTERVAL_S, shown

log = structlog.get_logger(__name__)

MAX_WORKERS = 64


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """What the command was given."""

    http: str | None
    drain_s: float
    announce: bool


def speech(
    context: typer.Context,
    *,
    sip: Annotated[
        list[str] | None,
        typer.Option(
            help="Set sessions up here; again for more. [default: udp:127.0.0.1:5070]",
            metavar="udp|tcp|tls:HOST:PORT",
            show_default=False,
        ),
    ] = None,
    mrcp: Annotated[
        str, typer.Option(help="Control connections by TCP; none: only TLS.", metavar="HOST:PORT")
    ] = "127.0.0.1:1544",
    mrcp_tls: Annotated[
        str | None, typer.Option(help="Control connections by TLS.", metavar="HOST:PORT")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate (chain) to show, PEM.", metavar="FILE")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="The key of the certificate, PEM.", metavar="FILE")
    ] = None,
    recognizer: Annotated[
        str, typer.Option(help="Engine that recognizes (entry point ringwheel.recognizers).")
    ] = "pocketsphinx",
    synthesizer: Annotated[
        str, typer.Option(help="Engine that speaks (entry point ringwheel.synthesizers).")
    ] = "espeak-ng",
    voice: Annotated[
        str | None, typer.Option(help="Voice where a request names none, such as en-gb+f3.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that recognize.")] = WORKERS,
    records: Annotated[
        Path | None,
        typer.Option(help="Keep recordings in DIR; else they are sent back.", metavar="DIR"),
    ] = None,
    rtp_ports: Annotated[
        str, typer.Option(help="Ports for RTP, two a session.", metavar="FIRST-LAST")
    ] = "40002-44000",
    advertise: Annotated[
        str | None, typer.Option(help="Address that clients reach us by, behind a NAT.")
    ] = None,
    max_sessions: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Sessions at the same time; 503 beyond.")
    ] = MAX_SESSIONS,
    drain: Annotated[float, typer.Option(help="Seconds that sessions get at SIGTERM.")] = 30.0,
    http: Annotated[
        str | None,
        typer.Option(help="Metrics, health and traces by HTTP.", metavar="HOST:PORT"),
    ] = None,
    announce: Annotated[
        bool,
        typer.Option(
            help="For programs: tell the addresses as a line of JSON; end when stdin closes."
        ),
    ] = False,
) -> None:
    """Serve speech recognition and synthesis by MRCPv2 (RFC 6787).

    Needs nothing but espeak-ng: speech is recognized by pocketsphinx, in processes of its own.
    SIGTERM and Ctrl-C drain: new sessions get 503, running ones may end.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise CommandError(f"--workers {workers}", f"Take 1 to {MAX_WORKERS}")
    if announce and mrcp == "none":
        raise CommandError("--announce tells the port of --mrcp", "Leave --mrcp none out")
    _check_control(mrcp, mrcp_tls)
    if records is not None and not records.is_dir():
        raise CommandError(f"--records {records}: no such directory", "Make it first")
    checked = override(
        ServeConfig(),
        {
            "sip": sip or ("udp:127.0.0.1:5070",),
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "rtp_ports": rtp_ports,
            "advertise": advertise,
            "drain_s": drain,
            "http": http,
        },
    )
    try:
        server = SpeechServer(
            checked.sip,
            mrcp=None if mrcp == "none" else mrcp,
            mrcp_tls=mrcp_tls,
            tls=TlsConfig(tls_cert, tls_key) if tls_cert or tls_key else None,
            recognizer=recognizer,
            synthesizer=synthesizer,
            workers=workers,
            voice=voice,
            records=records,
            max_sessions=max_sessions,
            rtp_ports=checked.rtp_ports,
            advertise=checked.advertise,
        )
    except (ValueError, ListenError) as error:
        raise CommandError(str(error)) from error
    raise_file_limit(ServeConfig(max_calls=max_sessions))
    options = SpeechOptions(http, checked.drain_s, announce)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(server, options, context.obj or LogOptions()))


def _check_control(mrcp: str, mrcp_tls: str | None) -> None:
    """The addresses of control connections. CommandError."""
    for flag, address in (("--mrcp", mrcp), ("--mrcp-tls", mrcp_tls)):
        if address is None or (flag == "--mrcp" and address == "none"):
            continue
        try:
            Listener.parse(f"tcp:{address}")
        except ListenError as error:
            cause = f"{flag} {address}: no address to listen at"
            remedy = "Write it as HOST:PORT, the host a numeric address, an IPv6 one as [V6]"
            raise CommandError(cause, remedy) from error


async def _serve(server: SpeechServer, options: SpeechOptions, log_options: LogOptions) -> None:
    try:
        async with server:
            settle_gc()
            async with (
                Monitor(server.engine, http=options.http, parts=[SpeechMetrics(server.figures)]),
                _announced(server) if options.announce else _status(server, log_options),
                drain_on_signal(server.engine, options.drain_s),
            ):
                await server.serve()
    except (EngineFailed, ListenError) as error:
        raise CommandError(str(error)) from error


@contextlib.asynccontextmanager
async def _announced(server: SpeechServer) -> AsyncIterator[None]:
    """Tell the addresses, and drain when whoever has started us is gone."""
    told = {"sip": server.engine.listeners, "mrcp": f"127.0.0.1:{server.ports[PLAIN]}"}
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )

    async def watch() -> None:
        print(json.dumps(told), flush=True)  # now that it serves
        while await reader.read(1024):
            pass
        await server.drain(0.0)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        transport.close()


def _status(server: SpeechServer, options: LogOptions) -> AbstractAsyncContextManager[None]:
    return shown(partial(_log_status, server), partial(_show_status, server), options)


async def _log_status(server: SpeechServer) -> None:
    while True:
        await asyncio.sleep(LOG_INTERVAL_S)
        log.info("status", **as_json(server.figures()))


async def _show_status(server: SpeechServer, live: Live) -> None:
    while True:
        await asyncio.sleep(TERMINAL_INTERVAL_S)
        live.update(table_of(as_json(server.figures())), refresh=True)


def table_of(figures: dict[str, object]) -> Table:
    """The status for people."""
    table = Table.grid(padding=(0, 2))
    for name, value in figures.items():
        shown = _shown(value) if isinstance(value, dict) else str(value)
        table.add_row(name, shown or "none")
    return table


def _shown(counts: dict[str, object]) -> str:
    nested = {n: _shown(v) if isinstance(v, dict) else v for n, v in counts.items()}
    return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in nested.items() if value)
