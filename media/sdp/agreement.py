"""An agreement on a stream as plain data for JSON: without keys, and checked when it is read."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from ..codec import MAX_PTIME_MS, Codec, codec_by_rtpmap
from ..snapshot import SnapshotError, State, member, number, optional_number, text
from .crypto import SrtpSuite, SrtpTerms, own_key
from .description import Direction
from .negotiation import MIN_PTIME_MS, NO_EVENTS, NegotiatedMedia

MAX_CLOCK_HZ = 192_000
MAX_TAG = 999_999_999
"""Nine digits (RFC 4568 section 9.2)."""


def agreement_state(media: NegotiatedMedia) -> State:
    """What `agreement_of` reads."""
    return {
        "codec": media.codec.name,
        "clock_rate_hz": media.codec.clock_rate_hz,
        "payload_type": media.payload_type,
        "ptime_ms": media.ptime_ms,
        "host": media.remote_host,
        "port": media.remote_port,
        "direction": media.direction.value,
        "event_payload_type": media.telephone_event_payload_type,
        "comfort_noise_payload_type": media.comfort_noise_payload_type,
        "rtcp_mux": media.rtcp_mux,
        "held": media.held,
        "srtp": [media.srtp.tag, media.srtp.suite.name] if media.srtp else None,
    }


def agreement_of(state: Mapping[str, Any], srtp_secret: bytes) -> NegotiatedMedia:
    """The agreement, with a key of our own out of ``srtp_secret`` where it is encrypted.

    It is to be offered again at once: what it does not hold comes with the answer. SnapshotError.
    """
    host, port = _host_of(state), number(state, "port", 65_535)
    return NegotiatedMedia(
        _codec_of(state),
        number(state, "payload_type", 127),
        number(state, "ptime_ms", MAX_PTIME_MS, MIN_PTIME_MS),
        host,
        port,
        host,
        None,
        _direction_of(state),
        optional_number(state, "event_payload_type", 127),
        NO_EVENTS,
        optional_number(state, "comfort_noise_payload_type", 127),
        (),
        member(state, "rtcp_mux", bool),
        _terms_of(state.get("srtp"), srtp_secret),
        member(state, "held", bool),
    )


def _codec_of(state: Mapping[str, Any]) -> Codec:
    name, clock_hz = text(state, "codec"), number(state, "clock_rate_hz", MAX_CLOCK_HZ)
    codec = codec_by_rtpmap(name, clock_hz)
    if codec is None:
        raise SnapshotError(f"codec: {name}/{clock_hz} is not available here")
    return codec


def _host_of(state: Mapping[str, Any]) -> str:
    host = text(state, "host")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise SnapshotError(f"host: {host} is no numeric address") from None
    return host


def _direction_of(state: Mapping[str, Any]) -> Direction:
    direction = text(state, "direction")
    try:
        return Direction(direction)
    except ValueError:
        raise SnapshotError(f"direction: {direction} is none") from None


def _terms_of(state: object, secret: bytes) -> SrtpTerms | None:
    """The peer's key is not known before it answers: until then ours stands in its place."""
    if state is None:
        return None
    if not isinstance(state, list) or len(state) != 2 or state[1] not in SrtpSuite.__members__:
        raise SnapshotError("srtp: a tag and the name of a suite should be there")
    suite = SrtpSuite[state[1]]
    key = own_key(secret, suite)
    return SrtpTerms(number({"srtp": state[0]}, "srtp", MAX_TAG), suite, key, key)
