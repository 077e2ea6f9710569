"""`kill -9` of the speech server while 20 callers are listened to: each call goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ringwheel import Engine
from ringwheel.robot.runner import Robot
from ringwheel.robot.script import events
from ringwheel.robot.script.actions import AskNow
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpService

from ..ports import pairs_of

CALLS = 20
START_S = 60.0
DEADLINE_S = 60.0
"""Of every wait here; what hangs ends the test by it."""

pytestmark = [
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"),
    pytest.mark.slow,
]

SCRIPT = """
ringwheel: 1
name: Fault
locale: en-US
report: [first, second]
variables: {first: null, second: null}
on:
  error: recover
  silence: silent
  no_match: silent
steps:
  - ask:
      into: first
      prompt: {file: beep.ulaw}
      answer: yes_no
      listen: speech
      timing: {no_input: 60s}
flows:
  recover:
    - ask:
        into: second
        prompt: {file: beep.ulaw}
        answer: {choices: {blue: {phrases: [blue]}, red: {phrases: [red]}}}
        timing: {no_input: 300ms}
        retries: {max_total: 1, max_no_input: 1, then: silent}
    - hang_up: {cause: recovered}
  silent:
    - hang_up: {cause: heard-silence, say: {file: beep.ulaw}}
"""


@contextlib.asynccontextmanager
async def speech_server() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`ringwheel speech` in a process of its own, and its URI."""
    first, last = pairs_of(2 * CALLS)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ringwheel.cli.main", "--log-level=error", "speech"),
        *("--sip", "udp:127.0.0.1:0", "--mrcp", "127.0.0.1:0", "--announce", "--workers", "1"),
        *("--rtp-ports", f"{first}-{last}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            told = json.loads(await process.stdout.readline())
        yield process, f"sip:{told['sip'][0].removeprefix('udp:')}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Line:
    """A robot with callers who say nothing, and what it went through."""

    def __init__(self, uris: list[str], folder: Path) -> None:
        (folder / "beep.ulaw").write_bytes(bytes(range(160)) * 5)
        (folder / "script.yaml").write_text(SCRIPT, "utf-8")
        self._script = load_script(folder / "script.yaml")
        self._uris = uris
        self.records: list[dict] = []
        self.seen: list[object] = []

    async def hold(self, kill) -> None:
        """20 conversations, in the middle of which ``kill`` is called."""

        async def take(record: dict) -> None:
            self.records.append(record)

        async with (
            Engine(["udp:127.0.0.1:0"], rtp_ports=pairs_of(4 * CALLS)) as engine,
            Engine(["udp:127.0.0.1:0"], rtp_ports=pairs_of(2 * CALLS)) as callers,
        ):
            servers = [
                MrcpServer(uri, f"server{number}", priority=number)
                for number, uri in enumerate(self._uris, 1)
            ]
            service = MrcpService(engine, servers)
            async with Robot(
                engine,
                self._script,
                speech={"local": service},
                results=take,
                observe=lambda _, what: self.seen.append(what),
            ) as robot:
                serving = asyncio.create_task(engine.serve(robot.answer))
                await asyncio.sleep(0)
                uri = f"sip:robot@{engine.addresses[0]}"
                calls = [await callers.dial(uri, timeout_s=DEADLINE_S) for _ in range(CALLS)]
                await until(lambda: recognitions(service) == CALLS)
                kill()
                await until(lambda: len(self.records) == CALLS)
                for call in calls:
                    await call.wait_ended()
                await service.close()
                await engine.drain(2)
                await serving

    def count(self, kind: type) -> int:
        return sum(isinstance(seen, kind) for seen in self.seen)


def recognitions(service: MrcpService) -> int:
    answered = service.figures().answers.get("RECOGNIZE")
    return answered.count if answered else 0


async def until(condition) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - figures have nobody to wait for
            await asyncio.sleep(0.02)


async def test_each_call_takes_its_error_branch_and_goes_on_with_the_second_server(tmp_path):
    async with speech_server() as (first, uri), speech_server() as (_, second_uri):
        line = Line([uri, second_uri], tmp_path)
        await line.hold(first.kill)
    failed = [seen for seen in line.seen if isinstance(seen, events.Failed)]
    assert [(event.kind, event.reason.partition(":")[0]) for event in failed] == (
        [("speech", "lost")] * CALLS
    )
    assert line.count(AskNow) == 2 * CALLS
    assert line.count(events.NoInput) == CALLS  # as the second server has heard
    assert [record["cause"] for record in line.records] == ["heard-silence"] * CALLS


async def test_without_a_second_server_each_call_ends_by_its_script(tmp_path):
    async with speech_server() as (first, uri):
        line = Line([uri], tmp_path)
        await line.hold(first.kill)
    assert {record["cause"] for record in line.records} == {"error"}
    kinds = [seen.kind for seen in line.seen if isinstance(seen, events.Failed)]
    assert kinds == ["speech"] * 2 * CALLS  # the recognition, and the attempt to go on
