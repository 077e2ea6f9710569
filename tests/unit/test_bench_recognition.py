"""`bench recognition`: the set is the same always, and its table says what was counted."""

import json
import shutil

import numpy as np
import pytest
from ringwheel.bench import commands, recognition, thresholds, utterances
from ringwheel.cli.main import run_command


@pytest.fixture
def result():
    found = recognition.RecognitionResult(50, 15.0, answer_ms=[500, 600, 700], packets=1234)
    for condition in ("clean", "noisy"):
        found.counts[condition] = {"yes/no": recognition.Count(said=4, right=3, refused=1)}
    found.recognitions, found.cpu_s = 8, 0.4
    return found


def test_the_plan_has_a_hundred_utterances_that_mean_what_the_grammars_say():
    plan = utterances._plan()
    assert sum(meaning is not None for _, _, meaning in plan) == 100
    assert sum(meaning is None for _, _, meaning in plan) == 30
    known = utterances.grammars()
    for kind, text, meaning in plan:
        found = known[kind].match(text)
        assert (found.value if found else None) == meaning


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng")
def test_the_line_is_the_same_always_and_as_noisy_as_asked():
    sound = utterances.speak("espeak-ng", 1, "yes please")
    one = utterances.Utterance("yes/no", "yes please", True, sound)
    clean, again = (utterances.on_the_line(one, 3, None) for _ in range(2))
    noisy = utterances.on_the_line(one, 3, 15.0)
    assert np.array_equal(clean, again)
    lead = round(utterances.LEAD_S * 8_000)
    level = [20 * np.log10(np.std(found[:lead].astype(float)) / 32768) for found in (clean, noisy)]
    assert level[0] < -60 and level[1] == pytest.approx(-37, abs=2)


def test_the_table_and_the_json(result, monkeypatch, capsys):
    monkeypatch.setattr(commands, "run_recognition", lambda *_: result)
    assert run_command(["bench", "recognition", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["counts"]["clean"]["yes/no"]["right"] == 3
    assert shown["cpu_ms_per_recognition"] == 50.0
    assert run_command(["bench", "recognition"]) == 0
    assert "1,234 packets, 0 lost" in " ".join(capsys.readouterr().out.split())


def test_a_gap_in_the_prompt_fails_it(result, monkeypatch):
    result.gaps = 1
    monkeypatch.setattr(commands, "run_recognition", lambda *_: result)
    assert run_command(["bench", "recognition"]) == 1


def test_a_threshold_refuses_what_is_below_it(monkeypatch, capsys):
    found = thresholds.ThresholdResult(15.0, cpu_s=0.2)
    for truth, confidence in (("right", 0.9), ("right", 0.3), ("wrong", 0.5), ("strange", 0.4)):
        found.guesses.append(thresholds.Guess("clean", truth, confidence))
    rows = [row for row in found.rows() if row.condition == "clean"]
    assert [(row.right, row.wrong, row.refused) for row in rows[1:4]] == [
        (2, 1, 0),
        (1, 1, 1),
        (1, 1, 1),
    ]
    assert [row.strange_refused for row in rows] == [0, 0, 0, 1, 1, 1]
    monkeypatch.setattr(commands, "run_thresholds", lambda *_: found)
    assert run_command(["bench", "recognition", "--engine"]) == 0
    assert "50.0 ms" in capsys.readouterr().out
    assert run_command(["bench", "recognition", "--engine", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["thresholds"]) == 12


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="apt-get install espeak-ng")
def test_the_engine_hears_an_utterance_cut_out_of_the_line():
    sound = utterances.speak("espeak-ng", 1, "yes please")
    one = utterances.Utterance("yes/no", "yes please", True, sound)
    line = utterances.on_the_line(one, 3, None)
    cut = thresholds.cut_out(line)
    assert len(sound) * 0.6 < len(cut) < len(line)
