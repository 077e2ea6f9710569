"""`python -m ringwheel.bench.stream_process`: an engine that connects calls with an agent (see
`child`).

Arguments: ``url`` of the agent, ``max_calls``. First it tells ``{"target": "udp:HOST:PORT"}``.
Commands: ``begin`` starts a measuring window, ``report`` tells what the engine did in it.
"""

from __future__ import annotations

from .. import Call, Engine
from ..robot.speech.stream import stream
from .answer_process import Answerer
from .child import Parent
from .measure import allow_files
from .serving import run_child, serve_parent


async def connect_calls(parent: Parent) -> None:
    """Connect calls until the parent is done."""
    url: str = parent.arguments["url"]
    max_calls: int = parent.arguments["max_calls"]
    allow_files(2 * max_calls)

    async def handle(call: Call) -> None:
        await call.answer()
        await stream(call, url, parameters={"from": call.from_uri})
        await call.hangup()

    listen = ["udp:127.0.0.1:0"]
    async with Engine(listen, codecs=["pcmu"], max_calls=max_calls, voice="off") as engine:
        await serve_parent(parent, engine, handle, Answerer(engine).answer)


def main() -> None:
    run_child(connect_calls, level="error")


if __name__ == "__main__":
    main()
