"""Control connections over real sockets: shared, bounded, and told when they are gone."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import Counter
from pathlib import Path

import pytest
from ringwheel.robot.speech.mrcp.channel import Ending, Oddity, Outcome
from ringwheel.robot.speech.mrcp.connection import (
    MAX_REJECTED,
    ConnectFailed,
    ConnectionLimits,
    ControlAddress,
    ControlConnections,
    Stray,
)
from ringwheel.robot.speech.mrcp.line import Line
from ringwheel.robot.speech.mrcp.message import ChannelId
from ringwheel.robot.speech.mrcp.words import SpeakCause

from ..certificates import Authority
from .conftest import eventually
from .speech_peer import GOES_ON, Asked, SpeechPeer, speech_peer

CHANNEL = ChannelId("1", "speechsynth")


def address_of(peer: SpeechPeer, **options: object) -> ControlAddress:
    return ControlAddress("127.0.0.1", peer.control_port, **options)  # type: ignore[arg-type]


async def line_to(
    connections: ControlConnections, peer: SpeechPeer, channel: ChannelId = CHANNEL
) -> Line:
    connection = await connections.get(address_of(peer), shared=True)
    return Line(connection, channel, itertools.count(1), Counter(), response_ms=2_000)


async def spoken(line: Line) -> Outcome:
    return await line.ask(lambda user, now: line.synthesizer.speak(user, now, "hello"))


def spoken_at_once(asked: Asked) -> None:
    asked.respond(200, GOES_ON)
    asked.tell("SPEAK-COMPLETE", "COMPLETE", "Completion-Cause: 000 normal")


async def test_channels_share_a_connection_and_get_their_own_messages() -> None:
    connections = ControlConnections()
    async with speech_peer(on={"SPEAK": spoken_at_once}) as peer:
        lines = [await line_to(connections, peer, ChannelId(f"{n}", "speechsynth")) for n in (1, 2)]
        outcomes = await asyncio.gather(*(spoken(line) for line in lines))
        assert [outcome.cause for outcome in outcomes] == [SpeakCause.NORMAL] * 2
        assert (peer.connections, len(connections)) == (1, 1)
        await connections.close()
        assert len(connections) == 0


async def test_those_who_come_at_once_wait_for_one_connection() -> None:
    connections = ControlConnections()
    async with speech_peer() as peer:
        got = await asyncio.gather(
            *(connections.get(address_of(peer), shared=True) for _ in range(20))
        )
        assert len(set(got)) == 1
        other = await connections.get(address_of(peer), shared=False)
        assert other is not got[0] and len(connections) == 2
        await connections.close()


async def test_who_gives_up_does_not_end_the_connection_for_others() -> None:
    connections = ControlConnections()
    async with speech_peer() as peer:
        first = asyncio.create_task(connections.get(address_of(peer), shared=True))
        second = asyncio.create_task(connections.get(address_of(peer), shared=True))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).usable
        await connections.close()


async def test_a_server_that_is_not_there() -> None:
    connections = ControlConnections()
    async with speech_peer() as peer:
        address = address_of(peer)
    for _ in range(2):
        with pytest.raises(ConnectFailed, match=f"{address}.*connection refused"):
            await connections.get(address, shared=True)
    assert (connections.failed, len(connections)) == (2, 0)


async def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(ConnectFailed, match=r"speech\.example\.com"):
        await ControlConnections().get(ControlAddress("speech.example.com", 1544), shared=True)


async def test_a_connection_without_channels_ends_after_a_while() -> None:
    connections = ControlConnections(limits=ConnectionLimits(idle_s=0.05))
    async with speech_peer() as peer:
        line = await line_to(connections, peer)
        await spoken(line)  # longer than idle_s
        line.close("done")
        await eventually(lambda: len(connections) == 0)
        again = await line_to(connections, peer)
        assert (await spoken(again)).ok
        await connections.close()


async def test_no_more_connections_than_the_bound() -> None:
    connections = ControlConnections(limits=ConnectionLimits(connections=2))
    async with speech_peer() as peer:
        for _ in range(2):
            await connections.get(address_of(peer), shared=False)
        with pytest.raises(ConnectFailed, match="too many"):
            await connections.get(address_of(peer), shared=False)
        await connections.close()


@pytest.mark.parametrize("how", ["reset", "close", "garbage", "lie", "rejected"])
async def test_a_connection_that_dies_takes_all_its_requests_with_it(how: str) -> None:
    def end(asked: Asked) -> None:
        asked.respond(200, GOES_ON)
        if how == "reset":
            asked.writer.transport.abort()
        elif how == "close":
            asked.writer.close()
        elif how == "garbage":
            asked.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif how == "lie":
            asked.writer.write(b"MRCP/2.0 9 SPEAK-COMPLETE 1 COMPLETE\r\n\r\n")
        else:
            body = b"MRCP/2.0 44 1 200 COMPLETE\r\n\r\n" + b"x" * 14
            asked.writer.write(body * MAX_REJECTED)

    connections = ControlConnections()
    async with speech_peer(on={"SPEAK": end}) as peer:
        line = await line_to(connections, peer)
        outcome = await spoken(line)
        assert outcome.ending is Ending.LOST and outcome.text
        assert line.lost == outcome.text
        assert len(connections) == 0
        assert (await spoken(line)).ending is Ending.LOST
        peer.on.clear()
        assert (await spoken(await line_to(connections, peer))).ok  # by another one
        await connections.close()


async def test_what_is_nobodys_is_counted_and_disturbs_nobody() -> None:
    def strange(asked: Asked) -> None:
        asked.send("START-OF-INPUT 1 IN-PROGRESS", channel="77@speechrecog")
        asked.send(f"{asked.id} 407 COMPLETE", channel="2@speechsynth")
        asked.send(f"{asked.id} 407 COMPLETE", channel="")
        asked.send("SPEAK 9")
        asked.send("SPEAK-COMPLETE 1 DONE")
        spoken_at_once(asked)

    connections = ControlConnections()
    async with speech_peer(on={"SPEAK": strange}) as peer:
        line = await line_to(connections, peer)
        outcome = await spoken(line)
        assert outcome.cause is SpeakCause.NORMAL
        assert connections.stray[Stray.UNKNOWN_CHANNEL] == 2
        assert connections.stray[Stray.NO_CHANNEL] == 1
        assert connections.stray[Stray.REQUEST] == connections.stray[Stray.REJECTED] == 1
        await connections.close()


async def test_a_server_that_begins_a_message_and_does_not_end_it() -> None:
    def half(asked: Asked) -> None:
        asked.writer.write(b"MRCP/2.0 500 1 200 COMPLETE\r\n")

    connections = ControlConnections(limits=ConnectionLimits(message_s=0.05))
    async with speech_peer(on={"SPEAK": half}) as peer:
        outcome = await spoken(await line_to(connections, peer))
        assert outcome.ending is Ending.LOST and "did not end" in outcome.text
        await connections.close()


async def test_a_server_that_stops_reading_is_cut() -> None:
    connections = ControlConnections(limits=ConnectionLimits(queue_bytes=300_000, stall_s=0.1))
    stopped = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1_024)
    port = server.sockets[0].getsockname()[1]
    connection = await connections.get(ControlAddress("127.0.0.1", port), shared=True)
    lines = [
        Line(connection, ChannelId(f"{n}", "speechsynth"), itertools.count(1), Counter(),
             response_ms=30_000)
        for n in range(4)
    ]  # fmt: skip
    big = "word " * 40_000
    asking = [
        asyncio.create_task(
            line.ask(lambda user, now, line=line: line.synthesizer.speak(user, now, big))
        )  # type: ignore[misc]
        for line in lines
        for _ in range(16)
    ]
    outcomes = await asyncio.gather(*asking)
    assert {outcome.ending for outcome in outcomes} == {Ending.LOST}
    assert "does not read" in outcomes[0].text
    stopped.set()
    server.close()
    await connections.close()


async def test_a_flood_of_stray_events_is_counted_and_what_counts_is_found_in_it() -> None:
    def flood(asked: Asked) -> None:
        for _ in range(5_000):
            asked.send("START-OF-INPUT 999 IN-PROGRESS")
        spoken_at_once(asked)

    connections = ControlConnections()
    async with speech_peer(on={"SPEAK": flood}) as peer:
        line = await line_to(connections, peer)
        outcome = await spoken(line)
        assert outcome.ok
        assert line.channel.odd == {Oddity.STRAY_EVENT: 5_000}
        await connections.close()


async def test_a_channel_that_another_session_has_is_not_taken_over() -> None:
    connections = ControlConnections()
    async with speech_peer() as peer:
        await line_to(connections, peer)
        with pytest.raises(ConnectFailed, match="in use"):
            await line_to(connections, peer)
        await connections.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example.com"])
async def test_over_tls_the_certificate_counts(tmp_path: Path, name: str) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(authority.path))
    connections = ControlConnections(client)
    async with speech_peer(tls=server, on={"SPEAK": spoken_at_once}) as peer:
        address = address_of(peer, tls=True, name=name)
        if name != "127.0.0.1":
            with pytest.raises(ConnectFailed, match="certificate is refused"):
                await connections.get(address, shared=True)
        else:
            connection = await connections.get(address, shared=True)
            line = Line(connection, CHANNEL, itertools.count(1), Counter(), response_ms=2_000)
            assert (await spoken(line)).ok
        await connections.close()
