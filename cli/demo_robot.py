"""`ringwheel demo robot`: a survey by phone on this machine, spoken and typed, and its result."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import typer
from rich.console import Console

from ..media.call import Call, CallEnded
from ..media.dialling import DialFailed
from ..media.engine import Engine
from ..media.sip.transport import ListenError
from ..robot.results import JsonLines, ResultWriter
from ..robot.runner import Robot
from ..robot.script import events
from ..robot.script.actions import (
    Action,
    AskNow,
    HangUpNow,
    SayNow,
    Speech,
    SpokenFile,
    SpokenText,
)
from ..robot.script.compiler import load_script
from ..robot.script.model import Ask, Script
from ..robot.speech.engines.engine import EngineFailed, Utterance
from ..robot.speech.engines.espeak import EspeakSynthesizer
from .config import ServeConfig
from .errors import STATUS_FAILED, CommandError
from .robot_speech import LOCAL, close_when_idle, speech_services
from .serve import loop_factory

SCRIPT = Path(__file__).with_name("demo_survey.yaml")
TIMEOUT_S = 150.0
QUIET_S = 0.6
"""How long the caller lets the robot be silent before he answers."""
HEARD_S = 15.0
GOODBYE_S = 2.0
LOCALE = "en-US"
CALLER_VOICE, CALLER_RATE = "en-us+f3", 0.8


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller answers, in words or by keys, and what it is to be taken for."""

    name: str
    value: object
    words: str = ""
    keys: str = ""


REPLIES = (
    Reply("visited", True, words="yes"),
    Reply("times", 12, keys="12#"),
    Reply("rating", 5, words="five"),
    Reply("liked", "garden", words="the garden"),
    Reply("again", True, keys="1"),
)


class Transcript:
    """What is said on the line, told as it goes on; the caller waits here for his questions."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self.asked: asyncio.Queue[AskNow] = asyncio.Queue()
        self.understood: list[dict[str, Any]] = []

    def tell(self, who: str, what: str, style: str = "") -> None:
        """A line."""
        if self._console is not None:
            at_s = time.monotonic() - self._began_s
            self._console.print(f"{at_s:6.1f} s  [{style or 'default'}]{who:<10}[/]  {what}")

    def observe(self, call: Call, seen: Action | events.Event) -> None:
        """What the robot does, and what comes of it."""
        match seen:
            case SayNow() | AskNow() | HangUpNow():
                if text := text_of(seen.speech):
                    self.tell("robot", text, "cyan")
                if isinstance(seen, AskNow):
                    self.asked.put_nowait(seen)
            case events.Heard():
                self.understood.append(
                    {"text": seen.text, "mode": seen.mode, "confidence": seen.confidence}
                )
                sure = f", confidence {seen.confidence:.2f}" if seen.mode == "speech" else ""
                what = f"{seen.text!r} by {seen.mode}{sure}: {seen.value!r}"
                self.tell("understood", what, "green")
            case events.NoInput():
                self.tell("understood", "nothing was heard", "yellow")
            case events.NoMatch():
                self.tell("understood", f"{seen.text!r} fits nothing", "yellow")
            case events.Failed():
                self.tell("failed", f"{seen.kind}: {seen.reason}", "red")


def text_of(speech: Speech) -> str:
    """What is said, in one line."""
    return " ".join(s.text for s in speech if isinstance(s, SpokenText | SpokenFile))


def demo_robot(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold a survey of five questions by phone, on this machine, and check its result.

    The robot speaks and hears over MRCPv2 by the speech server that comes with Ringwheel, the
    caller speaks synthesized words and presses keys. Exit status 1 if the result is wrong. Needs
    espeak-ng.
    """
    console = None if as_json else Console(highlight=False)
    began_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="ringwheel-demo-") as folder,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        record, understood = runner.run(_hold(Path(folder), console))
    expected = {reply.name: reply.value for reply in REPLIES}
    right = record["report"] == expected and record["cause"] == "completed"
    seconds = round(time.monotonic() - began_s, 1)
    if console is None:
        typer.echo(
            json.dumps(
                {
                    "right": right,
                    "expected": expected,
                    "understood": understood,
                    "seconds": seconds,
                    "record": record,
                }
            )
        )
    else:
        _show(console, record, expected, right, seconds)
    raise typer.Exit(0 if right else STATUS_FAILED)


async def _hold(
    folder: Path, console: Console | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The call; its record as the results file has it, and what was understood."""
    transcript = Transcript(console)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await _survey(folder, transcript)
    except TimeoutError:
        raise CommandError(
            f"the survey took more than {TIMEOUT_S:.0f} s",
            "Try again on a machine with less to do",
            STATUS_FAILED,
        ) from None
    except (DialFailed, ListenError, EngineFailed) as error:
        raise CommandError(str(error)) from error
    lines = (folder / "results.jsonl").read_text("utf-8").splitlines()
    if len(lines) != 1:
        raise CommandError(f"the results have {len(lines)} records", "", STATUS_FAILED)
    record: dict[str, Any] = json.loads(lines[0])
    return record, transcript.understood


async def _survey(folder: Path, transcript: Transcript) -> None:
    sounds, script = await _words(folder), load_script(SCRIPT)
    config = ServeConfig()
    async with (
        ResultWriter(JsonLines(folder / "results.jsonl")) as writer,
        Engine(["udp:127.0.0.1:0"], voice="medium", rtp_ports=(34_000, 35_000)) as engine,
        speech_services(engine, config, [LOCAL]) as services,
        Robot(
            engine,
            script,
            speech=services,
            results=writer.put,
            observe=transcript.observe,
        ) as robot,
        _answering(engine, robot) as done,
        Engine(["udp:127.0.0.1:0"], voice="medium", rtp_ports=(35_002, 36_000)) as phone,
    ):
        transcript.tell("caller", "calls", "magenta")
        call = await phone.dial(f"sip:survey@{engine.addresses[0]}", timeout_s=10)
        with contextlib.suppress(CallEnded):
            await _answer(call, script, sounds, transcript)
        await call.wait_ended()
        transcript.tell("caller", "the robot has hung up", "magenta")
        await done.wait()
        robot.drain()
        await close_when_idle(robot, services)


@contextlib.asynccontextmanager
async def _answering(engine: Engine, robot: Robot) -> AsyncIterator[asyncio.Event]:
    """The robot takes calls; the event is set when it has held a conversation."""
    done = asyncio.Event()

    async def handle(call: Call) -> None:
        try:
            await robot.answer(call)
        finally:
            done.set()

    serving = asyncio.create_task(engine.serve(handle))
    await asyncio.sleep(0)  # calls are taken from now on
    try:
        yield done
    finally:
        await engine.drain(GOODBYE_S)
        await serving


async def _words(folder: Path) -> dict[str, Path]:
    """What the caller says, as sound files. EngineFailed: espeak-ng is missing."""
    synthesizer = EspeakSynthesizer()
    files: dict[str, Path] = {}
    for reply in REPLIES:
        if reply.words:
            utterance = Utterance(reply.words, LOCALE, CALLER_VOICE, rate=CALLER_RATE)
            blocks = [block async for block in synthesizer.synthesize(utterance)]
            files[reply.name] = folder / f"{reply.name}.wav"
            sound = np.concatenate(blocks)
            soundfile.write(files[reply.name], sound, synthesizer.sample_rate_hz)
    return files


async def _answer(
    call: Call, script: Script, sounds: dict[str, Path], transcript: Transcript
) -> None:
    """The caller's part: he hears each question to its end, and answers it."""
    while True:
        asked = await _question(call, transcript)
        if asked is None:
            return
        step = script.steps[asked.step]
        into = step.into if isinstance(step, Ask) else None
        reply = next((reply for reply in REPLIES if reply.name == into), None)
        if reply is None:
            continue
        await _heard_out(call)
        if reply.keys:
            transcript.tell("caller", f"types {reply.keys}", "magenta")
            await call.send_digits(reply.keys)
        else:
            transcript.tell("caller", f"says {reply.words!r}", "magenta")
            await call.play(sounds[reply.name])


async def _question(call: Call, transcript: Transcript) -> AskNow | None:
    """The next question, None if the call ends before."""
    asking = asyncio.ensure_future(transcript.asked.get())
    ending = asyncio.ensure_future(call.wait_ended())
    try:
        await asyncio.wait([asking, ending], return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        asking.cancel()
        ending.cancel()


async def _heard_out(call: Call) -> None:
    """Wait until the robot has begun to speak, and is silent again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEARD_S):
            await call.wait_speaking(True)
            while True:
                await call.wait_speaking(False)
                try:
                    async with asyncio.timeout(QUIET_S):
                        await call.wait_speaking(True)
                except TimeoutError:
                    return


def _show(
    console: Console,
    record: dict[str, Any],
    expected: dict[str, object],
    right: bool,
    seconds: float,
) -> None:
    console.print("\nThe results file:")
    console.print_json(json.dumps({key: record[key] for key in ("outcome", "cause", "report")}))
    for name, value in expected.items():
        if record["report"].get(name) != value:
            console.print(f"wrong: {name} is {record['report'].get(name)!r}, not {value!r}")
    verdict = "right" if right else "WRONG"
    console.print(f"{len(REPLIES)} questions in {seconds} s: the result is {verdict}.")
