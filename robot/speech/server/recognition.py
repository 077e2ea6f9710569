"""One recognition: from the request to its completion, sans-I/O.

What was said is recognized as soon as the caller pauses, so that the answer is there when the pause
has lasted long enough to be an end: ``Speech-Complete-Timeout`` where what was said fits a grammar,
``Speech-Incomplete-Timeout`` where it does not (RFC 6787, 9.4.15 and 9.4.16). If the caller goes
on, it is recognized anew, as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....media.codec import Samples
from ....media.sip.edge import TimerHandle, Timers
from ...grammar.matching import Budget
from ...grammar.model import GrammarError, Json
from ...grammar.results import InputMode, Interpretation, Result, write_nlsml
from ..engines.engine import EngineFailed, Hypothesis
from ..mrcp.message import Request
from ..mrcp.words import Header, RecognizeCause
from .grammars import Active

if TYPE_CHECKING:
    from .recognizer import Hearing

Cause = RecognizeCause
SAMPLE_RATE_HZ = 8_000
"""Of what is heard: that of the telephone."""
MATCH_WORK = 10_000
"""Steps of all grammars of a request together, each time that something was said or typed: some
tens of milliseconds, in which nobody else is served."""
SPEECH: InputMode = "speech"
DTMF: InputMode = "dtmf"
MATCHES = frozenset({Cause.SUCCESS, Cause.SUCCESS_MAXTIME})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a recognition has ended. ``body`` is its result."""

    cause: RecognizeCause
    reason: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Match:
    """What was said, or typed, and what it means by a grammar."""

    uri: str
    mode: InputMode
    text: str
    value: Json
    confidence: float


def interpret_text(text: str, active: Sequence[Active]) -> Ended:
    """What ``text`` means: INTERPRET."""
    try:
        budget = Budget(MATCH_WORK)
        found = _match(text, 1.0, active, SPEECH, budget)
        found = found or _match(text, 1.0, active, DTMF, budget)
    except GrammarError as error:
        return Ended(Cause.SEMANTICS_FAILURE, str(error))
    return Ended(Cause.SUCCESS, body=_body([found])) if found else Ended(Cause.NO_MATCH)


def _match(
    text: str, confidence: float, active: Sequence[Active], mode: InputMode, budget: Budget
) -> _Match | None:
    """By the first grammar that it fits. GrammarError: what it means cannot be told."""
    wanted = "voice" if mode == SPEECH else "dtmf"
    for one in active:
        if one.grammar.mode == wanted and (found := one.grammar.match(text, budget)) is not None:
            return _Match(one.uri, mode, found.text, found.value, confidence)
    return None


def _body(matches: Sequence[_Match]) -> bytes:
    found = [
        Interpretation(
            grammar=match.uri,
            confidence=match.confidence,
            mode=match.mode,
            text=match.text,
            value=match.value,
        )
        for match in matches
    ]
    return write_nlsml(Result(tuple(found))).encode()


class Recognition:
    """One RECOGNIZE that is being worked on. ``value`` gives its parameters.

    ``began`` is called once when input begins, ``ended`` once when it is over, unless it is
    forgotten before.
    """

    def __init__(
        self,
        request: Request,
        active: Sequence[Active],
        value: Callable[[Header], Any],
        *,
        hearing: Hearing,
        timers: Timers,
        began: Callable[[Recognition, str], None],
        ended: Callable[[Recognition, Ended], None],
    ) -> None:
        self.request = request
        self.cancel_if_queue: bool = bool(value(Header.CANCEL_IF_QUEUE))
        self._active = active
        self._spoken = [one for one in active if one.grammar.mode == "voice"]
        self._typable = [one for one in active if one.grammar.mode == "dtmf"]
        self._value = value
        self._hotword = value(Header.RECOGNITION_MODE) == "hotword"
        self._hearing = hearing
        self._timers = timers
        self._tell_began = began
        self._tell_ended = ended
        self._over = False
        self._mode = ""  # of the input that has begun
        self._typed = ""
        self._timers_run = False
        self._input_timer: TimerHandle | None = None  # until input begins
        self._longest_timer: TimerHandle | None = None
        self._pause_timer: TimerHandle | None = None
        self._decoding = 0  # the number of what is being decoded; answers to older ones are late
        self._answer: list[_Match] | None = None  # what was said up to this pause; None: not known
        self._silent_from_ms = 0
        self._due_ms = 0  # the pause has lasted this long when a timer last looked
        self._at_maxtime = False
        self._matches: list[_Match] = []

    @property
    def takes_digits(self) -> bool:
        """Whether keys are input."""
        return bool(self._typable)

    def begin(self) -> None:
        """Listen, and let the timers run unless Start-Input-Timers is false (9.4.14)."""
        speaking = bool(self._spoken) and self._hearing.listen(
            self._value(Header.SENSITIVITY_LEVEL)
        )
        if speaking and not self._hotword:
            self.end(Cause.SPEECH_TOO_EARLY)
            return
        if self._value(Header.START_INPUT_TIMERS) is not False:
            self.start_timers()

    def start_timers(self) -> None:
        """The prompt has ended. Once is enough, and nothing runs once input has begun."""
        if self._timers_run or self._mode:
            return
        self._timers_run = True
        if self._hotword:
            longest_ms = self._value(Header.RECOGNITION_TIMEOUT)
            self._longest_timer = self._timers.arm(longest_ms, self._on_longest)
        no_input_ms = self._value(Header.NO_INPUT_TIMEOUT)
        if not self._hotword:
            self._input_timer = self._timers.arm(no_input_ms, self._on_no_input)

    def forget(self) -> None:
        """It is over, or not wanted any more: nothing is told of it from now on."""
        self._over = True
        self._decoding += 1
        for timer in (self._input_timer, self._longest_timer, self._pause_timer):
            if timer is not None:
                timer.cancel()
        if self._spoken:
            self._hearing.stop()

    def end(self, cause: RecognizeCause, reason: str = "") -> None:
        """It is over."""
        if not self._over:
            self.forget()
            body = _body(self._matches) if cause in MATCHES else b""
            self._tell_ended(self, Ended(cause, reason, body))

    def result(self, threshold: float, most: int) -> Ended:
        """What was recognized, by another threshold (RFC 6787, 9.11)."""
        sure = [match for match in self._matches if match.confidence >= threshold][:most]
        return Ended(Cause.SUCCESS, body=_body(sure)) if sure else Ended(Cause.NO_MATCH)

    def _input_begins(self, mode: str) -> bool:
        """False: other input has begun before, and this is ignored."""
        if self._mode:
            return self._mode == mode
        self._mode = mode
        if self._input_timer is not None:
            self._input_timer.cancel()
        if not self._hotword:
            longest_ms = self._value(Header.RECOGNITION_TIMEOUT)
            self._longest_timer = self._timers.arm(longest_ms, self._on_longest)
            self._tell_began(self, mode)
        return True

    def _on_no_input(self) -> None:
        self.end(Cause.NO_INPUT_TIMEOUT)

    # Speech

    @property
    def _speaking_counts(self) -> bool:
        """Whether what the caller says may still change what is recognized."""
        return not self._over and self._mode == SPEECH and not self._at_maxtime

    def speech_began(self) -> None:
        """The caller has begun to speak."""
        if not self._over:
            self._input_begins(SPEECH)

    def speech_paused(self, sound: Samples, silent_ms: int) -> None:
        """The caller pauses: recognize what was said, and wait whether it was all."""
        if not self._speaking_counts:
            return
        self._silent_from_ms = self._timers.now_ms - silent_ms
        if self._hotword and not self._is_hotword_long(sound):
            self._mode = ""
            self._hearing.restart()
            return
        self._decode(sound)
        if not self._hotword:
            self._wait_pause(self._value(Header.SPEECH_COMPLETE_TIMEOUT))

    def speech_resumed(self) -> None:
        """The caller goes on: it was not all."""
        if not self._speaking_counts:
            return
        self._decoding += 1
        self._answer, self._due_ms = None, 0
        if self._pause_timer is not None:
            self._pause_timer.cancel()

    def _is_hotword_long(self, sound: Samples) -> bool:
        long_ms = len(sound) * 1000 // SAMPLE_RATE_HZ
        least, most = Header.HOTWORD_MIN_DURATION, Header.HOTWORD_MAX_DURATION
        return bool(self._value(least) <= long_ms <= self._value(most))

    def _decode(self, sound: Samples) -> None:
        self._decoding += 1
        number, self._answer = self._decoding, None
        grammars = [one.grammar for one in self._spoken]

        def done(found: Sequence[Hypothesis] | EngineFailed) -> None:
            if number == self._decoding and not self._over:
                self._on_decoded(found)

        self._hearing.decode(sound, grammars, self._value(Header.SPEECH_LANGUAGE), done)

    def _on_decoded(self, found: Sequence[Hypothesis] | EngineFailed) -> None:
        if isinstance(found, EngineFailed):
            self.end(Cause.RECOGNIZER_ERROR, str(found))
            return
        try:
            self._answer = self._matches_of(found)
        except GrammarError as error:
            self.end(Cause.SEMANTICS_FAILURE, str(error))
            return
        if self._at_maxtime:
            self._finish(Cause.SUCCESS_MAXTIME, Cause.NO_MATCH_MAXTIME)
        elif self._hotword:
            self._on_hotword()
        elif self._due_ms:
            self._on_pause(self._due_ms)

    def _matches_of(self, found: Sequence[Hypothesis]) -> list[_Match]:
        """Those of a sufficient confidence, in their order, as many as are wanted."""
        threshold = self._value(Header.CONFIDENCE_THRESHOLD)
        matches = []
        budget = Budget(MATCH_WORK)
        for one in found:
            match = _match(one.text, one.confidence, self._spoken, SPEECH, budget)
            if match is not None and match.confidence >= threshold:
                matches.append(match)
        return matches[: self._value(Header.N_BEST_LIST_LENGTH)]

    def _wait_pause(self, until_ms: int) -> None:
        """Look again when the pause has lasted ``until_ms``."""
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        lasted_ms = self._timers.now_ms - self._silent_from_ms
        left_ms = max(0, until_ms - lasted_ms)
        self._pause_timer = self._timers.arm(left_ms, lambda: self._on_pause(until_ms))

    def _on_pause(self, lasted_ms: int) -> None:
        """The pause has lasted so long."""
        self._due_ms = lasted_ms
        if self._answer is None:
            return  # `_on_decoded` looks again
        incomplete_ms = self._value(Header.SPEECH_INCOMPLETE_TIMEOUT)
        if not self._answer and lasted_ms < incomplete_ms:
            self._wait_pause(incomplete_ms)
            return
        self._finish(Cause.SUCCESS, Cause.NO_MATCH)

    def _on_hotword(self) -> None:
        """Only what fits ends it; everything else was not meant for us (9.2)."""
        if self._answer:
            self._finish(Cause.SUCCESS, Cause.NO_MATCH)
        else:
            self._mode = ""
            self._hearing.restart()

    def _on_longest(self) -> None:
        """Recognition-Timeout (9.4.7)."""
        if self._hotword:
            self.end(Cause.HOTWORD_MAXTIME)
            return
        self._at_maxtime = True
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        if self._mode == DTMF:
            self._finish_typed()
            return
        self._decode(self._hearing.heard())

    def _finish(self, matched: RecognizeCause, unmatched: RecognizeCause) -> None:
        self._matches = self._answer or []
        self.end(matched if self._matches else unmatched)

    # Digits

    def digit(self, symbol: str) -> None:
        """The caller has pressed a key."""
        if self._over or not self._typable or not self._input_begins(DTMF):
            return
        if self._spoken and not self._typed:
            self._hearing.stop()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        if symbol == self._value(Header.DTMF_TERM_CHAR):
            self._finish_typed()
            return
        self._typed += symbol
        budget = Budget(MATCH_WORK)
        states = [one.grammar.progress(self._typed, budget) for one in self._typable]
        complete = any(done for done, _ in states)
        if any(more for _, more in states):
            between_ms = self._value(Header.DTMF_INTERDIGIT_TIMEOUT)
            self._pause_timer = self._timers.arm(between_ms, self._finish_typed)
        elif complete and self._value(Header.DTMF_TERM_CHAR):
            term_ms = self._value(Header.DTMF_TERM_TIMEOUT)
            self._pause_timer = self._timers.arm(term_ms, self._finish_typed)
        else:
            self._finish_typed()

    def _finish_typed(self) -> None:
        budget = Budget(MATCH_WORK)
        try:
            found = _match(self._typed, 1.0, self._typable, DTMF, budget)
        except GrammarError as error:
            self.end(Cause.SEMANTICS_FAILURE, str(error))
            return
        late = self._at_maxtime
        if found is not None:
            self._matches = [found]
            self.end(Cause.SUCCESS_MAXTIME if late else Cause.SUCCESS)
        elif self._typed and any(
            one.grammar.progress(self._typed, budget)[1] for one in self._typable
        ):
            self.end(Cause.PARTIAL_MATCH_MAXTIME if late else Cause.PARTIAL_MATCH)
        else:
            self.end(Cause.NO_MATCH_MAXTIME if late else Cause.NO_MATCH)
