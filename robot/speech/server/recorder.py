"""The recorder of a channel (RFC 6787, section 10), sans-I/O."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import soundfile

from ....media.codec import Samples
from ....media.sip.edge import TimerHandle, Timers
from ..mrcp.message import ChannelId, Request
from ..mrcp.words import EventName, Header, Method, RecordCause, RequestState, Status
from .endpoint import RATE_HZ
from .parameters import MAX_RECORD_MS
from .resource import ChannelResource, ResourceFigures, Send, cause_lines

MEDIA_TYPE = "audio/wav"


class Tape(Protocol):
    """Who listens, and keeps what is heard. Between `record` and `stop` it tells the recorder
    ``speech_began``, ``speech_paused`` and ``speech_resumed``."""

    def record(self, sensitivity: float, *, from_speech: bool) -> None:
        """Keep what is heard from now on, or from the beginning of speech on."""
        ...

    def stop(self) -> None:
        """Do not listen any more; what was kept stays until the next recording."""
        ...

    def kept(self) -> Samples:
        """What was kept."""
        ...

    def store(self, wav: bytes, done: Callable[[str | OSError], None]) -> None:
        """Write a file; ``done`` is called with its URI, or with what went wrong."""
        ...

    @property
    def stores(self) -> bool:
        """Whether files are kept at all."""
        ...


class Recorder(ChannelResource):
    """One channel of ``recorder``: idle, or recording."""

    def __init__(
        self,
        channel: ChannelId,
        send: Send,
        timers: Timers,
        tape: Tape,
        figures: ResourceFigures | None = None,
    ) -> None:
        super().__init__(channel, send, timers, figures)
        self._tape = tape
        self._current: Request | None = None
        self._value: Callable[[Header], Any]
        self._heard = False
        self._input_timer: TimerHandle | None = None
        self._longest_timer: TimerHandle | None = None
        self._silence_timer: TimerHandle | None = None

    @property
    def handlers(self) -> Mapping[Method, Callable[[Request], None]]:
        return {
            Method.RECORD: self._record,
            Method.STOP: self._stop,
            Method.START_INPUT_TIMERS: self._start_input_timers,
        }

    def close(self) -> None:
        super().close()
        self._leave()

    # What is heard

    def speech_began(self) -> None:
        """The caller has begun to speak."""
        if self._current is None:
            return
        if not self._heard:
            self._heard = True
            _cancel(self._input_timer)
            if self._value(Header.CAPTURE_ON_SPEECH):
                self._run_longest_timer()
            request_id = self._current.request_id
            self._tell(EventName.START_OF_INPUT, request_id, RequestState.IN_PROGRESS)

    def speech_paused(self, sound: Samples, silent_ms: int) -> None:
        """The caller says nothing since ``silent_ms``."""
        if self._current is None:
            return
        final_ms = self._value(Header.FINAL_SILENCE)
        if final_ms:  # zero is infinity: silence does not end it (RFC 6787, 10.4)
            left_ms = max(0, final_ms - silent_ms)
            self._silence_timer = self._arm(left_ms, lambda: self._end(RecordCause.SUCCESS_SILENCE))

    def speech_resumed(self) -> None:
        """The caller goes on."""
        _cancel(self._silence_timer)

    # Methods

    def _record(self, request: Request) -> None:
        """RFC 6787, 10.6."""
        if self._current is not None:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
            return
        uri = request.headers.get(Header.RECORD_URI)
        if uri:
            reason = "where recordings go is up to the server: leave Record-URI empty"
            self._fail(request, RecordCause.URI_FAILURE, reason)
            return
        if uri is not None and not self._tape.stores:
            reason = "this server keeps no recordings: leave Record-URI out, and they come back"
            self._fail(request, RecordCause.URI_FAILURE, reason)
            return
        self._current, self._heard = request, False
        self._value = value = self.parameters.of(request.headers)
        self._respond(request, Status.SUCCESS, RequestState.IN_PROGRESS)
        from_speech = value(Header.CAPTURE_ON_SPEECH)
        self._tape.record(value(Header.SENSITIVITY_LEVEL), from_speech=from_speech)
        if not from_speech:
            self._run_longest_timer()
        if value(Header.START_INPUT_TIMERS) is not False:
            self._run_input_timer()

    def _stop(self, request: Request) -> None:
        """RFC 6787, 10.7: what was recorded so far is the answer's."""
        listed = self._listed(request)
        current = self._current
        if current is None or (listed is not None and current.request_id not in listed):
            self._respond(request, Status.SUCCESS)
            return
        lines = [(Header.ACTIVE_REQUEST_ID_LIST, str(current.request_id))]
        self._leave()
        self._hold()

        def tell(cause: RecordCause, found: list[tuple[str, str]], body: bytes) -> None:
            status = Status.SUCCESS if cause is not RecordCause.ERROR else Status.OPERATION_FAILED
            failed = cause_lines(cause) if status is not Status.SUCCESS else []
            self._respond(request, status, lines=[*lines, *failed, *found], body=body)
            self._release()

        self._deliver(current, RecordCause.SUCCESS_SILENCE, tell)

    def _start_input_timers(self, request: Request) -> None:
        """RFC 6787, 10.9."""
        if self._current is None:
            self._respond(request, Status.METHOD_NOT_VALID_IN_STATE)
            return
        if not self._heard and self._input_timer is None:
            self._run_input_timer()
        self._respond(request, Status.SUCCESS)

    # Within

    def _run_longest_timer(self) -> None:
        """Zero is infinity (RFC 6787, 10.4): here, what a recording may have at most."""
        longest_ms = self._value(Header.MAX_TIME) or MAX_RECORD_MS
        self._longest_timer = self._arm(longest_ms, self._on_longest)

    def _run_input_timer(self) -> None:
        no_input_ms = self._value(Header.NO_INPUT_TIMEOUT)
        self._input_timer = self._arm(no_input_ms, self._on_no_input)

    def _on_no_input(self) -> None:
        """RFC 6787, 10.4: nothing was said."""
        current = self._current
        assert current is not None
        self._leave()
        self._complete(current, RecordCause.NO_INPUT_TIMEOUT, [], b"")

    def _on_longest(self) -> None:
        self._end(RecordCause.SUCCESS_MAXTIME)

    def _end(self, cause: RecordCause) -> None:
        current = self._current
        assert current is not None
        self._leave()
        self._deliver(current, cause, lambda *ended: self._complete(current, *ended))

    def _deliver(
        self,
        request: Request,
        cause: RecordCause,
        tell: Callable[[RecordCause, list[tuple[str, str]], bytes], None],
    ) -> None:
        """What was kept: as a file, or as a body (RFC 6787, 10.4.7)."""
        sound = _trimmed(self._tape.kept(), self._value(Header.TRIM_LENGTH))
        wav = _wav(sound)
        if request.headers.get(Header.RECORD_URI) is None:
            tell(cause, [(Header.CONTENT_TYPE, MEDIA_TYPE)], wav)
            return

        def stored(found: str | OSError) -> None:
            if isinstance(found, OSError):
                tell(RecordCause.ERROR, [], b"")
                return
            duration_ms = len(sound) * 1000 // RATE_HZ
            about = f"<{found}>;size={len(wav)};duration={duration_ms}"
            tell(cause, [(Header.RECORD_URI, about)], b"")

        self._tape.store(wav, stored)

    def _complete(
        self, request: Request, cause: RecordCause, lines: list[tuple[str, str]], body: bytes
    ) -> None:
        """RFC 6787, 10.8."""
        self._tell(
            EventName.RECORD_COMPLETE,
            request.request_id,
            RequestState.COMPLETE,
            lines=[*cause_lines(cause), *lines],
            body=body,
        )

    def _leave(self) -> None:
        if self._current is not None:
            self._current = None
            self._tape.stop()
        for timer in (self._input_timer, self._longest_timer, self._silence_timer):
            _cancel(timer)
        self._input_timer = self._longest_timer = self._silence_timer = None


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _trimmed(sound: Samples, trim_ms: int) -> Samples:
    """Without its last ``trim_ms`` (RFC 6787, 10.4.10)."""
    return sound[: max(0, len(sound) - trim_ms * RATE_HZ // 1000)]


def _wav(sound: Samples) -> bytes:
    """Mu-law, as it came over the line, and half the size."""
    file = io.BytesIO()
    soundfile.write(file, np.asarray(sound), RATE_HZ, format="WAV", subtype="ULAW")
    return file.getvalue()
