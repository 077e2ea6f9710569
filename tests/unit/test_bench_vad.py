"""What `bench vad` counts, on judgements written by hand; and what it says without espeak-ng."""

import numpy as np
import pytest
from ringwheel.bench.vad import Judgement
from ringwheel.bench.voice import Material, espeak
from ringwheel.cli.errors import CommandError


def frames(length: int, *spans: tuple[int, int]) -> np.ndarray:
    made = np.zeros(length, dtype=np.bool_)
    for first, last in spans:
        made[first:last] = True
    return made


def test_false_missed_and_late_starts_are_told_apart():
    speech = frames(400, (100, 150), (300, 350))
    sound = np.zeros(400 * 160, dtype=np.int16)
    material = Material("two words", "speech", sound, speech, [100, 300])
    judged = Judgement(material, frames(400, (20, 30), (102, 160)), [20, 102]).to_json()
    assert judged["recall"] == 0.48
    assert judged["missed"] == 1
    assert judged["false_starts_per_minute"] == 7.5
    assert judged["start_latency_ms"] == {"p50": 60.0, "p95": 60.0, "p99": 60.0}
    assert judged["speech_as_none"] == 52
    assert judged["none_as_speech"] == 20


def test_without_espeak_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(CommandError, match="apt-get install espeak-ng"):
        espeak()
