"""What the header fields of requests may say, and what holds where they say nothing.

One table a resource: a field that stands in it is supported, and its reader says what a value
means, or why it cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from ..mrcp.message import Headers, flag_of, number_of
from ..mrcp.words import Header, Resource, Status

MAX_MS = 600_000
"""Longer than any timeout that makes sense; RFC 6787 leaves the bound to the server."""
MAX_SPEECH_MS = 60_000
"""The longest utterance that is recognized."""
MAX_RECORD_MS = 120_000
"""So that a recording fits into a message."""
MAX_N_BEST = 10

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.4, "x-fast": 2.0}
_VOLUMES = {
    "silent": 0.0,
    "x-soft": 0.25,
    "soft": 0.5,
    "medium": 1.0,
    "default": 1.0,
    "loud": 1.5,
    "x-loud": 2.0,
}


class Wrong(Enum):
    """Why a value cannot be used."""

    ILLEGAL = Status.ILLEGAL_HEADER_VALUE
    UNSUPPORTED = Status.UNSUPPORTED_HEADER_VALUE


Value = Any
Reader = Callable[[str], Value]


def _flag(value: str) -> Value:
    found = flag_of(value)
    return Wrong.ILLEGAL if found is None else found


def _at_most(most_ms: int) -> Reader:
    def read(value: str) -> Value:
        found = number_of(value, 2**62)
        if found is None:
            return Wrong.ILLEGAL
        return found if found <= most_ms else Wrong.UNSUPPORTED

    return read


_milliseconds = _at_most(MAX_MS)


def _share(value: str) -> Value:
    """0.0 to 1.0 (RFC 6787, 9.4.1)."""
    if not re.fullmatch(r"[0-9]{0,3}(\.[0-9]{0,9})?", value) or value in {"", "."}:
        return Wrong.ILLEGAL
    found = float(value)
    return found if found <= 1 else Wrong.ILLEGAL


def _count(value: str) -> Value:
    found = number_of(value, 2**31)
    return Wrong.ILLEGAL if not found else min(found, MAX_N_BEST)


def _text(value: str) -> Value:
    return value


def _language(value: str) -> Value:
    return value if _LANGUAGE.fullmatch(value) else Wrong.ILLEGAL


def _of(*known: str, supported: tuple[str, ...] | None = None) -> Reader:
    def read(value: str) -> Value:
        if value.lower() not in known:
            return Wrong.ILLEGAL
        taken = known if supported is None else supported
        return value.lower() if value.lower() in taken else Wrong.UNSUPPORTED

    return read


def _term_char(value: str) -> Value:
    return value if value in {"", *"0123456789*#ABCD"} else Wrong.ILLEGAL


def _prosody(words: Mapping[str, float], least: float, most: float) -> Reader:
    """A word of SSML, a factor (``1.5``) or a per cent change (``+20%``)."""

    def read(value: str) -> Value:
        if value.lower() in words:
            return words[value.lower()]
        if change := re.fullmatch(r"([+-][0-9]{1,3})%", value):
            factor = 1 + int(change[1]) / 100
        elif re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", value):
            factor = float(value)
        else:
            return Wrong.ILLEGAL
        return factor if least <= factor <= most else Wrong.UNSUPPORTED

    return read


_GENERIC: dict[Header, Reader] = {
    Header.LOGGING_TAG: _text,
    Header.VENDOR_SPECIFIC_PARAMETERS: _text,
}

_SYNTHESIZER: dict[Header, Reader] = _GENERIC | {
    Header.KILL_ON_BARGE_IN: _flag,
    Header.SPEECH_LANGUAGE: _language,
    Header.VOICE_NAME: _text,
    Header.PROSODY_RATE: _prosody(_RATES, 0.5, 2.5),
    Header.PROSODY_VOLUME: _prosody(_VOLUMES, 0.0, 2.0),
}

_RECOGNIZER: dict[Header, Reader] = _GENERIC | {
    Header.CONFIDENCE_THRESHOLD: _share,
    Header.SENSITIVITY_LEVEL: _share,
    Header.N_BEST_LIST_LENGTH: _count,
    Header.NO_INPUT_TIMEOUT: _milliseconds,
    Header.RECOGNITION_TIMEOUT: _at_most(MAX_SPEECH_MS),
    Header.SPEECH_COMPLETE_TIMEOUT: _milliseconds,
    Header.SPEECH_INCOMPLETE_TIMEOUT: _milliseconds,
    Header.DTMF_INTERDIGIT_TIMEOUT: _milliseconds,
    Header.DTMF_TERM_TIMEOUT: _milliseconds,
    Header.DTMF_TERM_CHAR: _term_char,
    Header.RECOGNITION_MODE: _of("normal", "hotword"),
    Header.HOTWORD_MIN_DURATION: _milliseconds,
    Header.HOTWORD_MAX_DURATION: _milliseconds,
    Header.SPEECH_LANGUAGE: _language,
    Header.SAVE_WAVEFORM: _of("true", "false", supported=("false",)),
}

_RECORDER: dict[Header, Reader] = _GENERIC | {
    Header.SENSITIVITY_LEVEL: _share,
    Header.NO_INPUT_TIMEOUT: _milliseconds,
    Header.MAX_TIME: _at_most(MAX_RECORD_MS),
    Header.FINAL_SILENCE: _milliseconds,
    Header.TRIM_LENGTH: _milliseconds,
    Header.CAPTURE_ON_SPEECH: _flag,
    Header.MEDIA_TYPE: _of("audio/wav", "audio/x-wav"),
}

_DEFAULTS: dict[Header, str] = {
    Header.KILL_ON_BARGE_IN: "true",
    Header.SPEECH_LANGUAGE: "en-US",
    Header.PROSODY_RATE: "medium",
    Header.PROSODY_VOLUME: "medium",
    Header.CONFIDENCE_THRESHOLD: "0.5",
    Header.SENSITIVITY_LEVEL: "0.5",
    Header.N_BEST_LIST_LENGTH: "1",
    Header.NO_INPUT_TIMEOUT: "7000",
    Header.RECOGNITION_TIMEOUT: "15000",
    Header.SPEECH_COMPLETE_TIMEOUT: "800",
    Header.SPEECH_INCOMPLETE_TIMEOUT: "1500",
    Header.DTMF_INTERDIGIT_TIMEOUT: "5000",
    Header.DTMF_TERM_TIMEOUT: "0",
    Header.DTMF_TERM_CHAR: "",
    Header.RECOGNITION_MODE: "normal",
    Header.HOTWORD_MIN_DURATION: "0",
    Header.HOTWORD_MAX_DURATION: "10000",
    Header.SAVE_WAVEFORM: "false",
    Header.MAX_TIME: "60000",
    Header.FINAL_SILENCE: "3000",
    Header.TRIM_LENGTH: "0",
    Header.CAPTURE_ON_SPEECH: "false",
    Header.MEDIA_TYPE: "audio/wav",
}

_IN_REQUESTS: dict[Header, Reader] = {
    Header.START_INPUT_TIMERS: _flag,
    Header.CANCEL_IF_QUEUE: _flag,
    Header.CLEAR_DTMF_BUFFER: _flag,
    Header.NEW_AUDIO_CHANNEL: _flag,
}
"""What belongs to one request, and is nothing to set for all."""


def readers_of(resource: Resource) -> dict[Header, Reader]:
    """The parameters that such a resource has."""
    if resource in {Resource.SPEECHSYNTH, Resource.BASICSYNTH}:
        return _SYNTHESIZER
    return _RECORDER if resource is Resource.RECORDER else _RECOGNIZER


class Parameters:
    """The parameters of one channel: what SET-PARAMS has set, and the defaults."""

    def __init__(self, resource: Resource) -> None:
        self._readers = readers_of(resource)
        self._set: dict[Header, str] = {}

    def supports(self, name: str) -> bool:
        """Whether a header field is a parameter here."""
        return name in self._readers

    def wrong(self, headers: Headers) -> list[tuple[str, str, Wrong]]:
        """The fields whose values cannot be used."""
        readers = self._readers | _IN_REQUESTS
        found = []
        for name, value in headers:
            reader = readers.get(Header(name)) if name in readers else None
            read = reader(value) if reader else None
            if isinstance(read, Wrong):
                found.append((name, value, read))
        return found

    def put(self, headers: Headers) -> None:
        """Keep these values, which are right, for requests to come."""
        for name, value in headers:
            if name in self._readers:
                self._set[Header(name)] = value

    def text(self, header: Header) -> str | None:
        """What holds now, as it is written; None: nothing, or it is no parameter here."""
        return self._set.get(header, _DEFAULTS.get(header)) if header in self._readers else None

    def all(self) -> list[tuple[str, str]]:
        """Everything that has a value."""
        named = ((header, self.text(header)) for header in self._readers)
        return [(header, text) for header, text in named if text is not None]

    def of(self, request: Headers) -> Callable[[Header], Value]:
        """The values for one request: its own fields, which are right, before what was set."""

        def value(header: Header) -> Value:
            text = request.get(header)
            if header in _IN_REQUESTS:
                return _IN_REQUESTS[header](text) if text is not None else None
            if text is None:
                text = self.text(header)
            return self._readers[header](text) if text is not None else None

        return value
