"""Questions that a streaming agent asks and hears the answers of: `ask ... by: stream`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from ringwheel import Call
from ringwheel.media.call import Played
from ringwheel.media.codec import PCMU
from ringwheel.media.events import PlayOutcome
from ringwheel.robot.grammar import builders
from ringwheel.robot.script.model import Timing
from ringwheel.robot.speech.service import Completion, Recognition, SpeechFailed
from ringwheel.robot.speech.stream import speech as module
from ringwheel.robot.speech.stream.speech import StreamSpeech, StreamSpeechSession, meant
from ringwheel.robot.speech.stream.twilio import Answer

from .agent import Talk, agent
from .client import Phone
from .conftest import phoning, serving
from .test_hear import EVENTS, Mouth, vowel
from .test_stream import payload_of, tone

pytestmark = pytest.mark.one_loop

YES_NO = builders.yes_no("en-US")
COLOURS = builders.choices([("r", ["red"], None), ("b", ["blue"], None)], "en-US")


class Asked:
    """Answers a call, opens speech by an agent, and does ``what`` with it; ``done`` has its
    result."""

    def __init__(
        self, url: str, what: Callable[[Call, StreamSpeechSession], Awaitable[object]]
    ) -> None:
        self._service = StreamSpeech(url, headers={"X-Key": "1"})
        self._what = what
        self.done: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def __call__(self, call: Call) -> None:
        await call.answer()
        session = await self._service.open(call)
        try:
            self.done.set_result(await self._what(call, session))
        except SpeechFailed as error:
            self.done.set_exception(error)
        await session.close()
        await call.hangup()


async def hears(
    session: StreamSpeechSession, *, grammars=(COLOURS, YES_NO), on_speech=lambda: None, **times
) -> Recognition:
    return await session.recognize(
        grammars,
        locale="en-US",
        timing=Timing(**times),
        min_confidence=0.4,
        timers_run=True,
        on_speech=on_speech,
    )


async def answers(talk: Talk, **answer: object) -> None:
    """When the caller has spoken."""
    await talk.until(lambda: PCMU.decode(bytes(talk.heard[-800:])).any())
    await talk.until(lambda: not PCMU.decode(bytes(talk.heard[-800:])).any())
    await talk.send("answer", **answer)
    await talk.until(lambda: talk.stopped)


async def test_a_text_is_spoken_by_the_agent():
    words = tone(0.6, 400)

    async def program(talk: Talk) -> None:
        assert talk.start["customParameters"] == {
            "ringwheel.do": "speak",
            "ringwheel.text": "How are you?",
            "ringwheel.locale": "en-GB",
            "ringwheel.ssml": "false",
            "ringwheel.voice": "ada",
        }
        await talk.say(words)
        await talk.mark("end")
        await talk.until(lambda: talk.marks == ["end"])

    async def what(call: Call, session: StreamSpeechSession) -> Played:
        return await session.speak(
            "How are you?", locale="en-GB", voice="ada", ssml=False, barge_in="both"
        )

    async with agent(program) as made:
        robot = Asked(made.url, what)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            assert payload_of(await phone.packets(30)) == words
            await phone.until_bye()
        assert await robot.done == Played(PlayOutcome.FINISHED, 600)
    assert made.headers[0]["X-Key"] == "1"


async def test_a_key_ends_what_is_spoken_and_is_kept():
    async def program(talk: Talk) -> None:
        await talk.say(tone(10.0, 400))
        await talk.until(lambda: talk.stopped)

    async def what(call: Call, session: StreamSpeechSession) -> object:
        played = await session.speak("", locale="en", voice=None, ssml=False, barge_in="dtmf")
        return played.outcome, (await call.gather(max=1, first_ms=0)).digits

    async with agent(program) as made:
        robot = Asked(made.url, what)
        async with serving(robot) as engine, phoning(engine, formats="0 101") as phone:
            mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
            await phone.packets(3)
            mouth.press("4")
            await phone.until_bye()
        assert await robot.done == (PlayOutcome.BARGED_IN, "4")


async def say_when_asked(phone: Phone, made) -> None:
    mouth = Mouth(phone, await phone.call())
    while not (made.talks and made.talks[0].heard):  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.005)
    await mouth.say(np.append(vowel(0.4), np.zeros(2_400, np.int16)))


async def test_an_answer_is_matched_against_the_grammars():
    """Words alone: their meaning is that of the first grammar that they fit."""
    spoken: list[bool] = []

    async def program(talk: Talk) -> None:
        parameters = talk.start["customParameters"]
        assert parameters["ringwheel.do"] == "recognize"
        (colours, yes_no) = json.loads(parameters["ringwheel.grammars"])
        assert "blue" in colours and "yes" in yes_no
        await answers(talk, text="yes", confidence=0.9)

    async def what(call: Call, session: StreamSpeechSession) -> Recognition:
        return await hears(session, on_speech=lambda: spoken.append(True))

    async with agent(program) as made:
        robot = Asked(made.url, what)
        async with serving(robot) as engine, phoning(engine) as phone:
            await say_when_asked(phone, made)
            await phone.until_bye()
        expected = Recognition(Completion.SUCCESS, "yes", YES_NO.match("yes").value, 0.9, 1)
        assert await robot.done == expected
    assert spoken == [True]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("blue", None, 0.9, True), Recognition(Completion.SUCCESS, "blue", "b", 0.9, 0)),
        (Answer("?", "b", 0.9, True), Recognition(Completion.SUCCESS, "?", "b", 0.9, 0)),
        (Answer("green", None, 0.9, True), Recognition(Completion.NO_MATCH, "green", None, 0.9)),
        (Answer("blue", None, 0.3, True), Recognition(Completion.NO_MATCH, "blue", None, 0.3)),
        (Answer("blue", None, 0.9, False), Recognition(Completion.NO_MATCH, "blue", None, 0.9)),
    ],
)
def test_what_an_answer_comes_to(answer, expected):
    assert meant(answer, [COLOURS, YES_NO], 0.4) == expected


def test_without_a_grammar_any_words_are_an_answer():
    found = meant(Answer("well, you see", None, 0.8, True), [], 0.4)
    assert found == Recognition(Completion.SUCCESS, "well, you see", None, 0.8)


async def test_nobody_answers():
    async def program(talk: Talk) -> None:
        await talk.until(lambda: talk.stopped)

    async def what(call: Call, session: StreamSpeechSession) -> Recognition:
        recognizing = asyncio.ensure_future(
            session.recognize(
                [YES_NO],
                locale="en-US",
                timing=Timing(no_input_ms=200),
                min_confidence=0.4,
                timers_run=False,
                on_speech=lambda: None,
            )
        )
        done, _ = await asyncio.wait([recognizing], timeout=0.5)
        assert not done
        session.start_timers()
        return await recognizing

    async with agent(program) as made:
        robot = Asked(made.url, what)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        assert await robot.done == Recognition(Completion.NO_INPUT_TIMEOUT)


@pytest.mark.parametrize(("no_input_ms", "told"), [(5_000, []), (150, [True])])
async def test_who_speaks_since_before_has_not_begun_and_is_not_silent(no_input_ms, told):
    """The end of the last answer must not stop the next prompt."""
    spoken: list[bool] = []

    async def program(talk: Talk) -> None:
        await talk.until(lambda: len(talk.heard) > 8_000)
        await talk.send("answer", text="blue")
        await talk.until(lambda: talk.stopped)

    async def what(call: Call, session: StreamSpeechSession) -> Recognition:
        await call.wait_speaking(True)
        return await hears(session, on_speech=lambda: spoken.append(True), no_input_ms=no_input_ms)

    async with agent(program) as made:
        robot = Asked(made.url, what)
        async with serving(robot) as engine, phoning(engine) as phone:
            mouth = Mouth(phone, await phone.call())
            await mouth.say(vowel(1.5))
            await phone.until_bye()
        assert await robot.done == Recognition(Completion.SUCCESS, "blue", "b", 1.0, 0)
    assert spoken == told


async def test_an_agent_that_never_answers_has_a_deadline(monkeypatch):
    monkeypatch.setattr(module, "ANSWER_MS", 200)

    async def program(talk: Talk) -> None:
        await talk.socket.wait_closed()

    async with agent(program) as made:
        robot = Asked(made.url, lambda call, session: hears(session, max_speech_ms=200))
        async with serving(robot) as engine, phoning(engine) as phone:
            await say_when_asked(phone, made)
            await phone.until_bye()
        with pytest.raises(SpeechFailed) as raised:
            await robot.done
    assert raised.value.kind == "deadline"


async def leaves(talk: Talk) -> None:
    """At once, without a word."""


async def breaks(talk: Talk) -> None:
    talk.socket.transport.abort()


async def floods(talk: Talk) -> None:
    for _ in range(200):
        await talk.clear()
    await talk.socket.wait_closed()


@pytest.mark.parametrize(
    ("program", "kind"), [(leaves, "lost"), (breaks, "lost"), (floods, "protocol")]
)
async def test_an_agent_that_fails_while_it_listens(program, kind):
    async with agent(program) as made:
        robot = Asked(made.url, lambda call, session: hears(session))
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        with pytest.raises(SpeechFailed) as raised:
            await robot.done
    assert raised.value.kind == kind


async def test_an_agent_that_breaks_off_while_it_speaks():
    async def program(talk: Talk) -> None:
        await talk.say(tone(0.2, 400))
        talk.socket.transport.abort()

    async def what(call: Call, session: StreamSpeechSession) -> Played:
        return await session.speak("x", locale="en", voice=None, ssml=False, barge_in="none")

    async with agent(program) as made:
        robot = Asked(made.url, what)
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        with pytest.raises(SpeechFailed) as raised:
            await robot.done
    assert raised.value.kind == "lost"


@pytest.mark.parametrize("url", ["audiosocket+tcp://localhost:1", "http://localhost/"])
def test_who_has_no_messages_cannot_be_asked(url):
    with pytest.raises(ValueError, match="ws://|scheme"):
        StreamSpeech(url)
