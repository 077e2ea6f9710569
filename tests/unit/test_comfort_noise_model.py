"""Comfort noise of the C core against the all-pole filter that RFC 3389 describes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib

SAMPLES = 16_000
MAX_ORDER = 12


def generate(payload: bytes, samples: int = SAMPLES) -> np.ndarray:
    noise = ffi.new("rw_comfort_noise *")
    lib.rw_comfort_noise_init(noise, 3389)
    assert lib.rw_comfort_noise_read(noise, payload, len(payload)) == lib.RW_COMFORT_NOISE_OK
    pcm = ffi.new("int16_t[]", samples + 2000)
    lib.rw_comfort_noise_generate(noise, pcm, samples + 2000)
    return np.frombuffer(ffi.buffer(pcm), np.int16)[2000:].astype(float)


def denominator(indices: bytes) -> np.ndarray:
    """The filter's polynomial, by the step-up recursion from quantized reflection coefficients."""
    polynomial = np.array([1.0])
    for index in indices[:MAX_ORDER]:
        k = 258 * (index - 127) / 32768
        longer = np.append(polynomial, 0)
        polynomial = longer + k * longer[::-1]
    return polynomial


# Coefficients up to 0.5: sharper resonances need more sound than this to show their level.
@settings(max_examples=30, deadline=None)
@given(st.integers(20, 60), st.binary(max_size=20).map(lambda b: bytes(64 + c % 128 for c in b)))
def test_the_filter_undone_leaves_white_noise_of_the_level(level, indices):
    pcm = generate(bytes([level]) + indices)
    whole = 32768.0 * 10 ** (-level / 20)
    assert abs(20 * np.log10(np.sqrt(np.mean(pcm**2)) / whole)) < 1
    white = np.convolve(pcm, denominator(indices), "valid")
    spectrum = np.abs(np.correlate(white[:4000], white[:4000], "full")[3999 : 3999 + 20])
    assert (spectrum[1:] < 0.1 * spectrum[0]).all()


@given(st.binary(max_size=40))
def test_what_is_refused(payload):
    noise = ffi.new("rw_comfort_noise *")
    lib.rw_comfort_noise_init(noise, 1)
    expected = lib.RW_COMFORT_NOISE_OK
    if not payload:
        expected = lib.RW_COMFORT_NOISE_EMPTY
    elif 255 in payload[1 : 1 + MAX_ORDER]:
        expected = lib.RW_COMFORT_NOISE_BAD_COEFFICIENT
    data = ffi.new("uint8_t[]", payload or b"\0")
    assert lib.rw_comfort_noise_read(noise, data, len(payload)) == expected
