"""Codecs: what a payload type stands for, and how samples become payload bytes.

A codec is data plus two functions, found by its name on the command line, by an SDP rtpmap, or by
its static payload type (RFC 3551 table 4). :data:`CODECS` is the one list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from . import _core

Samples = npt.NDArray[np.int16]
"""Mono 16-bit linear sound."""


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """One way to carry mono sound in RTP. There is one object of each, so identity is equality.

    ``payload_type`` is the static one, or None if SDP has to give it a number. ``clock_rate_hz``
    counts RTP timestamps; ``sample_rate_hz`` is that of the samples (they differ for G.722, RFC
    3551 section 4.5.2). ``silence`` is the payload byte that decodes to zero. ``encode`` takes
    contiguous int16 samples at ``sample_rate_hz`` and gives payload bytes; ``decode`` goes back.
    """

    name: str
    payload_type: int | None
    clock_rate_hz: int
    sample_rate_hz: int
    silence: int
    encode: Callable[[Samples], bytes] = field(repr=False)
    decode: Callable[[bytes], Samples] = field(repr=False)

    @property
    def rtpmap(self) -> str:
        """The encoding as SDP names it: ``PCMU/8000``."""
        return f"{self.name}/{self.clock_rate_hz}"


def _ulaw_decode(codes: bytes) -> Samples:
    samples = np.empty(len(codes), np.int16)
    _core.ulaw_decode(codes, samples)
    return samples


def _alaw_decode(codes: bytes) -> Samples:
    samples = np.empty(len(codes), np.int16)
    _core.alaw_decode(codes, samples)
    return samples


PCMU = Codec("PCMU", 0, 8000, 8000, 0xFF, _core.ulaw_encode, _ulaw_decode)
PCMA = Codec("PCMA", 8, 8000, 8000, 0xD5, _core.alaw_encode, _alaw_decode)

CODECS = (PCMU, PCMA)

_BY_NAME = {codec.name.lower(): codec for codec in CODECS}
_BY_RTPMAP = {(codec.name.lower(), codec.clock_rate_hz): codec for codec in CODECS}
_BY_PAYLOAD_TYPE = {codec.payload_type: codec for codec in CODECS if codec.payload_type is not None}


class UnknownCodec(ValueError):
    """A name that no codec has; says which there are."""


def codec_by_name(name: str) -> Codec:
    """The codec a person named, in any case: ``pcmu``. Raises :class:`UnknownCodec`."""
    codec = _BY_NAME.get(name.strip().lower())
    if codec is None:
        known = ", ".join(_BY_NAME)
        raise UnknownCodec(f"there is no codec {name.strip()!r}; use one of: {known}")
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
