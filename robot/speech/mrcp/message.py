"""MRCPv2 messages (RFC 6787, section 5): requests, responses, events; reading and writing them.

Sans-I/O: bytes in, messages out, the same ones however the stream was cut. Whatever a peer sends is
a message, or a reason why it is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ....media.byte_stream import ByteStream
from .words import HEADER_OF, MAX_REQUEST_ID, VERSION, Header, RequestState

MAX_START_LINE_BYTES = 512
MAX_HEAD_BYTES = 32_768
"""Of the start line and all header fields."""
MAX_LINE_BYTES = 8_192
MAX_HEADERS = 128
MAX_MESSAGE_BYTES = 1_048_576
"""A grammar, or a result with everything that was heard, is within it by far."""
MAX_LIST = 200
"""Request ids, or parameters, in one header field."""

_HEAD_END = b"\r\n\r\n"
# Possessive: no backtracking, whatever a peer sends.
_VERSION_AND_LENGTH = re.compile(rb"(MRCP/[0-9]{1,3}\.[0-9]{1,3}) ([0-9]{1,19}) (.*)", re.DOTALL)
_PREFIX = b"MRCP/"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}+")
_REQUEST_ID = re.compile(r"[0-9]{1,10}+")
_STATUS = re.compile(r"[1-9][0-9][0-9]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FOLD = re.compile(rb"\r\n[ \t]++")
_CHANNEL = re.compile(r"([A-Za-z0-9._~+/=-]{1,128}+)@([A-Za-z0-9._-]{1,64}+)")
_PARAMETER = re.compile(
    r'\s*+([^=;"\s]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^;"]*+)\s*+(?:;|$)', re.DOTALL
)


class Fault(StrEnum):
    """Why bytes are no message. Behind one of the first four nothing can be told apart any more."""

    NO_MRCP = "bytes that begin no MRCP message"
    START_LINE_TOO_LONG = f"a start line of more than {MAX_START_LINE_BYTES} bytes"
    BAD_LENGTH = "a message length that is shorter than the start line"
    MESSAGE_TOO_LONG = "a message that is too long"

    VERSION = "another version than 2.0"
    START_LINE = "a start line that is neither request nor response nor event"
    REQUEST_ID = "a request id beyond 32 bits"
    STATE = "a request state that is none"
    HEAD_TOO_LONG = f"a header section of more than {MAX_HEAD_BYTES} bytes"
    HEAD_END = "a header section that does not end within the message"
    LINE_TOO_LONG = f"a header line of more than {MAX_LINE_BYTES} bytes"
    HEADER_COUNT = f"more than {MAX_HEADERS} header lines"
    HEADER_NAME = "a header line without a name"
    HEADER_VALUE = "a header value with control characters, or that is no UTF-8"
    CONTENT_LENGTH = "a Content-Length that does not fit the message length"


class Headers:
    """Header lines in wire order, without Content-Length, which the body tells. Known names have
    their canonical spelling, others lower case; look-up is by name in any case. ValueError: a name
    or value that cannot be sent."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._lines: list[tuple[str, str]] = []
        for name, value in lines:
            self.add(name, value)

    @classmethod
    def adopt(cls, lines: list[tuple[str, str]]) -> Headers:
        """Take over a list of lines that are known to be good."""
        headers = cls.__new__(cls)
        headers._lines = lines
        return headers

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._lines == other._lines

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self._lines!r})"

    def get(self, name: str) -> str | None:
        """The value of the first line of that name; None if there is none."""
        wanted = canonical(name)
        return next((value for other, value in self._lines if other == wanted), None)

    def all(self, name: str) -> list[str]:
        """The values of every line of that name."""
        wanted = canonical(name)
        return [value for other, value in self._lines if other == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a line."""
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"a header name that cannot be sent: {name[:80]!r}")
        # What was read can be sent again: a name, a colon, and the value.
        if _CONTROL.search(value) or len(name) + 1 + len(value.encode()) > MAX_LINE_BYTES:
            raise ValueError(f"{name}: a value that cannot be sent: too long, or of several lines")
        self._lines.append((canonical(name), value.strip()))


def canonical(name: str) -> str:
    """The usual spelling of a header name; unknown ones in lower case."""
    lower = name.lower()
    return HEADER_OF.get(lower, lower)


@dataclass(frozen=True, slots=True)
class Message:
    """What requests, responses and events share. ``request_id`` numbers the request that it is, or
    belongs to."""

    request_id: int
    headers: Headers = field(default_factory=Headers, kw_only=True)
    body: bytes = field(default=b"", kw_only=True)

    def rest_of_start_line(self) -> str:
        """What stands behind version and length."""
        raise AssertionError("a message is a Request, a Response or an Event")

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; lengths are always written, and right.

        ValueError: a start line that cannot be sent.
        """
        return _render(self.rest_of_start_line(), self.headers, self.body)

    @property
    def channel(self) -> ChannelId | None:
        """Whose it is (RFC 6787, 6.2.1); None: it does not say, or not readably."""
        return ChannelId.parse(self.headers.get(Header.CHANNEL_IDENTIFIER) or "")

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty: none."""
        value = self.headers.get(Header.CONTENT_TYPE) or ""
        return value.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Request(Message):
    """A request. ``method`` may be one that nobody knows."""

    method: str = field(kw_only=True)

    def rest_of_start_line(self) -> str:
        return f"{_checked_name(self.method)} {_checked_id(self.request_id)}"


@dataclass(frozen=True, slots=True)
class Response(Message):
    """What becomes of a request at once."""

    status: int = field(kw_only=True)
    state: RequestState = field(default=RequestState.COMPLETE, kw_only=True)

    def rest_of_start_line(self) -> str:
        return f"{_checked_id(self.request_id)} {self.status:03d} {self.state}"


@dataclass(frozen=True, slots=True)
class Event(Message):
    """What happens to a request later. ``name`` may be one that nobody knows."""

    name: str = field(kw_only=True)
    state: RequestState = field(kw_only=True)

    def rest_of_start_line(self) -> str:
        return f"{_checked_name(self.name)} {_checked_id(self.request_id)} {self.state}"


AnyMessage = Request | Response | Event


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something as long as it said that is no message; what follows can be read. ``request_id`` is
    what can be answered, if it came so far."""

    fault: Fault
    request_id: int | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The end of a stream: nothing behind it can be told apart. ``request_id`` as in `Rejected`."""

    fault: Fault
    request_id: int | None = None


Frame = Request | Response | Event | Rejected | Broken


class Framer(ByteStream):
    """Takes what a connection brings, and gives its messages.

    Feed a piece, then call `next` until it gives None. No more than one message of
    ``max_message_bytes`` and one piece are kept.
    """

    __slots__ = ("max_message_bytes",)

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        super().__init__()
        self.max_message_bytes = max_message_bytes

    def next(self) -> Frame | None:
        """The next frame; None: more has to come first. Nothing follows `Broken`."""
        if not self._length:
            self._skip_empty_lines()
            broken = self._read_start()
            if broken is not None or not self._length:
                return broken
        message = self._piece()
        return None if message is None else parse(message)

    def _skip_empty_lines(self) -> None:
        """Some peers write one too many behind a body; RFC 6787 knows none."""
        while self._buffer[self._at : self._at + 2] == b"\r\n":
            self._at += 2

    def _read_start(self) -> Broken | None:
        """Find the start line, and so the length of the message."""
        if not self.buffered:
            return None
        ahead = bytes(self._buffer[self._at : self._at + len(_PREFIX)])
        if not _PREFIX.startswith(ahead) and ahead != b"\r":
            return self._break(Fault.NO_MRCP)
        end = self._buffer.find(b"\r\n", max(self._at, self._searched))
        # The last byte may be half of the line's end: cut or whole, a stream reads the same.
        if (len(self._buffer) - 1 if end < 0 else end) - self._at > MAX_START_LINE_BYTES:
            return self._break(Fault.START_LINE_TOO_LONG)
        if end < 0:
            self._searched = max(self._at, len(self._buffer) - 1)
            return None
        return self._take_start(end)

    def _take_start(self, end: int) -> Broken | None:
        found = _VERSION_AND_LENGTH.fullmatch(self._buffer[self._at : end])
        if not found:
            return self._break(Fault.NO_MRCP)
        length, request_id = int(found[2]), _answerable_id(found[3])
        if length < end + len(_HEAD_END) - self._at:
            return self._break(Fault.BAD_LENGTH, request_id)
        if length > self.max_message_bytes:
            return self._break(Fault.MESSAGE_TOO_LONG, request_id)
        self._length = length
        return None

    def _break(self, fault: Fault, request_id: int | None = None) -> Broken:
        self._end()
        return Broken(fault, request_id)


def parse(data: bytes) -> AnyMessage | Rejected:
    """Read one message, of which the start line has said that it is so long."""
    start, _, _ = data.partition(b"\r\n")
    found = _VERSION_AND_LENGTH.fullmatch(start)
    if not found:
        return Rejected(Fault.START_LINE)
    if found[1] != VERSION.encode():
        return Rejected(Fault.VERSION, _answerable_id(found[3]))
    line = _start_of(found[3].decode("latin-1"))
    if isinstance(line, Rejected):
        return line
    rest = _rest_of(data, len(start) + 2)
    return Rejected(rest, line.request_id) if isinstance(rest, Fault) else line.message(*rest)


def _rest_of(data: bytes, at: int) -> tuple[Headers, bytes] | Fault:
    """Header section and body of a message; its start line ends at ``at``."""
    end = data.find(_HEAD_END)
    if end < 0:
        return Fault.HEAD_END
    if end > MAX_HEAD_BYTES:
        return Fault.HEAD_TOO_LONG
    lines = _headers_of(data[at : end + 2])
    if isinstance(lines, Fault):
        return lines
    body = data[end + len(_HEAD_END) :]
    lengths = [value for name, value in lines if name == Header.CONTENT_LENGTH]
    if not _fits(lengths, body):
        return Fault.CONTENT_LENGTH
    if lengths:
        lines = [pair for pair in lines if pair[0] != Header.CONTENT_LENGTH]
    return Headers.adopt(lines), body


@dataclass(frozen=True, slots=True)
class _StartLine:
    """A start line that was read. A request has a ``name``, a response a ``status`` and ``state``,
    an event ``name`` and ``state``."""

    request_id: int
    name: str = ""
    status: int = 0
    state: RequestState | None = None

    def message(self, headers: Headers, body: bytes) -> AnyMessage:
        if self.state is None:
            return Request(self.request_id, headers=headers, body=body, method=self.name)
        if self.name:
            name, state = self.name, self.state
            return Event(self.request_id, headers=headers, body=body, name=name, state=state)
        status, state = self.status, self.state
        return Response(self.request_id, headers=headers, body=body, status=status, state=state)


def _start_of(rest: str) -> _StartLine | Rejected:
    """What stands behind version and length: one of three forms, told apart by the first word."""
    words = rest.split(" ")
    if _REQUEST_ID.fullmatch(words[0]):
        if len(words) != 3 or not _STATUS.fullmatch(words[1]):
            return Rejected(Fault.START_LINE)
        read = _StartLine(int(words[0]), status=int(words[1]))
    elif _NAME.fullmatch(words[0]) and len(words) in (2, 3) and _REQUEST_ID.fullmatch(words[1]):
        read = _StartLine(int(words[1]), words[0])
    else:
        return Rejected(Fault.START_LINE)
    if read.request_id > MAX_REQUEST_ID:
        return Rejected(Fault.REQUEST_ID)
    if len(words) == 2:
        return read
    try:
        state = RequestState(words[2])
    except ValueError:
        return Rejected(Fault.STATE, read.request_id)
    return _StartLine(read.request_id, read.name, read.status, state)


def _answerable_id(rest: bytes) -> int | None:
    """The request id of a request whose start line is bad otherwise."""
    words = rest.decode("latin-1").split(" ")
    if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _REQUEST_ID.fullmatch(words[1]):
        return None
    request_id = int(words[1])
    return request_id if request_id <= MAX_REQUEST_ID else None


def _headers_of(section: bytes) -> list[tuple[str, str]] | Fault:
    """The lines of a header section, each with its CRLF; folded ones are unfolded (RFC 5322)."""
    if b"\r\n " in section or b"\r\n\t" in section:
        section = _FOLD.sub(b" ", section)
    raw = section.split(b"\r\n")[:-1]
    if len(raw) > MAX_HEADERS:
        return Fault.HEADER_COUNT
    lines: list[tuple[str, str]] = []
    for line in raw:
        pair = _header_of(line)
        if isinstance(pair, Fault):
            return pair
        lines.append(pair)
    return lines


def _header_of(line: bytes) -> tuple[str, str] | Fault:
    if len(line) > MAX_LINE_BYTES:
        return Fault.LINE_TOO_LONG
    try:
        name, colon, value = line.decode().partition(":")
    except UnicodeDecodeError:
        return Fault.HEADER_VALUE
    name, value = name.rstrip(" \t"), value.strip(" \t")
    if not colon or not _HEADER_NAME.fullmatch(name):
        return Fault.HEADER_NAME
    return Fault.HEADER_VALUE if _CONTROL.search(value) else (canonical(name), value)


def _fits(lengths: list[str], body: bytes) -> bool:
    """A body has a Content-Length, and it is what is left of the message (RFC 6787, 6.2.11)."""
    if not lengths:
        return not body
    return all(number_of(length, MAX_MESSAGE_BYTES) == len(body) for length in lengths)


def _render(rest: str, headers: Headers, body: bytes) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers if name != Header.CONTENT_LENGTH]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    tail = " ".join(("", rest)).encode() + b"\r\n"
    tail += "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body
    # The length counts its own digits (RFC 6787, 5.1).
    bare = len(VERSION) + 1 + len(tail)
    length = bare + len(str(bare))
    length = bare + len(str(length))
    return f"{VERSION} {length}".encode() + tail


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a method or event name that cannot be sent: {name[:80]!r}")
    return name


def _checked_id(request_id: int) -> int:
    if not 0 <= request_id <= MAX_REQUEST_ID:
        raise ValueError(f"a request id beyond 32 bits: {request_id}")
    return request_id


# Values of header fields


@dataclass(frozen=True, slots=True)
class ChannelId:
    """``32AECB234338@speechsynth`` (RFC 6787, 6.2.1). ``resource`` may be one that nobody knows."""

    id: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> ChannelId | None:
        """None: it is none."""
        found = _CHANNEL.fullmatch(text.strip())
        return cls(found[1], found[2].lower()) if found else None

    def __str__(self) -> str:
        return f"{self.id}@{self.resource}"


def request_ids(value: str | None) -> tuple[int, ...]:
    """``543257, 543258``: what Active-Request-Id-List says (6.2.3), as far as it can be read."""
    words = [word.strip() for word in (value or "").split(",")[:MAX_LIST]]
    return tuple(int(word) for word in words if _REQUEST_ID.fullmatch(word))


def parameters_of(value: str | None) -> list[tuple[str, str]] | None:
    """``com.example.a=1;com.example.b="x y"``: pairs of Vendor-Specific-Parameters (6.2.16), quotes
    resolved; None: it cannot be read."""
    pairs: list[tuple[str, str]] = []
    text, at = (value or "").strip(), 0
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if not found or len(pairs) >= MAX_LIST:
            return None
        content = found[2].strip()
        if content.startswith('"'):
            content = re.sub(r"\\(.)", r"\1", content[1:-1], flags=re.DOTALL)
        pairs.append((found[1], content))
        at = found.end()
    return pairs


def parameters_text(pairs: Iterable[tuple[str, str]]) -> str:
    """The reverse of `parameters_of`; what needs quotes has them. ValueError: a bad name."""
    return ";".join(_parameter_text(name, value) for name, value in pairs)


def _parameter_text(name: str, value: str) -> str:
    if not name or re.search(r'[=;"\s]', name):
        raise ValueError(f"a parameter name that cannot be sent: {name[:80]!r}")
    if value and not re.search(r'[;"\\\s]', value):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def number_of(value: str | None, most: int) -> int | None:
    """A whole number from 0 to ``most`` in a header field; None: it is none."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 19:
        return None
    number = int(value)
    return number if number <= most else None


def flag_of(value: str | None) -> bool | None:
    """``true`` or ``false`` in any case; None: it is neither."""
    return {"true": True, "false": False}.get((value or "").lower())
