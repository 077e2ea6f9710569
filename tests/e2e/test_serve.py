"""`ringwheel serve` as a process: a call over loopback hears the prompt, SIGTERM drains."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ringwheel.cli.main import run_command
from ringwheel.media.codec import CODECS, OPUS, PCMA
from ringwheel.media.sip.message import Message, Response, parse

COMMAND = ["--log-format", "json", "serve"]
SERVE = [sys.executable, "-m", "ringwheel.cli.main", *COMMAND]
TIMEOUT_S = 60
LABELS = [codec.label for codec in CODECS]


class Served:
    """A `ringwheel serve`; ``port`` is where it takes calls."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process = process
        self._lines = map(json.loads, process.stderr)
        self.port = int(self.event("listening")["sip"][0].rpartition(":")[2])
        self.event("serving")

    def event(self, name: str) -> dict:
        """The next line of its log with that event."""
        return next(line for line in self._lines if line["event"] == name)


class Caller:
    """A bare SIP client with an RTP socket."""

    def __init__(self, server_port: int) -> None:
        self.server = ("127.0.0.1", server_port)
        self.sip, self.rtp = (self._socket() for _ in range(2))
        self.port = self.sip.getsockname()[1]

    def _socket(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(TIMEOUT_S)
        return bound

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.sip.close()
        self.rtp.close()

    def request(self, method: str, cseq: int, to_tag: str = "", body: str = "") -> None:
        lines = [
            f"{method} sip:robot@127.0.0.1:{self.server[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{method}{cseq}",
            "Max-Forwards: 70",
            "From: <sip:caller@127.0.0.1>;tag=caller",
            f"To: <sip:robot@127.0.0.1>{to_tag and ';tag=' + to_tag}",
            f"Call-ID: serve-{self.port}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:caller@127.0.0.1:{self.port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        self.sip.sendto("\r\n".join(lines).encode(), self.server)

    def invite(self, formats: str = "8", attributes: str = "") -> None:
        rtp_port = self.rtp.getsockname()[1]
        self.request(
            "INVITE",
            1,
            body="v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {rtp_port} RTP/AVP {formats}\r\n{attributes}",
        )

    def receive(self) -> Message:
        return parse(self.sip.recv(65536))

    def final_response(self) -> Response:
        while True:
            message = self.receive()
            if isinstance(message, Response) and message.status >= 200:
                return message


@pytest.fixture
def prompt(tmp_path) -> bytes:
    """Half a second and a bit of A-law in two files; returns the codes of both."""
    codes = np.random.default_rng(3).integers(0, 256, 4345).astype(np.uint8).tobytes()
    (tmp_path / "a.alaw").write_bytes(codes[:1234])
    (tmp_path / "b.alaw").write_bytes(codes[1234:])
    return codes


@contextlib.contextmanager
def serving(tmp_path, *arguments: str) -> Iterator[Served]:
    """A server of both, which serves."""
    names = [str(tmp_path / name) for name in ("a.alaw", "b.alaw")]
    prompts = [part for name in names for part in ("--prompt", name)]
    ports = ("--sip", "udp:127.0.0.1:0", "--rtp-ports", "16000-16999")
    command = [*SERVE, *prompts, *ports, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield Served(process)
    finally:
        process.kill()
        process.wait()


def test_a_call_hears_the_list_and_is_hung_up(tmp_path, prompt):
    with serving(tmp_path) as served, Caller(served.port) as caller:
        caller.invite()
        answer = caller.final_response()
        assert answer.status == 200
        caller.request("ACK", 1, answer.to_tag)
        packets = [caller.rtp.recv(2048) for _ in range((len(prompt) + 159) // 160)]
        heard = b"".join(packet[12:] for packet in packets)
        assert heard[: len(prompt)] == prompt
        assert set(heard[len(prompt) :]) <= {PCMA.silence}
        bye = caller.receive()
        assert bye.cseq_method == "BYE"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(TIMEOUT_S) == 0


def test_a_caller_who_is_gone_is_hung_up(tmp_path, prompt):
    """Nothing comes of it, as of one whose BYE was lost, though the prompt goes on for ever."""
    options = ("--loop", "--media-timeout-ms", "1000")
    with serving(tmp_path, *options) as served, Caller(served.port) as caller:
        caller.invite()
        caller.request("ACK", 1, caller.final_response().to_tag)
        bye = caller.receive()
        assert (bye.cseq_method, "no media" in bye.headers.get("Reason")) == ("BYE", True)


@pytest.mark.skipif(OPUS not in LABELS, reason="built without libopus")
@pytest.mark.parametrize(("order", "chosen"), [("own", b"96"), ("caller", b"8")])
def test_opus_is_served_where_its_order_decides(tmp_path, prompt, order, chosen):
    options = ("--codec", "opus,pcma", "--codec-order", order)
    with serving(tmp_path, *options) as served, Caller(served.port) as caller:
        caller.invite("8 96", "a=rtpmap:96 opus/48000/2\r\n")
        answer = caller.final_response()
        assert f"RTP/AVP {chosen.decode()}\r\n".encode() in answer.body
        caller.request("ACK", 1, answer.to_tag)
        packets = [caller.rtp.recv(2048) for _ in range((len(prompt) + 159) // 160)]
        assert {packet[1] & 0x7F for packet in packets} == {int(chosen)}
        assert caller.receive().cseq_method == "BYE"


def test_sigterm_refuses_new_calls_and_a_second_one_ends_the_running(tmp_path, prompt):
    with (
        serving(tmp_path, "--loop", "--drain", "600") as served,
        Caller(served.port) as running,
        Caller(served.port) as late,
    ):
        process = served.process
        running.invite()
        running.request("ACK", 1, running.final_response().to_tag)
        running.rtp.recv(2048)
        process.send_signal(signal.SIGTERM)
        assert served.event("draining")["calls"] == 1
        late.invite()
        refusal = late.final_response()
        assert refusal.status == 503
        assert refusal.headers.get("Retry-After") is not None
        process.send_signal(signal.SIGTERM)
        assert running.receive().cseq_method == "BYE"
        assert process.wait(TIMEOUT_S) == 0


@pytest.fixture
def run_failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `ringwheel serve`, which cannot; the last line that it prints."""

    def run(*arguments: str) -> str:
        assert run_command([*COMMAND, *arguments]) == 2
        told = capsys.readouterr().err
        line = told.splitlines()[-1]
        assert line.startswith("ringwheel: ")
        assert "Traceback" not in told
        return line

    return run


def test_what_cannot_be_served_is_one_line(tmp_path, prompt, run_failing):
    good = ["--prompt", str(tmp_path / "a.alaw")]
    assert "there is no prompt to play. Name one" in run_failing()
    (tmp_path / "bad.wav").write_bytes(b"garbage")
    bad = run_failing("--prompt", str(tmp_path / "bad.wav"), "--sip", "udp:127.0.0.1:0")
    assert "bad.wav: not a sound file" in bad
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        sip = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        assert "the port is in use" in run_failing(*good, "--sip", sip)
    assert "the address is not this machine's" in run_failing(
        *good, "--sip", "udp:203.0.113.9:5060"
    )
    (tmp_path / "serve.toml").write_text("loop = maybe")
    assert "is not TOML" in run_failing(*good, "--config", str(tmp_path / "serve.toml"))
