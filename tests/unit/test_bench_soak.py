"""`bench soak`: every kind of call comes to its end, and what is held is told."""

import json
from pathlib import Path

import pytest
from ringwheel.bench.soak import HELD, OTHER_KINDS, TESTED_KINDS, Sample, SoakResult
from ringwheel.bench.soak_process import KINDS
from ringwheel.cli.main import run_command

pytestmark = pytest.mark.alone


def test_every_kind_of_call_ends_as_it_should_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "soak.png"
    arguments = ["--minutes=0.1", "--warm-up=4", "--load=0.1", "--json", f"--plot={plot}"]
    status = run_command(["bench", "soak", *arguments])
    document = json.loads(capsys.readouterr().out)
    assert (document["faults"], document["left"]) == ({}, dict.fromkeys(HELD, 0))
    assert status == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    placed = document["kinds"]
    assert {kind for kind in placed if not kind.startswith(("in ", "other "))} == set(TESTED_KINDS)
    assert {kind.removeprefix("other ") for kind in placed if kind in others()} == set(OTHER_KINDS)
    assert placed["in transfer"] == placed["other transferred"] > 0
    assert placed["in held"] == placed["other held"] > 0


def others() -> set[str]:
    """Kinds of the other side, as they are counted."""
    return {f"other {kind}" for kind in KINDS}


def test_the_slope_is_that_of_the_memory_and_leaks_are_told() -> None:
    nothing = dict.fromkeys((*HELD, "cpu_us", "skipped"), 0)
    samples = [
        Sample(60.0 * i, nothing | {"rss_bytes": 1_000_000 + 500 * i, "cpu_us": 30_000_000 * i})
        for i in range(5)
    ]
    result = SoakResult(4, 0.5, before=nothing, after=nothing | {"timers": 1}, samples=samples)
    assert result.slope_bytes_per_min == pytest.approx(500)
    assert result.cpu_share == pytest.approx(0.5)
    assert result.leaked
    assert result.to_json()["left"]["timers"] == 1
