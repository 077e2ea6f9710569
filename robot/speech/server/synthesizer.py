"""The synthesizer of a channel (RFC 6787, section 8), sans-I/O: what is spoken, in which order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ....media.sip.edge import Timers
from .. import ssml
from ..engines.engine import EngineFailed, Utterance
from ..mrcp.message import ChannelId, Request
from ..mrcp.words import EventName, Header, Method, RequestState, SpeakCause, Status
from .resource import ChannelResource, ResourceFigures, Send, cause_lines

MAX_QUEUED = 32
TEXT, SSML = "text/plain", "application/ssml+xml"
ACCEPTED = f"{TEXT}, {SSML}"
NTP_EPOCH_S = 2_208_988_800
"""From 1900 to 1970."""

_CAUSES: Mapping[str, SpeakCause] = {
    "language": SpeakCause.LANGUAGE_UNSUPPORTED,
    "voice": SpeakCause.LANGUAGE_UNSUPPORTED,
    "grammar": SpeakCause.PARSE_FAILURE,
}


class Speaker(Protocol):
    """Who speaks: one utterance at a time, whose end is told by `Synthesizer.spoken`."""

    def start(self, utterance: Utterance) -> None:
        """Speak it."""
        ...

    def stop(self) -> None:
        """Stop at once. Nothing is told of it."""
        ...

    def pause(self) -> None:
        """Hold."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def set_volume(self, volume: float) -> None:
        """What is still to be heard of the utterance is so loud; 1.0: as it was made."""
        ...


@dataclass(slots=True)
class _Speak:
    """A SPEAK that was taken."""

    request: Request
    utterance: Utterance
    kill_on_barge_in: bool


class Synthesizer(ChannelResource):
    """One channel of ``speechsynth`` or ``basicsynth``.

    Idle while nothing is queued; speaking or paused otherwise (RFC 6787, 8.1).
    """

    def __init__(
        self,
        channel: ChannelId,
        send: Send,
        timers: Timers,
        speaker: Speaker,
        figures: ResourceFigures | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(channel, send, timers, figures)
        self._clock = clock
        self._speaker = speaker
        self._queue: deque[_Speak] = deque()
        self._current: _Speak | None = None
        self._paused = False

    @property
    def handlers(self) -> Mapping[Method, Callable[[Request], None]]:
        return {
            Method.SPEAK: self._speak,
            Method.STOP: self._stop,
            Method.PAUSE: self._pause,
            Method.RESUME: self._resume,
            Method.BARGE_IN_OCCURRED: self._barge_in,
            Method.CONTROL: self._control,
            Method.DEFINE_LEXICON: self._define_lexicon,
        }

    def close(self) -> None:
        super().close()
        if self._queue:
            self._queue.clear()
            self._speaker.stop()

    # What the speaker tells

    def spoken(self, failure: EngineFailed | None = None) -> None:
        """What was being spoken has come to its end."""
        done, self._current = self._queue.popleft(), None
        if self._paused:  # what it was is over: what comes next begins without a RESUME
            self._paused = False
            self._speaker.resume()
        if failure is None:
            self._complete(done, SpeakCause.NORMAL)
        else:
            self._complete(done, _cause_of(failure), str(failure))
            self._cancel_queue()
        self._go_on()

    # Methods

    def _speak(self, request: Request) -> None:
        """RFC 6787, 8.6."""
        if len(self._queue) >= MAX_QUEUED:
            self._fail(request, SpeakCause.ERROR, f"{MAX_QUEUED} requests wait already")
            return
        if request.content_type not in {TEXT, SSML} or not request.body:
            self._respond(request, Status.UNSUPPORTED_ENTITY, lines=[(Header.ACCEPT, ACCEPTED)])
            return
        try:
            text = request.body.decode()
        except UnicodeDecodeError:
            self._fail(request, SpeakCause.PARSE_FAILURE, "the text is no UTF-8")
            return
        if request.content_type == SSML:
            try:
                ssml.check(text)
            except ssml.SsmlError as error:
                self._fail(request, SpeakCause.PARSE_FAILURE, str(error))
                return
        speak = self._order(request, text)
        self._queue.append(speak)
        if len(self._queue) > 1:
            self._respond(request, Status.SUCCESS, RequestState.PENDING, lines=[self._mark()])
            return
        self._respond(request, Status.SUCCESS, RequestState.IN_PROGRESS, lines=[self._mark()])
        self._start(speak)

    def _order(self, request: Request, text: str) -> _Speak:
        value = self.parameters.of(request.headers)
        utterance = Utterance(
            text,
            locale=value(Header.SPEECH_LANGUAGE),
            voice=value(Header.VOICE_NAME) or None,
            ssml=request.content_type == SSML,
            rate=value(Header.PROSODY_RATE),
            volume=value(Header.PROSODY_VOLUME),
        )
        return _Speak(request, utterance, value(Header.KILL_ON_BARGE_IN))

    def _stop(self, request: Request) -> None:
        """RFC 6787, 8.7: those that are named, or all; no event follows for them."""
        wanted = self._listed(request)
        gone = [
            speak for speak in self._queue if wanted is None or speak.request.request_id in wanted
        ]
        self._drop(gone)
        self._respond(request, Status.SUCCESS, lines=[*_listing(gone), self._mark()])
        self._go_on()

    def _barge_in(self, request: Request) -> None:
        """RFC 6787, 8.8: what may be interrupted goes, and all behind it."""
        if not self._queue or not self._queue[0].kill_on_barge_in:
            self._respond(request, Status.SUCCESS, lines=[self._mark()])
            return
        gone = list(self._queue)
        self._drop(gone)
        self._respond(request, Status.SUCCESS, lines=[*_listing(gone), self._mark()])

    def _pause(self, request: Request) -> None:
        """RFC 6787, 8.9."""
        if not self._check_speaking(request):
            return
        if not self._paused:
            self._paused = True
            self._speaker.pause()
        self._respond(request, Status.SUCCESS, lines=_listing([self._queue[0]]))

    def _resume(self, request: Request) -> None:
        """RFC 6787, 8.10."""
        if not self._check_speaking(request):
            return
        lines = _listing([self._queue[0]]) if self._paused else []
        if self._paused:
            self._paused = False
            self._speaker.resume()
        self._respond(request, Status.SUCCESS, lines=lines)

    def _control(self, request: Request) -> None:
        """RFC 6787, 8.11: how loud it is can be changed; jumps and the rate cannot."""
        if not self._check_speaking(request):
            return
        fixed = (Header.JUMP_SIZE, Header.PROSODY_RATE, Header.VOICE_NAME)
        if lines := [(name, value) for name, value in request.headers if name in fixed]:
            self._respond(request, Status.UNSUPPORTED_HEADER_VALUE, lines=lines)
            return
        if Header.PROSODY_VOLUME in request.headers:
            now = self._queue[0].utterance.volume
            wanted = self.parameters.of(request.headers)(Header.PROSODY_VOLUME)
            self._speaker.set_volume(wanted / now if now else wanted)
        self._respond(request, Status.SUCCESS, lines=_listing([self._queue[0]]))

    def _define_lexicon(self, request: Request) -> None:
        """RFC 6787, 8.14: no engine here takes lexicons."""
        if self._queue:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
        else:
            reason = "pronunciation lexicons are not supported: use phoneme elements of SSML"
            self._fail(request, SpeakCause.LEXICON_LOAD_FAILURE, reason)

    # Within

    def _check_speaking(self, request: Request) -> bool:
        if not self._queue:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
        return bool(self._queue)

    def _drop(self, gone: list[_Speak]) -> None:
        """Take requests out of the queue; sound of theirs stops."""
        if not gone:
            return
        current = self._queue[0]
        self._queue = deque(speak for speak in self._queue if speak not in gone)
        if current in gone:
            self._current, self._paused = None, False
            self._speaker.stop()

    def _go_on(self) -> None:
        """Start the first of the queue, if nothing is being spoken. It has been pending: that it is
        spoken now is told by nothing but its sound (RFC 6787, 8.6)."""
        if self._queue and self._current is not self._queue[0]:
            self._start(self._queue[0])

    def _start(self, speak: _Speak) -> None:
        self._current = speak
        self._speaker.start(speak.utterance)

    def _cancel_queue(self) -> None:
        """What waits behind a request that has failed is not spoken (RFC 6787, 8.4.4: 007)."""
        while self._queue:
            self._complete(self._queue.popleft(), SpeakCause.CANCELLED)

    def _complete(self, speak: _Speak, cause: SpeakCause, reason: str = "") -> None:
        """RFC 6787, 8.12."""
        lines = [*cause_lines(cause, reason), self._mark()]
        request_id = speak.request.request_id
        self._tell(EventName.SPEAK_COMPLETE, request_id, RequestState.COMPLETE, lines=lines)

    def _mark(self) -> tuple[str, str]:
        """Speech-Marker (RFC 6787, 8.4.11): the time as NTP has it. No engine tells of marks."""
        seconds = self._clock() + NTP_EPOCH_S
        return Header.SPEECH_MARKER, f"timestamp={int(seconds * 2**32)}"


def _listing(speaks: list[_Speak]) -> list[tuple[str, str]]:
    ids = ",".join(str(speak.request.request_id) for speak in speaks)
    return [(Header.ACTIVE_REQUEST_ID_LIST, ids)] if ids else []


def _cause_of(failure: EngineFailed) -> SpeakCause:
    return _CAUSES.get(failure.kind, SpeakCause.ERROR)
