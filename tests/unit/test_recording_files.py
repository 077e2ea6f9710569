"""The recorder lasts as long as anything that uses its recordings, and they end with its stop."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ringwheel.media import codec, recording
from ringwheel.media._core import Recorder, RecordingFile, Shard, open_udp_socket
from ringwheel.media.events import LegMedia

PCMU = ("PCMU", 8000)


def open_file(recorder: Recorder, folder: Path) -> RecordingFile:
    path = os.fsencode(folder / "call.wav")
    return recorder.open(path, 1, 8000, channels=2, buffer_ms=2000, rotate_ms=0)


def open_leg(shard: Shard) -> int:
    return shard.open_leg(LegMedia("127.0.0.1", 9), fd=open_udp_socket("127.0.0.1", 0, 0))


def test_a_recorder_is_held_by_its_files_and_by_the_shards_of_its_taps(tmp_path):
    shard, recorder = Shard(4), Recorder(4, 100)
    unheld = sys.getrefcount(recorder)
    file = open_file(recorder, tmp_path)
    assert sys.getrefcount(recorder) == unheld + 1
    shard.tap_recording(open_leg(shard), 1, PCMU, file)
    assert sys.getrefcount(recorder) == unheld + 2
    del file
    assert sys.getrefcount(recorder) == unheld + 1
    # The collector takes what is held to pieces before its holder, which may still be in use.
    assert not gc.is_tracked(shard)
    del shard
    assert sys.getrefcount(recorder) == unheld


def test_a_stop_of_the_recorder_makes_its_files_void(tmp_path):
    shard, recorder = Shard(4), Recorder(4, 100)
    file = open_file(recorder, tmp_path)
    recorder.stop()
    while recorder.poll():
        pass
    with pytest.raises(ValueError, match="finished"):
        shard.tap_recording(open_leg(shard), 1, PCMU, file)
    file.pause(True)
    file.finish()
    shard.stop()


def test_whose_files_were_full_is_told_of_behind_those_of_all_others(tmp_path):
    others = 70  # more than are told of at once
    shard, recorder = Shard(others), Recorder(others, 100)
    for number in range(others):
        path = os.fsencode(tmp_path / f"{number}.wav")
        file = recorder.open(path, number, 8000, channels=1, buffer_ms=2000, rotate_ms=1000)
        shard.tap_recording(open_leg(shard), number, PCMU, file)
    second = [tmp_path / f"{number}-2.wav" for number in range(others)]
    latest_s = time.monotonic() + 10
    while not all(path.exists() for path in second) and time.monotonic() < latest_s:
        time.sleep(0.01)
    shard.stop()
    recorder.stop()
    finished = []
    while reports := recorder.poll():
        finished += [report.recording_id for report in reports]
    assert sorted(finished) == list(range(others))


class BusyLeg:
    """One whose shard takes no commands."""

    def record(self, *_: object) -> None:
        raise BlockingIOError


async def test_a_recording_that_cannot_begin_leaves_nothing_behind(tmp_path):
    recorder = recording.Recorder()
    begun = recorder.open(tmp_path / "call.wav", codec.PCMU, stereo=True, rotate_s=0)
    with pytest.raises(BlockingIOError):
        begun.begin(BusyLeg(), codec.PCMU)
    async with asyncio.timeout(10):
        assert (await begun.wait()).recorded_ms == 0
    assert recorder.figures()["recordings_open"] == 0
    assert list(tmp_path.iterdir()) == []
    await recorder.close()


async def test_a_recorder_ends_though_who_waits_for_that_is_cancelled(tmp_path):
    recorder, loop = recording.Recorder(), asyncio.get_running_loop()
    begun = recorder.open(tmp_path / "call.wav", codec.PCMU, stereo=True, rotate_s=0)
    busy = threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    loop.run_in_executor(None, busy.wait)
    closing = asyncio.create_task(recorder.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    busy.set()
    async with asyncio.timeout(10):
        assert (await begun.wait()).recorded_ms == 0
    assert recorder.figures() == {}


async def test_who_fails_over_the_end_of_a_recording_keeps_nobody_from_that_of_another(tmp_path):
    def fail(_: object) -> None:
        raise RuntimeError("told, and fails over it")

    recorder = recording.Recorder()
    opened = [
        recorder.open(tmp_path / f"{name}.wav", codec.PCMU, stereo=True, rotate_s=0)
        for name in ("first", "second")
    ]
    opened[0].on_recorded = fail
    for one in opened:
        one.finish()
    async with asyncio.timeout(10):
        for one in opened:
            await one.wait()
    await recorder.close()
