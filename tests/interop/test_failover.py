"""A trunk's peer stops in the midst of calls: the next one takes them within the set time.

Once SIPp is both peers, and once Kamailio, with digest and a registration.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from ringwheel import Call, DialFailed, Engine, Outcome
from ringwheel.media.trunk import CallerRules, Peer, Registration, Trunk

from ..ports import free_port
from .ports import wait_until_bound
from .test_kamailio import CREDENTIALS, kamailio

HOST = "127.0.0.1"
START_S = 60
PEER_TIMEOUT_S = 3.0
SET_TIME_S = 12.0
"""What a call may take when its first peer is silent: its time-out, and what set-up takes."""


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
        assert wait_until_bound(process.pid, port), "sipp did not start"
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
    return Engine(sip=[f"udp:{HOST}:0"], rtp_ports=(30_000, 34_999), trunks=[trunk])


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


@contextlib.asynccontextmanager
async def serving(engine: Engine, calls: list[Call]) -> AsyncIterator[Engine]:
    """The engine answers what comes in, and waits for its end."""

    async def handler(call: Call) -> None:
        calls.append(call)
        await call.answer()
        await call.wait_ended()

    async with engine:
        served = asyncio.create_task(engine.serve(handler))
        yield engine
        await engine.drain(0)
        await served


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has nobody to wait for."""
    async with asyncio.timeout(START_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def robot_of(ports: list[int]) -> Engine:
    """An engine that is registered with the first Kamailio that is up, and calls by it."""
    trunk = Trunk(
        "carrier",
        tuple(Peer(HOST, port, priority=number) for number, port in enumerate(ports)),
        domain="trunk.test",
        user=CREDENTIALS.user,
        password=CREDENTIALS.password,
        registration=Registration("robot"),
        caller=CallerRules(from_uri="sip:{user}@{domain}"),
        options_interval_s=1,
        peer_timeout_s=PEER_TIMEOUT_S,
    )
    return engine_of(trunk)


@pytest.mark.parametrize("stop", [signal.SIGSTOP, signal.SIGKILL], ids=["silent", "gone"])
async def test_kamailio_stops_and_calls_go_both_ways_by_the_other(
    program: Callable[[str, str], str], tmp_path: Path, stop: signal.Signals
) -> None:
    """Whether its machine says nothing any more, or that there is nobody at the port."""
    path = program("kamailio", "kamailio")
    robots: list[Call] = []
    others: list[Call] = []
    somebody = Engine(sip=[f"udp:{HOST}:0"], rtp_ports=(35_000, 39_999))
    async with serving(somebody, others):
        sink = int(somebody.addresses[0].rpartition(":")[2])
        with ExitStack() as stack:
            ports, groups = [], []
            for name in "ab":
                (tmp_path / name).mkdir()
                started = kamailio(path, tmp_path / name, sink, "SHA-256")
                port, group = stack.enter_context(started)
                ports.append(port)
                groups.append(group)
            async with serving(robot_of(ports), robots) as robot:
                await until(lambda: robot.trunks[0].registration == "registered")
                assert await call(robot, 1) is Outcome.ANSWERED
                assert others[0].from_uri == "sip:robot@trunk.test"
                await call_robot(somebody, ports[0])
                os.killpg(groups[0], stop)
                stack.callback(os.killpg, groups[0], signal.SIGCONT)
                outcomes = await asyncio.gather(*(call(robot, number) for number in range(5)))
                assert set(outcomes) == {Outcome.ANSWERED}
                await until(lambda: [peer.up for peer in robot.trunks[0].peers] == [False, True])
                await call_robot(somebody, ports[1])
                assert [one.trunk for one in robots] == ["carrier", "carrier"]


async def call_robot(somebody: Engine, port: int) -> None:
    """A call in by the Kamailio on that port, as soon as that knows where the robot is."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                incoming = await somebody.dial(
                    f"sip:robot@{HOST}:{port}", caller="sip:somebody@trunk.test"
                )
            except DialFailed as failed:
                assert failed.status == 404  # not registered there yet
            else:
                await incoming.hangup()
                return
