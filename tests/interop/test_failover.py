"""A trunk's peer stops in the midst of calls: the next one takes them within the set time."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from ringwheel import Call, Engine, Outcome
from ringwheel.media.trunk import Peer, Trunk

HOST = "127.0.0.1"
START_S = 20
PEER_TIMEOUT_S = 1.0
SET_TIME_S = 4.0
"""What a call may take when its first peer is silent: its time-out, and what set-up takes."""


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def is_taken(port: int) -> bool:
    """True once somebody has the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        return False


class Uas:
    """A SIPp that answers calls; it can be stopped as a machine stops: without a word."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def stop(self) -> None:
        """Nothing more comes from it."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It is back."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def answering(sipp: str, folder: Path) -> Iterator[Uas]:
    """SIPp's own scenario of a callee."""
    port = free_port()
    command = [sipp, "-sn", "uas", "-i", HOST, "-p", str(port), "-nostdin"]
    with (folder / f"sipp{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + START_S
        while not is_taken(port):
            assert process.poll() is None and time.monotonic() < deadline_s, "sipp did not start"
            time.sleep(0.02)
        yield Uas(process, port)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def pair(program: Callable[[str, str], str], tmp_path: Path) -> Iterator[list[Uas]]:
    """Two peers, the first of them preferred."""
    sipp = program("sipp", "sip-tester")
    with ExitStack() as stack:
        yield [stack.enter_context(answering(sipp, tmp_path)) for _ in range(2)]


def trunk_of(pair: list[Uas], **options: object) -> Trunk:
    """A trunk over both."""
    peers = tuple(Peer(HOST, uas.port, priority=number) for number, uas in enumerate(pair))
    settings: dict[str, object] = {"options_interval_s": 0, "peer_timeout_s": PEER_TIMEOUT_S}
    return Trunk("carrier", peers, **(settings | options))  # type: ignore[arg-type]


def engine_of(trunk: Trunk) -> Engine:
    """An engine that calls by it."""
    return Engine(sip=[f"udp:{HOST}:0"], rtp_ports=(30000, 30199), trunks=[trunk])


async def call(engine: Engine, number: int) -> Outcome | None:
    """One call that is answered within the set time, and ended by us."""
    dialled: Call = await engine.dial(f"sip:{number}@carrier", timeout_s=SET_TIME_S)
    outcome = dialled.outcome  # type: ignore[attr-defined]
    await dialled.hangup()
    assert isinstance(outcome, Outcome)
    return outcome


async def test_no_call_fails_when_a_peer_stops(pair: list[Uas]) -> None:
    first, second = pair
    async with engine_of(trunk_of(pair)) as engine:
        assert await call(engine, 1) is Outcome.ANSWERED
        (before,) = engine.trunks
        assert (before.placed, before.peers[0].addresses[0].health) == (1, "up")
        first.stop()
        outcomes = await asyncio.gather(*(call(engine, number) for number in range(20)))
        assert set(outcomes) == {Outcome.ANSWERED}
        (shown,) = engine.trunks
        assert shown.failed_over == 20
        assert [peer.addresses[0].health for peer in shown.peers] == ["down", "up"]
        assert await call(engine, 2) is Outcome.ANSWERED
        assert engine.trunks[0].failed_over == 20  # by now it goes to the second at once


async def test_all_peers_stop_and_one_comes_back(pair: list[Uas]) -> None:
    async with engine_of(trunk_of(pair)) as engine:
        for uas in pair:
            uas.stop()
        dialled = asyncio.create_task(call(engine, 1))
        pair[1].go_on()
        assert await dialled is Outcome.ANSWERED
