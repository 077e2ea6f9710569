"""SIPp over TLS, both ways: Debian's speaks TCP, and socat takes it from there through real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from ringwheel import Call, EndedBy, Engine

from ..certificates import Authority
from .ports import listening_port
from .test_sipp_reliability import (
    DEADLINE_S,
    HOST,
    INVITED,
    LET_GO,
    Sipp,
    answer,
    ask,
    got,
    hear,
    sdp,
    sipp,
)
from .test_sipp_transfer import ANSWERS
from .test_sipp_transfer import ask as ask_caller

__all__ = ["sipp"]  # a fixture

CALLS = 20
BY_TCP = ("-t", "t1")
CONTACT = "<sip:sipp@[local_ip]:[local_port]>"
# Either scheme of addresses, and either version that we speak.
KINDS = pytest.mark.parametrize(("scheme", "version"), [("sip", "TLS1.2"), ("sips", "TLS1.3")])
Tunnel = Callable[[str, str], contextlib.AbstractAsyncContextManager[int]]


@pytest.fixture
def tunnel(program: Callable[[str, str], str]) -> Tunnel:
    """Runs socat between two of its addresses, a pair of processes for each connection; the port
    where it listens."""
    socat = program("socat", "socat")

    @contextlib.asynccontextmanager
    async def running(near: str, far: str) -> AsyncIterator[int]:
        process = await asyncio.create_subprocess_exec(
            *(socat, f"{near},bind={HOST},fork", far), start_new_session=True
        )
        try:
            yield await listening_port(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    return running


def only(version: str) -> str:
    """socat's options for one version of TLS."""
    return f"openssl-min-proto-version={version},openssl-max-proto-version={version}"


def shown(authority: Authority, name: str) -> str:
    """socat's options for a certificate of its own, and for whom it trusts."""
    certificate, key = authority.issue(HOST, file=name)
    return f"cert={certificate},key={key},cafile={authority.path},verify=1"


def secured(step: str, scheme: str) -> str:
    """A step of SIPp's as it would be if SIPp knew what lies on its way."""
    step = step.replace("SIP/2.0/[transport]", "SIP/2.0/TLS")
    if scheme == "sips":
        return step.replace("sip:", "sips:")
    return step.replace("[local_port]>", "[local_port];transport=tls>")


@KINDS
async def test_sipp_calls_us_by_tls(
    sipp: Sipp, tunnel: Tunnel, tmp_path: Path, scheme: str, version: str
) -> None:
    """We ask each other for certificates; hold and hang-up of ours take the caller's connection."""

    async def hold(call: Call) -> None:
        await call.answer()
        await call.hold()
        await call.hangup()

    held = [hear("INVITE"), answer(200, body=sdp("inactive")), hear("ACK")]
    steps = [ask("INVITE", 1, body=sdp(), first=True), *INVITED, *held, *LET_GO]
    scenario = sipp.scenario(*(secured(step, scheme) for step in steps))
    authority = Authority(tmp_path)
    tls = authority.config(HOST, verify_client="required")
    async with asyncio.timeout(DEADLINE_S), Engine([f"tls:{HOST}:0"], tls=tls) as ours:
        serving = asyncio.create_task(ours.serve(hold))
        far = f"OPENSSL:{ours.addresses[0]},{shown(authority, 'sipp')},{only(version)}"
        async with (
            tunnel("TCP-LISTEN:0", far) as port,
            sipp.plays(*BY_TCP, *scenario, f"{HOST}:{port}", calls=CALLS),
        ):
            pass
        assert await ours.drain(5)
        await serving
        counted = ours.snapshot().sip
    assert (counted["calls_answered"], counted["calls_ended_local"]) == (CALLS, CALLS)
    assert (counted["streams_accepted"], counted["streams_opened"]) == (1, 0)


@KINDS
async def test_we_call_sipp_by_tls(
    sipp: Sipp, tunnel: Tunnel, tmp_path: Path, scheme: str, version: str
) -> None:
    """We ask each other for certificates; all calls take one connection, and SIPp ends them."""
    hold = ask_caller("INVITE", 1, "Content-Type: application/sdp", body=sdp("sendonly"))
    steps = [*ANSWERS, hold, got(200), ask_caller("ACK", 1), ask_caller("BYE", 2), got(200)]
    # SIPp does not know the port that leads to it, so it is reached where it was called.
    steps = [step.replace(f"Contact: {CONTACT}", "Contact:[$us]") for step in steps]
    scenario = sipp.scenario(*(secured(step, scheme) for step in steps))
    authority = Authority(tmp_path)

    async def one(ours: Engine, uri: str) -> EndedBy:
        call = await ours.dial(uri)
        await call.wait_held()
        return (await call.wait_ended()).by

    async with (
        asyncio.timeout(DEADLINE_S),
        Engine([f"tls:{HOST}:0"], tls=authority.config(HOST)) as ours,
        sipp.plays(*BY_TCP, *scenario, "-p", "0", calls=CALLS) as process,
    ):
        near = f"OPENSSL-LISTEN:0,{shown(authority, 'sipp')},{only(version)}"
        far = f"TCP:{HOST}:{await listening_port(process.pid)}"
        async with tunnel(near, far) as port:
            end = ";transport=tls" if scheme == "sip" else ""
            uri = f"{scheme}:callee@{HOST}:{port}{end}"
            ended = await asyncio.gather(*(one(ours, uri) for _ in range(CALLS)))
            await process.wait()
            assert ours.snapshot().sip["streams_opened"] == 1
    assert ended == [EndedBy.REMOTE] * CALLS
