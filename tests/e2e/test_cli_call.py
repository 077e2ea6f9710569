"""`ringwheel call` as a user meets it, with a callee of the tests on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import soundfile
from ringwheel.cli.main import run_command

from .callee import Callee
from .client import TIMEOUT_S
from .conftest import eventually

pytestmark = pytest.mark.one_loop


@contextlib.asynccontextmanager
async def calling(*arguments: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ringwheel.cli.main", "--log-level=error", "call", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | variables,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str, list[str]]:
    """Exit status, what it printed, and the lines of its progress."""
    async with asyncio.timeout(TIMEOUT_S):
        out, told = await process.communicate()
    return process.returncode, out.decode(), told.decode().splitlines()


async def test_it_plays_sends_digits_and_prints_the_record(make_prompt):
    prompt, payload = make_prompt("hello.ulaw", 1_600)
    options = [f"--prompt={prompt}", "--dtmf=12#", "--header=X-Campaign: 7", "--json"]
    async with Callee(formats="0 101") as callee, calling(callee.uri, *options) as process:
        invite = await callee.invited()
        assert invite.get("X-Campaign") == "7"
        callee.reply(invite, "180 Ringing")
        callee.reply(invite, "200 OK", callee.offer("rtpmap:101 telephone-event/8000"))
        await callee.request("ACK")
        sound = await callee.packets(10)
        assert b"".join(packet.payload for packet in sound) == payload
        await callee.until_bye()
        digits = [p.payload[0] for p in callee.waiting_packets() if p.payload_type == 101]
        status, out, told = await end_of(process)
    assert list(dict.fromkeys(digits)) == [1, 2, 11]
    record = json.loads(out)
    assert (status, record["outcome"], record["digits_sent"]) == (0, "answered", 3)
    assert told[:3] == [f"calling {record['to']}", "ringing", "answered (PCMU)"]


async def test_it_records_until_the_callee_hangs_up(tmp_path: Path):
    file = tmp_path / "call.wav"
    async with Callee() as callee, calling(callee.uri, f"--record={file}") as process:
        invite = await callee.invited()
        callee.reply(invite, "200 OK", callee.offer())
        await callee.request("ACK")
        await eventually(file.exists)
        callee.hang_up_on(invite)
        status, out, told = await end_of(process)
    assert status == 0
    assert "ended by remote" in out
    assert told[-1] == "the callee has hung up"
    assert soundfile.info(file).channels == 2


def test_nobody_is_called_for_a_recording_that_cannot_be(tmp_path: Path, capsys):
    file = tmp_path / "none" / "call.wav"
    assert run_command(["call", "sip:anyone@127.0.0.1:9", f"--record={file}"]) == 2
    cause = f"no file can be made in {file.parent}. Name a folder that is there and may be written"
    assert f"ringwheel: --record {file}: {cause} to.\n" == capsys.readouterr().err


async def test_a_recording_that_fails_is_exit_status_1(tmp_path: Path):
    file = tmp_path / "call.wav"
    async with Callee() as callee, calling(callee.uri, f"--record={file}") as process:
        invite = await callee.invited()
        file.touch()  # somebody else was faster
        callee.reply(invite, "200 OK", callee.offer())
        await callee.until_bye()
        status, out, told = await end_of(process)
        uri = callee.uri
    assert (status, out) == (1, "")
    assert told[-1] == f"ringwheel: {uri}: --record {file}: File exists."


async def test_who_calls_serves_nobody_and_is_not_warned_of_being_open():
    async with Callee() as callee:
        command = (sys.executable, "-m", "ringwheel.cli.main", "call", callee.uri)
        process = await asyncio.create_subprocess_exec(
            *(*command, "--sip=udp:0.0.0.0:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        callee.reply(await callee.invited(), "486 Busy Here")
        _, _, told = await end_of(process)
    assert [line.partition(" sip:")[0] for line in told] == ["calling", "ringwheel:"]


async def test_nobody_there_is_exit_status_1_and_one_line():
    async with Callee() as callee, calling(callee.uri, "--json") as process:
        callee.reply(await callee.invited(), "486 Busy Here", "", "Reason: Q.850;cause=17")
        status, out, told = await end_of(process)
        uri = callee.uri
    assert status == 1
    assert json.loads(out)["outcome"] == "busy"
    assert told[-1] == f"ringwheel: {uri}: busy (486 Busy Here, Q.850 cause 17): Q.850;cause=17."


@pytest.mark.parametrize("status", ["180 Ringing", "200 OK"])
async def test_sigterm_hangs_up(status):
    async with Callee() as callee, calling(callee.uri) as process:
        invite = await callee.invited()
        callee.reply(invite, status, callee.offer())
        assert process.stderr is not None
        words = {"180 Ringing": b"ringing", "200 OK": b"answered"}
        while words[status] not in await process.stderr.readline():
            pass
        process.terminate()
        if status == "200 OK":
            await callee.until_bye()
        else:
            await callee.request("CANCEL")
        exit_status, _, told = await end_of(process)
    assert (exit_status, told) == (130, [])


async def test_a_password_comes_from_the_environment():
    options = ["--user=robot", "--password-env=TEST_SIP_PASSWORD"]
    async with (
        Callee() as callee,
        calling(callee.uri, *options, TEST_SIP_PASSWORD="secret") as process,
    ):
        challenge = 'WWW-Authenticate: Digest realm="test", nonce="abc", qop="auth"'
        callee.reply(await callee.invited(), "401 Unauthorized", "", challenge)
        again = await callee.invited()
        while 'username="robot"' not in again.get("Authorization"):
            again = await callee.invited()
        callee.reply(again, "603 Decline")
        status, _, told = await end_of(process)
    assert status == 1
    assert "rejected (603 Decline)" in told[-1]
    assert "secret" not in " ".join(told)


TRUNK = """
sip = ["udp:127.0.0.1:{taken}=127.0.0.1:{taken}"]
codecs = ["pcma"]
[trunk.carrier]
peers = ["127.0.0.1:{peer}"]
domain = "carrier.example"
user = "robot"
password_env = "TEST_SIP_PASSWORD"
[trunk.carrier.registration]
expires_s = 60
[trunk.carrier.caller]
called_prefixes = {{ "+44" = "0" }}
"""


async def test_a_trunk_of_the_configuration_is_called_by(tmp_path: Path):
    file = tmp_path / "ringwheel.toml"
    arguments = ["sip:+4420@carrier", f"--config={file}", "--json"]
    async with Callee(formats="8") as peer, Callee() as running:
        taken = running.sip.getsockname()[1]  # as by the engine whose file it is
        file.write_text(TRUNK.format(taken=taken, peer=peer.sip.getsockname()[1]))
        async with calling(*arguments, TEST_SIP_PASSWORD="secret") as process:
            invite = await peer.message()  # neither OPTIONS nor REGISTER is before it
            assert invite.start.startswith("INVITE sip:020@carrier.example")
            assert str(taken) not in invite.get("Contact")
            assert invite.sdp("m=audio ").split()[2] == "8"
            challenge = 'WWW-Authenticate: Digest realm="test", nonce="abc", qop="auth"'
            peer.reply(invite, "401 Unauthorized", "", challenge)
            while 'username="robot"' not in invite.get("Authorization"):
                invite = await peer.invited()
            peer.reply(invite, "200 OK", peer.offer())
            await peer.request("ACK")
            peer.hang_up_on(invite)
            status, out, _ = await end_of(process)
    record = json.loads(out)
    assert (status, record["trunk"], record["codec"]) == (0, "carrier", "PCMA/8000")


async def test_flags_stand_above_the_trunk(tmp_path: Path):
    file = tmp_path / "ringwheel.toml"
    async with Callee() as peer:
        address = f"127.0.0.1:{peer.sip.getsockname()[1]}"
        file.write_text(f'[trunk.carrier]\npeers = ["{address}"]\ncodecs = ["pcma"]\n')
        async with calling("sip:1@CARRIER", f"--config={file}", "--codec=pcmu") as process:
            invite = await peer.invited()
            assert invite.sdp("m=audio ").split()[2] == "0"
            peer.reply(invite, "486 Busy Here")
            status, _, told = await end_of(process)
    assert (status, "busy (486 Busy Here)" in told[-1]) == (1, True)


async def test_where_no_way_leads_there_is_no_record_to_wait_for(tmp_path: Path):
    file = tmp_path / "ringwheel.toml"
    file.write_text('[trunk.sbc]\nsources = ["192.0.2.0/24"]\n')
    async with calling("sip:1@sbc", f"--config={file}", "--json") as process:
        status, out, told = await end_of(process)
    assert (status, json.loads(out)["outcome"]) == (1, "unreachable")
    assert "trunk sbc: no peer can be reached" in told[-1]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["4711"], "4711 is no SIP URI"),
        (["sip:a@127.0.0.1", "--header=nonsense"], "'nonsense' is no header"),
        (["sip:a@127.0.0.1", "--header=Via: a"], "Via: this header is written by the engine"),
        (["sip:a@127.0.0.1", "--dtmf=12x"], "x"),
        (["sip:a@127.0.0.1", "--codec=mp3"], "mp3"),
        (["sip:a@127.0.0.1", "--srtp=maybe"], "maybe"),
        (["sip:a@127.0.0.1", "--prompt=nothing.wav"], "nothing.wav"),
        (["sip:a@127.0.0.1", "--config=nothing.toml"], "nothing.toml cannot be read"),
        (["sip:a@127.0.0.1", "--user=robot"], "--user and --password-env belong together"),
        (["sip:a@127.0.0.1", "--user=robot", "--password-env=NOT_SET"], "no variable NOT_SET"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(arguments, cause, capsys):
    status = run_command(["--log-level=error", "call", *arguments])
    out, told = capsys.readouterr()
    assert (status, out, len(told.splitlines())) == (2, "", 1)
    assert cause in told
