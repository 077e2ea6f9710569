"""`bench calls`: an engine is called, and the result told under the public keys."""

import json
import os
import signal
from pathlib import Path

import pytest
from ringwheel.bench.child import Child, start_child
from ringwheel.cli.errors import CommandError
from ringwheel.cli.main import run_command


@pytest.mark.alone
def test_every_call_goes_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "calls.png"
    arguments = ["--rate=40", "--seconds=0.5", "--hold=0.2", "--prompt-seconds=0.21"]
    options = ["--idle-calls=10", "--json", f"--plot={plot}"]
    assert run_command(["bench", "calls", *arguments, *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["calls"], document["failed"]) == (20, 0)
    assert document["cpu_us_per_call"] > 0
    assert document["seconds"] == 0.5
    prompted = document["with_prompt"]
    assert (prompted["calls"], prompted["failed"]) == (20, 0)
    (run,) = prompted["runs"]
    assert (run["payloads_checked"], run["payloads_wrong"], run["lost"]) == (20, 0, 0)
    assert run["packets"] == 20 * 11  # 210 ms, the last packet filled up
    assert document["idle"]["calls"] == 10
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_child_that_fails_ends_the_command_with_its_name() -> None:
    with (
        Child("ringwheel.bench.caller", "udp:127.0.0.1:not-a-port") as caller,
        pytest.raises(CommandError, match="caller: ended early, with status 2"),
    ):
        caller.answer()


def test_a_child_that_is_killed_is_told_with_the_signal() -> None:
    arguments = {"sockets": 1, "streams_max": 1, "all_loopback": True}
    with start_child("ringwheel.bench.receiver_process", **arguments) as receiver:
        receiver.answer()
        os.kill(receiver.pid, signal.SIGSEGV)
        with pytest.raises(CommandError, match="receiver_process: was ended early by SIGSEGV"):
            receiver.ask("begin")
