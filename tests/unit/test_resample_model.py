"""The C core's resampler against the sum it stands for, sample for sample."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib

RATES_HZ = (8000, 16000, 24000, 48000)
REACH = 14
BETA = 0.1102 * (58 - 8.7)


def kernel(at: float) -> int:
    """The filter, ``at`` samples of the lower rate from its middle; 14 bits of fraction."""
    window = np.i0(BETA * math.sqrt(max(0.0, 1 - (at / REACH) ** 2))) / np.i0(BETA)
    return round((1 << 14) * float(np.sinc(at) * window)) if abs(at) <= REACH else 0


def resampled(samples: list[int], from_hz: int, to_hz: int) -> list[int]:
    """Every output is a sum over all inputs, weighed by how far away they are."""
    if from_hz == to_hz:
        return samples
    divisor = math.gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    longer = max(up, down)
    weights = {}
    for ticks in range(-REACH * longer, REACH * longer + 1):
        # C's division: towards zero.
        weights[ticks] = int(kernel(ticks / longer) * up / longer)
    found = []
    for middle in range(-REACH * longer, len(samples) * up - REACH * longer, down):
        first = max(0, -(-(middle - REACH * longer) // up))
        last = min(len(samples) - 1, (middle + REACH * longer) // up)
        total = sum(samples[n] * weights[n * up - middle] for n in range(first, last + 1))
        found.append(min(32767, max(-32768, (total + (1 << 13)) >> 14)))
    return found


sounds = st.one_of(
    st.lists(st.integers(-32768, 32767), max_size=150),
    st.lists(st.sampled_from([-32768, 32767]), min_size=100, max_size=400),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RATES_HZ),
    st.sampled_from(RATES_HZ),
    sounds,
    st.lists(st.integers(0, 200), max_size=6),
)
def test_every_sample_is_the_weighed_sum(from_hz, to_hz, samples, cuts):
    resampler = ffi.new("rw_resampler *")
    assert lib.rw_resampler_init(resampler, from_hz, to_hz) == 0
    heard: list[int] = []
    left = samples
    for cut in [*cuts, len(samples)]:
        part, left = left[:cut], left[cut:]
        room = lib.rw_resampler_room(resampler, len(part))
        to = ffi.new("int16_t[]", room)
        made = lib.rw_resample(resampler, ffi.new("int16_t[]", part or [0]), len(part), to, room)
        heard += list(to)[:made]
    assert heard == resampled(samples, from_hz, to_hz)


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_other_rates_are_refused(from_hz, to_hz):
    known = from_hz in RATES_HZ and to_hz in RATES_HZ
    assert (lib.rw_resampler_init(ffi.new("rw_resampler *"), from_hz, to_hz) == 0) == known
