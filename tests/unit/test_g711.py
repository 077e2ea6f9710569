"""G.711 against a model written from the Recommendation's own tables of segments."""

import itertools

import numpy as np
import pytest
from ringwheel.media.codec import PCMA, PCMU

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int16)
EVERY_CODE = bytes(range(256))

# G.711 tables 1a and 2a, column "number of intervals x interval size", first segment first;
# mu-law on its 14-bit scale, A-law on its 13-bit scale. Mu-law's first interval is half as wide.
ULAW_INTERVALS = [1] + 15 * [2] + [size for size in (4, 8, 16, 32, 64, 128, 256) for _ in range(16)]
ALAW_INTERVALS = 32 * [2] + [size for size in (4, 8, 16, 32, 64, 128) for _ in range(16)]


def decision_values(intervals: list[int], scale: int) -> list[int]:
    """x1, x2, ... of the Recommendation, on the 16-bit scale."""
    return [scale * int(x) for x in np.cumsum([0, *intervals])]


def output_values(intervals: list[int], scale: int, *, zero_first: bool) -> list[int]:
    """y = (x[n] + x[n + 1]) / 2; mu-law's first output value is 0."""
    x = decision_values(intervals, scale)
    middles = [(low + high) // 2 for low, high in itertools.pairwise(x)]
    return [0, *middles[1:]] if zero_first else middles


ULAW_DECISIONS = decision_values(ULAW_INTERVALS, 4)
ALAW_DECISIONS = decision_values(ALAW_INTERVALS, 8)
ULAW_OUTPUTS = output_values(ULAW_INTERVALS, 4, zero_first=True)
ALAW_OUTPUTS = output_values(ALAW_INTERVALS, 8, zero_first=False)


def interval_of(sample: int, decisions: list[int]) -> int:
    """The interval that holds a sample; a negative one on a decision value goes towards zero."""
    magnitude = sample if sample >= 0 else -sample - 1
    return min(int(np.searchsorted(decisions, magnitude, side="right")) - 1, 127)


def model_ulaw(sample: int) -> int:
    # The sign bit is 1 for positive values, all bits of the magnitude are inverted.
    return (0x80 if sample >= 0 else 0) | (127 - interval_of(sample, ULAW_DECISIONS))


def model_alaw(sample: int) -> int:
    # The sign bit is 1 for positive values, then even bits are inverted.
    return ((0x80 if sample >= 0 else 0) | interval_of(sample, ALAW_DECISIONS)) ^ 0x55


def test_the_model_meets_the_recommendation():
    assert (len(ULAW_INTERVALS), len(ALAW_INTERVALS)) == (128, 128)
    assert (ULAW_DECISIONS[-1], ALAW_DECISIONS[-1]) == (4 * 8159, 8 * 4096)
    assert (ULAW_OUTPUTS[-1], ALAW_OUTPUTS[-1]) == (4 * 8031, 8 * 4032)


def test_ulaw_encodes_every_sample():
    assert list(PCMU.encode(EVERY_SAMPLE)) == [model_ulaw(int(s)) for s in EVERY_SAMPLE]


def test_alaw_encodes_every_sample():
    assert list(PCMA.encode(EVERY_SAMPLE)) == [model_alaw(int(s)) for s in EVERY_SAMPLE]


def test_ulaw_decodes_every_code():
    expected = [(1 if c & 0x80 else -1) * ULAW_OUTPUTS[127 - (c & 0x7F)] for c in range(256)]
    assert PCMU.decode(EVERY_CODE).tolist() == expected


def test_alaw_decodes_every_code():
    expected = [(1 if c & 0x80 else -1) * ALAW_OUTPUTS[(c ^ 0x55) & 0x7F] for c in range(256)]
    assert PCMA.decode(EVERY_CODE).tolist() == expected


@pytest.mark.parametrize("magnitude", ULAW_DECISIONS[1:-1])
def test_ulaw_on_its_decision_values(magnitude: int):
    at, below = PCMU.encode(np.array([magnitude, magnitude - 1], np.int16))
    assert at == below - 1
    minus_at, minus_above = PCMU.encode(np.array([-magnitude, -magnitude - 1], np.int16))
    assert minus_above == minus_at - 1


def test_every_code_survives_a_round_trip():
    assert PCMA.encode(PCMA.decode(EVERY_CODE)) == EVERY_CODE
    # 0x7F is mu-law's negative zero, which 16-bit samples cannot hold.
    assert PCMU.encode(PCMU.decode(EVERY_CODE)) == EVERY_CODE.replace(b"\x7f", b"\xff")


def test_silence_bytes():
    assert PCMU.encode(np.zeros(3, np.int16)) == 3 * bytes([PCMU.silence])
    assert PCMA.encode(np.zeros(3, np.int16)) == 3 * bytes([PCMA.silence])


def test_arrays_of_no_length():
    assert PCMU.encode(np.zeros(0, np.int16)) == b""
    assert PCMA.decode(b"").size == 0
