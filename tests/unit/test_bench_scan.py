"""`bench scan`: what it sends is what it says, strangers get nothing, good calls are served."""

import json
import socket
from collections import Counter
from pathlib import Path

import pytest
from ringwheel.bench.calls import Load
from ringwheel.bench.scan import WINDOWS, ScanResult, Window
from ringwheel.bench.scanner_process import METHODS, Scanner, scan_request, source_addresses
from ringwheel.cli.main import run_command
from ringwheel.media.sip.message import Request, parse

QUICK = ["--calls", "10", "--rate", "40", "--prompt-seconds", "0.3", "--rounds", "1"]


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
    assert (document["bench"], document["calls"], document["failed"]) == ("scan", 10, 0)
    assert document["ratio"] > 0
    for window in WINDOWS:
        (run,) = document[window]["runs"]
        assert (run["calls"], run["failed"], run["payloads_checked"]) == (10, 0, 10)
        assert set(document[window]["interval_error_us"]) == {"p50", "p99", "p999", "max"}
        assert bool(run["sent"]) == (window != "undisturbed")
        assert bool(run["strangers"]) == (window == "scanned")
        assert bool(run["answers"]) == (window == "scanned" and answered)
    (run,) = document["scanned"]["runs"]
    assert set(run["sent"]) == set(METHODS)
    assert run["strangers"] <= sum(run["sent"].values())


def test_a_policy_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "scan", "--strangers", "open"]) == 2
    assert "--strangers: no 'open'. Take drop or 403." in capsys.readouterr().err


def window_of(p99_us: int, cpu_us: int, sent: int = 0, failed: int = 0) -> Window:
    error_us = {"p50": 1, "p99": p99_us, "p999": p99_us, "max": p99_us}
    caller = {"interval_error_us": error_us, "failed": failed, "setup_ms": {"p99": 7.5}}
    engine = {"cpu_us": cpu_us, "wall_us": 1_000_000}
    return Window(caller, engine, Counter(OPTIONS=sent), 0)


def test_figures_are_medians_over_the_windows() -> None:
    windows = {
        "undisturbed": [window_of(us, 100_000) for us in (100, 900, 200)],
        "elsewhere": [window_of(100, cpu) for cpu in (110_000, 120_000, 100_000)],
        "scanned": [window_of(us, 150_000, sent=10_000, failed=1) for us in (300, 10, 5_000)],
    }
    result = ScanResult(Load(1.0, 1.0, 1), 1.0, 5000.0, "drop", windows)
    assert (result.ratio_to("undisturbed"), result.ratio_to("elsewhere")) == (1.5, 3.0)
    assert result.flood_cpu_share == 0.04
    assert result.cpu_us_per_request == 4.0
    assert result.failed == 3


def test_a_table_is_shown_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    windows = {window: [window_of(100, 100_000, sent=10)] for window in WINDOWS}
    found = ScanResult(Load(1.0, 1.0, 10), 1.0, 500.0, "drop", windows)
    monkeypatch.setattr("ringwheel.bench.commands.run_scan", lambda *_, **__: found)
    assert run_command(["bench", "scan"]) == 0
    shown = capsys.readouterr().out
    assert "500 requests/s of strangers (drop) beside 10 calls" in shown
    assert all(window in shown for window in WINDOWS)


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
