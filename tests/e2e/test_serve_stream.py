"""`ringwheel serve --stream` as a process: calls are connected with an agent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from .agent import Talk, agent
from .client import TIMEOUT_S, Phone

pytestmark = pytest.mark.one_loop

SERVE = [sys.executable, "-m", "ringwheel.cli.main", "--log-format", "json", "serve"]


class Served:
    """A `ringwheel serve`; ``address`` is where it listens."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._arguments = arguments
        self._environment = os.environ | environment
        self.log: list[dict[str, object]] = []

    async def __aenter__(self) -> Served:
        sip = ("--sip", "udp:127.0.0.1:0", "--rtp-ports", "17000-17199")
        self._process = await asyncio.create_subprocess_exec(
            *SERVE, *sip, *self._arguments, stderr=asyncio.subprocess.PIPE, env=self._environment
        )
        listening = await self.event("listening")
        host, _, port = str(listening["sip"][0]).rpartition(":")
        self.address = (host, int(port))
        await self.event("serving")
        return self

    async def event(self, name: str) -> dict:
        """The next line of the log with that event."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == name:
                return self.log[-1]
        raise EOFError(name)

    async def __aexit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert await self._process.wait() == 0


async def test_a_token_that_is_not_there_ends_it_with_one_line():
    agent_of = ["--stream", "ws://127.0.0.1:9", "--stream-token-env", "NO_SUCH_TOKEN"]
    process = await asyncio.create_subprocess_exec(
        *SERVE, "--sip", "udp:127.0.0.1:0", *agent_of, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(TIMEOUT_S):
        _, told = await process.communicate()
    assert process.returncode == 2
    lines = [line for line in told.decode().splitlines() if not line.startswith("{")]
    cause = "the environment has no NO_SUCH_TOKEN; set it where ringwheel is started."
    assert lines == [f"ringwheel: --stream-token-env: {cause}"]


async def test_a_caller_talks_with_the_agent(tmp_path: Path):
    words = os.urandom(1_600).replace(b"\x7f", b"\x01")

    async def program(talk: Talk) -> None:
        await talk.say(words)
        await talk.mark("said")
        await talk.until(lambda: talk.marks == ["said"])

    async with (
        agent(program, path="/?key=s3cret") as made,
        Served(
            *("--stream", made.url, "--stream-token-env", "AGENT_TOKEN"),
            *("--record", str(tmp_path)),
            AGENT_TOKEN="t0ken",
        ) as served,
        Phone(served.address) as phone,
    ):
        await phone.call()
        assert b"".join(p.payload for p in await phone.packets(10)) == words
        await phone.until_bye()
        await served.event("call ended")
    assert made.headers[0]["Authorization"] == "Bearer t0ken"
    parameters = made.talks[0].start["customParameters"]
    assert parameters["to"].startswith("sip:robot@")
    assert parameters["call_id"] == phone.call_id
    assert len(list(tmp_path.iterdir())) == 1
    assert "s3cret" not in json.dumps(served.log)
    assert "t0ken" not in json.dumps(served.log)


async def test_without_an_agent_there_is_no_answer():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        async with (
            Served("--stream", f"ws://127.0.0.1:{port}", "--http", "127.0.0.1:0") as served,
            Phone(served.address) as phone,
        ):
            phone.invite()
            assert (await phone.response("INVITE")).status == 503
            phone.send("ACK")
            (url,) = (line["url"] for line in served.log if line["event"] == "http listening")
            async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as http:
                shown = await (await http.get(f"{url}/metrics")).text()
            assert 'ringwheel_streams_total{end="unreachable"} 1.0' in shown


async def test_an_agent_that_breaks_off_ends_the_call_with_a_cause():
    async def program(talk: Talk) -> None:
        await talk.until(lambda: bool(talk.heard))
        talk.socket.transport.abort()

    async with (
        agent(program) as made,
        Served("--stream", made.url) as served,
        Phone(served.address) as phone,
    ):
        await phone.call()
        bye = await phone.until_bye()
        assert "agent: lost" in bye.get("Reason")
