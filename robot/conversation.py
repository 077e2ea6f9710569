"""Drives a conversation: the interpreter's actions to a channel, the channel's events back.

This is where time passes. Every action has a deadline of its own numbers and the silence that the
script allows; the conversation as a whole has the script's. What a channel does wrong is an event
as well: the script goes on by its error branch, or ends.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self

import soundfile

from .channels.channel import Channel
from .interruptible import Interruptible
from .script.actions import (
    Action,
    AskNow,
    FetchNow,
    HangUpNow,
    RecordNow,
    SayNow,
    SendDigitsNow,
    Speech,
    SpokenPause,
    SpokenText,
    StreamNow,
    TransferNow,
)
from .script.events import Begin, Event, Failed, Left
from .script.interpreter import Interpreter
from .script.model import Json, Timing
from .script.outcome import Ended
from .script.state import State, StepTime

CHARACTER_S = 0.2
"""A slow voice, or a script of syllables."""
SPEECH_START_S = 3.0
DIGIT_S = 0.4
PAUSE_DIGIT_S = 1.5
MAX_DIGITS = 64
BACK_OFF_S = 2.5
"""The longest pause of the fetcher between two tries, and some."""
RAW_SUFFIXES = (".ulaw", ".alaw")
RAW_BYTES_PER_S = 8_000
LOADING_S = 2.0
UNKNOWN_FILE_S = 60.0
LAST_WORDS_S = 10.0
TURN_S = 0.001
"""What takes as long has waited for something: then the loop has seen to others meanwhile."""
STOP_S = 2.0
"""How long an action that is cancelled may take to stop."""

OnStep = Callable[[StepTime], None]
OnState = Callable[[State], None]

log = logging.getLogger(__name__)


def converse(
    interpreter: Interpreter,
    channel: Channel,
    *,
    clock_ms: Callable[[], int],
    facts: Mapping[str, Json] | None = None,
    on_step: OnStep | None = None,
    on_state: OnState | None = None,
) -> Coroutine[Any, Any, Ended]:
    """Hold the conversation to its end. An interpreter that was restored goes on where it was.

    ``clock_ms`` gives milliseconds since 1970, ``facts`` is what is known at the beginning.
    ``on_step`` is called with each turn when it is over, ``on_state`` with what has to be kept to
    go on elsewhere, after each event. When cancelled, whatever goes on is stopped, and the
    interpreter can go on: ``resume()``.
    """
    # No coroutine of its own: each would be gone through whenever the conversation goes on.
    return _Driver(interpreter, channel, clock_ms, on_step, on_state).run(facts or {})


class _Driver:
    def __init__(
        self,
        interpreter: Interpreter,
        channel: Channel,
        clock_ms: Callable[[], int],
        on_step: OnStep | None,
        on_state: OnState | None,
    ) -> None:
        self.interpreter = interpreter
        self.channel = channel
        self.clock_ms = clock_ms
        self.on_step = on_step
        self.on_state = on_state
        self.tells = on_step is not None or on_state is not None
        self.turns_told = interpreter.turns_ended

    async def run(self, facts: Mapping[str, Json]) -> Ended:
        interpreter = self.interpreter
        owed = interpreter.resume()
        if not owed:
            owed = interpreter.begin(
                Begin(at_ms=self.clock_ms(), channel=self.channel.kind, facts=facts)
            )
            if self.tells:
                self._tell()
        loop = asyncio.get_running_loop()
        began_s = loop.time() - interpreter.age_ms / 1000
        async with asyncio.TaskGroup() as group:
            left: asyncio.Task[Left] = group.create_task(self._wait_left())
            turn = _Turn(left)
            turned_s = loop.time()
            try:
                while not isinstance(owed[0], HangUpNow):
                    # What takes no time at all must not keep the loop, nor the person from leaving.
                    if loop.time() - turned_s < TURN_S:
                        await asyncio.sleep(0)
                    turned_s = loop.time()
                    # Another script that it goes on in has limits of its own.
                    call_ends_s = began_s + interpreter.limits.call_s
                    owed = await self._perform_in(turn, owed[0], left, call_ends_s)
                    if self.tells:
                        self._tell()
                await self._hang_up(turn, owed[0])
            finally:
                turn.close()
                left.cancel()
        ended = interpreter.ended
        assert ended is not None
        return ended

    async def _perform_in(
        self, turn: _Turn, action: Action, left: asyncio.Task[Left], call_ends_s: float
    ) -> list[Action]:
        """Have one action done, and take what comes of it, or instead of it."""
        loop = asyncio.get_running_loop()
        # Who has left is nobody to perform for, except that the script has work of its own to do.
        watched = not self.interpreter.alone
        if watched and left.done():
            return self._take(left.result())
        # To nobody, nothing can be too long a silence.
        silence_s = self.interpreter.limits.silence_s if watched else math.inf
        limit_s = min(loop.time() + deadline_s(action, silence_s), call_ends_s)
        with turn.of(action, limit_s, watched=watched):
            try:
                event = await self.channel.perform(action)
            except Exception:
                log.exception("a channel has failed in step %s", action.step)
                event = self._failed("defect", "a defect of the channel, see the log")
        cut_short = turn.interrupted or isinstance(event, Failed)
        # What fails in the moment in which the person leaves has failed for that.
        if cut_short and watched and left.done():
            return self._take(left.result())
        if not turn.interrupted:
            return self._take(event)
        if loop.time() >= call_ends_s:
            limit_s = self.interpreter.limits.call_s
            log.warning("conversation stopped: limits.call_s (%d s) reached", limit_s)
            return self.interpreter.stop(self.clock_ms(), "limit")
        return self._take(self._failed("deadline", "it has taken too long"))

    def _take(self, event: Event | None) -> list[Action]:
        """The actions that follow from an event; a channel that gives a wrong one has failed."""
        if event is not None:
            owed = self.interpreter.handle(event)
            if owed:
                return owed
        log.error("a channel has answered with %r", event)
        return self.interpreter.handle(self._failed("protocol", "the channel gave no answer"))

    def _failed(self, kind: str, reason: str) -> Failed:
        waiting = self.interpreter.waiting
        turn = waiting.turn if waiting else 0
        return Failed(at_ms=self.clock_ms(), turn=turn, kind=kind, reason=reason)

    async def _wait_left(self) -> Left:
        try:
            return await self.channel.wait_left()
        except Exception:
            log.exception("a channel has failed to tell when the person leaves")
            return Left(at_ms=self.clock_ms(), cause="defect")

    async def _hang_up(self, turn: _Turn, action: Action) -> None:
        takes_s = deadline_s(action, self.interpreter.limits.silence_s)
        limit_s = asyncio.get_running_loop().time() + takes_s
        with turn.of(action, limit_s, watched=False):
            try:
                await self.channel.perform(action)
            except Exception:
                log.exception("a channel has failed in step %s", action.step)
        if turn.interrupted:
            log.warning("the last words of a conversation took too long")

    def _tell(self) -> None:
        interpreter = self.interpreter
        if self.on_step is not None and interpreter.turns_ended > self.turns_told:
            turn = interpreter.last_turn
            if turn is not None:
                self.on_step(turn)
        self.turns_told = interpreter.turns_ended
        if self.on_state is not None:
            self.on_state(interpreter.state())


class _Turn(Interruptible):
    """The time of each action: until the loop's ``limit_s``, or until the person leaves.

    A channel that goes on all the same is told again and again. The timer of one turn goes on in
    the next, which mostly ends later: to set one for each costs more than to look when it rings.
    """

    def __init__(self, leaving: asyncio.Task[Left]) -> None:
        super().__init__(asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = self._limit_s = math.inf
        self._step = ""
        self._watched = False
        leaving.add_done_callback(self._on_left)

    def of(self, action: Action, limit_s: float, *, watched: bool) -> Self:
        """The next one; ``watched``: it ends when the person leaves."""
        self._step, self._limit_s, self._watched = action.step, limit_s, watched
        if limit_s < self._rings_s:
            self._ring_at(limit_s)
        return self

    def close(self) -> None:
        """There will be no other."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring_at(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = at_s
        self._timer = self._loop.call_at(at_s, self._on_time)

    def _on_time(self) -> None:
        self._timer, self._rings_s = None, math.inf
        if self._loop.time() < self._limit_s:
            self._ring_at(self._limit_s)
        else:
            self._end()

    def _on_left(self, _: asyncio.Task[Left]) -> None:
        if self._watched:
            self._end()

    def _end(self) -> None:
        again = self.interrupted
        if not self.interrupt():
            return
        if again:
            log.error("a channel goes on with step %s although it was cancelled", self._step)
        self._limit_s = self._loop.time() + STOP_S
        if self._limit_s < self._rings_s:
            self._ring_at(self._limit_s)


def deadline_s(action: Action, silence_s: float) -> float:  # noqa: PLR0911 - one for each kind
    """How long an action may take: what its own numbers come to, and the silence allowed."""
    match action:
        case SayNow() | HangUpNow():
            return speech_s(action.speech) + max(silence_s, LAST_WORDS_S)
        case AskNow():
            longest_s = _answer_s(action.input.timing)
            for given in action.handlers.values():
                longest_s = max(longest_s, _answer_s(given.timing))
            return speech_s(action.speech) + longest_s + silence_s
        case FetchNow():
            tries_s = (action.deadline_ms / 1000 + BACK_OFF_S) * (1 + action.retries)
            # Nothing is heard without a filler: then the silence that is allowed is the limit.
            return tries_s if action.filler else min(tries_s, silence_s)
        case RecordNow():
            return speech_s(action.speech) + (action.max_ms + action.silence_ms) / 1000 + silence_s
        case TransferNow():
            return speech_s(action.speech) + action.timeout_ms / 1000 + silence_s
        case SendDigitsNow():
            pauses = action.digits.count(",")
            return len(action.digits) * DIGIT_S + pauses * PAUSE_DIGIT_S + silence_s
        case StreamNow():
            return action.max_ms / 1000 + silence_s


def _answer_s(timing: Timing) -> float:
    digits_ms = MAX_DIGITS * timing.inter_digit_ms
    spoken_ms = timing.max_speech_ms + timing.complete_ms
    return (timing.no_input_ms + max(digits_ms, spoken_ms)) / 1000


def speech_s(speech: Speech) -> float:
    """How long this takes to say, at most."""
    total_s = 0.0
    for spoken in speech:
        if isinstance(spoken, SpokenText):
            total_s += SPEECH_START_S + len(spoken.text) * CHARACTER_S
        elif isinstance(spoken, SpokenPause):
            total_s += spoken.pause_ms / 1000
        else:
            total_s += file_s(spoken.path)
    return total_s


@functools.lru_cache(maxsize=4_096)
def file_s(path: str) -> float:
    """How long a sound file is, and its loading may take; a guess, where that cannot be read."""
    try:
        if path.endswith(RAW_SUFFIXES):
            return LOADING_S + Path(path).stat().st_size / RAW_BYTES_PER_S
        return LOADING_S + float(soundfile.info(path).duration)
    except (OSError, RuntimeError):
        # The channel will say what is wrong with it.
        return UNKNOWN_FILE_S
