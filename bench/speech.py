"""Sound for benchmarks: made, so that none has to be shipped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..media._core import CodecDecoder, CodecEncoder
from ..media.codec import MAX_PAYLOAD_BYTES, PCMU, Codec, Samples
from ..media.sound import resample

RATE_HZ = 8000
FRAME_SAMPLES = 160
FRAMES_PER_S = 50
DIGIT_TONES_HZ = ((697, 1209), (770, 1336), (852, 1477), (941, 1336))


def speech_like(samples: int, seed: int) -> bytes:
    """PCMU noise, swelling and fading four times a second as syllables do."""
    noise = np.random.default_rng(seed).normal(0.0, 4000.0, samples)
    swell = 0.5 + 0.5 * np.sin(np.arange(samples) * (2 * np.pi * 4 / 8000))
    return PCMU.encode((noise * swell).clip(-32768, 32767).astype(np.int16))


def vowel(seconds: float, *, pitch_hz: float) -> npt.NDArray[np.int16]:
    """A loud voice at 8 kHz: a fundamental and its harmonics, a little louder and softer as speech
    is."""
    at = np.arange(round(8000 * seconds)) / 8000
    harmonics = range(1, int(3400 / pitch_hz))
    voice = sum(np.sin(2 * np.pi * pitch_hz * k * at) / k for k in harmonics)
    return (
        (9000 * voice * (0.8 + 0.2 * np.sin(2 * np.pi * 4 * at)))
        .clip(-32768, 32767)
        .astype(np.int16)
    )


def digit(number: int) -> npt.NDArray[np.int16]:
    """80 ms of a key's two tones (ITU-T Q.23), and as much silence."""
    low_hz, high_hz = DIGIT_TONES_HZ[number % len(DIGIT_TONES_HZ)]
    at = np.arange(640) / 8000
    tones = np.sin(2 * np.pi * low_hz * at) + np.sin(2 * np.pi * high_hz * at)
    return np.pad((6000 * tones).astype(np.int16), (0, 640))


def caller_sound() -> bytes:
    """PCMU of some 20 s, in whole packets: a voice, a faint noise, two digits, silence, again."""
    noise = np.random.default_rng(1).normal(0.0, 20.0, 8000).astype(np.int16)
    turns = [
        part
        for number in range(8)
        for part in (
            vowel(1.0, pitch_hz=100 + 20 * number),
            noise,
            digit(number),
            digit(number + 1),
            np.zeros(2400, dtype=np.int16),
        )
    ]
    return PCMU.encode(np.concatenate(turns))


def gliding_voice(seconds: float) -> Samples:
    """A voice at 8 kHz whose pitch rises and falls, so that no two packets are alike."""
    at = np.arange(round(RATE_HZ * seconds)) / RATE_HZ
    pitch_hz = 140 + 35 * np.sin(2 * np.pi * 0.31 * at) + 20 * np.sin(2 * np.pi * 0.047 * at)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 17))
    return np.asarray(9000 * voice * (0.8 + 0.2 * np.sin(2 * np.pi * 4 * at))).astype(np.int16)


def packets_of(codec: Codec, sound: Samples) -> list[bytes]:
    """Sound at 8 kHz, whole packets of 20 ms, as payloads of one stream."""
    encoder = CodecEncoder(codec.index)
    samples = resample(sound, RATE_HZ, codec.sample_rate_hz)
    step = codec.sample_rate_hz // FRAMES_PER_S
    return [
        encoder.encode(samples[at : at + step], MAX_PAYLOAD_BYTES)
        for at in range(0, len(samples), step)
    ]


def sound_of(codec: Codec, payloads: list[bytes]) -> Samples:
    """What a stream of 20 ms packets sounds like, at 8 kHz."""
    decoder = CodecDecoder(codec.index)
    frame = np.empty(codec.sample_rate_hz // FRAMES_PER_S, np.int16)
    parts = [frame[: decoder.decode(payload, frame)].copy() for payload in payloads]
    return resample(np.concatenate(parts), codec.sample_rate_hz, RATE_HZ)


def correlation(source: Samples, heard: Samples) -> float:
    """How alike two sounds at 8 kHz are, at the best of delays up to 40 ms: 1 for the same."""
    longest = RATE_HZ // 25
    length = min(len(source), len(heard)) - longest
    said = source[:length].astype(np.float64)
    best = 0.0
    for delay in range(longest):
        found = heard[delay : delay + length].astype(np.float64)
        size = float(np.sqrt((said @ said) * (found @ found)))
        best = max(best, float(said @ found) / size if size else 0.0)
    return best
