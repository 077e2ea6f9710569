"""`ringwheel status` and `ringwheel trace` as processes, against `ringwheel serve --http`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ..ports import pairs_of
from .client import TIMEOUT_S, Phone

pytestmark = pytest.mark.one_loop

COMMAND = [sys.executable, "-m", "ringwheel.cli.main"]


@asynccontextmanager
async def served(prompt: Path) -> AsyncIterator[tuple[tuple[str, int], str]]:
    """The address of an engine's SIP, and the URL of its HTTP port."""
    first, last = pairs_of(10)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--log-format", "json", "serve", "--prompt", str(prompt), "--loop",
        "--sip", "udp:127.0.0.1:0", "--rtp-ports", f"{first}-{last}", "--http", "127.0.0.1:0",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said: dict[str, dict] = {}
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while "serving" not in said:
                line = json.loads(await process.stderr.readline())
                said[line["event"]] = line
        host, _, port = said["listening"]["sip"][0].rpartition(":")
        yield (host, int(port)), said["http listening"]["url"]
    finally:
        process.terminate()
        await process.communicate()
        assert process.returncode == 0


async def run(*arguments: str) -> str:
    """What a command prints."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_watching_where_there_is_no_terminal(make_prompt):
    path, _ = make_prompt("p.ulaw", 1600)
    async with served(path) as (_, url):
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "status", "--watch", "--url", url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            for _ in range(2):
                while not (await process.stdout.readline()).startswith(b"ringwheel "):
                    pass
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 0


async def test_a_call_seen_by_the_commands(make_prompt, tmp_path):
    path, _ = make_prompt("p.ulaw", 1600)
    async with served(path) as (sip, url), Phone(sip) as phone:
        await phone.call()
        status = await run("status", "--url", url)
        await phone.hang_up()
        one_call = ("trace", "--url", url, phone.call_id)
        listed, ladder, saved, whole = await asyncio.gather(
            run("trace", "--url", url),
            run(*one_call),
            run(*one_call, "--pcap", str(tmp_path / "c.pcap")),
            run("status", "--url", url, "--json"),
        )
    assert re.search(r"calls +1 of \d+ up +\(1 confirmed\)", status)
    assert re.search(rf"in +caller@127.0.0.1 .*answered, peer hung up +5 +{phone.call_id}", listed)
    arrows = re.findall(r"│(◀?)─+ (\w.*?) ─+(▶?)│", ladder)
    assert arrows == [
        ("", "INVITE", "▶"),
        ("◀", "200 OK", ""),
        ("", "ACK", "▶"),
        ("", "BYE", "▶"),
        ("◀", "200 OK (BYE)", ""),
    ]
    assert saved.startswith("5 messages saved in ")
    assert (tmp_path / "c.pcap").read_bytes()[:4] == b"\xd4\xc3\xb2\xa1"
    assert json.loads(whole)["sip"]["calls_ended_remote"] == 1
