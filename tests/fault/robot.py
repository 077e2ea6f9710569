"""A robot for the fault tests, a process of its own: `robot.py '{"folders": ...}'`.

It plays a prompt round and round, and records each call in the folder of the user who is called.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import structlog
import uvloop
from ringwheel import Call, Engine
from ringwheel.cli.logging import LogFormat, configure_logging


async def serve(arguments: dict) -> None:
    """Take calls until SIGTERM."""
    folders = {user: Path(folder) for user, folder in arguments["folders"].items()}

    async def handle(call: Call) -> None:
        await call.answer()
        user = call.to_uri.removeprefix("sip:").partition("@")[0]
        call.record(folders[user] / f"{call.id}.wav")
        await call.play(arguments["prompt"], loop=True)

    async with (
        Engine(["udp:127.0.0.1:0"], codecs=["pcmu"], records=arguments["records"]) as engine,
        asyncio.TaskGroup() as tasks,
    ):
        await engine.load(arguments["prompt"])
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: tasks.create_task(engine.drain(1.0)))
        structlog.get_logger().info("serving")
        await engine.serve(handle)


if __name__ == "__main__":
    configure_logging("info", LogFormat.JSON)
    uvloop.run(serve(json.loads(sys.argv[1])))
