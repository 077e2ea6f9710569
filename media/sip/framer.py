"""SIP messages out of a byte stream (RFC 3261 18.3), and the keep-alive between them (RFC 5626).

Sans-I/O: bytes in, frames out, the same ones however the stream was cut.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from enum import Enum, StrEnum

from ..byte_stream import ByteStream

MAX_HEAD_BYTES = 16_384
MAX_MESSAGE_BYTES = 65_535
"""What the parser takes."""

_HEAD_END = b"\r\n\r\n"
_CR = 0x0D
# One line, whose value may be folded. Possessive: no backtracking, whatever a peer sends.
_CONTENT_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*+:(?:[ \t]|\r\n[ \t])*+([^\r\n]*+)(?=\r\n)", re.IGNORECASE
)
_DIGITS = re.compile(rb"[0-9]{1,9}")
# What a start line may begin with: a token (RFC 3261 25.1).
_TOKEN_START = frozenset((string.ascii_letters + string.digits + "-.!%*_+`'~").encode())


class Signal(Enum):
    """A keep-alive of RFC 5626 section 3.5.1."""

    PING = b"\r\n\r\n"
    PONG = b"\r\n"


class FrameFault(StrEnum):
    """Why a stream cannot be read on."""

    NO_SIP = "bytes that begin no SIP message"
    HEAD_TOO_LONG = f"a header section of more than {MAX_HEAD_BYTES} bytes"
    NO_LENGTH = "a message without Content-Length"
    BAD_LENGTH = "a Content-Length that is no number, or two of them"
    MESSAGE_TOO_LONG = f"a message of more than {MAX_MESSAGE_BYTES} bytes"


@dataclass(frozen=True, slots=True)
class Broken:
    """The end of a stream: nothing behind it can be told apart. ``head`` is the header section of
    the message at fault, if it is whole, and ``status`` what to answer it with."""

    fault: FrameFault
    head: bytes = b""
    status: int = 400


Frame = bytes | Signal | Broken


class Framer(ByteStream):
    """Takes what a connection brings, and gives its messages.

    ``initiator``: we have opened the connection, so that an empty line is the answer to a ping of
    ours; else two of them are a ping.
    """

    __slots__ = ("initiator",)

    def __init__(self, *, initiator: bool) -> None:
        super().__init__()
        self.initiator = initiator

    @property
    def within_message(self) -> bool:
        """True if a message has begun and is not whole."""
        return self.buffered > 0 and self._buffer[self._at] not in b"\r\n"

    def next(self) -> Frame | None:
        """The next frame; None: more has to come first. Nothing follows `Broken`."""
        while self.buffered:
            if self._length:
                return self._piece()
            start, byte = self._at, self._buffer[self._at]
            if byte in _TOKEN_START:
                broken = self._read_head()
                if broken is not None or not self._length:
                    return broken
            elif byte == _CR:
                frame = self._empty_line()
                if frame is not None or self._at == start:
                    return frame
            else:
                return self._break(FrameFault.NO_SIP)
        return None

    def _empty_line(self) -> Frame | None:
        """Empty lines before a message are skipped (RFC 3261 7.5), or are a keep-alive."""
        ahead = bytes(self._buffer[self._at : self._at + 4])
        if not _HEAD_END.startswith(ahead[:2]):
            return self._break(FrameFault.NO_SIP)
        if self.initiator and len(ahead) > 1:
            return self._skip(Signal.PONG)
        if ahead == _HEAD_END:
            return self._skip(Signal.PING)
        if not _HEAD_END.startswith(ahead):
            self._skip(Signal.PONG)
        return None

    def _skip(self, signal: Signal) -> Signal:
        self._at += len(signal.value)
        self._searched = self._at
        return signal

    def _read_head(self) -> Broken | None:
        """Find the end of the header section, and so the length of the message."""
        start = self._at
        end = self._buffer.find(_HEAD_END, max(start, self._searched))
        if (len(self._buffer) if end < 0 else end) - start > MAX_HEAD_BYTES:
            return self._break(FrameFault.HEAD_TOO_LONG)
        if end < 0:
            self._searched = max(start, len(self._buffer) - 3)
            return None
        head = bytes(self._buffer[start : end + 4])
        found = _CONTENT_LENGTH.findall(head)
        if not found:
            return self._break(FrameFault.NO_LENGTH, head)
        digits = found[0].strip()
        # Two lines that agree are one (RFC 3261 does not say): others leave us nothing to go by.
        if not _DIGITS.fullmatch(digits) or any(other.strip() != digits for other in found):
            return self._break(FrameFault.BAD_LENGTH, head)
        length = len(head) + int(digits)
        if length > MAX_MESSAGE_BYTES:
            return self._break(FrameFault.MESSAGE_TOO_LONG, head, 513)
        self._length = length
        return None

    def _break(self, fault: FrameFault, head: bytes = b"", status: int = 400) -> Broken:
        self._end()
        return Broken(fault, head, status)
