"""Sound for benchmarks: made, so that none has to be shipped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..media.codec import PCMU


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
