"""What nobody is told: addresses behind the advertised one, on the wire; secrets, in the log."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import structlog
from ringwheel import Call, Credentials, DialFailed, GateRules
from ringwheel.cli.logging import LogFormat, configure_logging
from ringwheel.media._core import SRTP_AVAILABLE
from ringwheel.media.sip.digest import lookup_of

from .callee import Callee
from .client import Message, Phone
from .conftest import address_of, eventually, serving

pytestmark = pytest.mark.one_loop

ADVERTISED = "127.77.77.77"
OURS = ("127.0.0.1", "0.0.0.0", socket.gethostname())
PEERS_OWN = {"via", "from", "to", "call-id"}
"""What a response copies from the request."""


def own_text(message: Message) -> str:
    """What of a message the engine has written itself."""
    lines = [f"{name}: {value}" for name, value in message.headers]
    if message.status:
        lines = [line for line in lines if line.split(":")[0].lower() not in PEERS_OWN]
    return "\n".join([message.start, *lines, message.body])


@dataclass(slots=True)
class Curious(Phone):
    """Keeps what it gets."""

    host: str = "127.9.9.9"
    seen: list[Message] = field(default_factory=list)

    async def message(self) -> Message:
        message = await Phone.message(self)
        self.seen.append(message)
        return message


@dataclass(slots=True)
class CuriousCallee(Callee):
    """Keeps what it gets, as it is called."""

    host: str = "127.9.9.8"
    seen: list[Message] = field(default_factory=list)

    async def message(self) -> Message:
        message = await Phone.message(self)
        self.seen.append(message)
        return message


def outward_address() -> str:
    """Of the interface that leads out of this machine, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def test_nothing_on_the_wire_names_an_address_behind_the_advertised_one(make_prompt):
    prompt, _ = make_prompt("a.ulaw", 8_000)
    inside = {*OURS, outward_address()}

    async def handle(call: Call) -> None:
        await call.answer()
        await call.play(prompt, loop=True)

    options = {"sip": ["udp:0.0.0.0:0"], "advertise": ADVERTISED, "max_calls": 2}
    async with serving(handle, **options) as engine:
        address = address_of(engine)
        assert address[0] == ADVERTISED
        async with Curious(address) as phone, Curious(address) as late, CuriousCallee() as callee:
            await phone.call()
            await phone.packets(1)
            call = next(iter(engine._calls.values()))
            held = asyncio.create_task(call.hold())
            await phone.accept_reinvite("recvonly")
            await held
            for method in ("OPTIONS", "INFO", "MESSAGE"):
                phone.send(method)
                await phone.response(method)
            dialled = asyncio.create_task(engine.dial(callee.uri))
            callee.reply(await callee.invited(), "200 OK", callee.offer())
            ours = await dialled
            await callee.request("ACK")
            late.invite()
            assert (await late.response("INVITE")).get("Warning")
            await ours.hangup()
            await callee.until_bye()
            given_up = asyncio.create_task(engine.dial(callee.uri, timeout_s=0.3))
            asked = await callee.invited()
            callee.reply(asked, "180 Ringing", tag="again")
            callee.reply(await callee.request("CANCEL"), "200 OK")
            callee.reply(asked, "487 Request Terminated", tag="again")
            with pytest.raises(DialFailed):
                await given_up
            await call.hangup()
            await phone.until_bye()
            messages = [*phone.seen, *late.seen, *callee.seen]
    methods = {message.method for message in messages if not message.status}
    assert {"INVITE", "ACK", "BYE", "CANCEL"} <= methods
    for message in messages:
        text = own_text(message)
        for host in inside:
            assert not re.search(rf"(?<![\w.]){re.escape(host)}(?![\w.])", text), text
    bodies = [message.body for message in messages if message.body]
    assert bodies
    assert all(f"IN IP4 {ADVERTISED}" in body for body in bodies)


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    """Everything that is logged, at the level that tells most."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging("debug", LogFormat.LOGFMT, stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


PASSWORD = "correct-horse-battery"
OTHER_PASSWORD = "wrong-horse-battery"


def authorization(challenge: str, password: str) -> tuple[str, list[str]]:
    """Credentials for a challenge, and what of them is secret."""
    nonce = re.search(r'nonce="([^"]+)"', challenge)
    assert nonce
    uri = "sip:robot@127.0.0.1"

    def h(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    ha1 = h(f"alice:ringwheel:{password}")
    invite = h(f"INVITE:{uri}")
    response = h(f"{ha1}:{nonce[1]}:00000001:cnonce:auth:{invite}")
    header = (
        f'Authorization: Digest username="alice", realm="ringwheel", nonce="{nonce[1]}", '
        f'uri="{uri}", response="{response}", algorithm=SHA-256, qop=auth, nc=00000001, '
        'cnonce="cnonce"'
    )
    return header, [password, ha1, response, nonce[1]]


@pytest.mark.skipif(not SRTP_AVAILABLE, reason="built without libsrtp2")
async def test_no_secret_is_logged_or_shown(debug_log, make_prompt):
    prompt, _ = make_prompt("a.ulaw", 800)
    users = lookup_of([Credentials("alice", PASSWORD)], "ringwheel")
    key = base64.b64encode(os.urandom(30)).decode()
    secrets = [PASSWORD, OTHER_PASSWORD, key]
    shown = []

    async def handle(call: Call) -> None:
        shown.append(repr(call) + repr(call._sip) + repr(call._sip.dialog))
        await call.answer()
        await call.play(prompt)
        raise RuntimeError("a mistake of the handler")

    rules = GateRules(users=users)
    served = serving(handle, srtp="optional", gate=rules)
    async with served as engine, Phone(address_of(engine)) as phone, Callee() as callee:
        crypto = f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}"
        body = phone.offer(crypto).replace("RTP/AVP", "RTP/SAVP")
        phone.send("INVITE", body)
        for number, password in enumerate((OTHER_PASSWORD, PASSWORD)):
            refused = await phone.response("INVITE")
            assert refused.status == 401
            phone.to_tag = ""
            phone.send("ACK")
            phone.call_id = f"try-{number}"
            header, more = authorization(refused.get("WWW-Authenticate"), password)
            secrets += more
            phone.send("INVITE", body, header)
        answer = await phone.response("INVITE")
        assert answer.status == 200
        secrets.append(answer.sdp("a=crypto:").split()[2].removeprefix("inline:"))
        phone.send("ACK")
        await phone.until_bye()
        unreadable = f"INVITE sip:x SIP/2.0\r\n{header}\r\na=crypto:{key}\r\n\r\n"
        phone.sip.sendto(unreadable.encode(), phone.server)
        dialled = asyncio.create_task(
            engine.dial(callee.uri, credentials=Credentials("me", PASSWORD))
        )
        nonce = os.urandom(12).hex()
        secrets.append(nonce)
        for _ in range(2):
            challenge = f'WWW-Authenticate: Digest realm="r", nonce="{nonce}", qop="auth"'
            asked = await callee.invited()
            secrets += re.findall(r'response="(\w+)"', asked.get("Authorization"))
            callee.reply(asked, "401 Unauthorized", "", challenge)
            await callee.request("ACK")
        with pytest.raises(DialFailed) as failed:
            await dialled
        shown.append(repr(failed.value) + str(failed.value) + repr(rules) + repr(engine))
        await eventually(lambda: "sip source rejected" in debug_log.getvalue())
    log = debug_log.getvalue()
    assert "a mistake of the handler" in log
    assert "sip message unreadable" in log
    assert len(secrets) > 10
    for secret in secrets:
        assert secret not in log
        assert not any(secret in text for text in shown)
