"""Offer and answer (RFC 3264): what our side and a peer's description make of each other."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import NamedTuple

from ..codec import Codec
from .description import (
    Connection,
    Direction,
    MediaDescription,
    SessionDescription,
    number,
    parse_sdp,
)
from .errors import NoCommonCodec, NotAcceptable, SdpError, SdpReason

_WAYS = {
    Direction.SENDRECV: (True, True),
    Direction.SENDONLY: (True, False),
    Direction.RECVONLY: (False, True),
    Direction.INACTIVE: (False, False),
}
"""(sends, receives) by direction."""
_DIRECTION_OF_WAYS = {ways: direction for direction, ways in _WAYS.items()}

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


class _Usable(NamedTuple):
    """A peer's stream that we can do."""

    media: MediaDescription
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


class _CodecIndex(NamedTuple):
    """Our codecs by what a peer may call them."""

    by_encoding: dict[tuple[str, int, int], Codec]
    by_payload_type: dict[str, Codec]


@lru_cache(maxsize=32)
def _indexed(codecs: tuple[Codec, ...]) -> _CodecIndex:
    return _CodecIndex(
        {(codec.name.lower(), codec.clock_rate_hz, 1): codec for codec in codecs},
        {str(codec.payload_type): codec for codec in codecs if codec.payload_type is not None},
    )


def _usable(media: MediaDescription, codecs: tuple[Codec, ...]) -> _Usable | None:
    """The stream with the first of its formats that is one of ``codecs``; None if none is."""
    by_encoding, by_payload_type = _indexed(codecs)
    encodings = media.said.encodings
    for text in media.formats:
        encoding = encodings.get(text)
        # RFC 3551 section 6: static payload types need no rtpmap; one that is there wins.
        codec = by_encoding.get(encoding) if encoding else by_payload_type.get(text)
        if codec is not None:
            payload_type = number(text, 127)
            if payload_type is not None:
                return _Usable(media, payload_type, codec)
    return None


def _event_payload_type(chosen: _Usable) -> int | None:
    """The telephone-event format that shares the codec's clock (RFC 4733 section 2.1)."""
    wanted = ("telephone-event", chosen.codec.clock_rate_hz, 1)
    encodings = chosen.media.said.encodings
    for text in chosen.media.formats:
        if encodings.get(text) == wanted:
            return number(text, 127)
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
    return media.said.direction or description.said.direction or Direction.SENDRECV


def _ptime_ms(media: MediaDescription) -> int:
    """The packet length that the peer wants, within ours and its limits (RFC 8866 section 6.4)."""
    said = media.said.first
    wanted = number(said.get("ptime", ""), 10_000) or DEFAULT_PTIME_MS
    most = number(said.get("maxptime", ""), 10_000) or MAX_PTIME_MS
    return max(MIN_PTIME_MS, min(wanted, most, MAX_PTIME_MS))


def _rtcp_address(media: MediaDescription, connection: Connection) -> tuple[str, int | None]:
    """Where the peer takes RTCP: the port behind RTP's, or as ``a=rtcp`` says (RFC 3605)."""
    fields = media.said.first.get("rtcp", "").split()
    port = number(fields[0], 65535) if fields else None
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
