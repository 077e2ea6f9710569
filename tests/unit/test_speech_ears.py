"""The ears and the mouth of a session of the speech server, at a call that does what is said."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from ringwheel.robot.grammar.builders import yes_no
from ringwheel.robot.speech.engines.engine import Utterance
from ringwheel.robot.speech.server import hearing
from ringwheel.robot.speech.server.grammars import Active
from ringwheel.robot.speech.server.hearing import CallHearing, Engines
from ringwheel.robot.speech.server.voice import CallSpeaker
from structlog.testing import capture_logs

from .test_voice_detector import vowel

SILENCE = np.zeros(160, np.int16)


class Line:
    """A call whose caller says ``blocks``, and to whom one may speak at a time."""

    id = "call-1"
    speaking = False

    def __init__(self, blocks=()):
        self.figures = SimpleNamespace(packets_received=0)
        self.blocks = blocks
        self.heard = asyncio.Event()
        self.spoken = []
        self.busy = False
        self.begun = asyncio.Event()

    async def answer(self):
        """It was."""

    async def listen(self, *, sample_rate_hz, block_ms):
        for block in self.blocks:
            yield block
        self.heard.set()
        await asyncio.Event().wait()

    async def speak(self, blocks, *, sample_rate_hz):
        assert not self.busy, "two speak at once"
        self.busy = True
        try:
            async for text in blocks:
                self.spoken.append(text)
                self.begun.set()
                await asyncio.Event().wait()
        finally:
            for _ in range(5):  # what plays is put away
                await asyncio.sleep(0)
            self.busy = False

    def resume(self):
        pass


class Words:
    """A synthesizer whose sound is the text."""

    sample_rate_hz = 8_000

    async def check(self, utterance):
        pass

    async def synthesize(self, utterance):
        yield utterance.text


class Workers:
    """Recognizers that come to no end; ``wanted`` is what they work on."""

    name = "slow"

    def __init__(self):
        self.wanted = []

    async def compile(self, grammars, locale):
        return tuple(f"word{number}" for number in range(5_000))

    async def recognize(self, sound, rate_hz, grammars, locale):
        self.wanted.append(len(sound))
        try:
            await asyncio.Event().wait()
        finally:
            self.wanted.remove(len(sound))


@pytest.fixture
def workers():
    return Workers()


async def turns():
    """Let everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_speaks_next_waits_until_the_line_is_free():
    """However many were stopped before they began."""
    line = Line()
    speaker = CallSpeaker(line, Words(), lambda failure: None)
    speaker.start(Utterance("one"))
    await line.begun.wait()
    line.begun.clear()
    for text in ("two", "three"):
        speaker.stop()
        speaker.start(Utterance(text))
    speaker.stop()
    speaker.start(Utterance("four"))
    async with asyncio.timeout(10):
        await line.begun.wait()
    assert line.spoken == ["one", "four"]
    await speaker.close()
    assert not line.busy


async def test_what_was_said_before_is_recognized_no_more(workers):
    ears = CallHearing(Line(), Engines(workers))
    for length in (100, 200, 300):
        ears.decode(np.zeros(length, np.int16), [], "en-US", lambda found: None)
        await turns()
        assert workers.wanted == [length]
    ears.stop()
    await turns()
    assert workers.wanted == []


async def test_a_recording_from_speech_on_is_as_long_as_one_may_be():
    speech = vowel(1.0, 6_000).reshape(-1, 160)
    line = Line([*[SILENCE] * 50, *speech, *[SILENCE] * 4_950])
    ears = CallHearing(line, Engines(Workers()))
    ears.listener = SimpleNamespace(
        speech_began=lambda: None, speech_paused=lambda sound, silent_ms: None
    )
    ears.record(0.5, from_speech=True)
    await line.heard.wait()
    assert len(ears.kept()) >= 100 * 8_000
    await ears.close()


async def test_grammars_are_written_down_for_workers_beside_the_loop(monkeypatch):
    """It takes some ten milliseconds for those of strangers that are as large as they may be."""
    threads = []
    monkeypatch.setattr(hearing, "pickled", lambda _: threads.append(threading.current_thread()))
    await Engines(Workers()).read(lambda: [Active("session:a", yes_no("en-US"))])
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_the_log_shows_some_unknown_words_and_how_many_there_are(workers):
    with capture_logs() as logs:
        await Engines(workers).compile([], "en-US")
    (line,) = logs
    assert line["count"] == 5_000
    assert len(line["words"]) == 20
