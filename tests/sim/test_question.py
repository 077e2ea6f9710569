"""A question on the phone in virtual time: what is left of it when speech fails."""

from __future__ import annotations

import asyncio

import pytest
from ringwheel.robot.channels.question import Question
from ringwheel.robot.grammar.builders import yes_no
from ringwheel.robot.script.actions import AskNow, SpokenText
from ringwheel.robot.script.events import Failed, Heard
from ringwheel.robot.script.model import Input, Timing
from ringwheel.robot.speech.service import Completion, Recognition, SpeechFailed

from .virtual_loop import run_virtual

PROMPT_S = 4.0
NO_INPUT_S = 5.0
LOST = SpeechFailed("lost", "the server is gone")


class Line:
    """A caller who types so late, and speech that fails so late; both count from the beginning."""

    id = "a call"

    def __init__(self, fails_s, failure, types_s):
        self.fails_s, self.failure, self.types_s = fails_s, failure, types_s
        self.prompt_said = False
        self.given_up = 0
        self.typed = ""
        self._key = asyncio.Event()
        self._watch = None

    def begin(self):
        if self.types_s is not None:
            asyncio.get_running_loop().call_later(self.types_s, self._press)

    # The call

    def _press(self):
        self.typed = "1"
        self._key.set()
        if self._watch is not None:
            self._watch()

    def watch_digits(self, watch):
        self._watch = watch

    async def next_digit(self, timeout_s):
        try:
            async with asyncio.timeout(timeout_s):
                await self._key.wait()
        except TimeoutError:
            return None
        self._key.clear()
        typed, self.typed = self.typed, ""
        return typed

    def forget_digits(self):
        self.typed = ""

    # The voice, and its session

    def serves(self, by):
        return True

    async def say(self, speech, barge_in, by):
        await asyncio.sleep(PROMPT_S)
        self.prompt_said = True
        return True

    async def session(self, by):
        return self

    async def give_up(self, by):
        self.given_up += 1

    async def recognize(self, grammars, **options):
        await asyncio.sleep(self.fails_s)
        if isinstance(self.failure, Exception):
            raise self.failure
        return self.failure

    def start_timers(self):
        pass


def ask(line, digits=True):
    """What came of the question, and after how many seconds."""
    return hold(
        line,
        Input(
            yes_no("en"),
            yes_no("en", "dtmf") if digits else None,
            timing=Timing(no_input_ms=round(NO_INPUT_S * 1000)),
        ),
    )


def hold(line, taken):
    question = AskNow(
        turn=1,
        step="main.0",
        speech=(SpokenText("Yes or no?", "en"),),
        barge_in="both",
        input=taken,
        handlers={},
        by="mrcp",
        locale="en",
    )

    async def main():
        line.begin()
        event = await Question(line, line, question, "mrcp", lambda: 0).run()
        assert len(asyncio.all_tasks()) == 1
        return event, asyncio.get_running_loop().time()

    return run_virtual(main())


@pytest.mark.parametrize("failure", [LOST, Recognition(Completion.CANCELLED)])
@pytest.mark.parametrize("fails_s", [1.0, PROMPT_S + 1.0])
def test_keys_are_an_answer_when_speech_has_failed(failure, fails_s):
    line = Line(fails_s, failure, types_s=fails_s + 2.0)
    event, at_s = ask(line)
    assert isinstance(event, Heard)
    assert (event.mode, event.value, at_s) == ("dtmf", True, fails_s + 2.0)
    assert line.given_up == 1  # the next question gets another session


@pytest.mark.parametrize(
    ("fails_s", "told_s"),
    [
        (1.0, PROMPT_S + NO_INPUT_S),
        (PROMPT_S + 1.0, PROMPT_S + NO_INPUT_S),
        (PROMPT_S + NO_INPUT_S + 2.0, PROMPT_S + NO_INPUT_S + 2.0),  # in a long answer
    ],
)
def test_who_types_nothing_was_not_silent_but_not_heard(fails_s, told_s):
    line = Line(fails_s, LOST, types_s=None)
    event, at_s = ask(line)
    assert isinstance(event, Failed)
    assert (event.kind, event.reason, at_s) == ("speech", "lost: the server is gone", told_s)
    assert line.prompt_said
    assert line.given_up == 1


def test_where_only_speech_is_an_answer_it_has_failed_at_once():
    event, at_s = ask(Line(1.0, LOST, types_s=None), digits=False)
    assert isinstance(event, Failed)
    assert at_s == 1.0


def test_where_free_text_is_wanted_the_phone_says_why_there_is_none():
    event, _ = hold(Line(1.0, LOST, types_s=None), Input(free=True))
    assert event.kind == "speech"
    assert event.reason.startswith("free text can be typed")
