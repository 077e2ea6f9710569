"""How a benchmark's result is shown: JSON on stdout, or a table; progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from .barge_in import BargeInResult
from .bridge import BridgeResult
from .calls import CallsResult
from .conference import KINDS as CONFERENCE_KINDS
from .conference import ConferenceResult
from .dial import DialRuns
from .duplex import KINDS, DuplexResult
from .flood import WINDOWS, FloodResult
from .limit import WAYS, LimitResult, Progress
from .measure import median_quantiles
from .prompt_legs import PromptLegsResult
from .recognition import RecognitionResult
from .robot import STEPS, RobotResult
from .scan import ScanResult
from .soak import MIB, SoakResult
from .stream import StreamResult, quantiles_of
from .thresholds import ThresholdResult
from .vad import VadResult, quantiles

SATURATED = "the bare loop itself ran late: the kernel alone needs more than a core for these"


@contextmanager
def progress() -> Iterator[Progress]:
    """A one-line status on a terminal's stderr, plain lines elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield console.print
        return
    with console.status("starting") as status:
        yield status.update


def show_json(result: dict[str, object]) -> None:
    """Print the result as one JSON document."""
    print(json.dumps(result, indent=2))


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str
) -> None:
    """Print rows of figures; the first column holds names."""
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    Console(highlight=False).print(table)


def show_limit(result: LimitResult) -> None:
    """The table of `bench limit`."""
    rows = []
    for way in WAYS:
        for paced in (False, True):
            runs = result.runs[way, paced]
            rows.append(
                (
                    f"{way}, {'paced' if paced else 'flat out'}",
                    f"{result.cost_us(way, paced=paced):.2f}",
                    max(run.lateness_us["p99"] for run in runs) if paced else "-",
                    sum(run.reception.lost_by_sender for run in runs),
                    sum(run.reception.receiver_dropped for run in runs),
                    max(run.reception.interval_error_us["p99"] for run in runs) if paced else "-",
                )
            )
    show_table(
        f"Limit: bare loops, {result.legs} legs, {result.seconds:g} s a run",
        ("loop", "CPU us", "late us", "lost", "dropped", "error us"),
        rows,
        "CPU time a packet: median of the runs. Late (of ticks) and error (of arrival intervals): "
        "p99 of the worst run. Dropped: by the receiver.",
    )


def show_prompt_legs(result: PromptLegsResult) -> None:
    """The table of `bench prompt-legs`."""
    rows = []
    for backend in result.backends:
        for legs in result.legs:
            comparison = result.comparisons[backend, legs]
            runs = comparison.engine
            rows.append(
                (
                    f"{legs} {backend}{' (*)' if comparison.saturated else ''}",
                    f"{comparison.engine_cost_us:.2f}",
                    f"{comparison.limit_cost_us:.2f}",
                    f"{comparison.ratio:.2f}",
                    sum(run.reception.lost_by_sender for run in runs),
                    sum(run.skipped for run in runs),
                    max(run.reception.interval_error_us["p99"] for run in runs),
                    max(run.reception.worst_leg_interval_error_us["p99"] for run in runs),
                )
            )
    show_table(
        f"Prompt legs: one shard against the paced bare loop, {result.seconds:g} s a run",
        ("legs", "CPU us", "limit", "ratio", "lost", "skipped", "error", "worst"),
        rows,
        "CPU time a packet in microseconds: median of the runs. Error of arrival intervals in "
        "microseconds: p99 of the worst run, over all legs and of the worst leg.",
    )
    if any(comparison.saturated for comparison in result.comparisons.values()):
        print(f"(*) {SATURATED}")


def show_duplex(result: DuplexResult) -> None:
    """The table of `bench duplex`."""
    rows = []
    for kind in KINDS:
        runs = result.runs[kind]
        rows.append(
            (
                "bare loop" if kind == "limit" else kind,
                f"{result.cost_us(kind):.0f}",
                f"{result.ratio(kind):.2f}",
                sum(run.sent.reception.lost_by_sender for run in runs),
                sum(run.lost for run in runs),
                sum(run.sent.skipped for run in runs),
                sum(run.digits_heard for run in runs),
                max(run.sent.reception.interval_error_us["p99"] for run in runs),
            )
        )
    show_table(
        f"Duplex: one shard, {result.legs} legs, {result.seconds:g} s a run",
        ("legs", "CPU us", "ratio", "lost", "unheard", "skipped", "digits", "error"),
        rows,
        "CPU time a leg and second in microseconds: median of the runs. Lost: on the way out; "
        "unheard: on the way in. Error of arrival intervals in microseconds: p99 of the worst run.",
    )
    if result.saturated:
        print(f"Figures mean little: {SATURATED}")


def show_conference(result: ConferenceResult) -> None:
    """The table of `bench conference`."""
    rows = []
    for kind in CONFERENCE_KINDS:
        runs = result.runs[kind]
        rows.append(
            (
                kind,
                f"{result.cost_us(kind):.0f}",
                sum(run.sent.reception.lost_by_sender for run in runs),
                sum(run.lost for run in runs),
                sum(run.sent.skipped for run in runs),
                max(run.sent.reception.interval_error_us["p99"] for run in runs),
            )
        )
    show_table(
        f"Conferences of {result.members}: one shard, {result.legs} legs, "
        f"{result.seconds:g} s a run",
        ("legs", "CPU us", "lost", "unheard", "skipped", "error"),
        rows,
        "CPU time a leg and second in microseconds: median of the runs. Lost: on the way out; "
        "unheard: on the way in. Error of arrival intervals in microseconds: p99 of the worst run. "
        f"A member costs {result.mixing_us:.2f} us more for each frame of 20 ms.",
    )


def show_bridge(result: BridgeResult) -> None:
    """The table of `bench bridge`."""
    rows = []
    for name, runs, cost_us, ratio, lost in (
        (f"pcmu, {result.codec}", result.engine, result.cost_us, result.ratio, result.lost),
        ("bare loop", result.limit, result.limit_cost_us, 1.0, "-"),
    ):
        delay_us = median_quantiles(run.delay_us for run in runs)
        rows.append(
            (
                name,
                f"{cost_us:.2f}",
                f"{ratio:.2f}",
                lost,
                sum(run.wrong for run in runs),
                *(f"{delay_us[quantile] / 1000:.1f}" for quantile in ("p50", "p99", "max")),
            )
        )
    alike = "" if result.correlation is None else f" Least correlation: {result.correlation:.3f}."
    show_table(
        f"Bridge: one shard, {result.pairs} pairs of legs, {result.seconds:g} s a run",
        ("legs", "CPU us", "ratio", "lost", "wrong", "p50 ms", "p99 ms", "max ms"),
        rows,
        "CPU time a packet: median of the runs. Delay from a packet's sending to its arrival at "
        f"the other side: medians of the runs.{alike}",
    )
    if result.saturated:
        print(f"Figures mean little: {SATURATED}")


def show_flood(result: FloodResult) -> None:
    """The tables of `bench flood`."""
    errors = {window: result.interval_error_us(window) for window in WINDOWS}
    show_table(
        f"Flood: {result.rate_per_s:g} datagrams/s at one leg, {result.legs} others, "
        f"{result.seconds:g} s a window",
        ("others", "p50 us", "p99 us", "p99.9 us", "skipped"),
        [
            (window, found["p50"], found["p99"], found["p999"], result.skipped[window])
            for window, found in errors.items()
        ],
        f"Error of arrival intervals: medians of {len(result.windows['flooded'])} windows. During "
        f"the flood p99 is {result.ratio_to('undisturbed'):.2f} times that of undisturbed legs, "
        f"and {result.ratio_to('elsewhere'):.2f} times that with the flood going elsewhere; "
        f"{result.lost} packets lost.",
    )
    show_table(
        "Datagrams while it was flooded",
        ("sent to the one leg", "number"),
        list(result.sent.items()),
        "",
    )
    show_table("", ("counted of all legs", "number"), list(result.counted.items()), "")


def show_soak(result: SoakResult) -> None:
    """The tables of `bench soak`."""
    first, last = result.samples[0], result.samples[-1]
    show_table(
        f"Soak: {result.minutes:g} min at {result.rate_per_s:.0f} calls/s, "
        f"{result.cpu_share:.0%} of a core",
        ("calls", "number"),
        [*sorted(result.right.items()), *((f"FAILED {f}", n) for f, n in result.faults.items())],
        f"Memory from {first.rss_bytes / MIB:.1f} to {last.rss_bytes / MIB:.1f} MiB, "
        f"{result.slope_bytes_per_min / 1024:+.1f} KiB a minute.",
    )
    show_table("", ("left in the end", "number"), list(result.left.items()), "")


def show_scan(result: ScanResult) -> None:
    """The table of `bench scan`."""
    plan, rows = result.plan, []
    for name, kind in result.kinds.items():
        error, p99s_us = kind.errors().quantiles(), kind.errors().p99s_us()
        slices_us = f"{p99s_us[len(p99s_us) // 4]:,} to {p99s_us[3 * len(p99s_us) // 4]:,}"
        setup_ms = round(kind.setup_ms.get("p99", 0.0), 1)
        share = f"{kind.cpu_share:.1%}"
        rows.append((name, setup_ms, error["p50"], error["p99"], error["p999"], slices_us, share))
    ratios = " and ".join(
        f"{result.ratio_to(kind):.2f} ({low:.2f} to {high:.2f}) times that {name}"
        for kind, name in (
            ("undisturbed", "of undisturbed calls"),
            ("elsewhere", "with the flood going elsewhere"),
        )
        for low, high in (result.ratio_range_to(kind),)
    )
    show_table(
        f"Scan: {plan.rate_per_s:g} requests/s of strangers ({plan.strangers}) beside "
        f"{plan.calls} calls",
        ("good calls", "set-up", "p50 us", "p99 us", "p99.9 us", "slices' p99", "CPU"),
        rows,
        f"Error of arrival intervals, {plan.rounds * plan.slices} slices of {plan.slice_s:g} s of "
        "each kind; of the slices' p99s the middle half. During the scan p99 is "
        f"{ratios}; in brackets: 95 % of draws of such slices. The flood takes "
        f"{result.flood_cpu_share:.1%} of a core, {result.cpu_us_per_request:g} us a request. "
        f"Of {result.total('calls'):,} good calls {result.total('failed')} failed, "
        f"{result.total('lost')} packets were lost. Set-up: p99 in ms.",
    )


def show_calls(result: CallsResult) -> None:
    """The table of `bench calls`."""
    rows = []
    for name, runs in (
        ("no prompt", result.plain),
        (f"prompt of {result.prompt_s:g} s", result.prompted),
    ):
        rows.append(
            (
                name,
                sum(run.caller["calls"] for run in runs),
                sum(run.caller["failed"] for run in runs),
                f"{result.cost_us(runs):.0f}",
                max(run.caller["setup_ms"].get("p99", 0.0) for run in runs),
                sum(run.caller["lost"] for run in runs),
            )
        )
    load = result.load
    show_table(
        f"Calls: {load.rate_per_s:g} a second, held {load.hold_s:g} s, for {result.seconds:g} s",
        ("calls", "placed", "failed", "CPU us", "set-up ms", "lost"),
        rows,
        f"CPU time of the engine's process a call: median of the runs; {result.ratio:g} times that "
        f"of a stateless answerer in C ({result.cost_us(result.floor):.0f} us). Set-up: p99 of the "
        f"worst run. Memory of a call at rest: {result.idle_bytes_per_call / 1024:.1f} KiB, "
        f"over {result.idle_calls} calls.",
    )


def show_dial(result: DialRuns) -> None:
    """The table of `bench dial`."""
    rows = [
        (
            number,
            run["calls"],
            run["failed"],
            f"{run['cpu_us'] / run['calls']:.0f}",
            *(run["setup_ms"].get(name, 0.0) for name in ("p50", "p95", "p99")),
        )
        for number, run in enumerate(result.runs, 1)
    ]
    load = result.load
    show_table(
        f"Calls to SIPp: {load.rate_per_s:g} a second, held {load.hold_s:g} s",
        ("run", "calls", "failed", "CPU us", "set-up ms p50", "p95", "p99"),
        rows,
        f"CPU time of the engine's process a call: {result.cpu_us_per_call:.0f} us, median of the "
        "runs.",
    )
    for fault, count in sorted({f: n for r in result.runs for f, n in r["faults"].items()}.items()):
        Console().print(f"{count} times: {fault}")


def show_robot(result: RobotResult) -> None:
    """The table of `bench robot`."""
    rows = [
        (
            f"run {number}",
            run.callers["calls"],
            run.callers["up_most"],
            run.failed,
            run.steps,
            f"{run.cpu_us_per_step:.0f}",
        )
        for number, run in enumerate(result.runs, 1)
    ]
    faults = {fault: count for run in result.runs for fault, count in run.faults.items()}
    show_table(
        f"Robot: {result.calls} calls of {STEPS} steps, {result.rate_per_s:g} a second",
        ("", "calls", "at once", "failed", "steps", "CPU us"),
        rows,
        f"CPU time of the robot's process a step: {result.cpu_us_per_step:.0f} us, the median, "
        f"{result.media_us_per_step:.0f} of them in the media thread; "
        f"a whole call costs a stateless answerer in C {CallsResult.cost_us(result.floor):.0f} us. "
        + "".join(f"{count} times: {fault}. " for fault, count in faults.items()),
    )


def show_barge_in(result: BargeInResult) -> None:
    """The table of `bench barge-in`."""
    rows = [
        (
            cause,
            len(found.latencies_ms),
            found.missed,
            found.failed,
            *(found.quantile_ms(fraction) for fraction in (0.5, 0.95, 0.99, 1.0)),
        )
        for cause, found in result.causes.items()
    ]
    show_table(
        f"Barge-in: {result.calls} calls by each, {result.rate_per_s:g} a second",
        ("by", "stopped", "missed", "failed", "p50 ms", "p95 ms", "p99 ms", "max ms"),
        rows,
        "From the first packet that the caller sent to the last one of the prompt, by the kernel's "
        "time stamps.",
    )


def show_stream(result: StreamResult) -> None:
    """The table of `bench stream`."""
    rows = [
        (name, *quantiles_of(values).values())
        for name, values in (
            ("last old packet", result.old_ms),
            ("first new packet", result.new_ms),
        )
    ]
    show_table(
        f"An agent clears: {len(result.old_ms)} times in {result.calls} calls, "
        f"{result.failed} failed",
        ("after a clear", "p50 ms", "p95 ms", "p99 ms", "max ms"),
        rows,
        "From before the agent sends it, by the kernel's time stamps at the caller. CPU time of "
        f"the engine's process: {result.cpu_us_per_call_s:,} us a second of a call.",
    )


def show_recognition(result: RecognitionResult) -> None:
    """The table of `bench recognition`."""
    rows = [
        (condition, kind, count.said, count.right, count.wrong, count.refused, count.unheard)
        for condition, kinds in result.counts.items()
        for kind, count in kinds.items()
    ]
    answer_ms = quantiles(result.answer_ms)
    show_table(
        f"Recognition: {result.calls} calls at once, noise at {result.snr_db:g} dB",
        ("line", "kind", "said", "right", "wrong", "no match", "not heard"),
        rows,
        f"From the end of speech to the answer: {answer_ms.get('p50', 0):g} ms, p95 "
        f"{answer_ms.get('p95', 0):g} ms. CPU time of the speech server a recognition: "
        f"{result.cpu_ms_per_recognition} ms. Prompts meanwhile: {result.packets:,} packets, "
        f"{result.lost} lost, {result.gaps} gaps. Failures: {dict(result.failures) or 'none'}.",
    )


def show_thresholds(result: ThresholdResult) -> None:
    """The table of `bench recognition --engine`."""
    rows = [
        (
            row.condition,
            f"{row.threshold:g}",
            *(row.right, row.wrong, row.refused, row.strange_refused, row.strange_taken),
        )
        for row in result.rows()
    ]
    show_table(
        f"Recognition by the engine alone, noise at {result.snr_db:g} dB",
        ("line", "threshold", "right", "wrong", "no match", "strange: no match", "strange: taken"),
        rows,
        f"CPU time of the engine a recognition: {result.cpu_ms_per_recognition} ms.",
    )


def show_vad(result: VadResult) -> None:
    """The table of `bench vad`."""
    rows = []
    for ours, peer in zip(result.ours, result.peers, strict=True):
        latencies_ms = sorted(ours.latencies_ms())
        rows.append(
            (
                ours.material.name,
                "-" if ours.recall is None else f"{ours.recall:.3f}",
                f"{ours.outside:.3f}",
                ours.false_starts(),
                f"{ours.missed()}/{len(ours.material.onsets)}",
                latencies_ms[len(latencies_ms) // 2] if latencies_ms else "-",
                f"{peer.recall:.3f}" if peer and peer.recall is not None else "-",
                f"{peer.outside:.3f}" if peer else "-",
            )
        )
    costs = ", ".join(f"{name} {cost:.2f}" for name, cost in result.costs_us.items())
    show_table(
        f"Voice detector, sensitivity {result.sensitivity}",
        ("sound", "recall", "rest", "false", "missed", "ms", "peer", "rest"),
        rows,
        "Recall: part of the frames of speech taken for it. Rest: of the others, hangover "
        "included. False: starts without speech. ms: median from onset to start. Peer: webrtcvad, "
        f"no hangover. CPU microseconds a frame, called from Python: {costs}.",
    )
