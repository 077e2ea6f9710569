"""`bench bridge`: every packet between two legs is checked, and told under the public keys."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ringwheel.bench.bridge import BridgeResult, Crossing
from ringwheel.bench.receiver_process import unbroken
from ringwheel.bench.speech import correlation, gliding_voice, packets_of, sound_of
from ringwheel.cli.main import run_command
from ringwheel.media.codec import CODECS, PCMU

QUIET = {"p50": 1, "p99": 2, "p999": 3, "max": 4}
LATE = {"p50": 50_000, "p99": 50_000, "p999": 50_000, "max": 50_000}
VERDICTS = {
    "right",
    "stranger",
    "repeated",
    "disordered",
    "not_said",
    "mistyped",
    "mistimed",
    "altered",
}


def a_crossing(
    cpu_us: int = 800, *, alike: tuple[float, ...] = (), late: bool = False, **verdicts: int
) -> Crossing:
    return Crossing(
        packets=100,
        cpu_us=cpu_us,
        talked=100,
        unheard=0,
        verdicts=Counter({"right": 100} | verdicts),
        delay_us=QUIET,
        lateness_us=LATE if late else QUIET,
        correlations=list(alike),
    )


def a_result(*runs: Crossing) -> BridgeResult:
    return BridgeResult(1, "pcmu", 1.0, list(runs), [a_crossing(400) for _ in runs])


@pytest.mark.alone
def test_every_packet_is_checked_both_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "bridge.png"
    arguments = ["--pairs", "10", "--seconds", "1", "--rounds", "1", "--json", f"--plot={plot}"]
    assert run_command(["bench", "bridge", *arguments]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    document = json.loads(capsys.readouterr().out)
    assert (document["bench"], document["pairs"]) == ("bridge", 10)
    assert document["codecs"] == ["pcmu", "pcmu"]
    assert document["lost"] == document["wrong"] == 0
    assert document["correlation"] is None
    assert document["ratio"] > 0
    assert set(document["delay_us"]) == {"p50", "p99", "p999", "max"}
    (run,), (limit,) = document["runs"], document["limit_runs"]
    assert set(run["verdicts"]) == VERDICTS
    assert run["verdicts"]["right"] == run["talked"] >= 20 * 50
    assert limit["verdicts"]["right"] == sum(limit["verdicts"].values()) > 0


@pytest.mark.alone
@pytest.mark.parametrize(
    "codec", [codec.label for codec in CODECS if codec.label in ("pcma", "g722", "opus")]
)
def test_transcoded_sound_is_held_against_its_source(
    codec: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The bare loop knows no codec: it runs in the test above.
    monkeypatch.setattr("ringwheel.bench.bridge.run_bare", lambda *_: a_crossing(400))
    arguments = ["--pairs", "2", "--seconds", "0.5", "--rounds", "1", "--json", "--codec", codec]
    assert run_command(["bench", "bridge", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    (run,) = document["runs"]
    assert document["codecs"] == ["pcmu", codec]
    assert document["lost"] == document["wrong"] == 0
    assert len(run["correlations"]) == 4
    assert 0.95 < document["correlation"] == min(run["correlations"]) < 1


def test_a_table_is_shown_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ringwheel.bench.commands.run_bridge", lambda *_: a_result(a_crossing()))
    assert run_command(["bench", "bridge"]) == 0
    shown = capsys.readouterr().out
    assert "pcmu, pcmu" in shown
    assert "p99 ms" in shown
    assert "bare loop" in shown


def test_an_unknown_codec_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "bridge", "--codec", "morse"]) == 2
    assert "--codec: there is no codec 'morse'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("run", "lost", "wrong", "failed"),
    [
        (a_crossing(), 0, 0, False),
        (a_crossing(right=99), 1, 0, True),
        (a_crossing(right=99, altered=1), 0, 1, True),
        (a_crossing(right=98, disordered=2), 0, 2, True),
        (a_crossing(repeated=3), 0, 3, True),
        (a_crossing(right=99, stranger=1), 1, 1, True),
        (a_crossing(alike=(0.99, 0.96)), 0, 0, False),
        (a_crossing(alike=(0.99, 0.94)), 0, 0, True),
    ],
)
def test_what_is_lost_or_wrong_is_a_failure(
    run: Crossing, lost: int, wrong: int, failed: bool
) -> None:
    result = a_result(run)
    assert (result.lost, result.wrong, result.failed) == (lost, wrong, failed)


def test_what_the_peer_was_too_slow_to_read_is_not_our_loss() -> None:
    run = a_crossing(right=90)
    heard = Crossing(
        **{name: getattr(run, name) for name in run.__slots__} | {"unheard": 10}  # type: ignore[arg-type]
    )
    assert (run.lost, heard.lost) == (10, 0)


def test_failure_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = a_result(a_crossing(right=99))
    monkeypatch.setattr("ringwheel.bench.commands.run_bridge", lambda *_: found)
    assert run_command(["bench", "bridge", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["lost"] == 1


def test_figures_are_medians_of_rounds() -> None:
    told = a_result(a_crossing(600), a_crossing(800), a_crossing(900)).to_json()
    assert told["cpu_us_per_packet"] == 8.0
    assert told["limit_cpu_us_per_packet"] == 4.0
    assert told["ratio"] == 2.0
    assert told["saturated"] is False


def test_a_late_bare_loop_is_called_saturated() -> None:
    assert BridgeResult(1, "pcmu", 1.0, [a_crossing()], [a_crossing(late=True)]).saturated


def test_no_two_packets_of_the_voice_are_alike() -> None:
    packets = packets_of(PCMU, gliding_voice(20))
    assert len(set(packets)) == len(packets) == 1000
    assert {len(packet) for packet in packets} == {160}


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.label)
def test_packets_become_the_sound_that_they_were_made_of(codec: object) -> None:
    voice = gliding_voice(2)
    assert correlation(voice, sound_of(codec, packets_of(codec, voice))) > 0.98  # type: ignore[arg-type]


def test_what_is_compared_ends_where_the_voice_began_anew() -> None:
    assert unbroken([(8, b"a"), (9, b"b"), (0, b"c"), (1, b"d")]) == [(8, b"a"), (9, b"b")]
    assert unbroken([(0, b"c"), (1, b"d")]) == [(0, b"c"), (1, b"d")]
    assert unbroken([]) == []


def test_correlation_finds_a_delay_and_no_likeness_where_there_is_none() -> None:
    voice = gliding_voice(1)
    late = np.concatenate([np.zeros(100, np.int16), voice])
    noise = np.random.default_rng(3).normal(0, 3000, len(voice)).astype(np.int16)
    assert correlation(voice, late) > 0.999
    assert correlation(voice, noise) < 0.2
    assert correlation(voice, np.zeros_like(voice)) == 0
