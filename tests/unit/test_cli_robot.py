"""`ringwheel robot` from within: what its end waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

from ringwheel.cli import robot
from ringwheel.robot.calling import Tally


async def test_sessions_of_speech_do_not_keep_a_robot_that_has_called_everybody():
    done = []
    stopped = asyncio.Event()

    async def drain(timeout_s):
        done.append("engine drained")
        stopped.set()

    async def run(numbers):
        done.append("all called")
        return Tally()

    class Service:
        async def close(self):
            done.append("speech closed")

    engine = SimpleNamespace(serve=lambda handler: stopped.wait(), drain=drain)
    calling = SimpleNamespace(run=run, stop=lambda: None)
    service = Service()
    await robot._call_out(
        engine,
        calling,
        {"local": service, "mrcp": service},
        SimpleNamespace(drain_s=30.0),
        SimpleNamespace(dial=Path("numbers.csv"), trunk=None),
    )
    assert done == ["all called", "speech closed", "engine drained"]
