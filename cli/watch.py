"""`ringwheel status`: the figures of a running engine, live, from its HTTP port."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .ladder import printable
from .remote import DEFAULT_URL, Url, ask

INTERVAL_S = 1.0
TOP = 5
"""Reasons of refusals that are shown, the most frequent first."""

Figures = Mapping[str, Any]

_REFUSALS = ("refused_", "rejected_", "dropped_")
_DROPS = ("received_", "receive_")
_LATE_US = 5_000
_LATE_LOOP_MS = 100.0


def status(
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show calls, rates, media threads and refusals of a running engine.

    Rates are those of the last second. The engine is served with --http.
    """
    before = ask(url, "/status", "shards")
    if as_json:
        typer.echo(json.dumps(before, indent=2))
        return
    console = Console()
    if not watch:
        time.sleep(INTERVAL_S)
        console.print(board(before, ask(url, "/status", "shards"), url))
        return
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                _watch(url, before, lambda shown: live.update(shown, refresh=True))
        else:
            # A live display says nothing there before it ends.
            _watch(url, before, lambda shown: console.print(shown, Text()))


def _watch(url: str, before: Figures, show: Callable[[RenderableType], None]) -> None:
    """Show what there is every second, for ever."""
    while True:
        time.sleep(INTERVAL_S)
        now = ask(url, "/status", "shards")
        show(board(before, now, url))
        before = now


def board(before: Figures, now: Figures, url: str) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_title(now, url), _overview(before, now), _shards(now)]
    if now["trunks"]:
        parts.append(_trunks(now["trunks"]))
    lines: list[RenderableType] = []
    for part in parts:
        lines += [part, Text()]
    return Group(*lines[:-1])


def _title(now: Figures, url: str) -> Text:
    line = Text(f"ringwheel {now['version']}", style="bold")
    state, style = ("draining", "yellow") if now["draining"] else ("serving", "green")
    line.append(f"  {state}", style=style)
    line.append(f"  {_duration(now['up_s'])}, pid {now['pid']}")
    places = ", ".join(now["listeners"])
    line.append(f"\nsip {printable(places)} · {url}", style="dim")
    return line


def _overview(before: Figures, now: Figures) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_row("calls", _calls(now))
    if now["speech_sessions"]:
        told = f"{now['speech_sessions']:,} of {now['speech_sessions_limit']:,}"
        table.add_row("speech sessions", told)
    begun = ("calls_offered", "calls_dialled")
    ended = ("calls_ended_local", "calls_ended_remote", "calls_ended_error")
    table.add_row(
        "",
        f"{_rate(before, now, 'sip', *begun)} begun, "
        f"{_rate(before, now, 'sip', 'calls_answered')} answered, "
        f"{_rate(before, now, 'sip', *ended)} ended, each second",
    )
    table.add_row("dialled", _top(now["outcomes"], ("",)))
    table.add_row(
        "sip",
        f"{_rate(before, now, 'sip', 'requests')} requests, "
        f"{_rate(before, now, 'sip', 'responses')} responses received a second; "
        f"{now['transactions']:,} transactions, {now['dialogs']:,} dialogs held",
    )
    again = now["sip"]["retransmissions_sent"], now["sip"]["retransmissions_absorbed"]
    table.add_row("", f"retransmissions: {again[0]:,} sent, {again[1]:,} received")
    table.add_row("refused", _top(now["sip"], _REFUSALS))
    table.add_row("unreadable", _top(now["unreadable"], ("",)))
    table.add_row(
        "rtp",
        f"{_rate(before, now, 'media', 'packets_sent')} packets a second sent, "
        f"{_rate(before, now, 'media', 'packets_received')} received; "
        f"{now['media']['packets_skipped']:,} skipped",
    )
    table.add_row("dropped", _top(now["media"], _DROPS))
    lag_ms = now["loop_lag_worst_ms"]
    table.add_row(
        "process",
        Text.assemble(
            f"{now['memory_bytes'] / 2**20:,.0f} MiB, event loop ",
            (f"{lag_ms:.1f} ms late", "red" if lag_ms > _LATE_LOOP_MS else ""),
            " at worst in 10 s",
        ),
    )
    return table


def _calls(now: Figures) -> str:
    states = [f"{count:,} {name}" for name, count in now["calls_by_state"].items() if count]
    told = f"  ({', '.join(states)})" if states else ""
    return f"{now['calls_up']:,} of {now['calls_limit']:,} up{told}"


def _rate(before: Figures, now: Figures, group: str, *names: str) -> str:
    moved = sum(now[group][name] - before[group][name] for name in names)
    elapsed_s = now["time_s"] - before["time_s"]
    rate = moved / elapsed_s if elapsed_s > 0 else 0.0
    return f"{rate:,.0f}" if rate >= 10 or rate == round(rate) else f"{rate:.1f}"


def _top(counts: Mapping[str, int], prefixes: tuple[str, ...]) -> Text:
    found = {name: count for name, count in counts.items() if count and name.startswith(prefixes)}
    order = sorted(found, key=lambda name: -found[name])
    parts = [f"{found[name]:,} {name.replace('_', ' ')}" for name in order[:TOP]]
    rest = sum(found[name] for name in order[TOP:])
    parts += [f"{rest:,} for other reasons"] if rest else []
    return Text(", ".join(parts) or "none", style="" if parts else "dim")


def _shards(now: Figures) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("shard", "legs", "packets", "late: half", "99 %", "99.9 %", "at most")
    for name in names:
        table.add_column(name, justify="right")
    for index, shard in enumerate(now["shards"]):
        late = shard["lateness_us"]
        table.add_row(
            str(index),
            f"{shard['legs']:,}",
            f"{late['count']:,}",
            *(_late(late[name]) for name in ("p50", "p99", "p999", "max")),
        )
    return table


def _trunks(trunks: Sequence[Figures]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trunk", "state", "up", "calls", "placed", "answered", "failed over", "refused"):
        table.add_column(name, justify="left" if name in ("trunk", "state") else "right")
    for trunk in trunks:
        limit = trunk["channels_limit"]
        peers = trunk["peers"]
        table.add_row(
            Text(printable(trunk["name"])),
            _trunk_state(trunk),
            f"{sum(peer['up'] for peer in peers)} of {len(peers)}",
            f"{trunk['channels']:,}" + ("" if limit is None else f" of {limit:,}"),
            *(f"{trunk[name]:,}" for name in ("placed", "answered", "failed_over", "refused")),
        )
    return table


def _trunk_state(trunk: Figures) -> Text:
    if not trunk["up"]:
        causes = [address["cause"] for peer in trunk["peers"] for address in peer["addresses"]]
        causes += [peer["trouble"] for peer in trunk["peers"]]
        why = next(filter(None, causes), "")
        return Text(printable(f"down: {why}" if why else "down"), style="red")
    state = trunk["registration"] or "up"
    fine = state in ("up", "registered")
    why = "" if fine else trunk["registration_cause"]
    return Text(printable(f"{state}: {why}" if why else state), style="green" if fine else "yellow")


def _late(lateness_us: int) -> Text:
    return Text(f"{lateness_us / 1000:.2f} ms", style="red" if lateness_us > _LATE_US else "")


def _duration(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3_600), int(seconds // 86_400)
    if days:
        return f"up {days} d {hours % 24} h"
    return f"up {hours} h {minutes % 60} min" if hours else f"up {minutes} min"
