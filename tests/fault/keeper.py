"""A robot whose calls can be taken over, a process of its own: `keeper.py '{"prompt": ...}'`.

It plays a prompt round and round, and writes each call down, once it is confirmed, as a line of
JSON at the end of the file ``snapshots``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import uvloop
from ringwheel import Call, Engine
from ringwheel.cli.logging import LogFormat, configure_logging


def serve(arguments: dict) -> None:
    """Take calls until somebody kills the process."""

    async def handle(call: Call) -> None:
        await call.answer()
        snapshots.write(json.dumps(call.snapshot()).encode() + b"\n")
        await call.play(arguments["prompt"], loop=True)

    with Path(arguments["snapshots"]).open("ab", buffering=0) as snapshots:
        uvloop.run(answer_with(handle))


async def answer_with(handle: Callable[[Call], Awaitable[None]]) -> None:
    async with Engine(["udp:127.0.0.1:0"], codecs=["pcmu"]) as engine:
        structlog.get_logger().info("serving")
        await engine.serve(handle)


if __name__ == "__main__":
    configure_logging("info", LogFormat.JSON)
    serve(json.loads(sys.argv[1]))
