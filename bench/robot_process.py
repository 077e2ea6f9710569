"""`python -m ringwheel.bench.robot_process`: a robot that answers calls, on one core (see `child`).

Arguments: ``script``, ``max_calls``. First it tells ``{"target": "udp:HOST:PORT"}``. Commands:
``begin`` starts a measuring window, ``report`` tells what the robot did in it.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import Engine
from ..robot.runner import Robot
from ..robot.script.compiler import load_script
from .call_record import spread_ms
from .child import Parent, cpu_time_us
from .measure import allow_files
from .serving import run_child, serve_parent

MEDIA_THREAD = "rw-shard"


def media_cpu_us() -> int:
    """CPU time of the media threads so far."""
    spent_ns = 0
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if (task / "comm").read_text().startswith(MEDIA_THREAD):
                spent_ns += int((task / "schedstat").read_text().split()[0])
    return spent_ns // 1000


class Answerer:
    """What a measuring window says about a robot."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.records: list[dict[str, Any]] = []
        self._before = self._figures()

    def _figures(self) -> dict[str, int]:
        return {
            "cpu_us": cpu_time_us(),
            "loop_cpu_us": time.thread_time_ns() // 1000,
            "media_cpu_us": media_cpu_us(),
            "wall_us": time.monotonic_ns() // 1000,
            "packets": self._engine.snapshot().media["packets_sent"],
        }

    async def take(self, record: dict[str, Any]) -> None:
        """The record of a conversation."""
        self.records.append(record)

    def answer(self, command: str) -> dict[str, object]:
        """Carry out a command of the parent."""
        now = self._figures()
        if command == "begin":
            self._before = now
            self.records.clear()
            return {}
        turns = [turn["ms"] for record in self.records for turn in record["turns"]]
        return {
            **{name: now[name] - before for name, before in self._before.items()},
            "steps": sum(record["steps"] for record in self.records),
            "answer_ms": spread_ms(turns),
            "records": [
                {
                    "caller": (record["caller"] or "").partition("caller")[2].partition("@")[0],
                    "cause": record["cause"],
                    "outcome": record["outcome"],
                    "steps": record["steps"],
                    "number": record["report"].get("number"),
                }
                for record in self.records
            ],
        }


async def answer_calls(parent: Parent) -> None:
    """Hold conversations until the parent is done."""
    max_calls: int = parent.arguments["max_calls"]
    script = load_script(Path(parent.arguments["script"]))
    allow_files(max_calls)
    async with Engine(["udp:127.0.0.1:0"], codecs=["pcmu"], max_calls=max_calls) as engine:
        answerer = Answerer(engine)
        async with Robot(engine, script, results=answerer.take) as robot:
            await robot.prepare()
            await serve_parent(parent, engine, robot.answer, answerer.answer)


def main() -> None:
    # One core, whatever the machine has: media thread, event loop and results share it.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    run_child(answer_calls, level="warning")


if __name__ == "__main__":
    main()
