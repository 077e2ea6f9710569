"""`bench conference`: legs in conferences, against legs that play prompts and hear the same.

Both kinds have one shard, are talked to 50 times a second, look for speech and tones, and send 50
packets a second: what the others in the conference say, or a prompt. So what one costs more than
the other is the jitter buffer, the mixer and the encoder. They take turns, since figures from
different hours do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .duplex import PACKETS_PER_S, Exchange, run_engine
from .limit import SOCKETS, Progress
from .measure import allow_files, machine, median_of, median_quantiles

KINDS = ("mixed", "playing")
MIN_MEMBERS, MAX_MEMBERS = 2, 64


@dataclass(frozen=True, slots=True)
class ConferenceResult:
    """Runs by kind, as many of each, in the order in which they were taken."""

    legs: int
    members: int
    seconds: float
    runs: dict[str, list[Exchange]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def cost_us(self, kind: str) -> float:
        """Median CPU microseconds per leg and second."""
        return median_of(run.cost_us for run in self.runs[kind])

    @property
    def mixing_us(self) -> float:
        """CPU microseconds that a conference costs a member for each frame of 20 ms.

        The median of what rounds differ by, below zero where the machine was too busy to tell.
        """
        pairs = zip(self.runs["mixed"], self.runs["playing"], strict=True)
        return median_of((mixed.cost_us - plain.cost_us) / PACKETS_PER_S for mixed, plain in pairs)

    def kind_to_json(self, kind: str) -> dict[str, object]:
        """The runs of one kind under their public keys."""
        runs = self.runs[kind]
        return {
            "cpu_us_per_leg_second": self.cost_us(kind),
            "interval_error_us": median_quantiles(
                run.sent.reception.interval_error_us for run in runs
            ),
            "runs": [run.to_json() for run in runs],
        }

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        runs = [run for kind in KINDS for run in self.runs[kind]]
        return {
            "bench": "conference",
            **machine(),
            "legs": self.legs,
            "members": self.members,
            "seconds": self.seconds,
            "mixing_us_per_frame": self.mixing_us,
            "lost": sum(run.sent.reception.lost_by_sender for run in runs),
            "received_lost": sum(run.lost for run in runs),
            "skipped": sum(run.sent.skipped for run in runs),
            **{kind: self.kind_to_json(kind) for kind in KINDS},
        }


def run_conference(
    legs: int, members: int, seconds: float, rounds: int, progress: Progress
) -> ConferenceResult:
    """``rounds`` times each kind in turn, ``seconds`` a run. Raises CommandError."""
    allow_files(legs + SOCKETS)
    result = ConferenceResult(legs, members, seconds)
    for turn in range(rounds):
        prefix = f"round {turn + 1} of {rounds}: {legs} legs"
        progress(f"{prefix}, in conferences of {members}")
        result.runs["mixed"].append(run_engine(legs, seconds, "detectors", members=members))
        progress(f"{prefix}, playing")
        result.runs["playing"].append(run_engine(legs, seconds, "detectors"))
    return result
