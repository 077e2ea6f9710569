"""The last SIP messages of an engine, as they were on the wire, in a ring of bounded size.

Keeping one costs a tuple and an append; whatever takes longer is done when somebody asks.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .edge import Flow
from .message import REASON_PHRASES

MAX_TRACE_BYTES = 16 * 1024 * 1024
OVERHEAD_BYTES = 200
"""What a message takes beside its own bytes: the tuple, the time, the object headers."""

_CALL_ID = re.compile(rb"^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_CSEQ = re.compile(rb"^cseq[ \t]*:[ \t]*\d+[ \t]+([A-Za-z]+)", re.IGNORECASE | re.MULTILINE)
_FROM = re.compile(rb"^(?:from|f)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_TO = re.compile(rb"^(?:to|t)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_URI = re.compile(r"<([^>]*)>|([^\s;]+)")
_CHALLENGES = (401, 407)


class Traced(NamedTuple):
    """One message: when it came or went (seconds since 1970), by which way, and its bytes."""

    time_s: float
    sent: bool
    flow: Flow
    data: bytes


class Trace:
    """Keeps the last ``max_messages`` messages, and no more than ``max_bytes`` of them.

    It is a `MessageObserver`.
    """

    def __init__(self, max_messages: int, max_bytes: int = MAX_TRACE_BYTES) -> None:
        if max_messages < 1 or max_bytes < 1:
            raise ValueError("a trace holds at least one message")
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._kept: deque[tuple[float, bool, Flow, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def __call__(self, sent: bool, flow: Flow, data: bytes, time_s: float) -> None:
        """Keep a message."""
        kept = self._kept
        kept.append((time_s, sent, flow, data))
        self.held_bytes += len(data) + OVERHEAD_BYTES
        while self.held_bytes > self.max_bytes or len(kept) > self.max_messages:
            self.held_bytes -= len(kept.popleft()[3]) + OVERHEAD_BYTES

    def __iter__(self) -> Iterator[Traced]:
        """The messages as of now, oldest first."""
        return map(Traced._make, tuple(self._kept))

    def find(self, key: str) -> list[Traced]:
        """The messages of a call, by its Call-ID, or by the tag that is its name in the log."""
        wanted = key.encode("utf-8", "surrogateescape")
        near = [item for item in tuple(self._kept) if wanted in item[3]]
        call_ids = {wanted}
        if not any(call_id_of(item[3]) == wanted for item in near):
            tag = re.compile(rb";[ \t]*tag[ \t]*=[ \t]*" + re.escape(wanted) + rb"(?![^\s;,>])")
            call_ids = {call_id_of(item[3]) for item in near if tag.search(item[3])} - {b""}
            near = list(self._kept) if call_ids else []
        return [Traced._make(item) for item in near if call_id_of(item[3]) in call_ids]


def call_id_of(data: bytes) -> bytes:
    """The Call-ID of a message, or nothing if there is none."""
    found = _CALL_ID.search(data)
    return found[1].strip() if found else b""


@dataclass(slots=True)
class TracedCall:
    """What the messages kept of a call say about it; ``outcome`` is for people."""

    call_id: str
    first_s: float
    last_s: float
    from_uri: str
    to_uri: str
    incoming: bool
    messages: int = 0
    status: int = 0
    cancelled: bool = False
    ended: str = ""

    @property
    def outcome(self) -> str:
        """What became of the call."""
        if self.ended:
            return f"answered, ended by {self.ended}"
        if self.status >= 300:
            return f"{self.status} {REASON_PHRASES.get(self.status, '')}".rstrip()
        if self.status >= 200:
            return "up"
        if self.cancelled:
            return "cancelled"
        return "ringing" if self.status > 100 else "calling"


class CallList:
    """Makes a list of calls out of messages, oldest first; only of those whose INVITE is kept."""

    def __init__(self) -> None:
        self._calls: dict[bytes, TracedCall] = {}

    def add(self, item: Traced) -> None:
        """Take the next message into account."""
        data = item.data
        key = call_id_of(data)
        call = self._calls.get(key)
        if call is None:
            if key and data.startswith(b"INVITE "):
                call = self._calls[key] = _begun(key, item)
            else:
                return
        call.messages += 1
        call.last_s = item.time_s
        _follow(call, item)

    def latest(self, count: int) -> list[TracedCall]:
        """The calls that began last, the newest first."""
        return list(self._calls.values())[-1 : -count - 1 : -1]


def _begun(key: bytes, item: Traced) -> TracedCall:
    return TracedCall(
        _text(key),
        item.time_s,
        item.time_s,
        _uri(_FROM.search(item.data)),
        _uri(_TO.search(item.data)),
        not item.sent,
    )


def _follow(call: TracedCall, item: Traced) -> None:
    data = item.data
    if data.startswith(b"SIP/2.0 "):
        method, status = _CSEQ.search(data), data[8:11]
        # Once answered it stays so, whatever a re-INVITE is answered.
        if method and method[1] == b"INVITE" and status.isdigit() and not 200 <= call.status < 300:
            call.status = 0 if int(status) in _CHALLENGES else int(status)
    elif data.startswith(b"BYE "):
        call.ended = call.ended or ("us" if item.sent else "the peer")
    elif data.startswith(b"CANCEL "):
        call.cancelled = True


def _uri(header: re.Match[bytes] | None) -> str:
    """The URI in a From or To."""
    text = _text(header[1]) if header else ""
    # A display name in quotes may hold anything, angle brackets included.
    found = _URI.search(re.sub(r'^\s*"(?:[^"\\]|\\.)*"', "", text))
    return (found[1] or found[2] or "") if found else ""


def _text(raw: bytes) -> str:
    return raw.strip().decode("utf-8", "replace")
