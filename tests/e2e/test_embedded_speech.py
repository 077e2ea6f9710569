"""The speech server as a child process: it serves, comes back when it dies, and leaves nothing."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from ringwheel.robot.speech import embedded
from ringwheel.robot.speech.embedded import EmbeddedSpeech, SpeechUnavailable

from ..ports import pairs_of
from .speech_client import Control, SpeechPhone

pytestmark = [
    pytest.mark.one_loop,
    pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng"),
]


async def ask_for_speech(uri):
    """Set a session up and use its channel."""
    host, port = uri.removeprefix("sip:").split(":")
    async with SpeechPhone((host, int(port))) as phone:
        await phone.open("speechsynth")
        control = await Control.open(phone.ports[0])
        assert (await control.ask(phone.channels[0], "GET-PARAMS")).status == 200
        control.close()


async def test_a_server_that_is_killed_is_back_at_the_same_place():
    speech = EmbeddedSpeech(workers=1, rtp_ports=pairs_of(16))
    async with speech as uri:
        await ask_for_speech(uri)
        first = speech.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(60):
            while not speech.served_again:  # noqa: ASYNC110 - a test looks, programs need not
                await asyncio.sleep(0.05)
        assert speech.uri == uri
        await ask_for_speech(uri)
        second = speech.pid
        assert second != first
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


async def test_who_gives_up_waiting_leaves_no_server_behind():
    speech = EmbeddedSpeech(workers=1, rtp_ports=pairs_of(16))
    starting = asyncio.create_task(speech.__aenter__())
    async with asyncio.timeout(10):
        while speech.pid is None:  # noqa: ASYNC110 - a test looks, programs need not
            await asyncio.sleep(0.001)
    pid = speech.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert speech.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_what_is_missing_is_said_in_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SpeechUnavailable, match="apt-get install espeak-ng"):
        async with EmbeddedSpeech(workers=1, rtp_ports=pairs_of(16)):
            pass


@pytest.fixture
def instead(monkeypatch, tmp_path):
    """Has some Python run in the place of the server."""

    def put(source: str) -> None:
        script = Path(tmp_path, "server")
        head = f"#!{sys.executable}\nimport os, time\n"
        script.write_text(
            f"{head}say = lambda text: os.write(2, text.encode())\n{source}\n", "utf-8"
        )
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return put


async def complaint() -> str:
    """Why the server does not start."""
    with pytest.raises(SpeechUnavailable) as told:
        async with asyncio.timeout(20), EmbeddedSpeech(workers=1):
            pass
    return str(told.value)


async def test_a_server_that_says_more_than_a_pipe_holds_is_quoted_at_its_end(instead):
    instead('say("a long complaint\\n" * 30_000 + "ringwheel: the cause\\na remedy\\n")')
    assert await complaint() == "a long complaint; the cause; a remedy"


async def test_who_else_holds_its_stderr_is_not_waited_for(instead, monkeypatch):
    monkeypatch.setattr(embedded, "LAST_WORDS_S", 0.2)
    instead(
        "from subprocess import DEVNULL, Popen\n"
        'Popen(["sleep", "10"], stdin=DEVNULL, stdout=DEVNULL)\n'
        'say("the cause\\n")'
    )
    async with asyncio.timeout(9):
        assert await complaint() == "the cause"


async def test_a_server_that_does_not_serve_in_time_is_quoted(instead, monkeypatch):
    monkeypatch.setattr(embedded, "START_S", 2.0)
    instead('say("reading a model\\n"); time.sleep(60)')
    assert await complaint() == "ringwheel speech does not serve in 2 s; reading a model"
