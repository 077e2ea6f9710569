"""`bench prompt-legs`: legs that play prompts, against the paced bare loop of the same run.

One shard sends to a receiver in another process. Engine and bare loop take turns, with the same
destinations, since figures from different hours do not compare. Legs with a socket of their own are
held against the bare loop of `send`, legs on a shared socket against that of `sendmmsg`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from ..cli.errors import STATUS_FAILED, CommandError
from .child import start_child
from .limit import SOCKETS, START_TIMEOUT_S, Progress, open_receiver, run_loop
from .measure import Reception, Run, allow_files, machine, median_of, median_quantiles

BACKENDS = ("per-leg", "shared")
LIMIT_OF = {"per-leg": "send", "shared": "sendmmsg"}
WARM_UP_S = 1.0
# A loop that is late by a whole packet time half of the time does not keep up.
SATURATED_LATENESS_US = 20_000


def run_engine(backend: str, legs: int, seconds: float) -> Run:
    """One run of the engine: open the legs, let them warm up, measure. Raises CommandError."""
    with open_receiver(legs) as receiver:
        ports = receiver.answer()["ports"]
        with start_child(
            "ringwheel.bench.engine_process", backend=backend, legs=legs, ports=ports
        ) as engine:
            opened = engine.answer(START_TIMEOUT_S)["legs"]
            if opened != legs:
                raise CommandError(
                    f"only {opened} of {legs} legs could be opened",
                    "Take fewer legs",
                    STATUS_FAILED,
                )
            time.sleep(WARM_UP_S)
            receiver.ask("begin")
            engine.ask("begin")
            time.sleep(seconds)
            sent = engine.ask("report")
            heard = Reception(**receiver.ask("report"))
    return Run(
        packets=sent["packets"],
        failed=sent["failed"],
        skipped=sent["skipped"],
        cpu_us=sent["cpu_us"],
        wall_us=sent["wall_us"],
        lateness_us=sent["lateness_us"],
        reception=heard,
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of one backend at one number of legs, and of its bare loop."""

    engine: list[Run] = field(default_factory=list)
    limit: list[Run] = field(default_factory=list)

    @property
    def engine_cost_us(self) -> float:
        return median_of(run.cpu_us_per_packet for run in self.engine)

    @property
    def limit_cost_us(self) -> float:
        return median_of(run.cpu_us_per_packet for run in self.limit)

    @property
    def ratio(self) -> float:
        """The engine's cost over the limit's, run by run in the pairs in which they were taken."""
        pairs = zip(self.engine, self.limit, strict=True)
        return median_of(ours.cpu_us_per_packet / bare.cpu_us_per_packet for ours, bare in pairs)

    @property
    def saturated(self) -> bool:
        """True if the bare loop itself ran late: then the machine is too small for so many legs."""
        lateness = median_quantiles(run.lateness_us for run in self.limit)
        return lateness["p50"] > SATURATED_LATENESS_US

    def to_json(self) -> dict[str, object]:
        """The comparison under its public keys."""
        return {
            "cpu_us_per_packet": self.engine_cost_us,
            "limit_cpu_us_per_packet": self.limit_cost_us,
            "ratio": self.ratio,
            "lost": sum(run.reception.lost_by_sender for run in self.engine),
            "skipped": sum(run.skipped for run in self.engine),
            "failed": sum(run.failed for run in self.engine),
            "interval_error_us": median_quantiles(
                run.reception.interval_error_us for run in self.engine
            ),
            "worst_leg_interval_error_us": median_quantiles(
                run.reception.worst_leg_interval_error_us for run in self.engine
            ),
            "lateness_us": median_quantiles(run.lateness_us for run in self.engine),
            "limit_interval_error_us": median_quantiles(
                run.reception.interval_error_us for run in self.limit
            ),
            "limit_lateness_us": median_quantiles(run.lateness_us for run in self.limit),
            "saturated": self.saturated,
            "runs": [run.to_json() for run in self.engine],
            "limit_runs": [run.to_json() for run in self.limit],
        }


@dataclass(frozen=True, slots=True)
class PromptLegsResult:
    """Comparisons by backend and number of legs. The first of each is the one asked for."""

    legs: tuple[int, ...]
    backends: tuple[str, ...]
    seconds: float
    comparisons: dict[tuple[str, int], Comparison] = field(
        default_factory=lambda: defaultdict(Comparison)
    )

    def to_json(self) -> dict[str, object]:
        """The result under its public keys; those at the top are of the first backend and legs."""
        main = self.comparisons[self.backends[0], self.legs[0]].to_json()
        del main["runs"], main["limit_runs"]
        return {
            "bench": "prompt-legs",
            **machine(),
            "legs": self.legs[0],
            "seconds": self.seconds,
            "backend": self.backends[0],
            **main,
            "backends": {
                backend: {
                    str(legs): self.comparisons[backend, legs].to_json() for legs in self.legs
                }
                for backend in self.backends
            },
        }


def run_prompt_legs(
    legs: tuple[int, ...],
    backends: tuple[str, ...],
    seconds: float,
    rounds: int,
    progress: Progress,
) -> PromptLegsResult:
    """``rounds`` times engine and bare loop in turn, for each backend and number of legs.

    Raises CommandError.
    """
    allow_files(max(legs) + SOCKETS)
    result = PromptLegsResult(legs, backends, seconds)
    for turn in range(rounds):
        for backend in backends:
            for count in legs:
                comparison = result.comparisons[backend, count]
                prefix = f"round {turn + 1} of {rounds}: {count} legs, {backend}"
                progress(f"{prefix}: engine")
                comparison.engine.append(run_engine(backend, count, seconds))
                progress(f"{prefix}: bare loop of {LIMIT_OF[backend]}")
                comparison.limit.append(
                    run_loop(LIMIT_OF[backend], paced=True, legs=count, seconds=seconds)
                )
    return result
