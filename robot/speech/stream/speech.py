"""Speech by a streaming agent: `ask ... by: stream`.

Each utterance is a stream of its own. ``customParameters`` say what is wanted (docs/streaming.md):
to speak a text, which the agent sends as sound before it leaves; or to hear an answer, which it
sends as the event ``answer``.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import NoReturn

from ....media.call import Call, Played
from ....media.codec import PCMU, Samples
from ...grammar.model import Grammar, GrammarError
from ...grammar.srgs_xml import write
from ...script.model import BargeIn, Timing
from ..service import Completion, Recognition, SpeechFailed
from .outbox import MarkPassed
from .session import wire_to
from .together import first_of
from .twilio import SAMPLE_RATE_HZ, Answer, Clear, Mark, Media
from .uplink import Uplink
from .wire import Opening, StreamFailed, Wire, read_address

CONNECT_MS = 5_000
PAUSE_S = 10.0
"""How long an agent that speaks may leave us without sound."""

MAX_SPOKEN_BYTES = 600 * SAMPLE_RATE_HZ
ANSWER_MS = 5_000
"""How long an agent may think about what it has heard."""

MAX_GRAMMARS_CHARS = 12_000
_KINDS = {"request": "uri", "stalled": "lost"}
"""What a failure of a stream is called for speech, where it has another name."""


class StreamSpeech:
    """A `SpeechService` by the agent at ``url`` (``ws://`` or ``wss://``). ValueError: that is no
    URL of an agent."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        try:
            self._address = read_address(url)
        except StreamFailed as error:
            raise ValueError(str(error)) from None
        if self._address.scheme not in ("ws", "wss"):
            raise ValueError("speech by a stream needs a ws:// or wss:// URL")
        self._headers = dict(headers or {})
        self._tls = tls

    async def open(self, call: Call) -> StreamSpeechSession:
        """A session; nothing is connected before it is used."""
        return StreamSpeechSession(self, call)

    async def close(self) -> None:
        """Streams end with what they are for: there is nothing left to end."""

    def wire(self, call: Call, wish: Mapping[str, str]) -> Wire:
        """A stream for one utterance, not open yet."""
        parameters = {f"ringwheel.{name}": value for name, value in wish.items()}
        opening = Opening(call.id, parameters, self._headers, self._tls, CONNECT_MS)
        return wire_to(self._address, opening)


class StreamSpeechSession:
    """A `SpeechSession` of one call."""

    def __init__(self, service: StreamSpeech, call: Call) -> None:
        self._service = service
        self._call = call
        self._timers = asyncio.Event()

    async def speak(
        self, text: str, *, locale: str, voice: str | None, ssml: bool, barge_in: BargeIn
    ) -> Played:
        """Play what the agent makes of ``text``, from its first packet on."""
        wish = {"do": "speak", "text": text, "locale": locale, "ssml": "true" if ssml else "false"}
        try:
            wire = self._service.wire(self._call, wish | ({"voice": voice} if voice else {}))
            async with aclosing(_spoken(wire)) as sound:
                return await self._call.speak(
                    sound, sample_rate_hz=SAMPLE_RATE_HZ, barge_in=barge_in
                )
        except StreamFailed as error:
            raise _failed(error) from None

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
        """What the agent says that the caller has answered. Speech begins by our own detector."""
        self._timers.clear()
        if timers_run:
            self._timers.set()
        wish = {"do": "recognize", "locale": locale} | _hints(grammars)
        try:
            wire = self._service.wire(self._call, wish)
            return await _Recognizer(self._call, wire, on_speech).run(
                grammars, timing, min_confidence, self._timers
            )
        except StreamFailed as error:
            raise _failed(error) from None

    def start_timers(self) -> None:
        """The prompt has ended."""
        self._timers.set()

    async def close(self) -> None:
        """Streams end with what they are for: there is nothing left to end."""


async def _spoken(wire: Wire) -> AsyncGenerator[Samples, None]:
    """What an agent says, until it leaves. It is read as fast as it is played: an agent that sends
    faster waits."""
    spoken_bytes = 0
    politely = False
    try:
        await wire.open()
        while spoken_bytes <= MAX_SPOKEN_BYTES:
            for incoming in await _next(wire):
                if isinstance(incoming, Media):
                    spoken_bytes += len(incoming.sound)
                    yield PCMU.decode(incoming.sound)
                elif isinstance(incoming, Mark):
                    await wire.send(MarkPassed(incoming.name))
        raise StreamFailed("protocol", "the agent does not come to an end")
    except (EOFError, GeneratorExit):
        politely = True
    finally:
        await wire.close(politely=politely)


async def _next(wire: Wire) -> Sequence[Media | Mark | Clear | Answer]:
    try:
        async with asyncio.timeout(PAUSE_S):
            return await wire.receive()
    except TimeoutError:
        raise StreamFailed("deadline", f"the agent has sent nothing for {PAUSE_S:g} s") from None


class _Recognizer:
    """One answer of a caller."""

    def __init__(self, call: Call, wire: Wire, on_speech: Callable[[], None]) -> None:
        self._call = call
        self._wire = wire
        self._uplink = Uplink(call, wire, self._speaks)
        self._on_speech = on_speech
        self._spoken = asyncio.Event()

    def _speaks(self) -> None:
        if not self._spoken.is_set():
            self._spoken.set()
            self._on_speech()

    async def run(
        self,
        grammars: Sequence[Grammar],
        timing: Timing,
        min_confidence: float,
        timers: asyncio.Event,
    ) -> Recognition:
        politely = True
        try:
            await self._wire.open()
            found = await first_of(
                self._answer(),
                self._silence(timing, timers),
                self._too_long(timing),
                self._uplink.hear(),
                self._uplink.send(),
                self._uplink.check(),
            )
        except StreamFailed:
            politely = False
            raise
        finally:
            await self._wire.close(politely=politely)
        return found if isinstance(found, Recognition) else meant(found, grammars, min_confidence)

    async def _answer(self) -> Answer | Recognition:
        while True:
            try:
                found = await self._wire.receive()
            except EOFError:
                raise StreamFailed("lost", "the agent has left without an answer") from None
            for incoming in found:
                if isinstance(incoming, Answer):
                    return incoming
                self._wire.rejections.note("unexpected")

    async def _silence(self, timing: Timing, timers: asyncio.Event) -> Answer | Recognition:
        await timers.wait()
        try:
            async with asyncio.timeout(timing.no_input_ms / 1000):
                await self._spoken.wait()
        except TimeoutError:
            if not self._call.speaking:
                return Recognition(Completion.NO_INPUT_TIMEOUT)
            self._speaks()  # since before he was asked
        return await _never()

    async def _too_long(self, timing: Timing) -> Answer | Recognition:
        await self._spoken.wait()
        await asyncio.sleep((timing.max_speech_ms + ANSWER_MS) / 1000)
        raise StreamFailed("deadline", "the agent has not answered in time")


async def _never() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody ends it")


def _hints(grammars: Sequence[Grammar]) -> dict[str, str]:
    """The grammars in SRGS (XML), unless they are too long to be given."""
    written = json.dumps([write(grammar) for grammar in grammars])
    return {"grammars": written} if len(written) <= MAX_GRAMMARS_CHARS else {}


def meant(answer: Answer, grammars: Sequence[Grammar], min_confidence: float) -> Recognition:
    """What an answer comes to: the agent's own value, or that of the first grammar that its words
    fit."""
    if not answer.match or answer.confidence < min_confidence:
        return Recognition(Completion.NO_MATCH, answer.text, confidence=answer.confidence)
    success = Completion.SUCCESS
    if answer.value is not None or not grammars:
        grammar = 0 if grammars else None
        return Recognition(success, answer.text, answer.value, answer.confidence, grammar)
    for number, grammar_of in enumerate(grammars):
        try:
            match = grammar_of.match(answer.text)
        except GrammarError as error:
            raise SpeechFailed("grammar", str(error)) from None
        if match is not None:
            return Recognition(success, answer.text, match.value, answer.confidence, number)
    return Recognition(Completion.NO_MATCH, answer.text, confidence=answer.confidence)


def _failed(error: StreamFailed) -> SpeechFailed:
    return SpeechFailed(_KINDS.get(error.kind, error.kind), str(error))
