"""What stands in the files of recordings, held against what was said and played."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from ringwheel.media.codec import PCMU

from .caller import FRAME, Notes, sound_of

RATE_HZ = 8000
HEADER_BYTES = 44
SEARCHED_FRAMES = 60
FADE_SAMPLES = 40
"""Concealment fades over to the sound that is back: 5 ms of it are not as they were sent."""


def read_stereo(path: Path) -> np.ndarray:
    """The samples of a file that is what it says: its sizes are within it, and right."""
    stereo, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    assert (rate_hz, stereo.shape[1]) == (RATE_HZ, 2)
    head = path.read_bytes()[:HEADER_BYTES]
    (riff_bytes,), (data_bytes,) = (
        struct.unpack_from("<I", head, 4),
        struct.unpack_from("<I", head, 40),
    )
    assert riff_bytes == data_bytes + HEADER_BYTES - 8
    assert data_bytes == 4 * len(stereo)
    assert path.stat().st_size >= HEADER_BYTES + data_bytes
    return stereo


def frames_of(payload: bytes) -> np.ndarray:
    """The samples of a payload, a row a packet."""
    return PCMU.decode(payload).reshape(-1, FRAME)


def place_of(channel: np.ndarray, frames: np.ndarray) -> int | None:
    """Where the first of ``frames`` stands, or would if it had not been lost."""
    heap = np.ascontiguousarray(channel).tobytes()
    for number, frame in enumerate(frames[:SEARCHED_FRAMES]):
        found = heap.find(frame.tobytes())
        if found >= 0 and found % 2 == 0:
            return found // 2 - number * FRAME
    return None


def same_frames(
    channel: np.ndarray, frames: np.ndarray, place: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``frames`` stand at their places, and which do but for their beginning."""
    before, end = max(0, -place), place + frames.size
    padded = np.pad(channel, (before, max(0, end - len(channel))))
    here = padded[place + before : end + before].reshape(-1, FRAME)
    right = here == frames
    return right.all(axis=1), right[:, FADE_SAMPLES:].all(axis=1)


def moved_frames(channel: np.ndarray, frames: np.ndarray, place: int) -> np.ndarray:
    """Which of ``frames`` stand there in order, each no more than two seconds behind its place."""
    heap = np.ascontiguousarray(channel).tobytes()
    at, found = 2 * place, np.zeros(len(frames), bool)
    for number, frame in enumerate(frames):
        seen = heap.find(frame.tobytes(), max(0, at), max(0, at) + 2 * RATE_HZ * 2)
        found[number] = seen >= 0
        at = seen + 2 * FRAME if seen >= 0 else at
    return found


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file has of a call. ``caller_at`` and ``robot_at`` are samples, where both began."""

    samples: int
    caller_at: int | None
    robot_at: int
    said_missing: int
    """Packets of the caller that are not there; those behind the end of the file not counted."""
    said_moved: int
    """Those of them that stand somewhere else."""
    said_changed: int
    """Those that are but for their beginning, with no missing one before them."""
    said_frames: int
    """Packets of the caller that had room in the file."""
    played_wrong: int
    """Packets of the prompt that are not where they were sent."""
    played_frames: int
    noise: bool
    """Something sounds where nobody spoke."""


def check_file(path: Path, notes: Notes, prompt: bytes) -> Checked:
    """Hold a file against the notes of its call."""
    stereo = read_stereo(path)
    caller, robot = stereo[:, 0], stereo[:, 1]
    played = played_frames(notes, prompt)
    robot_at = place_of(robot, played)
    assert robot_at is not None, f"{path.name}: the prompt is not in it"
    began_at = robot_at - notes.first_frame * FRAME
    sent, _ = same_frames(robot, played, robot_at)
    room = max(0, (len(robot) - robot_at) // FRAME)
    said = frames_of(sound_of(notes.number, notes.said))
    caller_at = place_of(caller, said)
    exact, body = np.empty(0, bool), np.empty(0, bool)
    if caller_at is not None:
        exact, body = same_frames(caller, said, caller_at)
        said_room = max(0, min(len(said), (len(caller) - caller_at) // FRAME))
        exact, body = exact[:said_room], body[:said_room]
    moved = 0
    if caller_at is not None and not body.all():
        found = moved_frames(caller, said[: len(body)], caller_at)
        moved = int((found & ~body).sum())
    after_loss = np.concatenate(([False], ~body[:-1])) if len(body) else body
    before = caller[: caller_at if caller_at is not None else None]
    return Checked(
        samples=len(stereo),
        caller_at=caller_at,
        robot_at=began_at,
        said_missing=int((~body).sum()),
        said_moved=moved,
        said_changed=int((body & ~exact & ~after_loss).sum()),
        said_frames=len(body),
        played_wrong=int((~sent[: min(room, notes.heard_up_to)]).sum()),
        played_frames=room,
        noise=bool(before.any() or robot[: max(0, began_at)].any()),
    )


def played_frames(notes: Notes, prompt: bytes) -> np.ndarray:
    """What the robot sent, from the first packet heard on, as far as anybody heard of it."""
    frames = frames_of(prompt)
    length = notes.heard_up_to + (notes.steps[-1][1] - notes.steps[-1][0] if notes.steps else 0)
    sent = np.zeros((length, FRAME), np.int16)
    steps = [(0, 0), *notes.steps, (notes.heard_up_to, length)]
    for (packet, place), (end, _) in itertools.pairwise(steps):
        numbers = (notes.first_frame + np.arange(packet, end)) % len(frames)
        sent[place : place + end - packet] = frames[numbers]
    return sent
