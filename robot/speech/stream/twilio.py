"""The messages of Twilio Media Streams, in the role of Twilio: sans-I/O.

https://www.twilio.com/docs/voice/media-streams/websocket-messages: JSON in text frames. Out go
``connected``, ``start``, ``media``, ``dtmf``, ``mark`` and ``stop``; ``media``, ``mark`` and
``clear`` come in. ``answer`` is our own, for a peer that was asked a question (docs/streaming.md).
"""

from __future__ import annotations

import binascii
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ...script.model import Json

MAX_MESSAGE_BYTES = 1 << 20
"""98 s of sound in one message, which is more than agents are known to send."""

MAX_MARK_CHARS = 256
MAX_ANSWER_CHARS = 4_096
SAMPLE_RATE_HZ = 8_000


class Reject(StrEnum):
    """Why something that a peer has sent was not taken; also what counts it."""

    BINARY = "binary"
    TOO_LONG = "too_long"
    NOT_JSON = "not_json"
    NOT_AN_EVENT = "not_an_event"
    UNKNOWN_EVENT = "unknown_event"
    WRONG_STREAM = "wrong_stream"
    BAD_SOUND = "bad_sound"
    BAD_MARK = "bad_mark"
    BAD_ANSWER = "bad_answer"


@dataclass(frozen=True, slots=True)
class Media:
    """Sound to be played behind what waits already, mu-law at 8 kHz."""

    sound: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """To be sent back when the sound before it was played, or cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """What waits is not to be played."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller has answered to a question."""

    text: str
    value: Json
    confidence: float
    match: bool


Incoming = Media | Mark | Clear | Answer


class TwilioStream:
    """One stream: numbers what goes out, and reads what comes in.

    ``parameters`` reach the peer as ``customParameters``.
    """

    def __init__(self, call_sid: str, parameters: Mapping[str, str]) -> None:
        self.stream_sid = "MZ" + uuid.uuid4().hex
        self._call_sid = call_sid
        self._parameters = dict(parameters)
        self._sequence = 0
        self._chunk = 0
        # All of a message but its numbers and its sound, because it goes out 50 times a second.
        self._media = (
            '{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
            f'"timestamp":"%d","payload":"%s"}},"streamSid":"{self.stream_sid}"}}'
        )

    def connected(self) -> str:
        """The first message."""
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self) -> str:
        """The second one."""
        return self._message(
            "start",
            {
                "streamSid": self.stream_sid,
                "accountSid": "ringwheel",
                "callSid": self._call_sid,
                "tracks": ["inbound"],
                "customParameters": self._parameters,
                "mediaFormat": {
                    "encoding": "audio/x-mulaw",
                    "sampleRate": SAMPLE_RATE_HZ,
                    "channels": 1,
                },
            },
        )

    def media(self, sound: bytes, at_ms: int) -> str:
        """What the caller said, in mu-law, ``at_ms`` after the start."""
        self._sequence += 1
        self._chunk += 1
        payload = binascii.b2a_base64(sound, newline=False).decode("ascii")
        return self._media % (self._sequence, self._chunk, at_ms, payload)

    def dtmf(self, digit: str) -> str:
        """The caller pressed a key."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """What came before the peer's mark was played or cleared."""
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        """The last message."""
        return self._message("stop", {"accountSid": "ringwheel", "callSid": self._call_sid})

    def _message(self, event: str, content: dict[str, Any]) -> str:
        self._sequence += 1
        return json.dumps(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                event: content,
                "streamSid": self.stream_sid,
            }
        )

    def read(self, message: str | bytes) -> Incoming | Reject:
        """What a message of the peer says. A message without streamSid is taken for ours."""
        fields = _fields_of(message)
        if isinstance(fields, Reject):
            return fields
        if fields.get("streamSid", self.stream_sid) != self.stream_sid:
            return Reject.WRONG_STREAM
        event = fields["event"]
        content = fields.get(event)
        try:
            return _READERS.get(event, _read_unknown)(content if isinstance(content, dict) else {})
        except RecursionError:
            return Reject.BAD_ANSWER


def _fields_of(message: str | bytes) -> dict[str, Any] | Reject:
    if isinstance(message, bytes):
        return Reject.BINARY
    if len(message) > MAX_MESSAGE_BYTES:
        return Reject.TOO_LONG
    try:
        fields = json.loads(message, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Reject.NOT_JSON
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return Reject.NOT_AN_EVENT
    return fields


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity, which Python reads, are no JSON (RFC 8259, 6)."""
    raise ValueError(name)


def _read_media(content: dict[str, Any]) -> Media | Reject:
    payload = content.get("payload")
    if not isinstance(payload, str):
        return Reject.BAD_SOUND
    try:
        return Media(binascii.a2b_base64(payload, strict_mode=True))
    except ValueError:
        return Reject.BAD_SOUND


def _read_mark(content: dict[str, Any]) -> Mark | Reject:
    name = content.get("name")
    if not isinstance(name, str) or len(name) > MAX_MARK_CHARS:
        return Reject.BAD_MARK
    return Mark(name)


def _read_clear(_: dict[str, Any]) -> Clear:
    return Clear()


def _read_answer(content: dict[str, Any]) -> Answer | Reject:
    text = content.get("text", "")
    confidence = content.get("confidence", 1.0)
    match = content.get("match", True)
    value = content.get("value")
    if (
        not isinstance(text, str)
        or isinstance(confidence, bool)
        or not isinstance(confidence, int | float)
        or not 0 <= confidence <= 1
        or not isinstance(match, bool)
        or len(text) > MAX_ANSWER_CHARS
        or len(json.dumps(value)) > MAX_ANSWER_CHARS
        or not _is_text([text, value])
    ):
        return Reject.BAD_ANSWER
    return Answer(text, value, float(confidence), match)


def _is_text(value: Json) -> bool:
    """Whether it can be written down: half of a surrogate pair cannot, and is valid JSON."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_unknown(_: dict[str, Any]) -> Reject:
    return Reject.UNKNOWN_EVENT


_READERS: dict[str, Callable[[dict[str, Any]], Incoming | Reject]] = {
    "media": _read_media,
    "mark": _read_mark,
    "clear": _read_clear,
    "answer": _read_answer,
}
