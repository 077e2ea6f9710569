"""`bench conference`: members are heard, and what they cost is told under the public keys."""

import json

import pytest
from ringwheel.bench.conference import KINDS, ConferenceResult
from ringwheel.cli.main import run_command

from .test_bench_duplex import an_exchange


@pytest.mark.alone
def test_members_are_sent_the_others_and_lose_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--legs", "12", "--members", "5", "--seconds", "0.5", "--rounds", "1", "--json"]
    assert run_command(["bench", "conference", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["bench"], document["legs"], document["members"]) == ("conference", 12, 5)
    assert document["lost"] == document["received_lost"] == 0
    for kind in ("mixed", "playing"):
        (run,) = document[kind]["runs"]
        assert run["receiver"]["streams"] == 12
        assert run["receiver"]["spurts"] == 0
        assert run["packets"] >= 12 * 20


def test_a_table_is_shown_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ConferenceResult(10, 5, 2.0)
    found.runs.update({kind: [an_exchange(400)] for kind in KINDS})
    monkeypatch.setattr("ringwheel.bench.commands.run_conference", lambda *_: found)
    assert run_command(["bench", "conference"]) == 0
    shown = capsys.readouterr().out
    assert "mixed" in shown
    assert "playing" in shown


def test_the_difference_is_taken_within_rounds() -> None:
    result = ConferenceResult(10, 5, 2.0)
    result.runs["mixed"] = [an_exchange(700), an_exchange(400), an_exchange(900)]
    result.runs["playing"] = [an_exchange(500), an_exchange(300), an_exchange(100)]
    assert result.mixing_us == 2.0  # 200 us for a hundred packets
    assert result.to_json()["mixing_us_per_frame"] == 2.0
