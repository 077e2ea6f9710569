"""Calls whose sound is encrypted, with libsrtp2's own Python binding as the caller."""

from __future__ import annotations

import asyncio
import base64
import json
import os

import pylibsrtp
import pytest
from ringwheel import Call, Engine
from ringwheel.media._core import SRTP_AVAILABLE
from ringwheel.media.events import PlayOutcome

from .client import Message, Phone, Rtp, read_rtp
from .conftest import address_of, eventually, phoning, serving
from .test_hear import EVENTS, Mouth
from .test_rtcp import goodbye, is_rtcp, read_report, receiver_report

pytestmark = pytest.mark.one_loop

if not SRTP_AVAILABLE and not os.environ.get("CI"):
    pytest.skip("this build has no libsrtp2", allow_module_level=True)

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES_CM_128_HMAC_SHA1_32": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AEAD_AES_128_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AEAD_AES_256_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}


class Secret:
    """The caller's side of one agreement: offers a key, takes the engine's."""

    def __init__(self, suite: str = "AES_CM_128_HMAC_SHA1_80") -> None:
        self.suite = suite
        self._profile, key_bytes = SUITES[suite]
        self._key = os.urandom(key_bytes)

    @property
    def attribute(self) -> str:
        return f"crypto:7 {self.suite} inline:{base64.b64encode(self._key).decode()}|2^31"

    def offer(self, phone: Phone, *attributes: str, secure: bool = True) -> str:
        body = phone.offer(self.attribute, *attributes)
        return body.replace("RTP/AVP", "RTP/SAVP") if secure else body

    def settle(self, answer: Message) -> None:
        tag, suite, inline = answer.sdp("a=crypto:").split()[:3]
        assert (tag, suite) == ("7", self.suite)
        theirs = base64.b64decode(inline.removeprefix("inline:"))
        self._out = self._session(self._key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._in = self._session(theirs, pylibsrtp.Policy.SSRC_ANY_INBOUND)

    def _session(self, key: bytes, direction: int) -> pylibsrtp.Session:
        return pylibsrtp.Session(
            pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=self._profile)
        )

    def protect(self, packet: bytes) -> bytes:
        return self._out.protect(packet)

    def unprotect(self, packet: bytes) -> bytes:
        return self._in.unprotect(packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._out.protect_rtcp(packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        return self._in.unprotect_rtcp(packet)


class SecretMouth(Mouth):
    """Sends what it says encrypted."""

    def __init__(self, phone: Phone, answer: Message, secret: Secret) -> None:
        super().__init__(phone, answer)
        self._secret = secret

    def send(self, packet: bytes) -> None:
        super().send(self._secret.protect(packet))


def heard_by(phone: Phone, secret: Secret) -> list[Rtp]:
    """What came, decrypted."""
    waiting = phone.waiting_datagrams()
    return [read_rtp(secret.unprotect(data), source) for data, source in waiting]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("secure", [True, False])
async def test_a_prompt_is_heard_to_the_byte(make_prompt, suite, secure):
    prompt, payload = make_prompt("a.ulaw", 3_300)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt)

    secret = Secret(suite)
    async with serving(handler, srtp="optional") as engine, phoning(engine) as phone:
        answer = await phone.call(secret.offer(phone, secure=secure))
        assert answer.sdp("m=audio ").split()[1] == ("RTP/SAVP" if secure else "RTP/AVP")
        secret.settle(answer)
        await phone.until_bye()
        packets = heard_by(phone, secret)
    assert b"".join(packet.payload for packet in packets)[: len(payload)] == payload
    assert len(packets) == 21


async def test_what_the_caller_does_is_heard_and_what_is_not_his_is_dropped(make_prompt):
    prompt, _ = make_prompt("a.ulaw", 80_000)
    outcomes: list[PlayOutcome] = []

    async def handler(call: Call) -> None:
        await call.answer()
        outcomes.append((await call.play(prompt, barge_in="dtmf")).outcome)

    secret = Secret()
    async with (
        serving(handler, srtp="required") as engine,
        phoning(engine, formats="0 101") as phone,
    ):
        answer = await phone.call(secret.offer(phone, *EVENTS))
        secret.settle(answer)
        plain, mouth = Mouth(phone, answer), SecretMouth(phone, answer, secret)
        plain.press("1")
        plain.packet(bytes(160), 0)
        mouth.packet(bytes(160), 0)
        plain.send(mouth.sent)
        await eventually(lambda: engine.snapshot().media["srtp_replayed"] == 1)
        media = engine.snapshot().media
        assert (media["srtp_too_short"], media["srtp_authentication_failed"]) == (5, 1)
        assert (media["digits_heard"], media["packets_received"]) == (0, 1)
        await eventually(lambda: engine.snapshot().media["packets_sent"] > 0)  # the prompt plays
        mouth.press("2")
        await phone.until_bye()
        assert engine.snapshot().media["digits_heard"] == 1
    assert outcomes == [PlayOutcome.BARGED_IN]


async def test_new_keys_in_mid_call(make_prompt):
    prompt, payload = make_prompt("a.ulaw", 16_000)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt)

    old, new = Secret(), Secret()
    async with serving(handler, srtp="optional") as engine, phoning(engine) as phone:
        old.settle(await phone.call(old.offer(phone)))
        heard = [
            read_rtp(old.unprotect(data), source)
            for data, source in [await phone.datagram() for _ in range(20)]
        ]
        new.settle(await phone.call(new.offer(phone)))
        await phone.until_bye()
        for data, source in phone.waiting_datagrams():
            # Our own key stays, as only the caller has changed his.
            heard.append(read_rtp(old.unprotect(data), source))
    assert b"".join(packet.payload for packet in heard) == payload


@pytest.mark.parametrize(
    ("policy", "offer", "warning"),
    [
        ("required", lambda phone: phone.offer(), "SRTP"),
        ("off", lambda phone: Secret().offer(phone), "RTP/AVP"),
        (
            "required",
            lambda phone: phone.offer("crypto:1 F8_128_HMAC_SHA1_80 inline:" + "A" * 40),
            "SRTP",
        ),
    ],
)
async def test_what_cannot_be_is_refused_with_the_cause(policy, offer, warning):
    async def handler(call: Call) -> None:
        await call.answer()

    async with serving(handler, srtp=policy) as engine, phoning(engine) as phone:
        phone.invite(offer(phone))
        refusal = await phone.response("INVITE")
        assert refusal.status == 488
        assert warning in refusal.get("Warning")


async def test_a_call_that_began_encrypted_stays_so():
    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_ended()

    secret = Secret()
    async with serving(handler, srtp="optional") as engine, phoning(engine) as phone:
        secret.settle(await phone.call(secret.offer(phone)))
        phone.invite(phone.offer())
        refusal = await phone.response("INVITE")
        phone.send("ACK")
        assert refusal.status == 488
        await phone.hang_up()


def test_no_such_policy():
    with pytest.raises(ValueError, match="perhaps"):
        Engine(srtp="perhaps")


async def test_no_secret_shows(capsys):
    seen: list[str] = []

    async def handler(call: Call) -> None:
        await call.answer()
        seen.append(repr(call))
        await asyncio.sleep(0)

    secret = Secret()
    async with serving(handler, srtp="optional") as engine, phoning(engine) as phone:
        answer = await phone.call(secret.offer(phone))
        await phone.until_bye()
    key = answer.sdp("a=crypto:").split("inline:")[1]
    shown = "".join(capsys.readouterr()) + "".join(seen)
    assert key not in shown
    assert secret.attribute.split("inline:")[1] not in shown


@pytest.mark.parametrize("suite", SUITES)
async def test_reports_are_encrypted_too(make_prompt, suite):
    prompt, _ = make_prompt("a.ulaw", 1_600)
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        await call.answer()
        await call.play(prompt, loop=True)

    secret = Secret(suite)
    async with serving(handler, srtp="required") as engine, phoning(engine) as phone:
        answer = await phone.call(secret.offer(phone, "rtcp-mux"))
        secret.settle(answer)
        target = "127.0.0.1", int(answer.sdp("m=audio ").split()[0])
        packets = 0
        while True:
            data, _ = await phone.datagram()
            if is_rtcp(data):
                break
            packets += 1
        report = read_report(secret.unprotect_rtcp(data))
        assert report.sender is not None
        assert report.sender[2:] == (packets, 160 * packets)
        told = receiver_report(report.ssrc, lost=4)
        phone.rtp.sendto(told + bytes(40), target)
        phone.rtp.sendto(told, target)
        phone.rtp.sendto(secret.protect_rtcp(told), target)
        await eventually(lambda: calls[0].figures.told is not None)
        media = engine.snapshot().media
        assert media["rtcp_received"] == 1
        assert sum(count for name, count in media.items() if name.startswith("srtp_")) == 2
        assert calls[0].figures.told.lost == 4
        phone.rtp.sendto(secret.protect_rtcp(goodbye(1)), target)
        await eventually(lambda: engine.snapshot().media["rtcp_received"] == 2)
        await phone.hang_up()
        await eventually(lambda: engine.snapshot().media["rtcp_sent"] == 2)
        said = [data for data, _ in phone.waiting_datagrams() if is_rtcp(data)]
        assert read_report(secret.unprotect_rtcp(said[-1])).bye


async def test_an_adopted_call_gets_new_keys(make_prompt):
    prompt, payload = make_prompt("a.ulaw", 1_600)
    calls: asyncio.Queue[Call] = asyncio.Queue()

    async def handler(call: Call) -> None:
        await call.answer()
        calls.put_nowait(call)
        await call.wait_ended()

    secret, engines = Secret(), (serving(handler, srtp="required"), serving(handler, srtp="off"))
    async with engines[0] as first, engines[1] as second, phoning(first) as phone:
        answer = await phone.call(secret.offer(phone))
        state = json.dumps((await calls.get()).snapshot())
        assert "crypto" not in state and answer.sdp("a=crypto:").split(":")[-1] not in state
        phone.server = address_of(second)
        adopting = asyncio.ensure_future(second.adopt(json.loads(state)))
        asked = await phone.request("INVITE")
        assert asked.sdp("a=crypto:") != answer.sdp("a=crypto:")
        secret.settle(asked)
        phone.answer(asked, body=secret.offer(phone))
        call = await adopting
        await call.play(prompt)
        packets = heard_by(phone, secret)
    assert b"".join(packet.payload for packet in packets) == payload


async def test_who_takes_the_place_of_another_gets_a_key_of_its_own(make_prompt):
    prompt, payload = make_prompt("long.ulaw", 16_000)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(prompt)

    left, new = Secret(), Secret()
    async with (
        serving(handler, srtp="required") as engine,
        phoning(engine) as first,
        phoning(engine) as second,
    ):
        left.settle(await first.call(left.offer(first)))
        heard = [left.unprotect((await first.datagram())[0]) for _ in range(10)]
        tags = f"to-tag={first.to_tag};from-tag=from-{first.call_id}"
        second.invite_headers = (f"Replaces: {first.call_id};{tags}",)
        new.settle(await second.call(new.offer(second)))
        await first.until_bye()
        await second.until_bye()
        heard += [left.unprotect(data) for data, _ in first.waiting_datagrams()]
        encrypted = [data for data, _ in second.waiting_datagrams() if not is_rtcp(data)]
        assert len(encrypted) > 50
        with pytest.raises(pylibsrtp.Error):
            left.unprotect(encrypted[0])
        heard += [new.unprotect(data) for data in encrypted]
    assert b"".join(packet[12:] for packet in heard) == payload
