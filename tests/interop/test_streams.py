"""SIP over TCP and TLS with programs that others wrote: SIPp (TCP), PJSIP and baresip (TLS).

Debian's SIPp is built without TLS.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ringwheel.media.sip.transport import SipEndpoint
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig

from ..certificates import Authority
from .ports import listening_port
from .test_baresip import CONFIG, dial
from .test_pjsua2 import CLIENT, pjsua2

__all__ = ["pjsua2"]  # skips where there is none

CALLS = 40
TIMEOUT_S = 60


def second_address(served) -> tuple[str, int]:
    """Where the second listener of a server is reached."""
    (listening,) = (event for event in served.events() if event["event"] == "listening")
    host, _, port = listening["sip"][1].rpartition(":")
    return host, int(port)


def run_sipp(sipp, folder, *arguments):
    """SIPp to its end; what it printed, where it failed."""
    return subprocess.run(
        [sipp, *arguments, "-nostdin", "-timeout", str(TIMEOUT_S), "-timeout_error"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_S + 10,
    )


@pytest.mark.parametrize("mode", ["t1", "tn"])
def test_sipp_calls_by_tcp(program, serve, chirps, tmp_path, mode):
    """On one connection, or on one for each call, up to ten at once; we hang up."""
    sipp = program("sipp", "sip-tester")
    with serve(tmp_path, chirps[1:2], "--sip=tcp:127.0.0.1:0") as served:
        host, port = second_address(served)
        finished = run_sipp(
            sipp,
            tmp_path,
            f"{host}:{port}",
            *("-sf", str(Path(__file__).with_name("caller.xml")), "-key", "sound_port", "9"),
            *("-t", mode, "-m", str(CALLS), "-l", "10", "-r", "20", "-i", "127.0.0.1"),
            *("-max_socket", "1000"),
        )
        assert finished.returncode == 0, finished.stdout[-3000:]
        ended = [event for event in served.events() if event["event"] == "call ended"]
    assert [(event["by"], event["status"]) for event in ended] == [("local", 200)] * CALLS


class Caller:
    """A user agent that calls by TCP and hangs up when it is answered."""

    def __init__(self, calls):
        self.endpoint = SipEndpoint(["tcp:127.0.0.1:0"])
        config = UserAgentConfig(self.endpoint.addresses, self.endpoint.transports)
        self.agent = UserAgent(self.endpoint.send, self.endpoint.timers, config, self)
        self.endpoint.start(self.agent)
        self.ended = asyncio.get_running_loop().create_future()
        self.causes = []
        self._calls = calls

    def on_ringing(self, call, response):
        pass

    def on_answered(self, call, sdp):
        call.hangup()

    def on_ended(self, call, cause):
        self.causes.append((cause.by.value, cause.status))
        if len(self.causes) == self._calls:
            self.ended.set_result(None)


async def test_sipp_is_called_by_tcp(program, tmp_path):
    sipp = program("sipp", "sip-tester")
    process = await asyncio.create_subprocess_exec(
        sipp,
        *("-sn", "uas", "-t", "t1", "-i", "127.0.0.1", "-p", "0", "-m", str(CALLS), "-nostdin"),
        *("-timeout", str(TIMEOUT_S), "-timeout_error", "-trace_screen"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await listening_port(process.pid)
        caller = Caller(CALLS)
        flow = caller.endpoint.flow("127.0.0.1", port, transport="TCP")
        for _ in range(CALLS):
            uri = f"sip:service@127.0.0.1:{port};transport=tcp"
            caller.agent.dial(uri, b"v=0\r\n", flow, from_uri="sip:me@here")
        async with asyncio.timeout(TIMEOUT_S):
            await caller.ended
            assert await process.wait() == 0
        assert caller.causes == [("local", 200)] * CALLS
        assert caller.endpoint.counts.streams_opened == 1
        caller.agent.shutdown()
        caller.endpoint.close()
        await caller.endpoint.wait_closed()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def serve_tls(serve, folder, prompts, *options):
    """A server with a TLS listener beside the UDP one, and the file of its authority."""
    authority = Authority(folder)
    certificate, key = authority.issue("127.0.0.1", "localhost")
    files = [f"--tls-cert={certificate}", f"--tls-key={key}", f"--tls-ca={authority.path}"]
    served = serve(folder, prompts, "--sip=tls:127.0.0.1:0", *files, *options)
    return served, authority.path


@pytest.mark.parametrize("scheme", ["sip", "sips"])
def test_pjsip_calls_by_tls_with_srtp(serve, chirps, share_heard, tmp_path, scheme):
    """Each side's library decrypts the other, signalling and sound."""
    wav, records = tmp_path / "heard.wav", tmp_path / "calls.jsonl"
    starting, ca = serve_tls(serve, tmp_path, chirps, "--srtp=required", f"--records={records}")
    with starting as served:
        host, port = second_address(served)
        suffix = ";transport=tls" if scheme == "sip" else ""
        finished = subprocess.run(
            [
                *(sys.executable, str(CLIENT), f"{scheme}:robot@{host}:{port}{suffix}", str(wav)),
                *("pcmu", "--srtp", "--tls-ca", str(ca)),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    said = json.loads(finished.stdout.splitlines()[-1])
    assert (said["confirmed"], said["over"], said["status"]) == (True, True, 200)
    assert share_heard(wav, chirps)[0] > 0.9
    assert json.loads(records.read_text())["encrypted"]


def test_pjsip_does_not_trust_another_authority(serve, chirps, tmp_path):
    starting, _ = serve_tls(serve, tmp_path, chirps)
    folder = tmp_path / "other"
    folder.mkdir()
    with starting as served:
        host, port = second_address(served)
        finished = subprocess.run(
            [
                *(sys.executable, str(CLIENT), f"sip:robot@{host}:{port};transport=tls"),
                *(str(tmp_path / "heard.wav"), "pcmu"),
                *("--tls-ca", str(Authority(folder).path)),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        assert not json.loads(finished.stdout.splitlines()[-1])["confirmed"]
    assert "call ended" not in [event["event"] for event in served.events()]


def test_baresip_calls_by_tls(program, serve, chirps, share_heard, tmp_path):
    baresip = program("baresip", "baresip-core")
    home = tmp_path / "baresip"
    home.mkdir()
    starting, ca = serve_tls(serve, tmp_path, chirps)
    text = CONFIG.format(folder=home, module="g711.so", rate_hz=8000)
    (home / "config").write_text(f"{text}sip_cafile {ca}\nsip_verify_server yes\n")
    account = "<sip:baresip@127.0.0.1;transport=tls>;regint=0;audio_codecs=pcmu\n"
    (home / "accounts").write_text(account)
    (home / "contacts").write_text("")
    with starting as served:
        host, port = second_address(served)
        printed = dial(baresip, home, host, f"{port};transport=tls")
        assert "Call established" in printed, printed
    (heard,) = home.glob("dump-*-dec.wav")
    assert share_heard(heard, chirps)[0] > 0.9
    ended = [event for event in served.events() if event["event"] == "call ended"]
    assert [(event["by"], event["status"]) for event in ended] == [("local", 200)]
