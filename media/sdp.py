"""Session descriptions (RFC 8866), and agreeing on a stream by offer and answer (RFC 3264).

No I/O, no clock, no state: bytes in, values out. :func:`parse_sdp` reads hostile input; it accepts
a bare LF for CRLF, and does without the lines that nobody uses (``s=``, ``t=``), but refuses type
letters that RFC 8866 section 5 does not know. :func:`answer_offer` is for an INVITE that brings an
offer; :func:`make_offer` and :func:`accept_answer` are for one that leaves the offer to us.
"""

from __future__ import annotations

import enum
import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from .codec import Codec, codec_by_payload_type, codec_by_rtpmap

MAX_BODY_BYTES = 32 * 1024
MAX_LINES = 1000
MAX_MEDIA = 32
MAX_FORMATS = 64
"""Formats kept of one m= line; those behind are ignored, as if the peer could not do them."""

Attribute = tuple[str, str | None]
"""``a=NAME`` or ``a=NAME:VALUE``; a flag's value is None."""


class SdpReason(enum.Enum):
    """Why a description was refused; also the name of its counter."""

    TOO_LONG = "the description is longer than 32 KiB"
    TOO_MANY_LINES = "the description has more than 1,000 lines"
    TOO_MANY_MEDIA = "the description has more than 32 m= lines"
    NUL = "the description holds a NUL byte"
    BAD_LINE = "a line is not of the form X=VALUE"
    UNKNOWN_TYPE = "a line has a type letter that RFC 8866 does not know"
    BAD_VERSION = "the first line is not v=0"
    BAD_ORIGIN = "the o= line is missing, double or broken"
    BAD_CONNECTION = "a c= line is broken"
    BAD_MEDIA = "an m= line is broken"
    NO_CONNECTION = "the stream has no c= line"
    BAD_ADDRESS = "a connection address is not a numeric unicast address"
    NO_COMMON_CODEC = "no codec in common"
    NO_AUDIO = "no audio stream over RTP/AVP"
    ADDRESS_FAMILY = "the peer's address is of another IP version than ours"
    ANSWER_MISMATCH = "the answer does not fit the offer"


class SdpError(ValueError):
    """A description that cannot be used. ``status`` is the SIP response that fits."""

    status = 400

    def __init__(self, reason: SdpReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail[:80]!r}" if detail else reason.value)
        self.reason = reason


class NotAcceptable(SdpError):
    """An offer or answer that is sound, but has no stream that we can do (RFC 3261 21.4.26)."""

    status = 488

    @property
    def warning_code(self) -> int:
        """The warn-code that says why (RFC 3261 section 20.43)."""
        return _WARNING_CODES.get(self.reason, 399)


class NoCommonCodec(NotAcceptable):
    """None of the codecs offered is one of ours."""


_WARNING_CODES = {
    SdpReason.NO_CONNECTION: 301,
    SdpReason.BAD_ADDRESS: 301,
    SdpReason.ADDRESS_FAMILY: 301,
    SdpReason.NO_AUDIO: 304,
    SdpReason.NO_COMMON_CODEC: 305,
}


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


class MediaDescription(NamedTuple):
    """One ``m=`` line with what belongs to it. ``connection`` is its own or the session's."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: Connection | None
    attributes: tuple[Attribute, ...]

    def attribute(self, name: str) -> str | None:
        """Value of the first attribute of that name that has a value."""
        for key, value in self.attributes:
            if key == name and value is not None:
                return value
        return None


class SessionDescription(NamedTuple):
    """A whole description; ``attributes`` are those of the session level."""

    origin: Origin
    connection: Connection | None
    attributes: tuple[Attribute, ...]
    media: tuple[MediaDescription, ...]


@dataclass(slots=True)
class _Section:
    """The lines of one level while they are being read."""

    media: tuple[str, int, str, tuple[str, ...]] | None
    connection: Connection | None
    attributes: list[Attribute]


# Letters of RFC 8866 section 5 whose values mean nothing to us (k= is obsolete, and ignored there).
_UNUSED_TYPES = frozenset("siuepbtrzk")


def parse_sdp(body: bytes) -> SessionDescription:
    """Read a description. Raises :class:`SdpError`, with the reason, and nothing else."""
    lines = _lines(body)
    if lines[0] != "v=0":
        raise SdpError(SdpReason.BAD_VERSION, lines[0])
    origin: Origin | None = None
    section = session = _Section(None, None, [])
    sections: list[_Section] = []
    for line in lines[1:]:
        letter, equals, value = line.partition("=")
        if not equals or len(letter) != 1:
            raise SdpError(SdpReason.BAD_LINE, line)
        if letter == "a":
            name, colon, text = value.partition(":")
            section.attributes.append((name, text if colon else None))
        elif letter == "m":
            section = _Section(_media_line(value), session.connection, [])
            sections.append(section)
        elif letter == "c":
            section.connection = _connection_line(value)
        elif letter == "o":
            if origin is not None:
                raise SdpError(SdpReason.BAD_ORIGIN, value)
            origin = _origin_line(value)
        elif letter not in _UNUSED_TYPES:
            raise SdpError(SdpReason.UNKNOWN_TYPE, line)
    if origin is None:
        raise SdpError(SdpReason.BAD_ORIGIN)
    if len(sections) > MAX_MEDIA:
        raise SdpError(SdpReason.TOO_MANY_MEDIA)
    return SessionDescription(
        origin,
        session.connection,
        tuple(session.attributes),
        tuple(_described(section) for section in sections),
    )


def _lines(body: bytes) -> list[str]:
    """The lines without their ends; Latin-1 keeps every byte, and only ASCII is ever compared."""
    if len(body) > MAX_BODY_BYTES:
        raise SdpError(SdpReason.TOO_LONG)
    if b"\0" in body:
        raise SdpError(SdpReason.NUL)
    # Some peers end with an empty line or two: nothing follows it.
    lines = body.decode("latin-1").replace("\r\n", "\n").rstrip("\r\n").split("\n")
    if len(lines) > MAX_LINES:
        raise SdpError(SdpReason.TOO_MANY_LINES)
    return lines


def _described(section: _Section) -> MediaDescription:
    assert section.media is not None
    kind, port, protocol, formats = section.media
    return MediaDescription(
        kind, port, protocol, formats, section.connection, tuple(section.attributes)
    )


def _number(text: str, highest: int) -> int | None:
    """A decimal number from 0 to ``highest``; None for anything else. Latin-1 text only."""
    if not text.isdecimal() or len(text) > 10:
        return None
    value = int(text)
    return value if value <= highest else None


def _media_line(value: str) -> tuple[str, int, str, tuple[str, ...]]:
    """``audio 49170/2 RTP/AVP 0 8``; RFC 8866 section 5.14."""
    fields = value.split()
    if len(fields) < 4:
        raise SdpError(SdpReason.BAD_MEDIA, value)
    port_text, _, count_text = fields[1].partition("/")
    port = _number(port_text, 65535)
    if port is None or (count_text and not _number(count_text, 65535)):
        raise SdpError(SdpReason.BAD_MEDIA, value)
    return fields[0], port, fields[2], tuple(fields[3 : 3 + MAX_FORMATS])


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


class Direction(enum.StrEnum):
    """Which way sound goes, from the point of view of whoever writes it (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


_WAYS = {
    Direction.SENDRECV: (True, True),
    Direction.SENDONLY: (True, False),
    Direction.RECVONLY: (False, True),
    Direction.INACTIVE: (False, False),
}
"""(sends, receives) by direction."""
_DIRECTION_OF_WAYS = {ways: direction for direction, ways in _WAYS.items()}
_DIRECTION_BY_NAME = {str(direction): direction for direction in Direction}

DEFAULT_PTIME_MS = 20
MIN_PTIME_MS = 10
MAX_PTIME_MS = 60

TELEPHONE_EVENT_PAYLOAD_TYPE = 101
FIRST_DYNAMIC_PAYLOAD_TYPE = 96
TELEPHONE_EVENTS = "0-16"
"""The events we take: digits, A to D, and flash (RFC 4733 section 3.2)."""


class LocalMedia(NamedTuple):
    """Our side of one dialog's stream.

    ``host`` is the numeric address announced, and decides the IP version. ``session_version`` is
    that of the dialog's first description. ``last_body`` is the description, offer or answer, that
    the dialog sent last (empty at first): a new one that says the same is sent as it was, one that
    says something else gets the next version (RFC 3264 section 8).
    """

    host: str
    rtp_port: int
    codecs: tuple[Codec, ...]
    session_id: int
    session_version: int = 1
    last_body: bytes = b""
    direction: Direction = Direction.SENDRECV


class NegotiatedMedia(NamedTuple):
    """What both sides agreed on. ``direction`` is from our point of view.

    ``remote_host`` is numeric. On an old-style hold (``c=`` of all zeros) it is that address, and
    ``direction`` does not send. ``rtcp_port`` is None where there is no room for one (RTP on
    65535). ``telephone_event_payload_type`` is None if the peer cannot take events.
    """

    codec: Codec
    payload_type: int
    ptime_ms: int
    remote_host: str
    remote_port: int
    rtcp_host: str
    rtcp_port: int | None
    direction: Direction
    telephone_event_payload_type: int | None


class Answer(NamedTuple):
    """An answer to send. ``media`` is None if the offer had no stream that is on."""

    body: bytes
    media: NegotiatedMedia | None


_Encoding = tuple[str, int]
"""An rtpmap's encoding name in lower case and clock rate in Hz."""


class _Usable(NamedTuple):
    """A peer's stream that we can do."""

    media: MediaDescription
    encodings: dict[str, _Encoding]
    payload_type: int
    codec: Codec


def answer_offer(offer: SessionDescription, local: LocalMedia) -> Answer:
    """Answer an offer: the first audio stream that we can do is on, every other one is refused.

    The codec is the first of the offerer's that is one of ours (RFC 3264 section 6.1). Raises
    :class:`NotAcceptable` (488) if streams are offered and we can do none of them;
    :class:`NoCommonCodec` is the case where only codecs stand in the way.
    """
    chosen = _first_usable(offer, local)
    if chosen is None:
        _refuse_unless_all_off(offer)
    media = None
    sections = []
    for described in offer.media:
        if chosen is not None and described is chosen.media:
            media = _negotiate(chosen, offer, local, local.direction)
            sections.append(_accepted_section(media, local))
        else:
            # RFC 3264 section 6: port zero refuses; one format has to stand there all the same.
            sections.append(f"m={described.kind} 0 {described.protocol} {described.formats[0]}\r\n")
    return Answer(_body(local, "".join(sections)), media)


def make_offer(local: LocalMedia) -> bytes:
    """The offer to send where the INVITE had none: one audio stream, our codecs in our order."""
    formats: list[str] = []
    attributes: list[str] = []
    for payload_type, codec in _payload_types(local.codecs):
        formats.append(str(payload_type))
        attributes.append(f"a=rtpmap:{payload_type} {codec.rtpmap}\r\n")
    events = TELEPHONE_EVENT_PAYLOAD_TYPE
    attributes.append(_event_lines(events, local.codecs[0].clock_rate_hz))
    section = (
        f"m=audio {local.rtp_port} RTP/AVP {' '.join(formats)} {events}\r\n{''.join(attributes)}"
        f"a=ptime:{DEFAULT_PTIME_MS}\r\na={local.direction}\r\n"
    )
    return _body(local, section)


def accept_answer(offer: bytes, answer: SessionDescription, local: LocalMedia) -> NegotiatedMedia:
    """What an answer to our ``offer`` settles. Raises :class:`SdpError` where it does not fit.

    ``local`` is what the offer was made from. A stream that the peer refuses raises
    :class:`NotAcceptable`.
    """
    offered = parse_sdp(offer)
    # RFC 3264 section 6: as many streams as offered, in the same order.
    if [m.kind.lower() for m in answer.media] != [m.kind for m in offered.media]:
        raise SdpError(SdpReason.ANSWER_MISMATCH, f"{len(answer.media)} streams")
    chosen = _first_usable(answer, local)
    if chosen is None:
        _refuse_unless_all_off(answer)
        raise NotAcceptable(SdpReason.NO_AUDIO, "the peer refused the stream")
    return _negotiate(chosen, answer, local, _direction(offered.media[0], offered))


def _first_usable(description: SessionDescription, local: LocalMedia) -> _Usable | None:
    for media in description.media:
        if _is_audio(media):
            usable = _usable(media, local.codecs)
            if usable is not None:
                return usable
    return None


def _is_audio(media: MediaDescription) -> bool:
    return media.port != 0 and (media.kind.lower(), media.protocol.upper()) == ("audio", "RTP/AVP")


def _refuse_unless_all_off(description: SessionDescription) -> None:
    if any(_is_audio(media) for media in description.media):
        formats = next(m.formats for m in description.media if _is_audio(m))
        raise NoCommonCodec(SdpReason.NO_COMMON_CODEC, " ".join(formats))
    live = [f"{m.kind} {m.protocol}" for m in description.media if m.port]
    if live:
        raise NotAcceptable(SdpReason.NO_AUDIO, ", ".join(live))


def _encodings(media: MediaDescription) -> dict[str, _Encoding]:
    """Encodings by format, as the rtpmap attributes name them; broken ones are left out."""
    encodings: dict[str, _Encoding] = {}
    for name, value in media.attributes:
        if name == "rtpmap" and value is not None:
            payload_type, _, encoding = value.partition(" ")
            encodings[payload_type] = _encoding(encoding.strip())
    return encodings


@lru_cache(maxsize=256)
def _encoding(text: str) -> _Encoding:
    """``PCMU/8000`` in two; there are few of them, and each call brings the same."""
    fields = text.split("/")
    rate_hz = _number(fields[1], 1_000_000) if len(fields) > 1 else None
    if rate_hz and fields[2:] in ([], ["1"]):
        return fields[0].lower(), rate_hz
    # More channels than one, or nonsense: an encoding that nothing of ours matches.
    return "", 0


def _usable(media: MediaDescription, codecs: tuple[Codec, ...]) -> _Usable | None:
    """The stream with the first of its formats that is one of ``codecs``; None if none is."""
    encodings = _encodings(media)
    for text in media.formats:
        payload_type = _number(text, 127)
        if payload_type is None:
            continue
        encoding = encodings.get(text)
        # RFC 3551 section 6: static payload types need no rtpmap; one that is there wins.
        codec = codec_by_rtpmap(*encoding) if encoding else codec_by_payload_type(payload_type)
        if codec is not None and codec in codecs:
            return _Usable(media, encodings, payload_type, codec)
    return None


def _event_payload_type(chosen: _Usable) -> int | None:
    """The telephone-event format that shares the codec's clock (RFC 4733 section 2.1)."""
    for text in chosen.media.formats:
        if chosen.encodings.get(text) == ("telephone-event", chosen.codec.clock_rate_hz):
            return _number(text, 127)
    return None


def _negotiate(
    chosen: _Usable, description: SessionDescription, local: LocalMedia, ours: Direction
) -> NegotiatedMedia:
    media, connection = chosen.media, chosen.media.connection
    if connection is None:
        raise NotAcceptable(SdpReason.NO_CONNECTION)
    packed = _packed_address(connection)
    # RFC 3264 section 8.4: an address of zeros is the hold of RFC 2543; nothing is sent there.
    held = not any(packed)
    if not held and (len(packed) == 16) != (":" in local.host):
        raise NotAcceptable(SdpReason.ADDRESS_FAMILY, connection.host)
    we_send, we_receive = _WAYS[ours]
    they_send, they_receive = _WAYS[_direction(media, description)]
    rtcp_host, rtcp_port = _rtcp_address(media, connection)
    return NegotiatedMedia(
        chosen.codec,
        chosen.payload_type,
        _ptime_ms(media),
        connection.host,
        media.port,
        rtcp_host,
        rtcp_port,
        _DIRECTION_OF_WAYS[we_send and they_receive and not held, we_receive and they_send],
        _event_payload_type(chosen),
    )


def _direction(media: MediaDescription, description: SessionDescription) -> Direction:
    """The stream's own direction, else the session's, else both ways (RFC 8866 section 6.7)."""
    for attributes in (media.attributes, description.attributes):
        for name, _ in attributes:
            if name in _DIRECTION_BY_NAME:
                return _DIRECTION_BY_NAME[name]
    return Direction.SENDRECV


def _ptime_ms(media: MediaDescription) -> int:
    """The packet length that the peer wants, within ours and its limits (RFC 8866 section 6.4)."""
    wanted_ms, most_ms = DEFAULT_PTIME_MS, MAX_PTIME_MS
    for name, value in reversed(media.attributes):  # the first of a name counts
        if name == "ptime" and value is not None:
            wanted_ms = _number(value, 10_000) or DEFAULT_PTIME_MS
        elif name == "maxptime" and value is not None:
            most_ms = _number(value, 10_000) or MAX_PTIME_MS
    return max(MIN_PTIME_MS, min(wanted_ms, most_ms, MAX_PTIME_MS))


def _rtcp_address(media: MediaDescription, connection: Connection) -> tuple[str, int | None]:
    """Where the peer takes RTCP: the port behind RTP's, or as ``a=rtcp`` says (RFC 3605)."""
    fields = (media.attribute("rtcp") or "").split()
    port = _number(fields[0], 65535) if fields else None
    if not port:
        return connection.host, media.port + 1 if media.port < 65535 else None
    if len(fields) == 4:
        named = Connection(fields[2].upper(), fields[3])
        try:
            if len(_packed_address(named)) == len(_packed_address(connection)):
                return named.host, port
        except NotAcceptable:
            pass  # A name or a group: the stream's own address serves as well.
    return connection.host, port


_FAMILIES = {"IP4": socket.AF_INET, "IP6": socket.AF_INET6}


def _packed_address(connection: Connection) -> bytes:
    """The binary address. Raises :class:`NotAcceptable` if it is a name, multicast or broadcast."""
    try:
        packed = socket.inet_pton(_FAMILIES[connection.family], connection.host)
    except (KeyError, OSError, ValueError):
        raise NotAcceptable(SdpReason.BAD_ADDRESS, connection.host) from None
    # A stream to a group would let one caller flood a network (RFC 8866 section 7).
    if packed[0] == 0xFF or (len(packed) == 4 and packed[0] >= 0xE0):
        raise NotAcceptable(SdpReason.BAD_ADDRESS, connection.host)
    return packed


def _payload_types(codecs: tuple[Codec, ...]) -> list[tuple[int, Codec]]:
    """Static payload types where there are, numbers from 96 on for the rest."""
    numbered = []
    dynamic = FIRST_DYNAMIC_PAYLOAD_TYPE
    for codec in codecs:
        if codec.payload_type is not None:
            numbered.append((codec.payload_type, codec))
            continue
        dynamic += dynamic == TELEPHONE_EVENT_PAYLOAD_TYPE
        numbered.append((dynamic, codec))
        dynamic += 1
    return numbered


def _event_lines(payload_type: int, clock_rate_hz: int) -> str:
    return (
        f"a=rtpmap:{payload_type} telephone-event/{clock_rate_hz}\r\n"
        f"a=fmtp:{payload_type} {TELEPHONE_EVENTS}\r\n"
    )


def _accepted_section(media: NegotiatedMedia, local: LocalMedia) -> str:
    """One codec, so that the peer cannot change it in mid-call, under the offerer's number."""
    events = media.telephone_event_payload_type
    formats = f"{media.payload_type}" if events is None else f"{media.payload_type} {events}"
    event_lines = "" if events is None else _event_lines(events, media.codec.clock_rate_hz)
    return (
        f"m=audio {local.rtp_port} RTP/AVP {formats}\r\n"
        f"a=rtpmap:{media.payload_type} {media.codec.rtpmap}\r\n{event_lines}"
        f"a=ptime:{media.ptime_ms}\r\na={media.direction.value}\r\n"
    )


def _body(local: LocalMedia, sections: str) -> bytes:
    """The description of those sections, under the version that is due after the last one."""
    address = f"IN {'IP6' if ':' in local.host else 'IP4'} {local.host}"
    rest = f" {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n{sections}".encode("latin-1")
    version = local.session_version
    if local.last_body:
        # Ours begins "v=0 CRLF o=- ID VERSION".
        version = int(local.last_body.split(b" ", 3)[2])
        version += not local.last_body.endswith(b" %d%b" % (version, rest))
    return b"v=0\r\no=- %d %d%b" % (local.session_id, version, rest)
