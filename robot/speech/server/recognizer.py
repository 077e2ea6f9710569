"""The recognizer of a channel (RFC 6787, section 9), sans-I/O: what is listened for, and when that
is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ....media.codec import Samples
from ....media.sip.edge import Timers
from ...grammar.model import Grammar
from ..engines.engine import EngineFailed, Hypothesis
from ..mrcp.message import ChannelId, Request
from ..mrcp.words import (
    EventName,
    Header,
    Method,
    RecognizeCause,
    RequestState,
    Resource,
    Status,
)
from .grammars import (
    ACCEPTED,
    MAX_STATES,
    Active,
    GrammarRefused,
    Grammars,
    Room,
    UnknownEntity,
    attempt,
    content_id_of,
)
from .recognition import MATCHES, Ended, Recognition, interpret_text
from .resource import ChannelResource, ResourceFigures, Send, cause_lines

MAX_QUEUED = 8
MAX_TYPED_AHEAD = 64
RESULT_TYPE = "application/nlsml+xml"

_CAUSES: Mapping[str, RecognizeCause] = {
    "language": RecognizeCause.LANGUAGE_UNSUPPORTED,
    "grammar": RecognizeCause.GRAMMAR_COMPILATION_FAILURE,
}


class Hearing(Protocol):
    """Who listens to the caller, and knows engines.

    Between `listen` and `stop` it tells the recognizer what it hears: ``speech_began``, then
    ``speech_paused`` and ``speech_resumed`` in turn. Digits it tells always.
    """

    def listen(self, sensitivity: float) -> bool:
        """Listen for speech from now on; True if the caller is speaking already."""
        ...

    def stop(self) -> None:
        """Do not listen any more."""
        ...

    def heard(self) -> Samples:
        """What was said since speech began."""
        ...

    def restart(self) -> None:
        """What was said is done with: the next speech is a new utterance."""
        ...

    def read(
        self,
        work: Callable[[], list[Active]],
        done: Callable[[list[Active] | GrammarRefused | UnknownEntity], None],
    ) -> None:
        """Do ``work``, which reads grammars and takes time; ``done`` is called once, at once or
        later."""
        ...

    def compile(
        self,
        grammars: Sequence[Grammar],
        locale: str,
        done: Callable[[EngineFailed | None], None],
    ) -> None:
        """Make the grammars ready; ``done`` is called once, at once or later."""
        ...

    def decode(
        self,
        sound: Samples,
        grammars: Sequence[Grammar],
        locale: str,
        done: Callable[[Sequence[Hypothesis] | EngineFailed], None],
    ) -> None:
        """Recognize; ``done`` is called once, later, unless other sound comes, or `stop`, before
        that."""
        ...


def _states(active: Sequence[Active]) -> int:
    return sum(one.grammar.size for one in active)


class Recognizer(ChannelResource):
    """One channel of ``speechrecog`` or ``dtmfrecog``.

    Idle, recognizing while there is a current request, recognized while there is a result that
    GET-RESULT may ask for (RFC 6787, 9.1).
    """

    def __init__(
        self,
        channel: ChannelId,
        send: Send,
        timers: Timers,
        hearing: Hearing,
        figures: ResourceFigures | None = None,
        *,
        room: Room | None = None,
    ) -> None:
        super().__init__(channel, send, timers, figures)
        self._hearing = hearing
        self._grammars = Grammars(room)
        self._queue: deque[tuple[Request, list[Active]]] = deque()
        self._current: Recognition | None = None
        self._recognized: Recognition | None = None
        self._typed_ahead: deque[str] = deque(maxlen=MAX_TYPED_AHEAD)

    @property
    def handlers(self) -> Mapping[Method, Callable[[Request], None]]:
        return {
            Method.DEFINE_GRAMMAR: self._define_grammar,
            Method.RECOGNIZE: self._recognize,
            Method.INTERPRET: self._interpret,
            Method.GET_RESULT: self._get_result,
            Method.START_INPUT_TIMERS: self._start_input_timers,
            Method.STOP: self._stop,
        }

    def close(self) -> None:
        super().close()
        self._queue.clear()
        self._leave()
        self._grammars.clear()

    # What is heard

    def speech_began(self) -> None:
        """The caller has begun to speak."""
        if self._current is not None:
            self._current.speech_began()

    def speech_paused(self, sound: Samples, silent_ms: int) -> None:
        """The caller says nothing since ``silent_ms``; ``sound`` is what was said before."""
        if self._current is not None:
            self._current.speech_paused(sound, silent_ms)

    def speech_resumed(self) -> None:
        """The caller goes on."""
        if self._current is not None:
            self._current.speech_resumed()

    def digit(self, symbol: str) -> None:
        """The caller has pressed a key. One that nobody waits for may be typed ahead."""
        if self._current is not None and self._current.takes_digits:
            self._current.digit(symbol)
        else:
            self._typed_ahead.append(symbol)

    # Methods

    def _define_grammar(self, request: Request) -> None:
        """RFC 6787, 9.8; an empty body forgets the grammar."""
        if self._current is not None:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
            return
        self._recognized = None
        content_id = content_id_of(request)
        if not content_id:
            self._respond(request, Status.MANDATORY_HEADER_MISSING)
        elif not request.body:
            known = self._grammars.forget(content_id)
            if known:
                self._define_succeeded(request)
            else:
                self._fail(request, RecognizeCause.GRAMMAR_LOAD_FAILURE, "there is no such grammar")
        else:
            self._read(request, lambda active: self._define(request, active))

    def _define(self, request: Request, active: list[Active]) -> None:
        grammar, body_bytes = active[0].grammar, len(request.body)
        try:
            self._grammars.define(content_id_of(request), grammar, body_bytes)
        except GrammarRefused as error:
            self._fail(request, error.cause, str(error))
        else:
            self._define_succeeded(request)

    def _define_succeeded(self, request: Request) -> None:
        self._respond(request, Status.SUCCESS, lines=cause_lines(RecognizeCause.SUCCESS))

    def _recognize(self, request: Request) -> None:
        """RFC 6787, 9.9."""
        self._read(request, lambda active: self._take(request, active))

    def _take(self, request: Request, active: list[Active]) -> None:
        """Its grammars are good: recognize at once, or in its turn."""
        if self._current is not None and self._current.cancel_if_queue:
            self._current.end(RecognizeCause.CANCELLED)
        if self._current is None:
            self._respond(request, Status.SUCCESS, RequestState.IN_PROGRESS)
            self._begin(request, active)
        elif len(self._queue) < MAX_QUEUED and self._queued_states + _states(active) <= MAX_STATES:
            self._queue.append((request, active))
            self._respond(request, Status.SUCCESS, RequestState.PENDING)
        else:
            reason = f"{len(self._queue)} requests wait already"
            self._fail(request, RecognizeCause.RECOGNIZER_ERROR, reason)

    @property
    def _queued_states(self) -> int:
        return sum(_states(active) for _, active in self._queue)

    def _begin(self, request: Request, active: list[Active]) -> None:
        self._recognized = None
        value = self.parameters.of(request.headers)
        if value(Header.CLEAR_DTMF_BUFFER):
            self._typed_ahead.clear()
        current = Recognition(
            request,
            active,
            value,
            hearing=self._hearing,
            timers=self._timers,
            began=self._input_began,
            ended=self._ended,
        )
        self._current = current
        current.begin()
        while self._typed_ahead and self._current is current and current.takes_digits:
            current.digit(self._typed_ahead.popleft())

    def _interpret(self, request: Request) -> None:
        """RFC 6787, 9.20: what a text means."""
        if self._current is not None:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
            return
        self._recognized = None
        text = request.headers.get(Header.INTERPRET_TEXT)
        if text is None:
            self._respond(request, Status.MANDATORY_HEADER_MISSING)
            return
        self._read(request, lambda active: self._interpret_by(request, text, active), ready=False)

    def _interpret_by(self, request: Request, text: str, active: list[Active]) -> None:
        self._respond(request, Status.SUCCESS, RequestState.IN_PROGRESS)
        ended = interpret_text(text, active)
        self._complete(EventName.INTERPRETATION_COMPLETE, request, ended)

    def _get_result(self, request: Request) -> None:
        """RFC 6787, 9.11: the last result again, perhaps by another threshold."""
        if self._recognized is None:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
            return
        value = self.parameters.of(request.headers)
        ended = self._recognized.result(
            value(Header.CONFIDENCE_THRESHOLD), value(Header.N_BEST_LIST_LENGTH)
        )
        lines = cause_lines(ended.cause)
        if ended.body:
            lines.append((Header.CONTENT_TYPE, RESULT_TYPE))
        self._respond(request, Status.SUCCESS, lines=lines, body=ended.body)

    def _start_input_timers(self, request: Request) -> None:
        """RFC 6787, 9.13."""
        if self._current is None:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
            return
        self._current.start_timers()
        self._respond(request, Status.SUCCESS)

    def _stop(self, request: Request) -> None:
        """RFC 6787, 9.10: those that are named, or all; no event follows for them."""
        wanted = self._listed(request)

        def meant(other: Request) -> bool:
            return wanted is None or other.request_id in wanted

        gone = []
        if self._current is not None and meant(self._current.request):
            gone.append(self._current.request.request_id)
            self._leave()
        gone += [other.request_id for other, _ in self._queue if meant(other)]
        self._queue = deque(pair for pair in self._queue if not meant(pair[0]))
        if wanted is None:
            self._recognized = None
        ids = ",".join(map(str, gone))
        lines = [(Header.ACTIVE_REQUEST_ID_LIST, ids)] if ids else []
        self._respond(request, Status.SUCCESS, lines=lines)
        self._go_on()

    # Within

    def _read(
        self, request: Request, then: Callable[[list[Active]], None], *, ready: bool = True
    ) -> None:
        """Go on with the grammars of a request, unless they are refused. Engines have them ready
        then, if that is wanted. Other requests wait meanwhile."""
        locale = self.parameters.of(request.headers)(Header.SPEECH_LANGUAGE)

        def work() -> list[Active]:
            return self._checked(self._grammars.read(request, locale))

        def done(found: list[Active] | GrammarRefused | UnknownEntity) -> None:
            if self.closed:
                return
            if isinstance(found, list) and ready:
                self._compile(request, found, locale, then)
                return
            if isinstance(found, list):
                then(found)
            else:
                self._refuse(request, found)
            self._release()

        self._hold()
        if self._grammars.at_hand(request):
            done(attempt(work))
        else:
            self._hearing.read(work, done)

    def _checked(self, active: list[Active]) -> list[Active]:
        if self.kind is Resource.DTMFRECOG and any(a.grammar.mode == "voice" for a in active):
            cause = "a dtmfrecog channel takes no grammars of speech; open a speechrecog"
            raise GrammarRefused(RecognizeCause.GRAMMAR_DEFINITION_FAILURE, cause)
        return active

    def _refuse(self, request: Request, error: GrammarRefused | UnknownEntity) -> None:
        if isinstance(error, UnknownEntity):
            self._respond(request, Status.UNSUPPORTED_ENTITY, lines=[(Header.ACCEPT, ACCEPTED)])
            return
        failed = [(Header.FAILED_URI, error.uri)] if error.uri else []
        lines = [*cause_lines(error.cause, str(error)), *failed]
        self._respond(request, Status.OPERATION_FAILED, lines=lines)

    def _compile(
        self,
        request: Request,
        active: list[Active],
        locale: str,
        then: Callable[[list[Active]], None],
    ) -> None:
        """Make ready what is spoken, then go on, and let other requests go on."""

        def done(failure: EngineFailed | None) -> None:
            if self.closed:
                return
            if failure is None:
                then(active)
            else:
                cause = _CAUSES.get(failure.kind, RecognizeCause.RECOGNIZER_ERROR)
                self._fail(request, cause, str(failure))
            self._release()

        spoken = [found.grammar for found in active if found.grammar.mode == "voice"]
        if spoken:
            self._hearing.compile(spoken, locale, done)
        else:
            done(None)

    def _input_began(self, recognition: Recognition, kind: str) -> None:
        """START-OF-INPUT (RFC 6787, 9.12)."""
        lines = [(Header.INPUT_TYPE, kind)]
        request_id = recognition.request.request_id
        self._tell(EventName.START_OF_INPUT, request_id, RequestState.IN_PROGRESS, lines=lines)

    def _ended(self, recognition: Recognition, ended: Ended) -> None:
        self._leave()
        if ended.cause in MATCHES:
            self._recognized = recognition
        self._complete(EventName.RECOGNITION_COMPLETE, recognition.request, ended)
        if ended.cause not in MATCHES and ended.cause is not RecognizeCause.CANCELLED:
            self._cancel_queue()
        self._go_on()

    def _cancel_queue(self) -> None:
        """What waits behind a recognition that has failed is not begun: Cancel-If-Queue (RFC 6787,
        9.4) lets it begin behind a match, or a STOP, alone."""
        cancelled = Ended(RecognizeCause.CANCELLED)
        while self._queue:
            request, _ = self._queue.popleft()
            self._complete(EventName.RECOGNITION_COMPLETE, request, cancelled)

    def _complete(self, name: EventName, request: Request, ended: Ended) -> None:
        lines = cause_lines(ended.cause, ended.reason)
        if ended.body:
            lines.append((Header.CONTENT_TYPE, RESULT_TYPE))
        self._tell(name, request.request_id, RequestState.COMPLETE, lines=lines, body=ended.body)

    def _leave(self) -> None:
        """Nothing is being recognized any more."""
        if self._current is not None:
            self._current.forget()
            self._current = None

    def _go_on(self) -> None:
        if self._queue and self._current is None and not self.closed:
            self._begin(*self._queue.popleft())
