"""What keeps calls alive or ends them, with SIPp on the other side: PRACK, UPDATE, session timers,
changes of the session and those that meet, and a network that loses one packet in twenty."""

from __future__ import annotations

import asyncio
import contextlib
import random
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import soundfile
from ringwheel import Call, Engine

from ..ports import free_port
from .ports import until_bound

HOST = "127.0.0.1"
DEADLINE_S = 60
INTERVAL_S = 4
TIMERS = f"Session-Expires: {INTERVAL_S}"
CAN_TIME = "Supported: timer"
CALLS = 40
LOSS = 0.05


def sdp(direction: str = "sendrecv") -> str:
    """A description by SIPp, which sends no sound."""
    return f"""v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 9 RTP/AVP 0
a={direction}
"""


def message(*lines: str, body: str = "", retrans: bool = False) -> str:
    """A step that sends; ``retrans``: again until the next step is reached."""
    text = [*lines, "Content-Length: [len]"]
    text += ["Content-Type: application/sdp", "", body] if body else ["", ""]
    again = ' retrans="500"' if retrans else ""
    return f"<send{again}><![CDATA[\n" + "\n".join(text) + "\n]]></send>"


def ask(method: str, cseq: int, *lines: str, body: str = "", first: bool = False) -> str:
    """A request of the caller, whose dialog is that of the answer before unless it is the first."""
    uri = "sip:robot@[remote_ip]:[remote_port]" if first else "[next_url]"
    return message(
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]",
        f"To: <sip:robot@[remote_ip]:[remote_port]>{'' if first else '[peer_tag_param]'}",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:sipp@[local_ip]:[local_port]>",
        "Max-Forwards: 70",
        *lines,
        body=body,
        retrans=method != "ACK",
    )


def answer(status: int, *lines: str, body: str = "", late: bool = False, tag: str = "") -> str:
    """A step that answers the last request, or ``late`` the INVITE, whose Via was kept in ``via``;
    ``tag`` begins a dialog."""
    return message(
        f"SIP/2.0 {status} Phrase",
        "Via: [$via]" if late else "[last_Via:]",
        "[last_From:]",
        "[last_To:]" + (f";tag={tag}" if tag else ""),
        "[last_Call-ID:]",
        "CSeq: 1 INVITE" if late else "[last_CSeq:]",
        "Contact: <sip:sipp@[local_ip]:[local_port]>",
        *lines,
        body=body,
    )


def got(status: int, *, header: str = "", like: str = "", into: str = "") -> str:
    """A step that waits for a response; ``header`` has to be ``like`` a regular expression."""
    return _receive(f'response="{status}" rrs="true"', header, like, into)


def hear(method: str, *, header: str = "", like: str = "", into: str = "") -> str:
    """A step that waits for a request."""
    return _receive(f'request="{method}" rrs="true"', header, like, into)


def _receive(what: str, header: str, like: str, into: str) -> str:
    if not header:
        return f"<recv {what} />"
    names = f"whole,{into}" if into else "whole"
    return f"""<recv {what}><action><ereg regexp="{like}" search_in="hdr" header="{header}:"
        check_it="true" assign_to="{names}" /></action></recv><Reference variables="{names}" />"""


PROVISIONAL = '<recv response="100" optional="true" /><recv response="180" optional="true" />'
INVITED = [PROVISIONAL, got(200), ask("ACK", 1)]
LET_GO = [hear("BYE"), answer(200)]
ABSORBED = 'optional="true" next="lingers" timeout="2000" ontimeout="gone"'
LINGERS = f"""<label id="lingers" /><recv request="ACK" {ABSORBED} /><recv request="BYE" />
    {answer(200)}<nop next="lingers" /><label id="gone" /><nop />"""
"""What comes once more when a call is over: the ACK of a 200 that was repeated, and the BYE."""


class Sipp:
    """SIPp, which plays one scenario and has to come to its end."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def scenario(self, *steps: str) -> tuple[str, str]:
        """The option that names it."""
        file = self._folder / "scenario.xml"
        body = "\n".join(steps)
        file.write_text(f'<?xml version="1.0"?><scenario name="peer">{body}</scenario>')
        return "-sf", str(file)

    @contextlib.asynccontextmanager
    async def plays(self, *options: str, calls: int = 1) -> AsyncIterator[Process]:
        """Plays while the block runs; then every call has to have gone well."""
        limits = ("-m", str(calls), "-timeout", str(DEADLINE_S), "-timeout_error", "-nostdin")
        process = await asyncio.create_subprocess_exec(
            *(self._program, "-i", HOST, *limits, *options),
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield process
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode("utf-8", "replace")[-3_000:]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
def sipp(program: Callable[[str, str], str], tmp_path: Path) -> Sipp:
    return Sipp(program("sipp", "sip-tester"), tmp_path)


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A second of sound."""
    file = tmp_path / "tone.wav"
    soundfile.write(file, [0.1, -0.1] * 4_000, 8_000)
    return file


def engine(**options: object) -> Engine:
    """One with session timers of any length, on a free port."""
    times = {"session_expires_s": INTERVAL_S, "min_se_s": 1}
    return Engine([f"udp:{HOST}:0"], **(times | options))


def called(sipp: Sipp, handler: Callable[[Call], Awaitable[None]], *steps: str) -> None:
    """SIPp calls an engine, which deals with the call by ``handler``."""

    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), engine() as ours:
            serving = asyncio.ensure_future(ours.serve(handler))
            async with sipp.plays(*sipp.scenario(*steps), ours.addresses[0]):
                pass
            assert await ours.drain(5)
            await serving
            assert ours.snapshot().sip["handler_errors"] == 0

    asyncio.run(run())


async def until_ended(call: Call) -> None:
    await call.answer()
    await call.wait_ended()


class Half(asyncio.DatagramProtocol):
    """One side of a bad line: what comes in goes out on the other side, or is lost."""

    def __init__(self, source: random.Random, target: tuple[str, int] | None) -> None:
        self._random = source
        self.target = target
        self.other: Half | None = None
        self.transport: asyncio.DatagramTransport | None = None
        self.lost = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._random.random() < LOSS:
            self.lost += 1
            return
        self.target = self.target or addr
        assert self.other is not None
        self.other.pass_on(data)

    def pass_on(self, data: bytes) -> None:
        """Send to whom this side talks with."""
        assert self.transport is not None
        self.transport.sendto(data, self.target)


@contextlib.asynccontextmanager
async def bad_line(host: str, port: int) -> AsyncIterator[tuple[int, list[Half]]]:
    """A port that leads to another one and back, and loses packets both ways. (SIPp's own -lost
    does not send again what it has not sent.)"""
    loop = asyncio.get_running_loop()
    # Of the first eighty packets these two lose eight and nine.
    halves = [Half(random.Random(5), None), Half(random.Random(1), (host, port))]
    halves[0].other, halves[1].other = halves[1], halves[0]
    for half in halves:
        await loop.create_datagram_endpoint(partial(_itself, half), local_addr=(HOST, 0))
    near = halves[0].transport
    assert near is not None
    try:
        yield near.get_extra_info("sockname")[1], halves
    finally:
        for half in halves:
            if half.transport is not None:
                half.transport.close()


def _itself(half: Half) -> Half:
    return half


class TestCalled:
    """SIPp calls us."""

    def test_early_media_is_confirmed_by_prack(self, sipp, tone):
        async def greet(call):
            call.ring(early_media=True)
            played.append((await call.play(tone)).outcome.value)
            await call.answer()
            await call.hangup()

        played = []
        rack = "RAck: [$rseq] 1 INVITE"
        steps = [
            ask("INVITE", 1, "Require: 100rel", body=sdp(), first=True),
            got(183, header="RSeq", like="([0-9]+)", into="rseq"),
            ask("PRACK", 2, rack),
            got(200, header="CSeq", like="2 PRACK"),
            got(200, header="CSeq", like="1 INVITE"),
            ask("ACK", 1),
        ]
        called(sipp, greet, *steps, *LET_GO)
        assert played == ["finished"]

    def test_update_holds_and_resumes(self, sipp):
        async def held(call):
            await call.answer()
            await call.wait_held()
            holds.append(call.held)
            await call.wait_resumed()
            await call.hangup()

        holds = []
        invite = ask("INVITE", 1, body=sdp(), first=True)
        hold = ask("UPDATE", 2, body=sdp("sendonly"))
        resume = ask("UPDATE", 3, body=sdp())
        called(sipp, held, invite, *INVITED, hold, got(200), resume, got(200), *LET_GO)
        assert holds == [True]

    def test_reinvite_holds_and_resumes(self, sipp):
        async def held(call):
            await call.answer()
            await call.wait_held()
            await call.wait_resumed()
            await call.hangup()

        invite = ask("INVITE", 1, body=sdp(), first=True)
        steps = []
        for cseq, direction in ((2, "sendonly"), (3, "sendrecv")):
            steps += [ask("INVITE", cseq, body=sdp(direction)), got(200), ask("ACK", cseq)]
        called(sipp, held, invite, *INVITED, *steps, *LET_GO)

    def test_reinvite_of_ours(self, sipp):
        async def hold(call):
            await call.answer()
            await call.hold()
            await call.unhold()
            await call.hangup()

        invite = ask("INVITE", 1, body=sdp(), first=True)
        steps = []
        for direction in ("inactive", "sendrecv"):
            steps += [hear("INVITE"), answer(200, body=sdp(direction)), hear("ACK")]
        called(sipp, hold, invite, *INVITED, *steps, *LET_GO)

    def test_reinvites_that_meet(self, sipp):
        async def hold(call):
            await call.answer()
            await call.hold()
            await call.hangup()

        invite = ask("INVITE", 1, body=sdp(), first=True)
        glare = [
            hear("INVITE"),
            ask("INVITE", 2, body=sdp("sendonly")).replace(' retrans="500"', ""),
            got(491),
            ask("ACK", 2).replace("branch=[branch]", "branch=[branch-3]"),
        ]
        # SIPp answers what came last: so it has to see our INVITE once more.
        refuse = [hear("INVITE"), answer(491), hear("ACK")]
        again = [hear("INVITE"), answer(200, body=sdp("inactive")), hear("ACK")]
        called(sipp, hold, invite, *INVITED, *glare, *refuse, *again, *LET_GO)

    def test_a_session_that_is_not_refreshed_expires(self, sipp):
        async def note(call):
            await call.answer()
            causes.append(await call.wait_ended())

        causes = []
        invite = ask("INVITE", 1, CAN_TIME, TIMERS, body=sdp(), first=True)
        agreed = got(200, header="Session-Expires", like=f"{INTERVAL_S};refresher=uac")
        bye = hear("BYE", header="Reason", like="session timer expired")
        called(sipp, note, invite, PROVISIONAL, agreed, ask("ACK", 1), bye, answer(200))
        assert [(cause.by.value, cause.text) for cause in causes] == [
            ("error", "session timer expired")
        ]

    def test_a_session_that_is_refreshed_lives(self, sipp):
        invite = ask("INVITE", 1, CAN_TIME, TIMERS, body=sdp(), first=True)
        steps = []
        for cseq in (2, 3, 4):
            refresh = ask("UPDATE", cseq, CAN_TIME, f"{TIMERS};refresher=uac")
            steps += ['<pause milliseconds="1000" />', refresh, got(200)]
        bye = [ask("BYE", 5), got(200)]
        called(sipp, until_ended, invite, *INVITED, *steps, *bye)

    @pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
    def test_we_refresh(self, sipp, method):
        allow = f"Allow: INVITE, ACK, BYE, {method}"
        asked = f"{TIMERS};refresher=uas"
        invite = ask("INVITE", 1, CAN_TIME, asked, allow, body=sdp(), first=True)
        ours = f"{TIMERS};refresher=uac"
        body = sdp() if method == "INVITE" else ""
        refresh = [hear(method, header="Session-Expires", like="refresher=uac")]
        refresh += [answer(200, ours, body=body), *([hear("ACK")] if body else [])]
        bye = [ask("BYE", 2), got(200)]
        called(sipp, until_ended, invite, *INVITED, *refresh, *refresh, *bye)

    def test_an_interval_that_is_too_small(self, sipp):
        invite = ask("INVITE", 1, CAN_TIME, "Session-Expires: 0", body=sdp(), first=True)
        refused = got(422, header="Min-SE", like="1")
        acknowledged = ask("ACK", 1).replace("branch=[branch]", "branch=[branch-2]")
        again = ask("INVITE", 2, CAN_TIME, TIMERS, body=sdp(), first=True)
        bye = [ask("BYE", 3), got(200)]
        steps = [invite, PROVISIONAL, refused, acknowledged, again, PROVISIONAL, got(200)]
        called(sipp, until_ended, *steps, ask("ACK", 2), *bye)

    def test_every_call_goes_well_though_packets_are_lost(self, sipp):
        async def run():
            async with asyncio.timeout(DEADLINE_S), engine() as ours:
                serving = asyncio.ensure_future(ours.serve(until_ended))
                load = (*sipp.scenario(*steps), "-r", str(CALLS))
                host, _, port = ours.addresses[0].rpartition(":")
                async with bad_line(host, int(port)) as (near, halves):
                    async with sipp.plays(*load, f"{HOST}:{near}", calls=CALLS):
                        pass
                    assert await ours.drain(40)
                await serving
                return ours.snapshot().sip, [half.lost for half in halves]

        steps = [ask("INVITE", 1, body=sdp(), first=True), *INVITED]
        # Where ACK and BYE are both lost, the 200 that is repeated is no answer to the BYE.
        bye = ask("BYE", 2).replace("<send", '<send start_txn="bye"')
        steps += ['<pause milliseconds="200" />', bye, '<recv response="200" response_txn="bye" />']
        # Responses come back the same way (RFC 3581).
        steps = [step.replace("branch=[branch]", "branch=[branch];rport") for step in steps]
        counted, lost = asyncio.run(run())
        assert min(lost) > 0
        assert counted["calls_answered"] == CALLS
        assert counted["retransmissions_absorbed"] > 0
        assert counted["calls_ended_remote"] == CALLS


class TestCalling:
    """We call SIPp."""

    def call(self, sipp, talk, *steps):
        """An engine calls SIPp, deals with the call by ``talk``, and hangs up."""

        async def run():
            async with asyncio.timeout(DEADLINE_S), engine() as ours:
                port = free_port()
                async with sipp.plays(*sipp.scenario(*steps), "-p", str(port)) as process:
                    await until_bound(process.pid, port)
                    call = await ours.dial(f"sip:callee@{HOST}:{port}")
                    await talk(call)
                    await call.hangup()
                assert ours.snapshot().sip["handler_errors"] == 0

        asyncio.run(run())

    def test_a_reliable_183_is_confirmed(self, sipp):
        async def talk(call):
            outcomes.append(call.outcome.value)

        outcomes = []
        reliable = ("Require: 100rel", "RSeq: 17")
        steps = [
            hear("INVITE", header="Via", like="(SIP/2.0.*)", into="via"),
            answer(183, *reliable, body=sdp(), tag="sipp"),
            hear("PRACK", header="RAck", like="17 1 INVITE"),
            answer(200),
            answer(200, late=True),  # the answer to our offer came in the 183
            hear("ACK"),
        ]
        self.call(sipp, talk, *steps, *LET_GO)
        assert outcomes == ["answered"]

    def test_update_before_the_answer(self, sipp):
        async def talk(call):
            held.append(call.held)

        held = []
        reliable = ("Require: 100rel", "RSeq: 1")
        update = message(
            "UPDATE [next_url] SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
            "From: <sip:sipp@[local_ip]:[local_port]>;tag=sipp",
            "To:[$them]",
            "Call-ID: [call_id]",
            "CSeq: 1 UPDATE",
            "Contact: <sip:sipp@[local_ip]:[local_port]>",
            "Max-Forwards: 70",
            body=sdp("sendonly"),
            retrans=True,
        )
        steps = [
            hear("INVITE", header="Via", like="(SIP/2.0.*)", into="via"),
            answer(183, *reliable, body=sdp(), tag="sipp"),
            hear("PRACK", header="From", like="(.*)", into="them"),
            answer(200),
            update,
            got(200, header="CSeq", like="1 UPDATE"),
        ]
        accepted = answer(200, late=True)
        accepted = accepted.replace("[last_From:]", "From:[$them]")
        accepted = accepted.replace("[last_To:]", "To: <sip:sipp@[local_ip]:[local_port]>;tag=sipp")
        self.call(sipp, talk, *steps, accepted, hear("ACK"), *LET_GO)
        assert held == [True]

    def test_a_session_timer_that_we_ask_for(self, sipp):
        async def talk(call):
            causes.append(await call.wait_ended())

        causes = []
        steps = [
            hear("INVITE", header="Session-Expires", like=str(INTERVAL_S)),
            answer(200, f"{TIMERS};refresher=uac", "Allow: UPDATE", body=sdp(), tag="sipp"),
            hear("ACK"),
            hear("UPDATE", header="Session-Expires", like="refresher=uac"),
            answer(200, f"{TIMERS};refresher=uac"),
            hear("UPDATE"),
            answer(481),
        ]
        self.call(sipp, talk, *steps, *LET_GO)
        assert [(cause.by.value, cause.status) for cause in causes] == [("error", 481)]

    def test_a_peer_that_ought_to_refresh_and_does_not(self, sipp):
        async def talk(call):
            causes.append(await call.wait_ended())

        causes = []
        agreed = answer(200, f"{TIMERS};refresher=uas", "Require: timer", body=sdp(), tag="sipp")
        steps = [hear("INVITE"), agreed, hear("ACK")]
        self.call(sipp, talk, *steps, *LET_GO)
        assert [cause.text for cause in causes] == ["session timer expired"]

    def test_an_interval_that_is_too_small(self, sipp):
        async def talk(call):
            intervals.append(call.outcome.value)

        intervals = []
        steps = [
            hear("INVITE"),
            answer(422, "Min-SE: 300", tag="sipp"),
            hear("ACK"),
            hear("INVITE", header="Min-SE", like="300"),
            answer(200, "Session-Expires: 300;refresher=uac", body=sdp(), tag="sipp"),
            hear("ACK"),
        ]
        self.call(sipp, talk, *steps, *LET_GO)
        assert intervals == ["answered"]

    def test_every_call_goes_well_though_packets_are_lost(self, sipp):
        async def one(ours, port):
            call = await ours.dial(f"sip:callee@{HOST}:{port}", timeout_s=30)
            return (await call.hangup()).status

        async def run():
            async with asyncio.timeout(DEADLINE_S), engine() as ours:
                port = free_port()
                async with bad_line(HOST, port) as (near, halves):
                    # Requests within the dialog go by the bad line, too.
                    scenario = [step.replace(":[local_port]>", f":{near}>") for step in steps]
                    options = (*sipp.scenario(*scenario), "-p", str(port))
                    async with sipp.plays(*options, calls=CALLS) as process:
                        await until_bound(process.pid, port)
                        ended = await asyncio.gather(*(one(ours, near) for _ in range(CALLS)))
                return ended, [half.lost for half in halves]

        again = '<send retrans="500">'
        accepted = answer(200, body=sdp(), tag="sipp").replace("<send>", again)
        steps = [hear("INVITE"), answer(180, tag="sipp"), accepted]
        # Where the ACK is lost, the BYE comes first.
        steps += ['<recv request="ACK" optional="true" />', *LET_GO, LINGERS]
        ended, lost = asyncio.run(run())
        assert min(lost) > 0
        assert ended == [200] * CALLS
