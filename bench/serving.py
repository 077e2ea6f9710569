"""Children with an engine on an event loop, which obey the parent meanwhile (see `child`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping

import uvloop

from .. import Call, Engine, RealtimeRefused, settle_gc
from ..cli.errors import CommandError
from ..cli.logging import configure_logging
from .child import Parent

WAIT_S = 3600.0

Obey = Callable[[str], Mapping[str, object]]
"""Carries out a command of the parent, on the event loop; what it is told then."""


def obey_parent(parent: Parent, obey: Obey) -> asyncio.Event:
    """Answer the parent from now on; the event is set when the parent is done.

    Commands are waited for in a thread: they are rare, and the event loop is what is measured.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def listen() -> None:
        try:
            while True:
                command = parent.command(WAIT_S)
                if command is not None:
                    loop.call_soon_threadsafe(lambda said: parent.tell(obey(said)), command)
        except EOFError:
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=listen, daemon=True).start()
    return done


async def serve_parent(
    parent: Parent, engine: Engine, handle: Callable[[Call], Awaitable[None]], obey: Obey
) -> None:
    """Tell where the engine listens, and serve calls until the parent is done."""
    settle_gc()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.serve(handle))
        done = obey_parent(parent, obey)
        parent.tell({"target": f"udp:{engine.addresses[0]}"})
        await done.wait()
        await engine.drain(1.0)


def run_child(work: Callable[[Parent], Coroutine[None, None, None]], *, level: str) -> None:
    """The whole of a child, which logs from that level on. Its parent is told of a CommandError,
    and of `RealtimeRefused`."""
    configure_logging(level)
    parent = Parent()
    try:
        uvloop.run(work(parent))
    except (CommandError, RealtimeRefused) as error:
        parent.tell({"error": str(error)})
