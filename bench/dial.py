"""`bench dial`: what a complete call of ours, INVITE to BYE, costs the engine's process.

The engine dials in one process, SIPp's built-in scenario ``uas`` answers in another: 180 and 200 at
once. It sends no sound, and none is played: this is the price of signalling, and of opening and
closing a leg.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..cli.errors import STATUS_FAILED, CommandError
from .calls import Load, follow
from .child import start_child
from .limit import Progress
from .measure import machine, median_of

HOST = "127.0.0.1"
START_S = 10.0
END_S = 5.0
SPARE_S = 60.0
WARM_UP_CALLS = 100


@dataclass(frozen=True, slots=True)
class DialRuns:
    """Runs of the engine's process, as it told of them itself."""

    load: Load
    runs: list[dict[str, Any]]

    @property
    def cpu_us_per_call(self) -> float:
        """Median of the runs."""
        return median_of((run["cpu_us"] / run["calls"] for run in self.runs), 1)

    @property
    def failed(self) -> int:
        """Calls that did not go through."""
        return sum(run["failed"] for run in self.runs)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "dial",
            **machine(),
            "rate_per_s": self.load.rate_per_s,
            "hold_s": self.load.hold_s,
            "calls": sum(run["calls"] for run in self.runs),
            "failed": self.failed,
            "cpu_us_per_call": self.cpu_us_per_call,
            "runs": [
                {**run, "cpu_us_per_call": round(run["cpu_us"] / run["calls"], 1)}
                for run in self.runs
            ],
        }


def find_sipp() -> str:
    """The program. Raises CommandError."""
    if program := shutil.which("sipp"):
        return program
    raise CommandError(
        "bench dial calls SIPp, which is not here", "Install it: apt-get install sip-tester"
    )


def is_taken(port: int) -> bool:
    """True if somebody listens on that UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def sipp_answers(program: str) -> Iterator[str]:
    """SIPp's ``uas`` in a process of its own; gives its URI. Raises CommandError."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ringwheel-bench-") as folder:
        process = subprocess.Popen(
            [program, "-sn", "uas", "-i", HOST, "-p", str(port), "-mi", HOST, "-nostdin"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline_s = time.monotonic() + START_S
            while not is_taken(port):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise CommandError("SIPp did not start", "Try: sipp -sn uas", STATUS_FAILED)
                time.sleep(0.05)
            yield f"sip:callee@{HOST}:{port}"
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_once(program: str, load: Load, progress: Progress, prefix: str) -> dict[str, Any]:
    """One run, of an engine and a SIPp that were just started."""
    with (
        sipp_answers(program) as uri,
        start_child(
            "ringwheel.bench.dial_process",
            uri=uri,
            calls=load.calls,
            rate_per_s=load.rate_per_s,
            hold_s=load.hold_s,
            warm_up=WARM_UP_CALLS,
        ) as engine,
    ):
        timeout_s = load.calls / load.rate_per_s + load.hold_s + SPARE_S
        return follow(engine, timeout_s, progress, prefix)


def run_dial(load: Load, rounds: int, progress: Progress) -> DialRuns:
    """``rounds`` runs. Raises CommandError."""
    program = find_sipp()
    runs = [
        run_once(program, load, progress, f"round {turn + 1} of {rounds}") for turn in range(rounds)
    ]
    return DialRuns(load, runs)
