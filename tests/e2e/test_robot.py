"""Scripts held over the wire: what a caller hears, types and leaves, and what is written down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from ringwheel import Engine
from ringwheel.media.trunk import Peer, Trunk, TrunkLimits
from ringwheel.robot.channels import phone as phone_module
from ringwheel.robot.runner import Robot
from ringwheel.robot.script import events
from ringwheel.robot.script.actions import AskNow
from ringwheel.robot.script.compiler import load_script

from .callee import Callee
from .client import Phone
from .conftest import eventually, phoning, serving
from .test_hear import EVENTS, Mouth
from .test_play import unbroken
from .test_transfer import OVER, THIRD, asked, notify

pytestmark = pytest.mark.one_loop

SURVEY = """
ringwheel: 1
name: Test
locale: en
report: [code, liked]
on:
  repeat: {key: "*"}
  error: [{hang_up: {cause: failed}}]
  silence: [{hang_up: {cause: silent, say: {file: bye.ulaw}}}]
steps:
  - say: [{file: one.ulaw}, {file: two.ulaw}]
  - ask:
      into: code
      prompt: {file: menu.ulaw}
      answer: {digits: {min: 2, max: 4}}
      timing: {no_input: 1s, between_digits: 1s}
      retries:
        no_input: [{file: again.ulaw}]
        no_match: [{file: again.ulaw}]
        max_no_input: 2
  - confirm: {prompt: {file: menu.ulaw}, into: liked}
  - hang_up: {cause: complete, say: {file: bye.ulaw}}
"""
SIZES = {"one": 1234, "two": 777, "menu": 3200, "again": 1600, "bye": 1700}


@dataclass
class Stage:
    """A robot on an engine, and what it did."""

    engine: Engine
    robot: Robot
    records: list[dict] = field(default_factory=list)
    seen: list[object] = field(default_factory=list)

    async def record(self) -> dict:
        await eventually(lambda: bool(self.records))
        return self.records[0]

    async def begun(self, kind: type, step: str = "") -> None:
        """Wait until an action of that kind was begun."""
        await eventually(
            lambda: any(
                isinstance(action, kind) and action.step.startswith(step) for action in self.seen
            )
        )


@pytest.fixture
def sounds(make_prompt) -> dict[str, bytes]:
    return {name: make_prompt(f"{name}.ulaw", size)[1] for name, size in SIZES.items()}


@pytest.fixture
def stage(tmp_path, sounds) -> Callable[..., contextlib.AbstractAsyncContextManager[Stage]]:
    @contextlib.asynccontextmanager
    async def make(source: str = SURVEY, **options: object) -> AsyncIterator[Stage]:
        (tmp_path / "script.yaml").write_text(source, "utf-8")
        script = load_script(tmp_path / "script.yaml")
        staged: list[Stage] = []

        async def take(record: dict) -> None:
            staged[0].records.append(record)

        async def handler(call) -> None:
            await staged[0].robot.answer(call)

        async with (
            serving(handler, **options) as engine,
            Robot(
                engine,
                script,
                results=take,
                recordings=tmp_path,
                observe=lambda _, what: staged[0].seen.append(what),
            ) as robot,
        ):
            staged.append(Stage(engine, robot))
            await robot.prepare()
            yield staged[0]

    return make


@contextlib.asynccontextmanager
async def typing(stage: Stage) -> AsyncIterator[tuple[Phone, Mouth]]:
    async with phoning(stage.engine, formats="0 101") as phone:
        yield phone, Mouth(phone, await phone.call(phone.offer(*EVENTS)))


def padded(sound: bytes) -> bytes:
    return sound + b"\xff" * (-len(sound) % 160)


async def test_prompts_are_heard_byte_for_byte_and_answers_written_down(stage, sounds):
    async with stage() as staged, typing(staged) as (phone, mouth):
        greeting = padded(sounds["one"] + sounds["two"])
        await staged.begun(AskNow)
        packets = await phone.packets(len(greeting) // 160)
        assert unbroken(packets) == greeting
        for digit in "4711":
            mouth.press(digit)
        await staged.begun(AskNow, "main.2")
        mouth.press("1")
        await phone.until_bye()
        record = await staged.record()
        said = [packet for packet in phone.waiting_packets() if packet.payload_type == 0]
        last = b"".join(packet.payload for packet in said[-(len(padded(sounds["bye"])) // 160) :])
    assert last == padded(sounds["bye"])
    assert record["report"] == {"code": "4711", "liked": True}
    assert (record["outcome"], record["cause"]) == ("answered", "complete")
    assert [question["asked"] for question in record["questions"]] == [1, 1]
    assert record["turns"]
    assert record["quality"]["loss_in"] == 0


async def test_who_was_not_reached_is_written_down_with_the_trunk(stage):
    async with Callee() as peer:
        port = peer.sip.getsockname()[1]
        limits = TrunkLimits(channels=1)
        carrier = Trunk("carrier", (Peer("127.0.0.1", port),), limits=limits, options_interval_s=0)
        async with stage(trunks=[carrier]) as staged:
            refused = asyncio.create_task(staged.robot.dial("sip:4711@carrier"))
            invite = await peer.invited()
            crowded = await staged.robot.dial("sip:4712@carrier")  # the one channel is in use
            peer.reply(invite, "486 Busy Here")
            outcomes = [(one["outcome"], one["trunk"]) for one in (await refused, crowded)]
            assert outcomes == [("busy", "carrier"), ("congestion", "carrier")]
            nowhere = await staged.robot.dial("sip:4711@127.0.0.1:9")
            assert nowhere["trunk"] is None


async def test_digits_end_the_prompt_and_those_typed_ahead_count(stage, sounds):
    async with stage() as staged, typing(staged) as (phone, mouth):
        for digit in "12#2":  # while the greeting, which nobody interrupts, goes on
            mouth.press(digit)
        await phone.until_bye()
        record = await staged.record()
        heard = b"".join(packet.payload for packet in phone.waiting_packets())
    assert record["report"] == {"code": "12", "liked": False}
    assert sounds["menu"][:160] not in heard


async def test_a_key_asks_again_and_silence_is_counted(stage, sounds):
    async with stage() as staged, typing(staged) as (phone, mouth):
        await staged.begun(AskNow)
        mouth.press("*")
        await eventually(lambda: sum(isinstance(seen, AskNow) for seen in staged.seen) == 2)
        await phone.until_bye()
        record = await staged.record()
    question = record["questions"][0]
    assert (question["repeats"], question["no_input"]) == (1, 2)
    assert record["cause"] == "silent"


async def test_a_key_that_means_nothing_has_the_question_asked_once_more(stage, make_prompt):
    _, menu = make_prompt("menu.ulaw", 80_000)
    async with stage() as staged, typing(staged) as (phone, mouth):
        await phone.packets((SIZES["one"] + SIZES["two"]) // 160 + 4)  # the menu is being said
        mouth.press("#")
        while (await phone.packets(1))[0].payload != menu[:160]:
            pass
        for digit in "12#1":
            mouth.press(digit)
        await phone.until_bye()
        record = await staged.record()
    assert record["report"] == {"code": "12", "liked": True}
    assert [question["asked"] for question in record["questions"]] == [1, 1]


async def test_a_digit_by_info_ends_the_prompt(stage, make_prompt):
    _, menu = make_prompt("menu.ulaw", 80_000)
    relay = "Content-Type: application/dtmf-relay"
    async with stage() as staged, phoning(staged.engine) as phone:
        await phone.call()
        begun = await phone.packets((SIZES["one"] + SIZES["two"]) // 160 + 4)
        for digit in "12#1":
            phone.send("INFO", "", relay, content=f"Signal={digit}")
            await phone.response("INFO")
        await phone.until_bye()
        record = await staged.record()
        heard = b"".join(packet.payload for packet in begun + phone.waiting_packets())
    assert record["report"] == {"code": "12", "liked": True}
    assert menu[:160] in heard
    assert menu[-160:] not in heard


async def test_digits_that_fit_nothing_are_a_misfit(stage):
    async with stage() as staged, typing(staged) as (phone, mouth):
        await staged.begun(AskNow)
        mouth.press("1")
        mouth.press("#")  # one digit, where two are needed
        await eventually(lambda: any(isinstance(e, events.NoMatch) for e in staged.seen))
        await phone.hang_up()
        record = await staged.record()
    assert record["questions"][0]["no_match"] == 1
    assert record["cause"] == "left"


KINDS = {
    "say": "- say: {file: menu.ulaw}",
    "ask": "- ask: {into: x, prompt: {file: menu.ulaw}, answer: {digits: 4}}",
    "record": "- record: {into: x, prompt: {file: menu.ulaw}, longest: 20s}",
    "http": "- http: {url: 'http://127.0.0.1:%d/', into: x, filler: {file: menu.ulaw}}",
    "send_digits": "- send_digits: '1,,,,,,,,2'",
    "transfer": "- transfer: {to: 'sip:nobody@127.0.0.1:%d', timeout: 20s}",
    "hang_up": "- hang_up: {cause: enough, say: {file: menu.ulaw}}",
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_may_leave_in_every_kind_of_step(stage, kind):
    """Whatever goes on, it is stopped, and nothing of it is left."""

    async def keep(reader, writer) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        line = KINDS[kind].replace("%d", str(port))
        source = f"ringwheel: 1\nname: T\nlocale: en\nreport: []\nsteps:\n  {line}\n"
        async with stage(source) as staged, phoning(staged.engine) as phone:
            await phone.call()
            await eventually(lambda: bool(staged.seen))
            if kind in ("say", "ask", "http", "hang_up"):
                await phone.packets(2)
            await phone.hang_up()
            record = await staged.record()
            await eventually(lambda: not staged.engine.calls)
            names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
            assert not [name for name in names if "Question" in name or "PhoneChannel" in name]
    assert record["cause"] == ("enough" if kind == "hang_up" else "left")


LEAVES_A_MESSAGE = """
ringwheel: 1
name: Message
locale: en
report: [message, noted]
variables: {message: null, noted: null}
on:
  hang_up: [{set: {noted: message.ended_by}}]
steps:
  - record: {into: message, beep: false, longest: 20s}
"""


async def test_who_hangs_up_behind_a_message_has_left_it(stage, tmp_path):
    async with stage(LEAVES_A_MESSAGE) as staged, phoning(staged.engine) as phone:
        await phone.call()
        await eventually(lambda: any(tmp_path.glob("*-1.wav")))
        await phone.hang_up()
        record = await staged.record()
    assert record["cause"] == "left"
    assert record["report"]["message"]["file"] == str(next(tmp_path.glob("*-1.wav")))
    assert record["report"]["noted"] == "hang_up"


async def test_a_file_that_is_gone_leads_to_the_error_branch(stage, tmp_path):
    async with stage() as staged:
        (tmp_path / "menu.ulaw").unlink()
        staged.engine.prompts.close()
        async with phoning(staged.engine) as phone:
            await phone.call()
            await phone.until_bye()
            record = await staged.record()
    assert record["cause"] == "failed"
    assert record["error"]["kind"] == "prompt"


TRANSFER = """
ringwheel: 1
name: Transfer
locale: en
report: []
limits: {silence: 5s}
steps:
  - transfer:
      to: TARGET
      timeout: 10s
      failed: [{hang_up: {cause: nobody, say: {file: bye.ulaw}}}]
"""


async def test_a_caller_who_is_sent_elsewhere_has_been_transferred(stage):
    async with stage(TRANSFER.replace("TARGET", THIRD)) as staged, phoning(staged.engine) as phone:
        await asked(phone)
        notify(phone, "200 OK", OVER)
        await phone.until_bye()
        record = await staged.record()
    assert record["cause"] == "transferred"


async def test_where_nobody_answers_the_script_goes_on(stage):
    async with stage(TRANSFER.replace("TARGET", THIRD)) as staged, phoning(staged.engine) as phone:
        await asked(phone)
        notify(phone, "486 Busy Here", OVER)
        await phone.until_bye()
        record = await staged.record()
    assert record["cause"] == "nobody"
    assert record["error"]["result"] == {"status": 486}


async def test_those_whom_we_connect_talk_until_one_leaves(stage, monkeypatch):
    monkeypatch.setattr(phone_module, "SETTLE_S", 0.05)
    headers = ("Allow: INVITE, ACK, BYE",)
    async with (
        Callee() as callee,
        stage(TRANSFER.replace("TARGET", callee.uri)) as staged,
        phoning(staged.engine, invite_headers=headers) as phone,
    ):
        await phone.call()
        invite = await callee.invited()
        callee.reply(invite, "200 OK", callee.offer())
        await callee.request("ACK")
        await eventually(lambda: any(isinstance(seen, events.Done) for seen in staged.seen))
        assert phone.bye is None
        assert not staged.records  # our part is over, and theirs goes on
        callee.hang_up_on(invite)
        await phone.until_bye()
        record = await staged.record()
    assert record["cause"] == "transferred"
