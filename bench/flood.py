"""`bench flood`: what bad input on one leg does to the others.

All legs of one shard play and hear; another process talks to them. One leg more has a far end of
its own, which sends it a hundred times what is right: strangers' RTP, lies in RTCP, what is no RTP
at all, digits without end, empty and overlong packets, and sound that comes too fast.

The other legs' interval errors are measured in three windows of one life of the engine: before
that; while the flood goes elsewhere, to a socket that nobody reads, which shows what the machine
has to do with it; and while it goes to the leg.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from dataclasses import dataclass, field

from .child import Child, start_child
from .duplex import open_engine
from .limit import SOCKETS, Progress, open_receiver
from .measure import Reception, allow_files, machine, median_of, median_quantiles
from .prompt_legs import WARM_UP_S

RIGHT_RATE_PER_S = 50
FLOOD_WARM_UP_S = 0.3
WINDOWS = ("undisturbed", "elsewhere", "flooded")
NOT_TAKEN = ("received_", "receive_")
"""What the names of those counters begin with."""


@dataclass(frozen=True, slots=True)
class FloodRound:
    """One life of an engine: what was heard of the legs that were not flooded, in each window.

    ``sent`` are datagrams to the victim by kind, ``counted`` what all legs took (``taken``) and did
    not take, by reason, in the time of the flood.
    """

    windows: dict[str, Reception]
    skipped: int
    sent: dict[str, int]
    counted: dict[str, int]

    def p99_us(self, window: str) -> int:
        """p99 of the interval error."""
        return self.windows[window].interval_error_us["p99"]

    def ratio_to(self, window: str) -> float:
        """p99 of the interval error during the flood over that in another window."""
        return self.p99_us("flooded") / max(1, self.p99_us(window))

    @property
    def lost(self) -> int:
        return sum(heard.lost_by_sender for heard in self.windows.values())

    def to_json(self) -> dict[str, object]:
        """The round under its public keys."""
        return {
            "ratio": round(self.ratio_to("undisturbed"), 3),
            "ratio_to_elsewhere": round(self.ratio_to("elsewhere"), 3),
            **{
                window: {
                    "interval_error_us": heard.interval_error_us,
                    "worst_leg_interval_error_us": heard.worst_leg_interval_error_us,
                }
                for window, heard in self.windows.items()
            },
            "lost": self.lost,
            "skipped": self.skipped,
            "sent": self.sent,
            "counted": self.counted,
        }


def counted_between(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What came of the datagrams in between: those that were taken, and the others by reason."""
    grown = {name: after[name] - before[name] for name in after}
    reasons = {name: n for name, n in grown.items() if name.startswith(NOT_TAKEN) and n}
    return {"taken": grown["packets_received"], **reasons}


def hear_window(peer: Child, seconds: float) -> Reception:
    """What the far end hears in ``seconds``."""
    peer.ask("begin")
    time.sleep(seconds)
    return Reception(**peer.ask("report"))


def flood_window(
    flooder: Child, peer: Child, seconds: float, *, port: int, rate_per_s: float
) -> tuple[Reception, dict[str, int]]:
    """What the far end hears while a port is flooded, and the datagrams by kind."""
    flooder.ask("flood", victim_port=port, rate_per_s=rate_per_s)
    time.sleep(FLOOD_WARM_UP_S)
    heard = hear_window(peer, seconds)
    sent = flooder.ask("stop")["sent"]
    time.sleep(FLOOD_WARM_UP_S)
    return heard, sent


def run_round(legs: int, seconds: float, rate_per_s: float) -> FloodRound:
    """One life of an engine. Raises CommandError."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody,
        open_receiver(legs) as peer,
        start_child("ringwheel.bench.flooder_process") as flooder,
    ):
        nobody.bind(("127.0.0.1", 0))
        engine, leg_ports = open_engine(
            peer, legs, hears="detectors", victim_port=flooder.answer()["port"]
        )
        with engine:
            peer.ask("talk", leg_ports=leg_ports[:-1])
            time.sleep(WARM_UP_S)
            undisturbed = hear_window(peer, seconds)
            elsewhere, _ = flood_window(
                flooder, peer, seconds, port=nobody.getsockname()[1], rate_per_s=rate_per_s
            )
            before = engine.ask("life")
            flooded, sent = flood_window(
                flooder, peer, seconds, port=leg_ports[-1], rate_per_s=rate_per_s
            )
            after = engine.ask("life")
    heard = (undisturbed, elsewhere, flooded)
    return FloodRound(
        windows=dict(zip(WINDOWS, heard, strict=True)),
        skipped=after["packets_skipped"],
        sent=sent,
        counted=counted_between(before, after),
    )


@dataclass(frozen=True, slots=True)
class FloodResult:
    """All rounds."""

    legs: int
    seconds: float
    rate_per_s: float
    rounds: list[FloodRound] = field(default_factory=list)

    def ratio_to(self, window: str) -> float:
        """Median over the rounds."""
        return median_of(one.ratio_to(window) for one in self.rounds)

    @property
    def sent(self) -> dict[str, int]:
        """Datagrams to the victim by kind, over all rounds."""
        return dict(sum((Counter(one.sent) for one in self.rounds), Counter()))

    @property
    def counted(self) -> dict[str, int]:
        """What all legs took and did not take during the floods, over all rounds."""
        return dict(sum((Counter(one.counted) for one in self.rounds), Counter()))

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "flood",
            **machine(),
            "legs": self.legs,
            "seconds": self.seconds,
            "rate_per_s": self.rate_per_s,
            "ratio": self.ratio_to("undisturbed"),
            "ratio_to_elsewhere": self.ratio_to("elsewhere"),
            **{
                f"{window}_interval_error_us": median_quantiles(
                    one.windows[window].interval_error_us for one in self.rounds
                )
                for window in WINDOWS
            },
            "lost": sum(one.lost for one in self.rounds),
            "skipped": sum(one.skipped for one in self.rounds),
            "sent": self.sent,
            "counted": self.counted,
            "runs": [one.to_json() for one in self.rounds],
        }


def run_flood(
    legs: int, seconds: float, times: float, rounds: int, progress: Progress
) -> FloodResult:
    """``rounds`` engines, each flooded with ``times`` the right rate. Raises CommandError."""
    allow_files(legs + 1 + SOCKETS)
    result = FloodResult(legs, seconds, times * RIGHT_RATE_PER_S)
    for turn in range(rounds):
        progress(f"round {turn + 1} of {rounds}: {legs} legs, {result.rate_per_s:g} datagrams/s")
        result.rounds.append(run_round(legs, seconds, result.rate_per_s))
    return result
