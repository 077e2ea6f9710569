"""`bench scan`: what a flood of scanners' requests does to good calls beside it.

An engine serves callers of one address, and drops or refuses everybody else. A caller places calls
and holds what it hears against the prompt; another process sends OPTIONS, REGISTER and INVITE from
other addresses. Windows take turns in one life of the engine: undisturbed; while the flood goes
elsewhere, to a socket that nobody reads, which shows what the machine has to do with it; and while
it goes to the engine. A window lasts from before the first call to behind the last.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .calls import CALLER_SPARE_S, SAMPLES_PER_S, SPARE_CALLS, Load, follow
from .child import Child, start_child
from .limit import START_TIMEOUT_S, Progress
from .measure import machine, median_of, median_quantiles
from .speech import speech_like

if TYPE_CHECKING:
    from ._native import Quantiles

HOST = "127.0.0.1"
WINDOWS = ("undisturbed", "elsewhere", "scanned")
POLICIES = ("drop", "403")
SETTLE_S = 0.1
"""What lies in the engine's socket is read within, so that it counts in its own window."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window: what the caller and the engine say of it, and what the scanner sent to it."""

    caller: dict[str, Any]
    engine: dict[str, Any]
    sent: Counter[str]
    answers: int

    @property
    def cpu_share(self) -> float:
        """CPU time of the engine's process by the window's length."""
        return float(self.engine["cpu_us"]) / float(self.engine["wall_us"])

    def to_json(self) -> dict[str, object]:
        """The window under its public keys."""
        return {
            "calls": self.caller["calls"],
            "failed": self.caller["failed"],
            "faults": self.caller["faults"],
            "up_most": self.caller["up_most"],
            "setup_ms": self.caller["setup_ms"],
            "interval_error_us": self.caller["interval_error_us"],
            "lost": self.caller["lost"],
            "payloads_checked": self.caller["payloads_checked"],
            "cpu_us": self.engine["cpu_us"],
            "wall_us": self.engine["wall_us"],
            "strangers": self.engine["strangers"],
            "sent": dict(self.sent),
            "answers": self.answers,
        }


@dataclass(frozen=True, slots=True)
class ScanResult:
    """All windows by kind."""

    load: Load
    prompt_s: float
    rate_per_s: float
    strangers: str
    windows: dict[str, list[Window]] = field(
        default_factory=lambda: {window: [] for window in WINDOWS}
    )

    def interval_error_us(self, window: str) -> Quantiles:
        """Medians over the windows of that kind."""
        return median_quantiles(run.caller["interval_error_us"] for run in self.windows[window])

    def ratio_to(self, window: str) -> float:
        """p99 of the interval error during the flood over that in another kind of window."""
        quiet_us = self.interval_error_us(window)["p99"]
        return round(self.interval_error_us("scanned")["p99"] / max(1, quiet_us), 3)

    def cpu_share(self, window: str) -> float:
        """Median share of a core that the engine's process took."""
        return median_of((run.cpu_share for run in self.windows[window]), 4)

    @property
    def flood_cpu_share(self) -> float:
        """What of a core the flood took of the engine."""
        return round(self.cpu_share("scanned") - self.cpu_share("elsewhere"), 4)

    @property
    def cpu_us_per_request(self) -> float:
        """What a request of a scanner costs the engine, reading it from the socket included."""
        runs = zip(self.windows["scanned"], self.windows["elsewhere"], strict=True)
        return median_of(
            (
                (scanned.engine["cpu_us"] - other.engine["cpu_us"]) / max(1, scanned.sent.total())
                for scanned, other in runs
            ),
            2,
        )

    @property
    def failed(self) -> int:
        """Good calls that did not go as they should, in all windows."""
        return sum(run.caller["failed"] for runs in self.windows.values() for run in runs)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "scan",
            **machine(),
            "calls": self.load.calls,
            "calls_per_s": self.load.rate_per_s,
            "prompt_s": self.prompt_s,
            "rate_per_s": self.rate_per_s,
            "strangers": self.strangers,
            "rounds": len(self.windows["scanned"]),
            "failed": self.failed,
            "ratio": self.ratio_to("undisturbed"),
            "ratio_to_elsewhere": self.ratio_to("elsewhere"),
            "flood_cpu_share": self.flood_cpu_share,
            "cpu_us_per_request": self.cpu_us_per_request,
            **{
                window: {
                    "interval_error_us": self.interval_error_us(window),
                    "cpu_share": self.cpu_share(window),
                    "runs": [run.to_json() for run in self.windows[window]],
                }
                for window in WINDOWS
            },
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """The processes, and where the flood may go."""

    engine: Child
    scanner: Child
    target: str
    prompt: Path
    ports: dict[str, int]

    def measure(self, window: str, result: ScanResult, progress: Progress, prefix: str) -> None:
        """One window of that kind. Raises CommandError."""
        load = result.load
        options = [f"--calls={load.calls}", f"--rate={load.rate_per_s}", "--progress"]
        timeout_s = load.calls / load.rate_per_s + result.prompt_s + CALLER_SPARE_S
        self.engine.ask("begin")
        if port := self.ports.get(window):
            self.scanner.ask("scan", port=port, rate_per_s=result.rate_per_s)
        with Child(
            "ringwheel.bench.caller", self.target, *options, f"--expect={self.prompt}"
        ) as caller:
            heard = follow(caller, timeout_s, progress, prefix)
        scanned = self.scanner.ask("stop")
        time.sleep(SETTLE_S)
        told = self.engine.ask("report")
        result.windows[window].append(
            Window(heard, told, Counter(scanned["sent"]), scanned["answers"])
        )


def run_scan(
    load: Load,
    *,
    prompt_s: float,
    rate_per_s: float,
    strangers: str,
    rounds: int,
    progress: Progress,
) -> ScanResult:
    """``rounds`` times each window in turn. Raises CommandError."""
    result = ScanResult(load, prompt_s, rate_per_s, strangers)
    with (
        tempfile.TemporaryDirectory(prefix="ringwheel-bench-") as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody,
        start_child("ringwheel.bench.scanner_process") as scanner,
    ):
        nobody.bind((HOST, 0))
        prompt = Path(folder, "prompt.ulaw")
        prompt.write_bytes(speech_like(round(prompt_s * SAMPLES_PER_S), seed=1))
        scanner.answer()
        with start_child(
            "ringwheel.bench.answer_process",
            prompts=[str(prompt)],
            max_calls=load.calls + SPARE_CALLS,
            allow=[HOST],
            strangers=strangers,
        ) as engine:
            target = engine.answer(START_TIMEOUT_S)["target"]
            ports = {
                "elsewhere": nobody.getsockname()[1],
                "scanned": int(target.rpartition(":")[2]),
            }
            scene = Scene(engine, scanner, target, prompt, ports)
            for turn in range(rounds):
                for window in WINDOWS:
                    prefix = f"round {turn + 1} of {rounds}, {window}"
                    scene.measure(window, result, progress, prefix)
    return result
