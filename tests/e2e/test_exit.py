"""An engine whose exit is cancelled: the second Ctrl-C of somebody in a hurry."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import soundfile
from ringwheel import Call, Engine, Recording
from ringwheel.media.leg import LegTable
from ringwheel.media.pool import ShardPool

from ..ports import pairs_of
from .client import TIMEOUT_S
from .conftest import eventually, phoning

pytestmark = pytest.mark.one_loop


def media_threads() -> set[str]:
    """Those of shards and recorders, by number and name."""
    tasks = Path("/proc/self/task").iterdir()
    named = {task.name: (task / "comm").read_text("ascii").strip() for task in tasks}
    return {f"{number} {name}" for number, name in named.items() if name.startswith("rw-")}


@pytest.mark.parametrize("step", ["_trunks.unregister", "_endpoint.wait_closed"])
async def test_shards_and_the_recorder_end_all_the_same(step, tmp_path, monkeypatch):
    before = media_threads()
    recordings: list[Recording] = []
    stands_still = asyncio.Event()

    async def record(call: Call) -> None:
        await call.answer()
        recordings.append(call.record(tmp_path / "call.wav"))
        await call.wait_ended()

    async def stand_still(*_: object) -> None:
        stands_still.set()
        await asyncio.get_running_loop().create_future()

    async def live() -> None:
        async with Engine(sip=["udp:127.0.0.1:0"], rtp_ports=pairs_of(4)) as engine:
            serving = asyncio.create_task(engine.serve(record))
            await asyncio.sleep(0)
            async with phoning(engine) as phone:
                await phone.call()
                await eventually(lambda: bool(recordings))
                await eventually(lambda: len(media_threads() - before) == 2)
            owner, _, name = step.partition(".")
            monkeypatch.setattr(type(getattr(engine, owner)), name, stand_still)
        await serving

    async with asyncio.timeout(TIMEOUT_S):
        life = asyncio.create_task(live())
        await stands_still.wait()
        life.cancel()
        with pytest.raises(asyncio.CancelledError):
            await life
        await eventually(lambda: media_threads() == before)
        done = await recordings[0].wait()
    stereo, _ = soundfile.read(tmp_path / "call.wav")
    assert len(stereo) == done.recorded_ms * 8


async def test_every_shard_ends_whatever_becomes_of_another(monkeypatch):
    def interrupted(_: LegTable) -> bool:
        raise RuntimeError("interrupted")

    before = media_threads()
    pool = ShardPool(shards=2, max_legs=1, rtp_ports=pairs_of(4))
    await eventually(lambda: len(media_threads() - before) == 2)
    monkeypatch.setattr(LegTable, "take_events", interrupted)
    with pytest.raises(RuntimeError, match="interrupted"):
        await pool.close()
    await eventually(lambda: media_threads() == before)
