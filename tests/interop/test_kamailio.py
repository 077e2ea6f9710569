"""Kamailio as registrar and proxy: we register, call out with digest, and are called.

First as the user agent sees it, then with engines whose trunk it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from ringwheel import Call, DialFailed, Engine, Outcome
from ringwheel.media.sip.digest import Credentials
from ringwheel.media.sip.edge import Flow
from ringwheel.media.sip.message import Request
from ringwheel.media.sip.registration import Registration, RegistrationConfig, RegistrationState
from ringwheel.media.sip.transport import SipEndpoint
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig
from ringwheel.media.trunk import Peer, Trunk
from ringwheel.media.trunk import Registration as TrunkRegistration

from ..ports import free_port
from .ports import wait_until_bound

CONFIG = Path(__file__).with_name("kamailio.cfg")
HOST = "127.0.0.1"
DEADLINE_S = 60
CREDENTIALS = Credentials("robot", "a secret")
ROBOT = "sip:robot@trunk.test"
SDP = f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"


@contextlib.contextmanager
def kamailio(program: str, folder: Path, sink: int, algorithm: str) -> Iterator[tuple[int, int]]:
    """A Kamailio on a port of its own, with everybody but the robot at ``sink``: the port, and the
    process group."""
    port = free_port()
    defines = {"PORT": port, "SINK": f'"{sink}"', "SECRET": f'"{CREDENTIALS.password}"'}
    defines["ALGORITHM"] = f'"{algorithm}"'
    log = folder / "kamailio.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(program, "-f", str(CONFIG), "-DD", "-E", "-m", "32", "-M", "4"),
                *("-Y", str(folder), "-w", str(folder)),
                *(part for name, value in defines.items() for part in ("-A", f"{name}={value}")),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        assert wait_until_bound(process.pid, port), log.read_text("utf-8")
        yield port, process.pid
    finally:  # asked to end, it waits for a child of its own now and then, for a minute
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Party:
    """A user agent on loopback that answers every call, and tells what happens by a queue."""

    def __init__(self) -> None:
        self.endpoint = SipEndpoint([f"udp:{HOST}:0"])
        config = UserAgentConfig(addresses=self.endpoint.addresses)
        self.agent = UserAgent(self.endpoint.send, self.endpoint.timers, config, self)  # type: ignore[arg-type]
        self.events: asyncio.Queue[tuple] = asyncio.Queue()
        self.requests: list[Request] = []
        self.endpoint.start(self)  # type: ignore[arg-type]

    @property
    def port(self) -> int:
        return int(self.endpoint.addresses[0].rpartition(":")[2])

    # Between the edge and the user agent, to see what Kamailio lets through

    def receive(self, message, flow):
        if isinstance(message, Request):
            self.requests.append(message)
        self.agent.receive(message, flow)

    def receive_error(self, error, flow):
        raise AssertionError(error)

    def __getattr__(self, name):
        if name.startswith("on_"):
            return lambda *arguments: self.events.put_nowait((name, *arguments))
        return getattr(self.agent, name)

    def on_invite(self, call):
        self.events.put_nowait(("on_invite", call))
        call.ring()
        call.accept(SDP.encode())

    def on_offer(self, call, sdp):
        return SDP.encode()

    async def next(self, name):
        """The next event of that name, and what it brought."""
        while True:
            found, *arguments = await self.events.get()
            if found == name:
                return arguments

    def dial(self, uri, port, from_uri, **options):
        flow = self.endpoint.flow(HOST, port)
        return self.agent.dial(uri, SDP.encode(), flow, from_uri=from_uri, **options)

    def close(self):
        self.agent.shutdown()
        self.endpoint.close()


class Scene:
    """The robot, Kamailio, and somebody behind it."""

    def __init__(self, robot: Party, somebody: Party, port: int, algorithm: str) -> None:
        self.algorithm = algorithm
        self.robot = robot
        self.somebody = somebody
        self.port = port

    @property
    def flow(self) -> Flow:
        return self.robot.endpoint.flow(HOST, self.port)

    def registration(self, credentials=CREDENTIALS) -> Registration:
        """A registration of the robot; its changes are events of the robot."""
        config = RegistrationConfig("sip:trunk.test", ROBOT, credentials)
        return Registration(self.robot.agent, config, self.flow, self.robot.on_change)

    async def becomes(self, state: RegistrationState) -> Registration:
        """The registration, as soon as it is in that state."""
        while True:
            (registration,) = await self.robot.next("on_change")
            if registration.state is state:
                return registration


@pytest.fixture(params=["MD5", "SHA-256"])
async def scene(request, program, tmp_path) -> AsyncIterator[Scene]:
    """With either digest algorithm."""
    path = program("kamailio", "kamailio")
    robot, somebody = Party(), Party()
    try:
        with kamailio(path, tmp_path, somebody.port, request.param) as (port, _):
            async with asyncio.timeout(DEADLINE_S):
                yield Scene(robot, somebody, port, request.param)
    finally:
        robot.close()
        somebody.close()


def came_by_kamailio(party: Party) -> bool:
    """True if every request has come by the proxy, which asked for it by Record-Route: its Via lies
    above that of whoever sent it (RFC 3261 16.6)."""
    vias = [request.headers.all("Via") for request in party.requests]
    return bool(vias) and all(len(lines) == 2 for lines in vias)


async def test_a_registration_and_a_call_that_comes_by_it(scene):
    registration = scene.registration()
    registration.start()
    await scene.becomes(RegistrationState.REGISTERED)
    assert registration.granted_s == 60  # what Kamailio allows, not what we asked for

    call = scene.somebody.dial(ROBOT, scene.port, "sip:somebody@trunk.test")
    (robots,) = await scene.robot.next("on_invite")
    await scene.somebody.next("on_answered")
    assert robots.from_uri == "sip:somebody@trunk.test"
    assert len(robots.dialog.route_set) == 1
    call.hangup()
    _, cause = await scene.robot.next("on_ended")
    assert (cause.by.value, cause.status) == ("remote", 200)
    assert came_by_kamailio(scene.robot)

    registration.stop()
    await scene.becomes(RegistrationState.STOPPED)
    assert registration.reason == "unregistered"
    scene.somebody.dial(ROBOT, scene.port, "sip:somebody@trunk.test")
    while True:
        _, cause = await scene.somebody.next("on_ended")
        if cause.status != 200:
            break
    assert (cause.status, cause.reason) == (404, "Not Registered")


async def test_a_call_out_with_digest_and_everything_within_it(scene):
    call = scene.robot.dial(
        "sip:+442079460000@trunk.test", scene.port, ROBOT, credentials=CREDENTIALS
    )
    (theirs,) = await scene.somebody.next("on_invite")
    assert theirs.to_uri == "sip:+442079460000@trunk.test"
    await scene.robot.next("on_answered")
    await scene.somebody.next("on_ack")
    given = call.invite.headers.get("Proxy-Authorization")
    assert f"algorithm={scene.algorithm}," in given
    call.reinvite(SDP.encode())
    _, status, _ = await scene.robot.next("on_reinvited")
    assert status == 200
    call.hangup()
    _, cause = await scene.somebody.next("on_ended")
    assert (cause.by.value, cause.status) == ("remote", 200)
    assert len(call.dialog.route_set) == 1
    assert came_by_kamailio(scene.somebody)
    # Kamailio asked for credentials, was content, and kept them to itself.
    seen = [(request.method, request.cseq) for request in scene.somebody.requests]
    assert seen == [("INVITE", 2), ("ACK", 2), ("INVITE", 3), ("ACK", 3), ("BYE", 4)]
    invites = [request for request in scene.somebody.requests if request.method == "INVITE"]
    assert all("Proxy-Authorization" not in request.headers for request in invites)


async def test_the_callee_hangs_up(scene):
    scene.robot.dial("sip:100@trunk.test", scene.port, ROBOT, credentials=CREDENTIALS)
    (theirs,) = await scene.somebody.next("on_invite")
    await scene.somebody.next("on_ack")
    theirs.hangup()
    _, cause = await scene.robot.next("on_ended")
    assert (cause.by.value, cause.status) == ("remote", 200)
    assert [request.method for request in scene.robot.requests] == ["BYE"]
    assert came_by_kamailio(scene.robot)


async def test_a_wrong_password(scene):
    wrong = Credentials("robot", "guess")
    scene.robot.dial("sip:100@trunk.test", scene.port, ROBOT, credentials=wrong)
    _, cause = await scene.robot.next("on_ended")
    assert cause.status == 407
    registration = scene.registration(wrong)
    registration.start()
    await scene.becomes(RegistrationState.FAILED)
    assert registration.reason.endswith("it refuses our credentials")
    registration.abandon()
    assert scene.somebody.requests == []


async def test_a_request_outside_of_dialogs(scene):
    class User:
        def on_response(self, response):
            answered.set_result(response.status)

        def on_timeout(self):
            answered.set_result(408)

    answered = asyncio.get_running_loop().create_future()
    scene.robot.agent.request("OPTIONS", "sip:trunk.test", scene.flow, from_uri=ROBOT, user=User())
    assert await answered == 200


# Engines


@contextlib.asynccontextmanager
async def serving(handler: Callable[[Call], object], **options: object) -> AsyncIterator[Engine]:
    """An engine that runs ``handler`` for each call."""
    async with Engine(**options) as engine:  # type: ignore[arg-type]
        served = asyncio.create_task(engine.serve(handler))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        try:
            yield engine
        finally:
            await engine.drain(0)
            await served


async def eventually(condition: Callable[[], bool]) -> None:
    """Give way to others until ``condition`` holds; the test's own time bounds it."""
    while not condition():  # noqa: ASYNC110 - figures have nobody to wait for
        await asyncio.sleep(0.01)


async def take_digits(call: Call, heard: asyncio.Queue[tuple[str, str]]) -> None:
    """Answer, note who called and the digits that came, and say thanks in digits."""
    await call.answer()
    gathered = await call.gather(9, "#")
    heard.put_nowait((call.from_uri, gathered.digits))
    await call.send_digits("42")
    await call.wait_ended()


async def talk(call: Call, digits: str) -> str:
    """Send digits, and hang up when two have come back."""
    await call.send_digits(f"{digits}#")
    answer = await call.gather(2)
    await call.hangup()
    return answer.digits


@pytest.fixture(params=["MD5", "SHA-256"])
async def trunked(request, program, tmp_path):
    """An engine with Kamailio as its trunk, one behind Kamailio, and what both have heard."""
    path, sink = program("kamailio", "kamailio"), free_port()
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def handler(call):
        await take_digits(call, heard)

    with kamailio(path, tmp_path, sink, request.param) as (port, _):
        peers = (Peer(HOST, port),)
        carrier = Trunk(
            "carrier",
            peers,
            domain="trunk.test",
            user=CREDENTIALS.user,
            password=CREDENTIALS.password,
            registration=TrunkRegistration("robot"),
        )
        ours = {"sip": [f"udp:{HOST}:0"], "rtp_ports": (30_000, 34_999), "trunks": [carrier]}
        world = Trunk("world", peers, domain="trunk.test")
        theirs = {"sip": [f"udp:{HOST}:{sink}"], "rtp_ports": (35_000, 39_999), "trunks": [world]}
        async with (
            asyncio.timeout(DEADLINE_S),
            serving(handler, **ours) as robot,
            serving(handler, **theirs) as somebody,
        ):
            yield robot, somebody, heard


async def test_a_trunk_registers_and_is_called(trunked):
    robot, somebody, heard = trunked
    await eventually(lambda: robot.trunks[0].registration == "registered")
    call = await somebody.dial("sip:robot@world", caller="4711")
    assert await talk(call, "123") == "42"
    assert await heard.get() == ("sip:4711@trunk.test", "123")
    assert robot.trunks[0].received == 1


async def test_a_call_by_a_trunk_with_digest(trunked):
    robot, _, heard = trunked
    call = await robot.dial("sip:+442079460000@carrier", caller="robot")
    assert await talk(call, "987") == "42"
    assert await heard.get() == ("sip:robot@trunk.test", "987")
    assert call.outcome is Outcome.ANSWERED


async def test_a_trunk_whose_registration_is_gone_is_not_called(trunked):
    robot, somebody, _ = trunked
    await eventually(lambda: robot.trunks[0].registration == "registered")
    robot.reload([])
    await eventually(lambda: not robot.trunks)
    with pytest.raises(DialFailed) as failed:
        while True:
            await (await somebody.dial("sip:robot@world", caller="4711")).hangup()
    assert failed.value.status == 404
