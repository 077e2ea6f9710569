"""`ringwheel bench`: the command line of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from . import plot, report
from .errors import BenchError
from .limit import run_limit

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def bench() -> None:
    """Measure this machine, and the engine on it.

    Sender, receiver and caller are separate processes on loopback; figures are medians of several
    runs taken in turns.
    """


Legs = Annotated[int, typer.Option(min=1, max=100_000, help="Legs that send at the same time.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=3600, help="Length of one run.")]
Rounds = Annotated[int, typer.Option(min=1, max=99, help="Runs of each kind, taken in turns.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the result as PNG.")
]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns a BenchError into one line on stderr and exit status 2."""
    try:
        yield
    except BenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


@app.command()
def limit(
    legs: Legs = 4000,
    seconds: Seconds = 5.0,
    rounds: Rounds = 3,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What the kernel alone charges for an RTP packet, by bare sending loops in C.

    Example: ringwheel bench limit --legs 1000 --plot limit.png
    """
    with plain_errors():
        with report.progress() as progress:
            result = run_limit(legs, seconds, rounds, progress)
        if plot_file:
            plot.plot_limit(result, plot_file)
        if as_json:
            report.show_json(result.to_json())
        else:
            report.show_limit(result)
