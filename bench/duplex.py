"""`bench duplex`: legs that play and hear at the same time, against a bare loop that does the same.

One shard sends to a process that talks back to every leg, 50 packets a second each way, from the
very address that the leg sends to. Detecting legs look for speech and tones in what comes; plain
ones judge the stream alone. The bare loop has the same sockets, and makes one `send` and one
`recvmmsg` for each leg in the same ticks. All three take turns, since figures from different hours
do not compare.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ..cli.errors import STATUS_FAILED, CommandError
from .child import Child, start_child
from .limit import SOCKETS, START_TIMEOUT_S, Progress, open_receiver
from .measure import Reception, Run, allow_files, machine, median_of, median_quantiles
from .prompt_legs import SATURATED_LATENESS_US, WARM_UP_S

SETTLE_S = 0.3
"""What was sent has been read by then: legs are read every 20 ms."""
PACKETS_PER_S = 50
KINDS = ("detecting", "plain", "limit")
HEARS = {"detecting": "detectors", "plain": "nothing"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One run: what was sent, and what came. ``cpu_us`` of ``sent`` is that of the shard's thread.

    ``talked`` and ``received`` are packets to the legs from the beginning of the run to its end,
    the warm-up included; digits and speech are those of the window. ``events_dropped``: what was
    heard and could not be told.
    """

    sent: Run
    talked: int
    received: int
    digits_heard: int = 0
    speech_heard: int = 0
    events_dropped: int = 0

    @property
    def cost_us(self) -> float:
        """CPU microseconds per leg and second.

        A second is 50 packets that were sent: what a late sender skips must not make it cheap.
        """
        return self.sent.cpu_us_per_packet * PACKETS_PER_S

    @property
    def lost(self) -> int:
        """Packets that were sent to the legs, and that they have not received."""
        return self.talked - self.received

    def to_json(self) -> dict[str, object]:
        """The run under its public keys."""
        return {
            "cpu_us_per_leg_second": round(self.cost_us, 2),
            "received_packets": self.received,
            "received_lost": self.lost,
            "digits_heard": self.digits_heard,
            "speech_heard": self.speech_heard,
            "events_dropped": self.events_dropped,
            **self.sent.to_json(),
        }


def open_engine(receiver: Child, legs: int, **arguments: object) -> tuple[Child, list[int]]:
    """An engine whose legs send to the receiver, and its legs' ports. Raises CommandError."""
    ports = receiver.answer()["ports"]
    engine = start_child(
        "ringwheel.bench.engine_process", backend="per-leg", legs=legs, ports=ports, **arguments
    )
    try:
        told = engine.answer(START_TIMEOUT_S)
        if told["legs"] != len(told["leg_ports"]):
            raise CommandError(
                f"only {told['legs']} of {legs} legs could be opened",
                "Take fewer legs",
                STATUS_FAILED,
            )
    except BaseException:
        engine.close()
        raise
    return engine, told["leg_ports"]


def run_of(sent: dict[str, Any], cpu_us: int, reception: Reception) -> Run:
    """What a sender tells of its window, beside what was heard of it."""
    return Run(
        packets=sent["packets"],
        failed=sent["failed"],
        skipped=sent.get("skipped", 0),
        cpu_us=cpu_us,
        wall_us=sent["wall_us"],
        lateness_us=sent["lateness_us"],
        reception=reception,
    )


def run_engine(legs: int, seconds: float, hears: str, members: int = 0) -> Exchange:
    """One run of the engine, with ``members`` in conferences of that size. Raises CommandError."""
    with open_receiver(legs) as peer:
        engine, leg_ports = open_engine(peer, legs, hears=hears, members=members)
        with engine:
            peer.ask("talk", leg_ports=leg_ports)
            time.sleep(WARM_UP_S)
            peer.ask("begin")
            engine.ask("begin")
            time.sleep(seconds)
            sent = engine.ask("report")
            heard = Reception(**peer.ask("report"))
            talked = peer.ask("hush")["talked"]
            time.sleep(SETTLE_S)
            life = engine.ask("life")
    return Exchange(
        sent=run_of(sent, sent["shard_cpu_us"], heard),
        talked=talked,
        received=life["packets_received"],
        digits_heard=sent["digits_heard"],
        speech_heard=sent["speech_heard"],
        events_dropped=life["events_dropped"],
    )


def run_bare(legs: int, seconds: float) -> Exchange:
    """One run of the bare loop. Raises CommandError.

    It ends while the peer still talks, so what it has received stands for what was sent to it.
    """
    with open_receiver(legs) as peer:
        ports = peer.answer()["ports"]
        with start_child(
            "ringwheel.bench.exchange_process", way="exchange", legs=legs, ports=ports
        ) as loop:
            peer.ask("talk", leg_ports=loop.answer(START_TIMEOUT_S)["leg_ports"])
            sent = loop.ask("run", seconds * 4 + START_TIMEOUT_S, seconds=seconds)
        heard = Reception(**peer.ask("report"))
    received = sent["received"]
    return Exchange(run_of(sent, sent["cpu_us"], heard), received, received)


@dataclass(frozen=True, slots=True)
class DuplexResult:
    """Runs by kind, as many of each, in the order in which they were taken."""

    legs: int
    seconds: float
    runs: dict[str, list[Exchange]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def cost_us(self, kind: str) -> float:
        """Median CPU microseconds per leg and second."""
        return median_of(run.cost_us for run in self.runs[kind])

    def ratio(self, kind: str) -> float:
        """That kind's cost over the bare loop's, in the rounds in which they were taken."""
        pairs = zip(self.runs[kind], self.runs["limit"], strict=True)
        return median_of(ours.cost_us / bare.cost_us for ours, bare in pairs)

    @property
    def saturated(self) -> bool:
        """True if the bare loop itself ran late: then the machine is too small for so many legs."""
        lateness = median_quantiles(run.sent.lateness_us for run in self.runs["limit"])
        return lateness["p50"] > SATURATED_LATENESS_US

    def kind_to_json(self, kind: str) -> dict[str, object]:
        """The runs of one kind under their public keys."""
        runs = self.runs[kind]
        return {
            "cpu_us_per_leg_second": self.cost_us(kind),
            "interval_error_us": median_quantiles(
                run.sent.reception.interval_error_us for run in runs
            ),
            "lateness_us": median_quantiles(run.sent.lateness_us for run in runs),
            "runs": [run.to_json() for run in runs],
        }

    def to_json(self) -> dict[str, object]:
        """The result under its public keys; sums are over the runs of the engine."""
        engine = [run for kind in HEARS for run in self.runs[kind]]
        return {
            "bench": "duplex",
            **machine(),
            "legs": self.legs,
            "seconds": self.seconds,
            "cpu_us_per_leg_second": self.cost_us("detecting"),
            "plain_cpu_us_per_leg_second": self.cost_us("plain"),
            "limit_cpu_us_per_leg_second": self.cost_us("limit"),
            "ratio": self.ratio("detecting"),
            "plain_ratio": self.ratio("plain"),
            "lost": sum(run.sent.reception.lost_by_sender for run in engine),
            "received_lost": sum(run.lost for run in engine),
            "skipped": sum(run.sent.skipped for run in engine),
            "failed": sum(run.sent.failed for run in engine),
            "events_dropped": sum(run.events_dropped for run in engine),
            "saturated": self.saturated,
            **{kind: self.kind_to_json(kind) for kind in KINDS},
        }


def run_duplex(legs: int, seconds: float, rounds: int, progress: Progress) -> DuplexResult:
    """``rounds`` times each kind in turn, ``seconds`` a run. Raises CommandError."""
    allow_files(legs + SOCKETS)
    result = DuplexResult(legs, seconds)
    for turn in range(rounds):
        prefix = f"round {turn + 1} of {rounds}: {legs} legs"
        for kind, hears in HEARS.items():
            progress(f"{prefix}, {kind}")
            result.runs[kind].append(run_engine(legs, seconds, hears))
        progress(f"{prefix}, bare loop")
        result.runs["limit"].append(run_bare(legs, seconds))
    return result
