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
KILLED_AFTER_S = 4.0
UNWRITTEN_MS = 1000
FULL_S = 6.0
BUSY_MS = 100
"""What a busy machine may add to times that are read from clocks."""
ROBOT = Path(__file__).with_name("robot.py")
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
    """The file is as long as its record says, as the call, and as the sound that was sent."""
    who, file_ms = f"call {note.number}", file.samples / 8
    told_ms, talked_ms = recording["recorded_ms"], record["talked_s"] * 1000
    sent_ms = file.robot_at / 8 + (record["sent"]["packets"] + record["sent"]["skipped"]) * FRAME_MS
    audit(file_ms == told_ms, f"{who}: {file_ms} ms in its file, {told_ms} ms in its record")
    audit(abs(file_ms - sent_ms) <= FRAME_MS, f"{who}: {file_ms} ms recorded, {sent_ms} ms sent")
    audit(
        abs(file_ms - talked_ms) <= FRAME_MS + BUSY_MS,
        f"{who}: {file_ms} ms recorded of {talked_ms} ms",
    )


def check_sound(audit: Audit, note: Notes, record: dict, recording: dict, file: Checked) -> None:
    """Whatever was said and came in time is there, sample for sample, and all that was played."""
    who, received = f"call {note.number}", record["received"]
    lost = note.said - received["packets"] + received["duplicates"] + recording["late_packets"]
    audit(file.said_frames == note.said, f"{who}: room for {file.said_frames} of {note.said}")
    audit(
        file.said_missing <= lost,
        f"{who}: {file.said_missing} packets are not in the file, {lost} were lost or late",
    )
    audit(not file.said_changed, f"{who}: {file.said_changed} packets differ")
    audit(not file.played_wrong, f"{who}: {file.played_wrong} packets of the prompt differ")
    audit(not file.noise, f"{who}: something sounds before anybody spoke")
    audit(not note.wrong, f"{who}: {note.wrong} wrong packets arrived")
    fades_ms = max(0.0, recording["concealed_ms"] - FELL_SILENT_MS)
    audit(
        fades_ms <= lost * FRAME_MS, f"{who}: {recording['concealed_ms']} ms concealed, {lost} lost"
    )


def apart_ms(note: Notes, file: Checked) -> float:
    """From the packet on whose arrival the call began to speak to its first one, in the file."""
    assert file.caller_at is not None
    return (file.caller_at - file.robot_at) / 8 - note.mark * FRAME_MS


def test_200_calls_are_recorded_as_they_were(tmp_path, prompt, call, audit):
    with serve_prompts(tmp_path, [prompt], *options_of(tmp_path)) as served:
        notes = call(served, ["robot"] * CALLS, CLEAN_S)
    records = records_of(tmp_path / "calls.jsonl")
    for note, record, recording, file in paired(notes, records, prompt):
        who = f"call {note.number}"
        check_length(audit, note, record, recording, file)
        check_sound(audit, note, record, recording, file)
        audit(record["received"]["packets"] == note.said, f"{who}: {record['received']}")
        audit(
            not recording["late_packets"] or note.latest_ms > DELAY_MS / 2,
            f"{who}: {recording['late_packets']} late, that left {note.latest_ms} ms late at most",
        )
        # By the packets of the prompt that came meanwhile: no clock and no busy machine is in it.
        true_ms = (note.behind_mark - note.mark) * FRAME_MS
        audit(
            true_ms - FRAME_MS <= apart_ms(note, file) <= true_ms,
            f"{who}: {apart_ms(note, file)} ms apart in the file, up to {true_ms} ms on the wire",
        )


@pytest.mark.usefixtures("iproute2")
def test_200_calls_are_recorded_over_a_bad_network(tmp_path, prompt, call, audit):
    with bad_link(BADNESS) as link:
        with serve_prompts(tmp_path, [prompt], *options_of(tmp_path), host=link.host) as served:
            notes = call(served, ["robot"] * CALLS, BAD_S, host=link.far_host, enter=link.enter)
    records = records_of(tmp_path / "calls.jsonl")
    lost = concealed_ms = 0
    for note, record, recording, file in paired(notes, records, prompt):
        who = f"call {note.number}, by {link.kind}"
        check_length(audit, note, record, recording, file)
        check_sound(audit, note, record, recording, file)
        print(
            note,
            {k: v for k, v in recording.items() if k != "files"},
            record["sent"],
            record["received"],
            record["talked_s"],
            file,
        )


@pytest.mark.parametrize("calls", [50])
def test_what_a_killed_engine_recorded_can_be_played(tmp_path, prompt, call, audit, calls):
    def kill() -> None:
        time.sleep(KILLED_AFTER_S)
        os.kill(served.pid, signal.SIGKILL)

    options = options_of(tmp_path)
    with serve_prompts(tmp_path, [prompt], *options, ends_with=-signal.SIGKILL) as served:
        notes = call(served, ["robot"] * calls, KILLED_AFTER_S, meanwhile=kill)
    files = sorted((tmp_path / "recordings").iterdir())
    assert len(files) == calls
    speakers = {note.number: frames_of(sound_of(note.number, note.said)) for note in notes}
    for path in files:
        caller = read_stereo(path)[:, 0]
        number = next(n for n, said in speakers.items() if place_of(caller, said[:1]) is not None)
        del speakers[number]
        note = notes[number]
        file = check_file(path, note, prompt.read_bytes())
        who = f"call {number}"
        written_ms = (file.samples - file.robot_at) / 8
        sent_ms = note.heard_up_to * FRAME_MS
        audit(written_ms >= sent_ms - UNWRITTEN_MS, f"{who}: {written_ms} ms of {sent_ms} ms")
        audit(not file.said_missing + file.said_changed + file.played_wrong, f"{who}: {file}")


@pytest.fixture
def small_disk(as_root: None, tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "small"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk))
    yield disk
    run("umount", str(disk))


def test_a_full_disk_costs_no_call_and_no_other_recording(
    tmp_path, prompt, call, audit, small_disk
):
    large_disk = tmp_path / "large"
    large_disk.mkdir()
    arguments = {
        "folders": {"small": str(small_disk), "large": str(large_disk)},
        "prompt": str(prompt),
        "records": str(tmp_path / "calls.jsonl"),
    }
    users = ["small", "large"] * 10
    with serving(tmp_path, [str(ROBOT), json.dumps(arguments)]) as served:
        notes = call(served, users, FULL_S)
        events = served.events()
    records = records_of(tmp_path / "calls.jsonl")
    lost_ms = {"small": 0.0, "large": 0.0}
    for note, record, recording, file in paired(notes, records, prompt):
        who = f"call {note.number}, {note.user}"
        audit(note.status == 200, f"{who}: ended with {note.status}")
        audit(note.heard == note.heard_up_to == record["sent"]["packets"], f"{who}: {note}")
        audit(record["received"]["packets"] == note.said, f"{who}: {record['received']}")
        lost_ms[note.user] += recording["lost_ms"]
        whole_ms = recording["recorded_ms"] + recording["lost_ms"]
        print(note, recording, record["talked_s"], file)
    print(lost_ms, [e for e in events if "recording" in e["event"]][:10])
