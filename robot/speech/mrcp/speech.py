"""Speech for one call over MRCPv2: what a conversation asks, and what servers make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from ....media.connection import CallEnded
from ....media.events import PlayOutcome
from ...grammar import srgs_xml
from ...grammar.model import Grammar
from ..service import Recognition, SpeechFailed
from .channel import Asked, Ending, Outcome, RequestUser, TooManyRequests
from .line import Ask, Line, Running
from .message import Event
from .resources import RecognizeWish, RecordWish, VoiceWish
from .results import ServerRecording, failure_of, recognition_of, recording_of
from .session import MAX_GRAMMARS
from .words import EventName, Resource

if TYPE_CHECKING:
    from ....media.call import Call, Played
    from ....media.one_way import OneWay
    from ...script.model import BargeIn, Timing
    from .pool import SessionPool
    from .session import MrcpSession

log = structlog.get_logger(__name__)

MAX_RECORD_MS = 600_000
"""Of a recording that has no limit of its own."""


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """Deadlines of what is asked. ``speak_s``: one text from its response to its end; ``prompt_s``:
    a recognition that waits for a prompt to end; ``grace_s``: what a server may take beyond the
    times that it was given; ``tail_ms``: how much later than the end of a text its last sound may
    come."""

    speak_s: float = 300.0
    prompt_s: float = 300.0
    grace_s: float = 4.0
    tail_ms: int = 60


@dataclass(frozen=True, slots=True)
class _Text:
    """What is to be spoken, and how."""

    text: str
    locale: str
    voice: str | None
    ssml: bool


class MrcpSpeech:
    """A `SpeechSession` over MRCPv2. One that is lost fails what goes on, once; what comes next is
    asked of a new one."""

    def __init__(
        self,
        call: Call,
        pool: SessionPool,
        limits: SpeechLimits,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._call = call
        self._pool = pool
        self._limits = limits
        self._spawn = spawn
        self._session: MrcpSession | None = None
        self._taking = asyncio.Lock()
        self._speaking = asyncio.Lock()
        self._settling: set[asyncio.Task[None]] = set()
        self._listening: _Listening | None = None
        self._closed = False

    async def open(self) -> None:
        """Get a session. SpeechFailed."""
        await self._live()

    # Speaking

    async def speak(
        self, text: str, *, locale: str, voice: str | None, ssml: bool, barge_in: BargeIn
    ) -> Played:
        """Speak to the caller, behind what plays already; returns when the last packet left."""
        async with self._speaking:
            session, line = await self._line(Resource.SPEECHSYNTH)
            begun: list[Running] = []
            spoken = self._spoken(session, line, _Text(text, locale, voice, ssml), begun)
            outcome: PlayOutcome | None = None
            try:
                played = await self._call.play_from(session.call, spoken, barge_in=barge_in)
                outcome = played.outcome
            except CallEnded:
                self._check_call()
                raise SpeechFailed("lost", session.lost or "the speech session has ended") from None
            finally:
                spoken.close()  # should it not even have begun
                for running in begun:
                    if running.open:
                        barged = outcome is PlayOutcome.BARGED_IN
                        self._settle(session, line, running, barged=barged)
            if outcome is PlayOutcome.FINISHED and not all(running.ok for running in begun):
                raise SpeechFailed("lost", session.lost or "the sound of the server has ended")
            return played

    async def _spoken(
        self, session: MrcpSession, line: Line, text: _Text, begun: list[Running]
    ) -> None:
        """Have the server speak; the request is in ``begun`` as soon as it is sent."""

        def ask(user: RequestUser, now_ms: int) -> Asked:
            return line.synthesizer.speak(
                user,
                now_ms,
                text.text,
                ssml=text.ssml,
                language=text.locale or None,
                voice=VoiceWish(name=text.voice) if text.voice else None,
                complete_within_ms=int(self._limits.speak_s * 1_000),
                vendor=session.server.parameters,
            )

        running = self._start(line, ask)
        begun.append(running)
        self._check(session, failure_of(await running.outcome()))
        await asyncio.sleep(self._limits.tail_ms / 1_000)

    # Hearing

    async def recognize(
        self,
        grammars: Sequence[Grammar],
        *,
        locale: str,
        timing: Timing,
        min_confidence: float,
        timers_run: bool,
        on_speech: Callable[[], None],
    ) -> Recognition:
        """Recognize what the caller says from now on, while prompts may still play."""
        if self._listening is not None:
            raise SpeechFailed("resource", "a recognition is under way already")
        listening = self._listening = _Listening(timing, self._limits, on_speech, timers_run)
        try:
            session, line = await self._line(Resource.SPEECHRECOG)
            uris = await self._define(session, line, grammars)
            wish = RecognizeWish(
                language=locale or None,
                confidence=min_confidence,
                no_input_ms=timing.no_input_ms,
                recognition_ms=timing.max_speech_ms,
                complete_ms=timing.complete_ms,
                inter_digit_ms=timing.inter_digit_ms,
                timers_run=listening.timers_run,
                vendor=session.server.parameters,
            )
            way = self._hear(session)
            try:
                outcome = await self._recognized(session, line, listening, uris, wish)
            finally:
                way.stop()
            self._check(session, failure_of(outcome))
            return recognition_of(outcome, grammars, uris)
        finally:
            self._listening = None

    def start_timers(self) -> None:
        """The prompt has ended: the time for the first word runs from now on."""
        if self._listening is not None:
            self._listening.start_timers()

    async def _recognized(
        self,
        session: MrcpSession,
        line: Line,
        listening: _Listening,
        uris: Sequence[str],
        wish: RecognizeWish,
    ) -> Outcome:
        def ask(user: RequestUser, now_ms: int) -> Asked:
            return line.recognizer.recognize(
                user, now_ms, uris, wish, complete_within_ms=listening.within_ms
            )

        running = self._start(line, ask, listening.on_event)
        listening.begin(line, running)
        try:
            outcome = await running.outcome()
        except asyncio.CancelledError:
            if running.open:
                self._settle(session, line, running)
            raise
        return outcome

    async def _define(
        self, session: MrcpSession, line: Line, grammars: Sequence[Grammar]
    ) -> list[str]:
        """URIs of the grammars, each of which a session is told once (RFC 6787, 9.8)."""
        if len(grammars) > MAX_GRAMMARS:
            text = f"{len(grammars)} grammars in one question, at most {MAX_GRAMMARS}"
            raise SpeechFailed("grammar", text)
        uris = []
        for grammar in grammars:
            name = session.grammars.find(grammar.id)
            if name is None:
                name = session.grammars.free_name()
                await self._define_one(session, line, name, srgs_xml.write(grammar).encode())
                session.grammars.defined(grammar.id, name)
            uris.append(f"session:{name}")
        return uris

    async def _define_one(
        self, session: MrcpSession, line: Line, name: str, grammar: bytes
    ) -> None:
        def ask(user: RequestUser, now_ms: int) -> Asked:
            return line.recognizer.define_grammar(user, now_ms, name, grammar)

        self._check(session, failure_of(await self._start(line, ask).outcome()))

    def _hear(self, session: MrcpSession) -> OneWay:
        try:
            return self._call.send_sound_to(session.call)
        except CallEnded:
            self._check_call()
            raise SpeechFailed("lost", session.lost or "the speech session has ended") from None
        except RuntimeError as error:
            raise SpeechFailed("resource", str(error)) from None

    # Recording

    async def record(self, wish: RecordWish) -> ServerRecording:
        """Record the caller by the server."""
        session, line = await self._line(Resource.RECORDER)
        way = self._hear(session)
        within_ms = (wish.no_input_ms or 0) + (wish.max_ms or MAX_RECORD_MS)
        within_ms += int(self._limits.grace_s * 1_000)

        def ask(user: RequestUser, now_ms: int) -> Asked:
            return line.recorder.record(user, now_ms, wish, complete_within_ms=within_ms)

        try:
            running = self._start(line, ask)
            try:
                outcome = await running.outcome()
            finally:
                if running.open:
                    self._settle(session, line, running)
        finally:
            way.stop()
        self._check(session, failure_of(outcome))
        return recording_of(outcome)

    # The session

    async def close(self) -> None:
        """Give the session back, or end it. What goes on is cancelled by who has asked for it."""
        self._closed = True
        try:
            if self._settling:
                await asyncio.wait(self._settling)
        finally:
            session, self._session = self._session, None
            if session is not None:
                self._pool.give_back(session)

    async def _live(self) -> MrcpSession:
        async with self._taking:
            if self._closed:
                raise SpeechFailed("cancelled", "the speech session was closed")
            if self._session is not None and self._session.lost:
                lost, self._session = self._session, None
                self._pool.give_back(lost)
            if self._session is None:
                self._check_call()
                taken = await self._pool.take(self._call)
                if self._closed:  # meanwhile: nobody else would give it back
                    self._pool.give_back(taken)
                    raise SpeechFailed("cancelled", "the speech session was closed")
                self._session = taken
            return self._session

    async def _line(self, resource: Resource) -> tuple[MrcpSession, Line]:
        """The channel to a resource, once what was stopped before has ended there: sound of an
        older turn must not be taken for this one's."""
        if self._settling:
            await asyncio.wait(self._settling)
        session = await self._live()
        if resource not in session.lines:
            await self._pool.add(session, resource)
        return session, session.lines[resource]

    @staticmethod
    def _start(line: Line, ask: Ask, on_event: Callable[[Event], None] | None = None) -> Running:
        try:
            return line.start(ask, on_event)
        except TooManyRequests as error:
            raise SpeechFailed("resource", str(error)) from None
        except ValueError as error:
            raise SpeechFailed("protocol", f"it cannot be sent: {error}") from None

    def _settle(
        self, session: MrcpSession, line: Line, running: Running, *, barged: bool = False
    ) -> None:
        """End a request that nobody waits for any more: the next turn waits for that."""
        task = self._spawn(self._settled(session, line, running, barged))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settled(
        self, session: MrcpSession, line: Line, running: Running, barged: bool
    ) -> None:
        """Tell the server that the caller has interrupted (RFC 6787, 8.8), and have it stop what
        that has not ended (8.7, 9.10, 10.7). A server that does not is left."""
        asked = running.asked
        assert asked is not None

        def stop(user: RequestUser, now_ms: int) -> Asked:
            return line.synthesizer.stop(user, now_ms, (asked.id,))  # every resource has it

        asks: list[Ask] = [line.synthesizer.barge_in_occurred, stop] if barged else [stop]
        with suppress(SpeechFailed):
            for ask in asks:
                outcome = await self._start(line, ask).outcome()
                if not running.open:
                    return
                if outcome.ending is Ending.NO_RESPONSE:
                    self._pool.blame(session, outcome.text)
                    break
        session.close(f"{session.server.name} does not stop")

    def _check(self, session: MrcpSession, failure: SpeechFailed | None) -> None:
        """Raise what came of a request. A session that the server does not know any more is of no
        use; after a deadline its server is left alone as well."""
        if failure is None:
            return
        if failure.kind in ("deadline", "lost"):
            session.close(str(failure))
        if failure.kind == "deadline":
            self._pool.blame(session, str(failure))
        raise failure

    def _check_call(self) -> None:
        if self._call.ended is not None:
            raise CallEnded(self._call.ended)


class _Listening:
    """A recognition under way: whose time runs, and what is told of it."""

    def __init__(
        self, timing: Timing, limits: SpeechLimits, on_speech: Callable[[], None], timers_run: bool
    ) -> None:
        self.timers_run = timers_run
        self._timing = timing
        self._limits = limits
        self._on_speech = on_speech
        self._line: Line | None = None
        self._running: Running | None = None

    @property
    def within_ms(self) -> int:
        """How long it may take from now on."""
        if not self.timers_run:
            return int(self._limits.prompt_s * 1_000)
        return self._timing.no_input_ms + self._spoken_ms()

    def _spoken_ms(self) -> int:
        timing = self._timing
        return timing.max_speech_ms + timing.complete_ms + int(self._limits.grace_s * 1_000)

    def begin(self, line: Line, running: Running) -> None:
        """It was sent."""
        self._line, self._running = line, running

    def start_timers(self) -> None:
        """The time for the first word runs: told the server now, or with the request itself."""
        if self.timers_run:
            return
        self.timers_run = True
        line, running = self._line, self._running
        if line is not None and running is not None:
            running.taken.add_done_callback(lambda _: self._tell_timers(line, running))

    def _tell_timers(self, line: Line, running: Running) -> None:
        if not running.open:
            return
        line.extend(running, self.within_ms)
        with suppress(TooManyRequests):
            line.start(line.recognizer.start_input_timers)

    def on_event(self, event: Event) -> None:
        """Somebody speaks."""
        if event.name == EventName.START_OF_INPUT and self._line and self._running:
            if self.timers_run:
                self._line.extend(self._running, self._spoken_ms())
            try:
                self._on_speech()
            except Exception:
                # It is somebody else's function, and the connection is many calls'.
                log.exception("on_speech failed")
