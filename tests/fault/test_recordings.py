"""Many recordings at once by an engine of its own process: on a good network and on a bad one, with
a full disk, and when the engine is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..interop.conftest import Served, serve_prompts, serving
from .caller import FRAME, MARK, TAIL_S, Notes, sound_of
from .files import Checked, check_file, frames_of, place_of, read_stereo
from .link import Badness, bad_link, run

FRAME_MS = 20
CALLS = int(os.environ.get("N", 200))
CLEAN_S = float(os.environ.get("S", 30))
BAD_S = 10.0
BADNESS = Badness(loss_percent=5, jitter_ms=60)
FELL_SILENT_MS = 60
"""What is concealed at the end, where a caller's silence cannot be told from a loss."""
DELAY_MS = 200
"""How long a recording waits for a packet."""


def records_of(path: Path) -> dict[str, dict]:
    """The call detail records, by caller."""
    records = map(json.loads, path.read_text("utf-8").splitlines())
    return {record["from"].removeprefix("sip:").partition("@")[0]: record for record in records}


def options_of(folder: Path) -> list[str]:
    (folder / "recordings").mkdir()
    return [f"--record={folder / 'recordings'}", f"--records={folder / 'calls.jsonl'}", "--loop"]


class Audit:
    """Faults of many calls, told together."""

    def __init__(self) -> None:
        self._faults: list[str] = []

    def __call__(self, right: bool, fault: str) -> None:
        if not right:
            self._faults.append(fault)

    def close(self) -> None:
        assert not self._faults, f"{len(self._faults)} faults: " + "; ".join(self._faults[:20])


@pytest.fixture
def audit() -> Iterator[Audit]:
    made = Audit()
    yield made
    made.close()


def paired(
    notes: list[Notes], records: dict[str, dict], prompt: Path
) -> Iterator[tuple[Notes, dict, dict, Checked]]:
    """Each call with its record, that of its only recording, and what its file holds."""
    payload = prompt.read_bytes()
    assert len(records) == len(notes)
    for note in notes:
        record = records[f"caller{note.number}"]
        (recording,) = record["recordings"]
        (file,) = recording["files"]
        yield note, record, recording, check_file(Path(file), note, payload)


def check_length(audit: Audit, note: Notes, record: dict, recording: dict, file: Checked) -> None:
    """The file is as long as its record says, and the call, and the prompt that was sent."""
    who = f"call {note.number}"
    told_ms, talked_ms = recording["recorded_ms"], record["talked_s"] * 1000
    audit(file.samples == told_ms * 8, f"{who}: {file.samples} samples, {told_ms} ms in its record")
    sent_ms = file.robot_at / 8 + (record["sent"]["packets"] + record["sent"]["skipped"]) * FRAME_MS
    audit(
        abs(file.samples / 8 - sent_ms) <= FRAME_MS,
        f"{who}: {file.samples / 8} ms recorded, {sent_ms} ms sent",
    )
    audit(
        abs(told_ms - talked_ms) <= 10 * FRAME_MS, f"{who}: {told_ms} ms of {talked_ms} ms recorded"
    )


def test_200_calls_are_recorded_as_they_were(tmp_path, prompt, call, audit):
    with serve_prompts(tmp_path, [prompt], *options_of(tmp_path)) as served:
        notes = call(served, ["robot"] * CALLS, CLEAN_S)
    records = records_of(tmp_path / "calls.jsonl")
    for note, record, recording, file in paired(notes, records, prompt):
        print(note, {k: v for k, v in recording.items() if k != "files"}, record["sent"], record["received"], record["talked_s"], file)
