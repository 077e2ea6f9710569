"""`bench prompt-legs`: an engine's run is heard whole, and told under the public keys."""

import json
from pathlib import Path

import pytest
from ringwheel.bench.measure import Reception, Run
from ringwheel.bench.prompt_legs import Comparison
from ringwheel.cli.main import run_command

QUIET = {"p50": 1, "p99": 2, "p999": 3, "max": 4}


def a_run(cpu_us: int, packets: int, *, lost: int = 0, dropped: int = 0, late_us: int = 1) -> Run:
    reception = Reception(
        streams=1,
        packets=packets - lost,
        lost=lost,
        duplicates=0,
        reordered=0,
        timestamp_jumps=0,
        spurts=0,
        rejected=0,
        unknown=0,
        receiver_dropped=dropped,
        interval_error_us=QUIET,
        worst_leg_interval_error_us=QUIET,
    )
    lateness = {"p50": late_us, "p99": late_us, "p999": late_us, "max": late_us}
    return Run(
        packets=packets,
        failed=0,
        skipped=0,
        cpu_us=cpu_us,
        wall_us=1_000_000,
        lateness_us=lateness,
        reception=reception,
    )


@pytest.mark.alone
@pytest.mark.parametrize("backend", ["per-leg", "shared"])
def test_every_leg_is_heard_without_a_fault(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "legs.png"
    arguments = ["--legs", "40", "--seconds", "0.4", "--rounds", "1", "--backend", backend]
    assert run_command(["bench", "prompt-legs", *arguments, "--json", f"--plot={plot}"]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    document = json.loads(capsys.readouterr().out)
    assert document["legs"] == 40
    assert document["backend"] == backend
    assert document["lost"] == 0
    assert document["ratio"] > 0
    assert set(document["interval_error_us"]) == {"p50", "p99", "p999", "max"}
    for key in ("cpu_us_per_packet", "limit_cpu_us_per_packet", "seconds", "skipped", "cores"):
        assert key in document
    (run,) = document["backends"][backend]["40"]["runs"]
    assert run["receiver"]["streams"] == 40
    assert run["receiver"]["packets"] > 0
    assert run["receiver"]["timestamp_jumps"] == 0
    assert run["failed"] == 0


def test_unknown_backend_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "prompt-legs", "--backend", "pigeon"]) == 2
    message = capsys.readouterr().err
    assert "pigeon" in message
    assert message.count("\n") == 1


def test_ratio_is_the_median_of_pairs() -> None:
    comparison = Comparison(
        engine=[a_run(300, 100), a_run(500, 100), a_run(200, 100)],
        limit=[a_run(200, 100), a_run(100, 100), a_run(200, 100)],
    )
    assert comparison.ratio == 1.5
    assert comparison.engine_cost_us == 3.0
    assert comparison.limit_cost_us == 2.0


def test_loss_by_the_receiver_is_not_the_senders() -> None:
    comparison = Comparison(
        engine=[a_run(1, 100, lost=7, dropped=5), a_run(1, 100, lost=3, dropped=9)],
        limit=[a_run(1, 100), a_run(1, 100)],
    )
    assert comparison.to_json()["lost"] == 2


def test_a_late_bare_loop_is_called_saturated() -> None:
    late = Comparison(engine=[a_run(1, 1)], limit=[a_run(1, 1, late_us=50_000)])
    assert late.to_json()["saturated"] is True
    assert Comparison(engine=[a_run(1, 1)], limit=[a_run(1, 1)]).to_json()["saturated"] is False
