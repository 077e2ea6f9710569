"""Results: three formats, appended to, whatever the disk and the callers do."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3

import pytest
from ringwheel.robot import results
from ringwheel.robot.results import ResultsError, ResultWriter, cell, format_of, open_sink

FIELDS = ("name", "score")


def record(number=1, **report):
    plain = dict.fromkeys(results.COLUMNS, "x") | {"call": f"c{number}", "seconds": 1.5, "steps": 4}
    question = {"step": "main.0", "asked": 2, "no_input": 1, "no_match": 0, "repeats": 0, "ms": 90}
    return plain | {
        "report": {"name": "Ann", "score": number} | report,
        "questions": [question | {"outcome": "heard"}],
        "turns": [],
    }


async def write(path, *records, **options):
    sink = open_sink(path, format_of(path), FIELDS)
    async with ResultWriter(sink, **options) as writer:
        for one in records:
            await writer.put(one)
    return writer


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.db"])
async def test_all_is_there_and_more_is_appended(tmp_path, name):
    path = tmp_path / name
    await write(path, record(1), record(2))
    writer = await write(path, *[record(number) for number in range(3, 1003)], room=10)
    assert (writer.written, writer.lost) == (1000, 0)
    assert calls_in(path) == [f"c{number}" for number in range(1, 1003)]


def calls_in(path):
    if path.suffix == ".jsonl":
        return [json.loads(line)["call"] for line in path.read_text("utf-8").splitlines()]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [row["call"] for row in csv.DictReader(file)]
    with sqlite3.connect(path) as base:
        assert base.execute("SELECT count(*) FROM question").fetchone()[0] == 1002
        score = base.execute(
            "SELECT value FROM report JOIN call ON call.rowid = report.call"
            " WHERE call.call = 'c1002' AND name = 'score'"
        )
        assert score.fetchone()[0] == 1002
        return [row[0] for row in base.execute("SELECT call FROM call ORDER BY rowid")]


async def test_a_line_that_a_crash_tore_spoils_no_other(tmp_path):
    path = tmp_path / "r.jsonl"
    await write(path, record(1))
    path.write_bytes(path.read_bytes() + b'{"call": "to')
    await write(path, record(2))
    lines = path.read_text("utf-8").splitlines()
    assert [json.loads(line)["call"] for line in (lines[0], lines[2])] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@cmd", "'@cmd"),
        ("-a", "'-a"),
        ("\t=1", "'\t=1"),
        ("+4930123", "+4930123"),
        (-5, -5),
        (None, None),
        (True, "true"),
        ("two\nlines", "two lines"),
        (["=x"], '["=x"]'),
    ],
)
def test_no_cell_is_a_formula(value, shown):
    assert cell(value) == shown


async def test_a_file_of_another_script_or_version_is_refused(tmp_path):
    await write(tmp_path / "r.csv", record())
    with pytest.raises(ResultsError, match="other columns"):
        open_sink(tmp_path / "r.csv", "csv", ("else",))
    with sqlite3.connect(tmp_path / "r.db") as base:
        base.execute("PRAGMA user_version = 9")
    base.close()
    with pytest.raises(ResultsError, match="version 9"):
        open_sink(tmp_path / "r.db", "sqlite", FIELDS)
    with pytest.raises(ResultsError, match="names no format"):
        format_of(tmp_path / "r.txt")
    with pytest.raises(ResultsError, match="No such file"):
        open_sink(tmp_path / "none" / "r.jsonl", "jsonl", FIELDS)


class Failing:
    """A disk that fails some times; what it takes is in ``taken``."""

    def __init__(self, failures):
        self.failures = failures
        self.taken = []

    def write(self, batch):
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        self.taken += batch

    def close(self):
        pass


async def test_a_disk_that_fails_is_tried_again_and_what_it_costs_is_counted(monkeypatch):
    monkeypatch.setattr(results, "RETRY_S", 0.001)
    disk = Failing(3)
    async with ResultWriter(disk) as writer:
        await writer.put(record())
    assert (writer.written, writer.lost, len(disk.taken)) == (1, 0, 1)
    async with ResultWriter(Failing(10**9), last_tries_s=0.05) as writer:
        await writer.put(record())
    assert (writer.written, writer.lost) == (0, 1)


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.db"])
async def test_a_record_that_cannot_be_written_costs_no_other(tmp_path, name):
    path = tmp_path / name
    broken = record(2, name="half a character: \ud800")
    writer = await write(path, record(1), broken, record(3))
    assert (writer.written, writer.lost) == (2, 1)
    assert "c1" in str(path.read_bytes()) and "c3" in str(path.read_bytes())


async def test_a_record_whose_call_does_not_wait_any_longer_is_counted(monkeypatch):
    monkeypatch.setattr(results, "RETRY_S", 0.001)
    async with ResultWriter(Failing(10**9), room=1, last_tries_s=0.05) as writer:
        for _ in range(3):  # one that is tried again and again, one that waits, one without room
            putting = asyncio.ensure_future(writer.put(record()))
            await asyncio.sleep(0.001)
        assert not putting.done()
        putting.cancel()
    assert (writer.written, writer.lost) == (0, 3)


async def test_whoever_ends_a_call_waits_for_a_slow_disk():
    writer = ResultWriter(Failing(0), room=1)
    await writer.put(record())
    waiting = asyncio.ensure_future(writer.put(record()))
    await asyncio.sleep(0)
    assert not waiting.done()
    async with writer:
        await waiting
    assert writer.written == 2
