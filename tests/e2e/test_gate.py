"""The gate over streams: who may not call cannot even connect, who may gets service."""

from __future__ import annotations

import asyncio

import pytest
from ringwheel import Call, GateRules, Peer, Trunk

from .client import TIMEOUT_S
from .conftest import address_of, phoning, serving

pytestmark = pytest.mark.one_loop

OPTIONS = (
    "OPTIONS sip:robot@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/TCP {host};branch=z9hG4bKone\r\n"
    "From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:robot@127.0.0.1>\r\n"
    "Call-ID: one\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


async def refuse(call: Call) -> None:
    call.reject(486)


async def answer_to(address: tuple[str, int], source: str) -> bytes:
    """What comes back on a connection from ``source``; nothing if it is closed."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
        try:
            writer.write(OPTIONS.format(host=source).encode())
            return await reader.readuntil(b"\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return b""
        finally:
            writer.close()


async def test_strangers_cannot_connect() -> None:
    rules = GateRules(allow=("127.9.9.1",))
    async with serving(refuse, sip=["tcp:127.0.0.1:0"], gate=rules) as engine:
        assert await answer_to(address_of(engine), "127.9.9.1") == b"SIP/2.0 200 OK\r\n"
        assert await answer_to(address_of(engine), "127.9.9.2") == b""
        assert engine.snapshot().sip["dropped_strangers"] == 1
        engine.guard(GateRules(strangers="403"))
        refused = b"SIP/2.0 403 Forbidden\r\n"
        assert await answer_to(address_of(engine), "127.9.9.2") == refused


async def test_an_engine_with_trunks_serves_their_peers_alone() -> None:
    trunk = Trunk("one", (Peer("127.9.9.1", 9),), options_interval_s=0)
    async with serving(refuse, trunks=[trunk]) as engine:
        async with phoning(engine, host="127.9.9.1") as phone:
            phone.invite()
            assert (await phone.response("INVITE")).status == 486
        async with phoning(engine, host="127.9.9.2") as stranger:
            stranger.send("OPTIONS")
            async with phoning(engine, host="127.9.9.1") as phone:
                phone.send("OPTIONS")  # answered behind the stranger's, had that one been served
                assert (await phone.response("OPTIONS")).status == 200
            with pytest.raises(BlockingIOError):
                stranger.sip.recv(2048)
        assert engine.snapshot().sip["dropped_strangers"] == 1
        engine.reload([])
        async with phoning(engine, host="127.9.9.2") as stranger:
            stranger.send("OPTIONS")
            assert (await stranger.response("OPTIONS")).status == 200
