"""Session descriptions read (RFC 8866): hostile bytes in, values out.

A bare LF serves for CRLF, and the lines that nobody uses (``s=``, ``t=``) may be missing; type
letters that RFC 8866 section 5 does not know are refused. What follows an ``m=`` line is the same
text in each call of most peers, so what it says is remembered for the last few texts.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import NamedTuple

from .errors import SdpError, SdpReason

MAX_BODY_BYTES = 32 * 1024
MAX_LINES = 1000
MAX_MEDIA = 32
MAX_FORMATS = 64
"""Formats kept of one m= line; those behind are ignored, as if the peer could not do them."""

MAX_REMEMBERED_CHARS = 1024
"""Longer texts are read each time, so that what is remembered stays within a few MiB."""
REMEMBERED_TEXTS = 128

MAX_ENCODING_CHARS = 64
"""Nothing that an rtpmap can name usefully is longer."""

Attribute = tuple[str, str | None]
"""``a=NAME`` or ``a=NAME:VALUE``; a flag's value is None."""


class Direction(enum.StrEnum):
    """Which way sound goes, from the point of view of whoever writes it (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


_DIRECTION_BY_NAME = {str(direction): direction for direction in Direction}


class Origin(NamedTuple):
    """``o=``: who made the description, and which version of it this is."""

    username: str
    session_id: str
    session_version: str
    address: str


class Connection(NamedTuple):
    """``c=``: ``family`` is ``IP4`` or ``IP6`` (or what the peer wrote, not yet judged)."""

    family: str
    host: str


class Encoding(NamedTuple):
    """What an rtpmap names: the name in lower case, the RTP clock, and the channels."""

    name: str
    clock_rate_hz: int
    channels: int


UNKNOWN_ENCODING = Encoding("", 0, 0)
"""A broken rtpmap: nothing of ours matches it."""


class Attributes(NamedTuple):
    """The ``a=`` lines of one level, in the forms in which they are asked for.

    ``listed`` are all of them in their order, ``first`` the first value of each name, ``encodings``
    and ``parameters`` the rtpmap and fmtp lines by format. Shared and never changed.
    """

    listed: tuple[Attribute, ...]
    first: dict[str, str]
    flags: frozenset[str]
    direction: Direction | None
    encodings: dict[str, Encoding]
    parameters: dict[str, str]


class MediaDescription(NamedTuple):
    """One ``m=`` line with what belongs to it. ``connection`` is its own or the session's."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: Connection | None
    said: Attributes

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """All its attributes."""
        return self.said.listed


class SessionDescription(NamedTuple):
    """A whole description; ``said`` and ``attributes`` are those of the session level."""

    origin: Origin
    connection: Connection | None
    said: Attributes
    media: tuple[MediaDescription, ...]

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes of the session level."""
        return self.said.listed


_Level = tuple[Connection | None, Attributes]
"""What the lines of one level say: its own address, and its attributes."""


# Lines of RFC 8866 section 5 that mean nothing to us (k= is obsolete, and ignored there).
_UNUSED = frozenset(f"{letter}=" for letter in "siuepbtrzk")


def parse_sdp(body: bytes) -> SessionDescription:
    """Read a description. Raises :class:`SdpError`, with the reason, and nothing else."""
    head, *sections = _text(body).split("\nm=")
    if len(sections) > MAX_MEDIA:
        raise SdpError(SdpReason.TOO_MANY_MEDIA)
    origin, connection, said = _head(head.split("\n"))
    return SessionDescription(
        origin, connection, said, tuple([_section(section, connection) for section in sections])
    )


def streams_of(body: bytes) -> tuple[MediaDescription, ...]:
    """The streams of a description of our own, whose session level says nothing of them. SdpError,
    as :func:`parse_sdp`."""
    _, *sections = _text(body).split("\nm=")
    return tuple([_section(section, None) for section in sections])


def _text(body: bytes) -> str:
    """The lines, ended by LF; Latin-1 keeps every byte, and only ASCII is ever compared."""
    if len(body) > MAX_BODY_BYTES:
        raise SdpError(SdpReason.TOO_LONG)
    if b"\0" in body:
        raise SdpError(SdpReason.NUL)
    # Some peers end with an empty line or two: nothing follows it.
    text = body.decode("latin-1").replace("\r\n", "\n").rstrip("\r\n")
    if text.count("\n") >= MAX_LINES:
        raise SdpError(SdpReason.TOO_MANY_LINES)
    return text


def _head(lines: list[str]) -> tuple[Origin, Connection | None, Attributes]:
    """The session level, which begins with ``v=0`` and has one ``o=`` (RFC 8866 section 5)."""
    if lines[0] != "v=0":
        raise SdpError(SdpReason.BAD_VERSION, lines[0])
    origin: Origin | None = None
    connection: Connection | None = None
    attributes: list[str] = []
    for line in lines[1:]:
        kind = line[:2]
        if kind in _UNUSED:
            continue
        if kind == "o=" and origin is None:
            origin = _origin_line(line[2:])
        elif kind == "c=":
            connection = _connection_line(line[2:])
        elif kind == "a=":
            attributes.append(line[2:])
        else:
            raise _bad_line(line)
    if origin is None:
        raise SdpError(SdpReason.BAD_ORIGIN)
    return origin, connection, _attributes(attributes) if attributes else _NO_ATTRIBUTES


def _section(text: str, inherited: Connection | None) -> MediaDescription:
    """``audio 49170/2 RTP/AVP 0 8``, RFC 8866 section 5.14, and the lines that belong to it."""
    line, _, rest = text.partition("\n")
    fields = line.split()
    if len(fields) < 4:
        raise SdpError(SdpReason.BAD_MEDIA, line)
    port_text, _, count_text = fields[1].partition("/")
    port = number(port_text, 65535)
    if port is None or (count_text and not number(count_text, 65535)):
        raise SdpError(SdpReason.BAD_MEDIA, line)
    if len(rest) > MAX_REMEMBERED_CHARS:
        connection, said = _level(rest)
    else:
        connection, said = _remembered_level(rest)
    return MediaDescription(
        fields[0],
        port,
        fields[2],
        tuple(fields[3 : 3 + MAX_FORMATS]),
        connection or inherited,
        said,
    )


def _level(text: str) -> _Level:
    """What the lines behind an ``m=`` line say."""
    connection: Connection | None = None
    attributes: list[str] = []
    for line in text.split("\n") if text else ():
        kind = line[:2]
        if kind == "a=":
            attributes.append(line[2:])
        elif kind == "c=":
            connection = _connection_line(line[2:])
        elif kind not in _UNUSED:
            raise _bad_line(line)
    return connection, _attributes(attributes)


_remembered_level = lru_cache(maxsize=REMEMBERED_TEXTS)(_level)


def _bad_line(line: str) -> SdpError:
    if line[1:2] != "=":
        return SdpError(SdpReason.BAD_LINE, line)
    # A second o=, or one below an m= line.
    reason = SdpReason.BAD_ORIGIN if line[0] == "o" else SdpReason.UNKNOWN_TYPE
    return SdpError(reason, line)


def _attributes(lines: list[str]) -> Attributes:
    """Of what is there twice the first counts, except that an encoding's last rtpmap does."""
    listed: list[Attribute] = []
    first: dict[str, str] = {}
    flags: set[str] = set()
    direction: Direction | None = None
    encodings: dict[str, Encoding] = {}
    parameters: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        listed.append((name, value if colon else None))
        if not colon:
            flags.add(name)
            direction = direction or _DIRECTION_BY_NAME.get(name)
        elif name == "rtpmap":
            payload_type, _, encoding = value.partition(" ")
            short = len(encoding) <= MAX_ENCODING_CHARS
            encodings[payload_type] = _encoding(encoding) if short else UNKNOWN_ENCODING
        elif name == "fmtp":
            payload_type, _, text = value.partition(" ")
            parameters.setdefault(payload_type, text.strip())
        else:
            first.setdefault(name, value)
    return Attributes(tuple(listed), first, frozenset(flags), direction, encodings, parameters)


_NO_ATTRIBUTES = _attributes([])


@lru_cache(maxsize=256)
def _encoding(text: str) -> Encoding:
    """``PCMU/8000`` or ``opus/48000/2`` (RFC 8866 section 6.6)."""
    name, _, rest = text.strip().partition("/")
    rate_text, slash, channels_text = rest.partition("/")
    clock_rate_hz = number(rate_text, 1_000_000)
    channels = number(channels_text, 255) if slash else 1
    if not clock_rate_hz or not channels:
        return UNKNOWN_ENCODING
    return Encoding(name.lower(), clock_rate_hz, channels)


def number(text: str, highest: int) -> int | None:
    """A decimal number from 0 to ``highest``; None for anything else. Latin-1 text only."""
    if not text.isdecimal() or len(text) > 10:
        return None
    value = int(text)
    return value if value <= highest else None


def _connection_line(value: str) -> Connection:
    """``IN IP4 192.0.2.1``, or with ``/TTL`` behind it; RFC 8866 section 5.7."""
    fields = value.split()
    if len(fields) != 3 or fields[0].upper() != "IN":
        raise SdpError(SdpReason.BAD_CONNECTION, value)
    return Connection(fields[1].upper(), fields[2].partition("/")[0])


def _origin_line(value: str) -> Origin:
    """``- 1 1 IN IP4 192.0.2.1``; RFC 8866 section 5.2. Numbers stay text: some are not numbers."""
    fields = value.split()
    if len(fields) != 6:
        raise SdpError(SdpReason.BAD_ORIGIN, value)
    return Origin(fields[0], fields[1], fields[2], fields[5])
