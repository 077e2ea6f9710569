"""One question on the phone: the prompt, keys and speech at the same time, and the first answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from ...media.call import Call
from ..grammar.model import Grammar
from ..interruptible import Interruptible
from ..script.actions import AskNow
from ..script.events import Event, Failed, Heard, NoInput, NoMatch
from ..script.model import By
from ..speech.service import Completion, Recognition, SpeechFailed, SpeechSession
from .entry import TERMINATOR, Entry
from .voice import Voice

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
        typed: list[tuple[str | None, Grammar]] = []
        self._spoken: list[tuple[str | None, Grammar]] = []
        listens = voice.serves(by)
        for name, given in ((None, action.input), *action.handlers.items()):
            if given.digits:
                typed.append((name, given.digits))
            if given.speech and listens:
                self._spoken.append((name, given.speech))
        self._entry = Entry(typed)
        self._keys_interrupt = action.barge_in in ("dtmf", "both")
        self._speech_interrupts = action.barge_in in ("speech", "both")
        self._saying = Interruptible()
        self._prompted = False
        self._recognizing: asyncio.Task[Event | None] | None = None
        self._session: SpeechSession | None = None
        self._unheard = ""
        self._nothing_typed = False

    async def run(self) -> Event:
        """Ask it; the event that answers the action. SayFailed; CallEnded."""
        if self._spoken:
            return await self._by_speech_or_keys()
        if not self._entry.open:
            return self._failed("speech", self._why_unanswerable())
        await self._prompt()
        symbol = await self._first_key(self._no_input_s)
        if symbol is None:
            return NoInput(at_ms=self._clock_ms(), turn=self._action.turn)
        return await self._typed(symbol)

    def _why_unanswerable(self) -> str:
        if self._action.input.free:
            return "free text can be typed in a text channel alone: recognizers take grammars"
        return "only speech would be an answer, and there is no service"

    @property
    def _no_input_s(self) -> float:
        return self._action.input.timing.no_input_ms / 1000

    def _failed(self, kind: str, reason: str) -> Failed:
        return Failed(at_ms=self._clock_ms(), turn=self._action.turn, kind=kind, reason=reason)

    # The prompt

    async def _prompt(self) -> None:
        """Say it, until an answer begins; from then on one is waited for."""
        action = self._action
        try:
            if action.speech and not self._is_typed():
                with self._saying:
                    self._call.watch_digits(self._on_key)
                    await self._say()
        finally:
            self._call.watch_digits(None)
            if action.speech and not self._keys_interrupt:
                self._call.forget_digits()
            self._prompted = True
            if self._session is not None:
                self._session.start_timers()

    def _on_key(self) -> None:
        if self._is_typed():
            self._saying.interrupt()

    def _is_typed(self) -> bool:
        """Whether a key waits that is an answer, or the beginning of one."""
        ahead = self._call.typed if self._keys_interrupt and self._entry.open else ""
        if ahead and self._entry.strays(TERMINATOR):
            ahead = ahead.lstrip(TERMINATOR)
        return bool(ahead)

    async def _say(self) -> None:
        """The prompt; once more, where only a key has ended it that means nothing."""
        self._forget_strays()
        if not await self._voice.say(self._action.speech, self._action.barge_in, self._by):
            await asyncio.sleep(KEY_S)
            if self._forget_strays():
                await self._voice.say(self._action.speech, self._action.barge_in, self._by)

    def _forget_strays(self) -> bool:
        """Whether there were any; keys that count do not wait here."""
        if not (self._keys_interrupt and self._entry.open and self._call.typed):
            return False
        self._call.forget_digits()
        return True

    # Keys

    async def _first_key(self, within_s: float) -> str | None:
        clock_s = asyncio.get_running_loop().time
        ends_s = clock_s() + within_s
        symbol = await self._call.next_digit(within_s)
        while symbol is not None and self._entry.strays(symbol):
            symbol = await self._call.next_digit(ends_s - clock_s())
        return symbol

    async def _typed(self, symbol: str | None) -> Event:
        """The entry that begins with that key."""
        if self._recognizing is not None:
            self._recognizing.cancel()
        inter_s = self._action.input.timing.inter_digit_ms / 1000
        while symbol is not None and not self._entry.press(symbol):
            symbol = await self._call.next_digit(inter_s)
        return self._meant()

    def _meant(self) -> Event:
        at_ms, turn, typed = self._clock_ms(), self._action.turn, self._entry.typed
        meaning = self._entry.meaning()
        if meaning is None:
            return NoMatch(at_ms=at_ms, turn=turn, text=typed)
        handler, value = meaning
        return Heard(at_ms=at_ms, turn=turn, mode="dtmf", text=typed, value=value, handler=handler)

    # Speech

    async def _by_speech_or_keys(self) -> Event:
        """The first answer of both. A recognizer knows of silence itself."""
        self._hearing = Interruptible()
        try:
            with self._hearing:
                if self._speech_interrupts:
                    self._recognizing = self._listen()
                await self._prompt()
                if self._recognizing is None and not self._is_typed():
                    self._recognizing = self._listen()
                if self._entry.open:
                    return await self._typed_meanwhile()
                await asyncio.sleep(LONG_S)
            assert self._recognizing is not None
            return self._recognizing.result() or self._failed("speech", self._unheard)
        finally:
            if self._recognizing is not None and not self._recognizing.done():
                self._recognizing.cancel()
                await asyncio.wait([self._recognizing])
            if self._unheard:
                # Not before: the same session may have had the prompt to say.
                await self._voice.give_up(self._by)

    async def _typed_meanwhile(self) -> Event:
        """What is typed while somebody listens, or where nobody does any more."""
        symbol = await self._first_key(self._no_input_s)
        if symbol is None:
            if self._unheard:
                return self._failed("speech", self._unheard)
            self._nothing_typed = True
            symbol = await self._first_key(LONG_S)
        return await self._typed(symbol)

    def _listen(self) -> asyncio.Task[Event | None]:
        task = asyncio.ensure_future(self._recognize())
        task.add_done_callback(self._on_recognized)
        return task

    def _on_recognized(self, task: asyncio.Task[Event | None]) -> None:
        """What is heard is the answer, unless keys can be one where hearing has failed."""
        if task.cancelled():
            return
        failed = task.exception() is None and task.result() is None
        if failed and self._entry.open and not self._nothing_typed:
            step, cause = self._action.step, self._unheard
            log.warning("keys alone", call=self._call.id, step=step, cause=cause)
            return
        self._hearing.interrupt()

    async def _recognize(self) -> Event | None:
        """What the caller says, or None: nobody can hear it."""
        given = self._action.input
        try:
            self._session = await self._voice.session(self._by)
            heard = await self._session.recognize(
                [grammar for _, grammar in self._spoken],
                locale=self._action.locale,
                timing=given.timing,
                min_confidence=given.min_confidence,
                timers_run=self._prompted,
                on_speech=self._on_speech,
            )
        except SpeechFailed as error:
            self._unheard, self._session = f"{error.kind}: {error}", None
            return None
        if heard.completion is Completion.CANCELLED:
            self._unheard, self._session = "cancelled: the server has ended the recognition", None
            return None
        return self._recognized(heard)

    def _on_speech(self) -> None:
        """The server hears speech: where our own detector was first, the prompt has ended."""
        if self._speech_interrupts:
            self._saying.interrupt()

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
