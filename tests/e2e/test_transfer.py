"""Transfers on the wire: asked of a peer, or by one, by a bridge; and calls that are replaced."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from ringwheel import Call, DialFailed, Engine, Refer, Transferred
from ringwheel.media.transfer import OnRefer
from ringwheel.media.trunk import CallerRules, Peer, Trunk

from .callee import Callee
from .client import TIMEOUT_S, Message, Phone
from .conftest import eventually, phoning, serving

pytestmark = pytest.mark.one_loop

THIRD = "sip:third@127.0.0.1:9"
COPIED = ("Via", "From", "To", "Call-ID", "CSeq")
OVER = "Subscription-State: terminated;reason=noresource"


def notify(phone: Phone, status: str, state: str = "Subscription-State: active;expires=60") -> None:
    """Tell the engine how the phone's call to the third party goes."""
    lines = ("Event: refer", state, "Content-Type: message/sipfrag;version=2.0")
    phone.send("NOTIFY", "", *lines, content=f"SIP/2.0 {status}\r\n")


class Robot:
    """Answers, transfers as it is told, and goes on or not."""

    def __init__(self, **transfer: object) -> None:
        self.transfer = transfer
        self.result: Transferred | None = None
        self.progress: list[int] = []
        self.error: Exception | None = None
        self.done = asyncio.Event()
        self.call: Call | None = None

    async def __call__(self, call: Call) -> None:
        self.call = call
        await call.answer()
        try:
            self.result = await call.transfer(
                **self.transfer,  # type: ignore[arg-type]
                on_progress=lambda progress: self.progress.append(progress.status),
            )
        except Exception as error:
            self.error = error
            raise
        finally:
            self.done.set()
        await call.wait_ended()


async def asked(phone: Phone, status: str = "202 Accepted", *, call: bool = True) -> Message:
    """Call, and answer the REFER that comes."""
    if call:
        await phone.call()
    refer = await phone.request("REFER")
    phone.answer(refer, status)
    return refer


# Asked of a peer


async def test_the_peer_is_sent_to_the_third_party_and_we_leave():
    robot = Robot(target=THIRD)
    async with serving(robot) as engine, phoning(engine) as phone:
        refer = await asked(phone)
        assert refer.get("Refer-To") == f"<{THIRD}>"
        assert refer.get("Referred-By").startswith("<sip:robot@")
        for status, state in (("100 Trying", ""), ("180 Ringing", ""), ("200 OK", OVER)):
            notify(phone, status, state or "Subscription-State: active;expires=60")
            assert (await phone.response("NOTIFY")).status == 200
        await phone.until_bye()
        await robot.done.wait()
    assert robot.result == Transferred(200, "OK", "refer")
    assert robot.result.ok
    assert robot.progress == [100, 180, 200]


@pytest.mark.parametrize("status", [486, 404, 603])
async def test_the_third_party_does_not_answer_and_the_call_goes_on(status):
    robot = Robot(target=THIRD)
    async with serving(robot) as engine, phoning(engine) as phone:
        await asked(phone)
        notify(phone, f"{status} No", OVER)
        await phone.response("NOTIFY")
        await robot.done.wait()
        assert robot.result == Transferred(status, "No", "refer")
        assert not robot.result.ok
        await phone.hang_up()
    assert phone.bye is None


@pytest.mark.parametrize(("how", "status"), [("auto", 603), ("refer", 405), ("refer", 501)])
async def test_a_peer_that_refuses_is_told_by_its_status(how, status):
    robot = Robot(target=THIRD, how=how)
    async with serving(robot) as engine, phoning(engine) as phone:
        await asked(phone, f"{status} No")
        await robot.done.wait()
        assert robot.result == Transferred(status, "No", "refer")
        await phone.hang_up()


async def test_a_peer_that_will_not_tell_is_left():
    robot = Robot(target=THIRD)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        refer = await phone.request("REFER")
        head = [f"{name}: {value}" for name, value in refer.headers if name in COPIED]
        lines = ["SIP/2.0 202 Accepted", *head, "Refer-Sub: false", "Content-Length: 0", "", ""]
        phone.sip.sendto("\r\n".join(lines).encode(), phone.server)
        await phone.until_bye()
        await robot.done.wait()
    assert robot.result == Transferred(202, "Accepted", "refer", told=False)


async def test_no_outcome_in_time():
    robot = Robot(target=THIRD, timeout_s=0.2)
    async with serving(robot) as engine, phoning(engine) as phone:
        await asked(phone)
        await robot.done.wait()
        assert robot.result == Transferred(408, "no outcome in time", "refer")
        # The peer tells all the same: what we do not wait for is taken, or unknown.
        notify(phone, "200 OK", OVER)
        assert (await phone.response("NOTIFY")).status == 200
        await phone.hang_up()


async def test_the_peer_hangs_up_in_the_midst_of_it():
    robot = Robot(target=THIRD)
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await phone.request("REFER")
        await phone.hang_up()
        await robot.done.wait()
    assert "the call was ended (remote)" in str(robot.error)


async def test_a_transfer_that_was_cancelled_is_not_waited_for():
    asking = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        transferring = asyncio.create_task(call.transfer(THIRD))
        await asking.wait()
        transferring.cancel()
        await asyncio.wait([transferring])
        with pytest.raises(ValueError, match="itself"):
            await call.transfer(call)
        await call.wait_ended()

    async with serving(handler) as engine, phoning(engine) as phone:
        await asked(phone)
        asking.set()
        await asyncio.sleep(0)
        notify(phone, "180 Ringing")
        assert (await phone.response("NOTIFY")).status == 481
        await phone.hang_up()


async def test_attended_the_peer_takes_the_place_of_our_other_call():
    other: list[Call] = []
    results: list[Transferred] = []

    async def handler(call: Call) -> None:
        await call.answer()
        if not other:
            other.append(call)
            await call.wait_ended()
        else:
            results.append(await call.transfer(other[0]))

    async with serving(handler) as engine, phoning(engine) as third, phoning(engine) as phone:
        await third.call()
        refer = await asked(phone)
        uri, _, replaces = refer.get("Refer-To").strip("<>").partition("?Replaces=")
        assert uri == f"sip:caller@127.0.0.1:{third.sip.getsockname()[1]}"
        # RFC 3891: the tags as the third party knows them, its own first.
        assert (
            replaces
            == f"{third.call_id}%3Bto-tag%3Dfrom-{third.call_id}%3Bfrom-tag%3D{third.to_tag}"
        )
        notify(phone, "200 OK", OVER)
        await phone.until_bye()
        await third.until_bye()
        await eventually(lambda: bool(results))
    assert results == [Transferred(200, "OK", "refer")]


# By a bridge


@pytest.mark.parametrize(
    ("how", "allow", "answer"),
    [
        ("auto", "Allow: INVITE, ACK, BYE, CANCEL", ""),
        ("auto", "Allow: INVITE, ACK, BYE, REFER", "405 Method Not Allowed"),
        ("auto", "", "501 Not Implemented"),
        ("bridge", "", ""),
    ],
)
async def test_a_peer_that_knows_no_refer_is_bridged(how, allow, answer):
    async with Callee() as third:
        robot = Robot(target=third.uri, how=how)
        async with serving(robot) as engine, phoning(engine) as phone:
            phone.invite_headers = (allow,) if allow else ()
            if answer:
                await asked(phone, answer)
            else:
                await phone.call()
            invite = await third.invited()
            third.reply(invite, "180 Ringing")
            third.reply(invite, "200 OK", third.offer())
            await third.request("ACK")
            await eventually(lambda: robot.progress == [180, 200])
            packet = bytes([0x80, 0]) + bytes(10) + bytes(range(160))
            engine_port = int(invite.sdp("m=audio ").split()[0])
            third.rtp.sendto(packet, ("127.0.0.1", engine_port))
            heard = await phone.packets(1)
            assert heard[0].payload == bytes(range(160))
            await phone.hang_up()
            await third.until_bye()
            await robot.done.wait()
    assert robot.result == Transferred(200, "OK", "bridge")


async def test_a_third_party_that_is_busy_leaves_the_call_as_it_was():
    async with Callee() as third:
        robot = Robot(target=third.uri, how="bridge")
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            third.reply(await third.invited(), "486 Busy Here")
            await robot.done.wait()
            assert robot.result == Transferred(486, "Busy Here", "bridge")
            await phone.hang_up()


async def test_the_caller_gives_up_while_the_third_party_rings():
    async with Callee() as third:
        robot = Robot(target=third.uri, how="bridge")
        async with serving(robot) as engine, phoning(engine) as phone:
            await phone.call()
            invite = await third.invited()
            third.reply(invite, "180 Ringing")
            await phone.hang_up()
            cancel = await third.request("CANCEL")
            third.reply(cancel, "200 OK")
            third.reply(invite, "487 Request Terminated")
            await robot.done.wait()
            assert "the call was ended (remote)" in str(robot.error)
            await eventually(lambda: engine.snapshot().calls_up == 0)


@pytest.mark.parametrize(
    "wrong", [{"how": "magic"}, {"timeout_s": 0}, {"timeout_s": 181}, {"target": "nobody"}]
)
async def test_what_cannot_be(wrong):
    robot = Robot(**{"target": THIRD, **wrong})
    async with serving(robot) as engine, phoning(engine) as phone:
        await phone.call()
        await robot.done.wait()
        await phone.until_bye()
    assert isinstance(robot.error, ValueError)


async def test_a_call_that_is_bridged_already_has_nobody_called():
    async with (
        serving(stays) as engine,
        Callee() as third,
        phoning(engine) as one,
        phoning(engine) as other,
    ):
        await one.call()
        await other.call()
        ours, theirs = engine.calls
        await eventually(lambda: ours.state == theirs.state == "confirmed")
        bridging = asyncio.create_task(ours.bridge(theirs))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="is connected with call"):
            await ours.transfer(third.uri, how="bridge", timeout_s=1)
        assert engine.snapshot().sip["calls_dialled"] == 0
        await one.hang_up()
        await bridging
        await other.hang_up()


# Asked by a peer


async def refer_us(phone: Phone, target: str, *lines: str) -> Message:
    """The phone asks the engine to call ``target``; the answer."""
    phone.send("REFER", "", f"Refer-To: <{target}>", *lines)
    return await phone.response("REFER")


async def notified_or_bye(phone: Phone) -> None:
    """Answers what comes next."""
    message = await phone.message()
    if message.method == "NOTIFY" and not message.status:
        phone.answer(message)


async def notified(phone: Phone) -> tuple[str, str]:
    """What the next NOTIFY says, and the state of the subscription."""
    message = await phone.request("NOTIFY")
    phone.answer(message)
    return message.body.strip(), message.get("Subscription-State")


async def stays(call: Call) -> None:
    """A handler that answers and waits."""
    await call.answer()
    await call.wait_ended()


@contextlib.asynccontextmanager
async def referred(on_refer: OnRefer | None) -> AsyncIterator[tuple[Engine, Phone]]:
    """An engine with that policy, and a phone that is going to ask."""
    async with serving(stays, on_refer=on_refer) as engine, phoning(engine) as phone:
        yield engine, phone


async def test_we_call_tell_and_go_on_with_the_third_party(make_prompt):
    prompt, payload = make_prompt("hello.ulaw", 800)
    seen = []

    async def on_refer(call: Call, refer: Refer) -> None:
        seen.append((refer.target, refer.referred_by, refer.attended))
        other = await refer.follow()
        await other.play(prompt)

    async with (
        Callee() as third,
        serving(stays, on_refer=on_refer) as engine,
        phoning(engine) as phone,
    ):
        await phone.call()
        answer = await refer_us(phone, third.uri, "Referred-By: <sip:boss@there>")
        assert answer.status == 202
        assert await notified(phone) == ("SIP/2.0 100 Trying", "active;expires=180")
        invite = await third.invited()
        assert invite.get("Referred-By") == "<sip:boss@there>"
        assert invite.get("Replaces") == ""
        third.reply(invite, "180 Ringing")
        assert (await notified(phone))[0] == "SIP/2.0 180 Ringing"
        third.reply(invite, "200 OK", third.offer())
        assert await notified(phone) == ("SIP/2.0 200 OK", "terminated;reason=noresource")
        await phone.until_bye()
        packets = await third.packets(5)
        assert b"".join(packet.payload for packet in packets) == payload
        await third.until_bye()
        await eventually(lambda: engine.snapshot().calls_up == 0)
        assert seen == [(third.uri, "<sip:boss@there>", False)]


async def test_a_third_party_that_refuses_is_told_of_and_the_call_goes_on():
    failed = []

    async def on_refer(call: Call, refer: Refer) -> None:
        try:
            await refer.follow()
        except DialFailed as error:
            failed.append(error.status)
            raise

    async with (
        Callee() as third,
        serving(stays, on_refer=on_refer) as engine,
        phoning(engine) as phone,
    ):
        await phone.call()
        await refer_us(phone, third.uri)
        await notified(phone)
        third.reply(await third.invited(), "486 Busy Here")
        assert await notified(phone) == ("SIP/2.0 486 Busy Here", "terminated;reason=noresource")
        await phone.hang_up()
    assert failed == [486]


async def test_an_attended_transfer_carries_what_it_replaces():
    async def on_refer(call: Call, refer: Refer) -> None:
        assert refer.attended
        await refer.follow()

    async with (
        Callee() as third,
        serving(stays, on_refer=on_refer) as engine,
        phoning(engine) as phone,
    ):
        await phone.call()
        target = f"{third.uri}?Replaces=abc%40there%3Bto-tag%3D1%3Bfrom-tag%3D2"
        await refer_us(phone, target)
        invite = await third.invited()
        assert invite.start == f"INVITE {third.uri} SIP/2.0"
        assert invite.get("Replaces") == "abc@there;to-tag=1;from-tag=2"
        third.reply(invite, "200 OK", third.offer())
        assert await notified(phone) == ("SIP/2.0 100 Trying", "active;expires=180")
        assert (await notified(phone))[0] == "SIP/2.0 200 OK"
        await phone.until_bye()
        await third.until_bye()


async def test_it_may_also_be_bridged_with_who_asked():
    async def on_refer(call: Call, refer: Refer) -> None:
        await call.bridge(await refer.follow(leave=False))

    async with (
        Callee() as third,
        serving(stays, on_refer=on_refer) as engine,
        phoning(engine) as phone,
    ):
        await phone.call()
        await refer_us(phone, third.uri)
        await notified(phone)
        third.reply(await third.invited(), "200 OK", third.offer())
        assert (await notified(phone))[0] == "SIP/2.0 200 OK"
        assert phone.bye is None
        await phone.hang_up()
        await third.until_bye()


async def test_nobody_has_us_call_unless_we_are_told_to():
    async with referred(None) as (_, phone):
        await phone.call()
        assert (await refer_us(phone, THIRD)).status == 603
        await phone.hang_up()


async def nothing(call: Call, refer: Refer) -> None:
    """Decides nothing."""


async def no(call: Call, refer: Refer) -> None:
    """Refuses."""
    refer.reject(403)


async def broken(call: Call, refer: Refer) -> None:
    """Fails."""
    raise RuntimeError("bug")


@pytest.mark.parametrize(("on_refer", "status"), [(nothing, 603), (no, 403), (broken, 603)])
async def test_a_transfer_that_is_not_followed_is_refused(on_refer, status):
    async with referred(on_refer) as (_, phone):
        await phone.call()
        assert (await refer_us(phone, THIRD)).status == status
        await phone.hang_up()


async def test_the_third_party_does_not_wait_for_who_has_referred_us(make_prompt, monkeypatch):
    prompt, payload = make_prompt("hello.ulaw", 800)
    monkeypatch.setattr("ringwheel.media.transfer.LEAVE_S", 0.5)

    async def on_refer(call: Call, refer: Refer) -> None:
        other = await refer.follow()
        await other.play(prompt)

    async with Callee() as third, referred(on_refer) as (_, phone):
        await phone.call()
        await refer_us(phone, third.uri)
        third.reply(await third.invited(), "200 OK", third.offer())
        packets = await third.packets(5)
        assert b"".join(packet.payload for packet in packets) == payload
        async with asyncio.timeout(TIMEOUT_S):  # a NOTIFY that nobody answers takes 32 s
            await phone.until_bye()
        await third.until_bye()


async def test_who_answers_in_the_moment_in_which_the_caller_gives_up_is_left(monkeypatch):
    left = asyncio.Event()
    dialling = asyncio.Event()

    class Answered:
        abandon = staticmethod(left.set)

    async def dial(*_: object, **__: object) -> Answered:
        dialling.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        return Answered()

    robot = Robot(target=THIRD, how="bridge")
    async with serving(robot) as engine, phoning(engine) as phone:
        monkeypatch.setattr(engine, "dial", dial)
        await phone.call()
        await dialling.wait()
        await phone.hang_up()
        await left.wait()


async def test_we_are_not_sent_round_for_ever(monkeypatch):
    monkeypatch.setattr("ringwheel.media.transfer.MAX_HOPS", 1)
    results: list[Transferred] = []

    async def send_on(call: Call) -> None:
        await call.answer()
        results.append(await call.transfer(THIRD))

    async def on_refer(call: Call, refer: Refer) -> None:
        await (await refer.follow()).wait_ended()

    async with serving(send_on) as third, referred(on_refer) as (_, phone):
        await phone.call()
        await refer_us(phone, f"sip:third@{third.addresses[0]}")
        while phone.bye is None:
            await notified_or_bye(phone)
        await eventually(lambda: bool(results))
    assert results == [Transferred(483, "Too Many Hops", "refer")]


@pytest.mark.parametrize("domain", ["", "pbx.invalid"])
async def test_somebody_else_of_the_same_trunk_is_called_by_that_trunk(domain):
    """As the account that it knows, with its credentials, whether or not DNS knows its domain."""

    async def on_refer(call: Call, refer: Refer) -> None:
        await (await refer.follow()).wait_ended()

    async with Callee() as third:
        port = third.sip.getsockname()[1]
        pbx = Trunk(
            "pbx",
            (Peer("127.0.0.1", port),),
            domain=domain,
            user="acc",
            password="secret",
            options_interval_s=0,
            caller=CallerRules(called_prefixes=(("", "9"),)),
        )
        target = "sip:200@pbx.invalid;user=phone" if domain else f"sip:200@127.0.0.1:{port}"
        async with (
            serving(stays, on_refer=on_refer, trunks=[pbx], dns=["127.0.0.1:9"]) as engine,
            phoning(engine) as phone,
        ):
            await phone.call()
            await refer_us(phone, target)
            invite = await third.invited()
            assert invite.start == f"INVITE {target} SIP/2.0"
            assert invite.get("From").startswith(f"<sip:acc@{domain or '127.0.0.1'}>")
            challenge = 'WWW-Authenticate: Digest realm="pbx", nonce="abc"'
            third.reply(invite, "401 Unauthorized", "", challenge)
            await third.request("ACK")
            again = await third.invited()
            assert 'username="acc"' in again.get("Authorization")
            third.reply(again, "200 OK", third.offer())
            await phone.until_bye()
            third.hang_up_on(again)
            await eventually(lambda: not engine.calls)


async def test_draining_ends_what_a_transfer_led_to():
    async def on_refer(call: Call, refer: Refer) -> None:
        other = await refer.follow()
        await other.wait_ended()

    async with Callee() as third, referred(on_refer) as (engine, phone):
        await phone.call()
        await refer_us(phone, third.uri)
        await notified(phone)
        third.reply(await third.invited(), "200 OK", third.offer())
        await notified(phone)
        await phone.until_bye()
        await third.request("ACK")
        draining = asyncio.create_task(engine.drain(0))
        await third.until_bye()
        await draining
        assert engine.snapshot().calls_up == 0


# Replaced


async def test_another_takes_the_place_of_the_caller_and_hears_the_rest(make_prompt):
    prompt, payload = make_prompt("long.ulaw", 16_000)
    calls: list[Call] = []

    async def handler(call: Call) -> None:
        calls.append(call)
        await call.answer()
        await call.play(prompt)
        assert call.call_id == "second"

    async with serving(handler) as engine, phoning(engine) as first, phoning(engine) as second:
        await first.call()
        heard = await first.packets(10)
        second.call_id = "second"
        replaces = f"{first.call_id};to-tag={first.to_tag};from-tag=from-{first.call_id}"
        second.invite_headers = (f"Replaces: {replaces}", "Require: replaces")
        await second.call()
        await first.until_bye()
        await second.until_bye()
        heard += first.waiting_packets() + second.waiting_packets()
        (call,) = calls
        assert call.ended is not None
    assert b"".join(packet.payload for packet in heard) == payload


async def test_who_has_another_codec_cannot_take_the_place():
    async with serving(stays) as engine, phoning(engine) as first, phoning(engine) as second:
        await first.call()
        second.formats = "8"
        replaces = f"{first.call_id};to-tag={first.to_tag};from-tag=from-{first.call_id}"
        second.invite_headers = (f"Replaces: {replaces}",)
        second.invite()
        assert (await second.response("INVITE")).status == 488
        second.send("ACK", cseq=second.cseq)
        await first.hang_up()


# By trunks


def trunk_to(peer: Callee | Phone) -> Trunk:
    """A trunk whose one peer that is, and whose state is learnt from calls alone."""
    ways = (Peer("127.0.0.1", peer.sip.getsockname()[1]),)
    return Trunk("carrier", ways, domain="voice.example", options_interval_s=0)


async def test_the_peer_is_told_the_domain_of_a_trunk():
    robot = Robot(target="sip:+4711@carrier")
    async with (
        Callee() as peer,
        serving(robot, trunks=[trunk_to(peer)]) as engine,
        phoning(engine) as phone,
    ):
        refer = await asked(phone, "603 Decline")
        assert refer.get("Refer-To") == "<sip:+4711@voice.example>"
        await robot.done.wait()
        await phone.hang_up()


async def test_who_is_replaced_gives_the_channel_back():
    async with (
        Callee() as peer,
        serving(stays, trunks=[trunk_to(peer)]) as engine,
        phoning(engine) as phone,
    ):
        dialled = asyncio.create_task(engine.dial("sip:4711@carrier"))
        invite = await peer.invited()
        peer.reply(invite, "200 OK", peer.offer())
        call = await dialled
        tags = f"to-tag={call.id};from-tag={peer.tag}"
        phone.invite_headers = (f"Replaces: {invite.get('Call-ID')};{tags}",)
        await phone.call()
        await peer.until_bye()
        assert engine.trunks[0].channels == 1
        assert call.ended is None
        await phone.hang_up()
        assert (await call.wait_ended()).by.value == "remote"
        assert engine.trunks[0].channels == 0


# All of it, between three of ours


async def test_three_engines(make_prompt):
    """B has A and C on the line, and connects them: A calls C in the place of B."""
    prompt, _ = make_prompt("sound.ulaw", 4_000)
    at_c: list[Call] = []

    async def c_handler(call: Call) -> None:
        at_c.append(call)
        await call.answer()
        await call.wait_ended()

    async def on_refer(call: Call, refer: Refer) -> None:
        other = await refer.follow()
        await other.play(prompt)

    results: list[Transferred] = []

    async def b_handler(call: Call) -> None:
        await call.answer()
        with_c = await engine_b.dial(f"sip:c@{engine_c.addresses[0]}", beside=call)
        results.append(await call.transfer(with_c))

    async with (
        serving(c_handler) as engine_c,
        serving(b_handler) as engine_b,
        serving(stays, on_refer=on_refer) as engine_a,
    ):
        call = await engine_a.dial(f"sip:b@{engine_b.addresses[0]}")
        await call.wait_ended()
        await eventually(lambda: bool(results))
        assert results == [Transferred(200, "OK", "refer")]
        (with_a,) = at_c
        assert re.fullmatch(r"sip:ringwheel@" + re.escape(engine_a.addresses[0]), with_a.from_uri)
        await with_a.wait_ended()
        assert with_a.figures.packets_received >= 25
        assert engine_b.snapshot().calls_up == 0
