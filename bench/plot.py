"""Plots of benchmark results as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .errors import BenchError
from .limit import WAYS, LimitResult

BARS = ("#4c78a8", "#f58518", "#54a24b", "#e45756")
DPI = 120


def new_figure(width: float, panels: int) -> tuple[Any, Sequence[Any]]:
    """A figure with ``panels`` axes side by side, drawn without a display. Raises BenchError."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise BenchError(
            "plots need matplotlib: pip install 'ringwheel[bench]', or leave --plot out"
        ) from None
    figure = Figure(figsize=(width, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, panels, number + 1) for number in range(panels)]


def save(figure: Any, file: Path) -> None:
    """Write the PNG. Raises BenchError if the file cannot be written."""
    try:
        figure.savefig(file, dpi=DPI, format="png")
    except OSError as error:
        raise BenchError(f"cannot write the plot {file}: {error.strerror}") from None


def cost_bars(axes: Any, names: Sequence[str], costs: Sequence[Sequence[float]]) -> None:
    """Bars of medians, each run a dot, in CPU microseconds a packet."""
    for place, runs in enumerate(costs):
        middle = median(runs)
        axes.bar(place, middle, width=0.6, color=BARS[place % len(BARS)], alpha=0.8)
        axes.plot([place] * len(runs), runs, "k.", markersize=6)
        axes.annotate(f"{middle:.2f}", (place, middle), xytext=(14, 4), textcoords="offset points")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("CPU time a packet [µs]")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)


def plot_limit(result: LimitResult, file: Path) -> None:
    """Cost of each bare loop. Raises BenchError."""
    figure, (axes,) = new_figure(8, 1)
    cells = [(way, paced) for way in WAYS for paced in (False, True)]
    cost_bars(
        axes,
        [f"{way}\n{'paced in 1 ms ticks' if paced else 'flat out'}" for way, paced in cells],
        [[run.cpu_us_per_packet for run in result.runs[cell]] for cell in cells],
    )
    axes.set_title(
        f"What the kernel charges for an RTP packet of 172 bytes\n{result.legs} legs, loopback, "
        f"bar: median, dots: runs of {result.seconds:g} s"
    )
    save(figure, file)
