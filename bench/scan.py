"""`bench scan`: what a flood of scanners' requests does to good calls beside it.

An engine serves callers of one address, and drops or refuses everybody else. A caller keeps calls
up, a new one for each that ends, and holds what it hears against the prompt; another process sends
OPTIONS, REGISTER and INVITE from other addresses. Short slices take turns meanwhile: undisturbed;
while the flood goes elsewhere, to a socket that nobody reads, which shows what the machine has to
do with it; and while it goes to the engine. A machine that stands still for some milliseconds now
and then does so in slices of each kind: the more of them, the steadier is their ratio.
"""

from __future__ import annotations

import random
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .call_record import spread_ms
from .calls import CALLER_SPARE_S, SAMPLES_PER_S, SPARE_CALLS
from .child import Child, start_child
from .limit import START_TIMEOUT_S, Progress
from .measure import machine
from .sliced import Counts, SlicedErrors, counted_since, p99_ratio, p99_ratio_range
from .speech import speech_like

if TYPE_CHECKING:
    from ._native import Quantiles

HOST = "127.0.0.1"
KINDS = ("undisturbed", "elsewhere", "scanned")
POLICIES = ("drop", "403")
FILL_S = 0.5
"""Behind the length of a call, until as many are up as are to be."""
SLICE_SPARE_S = 0.5
"""What a slice may take beyond its length, for the calls placed meanwhile."""
SEED = 1


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """``calls`` up at the same time, each hearing a prompt of ``prompt_s``; in each of ``rounds``
    ``slices`` of each kind, ``slice_s`` long; ``rate_per_s`` requests of strangers. ``realtime``:
    the engine's media threads run so."""

    calls: int
    prompt_s: float
    rate_per_s: float
    strangers: str
    rounds: int
    slices: int
    slice_s: float
    realtime: bool = False

    @property
    def calls_per_s(self) -> float:
        """Calls placed, so that a new one comes for each that ends."""
        return self.calls / self.prompt_s

    @property
    def max_calls(self) -> int:
        """Calls that a round takes, and some to spare."""
        slices_s = len(KINDS) * self.slices * (self.slice_s + SLICE_SPARE_S)
        return round((self.prompt_s + slices_s) * self.calls_per_s) + SPARE_CALLS


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: what the caller heard in it, what the engine says of it, and what the scanner sent
    in it and shortly before and after."""

    interval_errors: Counts
    setups_ms: list[float]
    up: int
    engine: dict[str, Any]
    sent: Counter[str]
    answers: int


@dataclass(frozen=True, slots=True)
class SlicesOfKind:
    """All slices of one kind."""

    slices: list[Slice] = field(default_factory=list)

    def errors(self) -> SlicedErrors:
        """Their interval errors."""
        return SlicedErrors([one.interval_errors for one in self.slices])

    def total(self, name: str) -> int:
        """What the engine says of them together."""
        return sum(one.engine[name] for one in self.slices)

    @property
    def cpu_share(self) -> float:
        """CPU time of the engine's process by the slices' length."""
        return self.total("cpu_us") / max(1, self.total("wall_us"))

    @property
    def setup_ms(self) -> dict[str, float]:
        """Set-up times of the calls that were answered in them."""
        return spread_ms([setup_ms for one in self.slices for setup_ms in one.setups_ms])

    def to_json(self) -> dict[str, object]:
        """The slices under their public keys."""
        errors = self.errors()
        return {
            "interval_error_us": errors.quantiles(),
            "slice_p99_us": errors.p99s_us(),
            "setup_ms": self.setup_ms,
            "calls_answered": sum(len(one.setups_ms) for one in self.slices),
            "up_least": min(one.up for one in self.slices),
            "cpu_share": round(self.cpu_share, 4),
            "seconds": round(self.total("wall_us") / 1e6, 3),
            "strangers": self.total("strangers"),
            "sent": dict(sum((one.sent for one in self.slices), Counter())),
            "answers": sum(one.answers for one in self.slices),
        }


@dataclass(frozen=True, slots=True)
class ScanResult:
    """All slices by kind, and each round's summary of its calls."""

    plan: ScanPlan
    kinds: Mapping[str, SlicesOfKind] = field(
        default_factory=lambda: {kind: SlicesOfKind() for kind in KINDS}
    )
    callers: list[dict[str, Any]] = field(default_factory=list)

    def interval_error_us(self, kind: str) -> Quantiles:
        """Of all packets in slices of that kind."""
        return self.kinds[kind].errors().quantiles()

    def ratio_to(self, kind: str) -> float:
        """p99 of the interval error during the flood over that in another kind of slices."""
        return p99_ratio(self.kinds["scanned"].errors(), self.kinds[kind].errors())

    def ratio_range_to(self, kind: str) -> tuple[float, float]:
        """Where 95 % of such ratios lie, by `p99_ratio_range`."""
        return p99_ratio_range(self.kinds["scanned"].errors(), self.kinds[kind].errors())

    @property
    def flood_cpu_share(self) -> float:
        """What of a core the flood took of the engine."""
        return self.kinds["scanned"].cpu_share - self.kinds["elsewhere"].cpu_share

    @property
    def cpu_us_per_request(self) -> float:
        """What a request of a scanner costs the engine, reading it from the socket included."""
        scanned = self.kinds["scanned"]
        cpu_us = self.flood_cpu_share * scanned.total("wall_us")
        return round(cpu_us / max(1, scanned.total("strangers")), 2)

    def total(self, name: str) -> int:
        """What all callers together count under that name."""
        return sum(caller[name] for caller in self.callers)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        plan = self.plan
        faults = Counter[str]()
        for caller in self.callers:
            faults.update(caller["faults"])
        return {
            "bench": "scan",
            **machine(),
            "calls_at_once": plan.calls,
            "prompt_s": plan.prompt_s,
            "rate_per_s": plan.rate_per_s,
            "strangers": plan.strangers,
            "rounds": plan.rounds,
            "slices": plan.slices,
            "slice_s": plan.slice_s,
            "realtime": plan.realtime,
            "calls": self.total("calls"),
            "failed": self.total("failed"),
            "faults": dict(faults),
            "lost": self.total("lost"),
            "payloads_checked": self.total("payloads_checked"),
            "ratio": self.ratio_to("undisturbed"),
            "ratio_range": self.ratio_range_to("undisturbed"),
            "ratio_to_elsewhere": self.ratio_to("elsewhere"),
            "ratio_to_elsewhere_range": self.ratio_range_to("elsewhere"),
            "flood_cpu_share": round(self.flood_cpu_share, 4),
            "cpu_us_per_request": self.cpu_us_per_request,
            **{kind: slices.to_json() for kind, slices in self.kinds.items()},
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """The processes, and where the flood may go."""

    plan: ScanPlan
    engine: Child
    scanner: Child
    target: str
    prompt: Path
    ports: Mapping[str, int]

    def run_round(self, result: ScanResult, progress: Progress, prefix: str) -> None:
        """Calls from the first to the last, with slices of each kind while all are up. Raises
        CommandError."""
        plan = self.plan
        order = random.Random(SEED + len(result.callers))
        with start_child(
            "ringwheel.bench.good_calls_process",
            target=self.target,
            prompt=str(self.prompt),
            rate_per_s=plan.calls_per_s,
            max_calls=plan.max_calls,
        ) as caller:
            caller.answer(START_TIMEOUT_S)
            progress(f"{prefix}: {plan.calls} calls are placed")
            time.sleep(plan.prompt_s + FILL_S)
            for turn in range(plan.slices):
                for kind in order.sample(KINDS, len(KINDS)):
                    taken = self.take_slice(kind, caller)
                    result.kinds[kind].slices.append(taken)
                progress(f"{prefix}, slice {turn + 1} of {plan.slices}: {taken.up} calls up")
            caller.ask("stop")
            result.callers.append(caller.answer(plan.prompt_s + CALLER_SPARE_S))

    def take_slice(self, kind: str, caller: Child) -> Slice:
        """One slice of that kind. Raises CommandError."""
        if port := self.ports.get(kind):
            self.scanner.ask("scan", port=port, rate_per_s=self.plan.rate_per_s)
        self.engine.ask("begin")
        before = caller.ask("read")
        time.sleep(self.plan.slice_s)
        after = caller.ask("read")
        told = self.engine.ask("report")
        scanned = self.scanner.ask("stop")
        return Slice(
            interval_errors=counted_since(before["interval_errors"], after["interval_errors"]),
            setups_ms=after["setups_ms"],
            up=after["up"],
            engine=told,
            sent=Counter(scanned["sent"]),
            answers=scanned["answers"],
        )


def run_scan(plan: ScanPlan, progress: Progress) -> ScanResult:
    """All rounds, in one life of the engine. Raises CommandError."""
    result = ScanResult(plan)
    with (
        tempfile.TemporaryDirectory(prefix="ringwheel-bench-") as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody,
        start_child("ringwheel.bench.scanner_process") as scanner,
    ):
        nobody.bind((HOST, 0))
        prompt = Path(folder, "prompt.ulaw")
        prompt.write_bytes(speech_like(round(plan.prompt_s * SAMPLES_PER_S), seed=1))
        scanner.answer()
        with start_child(
            "ringwheel.bench.answer_process",
            prompts=[str(prompt)],
            max_calls=plan.calls + SPARE_CALLS,
            allow=[HOST],
            strangers=plan.strangers,
            realtime=plan.realtime,
        ) as engine:
            target = engine.answer(START_TIMEOUT_S)["target"]
            ports = {
                "elsewhere": nobody.getsockname()[1],
                "scanned": int(target.rpartition(":")[2]),
            }
            scene = Scene(plan, engine, scanner, target, prompt, ports)
            for number in range(plan.rounds):
                scene.run_round(result, progress, f"round {number + 1} of {plan.rounds}")
    return result
