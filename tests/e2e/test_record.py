"""Recordings: what is in the files of calls that were recorded."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ringwheel import Call, Recorded, Recording
from ringwheel.media.codec import PCMU

from .client import Phone
from .conftest import phoning, serving
from .test_hear import FRAME, Mouth

pytestmark = pytest.mark.one_loop


class Robot:
    """Records a call while it plays a prompt; ``act`` does what there is to do meanwhile."""

    def __init__(self, path: Path, prompt: str, act=None, **options) -> None:
        self._path, self._prompt, self._act, self._options = path, prompt, act, options
        self.recording: asyncio.Future[Recording] = asyncio.get_running_loop().create_future()

    async def __call__(self, call: Call) -> None:
        await call.answer()
        recording = call.record(self._path, **self._options)
        self.recording.set_result(recording)
        playing = asyncio.ensure_future(call.play(self._prompt))
        if self._act is not None:
            await self._act(call, recording)
        await playing

    async def recorded(self) -> Recorded:
        async with asyncio.timeout(10):
            return await (await self.recording).wait()


async def echo(phone: Phone, frames: int) -> None:
    """Send each packet back that comes, at once."""
    mouth = Mouth(phone, await phone.call())
    for _ in range(frames):
        (packet,) = await phone.packets(1)
        mouth.packet(packet.payload, 0)
        mouth._timestamp += FRAME
    await phone.until_bye()


def heard_in(channel: np.ndarray, sound: np.ndarray) -> int:
    """Where ``sound`` stands in ``channel``, sample for sample."""
    windows = np.lib.stride_tricks.sliding_window_view(channel, len(sound))
    (places,) = np.nonzero((windows == sound).all(axis=1))
    assert len(places) == 1
    return int(places[0])


@pytest.fixture
def talk(make_prompt):
    """A prompt of 1.5 s, and its samples as they are heard."""
    prompt, payload = make_prompt("a.ulaw", 12_000)
    return prompt, PCMU.decode(payload)


async def test_both_sides_are_there_to_the_sample_and_aligned(tmp_path, talk):
    prompt, sound = talk
    path = tmp_path / "call.wav"
    robot = Robot(path, prompt)
    async with serving(robot) as engine, phoning(engine) as phone:
        await echo(phone, 75)
        done = await robot.recorded()
        assert (done.files, done.lost_ms, done.error) == ((path,), 0, None)
        # When the caller falls silent, nobody can tell that from a loss, for 60 ms.
        assert done.concealed_ms <= 60
        assert engine.snapshot().recorder["recordings_open"] == 0
    stereo, rate_hz = soundfile.read(path, dtype="int16")
    assert (rate_hz, len(stereo)) == (8000, done.recorded_ms * 8)
    caller, robot_side = heard_in(stereo[:, 0], sound), heard_in(stereo[:, 1], sound)
    # The echo is read in the slot after that in which its packet left.
    assert robot_side <= caller <= robot_side + 2 * FRAME


async def test_mono_has_both_in_one_channel(tmp_path, talk):
    prompt, sound = talk
    path = tmp_path / "call.wav"
    robot = Robot(path, prompt, stereo=False)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()  # a caller who says nothing
        await phone.until_bye()
        await robot.recorded()
    mono, _ = soundfile.read(path, dtype="int16")
    assert mono.ndim == 1
    heard_in(mono, sound)


async def test_a_recording_is_as_long_as_it_took(tmp_path, talk):
    prompt, _ = talk
    took_s = 0.0

    async def act(call: Call, recording: Recording) -> None:
        nonlocal took_s
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0.7)
        stopping = asyncio.ensure_future(recording.stop())
        await asyncio.sleep(0)
        took_s = asyncio.get_running_loop().time() - began_s
        await stopping

    robot = Robot(tmp_path / "call.wav", prompt, act)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        done = await robot.recorded()
    # To the slot, at both ends.
    assert abs(done.recorded_ms - took_s * 1000) <= 40


async def test_files_rotate_without_losing_a_sample(tmp_path, talk):
    prompt, sound = talk
    robot = Robot(tmp_path / "call.wav", prompt, rotate_s=1.0)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        done = await robot.recorded()
    assert [path.name for path in done.files][:2] == ["call.wav", "call-2.wav"]
    parts = [soundfile.read(path, dtype="int16")[0] for path in done.files]
    assert len(parts[0]) == 8000
    heard_in(np.concatenate(parts)[:, 1], sound)


async def test_what_is_said_in_a_pause_is_left_out(tmp_path, talk):
    prompt, sound = talk

    async def act(call: Call, recording: Recording) -> None:
        await asyncio.sleep(0.5)
        recording.pause()
        await asyncio.sleep(0.4)
        recording.resume()

    robot = Robot(tmp_path / "call.wav", prompt, act)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
        done = await robot.recorded()
    stereo, _ = soundfile.read(done.files[0], dtype="int16")
    assert done.paused_ms >= 300
    assert len(stereo) == done.recorded_ms * 8
    heard_in(stereo[:, 1], sound[:1600])
    heard_in(stereo[:, 1], sound[-1600:])


async def test_hanging_up_completes_the_file(tmp_path, talk):
    prompt, sound = talk
    robot = Robot(tmp_path / "call.wav", prompt)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.packets(20)
        await phone.hang_up()
        done = await robot.recorded()
    stereo, _ = soundfile.read(done.files[0], dtype="int16")
    heard_in(stereo[:, 1], sound[: 20 * FRAME])


async def test_a_file_is_never_overwritten(tmp_path):
    path = tmp_path / "call.wav"
    path.write_bytes(b"somebody's")
    errors: list[OSError] = []

    async def handler(call: Call) -> None:
        await call.answer()
        for target in (path, tmp_path / "nowhere" / "call.wav"):
            with pytest.raises(OSError) as raised:
                call.record(target)
            errors.append(raised.value)

    async with serving(handler) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.until_bye()
    assert [(error.errno, error.filename) for error in errors] == [
        (errno.EEXIST, str(path)),
        (errno.ENOENT, str(tmp_path / "nowhere" / "call.wav")),
    ]
    assert path.read_bytes() == b"somebody's"


async def test_closing_the_engine_completes_what_is_recorded(tmp_path, talk):
    prompt, sound = talk
    robot = Robot(tmp_path / "call.wav", prompt)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.packets(10)
    done = await robot.recorded()
    stereo, _ = soundfile.read(done.files[0], dtype="int16")
    heard_in(stereo[:, 1], sound[: 8 * FRAME])
