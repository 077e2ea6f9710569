"""Calls and registrations of ours, with SIPp on the other side: digest, CANCEL, 3xx, forks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ringwheel.media.sip.digest import Credentials
from ringwheel.media.sip.events import EndCause
from ringwheel.media.sip.registration import Registration, RegistrationConfig, RegistrationState
from ringwheel.media.sip.transport import SipEndpoint
from ringwheel.media.sip.ua import UserAgent, UserAgentConfig

from ..ports import free_port
from .ports import wait_until_bound
from .test_sipp_reliability import answer, hear, sdp

HOST = "127.0.0.1"
DEADLINE_S = 60
CREDENTIALS = Credentials("robot", "very secret")
SDP = f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
ASKED = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
GIVEN = {401: "Authorization", 407: "Proxy-Authorization"}


def recv(method: str, *, auth: str = "") -> str:
    """A step that waits for a request; with ``auth`` for credentials under that header's name."""
    check = f'username="{CREDENTIALS.user}" password="{CREDENTIALS.password}"'
    if auth == "Authorization":
        # Wrong ones lead to a step that waits for what never comes, so the call fails.
        right = f"right{next(_LABELS)}"
        return f"""<recv request="{method}">
            <action><verifyauth assign_to="good" {check} /></action></recv>
            <nop test="good" next="{right}" /><recv request="NEVER" timeout="1" />
            <label id="{right}" />"""
    if auth:  # SIPp computes no digest under another name
        regexp = f"username=.{CREDENTIALS.user}.*response=.[0-9a-f]{{32}}"
        return f"""<recv request="{method}"><action><ereg regexp="{regexp}" search_in="hdr"
            header="{auth}:" check_it="true" assign_to="given" /></action></recv>
            <Reference variables="given" />"""
    return f'<recv request="{method}" />'


def send(status: int, *lines: str, tag: str = "[pid]", cseq: str = "", sdp: bool = False) -> str:
    """A step that answers the last request, or the one of ``cseq``.

    ``tag`` goes into To; "" within a dialog, where the request has it.
    """
    body = SDP.replace("\r\n", "\n") if sdp else ""
    text = [
        f"SIP/2.0 {status} Phrase",
        "[last_Via:]",
        "[last_From:]",
        "[last_To:]" + (f";tag={tag}" if tag else ""),
        "[last_Call-ID:]",
        f"CSeq: {cseq}" if cseq else "[last_CSeq:]",
        *(lines or ["Contact: <sip:sipp@[local_ip]:[local_port]>"]),
        *(["Content-Type: application/sdp"] if sdp else []),
        "Content-Length: [len]",
        "",
        body,
    ]
    return "<send><![CDATA[\n" + "\n".join(text) + "\n]]></send>"


def challenge(status: int, qop: str = "") -> str:
    """A step that asks for credentials."""
    name = ASKED[status]
    return send(status, f'{name}: Digest realm="trunk", nonce="abc", algorithm=MD5{qop}')


_LABELS = itertools.count()
ENDED_BY_US = [recv("ACK"), recv("BYE"), send(200, tag="")]


@dataclass(frozen=True, slots=True)
class Peer:
    """A SIPp that plays its scenario once."""

    port: int
    process: subprocess.Popen[bytes]
    output: Path

    async def done(self) -> None:
        """The scenario is over, well or not."""
        await asyncio.to_thread(self.process.wait, DEADLINE_S)

    def check(self) -> None:
        """It went through."""
        assert self.process.wait(DEADLINE_S + 5) == 0, self.output.read_text("utf-8")[-3_000:]


@pytest.fixture
def peer(program: Callable[[str, str], str], tmp_path: Path) -> Callable[..., object]:
    """Runs SIPp with a scenario around a block: it must have gone through when the block ends."""
    sipp = program("sipp", "sip-tester")

    @contextlib.contextmanager
    def playing(*steps: str) -> Iterator[Peer]:
        file = tmp_path / f"scenario{len(list(tmp_path.iterdir()))}.xml"
        body = "\n".join(steps)
        file.write_text(f'<?xml version="1.0"?><scenario name="peer">{body}</scenario>')
        port = free_port()
        output = file.with_suffix(".out")
        with output.open("wb") as stdout:
            process = subprocess.Popen(
                [
                    *(sipp, "-sf", str(file), "-i", HOST, "-p", str(port), "-m", "1", "-nostdin"),
                    *("-timeout", str(DEADLINE_S), "-timeout_error"),
                ],
                cwd=tmp_path,
                stdout=stdout,
                stderr=subprocess.STDOUT,
            )
        try:
            assert wait_until_bound(process.pid, port), output.read_text("utf-8")
            found = Peer(port, process, output)
            yield found
            found.check()
        finally:
            process.kill()
            process.wait()

    return playing


class Caller:
    """A user agent on loopback. It notes what it is told, and ends each call that is answered."""

    def __init__(self) -> None:
        self.endpoint = SipEndpoint([f"udp:{HOST}:0"])
        config = UserAgentConfig(addresses=self.endpoint.addresses)
        self.agent = UserAgent(self.endpoint.send, self.endpoint.timers, config, self)  # type: ignore[arg-type]
        self.heard: list[str] = []
        self.ended: asyncio.Future[EndCause] = asyncio.get_running_loop().create_future()
        self.rings = asyncio.Event()
        self.endpoint.start(self.agent)

    def dial(self, port: int, **options):
        flow = self.endpoint.flow(HOST, port)
        uri = f"sip:callee@{HOST}:{port}"
        return self.agent.dial(uri, SDP.encode(), flow, from_uri=f"sip:robot@{HOST}", **options)

    def on_ringing(self, call, response):
        self.heard.append(f"{response.status} {response.to_tag}")
        self.rings.set()

    def on_answered(self, call, sdp):
        self.heard.append("answered")
        call.hangup()

    def on_ended(self, call, cause):
        self.ended.set_result(cause)

    def close(self):
        self.agent.shutdown()
        self.endpoint.close()


def run(story):
    """Run a coroutine function with a caller, for a bounded time."""

    async def bounded():
        async with asyncio.timeout(DEADLINE_S):
            caller = Caller()
            try:
                return await story(caller)
            finally:
                caller.close()

    return asyncio.run(bounded())


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("qop", ["", ', qop="auth"'])
def test_a_challenge_to_the_invite_is_answered(peer, status, qop):
    async def call(caller):
        caller.dial(sipp.port, credentials=CREDENTIALS)
        cause = await caller.ended
        await sipp.done()
        return caller.heard, cause.status

    steps = [
        recv("INVITE"),
        challenge(status, qop),
        recv("ACK"),
        recv("INVITE", auth=GIVEN[status]),
    ]
    with peer(*steps, send(200, sdp=True), *ENDED_BY_US) as sipp:
        assert run(call) == (["answered"], 200)


def test_a_challenge_to_the_bye_is_answered(peer):
    async def call(caller):
        caller.dial(sipp.port, credentials=CREDENTIALS)
        await caller.ended
        await sipp.done()
        return caller.heard

    steps = [recv("INVITE"), send(200, sdp=True), recv("ACK"), recv("BYE")]
    ask = 'WWW-Authenticate: Digest realm="trunk", nonce="abc"'
    steps += [send(401, ask, tag=""), recv("BYE", auth=GIVEN[401]), send(200, tag="")]
    with peer(*steps) as sipp:
        assert run(call) == ["answered"]


def test_a_password_that_is_refused_is_not_tried_again(peer):
    async def call(caller):
        caller.dial(sipp.port, credentials=CREDENTIALS)
        return (await caller.ended).status

    refused = [recv("INVITE"), challenge(407), recv("ACK")]
    with peer(*refused, *refused) as sipp:
        assert run(call) == 407


async def cancelled(caller, sipp):
    call = caller.dial(sipp.port)
    await caller.rings.wait()
    call.hangup()
    cause = await caller.ended
    await sipp.done()
    return caller.heard, cause.status


def test_cancel(peer):
    steps = [recv("INVITE"), send(180), recv("CANCEL"), send(200)]
    with peer(*steps, send(487, cseq="1 INVITE"), recv("ACK")) as sipp:
        heard, status = run(lambda caller: cancelled(caller, sipp))
    assert (len(heard), status) == (1, 487)


def test_a_200_that_crosses_the_cancel(peer):
    steps = [recv("INVITE"), send(180), recv("CANCEL"), send(200, cseq="1 INVITE", sdp=True)]
    with peer(*steps, send(481, cseq="1 CANCEL"), *ENDED_BY_US) as sipp:
        heard, status = run(lambda caller: cancelled(caller, sipp))
    assert (len(heard), status) == (1, 487)


def test_cancel_waits_for_a_sign_of_life(peer):
    async def call(caller):
        caller.dial(sipp.port).hangup()
        return (await caller.ended).status

    steps = [recv("INVITE"), send(100, tag=""), recv("CANCEL"), send(200)]
    with peer(*steps, send(487, cseq="1 INVITE"), recv("ACK")) as sipp:
        assert run(call) == 487


def test_two_forks_answer_and_one_is_left(peer):
    async def call(caller):
        caller.dial(sipp.port)
        await caller.ended
        await sipp.done()
        return caller.heard

    # Our user leaves the first that answers. The second does so when it sees that, and we leave it.
    late = answer(200, late=True, body=sdp())
    late = late.replace("[last_To:]", "To: <sip:callee@[local_ip]:[local_port]>;tag=one")
    steps = [
        hear("INVITE", header="Via", like="(SIP/2.0.*)", into="via"),
        *(send(183, tag="one", sdp=True), send(180, tag="two"), send(200, tag="two", sdp=True)),
        *(recv("ACK"), hear("BYE", header="To", like="tag=two"), send(200, tag=""), late),
        *(recv("ACK"), hear("BYE", header="To", like="tag=one"), send(200, tag="")),
    ]
    with peer(*steps) as sipp:
        assert run(call) == ["183 one", "180 two", "answered"]


@pytest.mark.parametrize("followed", [False, True])
def test_a_redirection(peer, followed):
    async def call(caller):
        def follow(call, uri):
            targets.append(uri)
            call.follow(caller.endpoint.flow(HOST, sipp.port))

        caller.dial(first.port, on_redirect=follow if followed else None)
        cause = await caller.ended
        await (sipp if followed else first).done()
        return cause.status, cause.contacts

    targets = []
    answer = [recv("INVITE"), send(200, sdp=True), *ENDED_BY_US]
    with contextlib.ExitStack() as peers:
        sipp = peers.enter_context(peer(*answer)) if followed else None
        best = f"sip:other@{HOST}:{sipp.port if followed else 5060}"
        contact = f"Contact: <{best}>"
        redirect = send(302, f"Contact: <sip:worse@{HOST}>;q=0.1", contact)
        first = peers.enter_context(peer(recv("INVITE"), redirect, recv("ACK")))
        status, contacts = run(call)
    assert targets == ([best] if followed else [])
    assert (status, contacts) == ((200, ()) if followed else (302, (best, f"sip:worse@{HOST}")))


def test_a_registration_with_digest_comes_and_goes(peer):
    async def register(caller):
        changed = asyncio.Event()
        told = []

        def note(registration):
            told.append(registration.state)
            changed.set()

        config = RegistrationConfig(f"sip:{HOST}", f"sip:robot@{HOST}", CREDENTIALS)
        flow = caller.endpoint.flow(HOST, sipp.port)
        registration = Registration(caller.agent, config, flow, note)
        registration.start()
        for stop in (True, False):
            while told[-1] not in (RegistrationState.REGISTERED, RegistrationState.STOPPED):
                changed.clear()
                await changed.wait()
            if stop:
                registration.stop()
        return [state.value for state in told], registration.granted_s

    ask = challenge(401, ', qop="auth"')
    steps = [recv("REGISTER"), ask, recv("REGISTER", auth=GIVEN[401])]
    steps += [
        send(200, "[last_Contact:]"),
        recv("REGISTER", auth=GIVEN[401]),
        send(200, "Expires: 0"),
    ]
    with peer(*steps) as sipp:
        states, granted_s = run(register)
    assert states == ["registering", "registered", "unregistering", "stopped"]
    assert granted_s == 600
