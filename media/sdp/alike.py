"""Offers and answers as they come off the wire; those that are alike are negotiated once.

Peers behind one trunk send the same description call after call, but for its origin, its address
and its port. What comes of such an offer, or of such an answer to an offer of ours, follows from
the rest of it and from our side, and is remembered for the last few; the address and the ports of
the call at hand are put into that. Whatever is not of this plain form goes the long way.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ..codec import Codec
from .crypto import SrtpPolicy
from .description import Connection, Direction, SessionDescription, parse_sdp
from .errors import NotAcceptable, SdpError
from .negotiation import (
    Answer,
    LocalMedia,
    NegotiatedMedia,
    accept_answer,
    answer_offer,
    body_of,
    packed_address,
)

MAX_ALIKE_BYTES = 1_024
"""Longer descriptions are read each time, so that what is remembered stays within a MiB, and what
fits nothing costs little."""
REMEMBERED_ANSWERS = 128
REMEMBERED_HOSTS = 1_024
LAST_PORT_BEFORE_RTCP = 65_534
"""RTP on the last port has none for RTCP behind it."""

_HOST, _PORT = "192.0.2.1", 6_000
"""What stands in the place of both sides' addresses and ports while an outline is made."""

_PLAIN = re.compile(
    rb"v=0\r?\no=[!-~]{1,64}(?: [!-~]{1,64}){5}"
    rb"(\r?(?:\n(?![cm]=)[^\n]*)*\nc=IN IP4 )"
    rb"([0-9.]{7,15})"
    rb"(\r?(?:\n(?![cm]=)[^\n]*)*\nm=audio )"
    rb"([1-9][0-9]{0,4})"
    rb"( [^\n]*(?:\n(?![cm]=)[^\n]*)*)"
)
"""One address, for the whole description, and one stream, which is on. The groups: what stands
before the address, the address, what is between, the port, what is behind. Each line fits in one
way, so that no description takes more time than its length."""


_Rest = tuple[bytes, bytes, bytes]
"""All that stands around the address and the port."""
_Plain = tuple[str, int, _Rest]
"""A description of that form: where its sound is to go, and the rest."""


class _Ours(NamedTuple):
    """What of our side decides on what comes of it, besides its address and port."""

    codecs: tuple[Codec, ...]
    direction: Direction
    own_order: bool
    ptime_ms: int
    comfort_noise: bool
    rtcp_mux: bool


class _Outline(NamedTuple):
    """What comes of offers that are alike: ``agreed`` but for the addresses, and our ``section``
    behind its port."""

    agreed: NegotiatedMedia
    section: str


def answer_to(offer: bytes, local: LocalMedia) -> Answer:
    """Our answer to an offer: `answer_offer` of what `parse_sdp` reads, and the same SdpErrors."""
    return _answer_alike(offer, local) or answer_offer(parse_sdp(offer), local)


def _answer_alike(offer: bytes, local: LocalMedia) -> Answer | None:
    """The answer out of what is remembered; None for what has to go the long way."""
    if (theirs := _read(offer, local)) is None:
        return None
    host, port, rest = theirs
    if (outline := _outline_of(rest, _ours_of(local))) is None:
        return None
    agreed, section = outline
    body = body_of(local, f"m=audio {local.rtp_port}{section}")
    return Answer(body, _placed(agreed, host, port))


def settle_answer(offer: bytes, answer: bytes, local: LocalMedia) -> NegotiatedMedia:
    """What an answer to our ``offer`` settles: `accept_answer` of what `parse_sdp` reads, and the
    same SdpErrors."""
    alike = _settle_alike(offer, answer, local)
    return accept_answer(offer, parse_sdp(answer), local) if alike is None else alike


def _settle_alike(offer: bytes, answer: bytes, local: LocalMedia) -> NegotiatedMedia | None:
    """The same out of what is remembered; None for what has to go the long way."""
    theirs = _read(answer, local)
    if theirs is None or offer.count(b"\nm=") != 1:
        return None
    host, port, rest = theirs
    _, _, terms = offer.partition(b" RTP/")
    agreed = _settled_of(terms, rest, _ours_of(local))
    return None if agreed is None else _placed(agreed, host, port)


def _read(description: bytes, local: LocalMedia) -> _Plain | None:
    """A description of the plain form, if ours is plain as well; None for any other."""
    if len(description) > MAX_ALIKE_BYTES or not _is_plain(local):
        return None
    found = _PLAIN.fullmatch(description)
    if found is None:
        return None
    before, address, between, port_text, behind = found.groups()
    host, port = _host_of(address), int(port_text)
    if host is None or port > LAST_PORT_BEFORE_RTCP:
        return None
    return host, port, (before, between, behind)


def _placed(agreed: NegotiatedMedia, host: str, port: int) -> NegotiatedMedia:
    """What was agreed on with another one, with the address and the ports of this one."""
    rtcp_port = port if agreed.rtcp_mux else port + 1
    parts = *agreed[:3], host, port, host, rtcp_port, *agreed[7:]
    return NegotiatedMedia._make(parts)


def _is_plain(local: LocalMedia) -> bool:
    """True for a side whose answers follow from `_Ours`, its address and its port."""
    return (
        local.srtp is SrtpPolicy.OFF
        and not local.applications
        and local.rtcp_port is None
        and ":" not in local.host
    )


def _ours_of(local: LocalMedia) -> _Ours:
    return _Ours(
        local.codecs,
        local.direction,
        local.own_order,
        local.ptime_ms,
        local.comfort_noise,
        local.rtcp_mux,
    )


@lru_cache(maxsize=REMEMBERED_HOSTS)
def _host_of(address: bytes) -> str | None:
    """The address, if sound can go there; None for one that is refused, or means a hold."""
    host = address.decode("ascii")
    try:
        return host if any(packed_address(Connection("IP4", host))) else None
    except NotAcceptable:
        return None


@lru_cache(maxsize=REMEMBERED_ANSWERS)
def _outline_of(rest: _Rest, ours: _Ours) -> _Outline | None:
    """What comes of an offer of these parts, found out the long way; None for one that is refused,
    or says more of where RTCP goes."""
    if b"\na=rtcp:" in rest[2]:
        return None
    try:
        answer = answer_offer(_stand_in(rest), _local_of(ours))
    except SdpError:
        return None
    assert answer.media is not None  # the stream is on
    _, _, section = answer.body.decode("latin-1").partition(f"\r\nm=audio {_PORT}")
    return _Outline(answer.media, section)


@lru_cache(maxsize=REMEMBERED_ANSWERS)
def _settled_of(terms: bytes, rest: _Rest, ours: _Ours) -> NegotiatedMedia | None:
    """What an answer of these parts settles, where we have offered one stream in these ``terms``:
    what stands behind its port. None as `_outline_of`."""
    if b"\na=rtcp:" in rest[2]:
        return None
    offer = b"v=0\r\nm=audio %d RTP/%b" % (_PORT, terms)
    try:
        return accept_answer(offer, _stand_in(rest), _local_of(ours))
    except SdpError:
        return None


def _stand_in(rest: _Rest) -> SessionDescription:
    """A description of these parts. SdpError."""
    before, between, behind = rest
    parts = _HOST.encode(), before, _HOST.encode(), between, _PORT, behind
    return parse_sdp(b"v=0\r\no=- 0 0 IN IP4 %b%b%b%b%d%b" % parts)


def _local_of(ours: _Ours) -> LocalMedia:
    return LocalMedia(_HOST, _PORT, session_id=0, **ours._asdict())
