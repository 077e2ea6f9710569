"""The live status of an engine: what moved between two snapshots, for a terminal or for a log."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from functools import partial

import structlog
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..media.engine import Engine
from ..media.figures import EngineFigures
from .logging import LogOptions, configure_logging

log = structlog.get_logger(__name__)

TERMINAL_INTERVAL_S = 0.5
LOG_INTERVAL_S = 10.0

_REFUSALS = ("refused_", "rejected_")
_LOSSES = (
    "packets_skipped",
    "send_buffer_full",
    "send_refused",
    "send_unreachable",
    "send_failed",
)


@dataclass(frozen=True, slots=True)
class Status:
    """An engine at one moment. ``refused`` and ``lost`` count by reason, zeros left out.

    ``lateness_p99_us`` is that of the worst shard since its start.
    """

    calls_up: int
    calls_limit: int
    draining: bool
    answered: int
    refused: dict[str, int]
    packets_per_s: int
    lost: dict[str, int]
    lateness_p99_us: int
    speech_sessions: int = 0


def status_of(before: EngineFigures, now: EngineFigures, elapsed_s: float) -> Status:
    """The status at ``now``, with rates over the time since ``before``."""
    sent = now.media["packets_sent"] - before.media["packets_sent"]
    return Status(
        calls_up=now.calls_up,
        calls_limit=now.calls_limit,
        draining=now.draining,
        answered=now.sip["calls_answered"],
        refused={
            name.partition("_")[2]: count
            for name, count in now.sip.items()
            if name.startswith(_REFUSALS) and count
        },
        packets_per_s=round(sent / elapsed_s) if elapsed_s > 0 else 0,
        lost={name: now.media[name] for name in _LOSSES if now.media[name]},
        lateness_p99_us=max(shard.p99 for shard in now.lateness_us),
        speech_sessions=now.speech_sessions,
    )


def table_of(status: Status) -> Table:
    """The status for people."""
    table = Table.grid(padding=(0, 2))
    state = "draining" if status.draining else "serving"
    table.add_row(state, f"{status.calls_up:,} of {status.calls_limit:,} calls up")
    if status.speech_sessions:
        table.add_row("speech sessions", f"{status.speech_sessions:,}")
    table.add_row("answered", f"{status.answered:,}")
    table.add_row("refused", _counts(status.refused))
    table.add_row("packets", f"{status.packets_per_s:,} a second")
    table.add_row("lost", _counts(status.lost))
    table.add_row("lateness", f"{status.lateness_p99_us / 1000:.2f} ms at p99")
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or "0"


@contextlib.asynccontextmanager
async def shown(
    log_lines: Callable[[], Coroutine[None, None, None]],
    show: Callable[[Live], Coroutine[None, None, None]],
    options: LogOptions,
) -> AsyncIterator[None]:
    """``show`` on a terminal, where only warnings are logged above it; ``log_lines`` elsewhere.
    Both go on for ever."""
    console = Console()
    async with asyncio.TaskGroup() as tasks:
        if not console.is_terminal:
            task = tasks.create_task(log_lines())
            yield
        else:
            with live_display(console) as live:
                # stderr is the display's for as long as it lasts: lines go above the status.
                configure_logging(options.terse_level, options.log_format, sys.stderr)
                task = tasks.create_task(show(live))
                yield
            configure_logging(options.level, options.log_format)
        task.cancel()


def shown_status(engine: Engine, options: LogOptions) -> AbstractAsyncContextManager[None]:
    """An engine's status, for people and for logs."""
    return shown(partial(log_status, engine), partial(show_status, engine), options)


async def log_status(engine: Engine, interval_s: float = LOG_INTERVAL_S) -> None:
    """Log a line every so often, for ever."""
    before, before_s = engine.snapshot(), time.monotonic()
    while True:
        await asyncio.sleep(interval_s)
        now, now_s = engine.snapshot(), time.monotonic()
        log.info("status", **asdict(status_of(before, now, now_s - before_s)))
        before, before_s = now, now_s


async def show_status(engine: Engine, live: Live) -> None:
    """Keep the status on a terminal up to date, for ever."""
    before, before_s = engine.snapshot(), time.monotonic()
    while True:
        await asyncio.sleep(TERMINAL_INTERVAL_S)
        now, now_s = engine.snapshot(), time.monotonic()
        live.update(table_of(status_of(before, now, now_s - before_s)), refresh=True)
        before, before_s = now, now_s


def live_display(console: Console) -> Live:
    """A display at the bottom of the terminal, without a thread of its own."""
    return Live(console=console, auto_refresh=False, transient=True)
