"""`bench dial`: an engine calls SIPp, and the result is told under the public keys."""

import json
import shutil

import pytest
from ringwheel.cli.main import run_command


@pytest.mark.alone
def test_every_call_goes_through(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("sipp") is None:
        pytest.skip("sipp is not installed (apt-get install sip-tester)")
    options = ["--rate=50", "--seconds=0.4", "--hold=0.1", "--json"]
    assert run_command(["bench", "dial", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["calls"], document["failed"]) == (20, 0)
    assert document["cpu_us_per_call"] > 0
    (run,) = document["runs"]
    assert set(run["setup_ms"]) == {"p50", "p95", "p99", "max"}


def test_without_sipp_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run_command(["bench", "dial"]) == 2
    assert "apt-get install sip-tester" in capsys.readouterr().err
