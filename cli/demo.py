"""`ringwheel demo`: an engine and a caller on this machine, and what the caller heard."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..bench.calls import start_engine
from ..bench.child import Child
from .demo_robot import demo_robot
from .errors import STATUS_FAILED, CommandError
from .help import examples

START_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 60.0
SAMPLE_RATE_HZ = 16000

# Three tunes; their lengths are no multiples of 20 ms, so that a gap between them would be heard.
TUNES = (
    (1.503, (523.25, 659.25, 783.99)),
    (0.777, (880.0, 698.46)),
    (2.011, (587.33, 493.88, 392.0, 523.25)),
)

Tell = Callable[[dict[str, Any], dict[str, Any]], None]


app = typer.Typer(add_completion=False, invoke_without_command=True)
app.command("robot", epilog=examples("ringwheel demo robot", "ringwheel demo robot --json"))(
    demo_robot
)


@app.callback()
def demo(
    context: typer.Context,
    calls: Annotated[int, typer.Option(min=1, max=5000, help="Calls to place.")] = 200,
    rate: Annotated[float, typer.Option(min=1, max=200, help="Calls placed a second.")] = 25.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Place real SIP calls to an engine on loopback, and check what the callers hear.

    Engine and caller are processes of their own. Every packet of every call is held against the
    prompt: its bytes, its sequence number, its timestamp. Exit status 1 if anything is wrong.
    """
    if context.invoked_subcommand is not None:
        return
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="ringwheel-demo-") as folder:
        prompts = write_tunes(Path(folder))
        if console.is_terminal and not as_json:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                heard, engine = run(
                    prompts,
                    calls,
                    rate,
                    lambda caller, now: live.update(progress_table(caller, now), refresh=True),
                )
        else:
            heard, engine = run(prompts, calls, rate, lambda c, n: console.print(line_of(c, n)))
    failed = show(heard, engine, as_json)
    raise typer.Exit(STATUS_FAILED if failed else 0)


def write_tunes(folder: Path) -> list[Path]:
    """Three short WAV files: bell-like tones, 16 kHz, so that resampling is part of it."""
    files = []
    for number, (seconds, tones_hz) in enumerate(TUNES):
        time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        step_s = seconds / len(tones_hz)
        tone_hz = np.array(tones_hz)[np.minimum(time_s // step_s, len(tones_hz) - 1).astype(int)]
        decay = np.exp(-4 * (time_s % step_s) / step_s)
        samples = 0.5 * decay * np.sin(2 * np.pi * tone_hz * time_s)
        files.append(folder / f"tune{number}.wav")
        soundfile.write(files[-1], samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    return files


def run(
    prompts: list[Path], calls: int, rate: float, tell: Tell
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The demo itself: the caller's summary, and what the engine says. Raises CommandError."""
    options = [f"--calls={calls}", f"--rate={rate}", "--progress"]
    options += [f"--expect={prompt}" for prompt in prompts]
    with start_engine(prompts, calls) as engine:
        target = engine.answer(START_TIMEOUT_S)["target"]
        engine.ask("begin")
        with Child("ringwheel.bench.caller", target, *options) as caller:
            while "calls" not in (line := caller.answer(CALL_TIMEOUT_S)):
                tell(line, engine.ask("report"))
        return line, engine.ask("report")


def line_of(caller: dict[str, Any], engine: dict[str, Any]) -> str:
    """Progress, where the output is no terminal."""
    return (
        f"calls up {engine['calls_up']}, done {caller['ended']}, failed {caller['failed']}, "
        f"packets {engine['packets']:,}, lateness p99 {engine['lateness_p99_us'] / 1000:.2f} ms"
    )


def progress_table(caller: dict[str, Any], engine: dict[str, Any]) -> Table:
    """Progress, on a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_row("calls up", f"{engine['calls_up']:,}")
    table.add_row("calls done", f"{caller['ended']:,} ({caller['failed']:,} failed)")
    table.add_row("packets sent", f"{engine['packets']:,}")
    table.add_row("lateness", f"{engine['lateness_p99_us'] / 1000:.2f} ms at p99")
    return table


def show(heard: dict[str, Any], engine: dict[str, Any], as_json: bool) -> bool:
    """Print the summary; True if something was not as it should be."""
    wrong = heard["failed"] + heard["payloads_wrong"] + heard["lost"]
    unchecked = heard["calls"] - heard["payloads_checked"]
    summary = {
        "calls": heard["calls"],
        "failed": heard["failed"],
        "faults": heard["faults"],
        "up_most": heard["up_most"],
        "payloads_right": heard["payloads_checked"] - heard["payloads_wrong"],
        "packets_heard": heard["packets"],
        "packets_sent": engine["packets"],
        "lost": heard["lost"],
        "setup_ms": heard["setup_ms"],
        "lateness_p99_us": engine["lateness_p99_us"],
        "engine_threads": engine["threads"],
        "engine_cpu_us": engine["cpu_us"],
        "seconds": heard["seconds"],
    }
    if not heard["calls"]:
        raise CommandError("no call was placed", "See the lines above", STATUS_FAILED)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        Console().print(summary_table(summary))
    return bool(wrong or unchecked)


def summary_table(summary: dict[str, Any]) -> Table:
    """What came of it, for people."""
    table = Table(title="Ringwheel demo", title_justify="left", show_header=False)
    table.add_row("calls", f"{summary['calls']:,}, {summary['up_most']:,} of them at once")
    table.add_row("failed", f"{summary['failed']:,}")
    for fault, count in summary["faults"].items():
        table.add_row("", f"{count:,} times: {fault}")
    table.add_row(
        "heard as sent", f"{summary['payloads_right']:,} of {summary['calls']:,}, byte for byte"
    )
    table.add_row(
        "packets",
        f"{summary['packets_heard']:,} heard of {summary['packets_sent']:,} sent, "
        f"{summary['lost']:,} lost",
    )
    table.add_row("set-up", f"{summary['setup_ms'].get('p95', 0):.1f} ms at p95")
    table.add_row("lateness", f"{summary['lateness_p99_us'] / 1000:.2f} ms at p99")
    table.add_row(
        "engine",
        f"{summary['engine_threads']} threads, "
        f"{summary['engine_cpu_us'] / 1e6:.1f} s of CPU in {summary['seconds']:.1f} s",
    )
    return table
