"""Scripts that connect a caller with an agent, or have an agent ask for them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from ringwheel import Engine
from ringwheel.media.codec import PCMU
from ringwheel.robot.runner import Robot
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.speech.stream import StreamTotals
from ringwheel.robot.speech.stream.speech import StreamSpeech

from .agent import Talk, agent
from .conftest import eventually, phoning, serving
from .test_hear import Mouth, vowel
from .test_stream import payload_of, tone

pytestmark = pytest.mark.one_loop

SCRIPT = """
ringwheel: 1
name: Agents
locale: en
speech: stream
report: [talk, colour]
variables: {colour: null, talk: null}
limits: {silence: 2s}
on:
  error: [{hang_up: {cause: failed}}]
steps:
"""
TALK = """
  - stream: {url: "URL", parameters: {who: "${'A' + 'da'}"}, into: talk, failed: sorry}
  - hang_up: {cause: talked}
flows:
  sorry: [{hang_up: {cause: no-agent}}]
"""
ASK = """
  - ask:
      into: colour
      prompt: Which colour?
      answer: {choices: {red: [red], blue: [blue, azure]}}
  - hang_up: {cause: answered}
"""


@contextlib.asynccontextmanager
async def held(
    tmp_path: Path,
    steps: str,
    speech: StreamSpeech | None = None,
    totals: list[StreamTotals] | None = None,
) -> AsyncIterator[tuple[Engine, list[dict]]]:
    """A robot that holds the script; the records of its calls. Into ``totals`` come its own."""
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT + steps, "utf-8")
    robots: list[Robot] = []
    records: list[dict] = []

    async def take(record: dict) -> None:
        records.append(record)

    async def answer(call) -> None:
        await robots[0].answer(call)

    services = {"stream": speech} if speech is not None else {}
    async with (
        serving(answer) as engine,
        Robot(engine, load_script(path), speech=services, results=take) as robot,
    ):
        robots.append(robot)
        if totals is not None:
            totals.append(robot.streams)
        yield engine, records


async def test_a_step_connects_the_caller_with_an_agent(tmp_path):
    words = tone(0.4, 400)
    totals: list[StreamTotals] = []

    async def program(talk: Talk) -> None:
        assert talk.start["customParameters"] == {"who": "Ada"}
        await talk.say(words)

    async with (
        agent(program) as made,
        held(tmp_path, TALK.replace("URL", made.url), totals=totals) as (engine, records),
        phoning(engine) as phone,
    ):
        await phone.call()
        assert payload_of(await phone.packets(20)) == words
        await phone.until_bye()
        await eventually(lambda: bool(records))
    assert records[0]["cause"] == "talked"
    assert records[0]["report"]["talk"]["ended_by"] == "peer"
    assert [(one.up, one.ends) for one in totals] == [(0, {"peer": 1})]


async def test_an_agent_that_is_not_there_is_the_failure_branch(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{probe.getsockname()[1]}"
        async with (
            held(tmp_path, TALK.replace("URL", url)) as (engine, records),
            phoning(engine) as phone,
        ):
            await phone.call()
            await phone.until_bye()
            await eventually(lambda: bool(records))
    assert records[0]["cause"] == "no-agent"


async def test_an_agent_that_is_silent_is_the_failure_branch(tmp_path):
    async def program(talk: Talk) -> None:
        await talk.socket.wait_closed()

    async with (
        agent(program) as made,
        held(tmp_path, TALK.replace("URL", made.url)) as (engine, records),
        phoning(engine) as phone,
    ):
        await phone.call()
        await phone.until_bye()
        await eventually(lambda: bool(records))
    assert records[0]["cause"] == "no-agent"


async def test_a_caller_who_hangs_up_in_a_stream_has_left(tmp_path):
    told = asyncio.Event()

    async def program(talk: Talk) -> None:
        await talk.until(lambda: talk.stopped)
        told.set()

    async with (
        agent(program) as made,
        held(tmp_path, TALK.replace("URL", made.url)) as (engine, records),
        phoning(engine) as phone,
    ):
        await phone.call()
        await eventually(lambda: bool(made.talks and made.talks[0].heard))
        await phone.hang_up()
        await told.wait()
        await eventually(lambda: bool(records))
    assert records[0]["cause"] == "left"


async def test_an_agent_asks_and_hears_for_a_script(tmp_path):
    question = tone(0.4, 400)

    async def program(talk: Talk) -> None:
        wish = talk.start["customParameters"]
        if wish["ringwheel.do"] == "speak":
            assert wish["ringwheel.text"] == "Which colour?"
            await talk.say(question)
            return
        await talk.until(lambda: PCMU.decode(bytes(talk.heard[-800:])).any())
        await talk.until(lambda: not PCMU.decode(bytes(talk.heard[-800:])).any())
        await talk.send("answer", text="azure", confidence=0.9)
        await talk.until(lambda: talk.stopped)

    async with agent(program) as made:
        speech = StreamSpeech(made.url)
        async with (
            held(tmp_path, ASK, speech) as (engine, records),
            phoning(engine) as phone,
        ):
            mouth = Mouth(phone, await phone.call())
            assert payload_of(await phone.packets(20)) == question
            await eventually(lambda: any(talk.heard for talk in made.talks))
            await mouth.say(np.append(vowel(0.4), np.zeros(2_400, np.int16)))
            await phone.until_bye()
            await eventually(lambda: bool(records))
    assert records[0]["cause"] == "answered"
    assert records[0]["report"]["colour"] == "blue"


async def test_an_agent_that_breaks_off_in_a_question_is_the_error_branch(tmp_path):
    async def program(talk: Talk) -> None:
        talk.socket.transport.abort()

    async with (
        agent(program) as made,
        held(tmp_path, ASK, StreamSpeech(made.url)) as (engine, records),
        phoning(engine) as phone,
    ):
        await phone.call()
        await phone.until_bye()
        await eventually(lambda: bool(records))
    assert records[0]["cause"] == "failed"
