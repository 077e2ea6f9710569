"""`python -m ringwheel.bench.stream_process`: an engine that connects calls with an agent (see
`child`).

Arguments: ``url`` of the agent, ``max_calls``. First it tells ``{"target": "udp:HOST:PORT"}``.
Commands: ``begin`` starts a measuring window, ``report`` tells what the engine did in it.
"""

from __future__ import annotations

import asyncio
import threading

import uvloop

from .. import Call, Engine, settle_gc
from ..cli.errors import CommandError
from ..cli.logging import configure_logging
from ..robot.speech.stream import stream
from .answer_process import Answerer, listen_to_parent
from .child import Parent
from .measure import allow_files


async def connect_calls(parent: Parent) -> None:
    """Connect calls until the parent is done."""
    url: str = parent.arguments["url"]
    max_calls: int = parent.arguments["max_calls"]
    allow_files(2 * max_calls)

    async def handle(call: Call) -> None:
        await call.answer()
        await stream(call, url, parameters={"from": call.from_uri})
        await call.hangup()

    done = asyncio.Event()
    async with (
        Engine(["udp:127.0.0.1:0"], codecs=["pcmu"], max_calls=max_calls, voice="off") as engine,
        asyncio.TaskGroup() as tasks,
    ):
        settle_gc()
        tasks.create_task(engine.serve(handle))
        arguments = (parent, asyncio.get_running_loop(), Answerer(engine), done)
        threading.Thread(target=listen_to_parent, args=arguments, daemon=True).start()
        parent.tell({"target": f"udp:{engine.addresses[0]}"})
        await done.wait()
        await engine.drain(1.0)


def main() -> None:
    configure_logging("error")
    parent = Parent()
    try:
        uvloop.run(connect_calls(parent))
    except CommandError as error:
        parent.tell({"error": str(error)})


if __name__ == "__main__":
    main()
