"""`ringwheel bench`: the command line of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import typer

from ..cli.errors import STATUS_FAILED, CommandError
from ..cli.help import examples
from ..media.codec import UnknownCodec, codec_by_name
from . import plot, report
from .barge_in import run_barge_in
from .bridge import PLAIN_CODEC, run_bridge
from .calls import Load, run_calls
from .conference import MAX_MEMBERS, MIN_MEMBERS, run_conference
from .dial import run_dial
from .duplex import run_duplex
from .flood import run_flood
from .limit import run_limit
from .prompt_legs import BACKENDS, run_prompt_legs
from .recognition import run_recognition
from .robot import run_robot
from .scan import POLICIES, ScanPlan, run_scan
from .soak import run_soak
from .stream import run_stream
from .thresholds import run_thresholds
from .vad import run_vad

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

R = TypeVar("R", bound="Told")


class Told(Protocol):
    """What a benchmark has found."""

    def to_json(self) -> dict[str, object]: ...


def tell(result: R, show: Callable[[R], None], *, as_json: bool, failed: bool = False) -> None:
    """Print a result as JSON, or show it; what failed is told by the exit status as well."""
    if as_json:
        report.show_json(result.to_json())
    else:
        show(result)
    if failed:
        raise typer.Exit(STATUS_FAILED)


@app.command(
    epilog=examples("ringwheel bench limit", "ringwheel bench limit --legs 1000 --plot limit.png")
)
def limit(
    legs: Legs = 4000,
    seconds: Seconds = 5.0,
    rounds: Rounds = 3,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What the kernel alone charges for an RTP packet, by bare sending loops in C."""
    with report.progress() as progress:
        result = run_limit(legs, seconds, rounds, progress)
    if plot_file:
        plot.plot_limit(result, plot_file)
    tell(result, report.show_limit, as_json=as_json)


@app.command(
    "prompt-legs",
    epilog=examples(
        "ringwheel bench prompt-legs --legs 4000 --json",
        "ringwheel bench prompt-legs --legs 400 --legs 4000 --backend per-leg --plot legs.png",
    ),
)
def prompt_legs(
    *,
    legs: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Legs that play at the same time; may be given more than once. [default: 4000]",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help=f"How the legs send: {' or '.join(BACKENDS)}; may be given more than once. "
            "[default: both]",
            show_default=False,
        ),
    ] = None,
    seconds: Seconds = 5.0,
    rounds: Rounds = 3,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What a packet of a playing leg costs on one shard, against the paced bare loop."""
    backends = tuple(backend or BACKENDS)
    if unknown := [name for name in backends if name not in BACKENDS]:
        raise CommandError(f"--backend: no {unknown[0]!r}", f"Take {' or '.join(BACKENDS)}")
    with report.progress() as progress:
        result = run_prompt_legs(tuple(legs or (4000,)), backends, seconds, rounds, progress)
    if plot_file:
        plot.plot_prompt_legs(result, plot_file)
    tell(result, report.show_prompt_legs, as_json=as_json)


@app.command(
    epilog=examples(
        "ringwheel bench calls --rate 300 --hold 1 --seconds 60 --json",
        "ringwheel bench calls --rate 50 --seconds 10 --plot calls.png",
    )
)
def calls(
    *,
    rate: Annotated[float, typer.Option(min=0.1, max=5000, help="Calls a second.")] = 300.0,
    hold: Annotated[float, typer.Option(min=0, max=600, help="Seconds that a call lasts.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of one run.")] = 60.0,
    prompt_seconds: Annotated[
        float, typer.Option(min=0.02, max=60, help="Length of the prompt in the runs with one.")
    ] = 1.0,
    idle_calls: Annotated[
        int, typer.Option(min=1, max=10_000, help="Calls at rest in the run for memory.")
    ] = 1000,
    rounds: Rounds = 1,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What a complete call costs the engine, without and with a prompt, and the memory of one."""
    load = Load(rate, hold, max(1, round(rate * seconds)))
    with report.progress() as progress:
        result = run_calls(
            load,
            prompt_s=prompt_seconds,
            idle_calls=idle_calls,
            rounds=rounds,
            progress=progress,
        )
    if plot_file:
        plot.plot_calls(result, plot_file)
    tell(result, report.show_calls, as_json=as_json)


@app.command(
    epilog=examples(
        "ringwheel bench dial --rate 200 --seconds 30 --json",
        "ringwheel bench dial --rate 50 --seconds 10 --rounds 3",
    )
)
def dial(
    *,
    rate: Annotated[float, typer.Option(min=0.1, max=5000, help="Calls a second.")] = 200.0,
    hold: Annotated[float, typer.Option(min=0, max=600, help="Seconds that a call lasts.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of one run.")] = 30.0,
    rounds: Rounds = 1,
    as_json: Json = False,
) -> None:
    """What a complete call of ours costs the engine, with SIPp as the callee.

    Exit status 1 if a call failed.
    """
    load = Load(rate, hold, max(1, round(rate * seconds)))
    with report.progress() as progress:
        result = run_dial(load, rounds, progress)
    tell(result, report.show_dial, as_json=as_json, failed=bool(result.failed))


@app.command(
    epilog=examples("ringwheel bench robot --calls 500 --json", "ringwheel bench robot --calls 50")
)
def robot(
    *,
    calls: Annotated[int, typer.Option(min=1, max=10_000, help="Conversations in a run.")] = 500,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Calls a second.")] = 200.0,
    rounds: Rounds = 3,
    as_json: Json = False,
) -> None:
    """What a step of a dialogue with digits costs the robot's process, on one core.

    Exit status 1 if a conversation went otherwise than it should.
    """
    with report.progress() as progress:
        result = run_robot(calls, rate, rounds, progress)
    tell(result, report.show_robot, as_json=as_json, failed=bool(result.failed))


@app.command(
    "barge-in",
    epilog=examples(
        "ringwheel bench barge-in --calls 500 --json",
        "ringwheel bench barge-in --plot barge-in.png",
    ),
)
def barge_in(
    *,
    calls: Annotated[
        int, typer.Option(min=1, max=10_000, help="Calls that speak, and as many that type.")
    ] = 500,
    rate: Annotated[float, typer.Option(min=0.1, max=500, help="Calls a second.")] = 20.0,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """How soon a prompt stops when the caller speaks or presses a digit, at the wire."""
    with report.progress() as progress:
        result = run_barge_in(calls, rate, progress)
    if plot_file:
        plot.plot_barge_in(result, plot_file)
    tell(result, report.show_barge_in, as_json=as_json)


@app.command(
    epilog=examples(
        "ringwheel bench stream --calls 10 --clears 20",
        "ringwheel bench stream --calls 50 --json",
    )
)
def stream(
    *,
    calls: Annotated[int, typer.Option(min=1, max=1_000, help="Calls at the same time.")] = 10,
    clears: Annotated[int, typer.Option(min=1, max=10_000, help="Of the agent, in each.")] = 20,
    as_json: Json = False,
) -> None:
    """How soon an agent's sound stops after its `clear`, at the wire; what a call with it costs.

    Exit status 1 if a clear failed.
    """
    with report.progress() as progress:
        result = run_stream(calls, clears, progress)
    tell(result, report.show_stream, as_json=as_json, failed=bool(result.failed))


@app.command(
    epilog=examples(
        "ringwheel bench duplex --legs 2000 --json",
        "ringwheel bench duplex --legs 400 --plot duplex.png",
    )
)
def duplex(
    *,
    legs: Annotated[
        int, typer.Option(min=1, max=100_000, help="Legs that play and hear at the same time.")
    ] = 2000,
    seconds: Seconds = 5.0,
    rounds: Rounds = 3,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What a leg costs that plays and is talked to, on one shard, against a bare exchange."""
    with report.progress() as progress:
        result = run_duplex(legs, seconds, rounds, progress)
    if plot_file:
        plot.plot_duplex(result, plot_file)
    tell(result, report.show_duplex, as_json=as_json)


@app.command(epilog=examples("ringwheel bench conference --legs 500 --members 10 --json"))
def conference(
    *,
    legs: Annotated[int, typer.Option(min=2, max=100_000, help="Legs in all conferences.")] = 500,
    members: Annotated[
        int, typer.Option(min=MIN_MEMBERS, max=MAX_MEMBERS, help="Legs in each of them.")
    ] = 10,
    seconds: Seconds = 5.0,
    rounds: Rounds = 3,
    as_json: Json = False,
) -> None:
    """What a conference costs its members, on one shard, against legs that play."""
    with report.progress() as progress:
        result = run_conference(legs, members, seconds, rounds, progress)
    tell(result, report.show_conference, as_json=as_json)


@app.command(
    epilog=examples(
        "ringwheel bench flood --json", "ringwheel bench flood --legs 200 --plot flood.png"
    )
)
def flood(
    *,
    legs: Annotated[
        int, typer.Option(min=1, max=100_000, help="Legs beside the one that is flooded.")
    ] = 500,
    times: Annotated[
        float, typer.Option(min=4, max=1000, help="Times the right rate of 50 packets a second.")
    ] = 100.0,
    seconds: Seconds = 2.0,
    rounds: Rounds = 9,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What bad input on one leg does to the others: their timing, and what was counted."""
    with report.progress() as progress:
        result = run_flood(legs, seconds, times, rounds, progress)
    if plot_file:
        plot.plot_flood(result, plot_file)
    tell(result, report.show_flood, as_json=as_json)


@app.command(
    epilog=examples(
        "ringwheel bench scan --json", "ringwheel bench scan --strangers 403 --plot scan.png"
    )
)
def scan(
    *,
    calls: Annotated[
        int, typer.Option(min=1, max=10_000, help="Good calls up at the same time.")
    ] = 500,
    prompt_seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help="Length of the prompt that they hear.")
    ] = 6.0,
    requests: Annotated[
        float, typer.Option(min=1, max=100_000, help="Requests of scanners a second.")
    ] = 5000.0,
    strangers: Annotated[
        str, typer.Option(help=f"What becomes of them: {' or '.join(POLICIES)}.")
    ] = "drop",
    slices: Annotated[
        int, typer.Option(min=1, max=1000, help="Slices of each kind in a round.")
    ] = 20,
    slice_seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help="Length of a slice.")
    ] = 1.0,
    rounds: Annotated[
        int, typer.Option(min=1, max=99, help="How often calls begin and end around slices.")
    ] = 3,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="The engine's media threads run in real time.")
    ] = False,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What scanners do to good calls: their timing and set-up, and the CPU share of the flood.

    Exit status 1 if a good call failed.
    """
    if strangers not in POLICIES:
        raise CommandError(f"--strangers: no {strangers!r}", f"Take {' or '.join(POLICIES)}")
    with report.progress() as progress:
        plan = ScanPlan(
            calls, prompt_seconds, requests, strangers, rounds, slices, slice_seconds, realtime
        )
        result = run_scan(plan, progress)
    if plot_file:
        plot.plot_scan(result, plot_file)
    tell(result, report.show_scan, as_json=as_json, failed=bool(result.total("failed")))


@app.command(
    epilog=examples(
        "ringwheel bench bridge --pairs 500 --json",
        "ringwheel bench bridge --pairs 100 --codec g722 --plot bridge.png",
    )
)
def bridge(
    *,
    pairs: Annotated[
        int, typer.Option(min=1, max=50_000, help="Pairs of legs that talk with each other.")
    ] = 500,
    codec: Annotated[
        str, typer.Option(help="Of one side of each pair; the other has pcmu.")
    ] = PLAIN_CODEC,
    seconds: Seconds = 5.0,
    rounds: Rounds = 3,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """What a packet costs, and how long it takes, from one bridged leg to the other.

    Every packet is checked, both ways. Exit status 1 if one was lost or is wrong, or if transcoded
    sound is not like its source.
    """
    try:
        label = codec_by_name(codec).label
    except UnknownCodec as error:
        raise CommandError(f"--codec: {error}") from None
    with report.progress() as progress:
        result = run_bridge(pairs, label, seconds, rounds, progress)
    if plot_file:
        plot.plot_bridge(result, plot_file)
    tell(result, report.show_bridge, as_json=as_json, failed=result.failed)


@app.command(
    epilog=examples(
        "ringwheel bench soak --minutes 30 --json --plot soak.png",
        "ringwheel bench soak --minutes 2 --load 0.3",
    )
)
def soak(
    *,
    minutes: Annotated[float, typer.Option(min=0.05, max=10_000, help="Without warm-up.")] = 30.0,
    load: Annotated[
        float, typer.Option(min=0.01, max=1, help="Part of a core that the engine is to take.")
    ] = 0.5,
    warm_up: Annotated[
        float, typer.Option(min=4, max=3600, help="Seconds in which the rate is found.")
    ] = 60.0,
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """Mixed calls for a long time: what fails, how memory grows, what is left in the end.

    Exit status 1 if a call went otherwise than it should, or if anything is left.
    """
    with report.progress() as progress:
        result = run_soak(minutes, load, warm_up, progress)
    if plot_file:
        plot.plot_soak(result, plot_file)
    tell(result, report.show_soak, as_json=as_json, failed=bool(result.faults or result.leaked))


SENSITIVITIES = ("low", "medium", "high")


@app.command(
    epilog=examples("ringwheel bench vad --json", "ringwheel bench vad --plot vad.png"),
)
def vad(
    *,
    seconds: Annotated[
        float, typer.Option(min=5, max=3600, help="Length of each noise without speech.")
    ] = 60.0,
    sensitivity: Annotated[
        str, typer.Option(help=f"Of the detector: {', '.join(SENSITIVITIES)}.")
    ] = "medium",
    as_json: Json = False,
    plot_file: Plot = None,
) -> None:
    """How often the voice detector is right on speech, noise and echo, how soon, at what cost."""
    if sensitivity not in SENSITIVITIES:
        raise CommandError(f"--sensitivity: no {sensitivity!r}", f"Take {', '.join(SENSITIVITIES)}")
    with report.progress() as progress:
        result = run_vad(seconds, sensitivity, progress)
    if plot_file:
        plot.plot_vad(result, plot_file)
    tell(result, report.show_vad, as_json=as_json)


@app.command(
    epilog=examples("ringwheel bench recognition", "ringwheel bench recognition --engine --json"),
)
def recognition(
    *,
    calls: Annotated[int, typer.Option(min=1, max=100, help="Callers at the same time.")] = 50,
    snr: Annotated[float, typer.Option(min=0, max=60, help="Of the noisy half, in dB.")] = 15.0,
    engine: Annotated[
        bool, typer.Option("--engine", help="The engine alone, without calls: by threshold.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How much of a fixed set of utterances is understood by phone, over MRCP, and at what cost.

    Fails if speech cannot be had, or the prompt that plays meanwhile has a gap.
    """
    if engine:
        with report.progress() as progress:
            found = run_thresholds(snr, progress)
        report.show_json(found.to_json()) if as_json else report.show_thresholds(found)
        return
    with report.progress() as progress:
        result = run_recognition(calls, snr, progress)
    tell(result, report.show_recognition, as_json=as_json, failed=result.failed)
