"""Transfers with SIPp on the other sides: asked by us, asked of us, and calls that are replaced."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from ringwheel import Call, Engine, Refer, Transferred

from .test_sipp_uac import DEADLINE_S, HOST, peer, recv, send

__all__ = ["peer"]

THIRD = f"sip:third@{HOST}:9"
SDP = f"""v=0
o=- 1 1 IN IP4 {HOST}
s=-
c=IN IP4 {HOST}
t=0 0
m=audio 9 RTP/AVP 0
"""
LEFT = [recv("BYE"), send(200, tag="")]


def keep(header: str, variable: str) -> str:
    """An action that notes a header of what came."""
    return f"""<ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{variable}" />"""


def expect(method: str, header: str, regexp: str) -> str:
    """A step that waits for a request with such a header."""
    return f"""<recv request="{method}"><action><ereg regexp="{regexp}" search_in="hdr"
        header="{header}:" check_it="true" assign_to="seen" /></action></recv>
        <Reference variables="seen" />"""


ANSWERS = [
    f"""<recv request="INVITE" rrs="true"><action>{keep("From", "them")}{keep("To", "us")}
        {keep("Contact", "contact")}</action></recv><Reference variables="contact,them,us" />""",
    send(200, sdp=True),
    recv("ACK"),
]
"""Takes a call, and notes what requests of its own need."""


def ask(method: str, cseq: int, *lines: str, body: str = "") -> str:
    """A step that sends a request within the call that was taken."""
    text = [
        f"{method} [next_url] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From:[$us];tag=[pid]",
        "To:[$them]",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:sipp@[local_ip]:[local_port]>",
        "Max-Forwards: 70",
        *lines,
        "Content-Length: [len]",
        "",
        body,
    ]
    return '<send retrans="500"><![CDATA[\n' + "\n".join(text) + "\n]]></send>"


def notify(cseq: int, status: str, state: str = "active;expires=60") -> list[str]:
    """Steps that tell how a transfer goes."""
    lines = (f"Subscription-State: {state}", "Event: refer", "Content-Type: message/sipfrag")
    return [ask("NOTIFY", cseq, *lines, body=f"SIP/2.0 {status}"), '<recv response="200" />']


def notified(status: str) -> list[str]:
    """Steps that are told how a transfer goes."""
    check = f"""<ereg regexp="SIP/2.0 {status}" search_in="body" check_it="true"
        assign_to="seen" />"""
    step = f'<recv request="NOTIFY"><action>{check}</action></recv>'
    return [step, '<Reference variables="seen" />', send(200, tag="")]


def uri(port: int) -> str:
    """Whom to call at a SIPp's port."""
    return f"sip:sipp@{HOST}:{port}"


@contextlib.asynccontextmanager
async def engine(
    on_refer: Callable[[Call, Refer], Awaitable[None]] | None = None,
) -> AsyncIterator[Engine]:
    """An engine that dials, and decides on transfers."""

    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_ended()

    async with asyncio.timeout(DEADLINE_S), Engine([f"udp:{HOST}:0"]) as ours:
        serving = asyncio.create_task(ours.serve(handler, on_refer=on_refer))
        await asyncio.sleep(0)
        yield ours
        await ours.drain(1)
        await serving


TOLD = [
    send(202, tag=""),
    *notify(1, "100 Trying"),
    *notify(2, "180 Ringing"),
    *notify(3, "200 OK", "terminated;reason=noresource"),
]


async def test_blind(peer):
    steps = [*ANSWERS, expect("REFER", "Refer-To", f"{THIRD}"), *TOLD, *LEFT]
    progress: list[int] = []
    with peer(*steps) as sipp:
        async with engine() as ours:
            call = await ours.dial(uri(sipp.port))
            done = await call.transfer(
                THIRD, on_progress=lambda progressed: progress.append(progressed.status)
            )
            await sipp.done()
    assert done == Transferred(200, "OK", "refer")
    assert progress == [100, 180, 200]


@pytest.mark.parametrize("status", [403, 603])
async def test_refused(peer, status):
    with peer(*ANSWERS, recv("REFER"), send(status, tag=""), *LEFT) as sipp:
        async with engine() as ours:
            call = await ours.dial(uri(sipp.port))
            done = await call.transfer(THIRD)
            await call.hangup()
            await sipp.done()
    assert done == Transferred(status, "Phrase", "refer")


async def test_bridged_where_the_peer_knows_no_refer(peer):
    steps = [*ANSWERS, recv("REFER"), send(501, tag=""), *LEFT]
    hangs_up = [*ANSWERS, '<pause milliseconds="200" />', ask("BYE", 1), '<recv response="200" />']
    with peer(*steps) as sipp, peer(*hangs_up) as third:
        async with engine() as ours:
            call = await ours.dial(uri(sipp.port))
            done = await call.transfer(uri(third.port))
            await sipp.done()
            await third.done()
    assert done == Transferred(200, "OK", "bridge")


async def test_attended(peer):
    replaces = "Replaces=[0-9a-f]+%3Bto-tag%3D[0-9]+%3Bfrom-tag%3D[0-9a-f]+"
    steps = [*ANSWERS, expect("REFER", "Refer-To", replaces), *TOLD, *LEFT]
    with peer(*steps) as sipp, peer(*ANSWERS, *LEFT) as third:
        async with engine() as ours:
            call = await ours.dial(uri(sipp.port))
            other = await ours.dial(uri(third.port))
            done = await call.transfer(other)
            await sipp.done()
            await third.done()
    assert done == Transferred(200, "OK", "refer")


@pytest.mark.parametrize("replaces", ["", "?Replaces=abc%3Bto-tag%3D1%3Bfrom-tag%3D2"])
async def test_we_are_sent_to_a_third(peer, replaces):
    async def follow(call: Call, refer: Refer) -> None:
        await refer.follow()

    if replaces:
        invited = expect("INVITE", "Replaces", "abc;to-tag=1;from-tag=2")
    else:
        invited = expect("INVITE", "Referred-By", "sip:boss@there")
    with peer(invited, send(180), send(200, sdp=True), recv("ACK"), *LEFT) as third:
        refer_to = f"Refer-To: <{uri(third.port)}{replaces}>"
        steps = [
            *(*ANSWERS, ask("REFER", 1, refer_to, "Referred-By: <sip:boss@there>")),
            *('<recv response="202" />', *notified("100")),
            *(*notified("180"), *notified("200"), *LEFT),
        ]
        with peer(*steps) as sipp:
            async with engine(follow) as ours:
                call = await ours.dial(uri(sipp.port))
                await call.wait_ended()
                await sipp.done()
                await third.done()


async def test_without_a_policy_we_call_nobody(peer):
    steps = [*ANSWERS, ask("REFER", 1, f"Refer-To: <{THIRD}>"), '<recv response="603" />']
    with peer(*steps, *LEFT) as sipp:
        async with engine() as ours:
            call = await ours.dial(uri(sipp.port))
            await until_refused(ours)
            await call.hangup()
            await sipp.done()


async def until_refused(ours: Engine) -> None:
    """Give way until the engine has refused a transfer."""
    while not ours.snapshot().sip["rejected_refer"]:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


def taker(call: Call, peer_tag: str, status: int, folder: Path) -> Path:
    """A scenario that calls in the place of ``call``'s peer."""
    lines = [
        "INVITE sip:robot@[remote_ip]:[remote_port] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From: <sip:third@[local_ip]:[local_port]>;tag=third",
        "To: <sip:robot@[remote_ip]:[remote_port]>",
        "Call-ID: [call_id]",
        "CSeq: 1 INVITE",
        "Contact: <sip:third@[local_ip]:[local_port]>",
        "Max-Forwards: 70",
        f"Replaces: {call.call_id};to-tag={call.id};from-tag={peer_tag}",
        "Require: replaces",
        "Content-Type: application/sdp",
        "Content-Length: [len]",
        "",
        SDP,
    ]
    ack = [
        "ACK [next_url] SIP/2.0",
        *(line for line in lines[1:8] if not line.startswith(("To:", "CSeq:"))),
        "[last_To:]",
        "CSeq: 1 ACK",
        "Content-Length: 0",
        "",
    ]
    steps = [
        '<send retrans="500"><![CDATA[\n' + "\n".join(lines) + "]]></send>",
        '<recv response="100" optional="true" />',
        f'<recv response="{status}" rrs="true" />',
        "<send><![CDATA[\n" + "\n".join(ack) + "\n]]></send>",
        *(LEFT if status == 200 else []),
    ]
    file = folder / "taker.xml"
    body = "".join(steps)
    file.write_text(f'<?xml version="1.0"?><scenario name="taker">{body}</scenario>')
    return file


@pytest.mark.parametrize(("tag", "status"), [("", 200), ("wrong", 481)])
async def test_another_takes_the_place_of_the_peer(peer, program, tmp_path, tag, status):
    with peer(*ANSWERS, *LEFT) as sipp:
        async with engine() as ours:
            call = await ours.dial(uri(sipp.port))
            file = taker(call, tag or str(sipp.process.pid), status, tmp_path)
            command = [program("sipp", "sip-tester"), ours.addresses[0], "-sf", str(file)]
            command += ["-i", HOST, "-m", "1", "-nostdin"]
            command += ["-timeout", str(DEADLINE_S), "-timeout_error"]
            taking = asyncio.create_task(
                asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True)
            )
            if status == 200:
                await sipp.done()
                assert call.ended is None
            else:
                await taking
            await call.hangup()
            finished = await taking
            await sipp.done()
    assert finished.returncode == 0, finished.stdout[-3000:]
