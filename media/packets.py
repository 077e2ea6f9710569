"""Prompts of codecs whose packets are whole (Opus): a list of sounds, encoded as one stream.

Where one sound ends and the next begins within a packet, that packet holds both: so a list is put
together before it is encoded, and nothing lies between its sounds. What is decoded lies as a whole
where the sounds were, not a few milliseconds behind: the encoder is fed that much ahead.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ._core import CodecEncoder, Prompt, levels_dbov
from .codec import MAX_PAYLOAD_BYTES, Codec, Samples
from .sound import resample

PACKET_MS = 20
"""What is sent unless the peer cannot take it."""
WARM_UP_MS = 200
"""How long an encoder remembers what came before."""
MIN_ROUND_PACKETS = 500
"""Rounds of a loop are encoded together up to this length: so fitting them to whole packets changes
their pitch by no more than one part in a thousand."""
MARGIN_SAMPLES = 1_000
"""What the filter of the resampler looks at, on either side."""


def packets_of(samples: Samples, codec: Codec, packet_ms: int, *, loop: bool) -> Prompt:
    """What a leg plays for ``samples`` (at least one); round after round where they loop."""
    frame = packet_ms * codec.sample_rate_hz // 1000
    if loop:
        samples = _fit_round(samples, frame)
        lead = WARM_UP_MS // packet_ms * frame
    else:
        samples = np.append(samples, np.zeros(-len(samples) % frame, np.int16))
        lead = frame
    payloads = _encode(_led_in(samples, lead, codec.delay_samples, loop=loop), codec, frame)
    payloads = payloads[lead // frame :]
    lengths = np.array([len(payload) for payload in payloads], np.uint16)
    return Prompt(b"".join(payloads), levels_dbov(samples, frame), packet_bytes=lengths)


@lru_cache(maxsize=32)
def silence_packet(codec: Codec, packet_ms: int) -> bytes:
    """A packet that sounds as silence: one of a stream of silence, in its mode."""
    frame = packet_ms * codec.sample_rate_hz // 1000
    return _encode(np.zeros(50 * frame, np.int16), codec, frame)[-1]


def _led_in(samples: Samples, lead: int, delay: int, *, loop: bool) -> Samples:
    """``samples``, ``delay`` samples ahead, behind ``lead`` of what is heard before them: silence,
    or the end of the round before."""
    around = samples if loop else np.zeros(lead, np.int16)
    return np.concatenate([around[delay - lead :], samples, around[:delay]])


def _encode(samples: Samples, codec: Codec, frame: int) -> list[bytes]:
    encoder = CodecEncoder(codec.index, stored=True)
    return [
        encoder.encode(samples[at : at + frame], MAX_PAYLOAD_BYTES)
        for at in range(0, len(samples), frame)
    ]


def _fit_round(samples: Samples, frame: int) -> Samples:
    """One or more rounds of a loop, a little longer or shorter, so that they fill whole packets."""
    rounds = np.tile(samples, -(-MIN_ROUND_PACKETS * frame // len(samples)))
    fitted = max(1, round(len(rounds) / frame)) * frame
    if fitted == len(rounds):
        return rounds
    # Round and round: the filter finds the end before the beginning.
    around = np.concatenate([rounds[-MARGIN_SAMPLES:], rounds, rounds[:MARGIN_SAMPLES]])
    around = resample(around, len(rounds), fitted)
    start = round(MARGIN_SAMPLES * fitted / len(rounds))
    return around[start : start + fitted]
