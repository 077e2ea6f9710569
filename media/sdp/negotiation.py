"""Offer and answer (RFC 3264): what our side and a peer's description make of each other."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from ..codec import MAX_PTIME_MS, OPUS, Codec
from .application import ApplicationLine, is_application, section_of, stream_id
from .crypto import (
    CryptoLine,
    SrtpPolicy,
    SrtpSuite,
    SrtpTerms,
    crypto_attribute,
    crypto_lines,
    own_key,
)
from .description import (
    Connection,
    Direction,
    MediaDescription,
    SessionDescription,
    number,
    parse_sdp,
    streams_of,
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

COMFORT_NOISE_PAYLOAD_TYPE = 13
"""RFC 3389 section 4: static, at 8,000 Hz."""
FIRST_EVENT_PAYLOAD_TYPE = 101
FIRST_DYNAMIC_PAYLOAD_TYPE = 96
TELEPHONE_EVENTS = "0-16"
"""The events we take: digits, A to D, and flash (RFC 4733 section 3.2)."""
DIGIT_EVENTS = frozenset(range(16))
NO_EVENTS: frozenset[int] = frozenset()
MAX_EVENT_CHARS = 128
MAX_FORMAT_PARAMETERS = 16

OPUS_FRAMES_MS = (10, 20, 40, 60)
_OUR_PARAMETERS = {
    OPUS: "maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0;sprop-stereo=0;useinbandfec=1"
}
"""We decode to, and encode from, 16 kHz and one channel: more would be bits for nothing (RFC 7587
section 6.1). Redundancy is worth while: the other end of a bridge may mend a loss with it."""


ALL_SUITES = tuple(SrtpSuite)


class LocalMedia(NamedTuple):
    """Our side of one dialog's stream.

    ``host`` is the numeric address announced, and decides the IP version. ``session_version`` is
    that of the dialog's first description. ``last_body`` is the description, offer or answer, that
    the dialog sent last (empty at first): a new one that says the same is sent as it was, one that
    says something else gets the next version (RFC 3264 section 8).

    ``own_order`` lets our order of codecs and SRTP suites decide on an offer, instead of the
    offerer's. ``rtcp_port`` is announced where it is not the port behind RTP's (RFC 3605).
    ``srtp_secret`` is 32 or more random bytes from which our keys are made: they change when it
    does. ``applications`` are our lines of that kind, in the order in which theirs and ours stand.
    """

    host: str
    rtp_port: int
    codecs: tuple[Codec, ...]
    session_id: int
    session_version: int = 1
    last_body: bytes = b""
    direction: Direction = Direction.SENDRECV
    own_order: bool = False
    ptime_ms: int = DEFAULT_PTIME_MS
    comfort_noise: bool = False
    rtcp_mux: bool = False
    rtcp_port: int | None = None
    srtp: SrtpPolicy = SrtpPolicy.OFF
    srtp_suites: tuple[SrtpSuite, ...] = ALL_SUITES
    srtp_secret: bytes = b""
    applications: tuple[ApplicationLine, ...] = ()

    def __repr__(self) -> str:
        # The secret and the last body hold keys.
        return f"LocalMedia({self.host!r}, {self.rtp_port}, srtp={self.srtp.value})"


class NegotiatedMedia(NamedTuple):
    """What both sides agreed on. ``direction`` is from our point of view.

    ``remote_host`` is numeric. On an old-style hold (``c=`` of all zeros) it is the zero address of
    our IP version, and ``direction`` does not send. ``rtcp_port`` is None where there is none (RTP
    on 65535, or on hold), and the RTP port with ``rtcp_mux``. ``telephone_event_payload_type`` is
    None if the peer cannot take events, ``telephone_events`` are those that it takes.
    ``format_parameters`` are the peer's for the codec, by name in lower case. ``srtp`` is None if
    the stream is in the clear. ``held``: the peer takes no sound.
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
    telephone_events: frozenset[int] = NO_EVENTS
    comfort_noise_payload_type: int | None = None
    format_parameters: tuple[tuple[str, str], ...] = ()
    rtcp_mux: bool = False
    srtp: SrtpTerms | None = None
    held: bool = False


class Answer(NamedTuple):
    """An answer to send. ``media`` is None if the offer had no stream that is on; ``applications``
    are our lines in it, with port 0 where they are off."""

    body: bytes
    media: NegotiatedMedia | None
    applications: tuple[ApplicationLine, ...] = ()


class _Usable(NamedTuple):
    """A peer's stream that we can do."""

    media: MediaDescription
    payload_type: int
    codec: Codec
    srtp: SrtpTerms | None


def answer_offer(offer: SessionDescription, local: LocalMedia) -> Answer:
    """Answer an offer: the first audio stream that we can do is on, every other one is refused,
    but for the application lines that we have something to say to.

    The codec is the first of the offerer's that is one of ours (RFC 3264 section 6.1), or as
    ``own_order`` says. Raises
    :class:`NotAcceptable` (488) if streams are offered and we can do none of them;
    :class:`NoCommonCodec` is the case where only codecs stand in the way.
    """
    chosen = _best_usable(offer, local, _answered_srtp)
    media = None
    sections = []
    applications: list[ApplicationLine] = []
    for described in offer.media:
        if chosen is not None and described is chosen.media:
            muxed = local.rtcp_mux and "rtcp-mux" in described.said.flags
            media = _negotiate(chosen, offer, local, local.direction, muxed)
            mid = described.said.first.get("mid") if local.applications else None
            sections.append(_accepted_section(described.protocol, media, local, mid))
        elif local.applications and is_application(described):
            applications.append(_answered_application(described, local, len(applications)))
            sections.append(section_of(applications[-1], local.host))
        else:
            sections.append(_refused_section(described))
    return Answer(body_of(local, "".join(sections)), media, tuple(applications))


def _answered_application(
    described: MediaDescription, local: LocalMedia, index: int
) -> ApplicationLine:
    """Our line in the place of theirs: off if either is (RFC 3264 sections 6 and 8.2)."""
    ours = ApplicationLine(0)
    if index < len(local.applications) and described.port:
        ours = local.applications[index]
    return ours._replace(protocol=described.protocol, formats=described.formats)


def make_offer(local: LocalMedia) -> bytes:
    """The offer to send where the INVITE had none: one audio stream, our codecs in our order,
    behind our application lines, as RFC 6787 section 4.2 shows them.

    With SRTP optional it is RTP/AVP with ``a=crypto``: who does not know these ignores them.
    """
    formats, attributes = _offered(local.codecs, local.comfort_noise)
    if local.srtp is not SrtpPolicy.OFF:
        for tag, suite in enumerate(local.srtp_suites, 1):
            key = own_key(local.srtp_secret, suite)
            attributes += crypto_attribute(CryptoLine(tag, suite, key))
    protocol = "RTP/SAVP" if local.srtp is SrtpPolicy.REQUIRED else "RTP/AVP"
    section = (
        f"m=audio {local.rtp_port} {protocol} {formats}\r\n{attributes}"
        f"{_rtcp_lines(local, local.rtcp_mux)}"
        f"a=ptime:{local.ptime_ms}\r\na={local.direction}\r\n"
    )
    if local.applications:
        section = _application_sections(local) + section + _mid_line(stream_id(local.applications))
    return body_of(local, section)


@lru_cache(maxsize=32)
def _offered(codecs: tuple[Codec, ...], comfort_noise: bool) -> tuple[str, str]:
    """The formats of an offer, and the lines that say what they are."""
    numbered, event_types = _payload_types(codecs)
    formats = [str(payload_type) for payload_type, _ in numbered]
    lines = [_codec_lines(payload_type, codec) for payload_type, codec in numbered]
    if comfort_noise and any(codec.clock_rate_hz == 8000 for codec in codecs):
        formats.append(str(COMFORT_NOISE_PAYLOAD_TYPE))
        lines.append(_comfort_noise_line(COMFORT_NOISE_PAYLOAD_TYPE, 8000))
    for clock_rate_hz, payload_type in event_types.items():
        formats.append(str(payload_type))
        lines.append(_event_lines(payload_type, clock_rate_hz))
    return " ".join(formats), "".join(lines)


def _application_sections(local: LocalMedia) -> str:
    return "".join([section_of(line, local.host) for line in local.applications])


def _mid_line(mid: str | None) -> str:
    """RFC 5888 section 4; of what a peer calls its stream only what is fit to be said again."""
    return f"a=mid:{mid}\r\n" if mid and mid.isprintable() else ""


def offer_again(body: bytes, agreed: NegotiatedMedia, local: LocalMedia) -> bytes:
    """Offer what was agreed on again, but in ``local``'s direction, as for a hold.

    ``body`` is our description in that agreement. Streams stay what and where they were (RFC 3264
    section 8), and payload types mean what they did (section 8.3.2).
    """
    media = agreed._replace(direction=local.direction)
    mid = stream_id(local.applications)
    ours = iter(local.applications)
    sections = []
    for described in parse_sdp(body).media:
        if is_application(described) and (line := next(ours, None)) is not None:
            sections.append(section_of(line, local.host))
        elif described.port and not is_application(described):
            sections.append(_accepted_section(described.protocol, media, local, mid))
        else:
            sections.append(_refused_section(described))
    # RFC 3264 section 8.1: what is new comes behind what was there.
    sections += [section_of(line, local.host) for line in ours]
    return body_of(local, "".join(sections))


def accept_answer(offer: bytes, answer: SessionDescription, local: LocalMedia) -> NegotiatedMedia:
    """What an answer to our ``offer`` settles. Raises :class:`SdpError` where it does not fit.

    ``local`` is what the offer was made from. A stream that the peer refuses raises
    :class:`NotAcceptable`.
    """
    offered = streams_of(offer)
    # RFC 3264 section 6: as many streams as offered, in the same order.
    if [m.kind.lower() for m in answer.media] != [m.kind.lower() for m in offered]:
        raise SdpError(SdpReason.ANSWER_MISMATCH, f"{len(answer.media)} streams")
    ours = next(media for media in offered if media.port and not is_application(media))

    def settled_srtp(media: MediaDescription, local: LocalMedia) -> SrtpTerms | None:
        return _settled_srtp(ours, media, local)

    chosen = _best_usable(answer, local, settled_srtp)
    if chosen is None:
        raise NotAcceptable(SdpReason.NO_AUDIO, "the peer refused the stream")
    if _is_secure(chosen.media) != _is_secure(ours):
        raise SdpError(SdpReason.ANSWER_MISMATCH, chosen.media.protocol)
    muxed = "rtcp-mux" in ours.said.flags and "rtcp-mux" in chosen.media.said.flags
    return _negotiate(chosen, answer, local, ours.said.direction or Direction.SENDRECV, muxed)


_Securing = Callable[[MediaDescription, LocalMedia], SrtpTerms | None]
"""Settles the keys of a stream, None for one in the clear. Raises :class:`NotAcceptable`."""


def _best_usable(
    description: SessionDescription, local: LocalMedia, securing: _Securing
) -> _Usable | None:
    """The first stream that we can do, an encrypted one first; None if all streams are off."""
    best: _Usable | None = None
    refusal: NotAcceptable | None = None
    for media in description.media:
        if not _is_audio(media, local):
            continue
        try:
            usable = _usable(media, local, securing)
        except NotAcceptable as error:
            refusal = refusal or error
            continue
        if best is None or _rank(usable) > _rank(best):
            best = usable
    try:
        if best is None:
            _refuse_unless_all_off(description, refusal)
        return best
    finally:
        refusal = None  # an exception that its own frames know waits for the collector


def _rank(usable: _Usable) -> int:
    """RTP/SAVP before RTP/AVP with keys before RTP/AVP."""
    return 0 if usable.srtp is None else 1 + _is_secure(usable.media)


_PLAIN_PROTOCOLS = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURE_PROTOCOLS = frozenset({"RTP/SAVP", "RTP/SAVPF"})
"""Feedback (RFC 4585) is tolerated: we just send none. DTLS is another matter."""


def _is_secure(media: MediaDescription) -> bool:
    return media.protocol.upper() in _SECURE_PROTOCOLS


def _is_audio(media: MediaDescription, local: LocalMedia) -> bool:
    if media.port == 0 or media.kind.lower() != "audio":
        return False
    if media.protocol.upper() in _PLAIN_PROTOCOLS:
        return True
    return local.srtp is not SrtpPolicy.OFF and _is_secure(media)


def _refuse_unless_all_off(description: SessionDescription, refusal: NotAcceptable | None) -> None:
    if refusal is not None:
        try:
            raise refusal
        finally:
            refusal = None
    live = [f"{m.kind} {m.protocol}" for m in description.media if m.port]
    if live:
        raise NotAcceptable(SdpReason.NO_AUDIO, ", ".join(live))


def _answered_srtp(media: MediaDescription, local: LocalMedia) -> SrtpTerms | None:
    """The first crypto line that we can do, with a key of ours (RFC 4568 section 5.1.2)."""
    if local.srtp is SrtpPolicy.OFF:
        return None
    lines = crypto_lines(media)
    usable = [
        line for line in lines if isinstance(line, CryptoLine) and line.suite in local.srtp_suites
    ]
    if not usable:
        _check_clear(media, local, lines)
        return None
    line = usable[0]
    if local.own_order:
        line = min(usable, key=lambda line: local.srtp_suites.index(line.suite))
    return SrtpTerms(line.tag, line.suite, own_key(local.srtp_secret, line.suite), line.key)


def _settled_srtp(
    offered: MediaDescription, answered: MediaDescription, local: LocalMedia
) -> SrtpTerms | None:
    """The one line of the answer, which has the tag and suite of one of ours (RFC 4568 5.1.3)."""
    if local.srtp is SrtpPolicy.OFF:
        return None
    lines = crypto_lines(answered)
    if not lines or not isinstance(lines[0], CryptoLine):
        _check_clear(answered, local, lines)
        return None
    theirs = lines[0]
    for ours in crypto_lines(offered):
        if isinstance(ours, CryptoLine) and ours[:2] == theirs[:2]:
            return SrtpTerms(theirs.tag, theirs.suite, ours.key, theirs.key)
    raise NotAcceptable(SdpReason.ANSWER_MISMATCH, f"crypto {theirs.tag} {theirs.suite.name}")


def _check_clear(
    media: MediaDescription, local: LocalMedia, lines: list[CryptoLine | SdpReason]
) -> None:
    """Raise :class:`NotAcceptable` where a stream without usable keys is not allowed."""
    if _is_secure(media):
        reason = SdpReason.NO_CRYPTO
        if lines:
            reason = lines[0] if isinstance(lines[0], SdpReason) else SdpReason.CRYPTO_SUITE
        raise NotAcceptable(reason)
    if local.srtp is SrtpPolicy.REQUIRED:
        raise NotAcceptable(SdpReason.SRTP_REQUIRED)


class _CodecIndex(NamedTuple):
    """Our codecs by what a peer may call them."""

    by_encoding: dict[tuple[str, int, int], Codec]
    by_payload_type: dict[str, Codec]


@lru_cache(maxsize=32)
def _indexed(codecs: tuple[Codec, ...]) -> _CodecIndex:
    return _CodecIndex(
        {(codec.name.lower(), codec.clock_rate_hz, codec.channels): codec for codec in codecs},
        {str(codec.payload_type): codec for codec in codecs if codec.payload_type is not None},
    )


def _usable(media: MediaDescription, local: LocalMedia, securing: _Securing) -> _Usable:
    """The stream with its best format. Raises :class:`NotAcceptable` if there is none."""
    by_encoding, by_payload_type = _indexed(local.codecs)
    encodings = media.said.encodings
    best: tuple[int, Codec] | None = None
    for text in media.formats:
        encoding = encodings.get(text)
        # RFC 3551 section 6: static payload types need no rtpmap; one that is there wins.
        codec = by_encoding.get(encoding) if encoding else by_payload_type.get(text)
        payload_type = None if codec is None else number(text, 127)
        if codec is None or payload_type is None:
            continue
        if best is None or local.codecs.index(codec) < local.codecs.index(best[1]):
            best = payload_type, codec
        if not local.own_order:
            break
    if best is None:
        raise NoCommonCodec(SdpReason.NO_COMMON_CODEC, " ".join(media.formats))
    return _Usable(media, *best, securing(media, local))


def _format_of(chosen: _Usable, name: str, static: str = "") -> str | None:
    """The format of that encoding that shares the codec's clock (RFC 4733 2.1, RFC 3389 5)."""
    wanted = (name, chosen.codec.clock_rate_hz, 1)
    encodings = chosen.media.said.encodings
    for text in chosen.media.formats:
        encoding = encodings.get(text)
        if encoding == wanted or (encoding is None and text == static and wanted[1] == 8000):
            return text if number(text, 127) is not None else None
    return None


def _events(text: str | None) -> frozenset[int]:
    """``0-15,32``; who says nothing takes the digits (RFC 4733 section 2.4.1)."""
    if text is None or len(text) > MAX_EVENT_CHARS:
        return DIGIT_EVENTS
    return _event_set(text)


@lru_cache(maxsize=64)
def _event_set(text: str) -> frozenset[int]:
    events: set[int] = set()
    for part in text.split(","):
        low_text, dash, high_text = part.strip().partition("-")
        low = number(low_text, 255)
        high = number(high_text, 255) if dash else low
        if low is not None and high is not None:
            events.update(range(low, high + 1))
    return frozenset(events) or DIGIT_EVENTS


def _format_parameters(text: str) -> tuple[tuple[str, str], ...]:
    """``useinbandfec=1; maxplaybackrate=16000`` (RFC 7587 section 6.1), the first few of them."""
    pairs = []
    for part in text.split(";", MAX_FORMAT_PARAMETERS)[:MAX_FORMAT_PARAMETERS]:
        name, _, value = part.strip().partition("=")
        if name:
            pairs.append((name.lower(), value))
    return tuple(pairs)


def _negotiate(
    chosen: _Usable,
    description: SessionDescription,
    local: LocalMedia,
    ours: Direction,
    muxed: bool,
) -> NegotiatedMedia:
    media, connection = chosen.media, chosen.media.connection
    if connection is None:
        raise NotAcceptable(SdpReason.NO_CONNECTION)
    packed = packed_address(connection)
    ipv6 = ":" in local.host
    # RFC 3264 section 8.4: an address of zeros is the hold of RFC 2543; nothing is sent there, so
    # its IP version does not matter.
    held = not any(packed)
    if held:
        remote_host = rtcp_host = "::" if ipv6 else "0.0.0.0"
        rtcp_port = None
    elif (len(packed) == 16) != ipv6:
        raise NotAcceptable(SdpReason.ADDRESS_FAMILY, connection.host)
    else:
        remote_host = rtcp_host = connection.host
        rtcp_port = media.port
        if not muxed:
            rtcp_host, rtcp_port = _rtcp_address(media, connection)
    we_send, we_receive = _WAYS[ours]
    they_send, they_receive = _WAYS[_direction(media, description)]
    event_format = _format_of(chosen, "telephone-event")
    noise_format = None
    if local.comfort_noise:
        noise_format = _format_of(chosen, "cn", str(COMFORT_NOISE_PAYLOAD_TYPE))
    parameters = media.said.parameters
    own_parameters = parameters.get(str(chosen.payload_type))
    return NegotiatedMedia(
        chosen.codec,
        chosen.payload_type,
        _ptime_ms(media, chosen.codec, local),
        remote_host,
        media.port,
        rtcp_host,
        rtcp_port,
        _DIRECTION_OF_WAYS[we_send and they_receive and not held, we_receive and they_send],
        None if event_format is None else int(event_format),
        NO_EVENTS if event_format is None else _events(parameters.get(event_format)),
        None if noise_format is None else int(noise_format),
        _format_parameters(own_parameters) if own_parameters else (),
        muxed,
        chosen.srtp,
        held or not they_receive,
    )


def _direction(media: MediaDescription, description: SessionDescription) -> Direction:
    """The stream's own direction, else the session's, else both ways (RFC 8866 section 6.7)."""
    return media.said.direction or description.said.direction or Direction.SENDRECV


def _ptime_ms(media: MediaDescription, codec: Codec, local: LocalMedia) -> int:
    """The packet length that the peer wants, within ours and its limits (RFC 8866 section 6.4)."""
    said = media.said.first
    wanted_ms = number(said.get("ptime", ""), 10_000) or local.ptime_ms
    most_ms = number(said.get("maxptime", ""), 10_000) or MAX_PTIME_MS
    ptime_ms = max(MIN_PTIME_MS, min(wanted_ms, most_ms, MAX_PTIME_MS))
    if codec.name.lower() == OPUS:
        # RFC 6716 section 2.1.4: frames have these lengths only.
        return max(frame_ms for frame_ms in OPUS_FRAMES_MS if frame_ms <= ptime_ms)
    return ptime_ms


def _rtcp_address(media: MediaDescription, connection: Connection) -> tuple[str, int | None]:
    """Where the peer takes RTCP: the port behind RTP's, or as ``a=rtcp`` says (RFC 3605)."""
    fields = media.said.first.get("rtcp", "").split()
    port = number(fields[0], 65535) if fields else None
    if not port:
        return connection.host, media.port + 1 if media.port < 65535 else None
    if len(fields) == 4:
        named = Connection(fields[2].upper(), fields[3])
        try:
            if len(packed_address(named)) == len(packed_address(connection)):
                return named.host, port
        except NotAcceptable:
            pass  # A name or a group: the stream's own address serves as well.
    return connection.host, port


_FAMILIES = {"IP4": socket.AF_INET, "IP6": socket.AF_INET6}


def packed_address(connection: Connection) -> bytes:
    """The binary address. Raises :class:`NotAcceptable` if it is a name, multicast or broadcast."""
    try:
        packed = socket.inet_pton(_FAMILIES[connection.family], connection.host)
    except (KeyError, OSError, ValueError):
        raise NotAcceptable(SdpReason.BAD_ADDRESS, connection.host) from None
    # A stream to a group would let one caller flood a network (RFC 8866 section 7).
    if packed[0] == 0xFF or (len(packed) == 4 and packed[0] >= 0xE0):
        raise NotAcceptable(SdpReason.BAD_ADDRESS, connection.host)
    return packed


@lru_cache(maxsize=32)
def _payload_types(
    codecs: tuple[Codec, ...],
) -> tuple[list[tuple[int, Codec]], dict[int, int]]:
    """Numbers of the codecs, and of telephone events by clock rate (RFC 4733 section 2.1).

    Static ones where there are, numbers from 96 on for the rest; 101 for the first clock's events,
    since that is what everybody uses.
    """
    dynamic = (n for n in range(FIRST_DYNAMIC_PAYLOAD_TYPE, 128) if n != FIRST_EVENT_PAYLOAD_TYPE)
    numbered = [
        (next(dynamic) if codec.payload_type is None else codec.payload_type, codec)
        for codec in codecs
    ]
    clock_rates_hz = dict.fromkeys(codec.clock_rate_hz for codec in codecs)
    events = {
        clock_rate_hz: next(dynamic) if index else FIRST_EVENT_PAYLOAD_TYPE
        for index, clock_rate_hz in enumerate(clock_rates_hz)
    }
    return numbered, events


@lru_cache(maxsize=256)
def _codec_lines(payload_type: int, codec: Codec) -> str:
    parameters = _OUR_PARAMETERS.get(codec.name.lower())
    line = f"a=rtpmap:{payload_type} {codec.rtpmap}\r\n"
    return f"{line}a=fmtp:{payload_type} {parameters}\r\n" if parameters else line


@lru_cache(maxsize=256)
def _event_lines(payload_type: int, clock_rate_hz: int) -> str:
    return (
        f"a=rtpmap:{payload_type} telephone-event/{clock_rate_hz}\r\n"
        f"a=fmtp:{payload_type} {TELEPHONE_EVENTS}\r\n"
    )


def _comfort_noise_line(payload_type: int, clock_rate_hz: int) -> str:
    return f"a=rtpmap:{payload_type} CN/{clock_rate_hz}\r\n"


def _rtcp_lines(local: LocalMedia, muxed: bool) -> str:
    if muxed:
        return "a=rtcp-mux\r\n"
    if local.rtcp_port is None or local.rtcp_port == local.rtp_port + 1:
        return ""
    return f"a=rtcp:{local.rtcp_port}\r\n"


def _accepted_section(
    protocol: str, media: NegotiatedMedia, local: LocalMedia, mid: str | None = None
) -> str:
    """One codec, so that the peer cannot change it in mid-call, under the offerer's number."""
    formats = str(media.payload_type)
    lines = _codec_lines(media.payload_type, media.codec)
    if media.comfort_noise_payload_type is not None:
        formats += f" {media.comfort_noise_payload_type}"
        lines += _comfort_noise_line(media.comfort_noise_payload_type, media.codec.clock_rate_hz)
    if media.telephone_event_payload_type is not None:
        formats += f" {media.telephone_event_payload_type}"
        lines += _event_lines(media.telephone_event_payload_type, media.codec.clock_rate_hz)
    if media.srtp is not None:
        lines += crypto_attribute(CryptoLine(*media.srtp[:3]))
    return (
        f"m=audio {local.rtp_port} {protocol} {formats}\r\n{lines}"
        f"{_rtcp_lines(local, media.rtcp_mux)}"
        f"a=ptime:{media.ptime_ms}\r\na={media.direction}\r\n{_mid_line(mid)}"
    )


def _refused_section(described: MediaDescription) -> str:
    # RFC 3264 section 6: port zero refuses; one format has to stand there all the same.
    return f"m={described.kind} 0 {described.protocol} {described.formats[0]}\r\n"


def body_of(local: LocalMedia, sections: str) -> bytes:
    """The description of those sections, under the version that is due after the last one."""
    address = f"IN {'IP6' if ':' in local.host else 'IP4'} {local.host}"
    rest = f" {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n{sections}".encode("latin-1")
    version = local.session_version
    if local.last_body:
        # Ours begins "v=0 CRLF o=- ID VERSION".
        version = int(local.last_body.split(b" ", 3)[2])
        version += not local.last_body.endswith(b" %d%b" % (version, rest))
    return b"v=0\r\no=- %d %d%b" % (local.session_id, version, rest)
