"""Sound for benchmarks: made, so that none has to be shipped."""

from __future__ import annotations

import numpy as np

from ..media.codec import PCMU


def speech_like(samples: int, seed: int) -> bytes:
    """PCMU noise, swelling and fading four times a second as syllables do."""
    noise = np.random.default_rng(seed).normal(0.0, 4000.0, samples)
    swell = 0.5 + 0.5 * np.sin(np.arange(samples) * (2 * np.pi * 4 / 8000))
    return PCMU.encode((noise * swell).clip(-32768, 32767).astype(np.int16))
