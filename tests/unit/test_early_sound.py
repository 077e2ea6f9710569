"""What the detector makes of the call progress tones of many networks, and of what is none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ringwheel.bench.speech import gliding_voice
from ringwheel.media.codec import PCMA, PCMU
from ringwheel.media.early_sound import EarlySound, EarlySoundDetector

RATE_HZ = 8000
TONES = {
    # ITU-T E.180 supplement 2: frequencies in Hz, seconds on and off in turn.
    "ringback Germany": ([425], [1.0, 4.0], EarlySound.RINGBACK),
    "ringback USA": ([440, 480], [2.0, 4.0], EarlySound.RINGBACK),
    "ringback UK": ([400, 450], [0.4, 0.2, 0.4, 2.0], EarlySound.RINGBACK),
    "ringback Australia": ([400, 425, 450], [0.4, 0.2, 0.4, 2.0], EarlySound.RINGBACK),
    "ringback Russia": ([425], [0.8, 3.2], EarlySound.RINGBACK),
    "ringback Taiwan": ([440, 480], [1.0, 2.0], EarlySound.RINGBACK),
    "busy Germany": ([425], [0.48, 0.48], EarlySound.BUSY),
    "busy USA": ([480, 620], [0.5, 0.5], EarlySound.BUSY),
    "busy UK": ([400], [0.375, 0.375], EarlySound.BUSY),
    "busy India": ([400], [0.75, 0.75], EarlySound.BUSY),
    "congestion Germany": ([425], [0.24, 0.24], EarlySound.CONGESTION),
    "congestion USA": ([480, 620], [0.25, 0.25], EarlySound.CONGESTION),
    "congestion UK": ([400], [0.4, 0.35, 0.225, 0.525], EarlySound.CONGESTION),
    "congestion Italy": ([425], [0.2, 0.2], EarlySound.CONGESTION),
    "unobtainable UK": ([400], [100.0], EarlySound.CONGESTION),
}


def cadence(tones_hz, pattern_s, seconds, level_dbov=-15.0):
    """Tones on and off."""
    at_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * hz * at_s) for hz in tones_hz) / len(tones_hz)
    on = np.zeros(len(at_s), bool)
    begin_s = 0.0
    for index, part_s in enumerate(itertools.cycle(pattern_s)):
        if begin_s >= seconds:
            break
        on[int(begin_s * RATE_HZ) : int((begin_s + part_s) * RATE_HZ)] = index % 2 == 0
        begin_s += part_s
    return wave * on * 32767 * 10 ** (level_dbov / 20) * np.sqrt(2 * len(tones_hz))


def noise(seconds, level_dbov):
    """White noise."""
    return np.random.default_rng(1).normal(0, 32767 * 10 ** (level_dbov / 20), int(seconds * 8000))


def heard(samples, rate_hz=RATE_HZ, step_s=0.4):
    """What the detector says after each step."""
    detector = EarlySoundDetector(rate_hz)
    said = []
    for part in np.array_split(samples, round(len(samples) / rate_hz / step_s)):
        detector.hear(np.clip(part, -32768, 32767).astype(np.int16))
        said.append(detector.sound)
    return said


@pytest.mark.parametrize("name", TONES)
@pytest.mark.parametrize("level_dbov", [-10.0, -30.0])
@pytest.mark.parametrize("begun_s", [0.0, 0.1, 0.33])
def test_tones_are_told_apart(name, level_dbov, begun_s):
    tones_hz, pattern_s, expected = TONES[name]
    sound = cadence(tones_hz, pattern_s, 12, level_dbov)[int(begun_s * RATE_HZ) :]
    for codec in (PCMU, PCMA):
        coded = codec.decode(codec.encode(sound.clip(-32768, 32767).astype(np.int16)))
        assert heard(coded + noise(12, -60)[: len(coded)])[-1] is expected


@pytest.mark.parametrize("name", [name for name in TONES if "ringback" in name])
def test_ringing_is_never_taken_for_something_else_meanwhile(name):
    tones_hz, pattern_s, _ = TONES[name]
    assert set(heard(cadence(tones_hz, pattern_s, 30))) <= {None, EarlySound.RINGBACK}


def test_a_wideband_tone_is_the_same_tone():
    wave = np.repeat(cadence([425], [1.0, 4.0], 6), 2)
    assert heard(wave, 16_000)[-1] is EarlySound.RINGBACK


@pytest.mark.parametrize("level_dbov", [-60.0, -50.0])
def test_an_idle_line_is_silence(level_dbov):
    said = heard(noise(4, level_dbov))
    assert said[1] is None
    assert said[-1] is EarlySound.SILENCE


def test_a_voice_is_speech():
    assert heard(gliding_voice(4.0))[-1] is EarlySound.SPEECH


def test_an_announcement_after_ringing_is_speech():
    sound = np.concatenate([cadence([425], [1.0, 4.0], 5), gliding_voice(3.0)])
    said = heard(sound)
    assert said[5] is EarlySound.RINGBACK
    assert said[-1] is EarlySound.SPEECH


def test_special_information_tones_are_no_ringing():
    # ITU-T E.180 section 5: three tones of 330 ms that rise, before an announcement.
    tones = [cadence([hz], [1.0], 0.33) for hz in (950, 1400, 1800)]
    assert heard(np.concatenate([*tones, gliding_voice(2.0)]))[-1] is EarlySound.SPEECH


def test_the_length_of_what_comes_at_once_makes_no_difference():
    sound = cadence([425], [0.48, 0.48], 6)
    assert {heard(sound, step_s=step_s)[-1] for step_s in (0.011, 0.02, 0.4, 2.0)} == {
        EarlySound.BUSY
    }


def test_any_sound_is_taken():
    generator = np.random.default_rng(5)
    detector = EarlySoundDetector(RATE_HZ)
    for length in generator.integers(0, 4_000, 200):
        amplitude = generator.choice([0, 1, 500, 32767])
        detector.hear(generator.integers(-amplitude, amplitude + 1, length).astype(np.int16))
