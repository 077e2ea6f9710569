"""Many recordings at once by an engine of its own process: on a good network and on a bad one, with
a full disk, and when the engine is killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..interop.conftest import Served, serve_prompts, serving
from .caller import Notes, sound_of
from .files import Checked, check_file, frames_of, place_of, read_stereo
from .link import Badness, bad_link, run

pytestmark = pytest.mark.alone

FRAME_MS = 20
CALLS = 200
CLEAN_S = 30.0
BAD_S = 10.0
BADNESS = Badness(loss_percent=5, jitter_ms=60)
KILLED_CALLS = 50
KILLED_AFTER_S = 4.0
UNWRITTEN_MS = 1000
"""What a killed engine may not have written yet."""
FULL_CALLS = 20
FULL_S = 6.0
ROBOT = Path(__file__).with_name("robot.py")
FELL_SILENT_MS = 60
"""What is concealed at the end, where a caller's silence cannot be told from a loss."""
STOOD_STILL_MS = 90
"""A machine that stands still for so long costs packets, and moves what comes then."""
BUSY_MS = 100
"""What a busy machine may add to times that are read from clocks."""


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
        """Fail if there was one."""
        faults = self._faults
        assert not faults, f"{len(faults)} faults: " + "; ".join(faults[:20])


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


def check_sound(
    audit: Audit, note: Notes, record: dict, recording: dict, file: Checked, still_ms: float
) -> int:
    """Whatever was said and came in time is there, sample for sample, and all that was played.

    The machine stood still for ``still_ms`` at most. Returns how many packets were lost or late.
    """
    who, received = f"call {note.number}", record["received"]
    lost = note.said - received["packets"] + recording["late_packets"]
    missing = file.said_missing
    if still_ms > STOOD_STILL_MS or record["sent"]["skipped"]:
        missing -= file.said_moved
        lost += round(2 * still_ms / FRAME_MS)
    else:
        audit(not file.said_changed, f"{who}: {file.said_changed} packets differ")
        audit(not file.played_wrong, f"{who}: {file.played_wrong} packets of the prompt differ")
    audit(
        missing <= lost, f"{who}: {missing} packets are not in its file, {lost} were lost: {file}"
    )
    audit(file.said_frames == note.said, f"{who}: room for {file.said_frames} of {note.said}")
    audit(not file.noise, f"{who}: something sounds before anybody spoke")
    audit(not note.wrong, f"{who}: {note.wrong} wrong packets arrived")
    return lost


def apart_ms(note: Notes, file: Checked) -> float:
    """From the packet on whose arrival the call began to speak to its first one, in the file."""
    assert file.caller_at is not None
    played = note.first_frame + note.mark
    return (file.caller_at - file.robot_at) / 8 - played * FRAME_MS


@pytest.mark.slow
def test_200_calls_are_recorded_as_they_were(tmp_path, prompt, call):
    audit = Audit()
    with serve_prompts(tmp_path, [prompt], *options_of(tmp_path)) as served:
        notes = call(served, ["robot"] * CALLS, CLEAN_S)
    records = records_of(tmp_path / "calls.jsonl")
    for note, record, recording, file in paired(notes, records, prompt):
        who, still_ms = f"call {note.number}", max(note.latest_ms, note.unsteady_ms)
        check_length(audit, note, record, recording, file)
        lost = check_sound(audit, note, record, recording, file, still_ms)
        concealed_ms = recording["concealed_ms"]
        audit(
            concealed_ms <= lost * FRAME_MS + FELL_SILENT_MS,
            f"{who}: {concealed_ms} ms concealed, {lost} packets lost or late",
        )
        audit(record["received"]["packets"] == note.said, f"{who}: {record['received']}")
        # By the packets of the prompt that came meanwhile: no clock is in it.
        true_ms = (note.behind_mark - note.mark) * FRAME_MS
        slack_ms = still_ms if still_ms > FRAME_MS else 0.0
        audit(
            true_ms - FRAME_MS - slack_ms <= apart_ms(note, file) <= true_ms + slack_ms,
            f"{who}: {apart_ms(note, file)} ms apart in its file, {true_ms} ms at most on the wire",
        )
    audit.close()


@pytest.mark.usefixtures("iproute2")
def test_200_calls_are_recorded_over_a_bad_network(tmp_path, prompt, call):
    audit, lost_in_all = Audit(), 0
    with (
        bad_link(BADNESS) as link,
        serve_prompts(tmp_path, [prompt], *options_of(tmp_path), host=link.host) as served,
    ):
        notes = call(served, ["robot"] * CALLS, BAD_S, host=link.far_host, enter=link.enter)
    records = records_of(tmp_path / "calls.jsonl")
    for note, record, recording, file in paired(notes, records, prompt):
        who, still_ms = f"call {note.number}, {link.kind}", max(note.latest_ms, link.latest_ms)
        check_length(audit, note, record, recording, file)
        lost = check_sound(audit, note, record, recording, file, still_ms)
        lost_in_all += lost
        concealed_ms = recording["concealed_ms"]
        if still_ms <= STOOD_STILL_MS and not record["sent"]["skipped"]:
            audit(
                abs(concealed_ms - lost * FRAME_MS) <= FELL_SILENT_MS,
                f"{who}: {concealed_ms} ms concealed, {lost} packets lost or late",
            )
            longest_ms = 4 * BADNESS.jitter_ms + 2 * FRAME_MS + still_ms
            audit(
                0 <= apart_ms(note, file) <= longest_ms,
                f"{who}: {apart_ms(note, file)} ms apart in its file",
            )
        audit(concealed_ms > 0 or not lost, f"{who}: {lost} lost, nothing concealed")
        audit(record["received"]["reordered"] > 0, f"{who}: nothing came out of order")
    share = lost_in_all / sum(note.said for note in notes)
    audit(share > BADNESS.loss_percent / 200, f"{share:.1%} lost: the network was too good")
    audit.close()


def test_what_a_killed_engine_recorded_can_be_played(tmp_path, prompt, call):
    def kill() -> None:
        time.sleep(KILLED_AFTER_S)
        os.kill(served.pid, signal.SIGKILL)

    audit, options = Audit(), options_of(tmp_path)
    with serve_prompts(tmp_path, [prompt], *options, ends_with=-signal.SIGKILL) as served:
        users = ["robot"] * KILLED_CALLS
        notes = call(served, users, KILLED_AFTER_S, meanwhile=kill, patience_s=0)
    files = sorted((tmp_path / "recordings").iterdir())
    assert len(files) == KILLED_CALLS
    speakers = {note.number: frames_of(sound_of(note.number, note.said)) for note in notes}
    for path in files:
        caller = read_stereo(path)[:, 0]
        number = next(n for n, said in speakers.items() if place_of(caller, said[:1]) is not None)
        del speakers[number]
        note, who = notes[number], f"call {number}"
        file = check_file(path, note, prompt.read_bytes())
        written_ms = (file.samples - file.robot_at) / 8
        sent_ms = note.heard_up_to * FRAME_MS
        audit(sent_ms > KILLED_AFTER_S * 500, f"{who}: only {sent_ms} ms were sent")
        audit(written_ms >= sent_ms - UNWRITTEN_MS, f"{who}: {written_ms} ms of {sent_ms} ms")
        audit(not file.played_wrong + file.said_changed, f"{who}: {file}")
        audit(file.said_missing <= file.said_moved, f"{who}: {file}")
    audit.close()


@pytest.fixture
def small_disk(as_root: None, tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "small"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk))
    yield disk
    run("umount", str(disk))


def test_a_full_disk_costs_no_call_and_no_other_recording(tmp_path, prompt, call, small_disk):
    audit, large_disk = Audit(), tmp_path / "large"
    large_disk.mkdir()
    arguments = {
        "folders": {"small": str(small_disk), "large": str(large_disk)},
        "prompt": str(prompt),
        "records": str(tmp_path / "calls.jsonl"),
    }
    with serving(tmp_path, [str(ROBOT), json.dumps(arguments)]) as served:
        notes = call(served, ["small", "large"] * (FULL_CALLS // 2), FULL_S)
    gaps_ms = gaps_of(served)
    records = records_of(tmp_path / "calls.jsonl")
    for note, record, recording, file in paired(notes, records, prompt):
        who, lost_ms = f"call {note.number}, {note.user}", recording["lost_ms"]
        audit(note.status == 200, f"{who}: ended with {note.status}")
        audit(not record["sent"]["skipped"] or note.unsteady_ms > STOOD_STILL_MS, f"{who}: {note}")
        audit(note.heard == record["sent"]["packets"], f"{who}: {note}, {record['sent']}")
        audit(record["received"]["packets"] == note.said, f"{who}: {record['received']}")
        audit(not note.wrong + file.said_changed, f"{who}: {note}, {file}")
        logged_ms = gaps_ms.get(recording["files"][0], 0.0)
        audit(abs(logged_ms - lost_ms) < 1, f"{who}: {logged_ms} ms logged, {lost_ms} ms counted")
        if note.user == "small":
            audit(lost_ms > 0, f"{who}: the disk had room for it")
            audit(recording["error"] == os.strerror(errno.ENOSPC), f"{who}: {recording['error']}")
            talked_ms = record["talked_s"] * 1000
            whole_ms = recording["recorded_ms"] + lost_ms
            audit(abs(whole_ms - talked_ms) <= FRAME_MS + BUSY_MS, f"{who}: {whole_ms} ms in all")
        else:
            audit(not lost_ms and not recording["error"], f"{who}: {recording}")
            check_length(audit, note, record, recording, file)
            still_ms = max(note.latest_ms, note.unsteady_ms)
            check_sound(audit, note, record, recording, file, still_ms)
    audit.close()


def gaps_of(served: Served) -> dict[str, float]:
    """What each recording has lost, by the log."""
    gaps_ms: dict[str, float] = {}
    for event in served.events():
        if event["event"] == "recording has a gap":
            path = str(event["path"])
            gaps_ms[path] = gaps_ms.get(path, 0.0) + float(event["lost_ms"])
            assert event["cause"] == os.strerror(errno.ENOSPC)
    return gaps_ms
