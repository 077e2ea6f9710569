"""`bench bridge`: callers who talk with each other over one shard, against a bare loop.

Another process speaks to every leg, 50 packets a second, and hears what comes out of the other leg
of its pair: each packet has to come once, in order, with its bytes unless the legs have different
codecs, and the time from its sending to its arrival is measured. The bare loop reads each leg's
socket once in 20 ms, and sends what it finds there from the socket of the other leg. Both take
turns, since figures from different hours do not compare.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .child import Child, start_child
from .duplex import SETTLE_S, open_engine
from .limit import SOCKETS, START_TIMEOUT_S, Progress, open_receiver
from .measure import allow_files, machine, median_of, median_quantiles
from .prompt_legs import SATURATED_LATENESS_US, WARM_UP_S

if TYPE_CHECKING:
    from ._native import Quantiles

PLAIN_CODEC = "pcmu"
LEAST_CORRELATION = 0.95


@dataclass(frozen=True, slots=True)
class Crossing:
    """One run. ``packets`` and ``cpu_us`` are those of its window, the rest those of the whole run.

    ``verdicts``: what came out, by what it was; ``correlations``: of the sound of some legs with
    what was said, where codecs differ. ``unheard``: what the peer was too slow to read.
    """

    packets: int
    cpu_us: int
    talked: int
    unheard: int
    verdicts: Counter[str]
    delay_us: Quantiles
    lateness_us: Quantiles
    correlations: list[float]

    @property
    def cost_us(self) -> float:
        """CPU microseconds a packet."""
        return self.cpu_us / self.packets if self.packets else float("inf")

    @property
    def lost(self) -> int:
        """Packets that were said and not heard, by no fault of the peer."""
        strangers = self.verdicts["stranger"] + self.verdicts["repeated"]
        return max(0, self.talked - (self.verdicts.total() - strangers) - self.unheard)

    @property
    def wrong(self) -> int:
        """Packets that are not what they should be."""
        return self.verdicts.total() - self.verdicts["right"]

    def to_json(self) -> dict[str, object]:
        """The run under its public keys."""
        return {
            "cpu_us_per_packet": round(self.cost_us, 3),
            "packets": self.packets,
            "talked": self.talked,
            "lost": self.lost,
            "unheard": self.unheard,
            "verdicts": dict(self.verdicts),
            "delay_us": self.delay_us,
            "correlations": self.correlations,
        }


def crossing_of(peer: Child, sent: dict[str, Any], cpu_us: int, talked: int) -> Crossing:
    """What the peer, who is silent by now, says of the run."""
    time.sleep(SETTLE_S)
    unheard = peer.ask("report")["receiver_dropped"]
    judged = peer.ask("judge", START_TIMEOUT_S)
    return Crossing(
        packets=sent["packets"],
        cpu_us=cpu_us,
        talked=talked,
        unheard=unheard,
        verdicts=Counter(judged["counts"]),
        delay_us=judged["delay_us"],
        lateness_us=sent["lateness_us"],
        correlations=judged["correlations"],
    )


def run_engine(legs: int, seconds: float, codecs: list[str]) -> Crossing:
    """One run of the engine. Raises CommandError."""
    with open_receiver(legs) as peer:
        engine, leg_ports = open_engine(peer, legs, bridge=codecs)
        with engine:
            peer.ask("talk", START_TIMEOUT_S, leg_ports=leg_ports, codecs=codecs)
            time.sleep(WARM_UP_S)
            peer.ask("begin")
            engine.ask("begin")
            time.sleep(seconds)
            sent = engine.ask("report")
            talked = peer.ask("hush")["talked"]
            return crossing_of(peer, sent, sent["shard_cpu_us"], talked)


def run_bare(legs: int, seconds: float) -> Crossing:
    """One run of the bare loop, which passes on what it hears as it is. Raises CommandError.

    It ends while the peer still talks, so what it has received stands for what was said to it.
    """
    with open_receiver(legs) as peer:
        ports = peer.answer()["ports"]
        with start_child(
            "ringwheel.bench.exchange_process", way="relay", legs=legs, ports=ports
        ) as loop:
            leg_ports = loop.answer(START_TIMEOUT_S)["leg_ports"]
            codecs = [PLAIN_CODEC, PLAIN_CODEC]
            peer.ask("talk", START_TIMEOUT_S, leg_ports=leg_ports, codecs=codecs)
            sent = loop.ask("run", seconds * 4 + START_TIMEOUT_S, seconds=seconds)
        peer.ask("hush")
        return crossing_of(peer, sent, sent["cpu_us"], sent["received"])


@dataclass(frozen=True, slots=True)
class BridgeResult:
    """Runs of the engine and of the bare loop, in the order in which they were taken."""

    pairs: int
    codec: str
    seconds: float
    engine: list[Crossing] = field(default_factory=list)
    limit: list[Crossing] = field(default_factory=list)

    @property
    def cost_us(self) -> float:
        """Median CPU microseconds of the shard's thread a packet."""
        return median_of(run.cost_us for run in self.engine)

    @property
    def limit_cost_us(self) -> float:
        return median_of(run.cost_us for run in self.limit)

    @property
    def ratio(self) -> float:
        """The engine's cost over the bare loop's, in the rounds in which they were taken."""
        pairs = zip(self.engine, self.limit, strict=True)
        return median_of(ours.cost_us / bare.cost_us for ours, bare in pairs)

    @property
    def delay_us(self) -> Quantiles:
        """Medians over the engine's runs."""
        return median_quantiles(run.delay_us for run in self.engine)

    @property
    def lost(self) -> int:
        return sum(run.lost for run in self.engine)

    @property
    def wrong(self) -> int:
        return sum(run.wrong for run in self.engine)

    @property
    def correlation(self) -> float | None:
        """The least of all legs; None where packets pass as they are."""
        return min((found for run in self.engine for found in run.correlations), default=None)

    @property
    def saturated(self) -> bool:
        """True if the bare loop itself ran late: then the machine is too small for so many legs."""
        lateness = median_quantiles(run.lateness_us for run in self.limit)
        return lateness["p50"] > SATURATED_LATENESS_US

    @property
    def failed(self) -> bool:
        """True if something was lost, or is not what was said."""
        alike = self.correlation is None or self.correlation >= LEAST_CORRELATION
        return bool(self.lost or self.wrong) or not alike

    def to_json(self) -> dict[str, object]:
        """The result under its public keys; sums are over the runs of the engine."""
        return {
            "bench": "bridge",
            **machine(),
            "pairs": self.pairs,
            "codecs": [PLAIN_CODEC, self.codec],
            "seconds": self.seconds,
            "cpu_us_per_packet": self.cost_us,
            "limit_cpu_us_per_packet": self.limit_cost_us,
            "ratio": self.ratio,
            "delay_us": self.delay_us,
            "lost": self.lost,
            "wrong": self.wrong,
            "correlation": self.correlation,
            "saturated": self.saturated,
            "runs": [run.to_json() for run in self.engine],
            "limit_runs": [run.to_json() for run in self.limit],
        }


def run_bridge(
    pairs: int, codec: str, seconds: float, rounds: int, progress: Progress
) -> BridgeResult:
    """``rounds`` times engine and bare loop in turn, ``seconds`` a run. Raises CommandError."""
    legs = 2 * pairs
    allow_files(legs + SOCKETS)
    result = BridgeResult(pairs, codec, seconds)
    for turn in range(rounds):
        prefix = f"round {turn + 1} of {rounds}: {pairs} pairs"
        progress(f"{prefix}, {PLAIN_CODEC} and {codec}")
        result.engine.append(run_engine(legs, seconds, [PLAIN_CODEC, codec]))
        progress(f"{prefix}, bare loop")
        result.limit.append(run_bare(legs, seconds))
    return result
