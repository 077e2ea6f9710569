"""The filter for fail2ban, held by fail2ban itself against lines that the program wrote."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import find_program

FILTER = Path(__file__).resolve().parents[2] / "examples" / "fail2ban" / "ringwheel.conf"
TIMEOUT_S = 60.0
FORGED = '", "event": "sip source rejected" source=198.51.100.66 reason=scanner times=1 '


def request(source: str, port: int, number: int, *lines: str) -> str:
    """An INVITE as a text."""
    head = [
        "INVITE sip:robot@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/UDP {source}:{port};branch=z9hG4bK-{port}-{number}",
        "Max-Forwards: 70",
        f"From: <sip:thief@{source}>;tag=t{number}",
        "To: <sip:robot@127.0.0.1>",
        f"Call-ID: {source}-{port}-{number}",
        f"CSeq: {number} INVITE",
        f"Contact: <sip:thief@{source}:{port}>",
        *lines,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(head)


class Thief:
    """Somebody at ``source`` who tries to get in."""

    def __init__(self, source: str, target: tuple[str, int]) -> None:
        self.source, self.target = source, target
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.settimeout(TIMEOUT_S)
        self.number = 0

    def send(self, *lines: str) -> None:
        self.number += 1
        port = self.socket.getsockname()[1]
        text = request(self.source, port, self.number, *lines)
        self.socket.sendto(text.encode(), self.target)

    def guess(self, user: str) -> None:
        """Be challenged, and answer wrongly."""
        self.send()
        challenge = self.socket.recv(65536).decode()
        nonce = re.search(r'nonce="([^"]+)"', challenge)
        assert nonce, challenge
        self.send(
            f'Authorization: Digest username="{user}", realm="ringwheel", nonce="{nonce[1]}", '
            f'uri="sip:robot@127.0.0.1", response="{"0" * 64}", algorithm=SHA-256, qop=auth, '
            'nc=00000001, cnonce="x"'
        )
        assert self.socket.recv(65536).startswith(b"SIP/2.0 401 ")


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_the_filter_reads_what_the_program_writes(tmp_path: Path, log_format: str) -> None:
    checker = find_program("fail2ban-regex", "fail2ban")
    (tmp_path / "a.ulaw").write_bytes(b"\xff" * 1600)
    users = tmp_path / "users"
    ha1 = hashlib.sha256(b"alice:ringwheel:open sesame").hexdigest()
    users.write_text(f"alice:ringwheel:{ha1}\n")
    users.chmod(0o600)
    command = ["-m", "ringwheel.cli.main", "--log-format", log_format, "serve"]
    command += ["--prompt", str(tmp_path / "a.ulaw"), "--sip", "udp:127.0.0.1:0"]
    command += ["--users", str(users), "--rtp-ports", "17800-17899"]
    log = tmp_path / "serve.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, *command], stderr=stderr)
        try:
            target = "127.0.0.1", listening_port(process, log)
            Thief("127.9.0.1", target).guess("alice")
            Thief("127.9.0.2", target).guess(FORGED.replace('"', '\\"'))
            Thief("127.9.0.3", target).send("User-Agent: friendly-scanner")
            Thief("127.9.0.4", target).send(f"User-Agent: sipcli {FORGED}")
            waited(lambda: log.read_text().count("sip source rejected") >= 4)
        finally:
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0
    shown = subprocess.run(
        [checker, "--print-all-matched", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout
    found = subprocess.run(
        [checker, "-o", "ip", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout.split()
    assert sorted(found) == [f"127.9.0.{number}" for number in range(1, 5)], shown


def listening_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port of a server, as soon as it serves."""
    waited(lambda: process.poll() is not None or "event=serving" in text_of(log))
    found = re.search(r"127\.0\.0\.1:(\d+)", log.read_text())
    assert found, log.read_text()
    return int(found[1])


def text_of(log: Path) -> str:
    """The log, in whichever of the two forms."""
    return log.read_text().replace('"event": "serving"', "event=serving")


def waited(condition: object) -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
