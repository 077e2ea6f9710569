"""Sound for benchmarks: made, so that none has to be shipped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..media.codec import PCMU

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
