"""`python -m ringwheel.bench.dial_process`: a whole engine that places calls (see `child`).

Arguments: ``uri``, whom to call; ``calls``, ``rate_per_s``, ``hold_s``; ``warm_up``, calls that are
placed before and not counted. Twice a second it tells ``{"ended", "up", "failed"}``, at the end the
summary, which has ``calls`` in it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from .. import DialFailed, EndedBy, Engine, settle_gc
from ..media.sip.transport import GATHER_MS
from .answer_process import thread_count
from .call_record import spread_ms
from .child import Parent, cpu_time_us
from .measure import allow_files
from .serving import obey_parent, run_child

PROGRESS_S = 0.5
TICK_S = GATHER_MS / 1_000
"""Calls are placed in bursts, as often as SIP is read: who wakes for each finds the caches cold."""
DIAL_TIMEOUT_S = 10.0


class Dialler:
    """Places calls at a steady rate, and notes what becomes of them."""

    def __init__(self, engine: Engine, uri: str, hold_s: float) -> None:
        self._engine = engine
        self._uri = uri
        self._hold_s = hold_s
        self.up = 0
        self.ended = 0
        self.setup_ms: list[float] = []
        self.faults: Counter[str] = Counter()

    async def run(self, calls: int, rate_per_s: float) -> None:
        """Place ``calls``; returns when all are over."""
        begin_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            placed = 0
            while placed < calls:
                due = min(calls, int((time.monotonic() - begin_s) * rate_per_s) + 1)
                for _ in range(due - placed):
                    tasks.create_task(self._call())
                placed = due
                await asyncio.sleep(TICK_S - time.monotonic() % TICK_S)

    async def _call(self) -> None:
        begin_ns = time.perf_counter_ns()
        try:
            call = await self._engine.dial(self._uri, timeout_s=DIAL_TIMEOUT_S)
        except DialFailed as failed:
            self.faults[str(failed)] += 1
        else:
            self.setup_ms.append((time.perf_counter_ns() - begin_ns) / 1e6)
            self.up += 1
            await asyncio.sleep(self._hold_s)
            cause = await call.hangup()
            if cause.by is not EndedBy.LOCAL:
                self.faults[f"ended by {cause.by.value}: {cause.status} {cause.reason}"] += 1
            self.up -= 1
        self.ended += 1

    def progress(self) -> dict[str, object]:
        """Where it stands."""
        return {"ended": self.ended, "up": self.up, "failed": self.faults.total()}


async def tell_progress(parent: Parent, dialler: Dialler) -> None:
    """Until it is cancelled."""
    while True:
        await asyncio.sleep(PROGRESS_S)
        parent.tell(dialler.progress())


async def measure(engine: Engine, arguments: dict[str, Any], parent: Parent) -> None:
    """The calls that count, and their summary."""
    dialler = Dialler(engine, arguments["uri"], arguments["hold_s"])
    began_s, began_us = time.monotonic(), cpu_time_us()
    telling = asyncio.create_task(tell_progress(parent, dialler))
    try:
        await dialler.run(arguments["calls"], arguments["rate_per_s"])
    finally:
        telling.cancel()
    cpu_us = cpu_time_us() - began_us
    parent.tell(
        {
            "calls": dialler.ended,
            "failed": dialler.faults.total(),
            "faults": dict(dialler.faults.most_common(20)),
            "cpu_us": cpu_us,
            "setup_ms": spread_ms(dialler.setup_ms),
            "threads": thread_count(),
            "seconds": round(time.monotonic() - began_s, 3),
        }
    )


async def place_calls(parent: Parent) -> None:
    """Warm up, measure, and wait for the parent to be done."""
    arguments = parent.arguments
    at_once = round(arguments["rate_per_s"] * (arguments["hold_s"] + DIAL_TIMEOUT_S))
    max_calls = min(at_once, arguments["calls"]) + arguments["warm_up"]
    allow_files(max_calls)
    async with Engine(["udp:127.0.0.1:0"], codecs=["pcmu"], max_calls=max_calls) as engine:
        done = obey_parent(parent, lambda _command: {})  # it has none: it only may end
        warming = Dialler(engine, arguments["uri"], 0.0)
        await warming.run(arguments["warm_up"], arguments["rate_per_s"])
        settle_gc()
        await measure(engine, arguments, parent)
        await done.wait()


def main() -> None:
    run_child(place_calls, level="warning")


if __name__ == "__main__":
    main()
