"""`bench recognition`: how much of a fixed set is understood, by phone, over MRCP, many at once.

Callers of one engine speak to a robot of another, which hears them by `ringwheel speech`, a child
process; a prompt plays to each caller all the while, and each counts what it receives. Utterances
that are in no grammar are right when they are refused.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import soundfile
import structlog

from ..cli.errors import STATUS_FAILED, CommandError
from ..media.call import Call, CallEnded
from ..media.codec import Samples
from ..media.engine import Engine
from ..robot.grammar.model import Grammar
from ..robot.script.model import Timing
from ..robot.speech.embedded import EmbeddedSpeech, SpeechUnavailable
from ..robot.speech.mrcp.servers import MrcpServer
from ..robot.speech.mrcp.service import MrcpService
from ..robot.speech.service import Completion, Recognition, SpeechFailed, SpeechSession
from .limit import Progress
from .measure import machine
from .utterances import LOCALE, TAIL_S, Utterance, grammars, make_set, on_the_line, speak
from .vad import quantiles
from .voice import RATE_HZ, espeak, to_pcm

log = structlog.get_logger(__name__)

MIN_CONFIDENCE = 0.4
STAGGER_S = 0.1
END_S = 300.0
NUMBER = "X-Bench-Caller"
CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Count:
    """What became of one kind of utterance, in one condition."""

    said: int = 0
    right: int = 0
    wrong: int = 0
    refused: int = 0
    unheard: int = 0

    def to_json(self) -> dict[str, int]:
        """Under public keys."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class RecognitionResult:
    """The counts by condition and kind, and how the callers' sound was meanwhile.

    ``answer_ms``: from the end of speech to the answer, the timeout of 800 ms included.
    """

    calls: int
    snr_db: float
    counts: dict[str, dict[str, Count]] = field(default_factory=dict)
    answer_ms: list[int] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    packets: int = 0
    lost: int = 0
    gaps: int = 0
    cpu_s: float = 0.0
    recognitions: int = 0

    @property
    def failed(self) -> bool:
        """True if speech could not be had, or the sound had a gap."""
        return bool(self.failures or self.lost or self.gaps)

    @property
    def cpu_ms_per_recognition(self) -> float:
        """Of the speech server and its workers."""
        return round(self.cpu_s * 1000 / max(1, self.recognitions), 1)

    def to_json(self) -> dict[str, object]:
        """The result under its public keys."""
        return {
            "bench": "recognition",
            **machine(),
            "calls": self.calls,
            "snr_db": self.snr_db,
            "counts": {
                condition: {kind: count.to_json() for kind, count in kinds.items()}
                for condition, kinds in self.counts.items()
            },
            "answer_ms": quantiles(self.answer_ms),
            "failures": dict(self.failures),
            "prompt_packets": self.packets,
            "prompt_lost": self.lost,
            "prompt_gaps": self.gaps,
            "cpu_ms_per_recognition": self.cpu_ms_per_recognition,
        }


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance that a caller says; ``condition`` is clean, or noisy."""

    utterance: Utterance
    condition: str
    sound: Samples
    grammar: Grammar


@dataclass(slots=True, eq=False)
class Caller:
    """One caller: its turns, and what passes between it and the robot."""

    turns: list[Turn]
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    spoken_s: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Meeting:
    """The robot, and its callers."""

    def __init__(self, callers: list[Caller], prompt: Path, result: RecognitionResult) -> None:
        self._callers = callers
        self._prompt = prompt
        self._result = result
        self.speech: MrcpService

    async def answer(self, call: Call) -> None:
        """The robot's side of one call: a prompt that never ends, and a question for each turn."""
        caller = self._callers[int(call.headers.get(NUMBER) or 0)]
        playing: asyncio.Task[object] | None = None
        try:
            await call.answer()
            playing = asyncio.create_task(call.play(self._prompt, loop=True))
            session = await self.speech.open(call)
            for turn in caller.turns:
                await self._hear(session, caller, turn)
            await session.close()
        except SpeechFailed as error:
            log.warning("speech failed", caller=call.headers.get(NUMBER), cause=str(error))
            self._result.failures[error.kind] += 1
        except CallEnded:
            self._result.failures["call"] += 1
        finally:
            caller.over.set()
            caller.listening.set()
            if playing is not None:
                playing.cancel()

    async def _hear(self, session: SpeechSession, caller: Caller, turn: Turn) -> None:
        hearing = asyncio.ensure_future(
            session.recognize(
                [turn.grammar],
                locale=LOCALE,
                timing=Timing(no_input_ms=8_000),
                min_confidence=MIN_CONFIDENCE,
                timers_run=True,
                on_speech=lambda: None,
            )
        )
        await asyncio.sleep(0.2)
        caller.listening.set()
        try:
            found = await hearing
        finally:
            hearing.cancel()
        waited_s = asyncio.get_running_loop().time() - caller.spoken_s
        if found.completion is Completion.SUCCESS:
            self._result.answer_ms.append(round(1000 * (waited_s)))
        self._count(turn, found)

    def _count(self, turn: Turn, found: Recognition) -> None:
        count = self._result.counts[turn.condition][
            "not in the grammar" if turn.utterance.meaning is None else turn.utterance.kind
        ]
        count.said += 1
        self._result.recognitions += 1
        matched = found.completion is Completion.SUCCESS
        if found.completion is Completion.NO_INPUT_TIMEOUT:
            count.unheard += 1
        elif not matched:
            count.refused += 1
            count.right += turn.utterance.meaning is None
        elif found.value == turn.utterance.meaning:
            count.right += 1
        else:
            count.wrong += 1

    async def call(self, engine: Engine, uri: str, number: int) -> None:
        """The caller's side: says each utterance when the robot listens."""
        caller = self._callers[number]
        await asyncio.sleep(number * STAGGER_S)
        call = await engine.dial(uri, headers=[(NUMBER, str(number))])
        with suppress(CallEnded):  # the robot has counted why
            await self._talk(call, caller)
            await call.hangup()
        await call.wait_ended()
        heard = call.figures.reception
        self._result.packets += heard.expected
        self._result.lost += heard.lost
        self._result.gaps += heard.gaps

    @staticmethod
    async def _talk(call: Call, caller: Caller) -> None:
        for turn in caller.turns:
            await caller.listening.wait()
            caller.listening.clear()
            if caller.over.is_set():
                break
            loop = asyncio.get_running_loop()
            spoken_s = len(turn.sound) / RATE_HZ - TAIL_S
            caller.spoken_s = loop.time() + spoken_s
            await call.speak(_block(turn.sound), sample_rate_hz=RATE_HZ)
        await caller.over.wait()


async def _block(sound: Samples) -> AsyncGenerator[Samples, None]:
    yield sound


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children up to now."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    own_s = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_S
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for thread in threads for child in thread.read_text("ascii").split()]
    return own_s + sum(cpu_of(child) for child in children)


def callers_of(calls: int, snr_db: float, utterances: list[Utterance]) -> list[Caller]:
    """The turns, clean and noisy, dealt out to the callers."""
    known = grammars()
    turns = [
        Turn(one, condition, on_the_line(one, number, snr), known[one.kind])
        for condition, snr in (("clean", None), ("noisy", snr_db))
        for number, one in enumerate(utterances)
    ]
    return [Caller(turns[number::calls]) for number in range(calls)]


async def _run(result: RecognitionResult, callers: list[Caller], prompt: Path) -> None:
    meeting = Meeting(callers, prompt, result)
    speech = EmbeddedSpeech()
    async with AsyncExitStack() as stack:
        uri = await stack.enter_async_context(speech)
        robot = await stack.enter_async_context(
            Engine(["udp:127.0.0.1:0"], rtp_ports=(30_000, 33_999), voice="off")
        )
        phones = await stack.enter_async_context(
            Engine(["udp:127.0.0.1:0"], rtp_ports=(34_000, 37_999), voice="off")
        )
        meeting.speech = MrcpService(robot, [MrcpServer(uri)])
        serving = asyncio.create_task(robot.serve(meeting.answer))
        idle = asyncio.create_task(phones.serve(_refuse))
        await asyncio.sleep(0)
        pid = speech.pid
        assert pid is not None
        began_s = cpu_of(pid)
        target = f"sip:robot@{robot.addresses[0]}"
        async with asyncio.timeout(END_S), asyncio.TaskGroup() as tasks:
            for number in range(len(callers)):
                tasks.create_task(meeting.call(phones, target, number))
        result.cpu_s = cpu_of(pid) - began_s
        await meeting.speech.close()
        await robot.drain(1.0)
        await phones.drain(1.0)
        await asyncio.gather(serving, idle)


async def _refuse(call: Call) -> None:
    call.reject(603)


def run_recognition(calls: int, snr_db: float, progress: Progress) -> RecognitionResult:
    """The whole set, clean and noisy, by ``calls`` callers at once. Raises CommandError."""
    program = espeak()
    progress("speaking the set")
    utterances = make_set(program)
    result = RecognitionResult(calls, snr_db)
    kinds = [*grammars(), "not in the grammar"]
    for condition in ("clean", "noisy"):
        result.counts[condition] = {kind: Count() for kind in kinds}
    callers = callers_of(calls, snr_db, utterances)
    with tempfile.TemporaryDirectory() as folder:
        prompt = Path(folder) / "prompt.wav"
        text = "Please answer the question. You may speak at any time."
        soundfile.write(prompt, to_pcm(speak(program, 0, text)), RATE_HZ)
        progress(f"{calls} calls, {2 * len(utterances)} utterances")
        try:
            asyncio.run(_run(result, callers, prompt))
        except* SpeechUnavailable as errors:
            raise CommandError(str(errors.exceptions[0]), "", STATUS_FAILED) from errors
        except* TimeoutError as errors:
            cause = f"not done in {END_S:.0f} s"
            raise CommandError(cause, "Take fewer --calls", STATUS_FAILED) from errors
    return result
