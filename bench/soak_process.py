"""`python -m ringwheel.bench.soak_process`: an engine that takes and places calls (see `child`).

What it does with a call that comes depends on the user who is called (`ROLES`); what it dials are
the ``kinds`` among its arguments, in turn (`KINDS`). First it tells ``{"address": "HOST:PORT"}``.
Commands: ``peer`` brings the ``address`` to dial, ``pace`` the calls a second to place, 0 for
none; ``sample`` tells what the process holds, ``count`` what came of the calls.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from .. import Call, CallEnded, DialFailed, Engine, HoldRefused, Outcome, Refer, settle_gc
from ..media.sip.events import EndedBy
from .answer_process import resident_bytes
from .child import Parent, cpu_time_us
from .measure import allow_files
from .serving import obey_parent, run_child

MAX_CALLS = 4_000
MAX_UP = 2_000
"""Calls of ours at the same time; what is due beyond them is left out, and told as a fault."""
TURN_S = 0.02
RING_S = 0.4
HOLD_S = 0.3
MAX_FAULTS = 50
PATIENCE_S = 30.0


class Faults(Counter[str]):
    """What went otherwise than it should, by what it was; the first kinds of it only."""

    def note(self, kind: str, fault: object) -> None:
        """Count one."""
        text = f"{kind}: {fault}"
        self[text if text in self or len(self) < MAX_FAULTS else f"{kind}: others"] += 1


class Soaked:
    """The engine, what it does with calls, and what comes of them."""

    def __init__(self, engine: Engine, prompt: str, kinds: list[str]) -> None:
        self._engine = engine
        self._prompt = prompt
        self._kinds = kinds
        self._placing: set[asyncio.Task[None]] = set()
        self.peer = ""
        self.rate_per_s = 0.0
        self.right: Counter[str] = Counter()
        self.faults = Faults()

    # Calls that come

    async def handle(self, call: Call) -> None:
        """Do what the user who is called stands for."""
        role = call.to_uri.removeprefix("sip:").partition("@")[0]
        try:
            await ROLES[role](self, call)
        except CallEnded as ended:
            if ended.cause.by is EndedBy.ERROR:
                self.faults.note(f"in {role}", ended.cause)
        except (HoldRefused, OSError, RuntimeError) as error:
            self.faults.note(f"in {role}", repr(error))
        else:
            self.right[f"in {role}"] += 1

    async def _talk(self, call: Call) -> None:
        await call.answer()
        await call.play(self._prompt)
        await call.hangup()

    async def _held(self, call: Call) -> None:
        """Hold the caller with music between two prompts."""
        await call.answer()
        await call.play(self._prompt)
        await call.hold(self._prompt)
        await asyncio.sleep(HOLD_S)
        await call.unhold()
        await self._talk_on(call)

    async def _talk_on(self, call: Call) -> None:
        await call.play(self._prompt)
        await call.hangup()

    async def _busy(self, call: Call) -> None:
        call.reject(486)

    async def _patient(self, call: Call) -> None:
        """Ring until the caller gives up."""
        call.ring()
        cause = await call.wait_ended()
        if cause.status != 487:
            raise RuntimeError(f"ended with {cause.status}")

    async def _transfer(self, call: Call) -> None:
        """Send the caller to somebody at its own place."""
        await call.answer()
        await call.play(self._prompt)
        done = await call.transfer(f"sip:talk@{self.peer}")
        if not done.ok:
            raise RuntimeError(f"the transfer ended with {done.status}")
        await call.wait_ended()

    async def follow(self, call: Call, refer: Refer) -> None:
        """We are sent to somebody else: talk there to the end."""
        third = await refer.follow()
        await third.wait_ended()

    # Calls that are placed

    async def place(self) -> None:
        """Place calls at the rate that is asked for, until cancelled."""
        loop = asyncio.get_running_loop()
        due, last_s, turn = 0.0, loop.time(), 0
        while True:
            await asyncio.sleep(TURN_S)
            now_s = loop.time()
            due += (now_s - last_s) * self.rate_per_s
            last_s = now_s
            while due >= 1:
                due -= 1
                self._place_one(self._kinds[turn % len(self._kinds)])
                turn += 1

    def _place_one(self, kind: str) -> None:
        if len(self._placing) >= MAX_UP:
            self.faults.note(kind, "left out: too many are up")
            return
        task = asyncio.ensure_future(self._try(kind))
        self._placing.add(task)
        task.add_done_callback(self._placing.discard)

    async def _try(self, kind: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await KINDS[kind](self)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is told
            self.faults.note(kind, repr(error))
        else:
            self.right[kind] += 1

    async def _call(self, user: str) -> None:
        """The callee hangs up."""
        call = await self._engine.dial(f"sip:{user}@{self.peer}")
        cause = await call.wait_ended()
        if cause.by is EndedBy.ERROR:
            raise RuntimeError(str(cause))

    async def _both_talk(self) -> None:
        call = await self._engine.dial(f"sip:talk@{self.peer}")
        try:
            await call.play(self._prompt, loop=True)
        except CallEnded as ended:
            if ended.cause.by is EndedBy.ERROR:
                raise

    async def _fail(self, user: str, timeout_s: float, expected: Outcome) -> None:
        try:
            call = await self._engine.dial(f"sip:{user}@{self.peer}", timeout_s=timeout_s)
        except DialFailed as failed:
            if failed.outcome is not expected:
                raise
        else:
            await call.hangup()
            raise RuntimeError("answered")

    # What the parent asks

    def obey(self, command: str, arguments: dict[str, object]) -> dict[str, object]:
        """Carry out a command."""
        if command == "peer":
            self.peer = str(arguments["address"])
        elif command == "pace":
            self.rate_per_s = float(str(arguments["rate_per_s"]))
        elif command == "sample":
            return self._sample()
        elif command == "count":
            return {"right": dict(self.right), "faults": dict(self.faults.most_common())}
        return {}

    def _sample(self) -> dict[str, object]:
        now = self._engine.snapshot()
        return {
            "cpu_us": cpu_time_us(),
            "rss_bytes": resident_bytes(),
            "calls": now.calls_up,
            "legs": now.media["legs_opened"] - now.media["legs_closed"],
            "ports": now.places_taken,
            "dialogs": now.dialogs,
            "transactions": now.transactions,
            "timers": now.timers,
            "tasks": len(asyncio.all_tasks()),
            "files": len(list(Path("/proc/self/fd").iterdir())),
            "skipped": now.media["packets_skipped"],
        }


ROLES: dict[str, Callable[[Soaked, Call], Awaitable[None]]] = {
    "talk": Soaked._talk,
    "held": Soaked._held,
    "busy": Soaked._busy,
    "patient": Soaked._patient,
    "transfer": Soaked._transfer,
}
"""What is done with a call, by the user who is called."""

KINDS: dict[str, Callable[[Soaked], Awaitable[None]]] = {
    "talk": Soaked._both_talk,
    "held": lambda soaked: soaked._call("held"),
    "transferred": lambda soaked: soaked._call("transfer"),
    "busy": lambda soaked: soaked._fail("busy", PATIENCE_S, Outcome.BUSY),
    "cancelled": lambda soaked: soaked._fail("patient", RING_S, Outcome.NO_ANSWER),
}
"""What is dialled, and what has to come of it."""


async def soak(parent: Parent) -> None:
    """Take and place calls until the parent is done."""
    prompt, kinds = parent.arguments["prompt"], parent.arguments["kinds"]
    allow_files(MAX_CALLS)
    async with (
        Engine(["udp:127.0.0.1:0"], codecs=["pcmu"], max_calls=MAX_CALLS) as engine,
        asyncio.TaskGroup() as tasks,
    ):
        await engine.load(prompt)
        soaked = Soaked(engine, prompt, kinds)
        settle_gc()
        tasks.create_task(engine.serve(soaked.handle, on_refer=soaked.follow))
        placing = tasks.create_task(soaked.place())
        done = obey_parent(parent, lambda command: soaked.obey(command, parent.arguments))
        parent.tell({"address": engine.addresses[0]})
        await done.wait()
        placing.cancel()
        await engine.drain(1.0)


def main() -> None:
    run_child(soak, level="error")


if __name__ == "__main__":
    main()
