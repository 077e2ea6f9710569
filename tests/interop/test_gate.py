"""Who gets service, with SIPp as the callers: networks, users by digest, and everybody else."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Served, find_program, serving

CALLS = 20
DEADLINE_S = 30
SCENARIO = Path(__file__).with_name("digest_caller.xml")


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., object]:
    """Starts a server that plays for ever, with these flags."""
    prompt = tmp_path / "prompt.ulaw"
    prompt.write_bytes(b"\xff" * 8_000)
    users = tmp_path / "users"
    # SIPp knows MD5 alone, and gives up where it sees another algorithm.
    ha1 = hashlib.md5(b"alice:ringwheel:open sesame").hexdigest()
    users.write_text(f"alice:ringwheel:{ha1}\n")
    users.chmod(0o600)

    def start(*flags: str) -> object:
        command = ["-m", "ringwheel.cli.main", "--log-format", "json", "serve", "--loop"]
        command += ["--sip", "udp:127.0.0.1:0", "--prompt", str(prompt)]
        command += ["--rtp-ports", "17400-17599", "--drain", "1"]
        return serving(tmp_path, command + [str(users) if f == "USERS" else f for f in flags])

    return start


def call(server: Served, folder: Path, *options: str, source: str = "127.0.0.1") -> int:
    """SIPp's exit status after ``CALLS`` calls."""
    sipp = find_program("sipp", "sip-tester")
    command = [sipp, f"{server.host}:{server.port}", "-i", source, "-m", str(CALLS), "-r", "50"]
    command += ["-timeout", str(DEADLINE_S), "-recv_timeout", "3000", "-nostdin", *options]
    return subprocess.run(
        command, cwd=folder, capture_output=True, check=False, timeout=2 * DEADLINE_S
    ).returncode


def digest(password: str) -> list[str]:
    """The options of a caller who proves itself."""
    return ["-sf", str(SCENARIO), "-key", "user", "alice", "-au", "alice", "-ap", password]


def test_users_are_served_and_guessers_are_not(
    serve: Callable[..., object], tmp_path: Path
) -> None:
    with serve("--users", "USERS", "--allow", "127.9.9.0/24") as server:
        assert call(server, tmp_path, *digest("open sesame")) == 0
        assert call(server, tmp_path, "-sn", "uac", "-d", "100", source="127.9.9.7") == 0
        assert call(server, tmp_path, *digest("open barley"), source="127.8.8.8") == 1
        events = server.events()
    ended = [event for event in events if event["event"] == "call ended"]
    assert len(ended) == 2 * CALLS
    (rejected,) = {
        (event["source"], event["detail"])
        for event in events
        if event["event"] == "sip source rejected" and event["reason"] == "wrong_credentials"
    }
    assert rejected == ("127.8.8.8", "alice")


def test_a_stranger_hears_nothing_or_403(serve: Callable[..., object], tmp_path: Path) -> None:
    for policy, status in (("drop", None), ("403", "403")):
        with serve("--allow", "127.9.9.9", "--strangers", policy) as server:
            options = ["-sn", "uac", "-trace_err", "-error_file", f"{policy}.log"]
            assert call(server, tmp_path, *options) == 1
            told = (tmp_path / f"{policy}.log").read_text()
            assert (f"SIP/2.0 {status}" in told) == (status is not None)
            assert not [event for event in server.events() if event["event"] == "call ended"]
