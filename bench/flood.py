"""`bench flood`: what bad input on one leg does to the others.

All legs of one shard play and hear; another process talks to them. One leg more has a far end of
its own, which sends it a hundred times what is right: strangers' RTP, lies in RTCP, what is no RTP
at all, digits without end, empty and overlong packets, and sound that comes too fast.

The other legs' interval errors are measured in windows that take turns, in one life of the engine:
undisturbed; while the flood goes elsewhere, to a socket that nobody reads, which shows what the
machine has to do with it; and while it goes to the leg.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .child import Child, start_child
from .duplex import open_engine
from .limit import SOCKETS, Progress, open_receiver
from .measure import Reception, allow_files, machine, median_quantiles
from .prompt_legs import WARM_UP_S

if TYPE_CHECKING:
    from ._native import Quantiles

HOST = "127.0.0.1"
RIGHT_RATE_PER_S = 50
SETTLE_S = 0.3
WINDOWS = ("undisturbed", "elsewhere", "flooded")
NOT_TAKEN = ("received_", "receive_", "rtcp_bad_", "rtcp_too_short", "rtcp_untrue")
"""What the names of those counters begin with."""


@dataclass(frozen=True, slots=True)
class FloodResult:
    """What was heard of the legs that were not flooded, by window.

    ``sent`` are datagrams to the victim by kind, ``counted`` what all legs took and did not take,
    by reason, while it was flooded.
    """

    legs: int
    seconds: float
    rate_per_s: float
    windows: dict[str, list[Reception]] = field(
        default_factory=lambda: {window: [] for window in WINDOWS}
    )
    sent: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def interval_error_us(self, window: str) -> Quantiles:
        """Medians over the windows of that kind."""
        return median_quantiles(heard.interval_error_us for heard in self.windows[window])

    def ratio_to(self, window: str) -> float:
        """p99 of the interval error during the flood over that in another window."""
        quiet_us = self.interval_error_us(window)["p99"]
        return round(self.interval_error_us("flooded")["p99"] / max(1, quiet_us), 3)

    @property
    def lost(self) -> int:
        """Packets that the other legs should have sent, and that have not arrived."""
        return sum(heard.lost_by_sender for runs in self.windows.values() for heard in runs)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "flood",
            **machine(),
            "legs": self.legs,
            "seconds": self.seconds,
            "rounds": len(self.windows["flooded"]),
            "rate_per_s": self.rate_per_s,
            "ratio": self.ratio_to("undisturbed"),
            "ratio_to_elsewhere": self.ratio_to("elsewhere"),
            "lost": self.lost,
            "skipped": self.skipped.total(),
            **{
                window: {
                    "interval_error_us": self.interval_error_us(window),
                    "skipped": self.skipped[window],
                    "p99_us": [heard.interval_error_us["p99"] for heard in self.windows[window]],
                }
                for window in WINDOWS
            },
            "sent": dict(self.sent),
            "counted": dict(self.counted),
        }


def outcome(counters: Counter[str]) -> Counter[str]:
    """What came of datagrams: RTP and RTCP that was taken, and the others by reason."""
    taken = {"taken": counters["packets_received"], "rtcp_taken": counters["rtcp_received"]}
    reasons = {name: n for name, n in counters.items() if name.startswith(NOT_TAKEN)}
    return +Counter(taken | reasons)


@dataclass(frozen=True, slots=True)
class Scene:
    """The processes, and where the flood may go."""

    peer: Child
    flooder: Child
    engine: Child
    ports: dict[str, int]

    def measure(self, window: str, result: FloodResult) -> None:
        """One window of that kind. Raises CommandError."""
        before = Counter(self.engine.ask("life"))
        if port := self.ports.get(window):
            self.flooder.ask("flood", victim_port=port, rate_per_s=result.rate_per_s)
        time.sleep(SETTLE_S)
        self.peer.ask("begin")
        time.sleep(result.seconds)
        result.windows[window].append(Reception(**self.peer.ask("report")))
        sent = self.flooder.ask("stop")["sent"]
        time.sleep(SETTLE_S)
        counters = Counter(self.engine.ask("life"))
        counters.subtract(before)
        result.skipped[window] += counters["packets_skipped"]
        if window == "flooded":
            result.sent.update(sent)
            result.counted.update(outcome(counters))


@contextmanager
def open_scene(legs: int) -> Iterator[Scene]:
    """``legs`` that are talked to, and the one that is to be flooded. Raises CommandError."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody,
        open_receiver(legs) as peer,
        start_child("ringwheel.bench.flooder_process") as flooder,
    ):
        nobody.bind((HOST, 0))
        engine, leg_ports = open_engine(
            peer, legs, hears="detectors", victim_port=flooder.answer()["port"]
        )
        with engine:
            peer.ask("talk", leg_ports=leg_ports[:-1])
            time.sleep(WARM_UP_S)
            ports = {"elsewhere": nobody.getsockname()[1], "flooded": leg_ports[-1]}
            yield Scene(peer, flooder, engine, ports)


def run_flood(
    legs: int, seconds: float, times: float, rounds: int, progress: Progress
) -> FloodResult:
    """``rounds`` times each window in turn, with ``times`` the right rate. Raises CommandError."""
    allow_files(legs + 1 + SOCKETS)
    result = FloodResult(legs, seconds, times * RIGHT_RATE_PER_S)
    progress(f"opening {legs} legs")
    with open_scene(legs) as scene:
        for turn in range(rounds):
            for window in WINDOWS:
                progress(f"round {turn + 1} of {rounds}: {legs} legs, {window}")
                scene.measure(window, result)
    return result
