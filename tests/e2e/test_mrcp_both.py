"""Our client of MRCPv2 and our server, in engines of their own, with real engines of speech."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ringwheel import Call
from ringwheel.media.call import Played
from ringwheel.media.codec import Samples
from ringwheel.media.events import PlayOutcome
from ringwheel.media.sip.tls import TlsConfig
from ringwheel.media.sound import resample
from ringwheel.robot.grammar.builders import digits, yes_no
from ringwheel.robot.grammar.model import Grammar
from ringwheel.robot.script.model import Timing
from ringwheel.robot.speech.engines.engine import Utterance
from ringwheel.robot.speech.engines.espeak import EspeakSynthesizer
from ringwheel.robot.speech.mrcp.resources import RecordWish
from ringwheel.robot.speech.mrcp.servers import MrcpServer
from ringwheel.robot.speech.mrcp.service import MrcpOptions, MrcpService
from ringwheel.robot.speech.mrcp.session import SessionLimits
from ringwheel.robot.speech.mrcp.speech import MrcpSpeech
from ringwheel.robot.speech.mrcp.words import RecordCause
from ringwheel.robot.speech.server.server import SpeechServer
from ringwheel.robot.speech.service import Completion, Recognition, SpeechFailed

from ..certificates import Authority
from ..ports import pairs_of
from .conftest import eventually, serving

pytestmark = [
    pytest.mark.one_loop,
    pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng"),
]
UNUSED_S = 1.0
TIMING = Timing(no_input_ms=2_000, complete_ms=400, max_speech_ms=5_000)


@contextlib.asynccontextmanager
async def speech_server(**options: object) -> AsyncIterator[SpeechServer]:
    """Our server on free ports, serving."""
    wanted = {"mrcp": "127.0.0.1:0", "workers": 1, "rtp_ports": pairs_of(60)} | options
    async with SpeechServer(("udp:127.0.0.1:0",), **wanted) as server:  # type: ignore[arg-type]
        task = asyncio.create_task(server.serve())
        await asyncio.sleep(0)
        try:
            yield server
        finally:
            await server.drain(0.0)
            await task


async def spoken(text: str) -> Samples:
    """A text at 8 kHz."""
    engine = EspeakSynthesizer()
    utterance = Utterance(text, voice="en-us")
    blocks = [block async for block in engine.synthesize(utterance)]
    return resample(np.concatenate(blocks), engine.sample_rate_hz, 8_000) // 2


@dataclass(eq=False)
class Talk:
    """A robot's call and the caller's end of it, with speech for the robot."""

    call: Call
    caller: Call
    service: MrcpService
    speech: MrcpSpeech

    async def says(self, sound: Samples) -> None:
        """The caller speaks."""

        async def blocks() -> AsyncIterator[Samples]:
            yield sound

        await self.caller.speak(blocks(), sample_rate_hz=8_000)

    async def hear(self, grammar: Grammar, *, min_confidence: float = 0.3) -> Recognition:
        """Recognize what the caller says."""
        return await self.speech.recognize(
            [grammar],
            locale="en-US",
            timing=TIMING,
            min_confidence=min_confidence,
            timers_run=True,
            on_speech=lambda: None,
        )

    async def say(self, text: str, **options: Any) -> Played:
        """The robot speaks."""
        wanted = {"locale": "en-US", "voice": None, "ssml": False, "barge_in": "none"} | options
        return await self.speech.speak(text, **wanted)


@contextlib.asynccontextmanager
async def talking(options: MrcpOptions) -> AsyncIterator[Talk]:
    """A call from one engine to another, which has speech."""
    calls: asyncio.Queue[Call] = asyncio.Queue()

    async def handler(call: Call) -> None:
        await call.answer()
        calls.put_nowait(call)
        await call.wait_ended()

    async with serving(handler) as robot, serving(handler) as phone:
        service = MrcpService(robot, options)
        caller = await phone.dial(f"sip:robot@{robot.addresses[0]}")
        call = await calls.get()
        speech = await service.open(call)
        try:
            yield Talk(call, caller, service, speech)
        finally:
            await speech.close()
            await service.close()


def options_of(*servers: SpeechServer, **options: Any) -> MrcpOptions:
    return MrcpOptions(
        tuple(
            MrcpServer(
                f"sip:{server.engine.addresses[0]}", f"s{number}", priority=number, **options
            )
            for number, server in enumerate(servers)
        ),
        sessions=SessionLimits(invite_s=10.0, response_ms=10_000),
    )


async def test_a_conversation_by_one_session() -> None:
    async with speech_server() as server, talking(options_of(server)) as talk:
        sound = talk.caller.listen()
        heard = asyncio.create_task(anext(sound))
        assert (await talk.say("Good morning. Are you there?")).played_ms > 1_000
        assert len(await heard) and server.figures().channels == 2
        await sound.aclose()

        for text, value in (("yes", True), ("no", False)):
            answer = await spoken(text)
            hearing = asyncio.create_task(talk.hear(yes_no("en-US")))
            await talk.says(answer)
            recognition = await hearing
            assert (recognition.completion, recognition.value) == (Completion.SUCCESS, value)
            assert recognition.confidence > 0.3 and recognition.grammar == 0

        assert (await talk.hear(yes_no("en-US"))).completion is Completion.NO_INPUT_TIMEOUT

        figures = talk.service.figures()
        assert figures.odd == figures.stray == figures.failures == {}
        assert figures.servers[0].opened == 1
    assert server.figures().sessions == server.figures().channels == 0


async def test_digits_that_are_typed_are_recognized_too() -> None:
    async with speech_server() as server, talking(options_of(server)) as talk:
        hearing = asyncio.create_task(talk.hear(digits(3, 3, "en-US", "dtmf")))
        await eventually(lambda: server.figures().resources.requests.get("RECOGNIZE") == 1)
        await talk.caller.send_digits("417")
        recognition = await hearing
        assert (recognition.completion, recognition.value) == (Completion.SUCCESS, "417")


async def test_barge_in_stops_the_server_and_the_next_text_is_spoken_whole() -> None:
    async with speech_server() as server, talking(options_of(server)) as talk:
        speaking = asyncio.create_task(talk.say("one two three " * 40, barge_in="dtmf"))
        await eventually(lambda: talk.call.figures.packets_sent > 20)
        await talk.caller.send_digits("5")
        assert (await speaking).outcome is PlayOutcome.BARGED_IN
        assert (await talk.say("Thank you.")).outcome is PlayOutcome.FINISHED
        assert server.figures().resources.requests["BARGE-IN-OCCURRED"] == 1
        assert talk.service.figures().servers[0].opened == 1


async def test_speech_in_the_middle_of_a_text_is_recognized_while_it_goes_on() -> None:
    async with speech_server() as server, talking(options_of(server)) as talk:
        answer = await spoken("yes please")
        speaking = asyncio.create_task(talk.say("Please say yes or no. " * 8, barge_in="speech"))
        hearing = asyncio.create_task(talk.hear(yes_no("en-US")))
        await eventually(lambda: talk.call.figures.packets_sent > 20)
        await talk.says(answer)
        assert (await speaking).outcome is PlayOutcome.BARGED_IN
        assert (await hearing).value is True


async def test_a_recording_by_the_server() -> None:
    async with speech_server() as server, talking(options_of(server)) as talk:
        message = await spoken("this is my message")
        recording = asyncio.create_task(
            talk.speech.record(RecordWish(max_ms=4_000, final_silence_ms=600, on_speech=True))
        )
        await eventually(lambda: server.figures().resources.requests.get("RECORD") == 1)
        await talk.says(message)
        recorded = await recording
        assert recorded.cause is RecordCause.SUCCESS_SILENCE
        sound, rate_hz = soundfile.read(io.BytesIO(recorded.body))
        assert rate_hz == 8_000 and np.abs(sound).max() > 0.05


async def test_a_language_that_the_server_has_not_is_told_and_the_next_text_is_spoken() -> None:
    async with speech_server() as server, talking(options_of(server)) as talk:
        with pytest.raises(SpeechFailed) as failed:
            await talk.say("hello", locale="xx-XX")
        assert failed.value.kind == "language"
        assert (await talk.say("hello")).outcome is PlayOutcome.FINISHED


async def test_over_tls(tmp_path: Path) -> None:
    tls = Authority(tmp_path).config("127.0.0.1")
    async with speech_server(mrcp=None, mrcp_tls="127.0.0.1:0", tls=tls) as server:
        options = replace(options_of(server, transport="tls"), tls=TlsConfig(ca=tls.ca))
        async with talking(options) as talk:
            assert (await talk.say("hello")).outcome is PlayOutcome.FINISHED


async def test_a_server_that_is_full_sends_calls_to_the_next() -> None:
    async with (
        speech_server(max_sessions=1) as small,
        speech_server() as spare,
        talking(options_of(small, spare)) as talk,
    ):
        other = await talk.service.open(talk.call)
        assert [s.opened for s in talk.service.figures().servers] == [1, 1]
        assert (small.figures().sessions, spare.figures().sessions) == (1, 1)
        assert talk.service.figures().failures == {"refused": 1}
        await other.close()


async def test_sessions_by_the_dozen_leave_nothing_on_either_side() -> None:
    async with speech_server() as server, talking(options_of(server, keep=0)) as talk:
        await talk.speech.close()
        for _ in range(5):
            opened = await asyncio.gather(*(talk.service.open(talk.call) for _ in range(12)))
            assert server.figures().channels == 24
            for speech in opened:
                await speech.close()
            await eventually(lambda: server.figures().sessions == 0)
        assert server.figures().channels == 0
        await eventually(lambda: server.engine.snapshot().places_taken == 0)


@pytest.mark.parametrize("share", [True, False])
async def test_sessions_that_are_to_be_ready_are_not_taken_for_forgotten(share: bool) -> None:
    """The server ends what no client uses: sessions, and connections without a channel."""
    async with speech_server() as server, serving(silent) as engine:
        server._means.bind_s = UNUSED_S
        for control in server._control.values():
            control.idle_s = UNUSED_S
        service = MrcpService(engine, options_of(server, ready=2, share=share))
        try:
            await service.prepare()
            await asyncio.sleep(1.5 * UNUSED_S)
            (figures,) = service.figures().servers
            assert (figures.idle, figures.lost) == (2, 0)
            assert server.figures().sessions == 2
        finally:
            await service.close()


async def silent(call: Call) -> None:
    """Nobody calls."""
