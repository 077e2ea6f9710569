"""`ringwheel trace`: the SIP of a running engine's calls, from the messages that it keeps."""

from __future__ import annotations

import base64
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import STATUS_FAILED, CommandError
from .ladder import Step, ladder, printable
from .pcap import Captured, pcap
from .remote import DEFAULT_URL, Url, ask

FILE_WIDTH = 400


def trace(
    calls: Annotated[
        list[str] | None,
        typer.Argument(
            help="Call-ID, or the call's name in the log; several are drawn in one ladder.",
            metavar="CALL-ID",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    full: Annotated[bool, typer.Option("--full", help="Show the messages themselves.")] = False,
    pcap_file: Annotated[
        Path | None, typer.Option("--pcap", help="Save them for Wireshark.", metavar="FILE")
    ] = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Show credentials, keys and digits, too.")
    ] = False,
) -> None:
    """Draw the SIP messages of a call; without a CALL-ID, list the calls that can be drawn.

    The engine keeps the last messages if it is served with --http and --trace-messages.
    """
    # A file has all of every line; and so has who pipes them into grep.
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    if not calls:
        if pcap_file or full:
            raise CommandError("there is no CALL-ID", "Name one of those that `trace` lists")
        _list(console, ask(url, "/trace", "calls"))
        return
    steps, left_out = _steps(url, calls, secrets=secrets)
    if pcap_file is not None:
        _save(steps, pcap_file)
        console.print(f"{len(steps)} messages saved in {pcap_file}", markup=False, highlight=False)
        return
    start = datetime.fromtimestamp(steps[0].time_s, UTC)
    console.print(Text(f"{', '.join(calls)}  {start:%Y-%m-%d %H:%M:%S} UTC", style="dim"))
    console.print()
    for line in ladder(steps, full=full):
        console.print(line, no_wrap=True, overflow="ellipsis")
    if left_out:
        console.print(Text(f"{left_out:,} messages more are left out", style="dim"))


def _steps(url: str, calls: list[str], *, secrets: bool) -> tuple[list[Step], int]:
    steps, left_out = [], 0
    asked = {"secrets": "1"} if secrets else {}
    for call in dict.fromkeys(calls):
        found = ask(url, "/trace", "messages", {"call": call} | asked)
        if not found["messages"]:
            raise CommandError(
                f"there are no messages of call {call}",
                "`ringwheel trace` lists the calls of which there are some",
                STATUS_FAILED,
            )
        steps += [_step(message) for message in found["messages"]]
        left_out += found["left_out"]
    return sorted(steps, key=lambda step: step.time_s), left_out


def _step(message: dict[str, Any]) -> Step:
    ends = (message["local"], message["remote"])
    source, target = ends if message["sent"] else ends[::-1]
    data = base64.b64decode(message["data"])
    return Step(message["time_s"], source, target, message["transport"], data)


def _save(steps: list[Step], path: Path) -> None:
    captured = [
        Captured(step.time_s, _address(step.source), _address(step.target), step.data)
        for step in steps
    ]
    try:
        path.write_bytes(pcap(captured))
    except OSError as error:
        raise CommandError(f"--pcap {path}: {error.strerror}", "Name another file") from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]").partition("%")[0], int(port)


def _list(console: Console, found: dict[str, Any]) -> None:
    calls = found["calls"]
    if not calls:
        console.print("no call has left messages yet", highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ago", "", "from", "to", "outcome", "sip", "Call-ID"):
        table.add_column(
            name,
            justify="right" if name in ("ago", "sip") else "left",
            no_wrap=name not in ("from", "to", "Call-ID"),  # these make room for the others
            overflow="ellipsis",
        )
    now_s = time.time()
    for call in calls:
        table.add_row(
            Text(_ago(now_s - call["first_s"]), style="dim"),
            "in" if call["incoming"] else "out",
            Text(printable(call["from_uri"].removeprefix("sip:"))),
            Text(printable(call["to_uri"].removeprefix("sip:"))),
            _outcome(call["outcome"]),
            str(call["messages"]),
            Text(printable(call["call_id"])),
        )
    console.print(table)


def _outcome(outcome: str) -> Text:
    failed = outcome[:1].isdigit()
    style = "red" if failed else "green" if outcome.startswith(("answered", "up")) else "yellow"
    return Text(outcome, style=style)


def _ago(seconds: float) -> str:
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
