"""Calls by a trunk, on the wire: which peer they go to, what is sent, and what a trunk carries."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from ringwheel import Call, DialFailed, Engine, Outcome
from ringwheel.media._core import SRTP_AVAILABLE
from ringwheel.media.trunk import CallerRules, HeaderRules, Peer, Registration, Trunk, TrunkLimits

from ..ports import pairs_of
from .callee import Callee
from .client import Message, Phone
from .conftest import address_of, eventually, phoning, serving

pytestmark = pytest.mark.one_loop

SILENCE_S = 1.5


def trunk(*peers: Callee, **options: object) -> Trunk:
    """A trunk over callees, the first preferred, whose health is learnt from calls alone."""
    settings: dict[str, object] = {"options_interval_s": 0, "peer_timeout_s": SILENCE_S, **options}
    ways = tuple(
        Peer("127.0.0.1", peer.sip.getsockname()[1], priority=number)
        for number, peer in enumerate(peers)
    )
    return Trunk("carrier", ways, **settings)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def dialling(*trunks: Trunk, **options: object) -> AsyncIterator[Engine]:
    """An engine with trunks that has no handler."""
    settings = {"sip": ["udp:127.0.0.1:0"], "rtp_ports": pairs_of(40), **options}
    async with Engine(trunks=trunks, **settings) as engine:  # type: ignore[arg-type]
        yield engine


def dial(engine: Engine, number: str = "4711", **options: object) -> asyncio.Task[object]:
    """Somebody calls a number by the trunk."""
    return asyncio.create_task(engine.dial(f"sip:{number}@carrier", **options))  # type: ignore[arg-type]


async def answered(peer: Callee, dialled: asyncio.Task[object]):
    """The peer takes the call."""
    invite = await peer.invited()
    peer.reply(invite, "200 OK", peer.offer())
    call = await dialled
    await peer.request("ACK")
    return call


async def hung_up(peer: Callee, call) -> None:
    """We end it."""
    ending = asyncio.create_task(call.hangup())
    await peer.until_bye()
    peer.bye = None
    await ending


def health(engine: Engine) -> list[str]:
    """What is thought of each address."""
    (shown,) = engine.trunks
    return [address.health for peer in shown.peers for address in peer.addresses]


async def test_a_call_goes_out_by_the_rules_of_its_trunk():
    async with Callee() as peer:
        rules = CallerRules(
            display="Our company",
            asserted="sip:{caller}@{domain}",
            caller_prefixes=(("0", "+44"),),
            called_prefixes=(("+44", "0"), ("+", "00")),
        )
        headers = HeaderRules(remove=("X-Inner",), add=(("X-Trunk", "{trunk} to {called}"),))
        ours = trunk(peer, domain="sip.example.com", caller=rules, headers=headers)
        records = []
        async with dialling(ours, records=records.append) as engine:
            dialled = dial(
                engine, "+4420123", caller="0207", headers=[("X-Inner", "a"), ("X-Outer", "b")]
            )
            invite = await peer.invited()
            assert invite.start == "INVITE sip:020123@sip.example.com SIP/2.0"
            assert invite.get("To") == "<sip:020123@sip.example.com>"
            name, _, address = invite.get("From").partition(" <")
            assert name.strip('"') == "Our company"
            assert address.startswith("sip:+44207@sip.example.com>;tag=")
            assert invite.get("P-Asserted-Identity") == "<sip:+44207@sip.example.com>"
            assert invite.get("X-Trunk") == "carrier to 020123"
            assert (invite.get("X-Inner"), invite.get("X-Outer")) == ("", "b")
            peer.reply(invite, "200 OK", peer.offer())
            call = await dialled
            assert call.trunk == "carrier"
            await hung_up(peer, call)
            await eventually(lambda: len(records) == 1)
        assert records[0]["trunk"] == "carrier"


async def test_a_hidden_caller_is_known_to_the_trunk_alone():
    async with Callee() as peer:
        rules = CallerRules(default="+4420", asserted="sip:{caller}@{domain}", privacy="id")
        async with dialling(trunk(peer, domain="example.com", caller=rules)) as engine:
            dialled = dial(engine)
            invite = await peer.invited()
            assert "anonymous@anonymous.invalid" in invite.get("From")
            assert invite.get("P-Asserted-Identity") == "<sip:+4420@example.com>"
            assert invite.get("Privacy") == "id"
            peer.reply(invite, "486 Busy Here")
            with pytest.raises(DialFailed):
                await dialled


async def test_codecs_of_the_trunk_are_offered():
    async with Callee() as peer, dialling(trunk(peer, codecs=("pcma",))) as engine:
        dialled = dial(engine)
        invite = await peer.invited()
        assert invite.sdp("m=audio ").split()[2] == "8"
        peer.reply(invite, "486 Busy Here")
        with pytest.raises(DialFailed):
            await dialled


async def answering(call: Call) -> None:
    """Takes the call, until the caller hangs up."""
    await call.answer()
    await call.wait_ended()


async def test_codecs_of_the_trunk_are_agreed_on_in_calls_that_come_in():
    ours = Trunk("carrier", sources=("127.0.0.1",), codecs=("pcma",))
    async with (
        serving(answering, trunks=[ours]) as engine,
        phoning(engine, formats="0 8") as phone,
    ):
        answer = await phone.call()
        assert answer.sdp("m=audio ").split()[2:] == ["8"]
        await phone.hang_up()


@pytest.mark.skipif(not SRTP_AVAILABLE and not os.environ.get("CI"), reason="without libsrtp2")
async def test_a_call_in_the_clear_is_refused_where_the_trunk_requires_encryption():
    ours = Trunk("carrier", sources=("127.0.0.1",), srtp="required")
    async with serving(answering, trunks=[ours]) as engine, phoning(engine) as phone:
        phone.invite()
        assert (await phone.response("INVITE")).status == 488
        phone.send("ACK")


class Guarded(Phone):
    """A phone at a carrier that asks for credentials, whatever the request."""

    def answer(
        self, request: Message, status: str = "200 OK", body: str = "", lines: Sequence[str] = ()
    ) -> None:
        if not request.get("Authorization"):
            challenge = f'WWW-Authenticate: Digest realm="carrier", nonce="{request.method}"'
            status, body, lines = "401 Unauthorized", "", [challenge]
        Phone.answer(self, request, status, body, lines)


async def test_a_call_that_came_by_a_trunk_has_its_credentials():
    """Who registers as a phone is challenged as one, also within calls that came to it."""

    async def handler(call: Call) -> None:
        await call.answer()
        await call.hold()
        await call.hangup()

    ours = Trunk(
        "carrier", (Peer("127.0.0.1"),), user="acc", password="secret", options_interval_s=0
    )
    async with serving(handler, trunks=[ours]) as engine, Guarded(address_of(engine)) as phone:
        await phone.call()
        phone.answer(await phone.request("INVITE"))
        await phone.request("ACK")
        asked = await phone.request("INVITE")
        assert 'username="acc"' in asked.get("Authorization")
        phone.answer(asked, body=phone.offer("inactive"))
        await phone.request("ACK")
        bye = await phone.until_bye()
        assert 'username="acc"' in bye.get("Authorization")


async def both_registered(peer: Callee) -> None:
    """One account after the other."""
    for _ in range(2):
        await registered(peer)


async def test_of_two_accounts_at_one_address_the_one_that_is_called_has_the_call():
    async with Callee() as peer:
        first = trunk(peer, registration=Registration("other"))
        second = replace(first, name="second", registration=Registration("robot"))
        async with serving(answering, trunks=[first, second]) as engine:
            await both_registered(peer)
            async with phoning(engine) as phone:  # calls sip:robot@...
                await phone.call()
                assert {one.name: one.channels for one in engine.trunks} == {
                    "carrier": 0,
                    "second": 1,
                }
                assert [call.trunk for call in engine.calls] == ["second"]
                await phone.hang_up()
            leaving = asyncio.create_task(both_registered(peer))
        await leaving


async def test_another_number_of_its_domain_is_called_by_the_trunk_too():
    """DNS need not know a domain that a trunk has peers for."""
    async with (
        Callee() as peer,
        dialling(trunk(peer, domain="carrier.invalid"), dns=["127.0.0.1:9"]) as engine,
    ):
        dialled = dial(engine)
        invite = await peer.invited()
        moved = "Contact: <sip:0815@carrier.invalid;user=phone>"
        peer.reply(invite, "302 Moved Temporarily", "", moved)
        await peer.request("ACK")
        again = await peer.invited()
        assert again.start == "INVITE sip:0815@carrier.invalid;user=phone SIP/2.0"
        peer.reply(again, "200 OK", peer.offer())
        await hung_up(peer, await dialled)


async def test_a_silent_peer_is_left_for_the_next_and_not_tried_again():
    records: list[dict] = []
    async with (
        Callee() as dead,
        Callee() as alive,
        dialling(trunk(dead, alive), records=records.append) as engine,
    ):
        dialled = dial(engine)
        await dead.invited()
        await hung_up(alive, await answered(alive, dialled))
        await eventually(lambda: bool(records))
        assert [one["trunk"] for one in records[0]["attempts"]] == ["carrier"]
        assert health(engine) == ["down", "up"]
        (shown,) = engine.trunks
        assert (shown.placed, shown.answered, shown.failed_over) == (2, 1, 1)
        assert shown.peers[0].addresses[0].cause == "no answer to INVITE"
        await hung_up(alive, await answered(alive, dial(engine)))
        assert engine.trunks[0].placed == 3


async def test_an_attempt_that_nobody_answers_holds_no_channel():
    async with Callee() as dead, Callee() as alive:
        ours = trunk(dead, alive, limits=TrunkLimits(channels=1))
        async with dialling(ours) as engine:
            call = await answered(alive, dial(engine))
            assert engine.trunks[0].channels == 1
            dead.reply(await dead.invited(), "487 Request Terminated")
            await dead.request("ACK")
            assert engine.trunks[0].channels == 1
            await hung_up(alive, call)
            assert engine.trunks[0].channels == 0


async def test_a_peer_that_takes_no_connection_is_left_for_the_next():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        async with Callee() as alive:
            port = alive.sip.getsockname()[1]
            peers = (
                Peer("127.0.0.1", closed.getsockname()[1], "TCP"),
                Peer("127.0.0.1", port, priority=1),
            )
            async with dialling(Trunk("carrier", peers, options_interval_s=0)) as engine:
                await hung_up(alive, await answered(alive, dial(engine)))
                assert health(engine) == ["down", "up"]


@pytest.mark.parametrize("status", ["503 Service Unavailable", "500 Server Internal Error"])
async def test_a_peer_that_cannot_serve_is_left_for_the_next(status):
    async with Callee() as full, Callee() as free, dialling(trunk(full, free)) as engine:
        dialled = dial(engine)
        invite = await full.invited()
        full.reply(invite, "100 Trying")
        full.reply(invite, status, "", "Retry-After: 60")
        await full.request("ACK")
        await hung_up(free, await answered(free, dialled))
        assert health(engine) == ["down" if status.startswith("503") else "up", "up"]


@pytest.mark.parametrize("status", ["486 Busy Here", "404 Not Found", "603 Decline"])
async def test_the_word_of_the_callee_is_not_asked_for_twice(status):
    async with Callee() as first, Callee() as second, dialling(trunk(first, second)) as engine:
        dialled = dial(engine)
        first.reply(await first.invited(), status)
        with pytest.raises(DialFailed) as failed:
            await dialled
        assert failed.value.status == int(status[:3])
        assert health(engine) == ["up", "unknown"]
        assert engine.trunks[0].placed == 1


async def test_a_call_that_has_rung_is_not_tried_elsewhere():
    async with Callee() as first, Callee() as second, dialling(trunk(first, second)) as engine:
        dialled = dial(engine)
        invite = await first.invited()
        first.reply(invite, "180 Ringing")
        first.reply(invite, "503 Service Unavailable")
        with pytest.raises(DialFailed):
            await dialled
        assert engine.trunks[0].placed == 1


async def test_when_all_are_down_they_are_tried_all_the_same():
    async with Callee() as first, Callee() as second, dialling(trunk(first, second)) as engine:
        dialled = dial(engine)
        for peer in (first, second):
            peer.reply(await peer.invited(), "503 Service Unavailable")
        with pytest.raises(DialFailed) as failed:
            await dialled
        assert failed.value.outcome is Outcome.CONGESTION
        assert health(engine) == ["down", "down"]
        assert not engine.trunks[0].up
        await first.request("ACK")
        await hung_up(first, await answered(first, dial(engine)))


async def test_channels_are_counted_exactly_in_both_directions():
    async with Callee() as peer:
        gate = asyncio.Event()

        async def handler(call):
            assert call.trunk == "carrier"
            await call.answer()
            await gate.wait()

        ours = trunk(peer, limits=TrunkLimits(channels=2))
        async with serving(handler, trunks=[ours]) as engine:
            call = await answered(peer, dial(engine))
            async with phoning(engine) as first, phoning(engine) as second:
                await first.call()
                assert engine.trunks[0].channels == 2
                second.invite()
                refused = await second.response("INVITE")
                assert (refused.status, refused.get("Retry-After")) == (503, "5")
                with pytest.raises(DialFailed) as failed:
                    await dial(engine)
                assert failed.value.outcome is Outcome.CONGESTION
                assert "all 2 channels are in use" in str(failed.value)
                await first.hang_up()
            await eventually(lambda: engine.trunks[0].channels == 1)
            await hung_up(peer, call)
            shown = engine.trunks[0]
            assert (shown.channels, shown.received, shown.refused, shown.congested) == (0, 2, 1, 1)
            gate.set()


async def test_a_cancelled_or_failed_call_gives_its_channel_back():
    async with Callee() as peer, dialling(trunk(peer, limits=TrunkLimits(channels=1))) as engine:
        dialled = dial(engine)
        invite = await peer.invited()
        peer.reply(invite, "180 Ringing")
        await eventually(lambda: engine.snapshot().sip["responses"] == 1)
        dialled.cancel()
        peer.reply(await peer.request("CANCEL"), "200 OK")
        peer.reply(invite, "487 Request Terminated")
        await eventually(lambda: engine.trunks[0].channels == 0)
        await peer.request("ACK")
        again = dial(engine)
        peer.reply(await peer.invited(), "404 Not Found")
        with pytest.raises(DialFailed):
            await again
        assert engine.trunks[0].channels == 0


async def test_a_call_without_a_place_for_its_sound_costs_no_channel():
    async with (
        Callee() as peer,
        Engine(
            sip=["udp:127.0.0.1:0"], rtp_ports=pairs_of(1), trunks=[trunk(peer)], max_calls=9
        ) as engine,
    ):
        call = await answered(peer, dial(engine))
        with pytest.raises(DialFailed):
            await dial(engine)
        assert engine.trunks[0].channels == 1
        await hung_up(peer, call)


async def test_calls_are_spread_over_time_or_refused():
    limits = TrunkLimits(calls_per_s=0.1, burst_calls=2)
    async with Callee() as peer, dialling(trunk(peer, limits=limits)) as engine:
        for _ in range(2):
            await hung_up(peer, await answered(peer, dial(engine)))
        with pytest.raises(DialFailed) as failed:
            await dial(engine)
        assert failed.value.outcome is Outcome.CONGESTION
        assert "more than 0.1 calls per second" in str(failed.value)


async def test_peers_are_asked_by_options():
    async with Callee() as peer, dialling(trunk(peer, options_interval_s=30)) as engine:
        asked = await peer.request("OPTIONS")
        port = peer.sip.getsockname()[1]
        assert asked.start == f"OPTIONS sip:127.0.0.1:{port} SIP/2.0"
        assert health(engine) == ["unknown"]
        peer.reply(asked, "405 Method Not Allowed")
        await eventually(lambda: health(engine) == ["up"])


async def test_reloading_touches_no_call():
    async with Callee() as old, Callee() as new, dialling(trunk(old)) as engine:
        call = await answered(old, dial(engine))
        engine.reload([trunk(new)])
        assert engine.trunks[0].channels == 1
        with pytest.raises(ValueError, match="two trunks named carrier"):
            engine.reload([trunk(new), trunk(old)])
        await hung_up(new, await answered(new, dial(engine)))
        engine.reload([])
        with pytest.raises(DialFailed) as failed:
            await dial(engine)
        assert failed.value.outcome is Outcome.UNREACHABLE
        assert engine.trunks == ()
        engine.reload([trunk(old)])
        assert engine.trunks[0].channels == 1
        await hung_up(old, call)
        assert engine.trunks[0].channels == 0
        await hung_up(old, await answered(old, dial(engine)))


def test_what_cannot_be_is_refused_before_anything_is_opened():
    carrier = Trunk("carrier", (Peer("192.0.2.1"),))
    with pytest.raises(ValueError, match="two trunks named Carrier"):
        Engine(trunks=[carrier, replace(carrier, name="Carrier")])
    with pytest.raises(ValueError, match="'dns.example.com' is no DNS server"):
        Engine(dns=["dns.example.com"])


async def test_strangers_get_nothing_where_there_are_trunks():
    async def handler(call):
        await call.answer()

    async with (
        Callee(host="127.0.0.2") as peer,
        serving(handler, trunks=[Trunk("carrier", (Peer("127.0.0.2"),))]) as engine,
        Callee(server=address_of(engine)) as stranger,
    ):
        del peer
        stranger.invite()
        await eventually(lambda: engine.snapshot().sip["dropped_strangers"] > 0)
        assert engine.snapshot().sip["requests"] == 0


async def test_a_peer_may_have_a_name():
    async def handler(call):
        assert call.trunk == "carrier"
        await call.answer()

    async with Callee() as peer:
        named = Peer("localhost", peer.sip.getsockname()[1])
        ours = Trunk("carrier", (named,), options_interval_s=0)
        async with serving(handler, trunks=[ours]) as engine:
            await hung_up(peer, await answered(peer, dial(engine)))
            assert health(engine) == ["up"]
            # Its calls come from where the name leads to, and are nobody's else.
            async with phoning(engine) as phone:
                await phone.call()
                await phone.until_bye()
            assert engine.trunks[0].received == 1


async def registered(peer: Callee, status: str = "200 OK") -> str:
    """The peer answers a REGISTER; returns the Contact that it was asked for."""
    asked = await peer.request("REGISTER")
    contact = asked.get("Contact")
    peer.reply(asked, status, "", f"Contact: {contact}")
    return contact


async def test_a_registration_is_kept_up_and_taken_back():
    async with Callee() as peer:
        ours = trunk(peer, domain="example.com", registration=Registration("acc"))
        async with dialling(ours) as engine:
            asked = await peer.request("REGISTER")
            assert asked.start == "REGISTER sip:example.com SIP/2.0"
            assert asked.get("To") == "<sip:acc@example.com>"
            assert engine.trunks[0].registration == "registering"
            peer.reply(asked, "200 OK", "", f"Contact: {asked.get('Contact')}")
            await eventually(lambda: engine.trunks[0].registration == "registered")
            engine.reload([trunk(peer, domain="example.com", registration=Registration("acc"))])
            leaving = asyncio.create_task(registered(peer))
            await asyncio.sleep(0)
        assert (await leaving).endswith(";expires=0")


async def test_a_registration_that_changes_is_taken_back_and_made_anew():
    async with (
        Callee() as peer,
        dialling(trunk(peer, registration=Registration("one"))) as engine,
    ):
        await registered(peer)
        await eventually(lambda: engine.trunks[0].registration == "registered")
        engine.reload([trunk(peer, registration=Registration("two"))])
        asked = [await peer.request("REGISTER") for _ in range(2)]
        for request in asked:
            peer.reply(request, "200 OK", "", f"Contact: {request.get('Contact')}")
        assert {
            (r.get("To").partition("@")[0], r.get("Contact").endswith("=0")) for r in asked
        } == {("<sip:one", True), ("<sip:two", False)}
        await eventually(lambda: engine.trunks[0].registration == "registered")
        engine.reload([trunk(peer)])
        await registered(peer)


async def test_a_registration_goes_to_the_next_peer_when_the_first_does_not_serve():
    async with Callee() as full, Callee() as free:
        ours = trunk(full, free, registration=Registration("acc"))
        async with dialling(ours) as engine:
            await registered(full, "503 Service Unavailable")
            await registered(free)
            await eventually(lambda: engine.trunks[0].registration == "registered")
            assert health(engine)[0] == "down"
            leaving = asyncio.create_task(registered(free))
        await leaving
