"""One question on the phone: the prompt, keys and speech at the same time, and the first answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from ...media.call import Call
from ..grammar.model import Grammar
from ..script.actions import AskNow
from ..script.events import Event, Failed, Heard, NoInput, NoMatch
from ..script.model import By
from ..speech.service import Completion, Recognition, SpeechFailed, SpeechSession
from .entry import TERMINATOR, Entry
from .voice import SayFailed, Voice

log = structlog.get_logger(__name__)

FITS = frozenset({Completion.SUCCESS, Completion.SUCCESS_MAXTIME})
KEY_S = 0.02
"""A key that has ended the prompt is known here by then."""
LONG_S = 86_400.0
"""A wait that something else ends."""


class Question:
    """What ends the prompt is decided in the media threads, by the caller's keys and voice. An
    answer by keys and one by speech are open at the same time; whoever begins to type is not
    listened to any more. Where speech fails, keys are an answer all the same, for as long as a word
    would have been waited for; nobody is taken to be silent who may only not have been heard.

    Keys that were typed ahead count, except where the prompt may not be interrupted by keys (as in
    VoiceXML 2.1, 4.1.5).
    """

    def __init__(
        self, call: Call, voice: Voice, action: AskNow, by: By, clock_ms: Callable[[], int]
    ) -> None:
        self._call = call
        self._voice = voice
        self._action = action
        self._by = by
        self._clock_ms = clock_ms
        inputs = [(None, action.input), *action.handlers.items()]
        self._entry = Entry([(name, given.digits) for name, given in inputs if given.digits])
        self._spoken: list[tuple[str | None, Grammar]] = []
        if voice.serves(by):
            self._spoken = [(name, given.speech) for name, given in inputs if given.speech]
        self._keys_interrupt = action.barge_in in ("dtmf", "both")
        self._speech_interrupts = action.barge_in in ("speech", "both")
        self._prompted = asyncio.Event()
        self._over: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._prompting: asyncio.Task[None] | None = None
        self._recognizing: asyncio.Task[None] | None = None
        self._session: SpeechSession | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._nothing_typed = False
        self._unheard = ""
        self._typing = False
        self._strays = 0

    async def run(self) -> Event:
        """Ask it; the event that answers the action. CallEnded."""
        if not self._entry.open and not self._spoken:
            return self._failed("speech", "only speech would be an answer, and there is no service")
        tasks = [self._begin(self._prompt())]
        self._prompting = tasks[0]
        if self._entry.open:
            tasks.append(self._begin(self._type()))
        if self._spoken:
            self._recognizing = self._begin(self._recognize())
            tasks.append(self._recognizing)
        try:
            return await self._over
        finally:
            running = [task for task in tasks if not task.done()]
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
            if self._silence is not None:
                self._silence.cancel()
            if self._unheard:
                # Not before: the same session may have had the prompt to say.
                await self._voice.give_up(self._by)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._over.done():
            self._over.set_exception(error)

    def _settle(self, event: Event) -> None:
        if not self._over.done():
            self._over.set_result(event)

    def _failed(self, kind: str, reason: str) -> Failed:
        return Failed(at_ms=self._clock_ms(), turn=self._action.turn, kind=kind, reason=reason)

    # The prompt

    async def _prompt(self) -> None:
        action = self._action
        try:
            if action.speech and not self._typed_ahead():
                await self._say()
        except SayFailed as error:
            self._settle(self._failed(error.kind, str(error)))
            return
        finally:
            # Also where the prompt was ended before its time: an answer is waited for from now on.
            if action.speech and not self._keys_interrupt:
                self._call.forget_digits()
            self._await_answer()

    def _typed_ahead(self) -> bool:
        """Whether a key waits that is an answer, or the beginning of one."""
        ahead = self._call.typed if self._keys_interrupt and self._entry.open else ""
        if ahead and self._entry.strays(TERMINATOR):
            ahead = ahead.lstrip(TERMINATOR)
        return bool(ahead)

    async def _say(self) -> None:
        """The prompt; once more, where only a key has ended it that means nothing."""
        strays = self._strays
        said = await self._voice.say(self._action.speech, self._action.barge_in, self._by)
        if not said:
            await asyncio.sleep(KEY_S)
            if self._strays > strays and not self._typing:
                await self._voice.say(self._action.speech, self._action.barge_in, self._by)

    def _stop_prompt(self) -> None:
        if self._prompting is not None and not self._prompted.is_set():
            self._prompting.cancel()

    # Keys

    async def _type(self) -> None:
        if not self._keys_interrupt:
            await self._prompted.wait()
        symbol = await self._call.next_digit(LONG_S)
        while symbol is not None and self._entry.strays(symbol):
            self._strays += 1
            symbol = await self._call.next_digit(LONG_S)
        self._typing = True
        self._stop_prompt()
        if self._recognizing is not None:
            self._recognizing.cancel()
        inter_s = self._action.input.timing.inter_digit_ms / 1000
        while symbol is not None and not self._entry.press(symbol):
            symbol = await self._call.next_digit(inter_s)
        self._settle(self._typed())

    def _await_answer(self) -> None:
        """The prompt has ended: silence counts from now on. A recognizer knows of it itself."""
        self._prompted.set()
        if self._session is not None:
            self._session.start_timers()
        if not self._over.done():
            silence_s = self._action.input.timing.no_input_ms / 1000
            self._silence = asyncio.get_running_loop().call_later(silence_s, self._on_silence)

    def _on_silence(self) -> None:
        if self._typing:
            return
        self._nothing_typed = True
        if self._unheard:
            self._settle(self._failed("speech", self._unheard))
        elif not self._spoken:
            self._settle(NoInput(at_ms=self._clock_ms(), turn=self._action.turn))

    def _typed(self) -> Event:
        at_ms, turn, typed = self._clock_ms(), self._action.turn, self._entry.typed
        meaning = self._entry.meaning()
        if meaning is None:
            return NoMatch(at_ms=at_ms, turn=turn, text=typed)
        handler, value = meaning
        return Heard(at_ms=at_ms, turn=turn, mode="dtmf", text=typed, value=value, handler=handler)

    # Speech

    async def _recognize(self) -> None:
        if not self._speech_interrupts:
            await self._prompted.wait()
        given = self._action.input
        try:
            self._session = await self._voice.session(self._by)
            heard = await self._session.recognize(
                [grammar for _, grammar in self._spoken],
                locale=self._action.locale,
                timing=given.timing,
                min_confidence=given.min_confidence,
                timers_run=self._prompted.is_set(),
                on_speech=self._on_speech,
            )
        except SpeechFailed as error:
            self._stop_hearing(f"{error.kind}: {error}")
            return
        if heard.completion is Completion.CANCELLED:
            self._stop_hearing("cancelled: the server has ended the recognition")
            return
        self._settle(self._recognized(heard))

    def _stop_hearing(self, reason: str) -> None:
        """Nobody recognizes what is said any more: keys alone are waited for, if any are open."""
        self._unheard, self._session = reason, None
        if self._nothing_typed or not self._entry.open:
            self._settle(self._failed("speech", reason))
        else:
            log.warning("keys alone", call=self._call.id, step=self._action.step, cause=reason)

    def _on_speech(self) -> None:
        """The server hears speech: where our own detector was first, the prompt has ended."""
        if self._speech_interrupts:
            self._stop_prompt()

    def _recognized(self, heard: Recognition) -> Event:
        at_ms, turn = self._clock_ms(), self._action.turn
        if heard.completion is Completion.NO_INPUT_TIMEOUT:
            return NoInput(at_ms=at_ms, turn=turn)
        number = heard.grammar or 0
        sure = heard.confidence >= self._action.input.min_confidence
        if heard.completion not in FITS or not sure or not number < len(self._spoken):
            return NoMatch(at_ms=at_ms, turn=turn, text=heard.text)
        return Heard(
            at_ms=at_ms,
            turn=turn,
            mode="speech",
            text=heard.text,
            value=heard.value,
            confidence=heard.confidence,
            handler=self._spoken[number][0],
        )
