"""`bench limit`: what the kernel alone charges for an RTP packet, the yardstick of the engine.

Bare C loops send 172-byte datagrams, by `send` on a socket a leg and by `sendmmsg` on one socket,
flat out and in the 1 ms ticks of the engine. Pacing costs (cold caches, wake-ups), so it is the
paced loop that an engine is compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from .child import Child, start_child
from .measure import Reception, Run, allow_files, machine, median_of, median_quantiles

Progress = Callable[[str], None]

SOCKETS = 16
WAYS = ("send", "sendmmsg")
START_TIMEOUT_S = 60.0


def open_receiver(legs: int) -> Child:
    """A receiver process for ``legs`` streams on every loopback address."""
    # Twice as many streams as legs: a stream too many is to be seen, not to be lost.
    return start_child(
        "ringwheel.bench.receiver_process",
        sockets=SOCKETS,
        streams_max=2 * legs,
        all_loopback=True,
    )


def run_loop(way: str, *, paced: bool, legs: int, seconds: float) -> Run:
    """One run of one bare loop. Raises CommandError."""
    with open_receiver(legs) as receiver:
        ports = receiver.answer()["ports"]
        with start_child(
            "ringwheel.bench.sender_process",
            way=way,
            paced=paced,
            legs=legs,
            ports=ports,
            seconds=seconds,
        ) as sender:
            sent = sender.answer(seconds * 4 + START_TIMEOUT_S)
        heard = Reception(**receiver.ask("report"))
    return Run(
        packets=sent["packets"],
        failed=sent["failed"],
        skipped=0,
        cpu_us=sent["cpu_us"],
        wall_us=sent["wall_us"],
        lateness_us=sent["lateness_us"],
        reception=heard,
    )


@dataclass(frozen=True, slots=True)
class LimitResult:
    """Runs by way and pace, as (way, paced)."""

    legs: int
    seconds: float
    runs: dict[tuple[str, bool], list[Run]] = field(default_factory=lambda: defaultdict(list))

    def cost_us(self, way: str, *, paced: bool) -> float:
        """Median CPU microseconds a packet."""
        return median_of(run.cpu_us_per_packet for run in self.runs[way, paced])

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        paced_send = self.runs["send", True]
        return {
            "bench": "limit",
            **machine(),
            "legs": self.legs,
            "seconds": self.seconds,
            "limit_cpu_us_per_packet": self.cost_us("send", paced=True),
            "lost": sum(run.reception.lost_by_sender for run in paced_send),
            "skipped": 0,
            "interval_error_us": median_quantiles(
                run.reception.interval_error_us for run in paced_send
            ),
            "ways": {
                way: {
                    "paced" if paced else "flat_out": {
                        "cpu_us_per_packet": self.cost_us(way, paced=paced),
                        "runs": [run.to_json() for run in self.runs[way, paced]],
                    }
                    for paced in (False, True)
                }
                for way in WAYS
            },
        }


def run_limit(legs: int, seconds: float, rounds: int, progress: Progress) -> LimitResult:
    """``rounds`` times each loop in turn, ``seconds`` a run. Raises CommandError."""
    allow_files(legs + SOCKETS)
    result = LimitResult(legs, seconds)
    for turn in range(rounds):
        for way in WAYS:
            for paced in (False, True):
                pace = "paced" if paced else "flat out"
                progress(f"round {turn + 1} of {rounds}: {way}, {pace}, {legs} legs")
                run = run_loop(way, paced=paced, legs=legs, seconds=seconds)
                result.runs[way, paced].append(run)
    return result
