"""`bench scan`: what it sends is what it says, strangers get nothing, good calls are served."""

import json
import socket
from collections import Counter
from pathlib import Path

import pytest
from ringwheel.bench.scan import KINDS, ScanPlan, ScanResult, Slice, SlicesOfKind
from ringwheel.bench.scanner_process import METHODS, Scanner, scan_request, source_addresses
from ringwheel.cli.main import run_command
from ringwheel.media.sip.message import Request, parse

QUICK = ["--calls", "20", "--prompt-seconds", "0.5", "--rounds", "2", "--slices", "1"]
QUICK += ["--slice-seconds", "0.3"]


@pytest.mark.alone
@pytest.mark.parametrize(("strangers", "answered"), [("drop", False), ("403", True)])
def test_good_calls_are_served_and_strangers_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], strangers: str, answered: bool
) -> None:
    plot = tmp_path / "scan.png"
    arguments = [*QUICK, "--requests", "1000", "--strangers", strangers, "--json"]
    assert run_command(["bench", "scan", *arguments, f"--plot={plot}"]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    document = json.loads(capsys.readouterr().out)
    assert (document["bench"], document["calls_at_once"]) == ("scan", 20)
    assert (document["failed"], document["faults"], document["lost"]) == (0, {}, 0)
    assert document["calls"] == document["payloads_checked"] >= 40
    low, high = document["ratio_range"]
    assert 0 < low <= high
    for kind in KINDS:
        found = document[kind]
        assert set(found["interval_error_us"]) == {"p50", "p99", "p999", "max"}
        assert (len(found["slice_p99_us"]), found["calls_answered"] > 0) == (2, True)
        assert found["up_least"] > 0
        assert bool(found["sent"]) == (kind != "undisturbed")
        assert bool(found["strangers"]) == (kind == "scanned")
        assert bool(found["answers"]) == (kind == "scanned" and answered)
    scanned = document["scanned"]
    assert set(scanned["sent"]) == set(METHODS)
    assert scanned["strangers"] <= sum(scanned["sent"].values())


def test_a_policy_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "scan", "--strangers", "open"]) == 2
    assert "--strangers: no 'open'. Take drop or 403." in capsys.readouterr().err


PLAN = ScanPlan(10, 1.0, 500.0, "drop", 1, 3, 1.0)
CALLER = {"calls": 30, "failed": 1, "faults": {"heard nothing": 1}, "lost": 0}


def slice_of(error_us: int, cpu_us: int, strangers: int = 0) -> Slice:
    engine = {"cpu_us": cpu_us, "wall_us": 1_000_000, "strangers": strangers}
    return Slice({error_us: 100}, [7.5], 10, engine, Counter(OPTIONS=strangers), 0)


def result_of(**kinds: list[Slice]) -> ScanResult:
    by_kind = {kind: SlicesOfKind(slices) for kind, slices in kinds.items()}
    return ScanResult(PLAN, by_kind, [CALLER, CALLER])


def test_figures_are_those_of_all_slices_of_a_kind() -> None:
    result = result_of(
        undisturbed=[slice_of(us, 100_000) for us in (100, 200, 150)],
        elsewhere=[slice_of(100, cpu) for cpu in (110_000, 120_000, 100_000)],
        scanned=[slice_of(us, 150_000, strangers=10_000) for us in (300, 10, 250)],
    )
    assert (result.ratio_to("undisturbed"), result.ratio_to("elsewhere")) == (1.5, 3.0)
    assert result.flood_cpu_share == pytest.approx(0.04)
    assert result.cpu_us_per_request == 4.0
    assert (result.total("failed"), result.total("calls")) == (2, 60)


def test_a_table_is_shown_without_json_and_a_failed_call_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = result_of(**{kind: [slice_of(100, 100_000, strangers=10)] * 3 for kind in KINDS})
    monkeypatch.setattr("ringwheel.bench.commands.run_scan", lambda *_: found)
    assert run_command(["bench", "scan"]) == 1
    shown = capsys.readouterr().out
    assert "500 requests/s of strangers (drop) beside 10 calls" in shown
    assert "Of 60 good calls 2 failed" in " ".join(shown.split())
    assert all(kind in shown for kind in KINDS)


def test_a_round_has_calls_enough_for_its_slices() -> None:
    plan = ScanPlan(500, 6.0, 5000.0, "drop", rounds=3, slices=20, slice_s=1.0)
    assert plan.calls_per_s == pytest.approx(83.3, abs=0.1)
    assert plan.max_calls > plan.calls_per_s * (6 + 3 * 20)


def test_scanners_send_what_sip_allows_from_many_addresses() -> None:
    for number, method in enumerate(METHODS):
        request = parse(scan_request(method, "127.9.0.1", number))
        assert isinstance(request, Request)
        assert (request.method, bool(request.body)) == (method, method == "INVITE")
    assert len(set(source_addresses(600))) == 600
    scanner = Scanner(sources=8, pool=60)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
        victim.bind(("127.0.0.1", 0))
        victim.setblocking(False)
        scanner.turn(victim.getsockname(), rate_per_s=600)
        sources = {victim.recvfrom(4096)[1][0] for _ in range(scanner.sent.total())}
    assert sources == set(source_addresses(8))
    assert scanner.sent == dict.fromkeys(METHODS, 20)
