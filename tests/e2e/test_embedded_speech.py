"""The speech server as a child process: it serves, comes back when it dies, and leaves nothing."""

import asyncio
import os
import shutil
import signal

import pytest
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
