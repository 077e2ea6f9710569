"""What may be asked of a synthesizer, a recognizer and a recorder (RFC 6787, sections 8 to 10).

Sans-I/O: each method writes a request into its `Channel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .channel import Asked, Channel, RequestUser
from .message import parameters_text
from .words import Header, Method

SSML_TYPE = "application/ssml+xml"
TEXT_TYPE = "text/plain"
SRGS_XML_TYPE = "application/srgs+xml"
SRGS_ABNF_TYPE = "application/srgs"
URI_LIST_TYPE = "text/uri-list"
LEXICON_TYPE = "application/pls+xml"
RESULT_TYPES = "application/nlsml+xml, application/emma+xml"

Lines = Iterable[tuple[str, str]]
Parameters = Sequence[tuple[str, str]]
"""Vendor-specific parameters: names and values."""


@dataclass(frozen=True, slots=True)
class VoiceWish:
    """What voice is wanted, and how it is to speak; None leaves it to the server (8.4.6, 8.4.7)."""

    name: str | None = None
    gender: Literal["male", "female", "neutral"] | None = None
    age: int | None = None
    variant: int | None = None
    rate: str | None = None
    pitch: str | None = None
    volume: str | None = None

    def lines(self) -> list[tuple[str, str]]:
        """As header fields."""
        values = (
            (Header.VOICE_NAME, self.name),
            (Header.VOICE_GENDER, self.gender),
            (Header.VOICE_AGE, self.age),
            (Header.VOICE_VARIANT, self.variant),
            (Header.PROSODY_RATE, self.rate),
            (Header.PROSODY_PITCH, self.pitch),
            (Header.PROSODY_VOLUME, self.volume),
        )
        return [(name, str(value)) for name, value in values if value is not None]


class _Resource:
    """What all three have."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def set_params(self, user: RequestUser, now_ms: int, params: Mapping[str, str]) -> Asked:
        """Set what holds for the requests to come (6.1.1)."""
        return self.channel.ask(Method.SET_PARAMS, user, now_ms, headers=params.items())

    def get_params(self, user: RequestUser, now_ms: int, names: Iterable[str]) -> Asked:
        """Ask for parameters; the response has them as header fields (6.1.2)."""
        lines = [(name, "") for name in names]
        return self.channel.ask(Method.GET_PARAMS, user, now_ms, headers=lines)

    def stop(self, user: RequestUser, now_ms: int, ids: tuple[int, ...] = ()) -> Asked:
        """Stop those requests, or all."""
        lines = [_id_list(ids)] if ids else []
        return self.channel.ask(Method.STOP, user, now_ms, headers=lines, stops=ids)


class Synthesizer(_Resource):
    """Speaks. What is asked while something is spoken waits behind it (8.6)."""

    def speak(
        self,
        user: RequestUser,
        now_ms: int,
        text: str,
        *,
        ssml: bool = False,
        language: str | None = None,
        voice: VoiceWish | None = None,
        kill_on_barge_in: bool = True,
        complete_within_ms: int | None = None,
        vendor: Parameters = (),
        lines: Lines = (),
    ) -> Asked:
        """Speak a text, or SSML (8.6). ``lines`` are further header fields."""
        headers = [
            (Header.CONTENT_TYPE, SSML_TYPE if ssml else TEXT_TYPE),
            (Header.KILL_ON_BARGE_IN, _flag(kill_on_barge_in)),
            *_language(language),
            *(voice.lines() if voice is not None else ()),
            *_vendor(vendor),
            *lines,
        ]
        return self.channel.ask(
            Method.SPEAK,
            user,
            now_ms,
            headers=headers,
            body=text.encode(),
            complete_within_ms=complete_within_ms,
        )

    def pause(self, user: RequestUser, now_ms: int) -> Asked:
        """Hold what is spoken (8.9)."""
        return self.channel.ask(Method.PAUSE, user, now_ms)

    def resume(self, user: RequestUser, now_ms: int) -> Asked:
        """Go on (8.10)."""
        return self.channel.ask(Method.RESUME, user, now_ms)

    def barge_in_occurred(self, user: RequestUser, now_ms: int) -> Asked:
        """The caller speaks: what may be killed by it, ends (8.8)."""
        return self.channel.ask(Method.BARGE_IN_OCCURRED, user, now_ms)

    def control(
        self,
        user: RequestUser,
        now_ms: int,
        *,
        jump: str | None = None,
        voice: VoiceWish | None = None,
    ) -> Asked:
        """Change what is spoken just now: ``jump`` as ``-15 Word`` (8.11, 8.4.1)."""
        headers = voice.lines() if voice is not None else []
        if jump is not None:
            headers.append((Header.JUMP_SIZE, jump))
        return self.channel.ask(Method.CONTROL, user, now_ms, headers=headers)

    def define_lexicon(
        self,
        user: RequestUser,
        now_ms: int,
        id: str,
        lexicon: bytes,
        *,
        load: bool = True,
        content_type: str = LEXICON_TYPE,
    ) -> Asked:
        """Give a pronunciation lexicon, or drop it with ``load`` off (8.14)."""
        headers = [
            (Header.LOAD_LEXICON, _flag(load)),
            (Header.CONTENT_TYPE, content_type),
            (Header.CONTENT_ID, f"<{id}>"),
        ]
        return self.channel.ask(Method.DEFINE_LEXICON, user, now_ms, headers=headers, body=lexicon)


@dataclass(frozen=True, slots=True)
class RecognizeWish:
    """How to listen; times in milliseconds, None leaves it to the server (9.4).

    ``hotword``: listen on until something matches (9.9), for at most ``hotword_max_ms`` a match.
    ``timers_run``: the time for the first word runs at once, else from START-INPUT-TIMERS on.
    """

    language: str | None = None
    confidence: float | None = None
    no_input_ms: int | None = None
    recognition_ms: int | None = None
    complete_ms: int | None = None
    incomplete_ms: int | None = None
    inter_digit_ms: int | None = None
    term_digit_ms: int | None = None
    term_char: str | None = None
    n_best: int | None = None
    timers_run: bool = True
    hotword: bool = False
    hotword_min_ms: int | None = None
    hotword_max_ms: int | None = None
    cancel_if_queue: bool = False
    save_waveform: bool = False
    clear_digits: bool | None = None
    vendor: Parameters = ()

    def lines(self) -> list[tuple[str, str]]:
        """As header fields."""
        values = (
            (
                Header.CONFIDENCE_THRESHOLD,
                None if self.confidence is None else f"{self.confidence:.2f}",
            ),
            (Header.NO_INPUT_TIMEOUT, self.no_input_ms),
            (Header.RECOGNITION_TIMEOUT, self.recognition_ms),
            (Header.SPEECH_COMPLETE_TIMEOUT, self.complete_ms),
            (Header.SPEECH_INCOMPLETE_TIMEOUT, self.incomplete_ms),
            (Header.DTMF_INTERDIGIT_TIMEOUT, self.inter_digit_ms),
            (Header.DTMF_TERM_TIMEOUT, self.term_digit_ms),
            (Header.DTMF_TERM_CHAR, self.term_char),
            (Header.N_BEST_LIST_LENGTH, self.n_best),
            (Header.START_INPUT_TIMERS, _flag(self.timers_run)),
            (Header.RECOGNITION_MODE, "hotword" if self.hotword else "normal"),
            (Header.HOTWORD_MIN_DURATION, self.hotword_min_ms),
            (Header.HOTWORD_MAX_DURATION, self.hotword_max_ms),
            (Header.CANCEL_IF_QUEUE, _flag(self.cancel_if_queue)),
            (Header.SAVE_WAVEFORM, _flag(True) if self.save_waveform else None),
            (
                Header.CLEAR_DTMF_BUFFER,
                None if self.clear_digits is None else _flag(self.clear_digits),
            ),
        )
        lines = [(str(name), str(value)) for name, value in values if value is not None]
        return [*_language(self.language), *lines, *_vendor(self.vendor)]


class Recognizer(_Resource):
    """Hears."""

    def define_grammar(
        self,
        user: RequestUser,
        now_ms: int,
        id: str,
        grammar: bytes,
        *,
        content_type: str = SRGS_XML_TYPE,
        language: str | None = None,
    ) -> Asked:
        """Give a grammar, which is ``session:ID`` from then on (9.8)."""
        headers = [
            (Header.CONTENT_TYPE, content_type),
            (Header.CONTENT_ID, f"<{id}>"),
            *_language(language),
        ]
        return self.channel.ask(Method.DEFINE_GRAMMAR, user, now_ms, headers=headers, body=grammar)

    def recognize(
        self,
        user: RequestUser,
        now_ms: int,
        grammars: Sequence[str],
        wish: RecognizeWish,
        *,
        complete_within_ms: int | None = None,
    ) -> Asked:
        """Hear something that fits one of ``grammars``: URIs, in order of preference (9.9)."""
        headers = [
            (Header.CONTENT_TYPE, URI_LIST_TYPE),
            (Header.ACCEPT, RESULT_TYPES),
            *wish.lines(),
        ]
        return self.channel.ask(
            Method.RECOGNIZE,
            user,
            now_ms,
            headers=headers,
            body=_uri_list(grammars),
            complete_within_ms=complete_within_ms,
        )

    def start_input_timers(self, user: RequestUser, now_ms: int) -> Asked:
        """The prompt is over: the time for the first word runs (9.13)."""
        return self.channel.ask(Method.START_INPUT_TIMERS, user, now_ms)

    def get_result(
        self, user: RequestUser, now_ms: int, *, confidence: float | None = None, n_best: int = 1
    ) -> Asked:
        """The last result once more, by another measure (9.11)."""
        headers = [(str(Header.N_BEST_LIST_LENGTH), str(n_best))]
        if confidence is not None:
            headers.append((Header.CONFIDENCE_THRESHOLD, f"{confidence:.2f}"))
        return self.channel.ask(Method.GET_RESULT, user, now_ms, headers=headers)

    def interpret(
        self,
        user: RequestUser,
        now_ms: int,
        text: str,
        grammars: Sequence[str],
        *,
        language: str | None = None,
        complete_within_ms: int | None = None,
    ) -> Asked:
        """What a text means by the grammars (9.20)."""
        headers = [
            (Header.CONTENT_TYPE, URI_LIST_TYPE),
            (Header.ACCEPT, RESULT_TYPES),
            (Header.INTERPRET_TEXT, text),
            *_language(language),
        ]
        return self.channel.ask(
            Method.INTERPRET,
            user,
            now_ms,
            headers=headers,
            body=_uri_list(grammars),
            complete_within_ms=complete_within_ms,
        )


@dataclass(frozen=True, slots=True)
class RecordWish:
    """How to record; times in milliseconds, None leaves it to the server (10.4).

    ``uri``: where the recording goes; empty: the server says where it is; None: it comes with the
    answer (10.4.7).
    """

    uri: str | None = None
    media_type: str | None = None
    no_input_ms: int | None = None
    max_ms: int | None = None
    final_silence_ms: int | None = None
    on_speech: bool = False
    timers_run: bool = True

    def lines(self) -> list[tuple[str, str]]:
        """As header fields."""
        values = (
            (Header.MEDIA_TYPE, self.media_type),
            (Header.NO_INPUT_TIMEOUT, self.no_input_ms),
            (Header.MAX_TIME, self.max_ms),
            (Header.FINAL_SILENCE, self.final_silence_ms),
        )
        return [
            *self._uri_lines(),
            (Header.CAPTURE_ON_SPEECH, _flag(self.on_speech)),
            (Header.START_INPUT_TIMERS, _flag(self.timers_run)),
            *((name, str(value)) for name, value in values if value is not None),
        ]

    def _uri_lines(self) -> list[tuple[str, str]]:
        if self.uri is None:
            return []
        return [(Header.RECORD_URI, f"<{self.uri}>" if self.uri else "")]


class Recorder(_Resource):
    """Records."""

    def record(
        self,
        user: RequestUser,
        now_ms: int,
        wish: RecordWish,
        *,
        complete_within_ms: int | None = None,
    ) -> Asked:
        """Record what the caller says (10.6)."""
        return self.channel.ask(
            Method.RECORD,
            user,
            now_ms,
            headers=wish.lines(),
            complete_within_ms=complete_within_ms,
        )

    def start_input_timers(self, user: RequestUser, now_ms: int) -> Asked:
        """The time for the first sound runs (10.9)."""
        return self.channel.ask(Method.START_INPUT_TIMERS, user, now_ms)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _language(language: str | None) -> list[tuple[str, str]]:
    return [(Header.SPEECH_LANGUAGE, language)] if language else []


def _vendor(pairs: Parameters) -> list[tuple[str, str]]:
    return [(Header.VENDOR_SPECIFIC_PARAMETERS, parameters_text(pairs))] if pairs else []


def _id_list(ids: tuple[int, ...]) -> tuple[str, str]:
    return Header.ACTIVE_REQUEST_ID_LIST, ", ".join(map(str, ids))


def _uri_list(uris: Sequence[str]) -> bytes:
    """RFC 2483 section 5."""
    return "".join(f"{uri}\r\n" for uri in uris).encode()
