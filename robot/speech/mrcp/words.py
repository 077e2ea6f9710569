"""The words of MRCPv2 (RFC 6787): resources, methods, events, states, statuses, causes, headers.

Those of speaker verification are left out: nothing here does it.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TypeVar

VERSION = "MRCP/2.0"

MAX_REQUEST_ID = 2**32 - 1
"""RFC 6787, 5.2: an unsigned 32-bit number."""


class Resource(StrEnum):
    """What a channel leads to (RFC 6787, 3.1)."""

    SPEECHSYNTH = "speechsynth"
    BASICSYNTH = "basicsynth"
    SPEECHRECOG = "speechrecog"
    DTMFRECOG = "dtmfrecog"
    RECORDER = "recorder"


SYNTHESIZERS = frozenset({Resource.SPEECHSYNTH, Resource.BASICSYNTH})
RECOGNIZERS = frozenset({Resource.SPEECHRECOG, Resource.DTMFRECOG})


class Method(StrEnum):
    """What a client asks for. Enrollment of phrases (9.2) is not done here."""

    SET_PARAMS = "SET-PARAMS"
    GET_PARAMS = "GET-PARAMS"
    # The synthesizer's (RFC 6787, 8.2).
    SPEAK = "SPEAK"
    STOP = "STOP"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    BARGE_IN_OCCURRED = "BARGE-IN-OCCURRED"
    CONTROL = "CONTROL"
    DEFINE_LEXICON = "DEFINE-LEXICON"
    # The recognizer's (9.2); STOP as well.
    DEFINE_GRAMMAR = "DEFINE-GRAMMAR"
    RECOGNIZE = "RECOGNIZE"
    INTERPRET = "INTERPRET"
    GET_RESULT = "GET-RESULT"
    START_INPUT_TIMERS = "START-INPUT-TIMERS"
    # The recorder's (10.2); STOP and START-INPUT-TIMERS as well.
    RECORD = "RECORD"


class EventName(StrEnum):
    """What a server tells unasked."""

    SPEECH_MARKER = "SPEECH-MARKER"
    SPEAK_COMPLETE = "SPEAK-COMPLETE"
    START_OF_INPUT = "START-OF-INPUT"
    RECOGNITION_COMPLETE = "RECOGNITION-COMPLETE"
    INTERPRETATION_COMPLETE = "INTERPRETATION-COMPLETE"
    RECORD_COMPLETE = "RECORD-COMPLETE"


_GENERIC_METHODS = frozenset({Method.SET_PARAMS, Method.GET_PARAMS})

SYNTHESIZER_METHODS = _GENERIC_METHODS | {
    Method.SPEAK,
    Method.STOP,
    Method.PAUSE,
    Method.RESUME,
    Method.BARGE_IN_OCCURRED,
    Method.CONTROL,
    Method.DEFINE_LEXICON,
}
RECOGNIZER_METHODS = _GENERIC_METHODS | {
    Method.DEFINE_GRAMMAR,
    Method.RECOGNIZE,
    Method.INTERPRET,
    Method.GET_RESULT,
    Method.START_INPUT_TIMERS,
    Method.STOP,
}
RECORDER_METHODS = _GENERIC_METHODS | {Method.RECORD, Method.STOP, Method.START_INPUT_TIMERS}


def methods_of(resource: Resource) -> frozenset[Method]:
    """What may be asked of such a channel."""
    if resource in SYNTHESIZERS:
        return SYNTHESIZER_METHODS
    return RECOGNIZER_METHODS if resource in RECOGNIZERS else RECORDER_METHODS


class RequestState(StrEnum):
    """How far a request has come (RFC 6787, 5.3)."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN-PROGRESS"
    COMPLETE = "COMPLETE"


class Status(IntEnum):
    """What comes of a request (RFC 6787, 5.4). A peer may send others of the same hundreds."""

    SUCCESS = 200
    SUCCESS_HEADERS_IGNORED = 201
    METHOD_NOT_ALLOWED = 401
    METHOD_NOT_VALID_IN_STATE = 402
    UNSUPPORTED_HEADER = 403
    ILLEGAL_HEADER_VALUE = 404
    NO_SUCH_RESOURCE = 405
    MANDATORY_HEADER_MISSING = 406
    OPERATION_FAILED = 407
    UNSUPPORTED_ENTITY = 408
    UNSUPPORTED_HEADER_VALUE = 409
    OUT_OF_ORDER = 410
    SERVER_ERROR = 501
    VERSION_NOT_SUPPORTED = 502
    MESSAGE_TOO_LARGE = 504


STATUS_TEXTS = {
    Status.SUCCESS: "success",
    Status.SUCCESS_HEADERS_IGNORED: "success, some header fields were ignored",
    Status.METHOD_NOT_ALLOWED: "the method is not allowed",
    Status.METHOD_NOT_VALID_IN_STATE: "the method is not valid in this state",
    Status.UNSUPPORTED_HEADER: "a header field is not supported",
    Status.ILLEGAL_HEADER_VALUE: "a header field has an illegal value",
    Status.NO_SUCH_RESOURCE: "the resource is not allocated for this session",
    Status.MANDATORY_HEADER_MISSING: "a mandatory header field is missing",
    Status.OPERATION_FAILED: "the operation failed",
    Status.UNSUPPORTED_ENTITY: "the body is not understood",
    Status.UNSUPPORTED_HEADER_VALUE: "the value of a header field is not supported",
    Status.OUT_OF_ORDER: "the request id is out of order",
    Status.SERVER_ERROR: "internal error of the server",
    Status.VERSION_NOT_SUPPORTED: "the protocol version is not supported",
    Status.MESSAGE_TOO_LARGE: "the message is too large",
}


def status_text(status: int) -> str:
    """A status in words."""
    return STATUS_TEXTS.get(Status(status), "") if status in _STATUSES else "unknown status"


_STATUSES = frozenset(int(status) for status in Status)


class SpeakCause(IntEnum):
    """How a SPEAK ended (RFC 6787, 8.4.4)."""

    NORMAL = 0
    BARGE_IN = 1
    PARSE_FAILURE = 2
    URI_FAILURE = 3
    ERROR = 4
    LANGUAGE_UNSUPPORTED = 5
    LEXICON_LOAD_FAILURE = 6
    CANCELLED = 7


class RecognizeCause(IntEnum):
    """How a RECOGNIZE or an INTERPRET ended, or why a grammar failed (RFC 6787, 9.4.11)."""

    SUCCESS = 0
    NO_MATCH = 1
    NO_INPUT_TIMEOUT = 2
    HOTWORD_MAXTIME = 3
    GRAMMAR_LOAD_FAILURE = 4
    GRAMMAR_COMPILATION_FAILURE = 5
    RECOGNIZER_ERROR = 6
    SPEECH_TOO_EARLY = 7
    SUCCESS_MAXTIME = 8
    URI_FAILURE = 9
    LANGUAGE_UNSUPPORTED = 10
    CANCELLED = 11
    SEMANTICS_FAILURE = 12
    PARTIAL_MATCH = 13
    PARTIAL_MATCH_MAXTIME = 14
    NO_MATCH_MAXTIME = 15
    GRAMMAR_DEFINITION_FAILURE = 16


class RecordCause(IntEnum):
    """How a RECORD ended (RFC 6787, 10.4)."""

    SUCCESS_SILENCE = 0
    SUCCESS_MAXTIME = 1
    NO_INPUT_TIMEOUT = 2
    URI_FAILURE = 3
    ERROR = 4


Cause = SpeakCause | RecognizeCause | RecordCause
AnyCause = TypeVar("AnyCause", SpeakCause, RecognizeCause, RecordCause)


def cause_name(cause: Cause) -> str:
    """``no-input-timeout``."""
    return cause.name.lower().replace("_", "-")


def cause_text(cause: Cause) -> str:
    """The value of Completion-Cause: ``002 no-input-timeout``."""
    return f"{cause:03d} {cause_name(cause)}"


def cause_of(value: str | None, causes: type[AnyCause]) -> AnyCause | None:
    """What a Completion-Cause says, by its number alone; None: nothing that is known."""
    digits = (value or "").partition(" ")[0]
    if len(digits) != 3 or not digits.isascii() or not digits.isdigit():
        return None
    try:
        return causes(int(digits))
    except ValueError:
        return None


class Header(StrEnum):
    """Header fields."""

    # Generic (RFC 6787, 6.2).
    CHANNEL_IDENTIFIER = "Channel-Identifier"
    ACCEPT = "Accept"
    ACTIVE_REQUEST_ID_LIST = "Active-Request-Id-List"
    PROXY_SYNC_ID = "Proxy-Sync-Id"
    ACCEPT_CHARSET = "Accept-Charset"
    CONTENT_TYPE = "Content-Type"
    CONTENT_ID = "Content-ID"
    CONTENT_BASE = "Content-Base"
    CONTENT_ENCODING = "Content-Encoding"
    CONTENT_LOCATION = "Content-Location"
    CONTENT_LENGTH = "Content-Length"
    FETCH_TIMEOUT = "Fetch-Timeout"
    CACHE_CONTROL = "Cache-Control"
    LOGGING_TAG = "Logging-Tag"
    SET_COOKIE = "Set-Cookie"
    VENDOR_SPECIFIC_PARAMETERS = "Vendor-Specific-Parameters"
    # Of several resources.
    COMPLETION_CAUSE = "Completion-Cause"
    COMPLETION_REASON = "Completion-Reason"
    FAILED_URI = "Failed-URI"
    FAILED_URI_CAUSE = "Failed-URI-Cause"
    SPEECH_LANGUAGE = "Speech-Language"
    SENSITIVITY_LEVEL = "Sensitivity-Level"
    NO_INPUT_TIMEOUT = "No-Input-Timeout"
    MEDIA_TYPE = "Media-Type"
    START_INPUT_TIMERS = "Start-Input-Timers"
    NEW_AUDIO_CHANNEL = "New-Audio-Channel"
    VER_BUFFER_UTTERANCE = "Ver-Buffer-Utterance"
    # The synthesizer's (8.4).
    JUMP_SIZE = "Jump-Size"
    KILL_ON_BARGE_IN = "Kill-On-Barge-In"
    SPEAKER_PROFILE = "Speaker-Profile"
    VOICE_GENDER = "Voice-Gender"
    VOICE_AGE = "Voice-Age"
    VOICE_VARIANT = "Voice-Variant"
    VOICE_NAME = "Voice-Name"
    PROSODY_PITCH = "Prosody-Pitch"
    PROSODY_CONTOUR = "Prosody-Contour"
    PROSODY_RANGE = "Prosody-Range"
    PROSODY_RATE = "Prosody-Rate"
    PROSODY_DURATION = "Prosody-Duration"
    PROSODY_VOLUME = "Prosody-Volume"
    SPEECH_MARKER = "Speech-Marker"
    FETCH_HINT = "Fetch-Hint"
    AUDIO_FETCH_HINT = "Audio-Fetch-Hint"
    SPEAK_RESTART = "Speak-Restart"
    SPEAK_LENGTH = "Speak-Length"
    LOAD_LEXICON = "Load-Lexicon"
    LEXICON_SEARCH_ORDER = "Lexicon-Search-Order"
    # The recognizer's (9.4).
    CONFIDENCE_THRESHOLD = "Confidence-Threshold"
    SPEED_VS_ACCURACY = "Speed-Vs-Accuracy"
    N_BEST_LIST_LENGTH = "N-Best-List-Length"
    INPUT_TYPE = "Input-Type"
    RECOGNITION_TIMEOUT = "Recognition-Timeout"
    WAVEFORM_URI = "Waveform-URI"
    INPUT_WAVEFORM_URI = "Input-Waveform-URI"
    RECOGNIZER_CONTEXT_BLOCK = "Recognizer-Context-Block"
    SPEECH_COMPLETE_TIMEOUT = "Speech-Complete-Timeout"
    SPEECH_INCOMPLETE_TIMEOUT = "Speech-Incomplete-Timeout"
    DTMF_INTERDIGIT_TIMEOUT = "DTMF-Interdigit-Timeout"
    DTMF_TERM_TIMEOUT = "DTMF-Term-Timeout"
    DTMF_TERM_CHAR = "DTMF-Term-Char"
    SAVE_WAVEFORM = "Save-Waveform"
    RECOGNITION_MODE = "Recognition-Mode"
    CANCEL_IF_QUEUE = "Cancel-If-Queue"
    HOTWORD_MAX_DURATION = "Hotword-Max-Duration"
    HOTWORD_MIN_DURATION = "Hotword-Min-Duration"
    INTERPRET_TEXT = "Interpret-Text"
    DTMF_BUFFER_TIME = "DTMF-Buffer-Time"
    CLEAR_DTMF_BUFFER = "Clear-DTMF-Buffer"
    EARLY_NO_MATCH = "Early-No-Match"
    # The recorder's (10.4).
    RECORD_URI = "Record-URI"
    MAX_TIME = "Max-Time"
    TRIM_LENGTH = "Trim-Length"
    FINAL_SILENCE = "Final-Silence"
    CAPTURE_ON_SPEECH = "Capture-On-Speech"


_ALL = list(Header)


def _between(first: Header, last: Header) -> frozenset[Header]:
    return frozenset(_ALL[_ALL.index(first) : _ALL.index(last) + 1])


GENERIC_HEADERS = _between(Header.CHANNEL_IDENTIFIER, Header.VENDOR_SPECIFIC_PARAMETERS)

_ENDS = _between(Header.COMPLETION_CAUSE, Header.FAILED_URI_CAUSE)

SYNTHESIZER_HEADERS = (
    GENERIC_HEADERS
    | _ENDS
    | {Header.SPEECH_LANGUAGE}
    | _between(Header.JUMP_SIZE, Header.LEXICON_SEARCH_ORDER)
)
_HEARING = _between(Header.SENSITIVITY_LEVEL, Header.VER_BUFFER_UTTERANCE)
RECOGNIZER_HEADERS = (
    GENERIC_HEADERS
    | _ENDS
    | _HEARING
    | {Header.SPEECH_LANGUAGE}
    | _between(Header.CONFIDENCE_THRESHOLD, Header.EARLY_NO_MATCH)
)
RECORDER_HEADERS = (
    GENERIC_HEADERS | _ENDS | _HEARING | _between(Header.RECORD_URI, Header.CAPTURE_ON_SPEECH)
)


def headers_of(resource: Resource) -> frozenset[Header]:
    """What header fields such a channel knows."""
    if resource in SYNTHESIZERS:
        return SYNTHESIZER_HEADERS
    return RECOGNIZER_HEADERS if resource in RECOGNIZERS else RECORDER_HEADERS


HEADER_OF = {header.lower(): header for header in Header}
"""A header field by its name in lower case."""
