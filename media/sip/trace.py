"""The last SIP messages of an engine, as they were on the wire, in a ring of bounded size.

Keeping one costs a tuple and an append; whatever takes longer is done when somebody asks.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .edge import Flow
from .message import REASON_PHRASES

MAX_TRACE_BYTES = 16 * 1024 * 1024
BATCH = 250
"""Messages that are looked through in one go: about 1 ms."""
OVERHEAD_BYTES = 200
"""What a message takes beside its own bytes: the tuple, the time, the object headers."""

_CALL_ID = re.compile(rb"^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_CSEQ = re.compile(rb"^cseq[ \t]*:[ \t]*\d+[ \t]+([A-Za-z]+)", re.IGNORECASE | re.MULTILINE)
_FROM = re.compile(rb"^(?:from|f)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_TO = re.compile(rb"^(?:to|t)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_URI = re.compile(r"<([^>]*)>|^\s*([^\s;<]+)\s*(?:;|$)")
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

    def search(self, key: str) -> Generator[None, None, list[Traced]]:
        """Find the messages of a call, by its Call-ID, or by the tag that is its name in the log.

        It yields after every `BATCH` messages, so that others have their turn.
        """
        wanted = key.encode("utf-8", "surrogateescape")
        everything = tuple(self)
        near = yield from _those(everything, lambda data: wanted in data)
        found = [item for item in near if call_id_of(item.data) == wanted]
        if found or not near:
            return found
        tag = re.compile(rb";[ \t]*tag[ \t]*=[ \t]*" + re.escape(wanted) + rb"(?![^\s;,>])")
        call_ids = {call_id_of(item.data) for item in near if tag.search(item.data)} - {b""}
        if not call_ids:
            return []
        return (yield from _those(everything, lambda data: call_id_of(data) in call_ids))


def _those(
    items: Sequence[Traced], wanted: Callable[[bytes], bool]
) -> Generator[None, None, list[Traced]]:
    found = []
    for start in range(0, len(items), BATCH):
        found += [item for item in items[start : start + BATCH] if wanted(item.data)]
        yield
    return found


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
            return f"answered, {self.ended} hung up"
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
        call.ended = call.ended or ("we" if item.sent else "peer")
    elif data.startswith(b"CANCEL "):
        call.cancelled = True


def _uri(header: re.Match[bytes] | None) -> str:
    """The URI in a From or To."""
    text = _text(header[1]) if header else ""
    # A display name in quotes may hold anything, angle brackets included.
    found = _URI.search(_QUOTED.sub("", text))
    return (found[1] or found[2] or "") if found else ""


def _text(raw: bytes) -> str:
    return raw.strip().decode("utf-8", "replace")
