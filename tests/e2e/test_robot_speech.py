"""A phone channel and a speech service: who answers first, what ends the prompt, what fails."""

from __future__ import annotations

import asyncio

import pytest
from ringwheel import Played, PlayOutcome
from ringwheel.robot.runner import Robot
from ringwheel.robot.script import events
from ringwheel.robot.script.actions import AskNow
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.speech.service import Completion, Recognition, SpeechFailed

from .conftest import eventually, phoning, serving
from .test_hear import EVENTS, Mouth, vowel

pytestmark = pytest.mark.one_loop

SCRIPT = """
ringwheel: 1
name: Speech
locale: en
report: [liked]
variables: {liked: null}
on: {silence: out, no_match: out, error: failed}
steps:
  - ask:
      into: liked
      prompt: {file: long.ulaw}
      barge_in: BARGE_IN
      answer: yes_no
      listen: LISTEN
      retries: {max_total: 1}
  - hang_up: {cause: answered}
flows:
  out: [{hang_up: {cause: gave-up}}]
  failed: [{hang_up: {cause: failed}}]
"""


class Speech:
    """A speech service of one session whose recognizer does what a test tells it."""

    def __init__(self) -> None:
        self.opened = self.closed = self.cancelled = 0
        self.timers_started = 0
        self.listening = asyncio.Event()
        self.on_speech = lambda: None
        self.timers_run = False
        self.result: asyncio.Future[Recognition] = asyncio.get_running_loop().create_future()

    async def open(self, call):
        self.opened += 1
        return self

    async def close(self):
        self.closed += 1

    async def speak(self, text, *, locale, voice, ssml, barge_in):
        return Played(PlayOutcome.FINISHED, 0.0)

    async def recognize(self, grammars, *, timers_run, on_speech, **options):
        self.timers_run, self.on_speech = timers_run, on_speech
        self.listening.set()
        try:
            return await asyncio.shield(self.result)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def start_timers(self):
        self.timers_started += 1


class Held:
    """A call of a robot that hears by ``speech``."""

    def __init__(self, tmp_path, make_prompt, barge_in="both", listen="both"):
        make_prompt("long.ulaw", 80_000)
        source = SCRIPT.replace("BARGE_IN", barge_in).replace("LISTEN", listen)
        (tmp_path / "s.yaml").write_text(source, "utf-8")
        self.script = load_script(tmp_path / "s.yaml")
        self.records: list[dict] = []
        self.seen: list[object] = []

    async def run(self, speech, act):
        async def take(record):
            self.records.append(record)

        async def handler(call):
            async with Robot(
                call_engine[0],
                self.script,
                speech={"local": speech},
                results=take,
                observe=lambda _, what: self.seen.append(what),
            ) as robot:
                await robot.answer(call)

        call_engine = []
        async with serving(handler) as engine, phoning(engine, formats="0 101") as phone:
            call_engine.append(engine)
            mouth = Mouth(phone, await phone.call(phone.offer(*EVENTS)))
            await phone.packets(3)
            await act(phone, mouth)
            await phone.until_bye()
            await eventually(lambda: bool(self.records))
            await eventually(lambda: speech.closed == speech.opened)
        return self.records[0]


async def test_what_is_recognized_is_the_answer_and_ends_the_prompt(tmp_path, make_prompt):
    speech = Speech()

    async def act(phone, mouth):
        await speech.listening.wait()
        assert not speech.timers_run  # the prompt still plays
        speech.on_speech()
        await eventually(lambda: speech.timers_started == 1)
        speech.on_speech()
        speech.result.set_result(Recognition(Completion.SUCCESS, "yes", True, 0.9, 0))

    record = await Held(tmp_path, make_prompt).run(speech, act)
    assert (record["cause"], record["report"]) == ("answered", {"liked": True})
    assert (speech.opened, speech.timers_started) == (1, 1)


async def test_who_types_is_not_listened_to_any_more(tmp_path, make_prompt):
    speech = Speech()

    async def act(phone, mouth):
        await speech.listening.wait()
        mouth.press("2")

    record = await Held(tmp_path, make_prompt).run(speech, act)
    assert record["report"] == {"liked": False}
    assert speech.cancelled == 1


async def test_the_callers_voice_ends_the_prompt_in_the_media_path(tmp_path, make_prompt):
    speech = Speech()

    async def act(phone, mouth):
        await mouth.say(vowel(0.6))
        await eventually(lambda: speech.timers_started == 1)
        speech.result.set_result(Recognition(Completion.NO_MATCH, "err"))

    held = Held(tmp_path, make_prompt)
    record = await held.run(speech, act)
    assert record["cause"] == "gave-up"
    assert record["questions"][0]["no_match"] == 1


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        (Recognition(Completion.NO_INPUT_TIMEOUT), "gave-up"),
        (Recognition(Completion.SUCCESS, "yes", True, 0.1, 0), "gave-up"),
        (Recognition(Completion.SUCCESS, "yes", True, 0.9, 7), "gave-up"),
        (Recognition(Completion.CANCELLED), "failed"),
        (SpeechFailed("lost", "the server is gone"), "failed"),
    ],
)
async def test_whatever_a_server_says_the_script_goes_on(tmp_path, make_prompt, result, cause):
    speech = Speech()

    async def act(phone, mouth):
        await speech.listening.wait()
        if isinstance(result, Exception):
            speech.result.set_exception(result)
        else:
            speech.result.set_result(result)

    held = Held(tmp_path, make_prompt, listen="speech")
    record = await held.run(speech, act)
    assert record["cause"] == cause
    failed = [event for event in held.seen if isinstance(event, events.Failed)]
    assert bool(failed) == (cause == "failed")


async def test_keys_are_an_answer_when_the_server_is_gone(tmp_path, make_prompt):
    speech = Speech()

    async def act(phone, mouth):
        await speech.listening.wait()
        speech.result.set_exception(SpeechFailed("lost", "the server is gone"))
        await phone.packets(3)
        mouth.press("1")

    record = await Held(tmp_path, make_prompt).run(speech, act)
    assert (record["cause"], record["report"]) == ("answered", {"liked": True})
    assert record["error"] is None


async def test_nobody_listens_while_a_prompt_may_not_be_interrupted(tmp_path, make_prompt):
    speech = Speech()
    held = Held(tmp_path, make_prompt, barge_in="dtmf")

    async def act(phone, mouth):
        await eventually(lambda: any(isinstance(seen, AskNow) for seen in held.seen))
        await phone.packets(20)
        assert not speech.listening.is_set()
        mouth.press("1")

    record = await held.run(speech, act)
    assert record["report"] == {"liked": True}
    assert not speech.opened
