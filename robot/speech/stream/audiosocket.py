"""AudioSocket, Asterisk's protocol for a call's sound over TCP: sans-I/O, for both ends.

https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/: every message is a type, a
length of two bytes (big endian), and so many bytes. Who has the call connects, and says first which
one it is (a UUID); then both send sound, signed linear with 16 bits, little endian.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from enum import StrEnum

_HEADER = struct.Struct("!BH")
MAX_PAYLOAD_BYTES = 0xFFFF

_TERMINATE, _UUID, _DTMF, _ERROR = 0x00, 0x01, 0x03, 0xFF
_RATES_HZ = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
_SOUND = {rate_hz: kind for kind, rate_hz in _RATES_HZ.items()}

RATES_HZ = tuple(_SOUND)
"""Sample rates that have a type of their own."""

DIGITS = frozenset(b"0123456789*#ABCD")


class Reject(StrEnum):
    """Why a message was not taken; also what counts it."""

    UNKNOWN_TYPE = "unknown_type"
    BAD_SOUND = "bad_sound"
    BAD_UUID = "bad_uuid"
    BAD_DIGIT = "bad_digit"


@dataclass(frozen=True, slots=True)
class Terminate:
    """The connection ends, and Asterisk hangs up."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which call it is."""

    uuid: uuid.UUID


@dataclass(frozen=True, slots=True)
class Digit:
    """The caller pressed a key."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of 16 bits, little endian."""

    rate_hz: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Error:
    """The other end has failed; the code means what its software says."""

    code: bytes


Message = Terminate | Identity | Digit | Sound | Error


def encode(message: Message) -> bytes:
    """A message as it goes over the wire. ValueError: its sound has a rate that has no type, or is
    longer than a message may be."""
    match message:
        case Terminate():
            return _framed(_TERMINATE, b"")
        case Identity():
            return _framed(_UUID, message.uuid.bytes)
        case Digit():
            return _framed(_DTMF, message.symbol.encode("ascii"))
        case Sound():
            if message.rate_hz not in _SOUND:
                raise ValueError(f"AudioSocket has no type for sound of {message.rate_hz} Hz")
            return _framed(_SOUND[message.rate_hz], message.pcm)
        case Error():
            return _framed(_ERROR, message.code)


def _framed(kind: int, payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"{len(payload)} bytes; a message has {MAX_PAYLOAD_BYTES} at most")
    return _HEADER.pack(kind, len(payload)) + payload


class Reader:
    """Cuts what comes into messages. What is kept is one message that is not whole yet."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def within(self) -> bool:
        """True while a message has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Message | Reject]:
        """The messages that ``data`` completes, and what was not one."""
        held = self._held + data
        at, found = 0, list[Message | Reject]()
        while len(held) - at >= _HEADER.size:
            kind, length = _HEADER.unpack_from(held, at)
            end = at + _HEADER.size + length
            if end > len(held):
                break
            found.append(_read(kind, held[at + _HEADER.size : end]))
            at = end
        self._held = held[at:]
        return found


def _read(kind: int, payload: bytes) -> Message | Reject:
    if rate_hz := _RATES_HZ.get(kind):
        return Reject.BAD_SOUND if len(payload) % 2 else Sound(rate_hz, payload)
    match kind:
        case 0x00:
            return Terminate()
        case 0x01:
            good = len(payload) == 16
            return Identity(uuid.UUID(bytes=payload)) if good else Reject.BAD_UUID
        case 0x03:
            good = len(payload) == 1 and payload[0] in DIGITS
            return Digit(payload.decode("ascii")) if good else Reject.BAD_DIGIT
        case 0xFF:
            return Error(payload)
        case _:
            return Reject.UNKNOWN_TYPE
