"""What is seen of a running engine over HTTP: a real engine, real calls, a client of sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ringwheel import Call, DialFailed, Engine, ListenError, Monitor
from ringwheel.media.monitor import health, http, pages
from ringwheel.media.trunk.trunk import Peer, Trunk, TrunkLimits

from .client import TIMEOUT_S, udp
from .conftest import eventually, phoning, serving


@pytest.fixture(autouse=True)
def _fresh_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits until the kept text is too old."""
    monkeypatch.setattr(pages, "METRICS_KEPT_S", 0.0)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


async def talk(address: str, data: bytes, *, end: bool = False) -> bytes:
    """Everything that comes back until the other side closes."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(data)
        if end:
            writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()


async def get(monitor: Monitor, path: str, host: str = "127.0.0.1:1") -> Answer:
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    head, _, body = (await talk(monitor.address, request.encode())).partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Answer(int(start.split()[1]), headers, body)


async def samples(monitor: Monitor) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics by its name and the values of its labels, these in order of their
    names."""
    answer = await get(monitor, "/metrics")
    assert answer.status == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


async def answer_and_wait(call: Call) -> None:
    await call.answer()
    await call.wait_ended()


async def test_metrics_count_a_call(make_prompt: Callable[..., tuple[Path, bytes]]):
    path, _ = make_prompt("p.ulaw", 1600)

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play(path)
        await call.wait_ended()

    async with serving(handler) as engine, Monitor(engine, http="127.0.0.1:0") as monitor:
        async with phoning(engine) as phone:
            await phone.call()
            await phone.packets(10)
            during = await samples(monitor)
            await phone.hang_up()
        await eventually(lambda: engine.shards[0].legs_open == 0)
        after = await samples(monitor)
    assert during["ringwheel_calls", "confirmed"] == 1
    assert during["ringwheel_shard_legs", "0"] == 1
    assert after["ringwheel_calls", "confirmed"] == 0
    assert after["ringwheel_sip_requests_total", "received", "INVITE"] == 1
    assert after["ringwheel_sip_requests_total", "received", "BYE"] == 1
    assert after["ringwheel_sip_responses_total", "200", "sent"] == 2
    assert after["ringwheel_rtp_packets_total", "sent"] == 10
    assert after["ringwheel_calls_begun_total", "answered"] == 1
    assert after["ringwheel_calls_ended_total", "remote"] == 1
    assert after["ringwheel_shard_lateness_seconds_count", "0"] >= 10
    assert after["process_open_fds",] > 5


async def test_how_ended_calls_sounded():
    async with serving(answer_and_wait) as engine, Monitor(engine, http="127.0.0.1:0") as monitor:
        async with phoning(engine) as phone:
            answer = await phone.call()
            port = int(answer.sdp("m=audio ").split()[0])
            for number in range(100):
                if number != 50:  # is lost
                    head = struct.pack("!BBHII", 0x80, 0, number, 160 * number, 7)
                    phone.rtp.sendto(head + bytes(160), ("127.0.0.1", port))
            await eventually(lambda: engine.snapshot().media["packets_received"] == 99)
            await phone.hang_up()
        await eventually(lambda: engine.shards[0].legs_open == 0)
        await eventually(lambda: monitor.ended.expected["in"] > 0)
        metrics = await samples(monitor)
    assert metrics["ringwheel_call_packets_expected_total", "in"] == 100
    assert metrics["ringwheel_call_packets_lost_total", "in"] == 1
    assert metrics["ringwheel_call_mos_count", "in"] == 1
    assert 1 <= metrics["ringwheel_call_mos_sum", "in"] <= 4.5
    assert metrics["ringwheel_call_loss_ratio_bucket", "in", "0.005"] == 0
    assert metrics["ringwheel_call_loss_ratio_bucket", "in", "0.01"] == 1
    assert metrics["ringwheel_call_mos_count", "out"] == 0


async def test_outcomes_and_trunks_are_counted():
    with udp("127.0.0.1") as silent:
        port = silent.getsockname()[1]
        trunk = Trunk("carrier", peers=(Peer("127.0.0.1", port),), limits=TrunkLimits(channels=3))
        async with (
            serving(answer_and_wait, trunks=[trunk]) as engine,
            Monitor(engine, http="127.0.0.1:0") as monitor,
        ):
            with pytest.raises(DialFailed) as failed:
                await engine.dial("sip:4711@carrier", timeout_s=0.2)
            metrics = await samples(monitor)
            status = (await get(monitor, "/status")).json()
    outcome = failed.value.outcome.value
    assert metrics["ringwheel_calls_dialled_total", outcome] == 1
    assert metrics["ringwheel_calls_dialled_total", "answered"] == 0
    assert metrics["ringwheel_trunk_channels_limit", "carrier"] == 3
    assert metrics["ringwheel_trunk_calls_total", "placed", "carrier"] == 1
    assert metrics["ringwheel_trunk_calls_total", "answered", "carrier"] == 0
    assert metrics["ringwheel_sip_requests_total", "sent", "INVITE"] >= 1
    assert status["outcomes"][outcome] == 1
    assert status["trunks"][0]["name"] == "carrier"


async def traced_call(engine: Engine, **options: object) -> str:
    """A call from INVITE to BYE; its Call-ID."""
    async with phoning(engine, **options) as phone:
        await phone.call()
        await phone.hang_up()
        return phone.call_id


async def test_a_trace_shows_the_messages_of_a_call_and_no_secrets():
    header = 'Authorization: Digest username="u", response="0123456789abcdef"'
    async with serving(answer_and_wait) as engine, Monitor(engine, http="127.0.0.1:0") as monitor:
        call_id = await traced_call(engine, invite_headers=(header,))
        await traced_call(engine)
        shown = (await get(monitor, f"/trace?call={call_id}")).json()
        secrets = (await get(monitor, f"/trace?call={call_id}&secrets=1")).json()
        path = f"/trace?call={call_id}&secrets=1"
        hosts = {
            host: (await get(monitor, path, host)).status
            for host in ("localhost:1", "[::1]:1", "127.0.0.1", "evil.example:1", "evil.example")
        }
        listed = (await get(monitor, "/trace?limit=1")).json()
        nothing = (await get(monitor, "/trace?call=none-such")).json()
        (ours,) = engine.addresses
    data = [base64.b64decode(message["data"]) for message in shown["messages"]]
    assert [text.split()[0 if not text.startswith(b"SIP") else 1] for text in data] == [
        b"INVITE", b"200", b"ACK", b"BYE", b"200",
    ]  # fmt: skip
    assert [message["sent"] for message in shown["messages"]] == [False, True, False, False, True]
    assert {message["local"] for message in shown["messages"]} == {ours}
    assert b'response="xxxxxxxxxxxxxxxx"' in data[0]
    assert b"0123456789abcdef" in base64.b64decode(secrets["messages"][0]["data"])
    assert list(hosts.values()) == [200, 200, 200, 403, 403]
    (latest,) = listed["calls"]
    assert latest["call_id"] != call_id
    assert latest["outcome"] == "answered, peer hung up"
    assert nothing == {"messages": [], "left_out": 0}


async def test_a_trace_that_is_not_kept_is_an_error():
    async with (
        serving(answer_and_wait) as engine,
        Monitor(engine, http="127.0.0.1:0", trace_messages=0) as monitor,
    ):
        answer = await get(monitor, "/trace")
    assert answer.status == 400
    assert b"--trace-messages" in answer.body


async def test_status_and_calls_say_what_is_up():
    async with (
        serving(answer_and_wait) as engine,
        Monitor(engine, http="127.0.0.1:0") as monitor,
        phoning(engine) as one,
        phoning(engine) as two,
    ):
        await one.call()
        await two.call()
        await eventually(lambda: engine.shards[0].legs_open == 2)
        status = (await get(monitor, "/status")).json()
        calls = (await get(monitor, "/calls")).json()
        first = (await get(monitor, "/calls?limit=1")).json()
        bad = await get(monitor, "/calls?limit=-1")
        listener = f"udp:{engine.addresses[0]}"
        peer = ":".join(map(str, one.sip.getsockname()))
    assert status["listeners"] == [listener]
    assert status["calls_up"] == 2
    assert status["calls_by_state"]["confirmed"] == 2
    assert status["shards"][0]["legs"] == 2
    assert status["memory_bytes"] > 10_000_000
    assert [call["call_id"] for call in calls["calls"]] == [one.call_id, two.call_id]
    assert calls["calls"][0]["state"] == "confirmed"
    assert calls["calls"][0]["codec"] == "PCMU"
    assert calls["calls"][0]["peer"] == peer
    assert (first["calls_up"], len(first["calls"])) == (2, 1)
    assert bad.status == 400


async def test_health_of_an_engine_that_drains():
    async with serving(answer_and_wait) as engine, Monitor(engine, http="127.0.0.1:0") as monitor:
        well = await get(monitor, "/healthz")
        async with phoning(engine) as phone:
            await phone.call()
            draining = asyncio.create_task(engine.drain(TIMEOUT_S))
            await eventually(lambda: engine.draining)
            unwell = await get(monitor, "/healthz")
            await phone.hang_up()
            await draining
    assert (well.status, well.json()) == (200, {"status": "ok", "reasons": []})
    assert unwell.status == 503
    assert unwell.json()["reasons"] == ["draining: no new calls are taken"]


async def test_health_of_a_late_loop_and_of_a_stuck_shard(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "SHARD_PATIENCE_S", 1.0)
    async with (
        serving(answer_and_wait, shards=2) as engine,
        Monitor(engine, http="127.0.0.1:0") as monitor,
    ):
        monitor.lag.note(1.5)
        engine.shards[1].stop()
        answer = await get(monitor, "/healthz")
        metrics = await samples(monitor)
    assert answer.status == 503
    late, stuck = answer.json()["reasons"]
    assert late.startswith("the event loop was 1.5 s late")
    assert stuck.startswith("shard 1 has not moved")
    assert metrics["ringwheel_loop_lag_worst_seconds",] == 1.5


async def test_hep_copies_go_to_the_capture_server():
    with udp("127.0.0.1") as server:
        hep = f"127.0.0.1:{server.getsockname()[1]}"
        async with serving(answer_and_wait) as engine, Monitor(engine, hep=hep, hep_id=77):
            await traced_call(engine)
            copies = []
            while len(copies) < 5:
                copies.append(await asyncio.to_thread(_receive, server))
    assert all(copy[:4] == b"HEP3" for copy in copies)
    assert all((77).to_bytes(4, "big") in copy for copy in copies)
    assert [b"INVITE sip:" in copy for copy in copies] == [True, False, False, False, False]


def _receive(server: socket.socket) -> bytes:
    server.settimeout(TIMEOUT_S)
    return server.recv(65_536)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", 405),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"INVITE sip:a SIP/2.0\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999, 413),
    ],
)
async def test_what_is_no_good_request(request_: bytes, status: int):
    async with serving(answer_and_wait) as engine, Monitor(engine, http="127.0.0.1:0") as monitor:
        answer = await talk(monitor.address, request_, end=True)
        again = await get(monitor, "/healthz")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert again.status == 200


async def test_one_connection_takes_many_requests_and_head():
    ask = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with serving(answer_and_wait) as engine, Monitor(engine, http="127.0.0.1:0") as monitor:
        answers = await talk(monitor.address, ask * 3 + head)
    assert answers.count(b"HTTP/1.1 200") == 4
    assert answers.count(b'"status": "ok"') == 3


async def test_a_peer_that_says_nothing_is_left_and_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(http, "WAIT_S", 0.2)
    async with serving(answer_and_wait) as engine, Monitor(engine, http="127.0.0.1:0") as monitor:
        host, port = monitor.address.split(":")
        opened = [
            await asyncio.open_connection(host, int(port)) for _ in range(http.MAX_CONNECTIONS)
        ]
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            for slow, _ in opened:
                with contextlib.suppress(ConnectionError):
                    assert await slow.read() == b""
        assert (await get(monitor, "/healthz")).status == 200
        for _, each in [*opened, (reader, writer)]:
            each.close()


async def test_a_port_that_is_taken_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with serving(answer_and_wait) as engine:
            with pytest.raises(ListenError, match="take another address or port"):
                async with Monitor(engine, http=str(taken.getsockname()[1])):
                    pass


async def test_an_engine_without_a_monitor_has_nobody_watching():
    async with serving(answer_and_wait) as engine:
        async with Monitor(engine):
            assert engine._endpoint.observer is None
        async with Monitor(engine, http="127.0.0.1:0"):
            assert engine._endpoint.observer is not None
        assert engine._endpoint.observer is None


async def test_messages_over_tcp_are_traced_as_such():
    async with (
        serving(answer_and_wait, sip=["tcp:127.0.0.1:0"]) as engine,
        Monitor(engine, http="127.0.0.1:0") as monitor,
    ):
        (ours,) = engine.addresses
        host, port = ours.split(":")
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            lines = [
                f"OPTIONS sip:{ours} SIP/2.0",
                "Via: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKo",
                "Max-Forwards: 70",
                "From: <sip:a@127.0.0.1>;tag=1",
                f"To: <sip:{ours}>",
                "Call-ID: over-tcp",
                "CSeq: 1 OPTIONS",
                "Content-Length: 0",
                "",
                "",
            ]
            writer.write("\r\n".join(lines).encode())
            assert b"200" in await reader.readline()
            remote = ":".join(map(str, writer.get_extra_info("sockname")))
            shown = (await get(monitor, "/trace?call=over-tcp")).json()["messages"]
            writer.close()
    assert [message["sent"] for message in shown] == [False, True]
    for message in shown:
        assert (message["transport"], message["local"]) == ("TCP", ours)
        assert message["remote"] == remote
