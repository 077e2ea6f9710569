"""Plots of benchmark results as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..cli.errors import CommandError
from .barge_in import BargeInResult
from .bridge import BridgeResult
from .calls import CallsResult
from .duplex import KINDS, DuplexResult
from .flood import WINDOWS, FloodResult
from .limit import WAYS, LimitResult
from .measure import Run, median_quantiles
from .prompt_legs import LIMIT_OF, Comparison, PromptLegsResult
from .scan import ScanResult
from .soak import MIB, SoakResult
from .vad import VadResult

if TYPE_CHECKING:
    from ._native import Quantiles

BARS = ("#4c78a8", "#f58518", "#54a24b", "#e45756")
DPI = 120


def new_figure(width: float, panels: int) -> tuple[Any, Sequence[Any]]:
    """A figure with ``panels`` axes side by side, drawn without a display. Raises CommandError."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise CommandError(
            "--plot needs matplotlib", "Install it: pip install 'ringwheel[bench]'"
        ) from None
    figure = Figure(figsize=(width, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, panels, number + 1) for number in range(panels)]


def save(figure: Any, file: Path) -> None:
    """Write the PNG. Raises CommandError if the file cannot be written."""
    try:
        figure.savefig(file, dpi=DPI, format="png")
    except OSError as error:
        raise CommandError(
            f"cannot write the plot {file}: {error.strerror}", "Take another place for it"
        ) from None


def cost_bars(
    axes: Any, names: Sequence[str], costs: Sequence[Sequence[float]], what: str = "packet"
) -> None:
    """Bars of medians, each run a dot, in CPU microseconds a packet or a call."""
    for place, runs in enumerate(costs):
        middle = median(runs)
        axes.bar(place, middle, width=0.6, color=BARS[place % len(BARS)], alpha=0.8)
        axes.plot([place] * len(runs), runs, "k.", markersize=6)
        axes.annotate(f"{middle:.2f}", (place, middle), xytext=(14, 4), textcoords="offset points")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(f"CPU time a {what} [µs]")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)


def plot_limit(result: LimitResult, file: Path) -> None:
    """Cost of each bare loop. Raises CommandError."""
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


def plot_prompt_legs(result: PromptLegsResult, file: Path) -> None:
    """Cost against the bare loops, and interval errors at the receiver. Raises CommandError."""
    figure, (costs, errors) = new_figure(12, 2)
    cells = [(backend, legs) for backend in result.backends for legs in result.legs]
    names, runs = [], []
    for backend, legs in cells:
        comparison = result.comparisons[backend, legs]
        names += [f"{backend}\n{legs} legs", f"bare {LIMIT_OF[backend]}\n{legs} legs"]
        runs += [[run.cpu_us_per_packet for run in side] for side in comparison_sides(comparison)]
    cost_bars(costs, names, runs)
    costs.set_title(
        f"CPU time a packet, one shard (bar: median, dots: runs of {result.seconds:g} s)"
    )
    for (backend, legs), color in zip(cells, BARS * len(cells), strict=False):
        sides = comparison_sides(result.comparisons[backend, legs])
        for side, style, who in zip(sides, ("-o", "--x"), ("engine", "bare loop"), strict=True):
            plot_errors(
                errors,
                median_quantiles(run.reception.interval_error_us for run in side),
                style,
                color=color,
                label=f"{backend}, {legs} legs, {who}",
            )
    label_errors(errors)
    save(figure, file)


def plot_errors(axes: Any, error_us: Quantiles, style: str, **looks: str) -> None:
    """One line of interval errors."""
    values = [max(1, error_us[name]) / 1000 for name in ("p50", "p99", "p999", "max")]
    axes.plot(("p50", "p99", "p99.9", "max"), values, style, **looks)


def label_errors(axes: Any) -> None:
    """What stands around lines of interval errors."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_ylabel("interval error [ms]")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    axes.set_title("Distance of arrival intervals from 20 ms, by kernel time stamps")


def plot_duplex(result: DuplexResult, file: Path) -> None:
    """Cost of each kind of leg, and interval errors at the receiver. Raises CommandError."""
    figure, (costs, errors) = new_figure(12, 2)
    sides = [result.runs[kind] for kind in KINDS]
    names = ["speech and tones\ndetected", "no detectors", "bare loop"]
    cost_bars(costs, names, [[run.cost_us for run in runs] for runs in sides], "leg and second")
    costs.set_title(f"One shard, {result.legs} legs, 50 packets a second each way")
    for name, runs, color in zip(names, sides, BARS, strict=False):
        middle = median_quantiles(run.sent.reception.interval_error_us for run in runs)
        plot_errors(errors, middle, "-o", color=color, label=name.replace("\n", " "))
    label_errors(errors)
    save(figure, file)


def plot_bridge(result: BridgeResult, file: Path) -> None:
    """Cost of a packet that is passed on, and how long it is under way. Raises CommandError."""
    figure, (costs, delays) = new_figure(11, 2)
    names = [f"pcmu to {result.codec}", "bare loop"]
    sides = [result.engine, result.limit]
    cost_bars(costs, names, [[run.cost_us for run in runs] for runs in sides])
    costs.set_title(f"One shard, {result.pairs} pairs of legs, 50 packets a second each way")
    plot_errors(delays, result.delay_us, "-o", color=BARS[0], label=names[0])
    delays.set_ylabel("delay [ms]")
    delays.set_ylim(bottom=0)
    delays.grid(alpha=0.3)
    delays.set_title("From a packet's sending to its arrival at the other side")
    save(figure, file)


def plot_flood(result: FloodResult, file: Path) -> None:
    """Interval errors of the legs that were not flooded. Raises CommandError."""
    figure, (errors,) = new_figure(8, 1)
    for window, color in zip(WINDOWS, BARS, strict=False):
        plot_errors(errors, result.interval_error_us(window), "-o", color=color, label=window)
    label_errors(errors)
    errors.set_title(
        f"Interval errors of {result.legs} legs while one more gets {result.rate_per_s:g} "
        "datagrams/s"
    )
    save(figure, file)


def plot_soak(result: SoakResult, file: Path) -> None:
    """Memory over time, and what was held. Raises CommandError."""
    figure, (memory, held) = new_figure(12, 2)
    minutes = [sample.at_s / 60 for sample in result.samples]
    memory.plot(minutes, [sample.rss_bytes / MIB for sample in result.samples], color=BARS[0])
    memory.set_ylabel("memory [MiB]")
    memory.set_ylim(bottom=0)
    memory.set_title(f"{result.slope_bytes_per_min / 1024:+.1f} KiB a minute")
    for name, color in zip(("calls", "transactions", "tasks", "files"), BARS, strict=True):
        held.plot(minutes, [s.figures[name] for s in result.samples], color=color, label=name)
    held.set_yscale("log")
    held.legend()
    held.set_title(f"Held at {result.rate_per_s:.0f} mixed calls a second")
    for axes in (memory, held):
        axes.set_xlabel("minutes")
        axes.grid(alpha=0.3)
    save(figure, file)


def plot_scan(result: ScanResult, file: Path) -> None:
    """Interval errors of good calls, all and slice by slice, and CPU shares, by kind of slice.
    Raises CommandError."""
    figure, (errors, slices, shares) = new_figure(15, 3)
    for (name, kind), color in zip(result.kinds.items(), BARS, strict=False):
        found = kind.errors()
        plot_errors(errors, found.quantiles(), "-o", color=color, label=name)
        parts = [100 * (number + 1) / len(found) for number in range(len(found))]
        p99s_ms = [p99_us / 1000 for p99_us in found.p99s_us()]
        slices.step(p99s_ms, parts, where="post", color=color, label=name)
    label_errors(errors)
    plan = result.plan
    errors.set_title(f"{plan.calls} calls, {plan.rate_per_s:g} strangers' requests/s")
    slices.set_xscale("log")
    slices.set_xlabel("p99 of the interval error in a slice [ms]")
    slices.set_ylabel("slices with at most that [%]")
    slices.set_ylim(0, 102)
    slices.grid(alpha=0.3)
    slices.set_title(f"{plan.rounds * plan.slices} slices of {plan.slice_s:g} s of each kind")
    percent = [100 * kind.cpu_share for kind in result.kinds.values()]
    shares.bar(list(result.kinds), percent, color=BARS[: len(percent)])
    shares.set_ylabel("CPU of the engine [% of a core]")
    shares.set_title("What the flood takes")
    save(figure, file)


def plot_barge_in(result: BargeInResult, file: Path) -> None:
    """How many prompts had stopped after how long. Raises CommandError."""
    figure, (axes,) = new_figure(7, 1)
    for (cause, found), color in zip(result.causes.items(), BARS, strict=False):
        latencies_ms = sorted(found.latencies_ms)
        shares = [(i + 1) / result.calls for i in range(len(latencies_ms))]
        axes.step(latencies_ms, shares, where="post", color=color, label=cause)
    axes.set_xlabel("first packet of the caller to last packet of the prompt [ms]")
    axes.set_ylabel("share of all calls")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_title("Barge-in")
    save(figure, file)


def comparison_sides(comparison: Comparison) -> tuple[list[Run], list[Run]]:
    """The engine's runs and the bare loop's."""
    return comparison.engine, comparison.limit


def plot_calls(result: CallsResult, file: Path) -> None:
    """Cost of a call and its set-up time, without and with a prompt. Raises CommandError."""
    figure, (costs, setups) = new_figure(11, 2)
    names = ["stateless floor", "no prompt", f"prompt of {result.prompt_s:g} s"]
    sides = [result.floor, result.plain, result.prompted]
    cost_bars(costs, names, [[run.cpu_us_per_call for run in runs] for runs in sides], "call")
    load = result.load
    costs.set_title(f"CPU time of the engine, {load.rate_per_s:g} calls/s, {result.seconds:g} s")
    quantiles = ("p50", "p95", "p99", "max")
    for name, runs, color in zip(names, sides, BARS, strict=False):
        values = [median(run.caller["setup_ms"].get(q, 0.0) for run in runs) for q in quantiles]
        setups.plot(values, "-o", color=color, label=name)
    setups.set_xticks(range(len(quantiles)), quantiles)
    setups.set_ylabel("INVITE to 200 [ms]")
    setups.set_yscale("log")
    setups.yaxis.set_major_formatter("{x:g}")
    setups.grid(alpha=0.3, which="both")
    setups.legend()
    setups.set_title("Set-up time, seen by the caller")
    save(figure, file)


def plot_vad(result: VadResult, file: Path) -> None:
    """Frames taken for speech, of speech and of the rest. Raises CommandError."""
    figure, panels = new_figure(16, 2)
    places = range(len(result.ours))
    for axes, what in zip(panels, ("recall", "outside"), strict=True):
        for judged, name, mark in (
            (result.ours, "ringwheel", "o"),
            (result.peers, "webrtcvad", "x"),
        ):
            values = [getattr(one, what) if one else None for one in judged]
            shown = [(place, v) for place, v in zip(places, values, strict=True) if v is not None]
            if shown:
                axes.plot(*zip(*shown, strict=True), mark, label=name)
        axes.set_xticks(list(places), [one.material.name for one in result.ours], rotation=90)
        axes.tick_params(axis="x", labelsize=6)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0].set_title("Part of the frames of speech that was taken for speech")
    panels[1].set_title("Part of the other frames taken for speech, hangover included")
    save(figure, file)
