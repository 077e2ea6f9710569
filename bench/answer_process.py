"""`python -m ringwheel.bench.answer_process`: a whole engine that answers calls (see `child`).

Arguments: ``prompts``, files to play before the engine hangs up, or an empty list to leave that to
the caller; ``max_calls``; ``barge_in``, what ends a prompt, nothing if it is left out; ``allow``,
who may call, everybody if it is left out, and ``strangers``, what becomes of the others;
``realtime``, as of `Engine`. First it tells ``{"target": "udp:HOST:PORT"}``. Commands: ``begin``
starts a measuring window, ``report`` tells what the engine did in it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from .. import Call, Engine, GateRules
from ..media.call import BargeInName
from .child import Parent, cpu_time_us
from .measure import allow_files
from .serving import run_child, serve_parent

STRANGERS = ("dropped_strangers", "dropped_banned", "strangers_too_fast", "refused_strangers")
"""What counts requests of those who may not call."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES


def thread_count() -> int:
    """Threads of this process, those of the C core included."""
    return len(list(Path("/proc/self/task").iterdir()))


class Answerer:
    """What a measuring window says about an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._before = self._figures()

    def _figures(self) -> dict[str, int]:
        now = self._engine.snapshot()
        return {
            "cpu_us": cpu_time_us(),
            "wall_us": time.monotonic_ns() // 1000,
            "packets": now.media["packets_sent"],
            "skipped": now.media["packets_skipped"],
            "calls": now.sip["calls_offered"],
            "refused": sum(n for name, n in now.sip.items() if name.startswith("refused")),
            "retransmissions": now.sip["retransmissions_absorbed"],
            "rss_bytes": resident_bytes(),
            "strangers": sum(now.sip[name] for name in STRANGERS),
        }

    def answer(self, command: str) -> dict[str, object]:
        """Carry out a command of the parent."""
        now = self._figures()
        if command == "begin":
            self._before = now
            return {}
        changes = {name: now[name] - before for name, before in self._before.items()}
        snapshot = self._engine.snapshot()
        return {
            **changes,
            "calls_up": snapshot.calls_up,
            "lateness_p99_us": max(shard.p99 for shard in snapshot.lateness_us),
            "threads": thread_count(),
        }


async def answer_calls(parent: Parent) -> None:
    """Answer calls until the parent is done."""
    prompts: list[str] = parent.arguments["prompts"]
    max_calls: int = parent.arguments["max_calls"]
    barge_in: BargeInName = parent.arguments.get("barge_in", "none")
    gate = None
    if allow := parent.arguments.get("allow"):
        gate = GateRules(allow=tuple(allow), strangers=parent.arguments["strangers"])
    allow_files(max_calls)

    async def handle(call: Call) -> None:
        await call.answer()
        if prompts:
            await call.play(*prompts, barge_in=barge_in)
        else:
            await call.wait_ended()

    listen = ["udp:127.0.0.1:0"]
    async with Engine(
        listen,
        codecs=["pcmu"],
        max_calls=max_calls,
        gate=gate,
        realtime=parent.arguments.get("realtime", False),
    ) as engine:
        await engine.load(*prompts)
        await serve_parent(parent, engine, handle, Answerer(engine).answer)


def main() -> None:
    run_child(answer_calls, level="warning")


if __name__ == "__main__":
    main()
