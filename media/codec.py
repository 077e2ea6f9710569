"""Codecs: what a payload type stands for, and how samples become payload bytes.

A codec is data plus two functions, found by its label on the command line, by an SDP rtpmap, or by
its static payload type (RFC 3551 table 4). The C core has the table (``csrc/codec``);
:data:`CODECS` are those that were built in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from . import _core

OPUS = "opus"

Samples = npt.NDArray[np.int16]
"""Mono 16-bit linear sound."""


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """One way to carry mono sound in RTP. There is one object of each, so identity is equality.

    ``payload_type`` is the static one, or None if SDP has to give it a number. ``clock_rate_hz``
    counts RTP timestamps; ``sample_rate_hz`` is that of the samples (they differ for G.722, RFC
    3551 section 4.5.2). ``silence`` is the payload byte that sounds as silence. ``encode`` takes
    contiguous int16 samples at ``sample_rate_hz`` and gives the payload bytes of a whole stream,
    which may be cut into packets anywhere between timestamps; ``decode`` goes back. ``label`` is
    the name that people use, since ``name`` is that of several codecs at times (L16). ``adapts``:
    what a byte sounds like depends on those before it.

    A codec with ``whole_packets`` (Opus) has no such stream: there ``encode`` makes one packet, and
    ``decode`` reads one. ``index`` is the codec's place in the C core's table. ``delay_samples``:
    how far what is decoded lies behind what was encoded.
    """

    name: str
    payload_type: int | None
    clock_rate_hz: int
    sample_rate_hz: int
    silence: int
    encode: Callable[[Samples], bytes] = field(repr=False)
    decode: Callable[[bytes], Samples] = field(repr=False)
    bytes_per_ts: int = 1
    label: str = ""
    adapts: bool = False
    index: int = 0
    delay_samples: int = 0

    @property
    def whole_packets(self) -> bool:
        """True if a payload cannot be cut, nor put together with another."""
        return not self.bytes_per_ts

    @property
    def channels(self) -> int:
        """How many the rtpmap names: two for Opus, whatever is sent (RFC 7587 section 7)."""
        return 2 if self.name.lower() == OPUS else 1

    @property
    def rtpmap(self) -> str:
        """The encoding as SDP names it: ``PCMU/8000``, ``opus/48000/2``."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.name}/{self.clock_rate_hz}{channels}"

    @property
    def samples_per_ts(self) -> int:
        """Samples that are coded together, one RTP timestamp unit: 2 for G.722."""
        return self.sample_rate_hz // self.clock_rate_hz

    @property
    def bytes_per_s(self) -> int:
        """Payload bytes for a second of sound."""
        return self.bytes_per_ts * self.clock_rate_hz

    @property
    def max_ptime_ms(self) -> int:
        """The longest packet that fits an Ethernet frame, as ``RW_MAX_PACKET_BYTES`` has it."""
        if self.whole_packets:
            return MAX_PTIME_MS
        return MAX_PAYLOAD_BYTES * 1000 // self.bytes_per_s


MAX_PAYLOAD_BYTES = 1472 - 12 - 24
"""Less the RTP header, and what SRTP may add."""

MAX_PTIME_MS = 60
MAX_WHOLE_PACKET_MS = 120
"""The longest that Opus has (RFC 6716 section 2.1.4)."""


def _encode(index: int, samples_per_ts: int, bytes_per_ts: int, samples: Samples) -> bytes:
    missing = -len(samples) % samples_per_ts
    if missing:  # G.722 codes pairs.
        samples = np.concatenate([samples, np.zeros(missing, np.int16)])
    room_bytes = len(samples) // samples_per_ts * bytes_per_ts
    return _core.CodecEncoder(index).encode(samples, room_bytes)


def _decode(index: int, samples_per_ts: int, bytes_per_ts: int, payload: bytes) -> Samples:
    samples = np.empty(len(payload) // bytes_per_ts * samples_per_ts, np.int16)
    _core.CodecDecoder(index).decode(payload, samples)
    return samples


def _encode_packet(index: int, samples: Samples) -> bytes:
    return _core.CodecEncoder(index).encode(samples, MAX_PAYLOAD_BYTES)


def _decode_packet(index: int, sample_rate_hz: int, payload: bytes) -> Samples:
    samples = np.empty(MAX_WHOLE_PACKET_MS * sample_rate_hz // 1000, np.int16)
    return samples[: _core.CodecDecoder(index).decode(payload, samples)]


def _from_table() -> dict[str, Codec]:
    found = {}
    for index, row in enumerate(_core.codec_table()):
        label, name, payload_type, clock_rate_hz, sample_rate_hz, bytes_per_ts, silence = row[:7]
        encode: Callable[[Samples], bytes] = partial(_encode_packet, index)
        decode: Callable[[bytes], Samples] = partial(_decode_packet, index, sample_rate_hz)
        if bytes_per_ts:
            units = (index, sample_rate_hz // clock_rate_hz, bytes_per_ts)
            encode, decode = partial(_encode, *units), partial(_decode, *units)
        found[label] = Codec(
            name,
            payload_type if payload_type >= 0 else None,
            clock_rate_hz,
            sample_rate_hz,
            silence,
            encode,
            decode,
            bytes_per_ts,
            label,
            adapts=row[7],
            index=index,
            delay_samples=row[8],
        )
    return found


_BY_LABEL = _from_table()
CODECS = tuple(_BY_LABEL.values())
PCMU, PCMA, G722 = _BY_LABEL["pcmu"], _BY_LABEL["pcma"], _BY_LABEL["g722"]
L16_8K, L16_16K = _BY_LABEL["l16-8k"], _BY_LABEL["l16-16k"]

DEFAULT_CODECS = (PCMU, PCMA)
"""What is offered and accepted unless somebody asks for more: what every telephone has."""

_BY_RTPMAP = {(codec.name.lower(), codec.clock_rate_hz): codec for codec in CODECS}
_BY_PAYLOAD_TYPE = {codec.payload_type: codec for codec in CODECS if codec.payload_type is not None}


class UnknownCodec(ValueError):
    """A name that no codec has; says which there are."""


def codec_by_name(name: str) -> Codec:
    """The codec a person named, in any case: ``pcmu``. Raises :class:`UnknownCodec`."""
    codec = _BY_LABEL.get(name.strip().lower())
    if codec is None:
        known = ", ".join(_BY_LABEL)
        lacking = ", built without libopus" if name.strip().lower() == OPUS else ""
        raise UnknownCodec(f"there is no codec {name.strip()!r}{lacking}; use one of: {known}")
    return codec


def codecs_by_name(names: Iterable[str]) -> tuple[Codec, ...]:
    """The codecs of several names, in that order, each once. Raises :class:`UnknownCodec`."""
    return tuple(dict.fromkeys(codec_by_name(name) for name in names))


def codec_by_rtpmap(name: str, clock_rate_hz: int) -> Codec | None:
    """The codec of an SDP encoding name (which knows no case, RFC 8866 section 6.6)."""
    return _BY_RTPMAP.get((name.lower(), clock_rate_hz))


def codec_by_payload_type(payload_type: int) -> Codec | None:
    """The codec of a static payload type; None for dynamic and for unknown ones."""
    return _BY_PAYLOAD_TYPE.get(payload_type)
