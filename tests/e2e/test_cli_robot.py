"""`ringwheel robot` as a user meets it: two robots, one calls the other."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ringwheel.cli.main import run_command

from ..ports import pairs_of
from .client import TIMEOUT_S, Phone

pytestmark = pytest.mark.one_loop

ANSWERS = """
ringwheel: 1
name: Answers
locale: en
report: [code]
steps:
  - say: {file: hello.ulaw}
  - ask: {into: code, prompt: {file: hello.ulaw}, answer: {digits: 3}}
  - hang_up: {cause: thanked}
"""
CALLS = """
ringwheel: 1
name: Calls
locale: en
report: [name]
variables: {name: facts.name}
steps:
  - transfer: {script: types.yaml, with: {digits: "'123'"}}
"""
TYPES = """
ringwheel: 1
report: [digits]
variables: {digits: "''"}
steps:
  - send_digits: "${digits}"
  - ask: {into: none, prompt: {file: hello.ulaw}, answer: {digits: 3}, timing: {no_input: 10s}}
"""


@contextlib.asynccontextmanager
async def robot(*arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ringwheel.cli.main", "--log-format=json", "robot"),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def any_ports() -> tuple[str, ...]:
    """Options for ports that nobody has."""
    first, last = pairs_of(10)
    return "--sip", "udp:127.0.0.1:0", "--rtp-ports", f"{first}-{last}"


async def until_logged(process: asyncio.subprocess.Process, event: str) -> dict:
    assert process.stderr is not None
    async with asyncio.timeout(TIMEOUT_S):
        while line := await process.stderr.readline():
            told = json.loads(line)
            if told["event"] == event:
                return told
    raise AssertionError(f"{event!r} was never logged")


async def where(process: asyncio.subprocess.Process) -> tuple[str, int]:
    """Where a robot answers, as soon as it does."""
    host, _, port = (await until_logged(process, "answering"))["sip"][0].rpartition(":")
    return host, int(port)


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(TIMEOUT_S):
        out, told = await process.communicate()
    return process.returncode, out.decode(), told.decode()


@pytest.fixture
def script(tmp_path: Path, make_prompt) -> Path:
    make_prompt("hello.ulaw", 1_600)
    (tmp_path / "calls.yaml").write_text(CALLS, "utf-8")
    (tmp_path / "types.yaml").write_text(TYPES, "utf-8")
    (tmp_path / "answers.yaml").write_text(ANSWERS, "utf-8")
    return tmp_path / "answers.yaml"


async def test_one_calls_and_the_other_answers(script, tmp_path):
    numbers = tmp_path / "numbers.csv"
    answered, called = tmp_path / "in.db", tmp_path / "out.csv"
    answers = ["--script", script, *any_ports(), "--results", answered]
    calls = ["--script", tmp_path / "calls.yaml", "--dial", numbers, "--results", called]
    calls += ["--rate", "50", "--ring", "5", *any_ports()]
    async with robot(*answers) as answering:
        host, port = await where(answering)
        numbers.write_text(
            f"number,name\nsip:a@{host}:{port},Ann\nsip:b@{host}:{port},=Bob()\n"
            "sip:nobody@127.0.0.1:9,Cy\n",
            "utf-8",
        )
        async with robot(*calls) as calling:
            status, out, _ = await end_of(calling)
        answering.send_signal(signal.SIGTERM)
        assert (await end_of(answering))[0] == 0
    assert status == 0
    told = json.loads(out)
    assert told["outcomes"]["answered"] == 2
    assert sum(told["outcomes"].values()) == 3
    with contextlib.closing(sqlite3.connect(answered)) as base:
        codes = base.execute("SELECT value FROM report WHERE name = 'code'").fetchall()
        causes = base.execute("SELECT cause, outcome FROM call").fetchall()
    assert codes == [("123",)] * 2
    assert causes == [("thanked", "answered")] * 2
    with called.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # Whoever was not answered has no conversation, and so nothing to report.
    assert sorted(row["name"] for row in rows) == ["", "'=Bob()", "Ann"]
    # The script that it went on in has a column as well.
    assert sorted(row["digits"] for row in rows) == ["", "123", "123"]


async def test_a_conversation_may_end_after_sigterm_and_is_written_down(script, tmp_path):
    results = tmp_path / "results.jsonl"
    options = ["--script", script, *any_ports(), "--results", results, "--drain", "0.2"]
    async with robot(*options) as process, Phone(await where(process)) as phone:
        await phone.call()
        await phone.packets(3)
        process.send_signal(signal.SIGTERM)
        await phone.until_bye()
        assert (await end_of(process))[0] == 0
    record = json.loads(results.read_text("utf-8"))
    assert record["outcome"] == "answered"
    assert record["cause"] == "left"


async def test_who_has_forgotten_speech_is_told(script):
    script.write_text(ANSWERS.replace("- say: {file: hello.ulaw}", "- say: Hello."), "utf-8")
    async with robot("--script", script, "--sip", "udp:127.0.0.1:0") as process:
        told = await until_logged(process, "nobody speaks the texts")
    assert (told["level"], told["texts"]) == ("warning", 1)
    assert "--speech local" in told["remedy"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--script", "none.yaml"], "none.yaml"),
        (["--script", "{script}", "--results", "r.txt"], "--results r.txt: its suffix"),
        (["--script", "{script}", "--results-format", "csv"], "--results-format"),
        (
            ["--script", "{script}", "--results", "r.csv", "--results-format", "xml"],
            "--results-format: no format 'xml': use jsonl, csv or sqlite.",
        ),
        (["--script", "{script}", "--recordings", "none"], "none is no folder"),
        (
            ["--script", "{script}", "--dial", "none.csv"],
            "none.csv cannot be read: No such file or directory; name",
        ),
        (["--script", "{script}", "--dial", "n.csv", "--trunk", "x"], "--trunk: no 'x'"),
        (["--script", "{script}", "--results", "none/r.csv"], "; name a file in a folder"),
        (["--script", "{script}", "--speech", "nowhere"], "--speech: no 'nowhere'. Use local, or"),
        (["--script", "{script}", "--speech", "sip:"], "write it as sip:HOST:PORT"),
        (["--script", "{script}", "--keep-prompts", "p"], "Add --speech local"),
        (["--script", "{script}", "--dial", "none.csv", "--caller", "<"], "--caller: '<'; use a"),
        (
            ["--script", "{script}", "--stream", "ws://a/b", "--stream-token-env", "NO_SUCH_TOKEN"],
            "the environment has no NO_SUCH_TOKEN",
        ),
        (["--script", "{script}", "--rate", "3"], "--rate is for calling out. Add --dial"),
    ],
)
def test_what_cannot_be_used_is_one_line(script, options, told, capsys):
    given = [option.format(script=script) for option in options]
    status = run_command(["--log-format=json", "robot", *given, "--sip", "udp:127.0.0.1:0"])
    (line,) = capsys.readouterr().err.splitlines()  # before anything listens or is started
    assert status == 2
    assert line.startswith("ringwheel: ")
    assert told in line
