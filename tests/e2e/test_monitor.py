"""What is seen of a running engine over HTTP: a real engine, real calls, a client of sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ringwheel import Call
from ringwheel.media.monitor import Monitor, pages

from .client import TIMEOUT_S
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


async def talk(address: str, data: bytes) -> bytes:
    """Everything that comes back until the other side closes."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(data)
        try:
            return await reader.read()
        finally:
            writer.close()


async def get(monitor: Monitor, path: str, method: str = "GET") -> Answer:
    request = f"{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
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


async def test_an_engine_without_a_monitor_has_nobody_watching():
    async with serving(answer_and_wait) as engine:
        async with Monitor(engine):
            assert engine._endpoint.observer is None
        async with Monitor(engine, http="127.0.0.1:0"):
            assert engine._endpoint.observer is not None
        assert engine._endpoint.observer is None
