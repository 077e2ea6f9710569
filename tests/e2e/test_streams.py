"""Calls over TCP and TLS: the sound, connections that break, and what the other side is told."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from ringwheel import Call, GateRules

from ..certificates import Authority
from .client import Phone
from .conftest import address_of, phoning, serving
from .stream_phone import StreamPhone
from .test_adoption import Keeper, take


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def context_of(authority, transport):
    if transport == "tcp":
        return None
    return ssl.create_default_context(cafile=authority.path)


def player(path):
    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(path)
        await call.hangup()

    return handler


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_call_with_its_sound(make_prompt, authority, transport, host):
    path, payload = make_prompt("a.ulaw", 1_600)
    bound = f"[{host}]" if ":" in host else host
    tls = authority.config("127.0.0.1", "::1")
    async with (
        serving(player(path), sip=[f"{transport}:{bound}:0"], tls=tls) as engine,
        StreamPhone(address_of(engine), host, context=context_of(authority, transport)) as phone,
    ):
        answer = await phone.call()
        assert f";transport={transport}>" in answer.get("Contact")
        assert answer.get("Via").startswith(f"SIP/2.0/{transport.upper()} {bound}:")
        packets = await phone.packets(10)
        await phone.until_bye()
    assert b"".join(packet.payload for packet in packets) == payload
    assert phone.connections == 0


async def test_messages_that_come_byte_by_byte(make_prompt):
    path, payload = make_prompt("a.ulaw", 480)
    async with (
        serving(player(path), sip=["tcp:127.0.0.1:0"]) as engine,
        StreamPhone(address_of(engine), piece_bytes=1) as phone,
    ):
        await phone.call()
        packets = await phone.packets(3)
        await phone.until_bye()
    assert b"".join(packet.payload for packet in packets) == payload


async def test_a_connection_that_is_closed_in_mid_call_costs_no_sound_and_is_opened_again(
    make_prompt,
):
    path, payload = make_prompt("a.ulaw", 8_000)
    async with (
        serving(player(path), sip=["tcp:127.0.0.1:0"]) as engine,
        StreamPhone(address_of(engine)) as phone,
    ):
        await phone.call()
        await phone.packets(1)
        await phone.hang_up_connection()
        packets = await phone.packets(49)
        await phone.until_bye()
        assert phone.connections == 1
        assert engine.snapshot().sip["streams_opened"] == 1
    assert b"".join(packet.payload for packet in packets) == payload[160:]


async def test_each_listener_says_how_peers_reach_it(make_prompt):
    path, _ = make_prompt("a.ulaw", 160)
    listeners = ["udp:127.0.0.1:0=203.0.113.5", "tcp:127.0.0.1:0=203.0.113.6:5070"]
    async with serving(player(path), sip=listeners) as engine:
        ports = [transport.port for transport in engine._endpoint._transports]
        async with Phone(("127.0.0.1", ports[0])) as phone:
            answer = await phone.call()
            assert answer.get("Contact") == f"<sip:ringwheel@203.0.113.5:{ports[0]}>"
            assert answer.sdp("c=IN IP4 ") == "203.0.113.5"
        async with StreamPhone(("127.0.0.1", ports[1])) as phone:
            answer = await phone.call()
            assert answer.get("Contact") == "<sip:ringwheel@203.0.113.6:5070;transport=tcp>"
            assert answer.sdp("c=IN IP4 ") == "203.0.113.6"


async def test_udp_and_tcp_on_one_port_beside_each_other(make_prompt):
    path, _ = make_prompt("a.ulaw", 160)
    async with serving(player(path)) as first:
        port = address_of(first)[1]
    async with serving(
        player(path), sip=[f"udp:127.0.0.1:{port}", f"tcp:127.0.0.1:{port}"]
    ) as engine:
        async with phoning(engine) as phone:
            await phone.call()
            await phone.until_bye()
        async with StreamPhone(address_of(engine)) as phone:
            await phone.call()
            await phone.until_bye()


async def test_connections_of_strangers_are_closed_unread(make_prompt):
    path, _ = make_prompt("a.ulaw", 160)
    rules = GateRules(allow=("127.9.9.1",))
    async with serving(player(path), sip=["tcp:127.0.0.1:0"], gate=rules) as engine:
        reader, writer = await asyncio.open_connection(*address_of(engine))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()
        assert engine.snapshot().sip["dropped_strangers"] == 1
        async with StreamPhone(address_of(engine), "127.9.9.1") as phone:
            await phone.call()
            await phone.until_bye()


async def test_a_call_by_tcp_is_adopted_on_a_connection_of_its_own(make_prompt):
    path, _ = make_prompt("a.ulaw", 1_600)
    keeper = Keeper(path)
    options = {"sip": ["tcp:127.0.0.1:0"]}
    async with (
        serving(keeper, **options) as first,
        serving(keeper, **options) as second,
        StreamPhone(address_of(first)) as phone,
    ):
        await phone.call()
        call, asked = await take(second, await keeper.state(), phone)
        assert f"<sip:ringwheel@{second.addresses[0]};transport=tcp>" == asked.get("Contact")
        assert phone.connections == 1
        await call.hangup()
        await phone.until_bye()
