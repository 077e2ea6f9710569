"""The detector as Python sees it."""

import numpy as np
import pytest
from ringwheel.media._core import VoiceDetector, level_dbov

FRAME = 160


def vowel(seconds: float, amplitude: float) -> np.ndarray:
    """Glottal pulses of 120 Hz through a resonance at 600 Hz."""
    place = np.arange(round(seconds * 8000)) % 67
    sound = amplitude * np.exp(-place / 20) * np.cos(2 * np.pi * 600 * place / 8000)
    return sound.astype(np.int16)


def test_a_vowel_between_silences_is_one_start_and_one_end():
    silence = np.zeros(8000, dtype=np.int16)
    sound = np.concatenate([silence, vowel(0.4, 6000), silence])
    detector = VoiceDetector(hangover_ms=300)
    frames = sound.reshape(-1, FRAME)
    events = [(n, event) for n, frame in enumerate(frames) if (event := detector.hear(frame))]
    (started, start), (_, end) = events
    assert (start.kind, end.kind) == ("start", "end")
    assert 50 <= started <= 52
    assert 390 <= end.duration_ms <= 440
    assert not detector.speaking


def test_a_gap_ends_speech():
    detector = VoiceDetector()
    for frame in np.concatenate([np.zeros(8000, dtype=np.int16), vowel(0.2, 6000)]).reshape(
        -1, 160
    ):
        detector.hear(frame)
    assert detector.speaking
    assert detector.gap(600).kind == "end"


def test_what_was_sent_hides_its_echo():
    detector = VoiceDetector()
    for frame in vowel(2.0, 3000).reshape(-1, FRAME):
        detector.sent(-10)
        assert detector.hear(frame) is None


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="44100 Hz"):
        VoiceDetector(44100)
    with pytest.raises(ValueError, match="sensitivity"):
        VoiceDetector(sensitivity="extreme")
    with pytest.raises(ValueError, match="milliseconds"):
        VoiceDetector().hear(np.zeros(81, dtype=np.int16))
    with pytest.raises(ValueError, match="milliseconds"):
        VoiceDetector().hear(np.zeros(0, dtype=np.int16))


def test_level_of_a_block():
    assert level_dbov(np.zeros(0, dtype=np.int16)) == -127
    assert level_dbov(np.full(FRAME, -32768, dtype=np.int16)) == 0
