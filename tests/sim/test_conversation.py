"""The driver in virtual time: deadlines, whoever leaves, channels that are broken."""

import asyncio
import contextlib
import logging

import numpy as np
import pytest
import soundfile
from ringwheel.robot.conversation import converse
from ringwheel.robot.script import actions, model
from ringwheel.robot.script.events import Done, Failed, Heard, Left, NoInput
from ringwheel.robot.script.interpreter import Interpreter
from ringwheel.robot.script.state import State

from .dialogue import (
    NOON_MS,
    ask,
    http,
    make_script,
    put,
    record,
    say,
    send_digits,
    step,
    stream,
    t,
    text,
    transfer,
)
from .virtual_loop import run_virtual

LIMITS = model.Limits(silence_s=20, call_s=600)
REPORT = {"limits": LIMITS, "report": ("x",)}


class Person:
    """A channel: what it does with each action is looked up by its step."""

    kind = "phone"

    def __init__(self, **does):
        self.does = does
        self.performed = []
        self.stopped = []
        self.left = asyncio.Event()
        self.leaves_after_s = None

    async def perform(self, action):
        self.performed.append((action.step, clock_s()))
        try:
            last = isinstance(action, actions.HangUpNow)
            name = "hang_up" if last else action.step.replace(".", "_")
            return await self.does.get(name, self.at_once)(action)
        except asyncio.CancelledError:
            self.stopped.append(action.step)
            raise

    async def at_once(self, action):
        if isinstance(action, actions.HangUpNow):
            return None
        if isinstance(action, actions.AskNow):
            return Heard(at_ms=now_ms(), turn=action.turn, mode="speech", text="a", value="a")
        return Done(at_ms=now_ms(), turn=action.turn)

    async def wait_left(self):
        if self.leaves_after_s is None:
            await self.left.wait()
        else:
            await asyncio.sleep(self.leaves_after_s)
        return Left(at_ms=now_ms(), cause="BYE")


def clock_s():
    return asyncio.get_running_loop().time()


def now_ms():
    return NOON_MS + round(clock_s() * 1000)


async def never(action):
    await asyncio.get_running_loop().create_future()


def after(seconds, answer=None):
    async def perform(action):
        await asyncio.sleep(seconds)
        return answer(action) if answer else Done(at_ms=now_ms(), turn=action.turn)

    return perform


def hold(script, person, **options):
    """The conversation to its end: how it ended, and how long it took."""

    async def main():
        interpreter = Interpreter(script, {})
        ended = await converse(interpreter, person, clock_ms=now_ms, **options)
        assert len(asyncio.all_tasks()) == 1
        return ended, clock_s()

    return run_virtual(main())


def test_a_conversation_to_its_end():
    person = Person(main_0=after(2), main_1=after(3, lambda a: Heard(
        at_ms=now_ms(), turn=a.turn, mode="dtmf", text="7", value=7)))  # fmt: skip
    steps, states = [], []
    ended, _ = hold(
        make_script(say("hello"), ask("x"), say("${x}"), **REPORT),
        person,
        on_step=steps.append,
        on_state=states.append,
    )
    assert ended.report == {"x": 7}
    assert [(step.step, step.ms, step.outcome) for step in steps] == [
        ("main.0", 2_000, "done"),
        ("main.1", 3_000, "answered"),
        ("main.2", 0, "done"),
    ]
    assert len(states) == 4
    assert [step for step, _ in person.performed] == ["main.0", "main.1", "main.2", "main.2"]


DEADLINES = {
    "say": (say("ten letter"), 3.0 + 10 * 0.2 + 20),
    "ask": (ask("x", "ten letter"), 3.0 + 10 * 0.2 + 5 + 64 * 2 + 20),
    "http": (http(), 20 / 1),
    "http, short": (http(deadline_ms=1_000, retries=0), 1 + 2.5),
    "http, filled": (http(filler=text("wait")), 2 * (3 + 2.5)),
    "record": (record(), 3.0 + 9 * 0.2 + 63 + 20),
    "transfer": (transfer(), 3.0 + 10 * 0.2 + 30 + 20),
    "send_digits": (send_digits("1,2"), 3 * 0.4 + 1.5 + 20),
    "stream": (stream(), 60 + 20),
}


@pytest.mark.parametrize("name", DEADLINES)
def test_an_action_that_never_ends_has_a_deadline(name):
    slow, deadline_s = DEADLINES[name]
    person = Person(main_0=never)
    script = make_script(slow, flows={"sorry": [say("sorry"), put(x="error.kind")]},
                         handlers=[("error", "sorry", False)], **REPORT)  # fmt: skip
    if name == "http":
        deadline_s = min(deadline_s, 2 * (3 + 2.5))
    ended, _ = hold(script, person, facts={"caller": "1"})
    assert person.performed[1] == ("sorry.0", pytest.approx(deadline_s, abs=0.01))
    assert person.stopped == ["main.0"]
    assert ended.report == {"x": "deadline"}
    assert ended.cause == "error"


def test_a_file_takes_as_long_as_it_is(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000 * 7, np.int16), 8_000)
    (tmp_path / "b.ulaw").write_bytes(bytes(8_000 * 5))
    for name, seconds in (("a.wav", 7), ("b.ulaw", 5), ("none.wav", 58)):
        prompt = model.FilePrompt(t(name))
        script = make_script(step(model.Say, prompts=(prompt,)), base=str(tmp_path), **REPORT)
        _, took_s = hold(script, Person(main_0=never))
        assert took_s == pytest.approx(seconds + 2 + 20, abs=0.01)


def test_nothing_is_heard_for_the_limit_of_silence_at_most():
    slow = http(deadline_ms=60_000, retries=5)
    ended, took_s = hold(make_script(slow, **REPORT), Person(main_0=never))
    assert ended.cause == "error"
    assert took_s == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize(
    "slow",
    [say("a"), ask(), http(), record(), transfer(), send_digits("1"), stream()],
    ids=["say", "ask", "http", "record", "transfer", "send_digits", "stream"],
)
def test_who_leaves_ends_what_goes_on(slow):
    person = Person(main_0=never)
    person.leaves_after_s = 1.5
    script = make_script(slow, flows={"gone": [put(x="1"), http(), put(x="reply.status")]},
                         handlers=[("hang_up", "gone", False)], **REPORT)  # fmt: skip
    person.does["gone_1"] = after(
        4, lambda a: Done(at_ms=now_ms(), turn=a.turn, result={"status": 204, "body": None})
    )
    ended, took_s = hold(script, person, facts={"caller": "1"})
    assert (ended.cause, ended.report) == ("left", {"x": 204})
    assert person.stopped == ["main.0"]
    assert took_s == pytest.approx(5.5, abs=0.01)


def test_who_has_left_before_anything_was_said():
    person = Person()
    person.leaves_after_s = 0
    ended, _ = hold(make_script(*(say("a") for _ in range(5)), **REPORT), person)
    assert ended.cause == "left"


def test_the_limit_of_the_whole_call():
    person = Person(main_0=after(7, lambda a: NoInput(at_ms=now_ms(), turn=a.turn)))
    retries = model.Retries(max_no_input=999, max_total=999)
    ended, took_s = hold(make_script(ask(retries=retries), **REPORT), person)
    assert ended.cause == "limit"
    assert took_s == pytest.approx(600, abs=0.01)


async def broken(action):
    raise RuntimeError("a defect")


async def silent(action):
    return None


async def wrong(action):
    return Done(at_ms=now_ms(), turn=action.turn + 7)


@pytest.mark.parametrize(
    ("does", "kind"), [(broken, "defect"), (silent, "protocol"), (wrong, "protocol")]
)
def test_a_channel_with_a_defect_is_an_error_of_the_script(does, kind, caplog):
    caplog.set_level(logging.ERROR)
    script = make_script(say("a"), flows={"sorry": [say("sorry"), put(x="error.kind")]},
                         handlers=[("error", "sorry", False)], **REPORT)  # fmt: skip
    ended, _ = hold(script, Person(main_0=does))
    assert ended.report == {"x": kind}
    assert caplog.records


def test_a_channel_that_goes_on_although_it_was_stopped_is_stopped_again(caplog):
    async def stubborn(action):
        with contextlib.suppress(asyncio.CancelledError):
            await never(action)
        await never(action)

    script = make_script(say("ten letter"), flows={"sorry": [put(x="error.kind")]},
                         handlers=[("error", "sorry", False)], **REPORT)  # fmt: skip
    ended, took_s = hold(script, Person(main_0=stubborn))
    assert ended.report == {"x": "deadline"}
    assert took_s == pytest.approx(3 + 10 * 0.2 + 20 + 2, abs=0.01)
    assert "main.0 although it was cancelled" in caplog.text


def failed(action):
    return Failed(at_ms=now_ms(), turn=action.turn, kind="left", reason="nobody is there")


@pytest.mark.parametrize("answer", [None, failed])
def test_an_answer_and_the_end_at_the_same_moment(answer):
    """Who leaves has left, and is no error of the script."""
    person = Person(main_0=after(3, answer))
    person.leaves_after_s = 3
    ended, took_s = hold(make_script(say("a"), ask("x"), **REPORT), person)
    assert ended.cause == "left"
    assert took_s == pytest.approx(3, abs=0.01)


def test_last_words_that_never_end_do_not_keep_the_call():
    ended, took_s = hold(make_script(say("a"), **REPORT), Person(hang_up=never))
    assert ended.cause == "done"
    assert took_s == pytest.approx(20, abs=0.01)


def test_cancelled_and_gone_on_elsewhere():
    script = make_script(say("a"), ask("x"), say("${x}"), **REPORT)

    async def main():
        kept = []
        person, interpreter = Person(main_1=never), Interpreter(script, {})
        task = asyncio.create_task(
            converse(interpreter, person, clock_ms=now_ms, on_state=kept.append)
        )
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert person.stopped == ["main.1"]
        assert len(asyncio.all_tasks()) == 1
        again = Interpreter.restore(script, State.from_json(kept[-1].to_json()), {})
        other = Person()
        return await converse(again, other, clock_ms=now_ms), other

    ended, other = run_virtual(main())
    assert ended.report == {"x": "a"}
    assert [step for step, _ in other.performed] == ["main.1", "main.2", "main.2"]


def test_what_is_done_for_nobody_may_be_silent():
    slow = http(deadline_ms=30_000, retries=1)
    script = make_script(say("a"), flows={"gone": [slow, put(x="reply.status")]},
                         handlers=[("hang_up", "gone", False)], **REPORT)  # fmt: skip
    person = Person(
        main_0=never,
        gone_0=after(50, lambda a: Done(at_ms=now_ms(), turn=a.turn, result={"status": 200})),
    )
    person.leaves_after_s = 1
    ended, took_s = hold(script, person)
    assert ended.report == {"x": 200}
    assert took_s == pytest.approx(51, abs=0.01)
