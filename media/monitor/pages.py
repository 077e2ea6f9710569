"""The pages of a monitor's HTTP port."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Generator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from ..call import Call
from ..sip.fields import format_host_port
from ..sip.masking import mask_secrets
from ..sip.trace import BATCH, CallList, Traced, TracedCall
from .health import health_of
from .http import Page, Query, Reply
from .metrics import CONTENT_TYPE, Metrics
from .monitor import version

if TYPE_CHECKING:
    from .monitor import Monitor

Found = TypeVar("Found")

JSON = "application/json"
DEFAULT_CALLS = 100
MAX_CALLS = 1_000
MAX_MESSAGES = 2_000
METRICS_KEPT_S = 1.0
"""Who asks more often gets the same text again: to make it takes some milliseconds."""


class Pages:
    """What is shown of a monitor and its engine."""

    def __init__(self, monitor: Monitor, metrics: Metrics) -> None:
        self._monitor = monitor
        self._metrics = metrics
        self._text = b""
        self._made_s = -METRICS_KEPT_S

    def by_path(self) -> dict[str, Page]:
        """Every page."""
        return {
            "/metrics": self.metrics,
            "/healthz": self.healthz,
            "/status": self.status,
            "/calls": self.calls,
            "/trace": self.trace,
        }

    async def metrics(self, query: Query) -> Reply:
        """For Prometheus."""
        now_s = time.monotonic()
        if now_s - self._made_s >= METRICS_KEPT_S:
            self._text, self._made_s = self._metrics.text(), now_s
        return Reply(self._text, CONTENT_TYPE)

    async def healthz(self, query: Query) -> Reply:
        """For whoever sends work: 200, or 503 and why not."""
        health = await health_of(self._monitor.engine, self._monitor.lag)
        body = {"status": "ok" if health.well else "unwell", "reasons": health.reasons}
        return _json(body, 200 if health.well else 503)

    async def status(self, query: Query) -> Reply:
        """All figures of the engine."""
        monitor = self._monitor
        figures = asdict(monitor.engine.snapshot())
        shards = [
            {"legs": shard.legs_open, "lateness_us": lateness}
            for shard, lateness in zip(
                monitor.engine.shards, figures.pop("lateness_us"), strict=True
            )
        ]
        figures |= {
            "version": version(),
            "pid": os.getpid(),
            "time_s": time.time(),
            "up_s": time.time() - monitor.started_s,
            "listeners": monitor.engine.listeners,
            "shards": shards,
            "trunks": [asdict(trunk) for trunk in monitor.engine.trunks],
            "loop_lag_worst_ms": round(1000 * monitor.lag.worst_s, 3),
            "memory_bytes": memory_bytes(),
        }
        figures |= {part.name: part.status() for part in monitor.parts}
        return _json(figures)

    async def calls(self, query: Query) -> Reply:
        """The calls that are up, the oldest first."""
        calls = self._monitor.engine.calls
        limit = _limit(query, MAX_CALLS)
        shown = [_call(call) for call in calls[:limit]]
        return _json({"calls_up": len(calls), "calls": shown})

    async def trace(self, query: Query) -> Reply:
        """The SIP messages of ``call``, or the calls of which there are some."""
        trace, key = self._monitor.trace, query.get("call")
        if trace is None:
            raise ValueError("no SIP messages are kept: serve with --trace-messages")
        if key:
            return self._messages(await _stepwise(trace.search(key)), query)
        calls = CallList()
        for count, item in enumerate(trace):
            calls.add(item)
            if count % BATCH == 0:
                await asyncio.sleep(0)
        latest = calls.latest(_limit(query, MAX_CALLS))
        return _json({"calls": [_traced_call(call) for call in latest]})

    def _messages(self, found: list[Traced], query: Query) -> Reply:
        secrets = query.get("secrets") == "1"
        if secrets and not query.local:
            return Reply(b"secrets are shown to this machine only\n", status=403)
        addresses = self._monitor.engine.bound_addresses
        shown = [_message(item, addresses, secrets=secrets) for item in found[:MAX_MESSAGES]]
        return _json({"messages": shown, "left_out": len(found) - len(shown)})


async def _stepwise(steps: Generator[None, None, Found]) -> Found:
    """What ``steps`` returns; between them the event loop has its turn."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Found = done.value
            return found
        await asyncio.sleep(0)


def memory_bytes() -> int:
    """What of this process is in memory."""
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - read at once from memory
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _limit(query: Query, most: int) -> int:
    text = query.get("limit") or str(DEFAULT_CALLS)
    if not (text.isascii() and text.isdigit() and len(text) < 9) or int(text) < 1:
        raise ValueError("limit: use a number from 1 up")
    return min(int(text), most)


def _call(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "call_id": call.call_id,
        "from": call.from_uri,
        "to": call.to_uri,
        "outgoing": call.outgoing,
        "state": call.state,
        "peer": format_host_port(*call.peer),
        "trunk": call.trunk,
        "codec": call.codec,
        "held": call.held,
    }


def _traced_call(call: TracedCall) -> dict[str, Any]:
    return asdict(call) | {"outcome": call.outcome}


def _message(item: Traced, addresses: tuple[str, ...], *, secrets: bool) -> dict[str, Any]:
    flow = item.flow
    data = item.data if secrets else mask_secrets(item.data)
    return {
        "time_s": item.time_s,
        "sent": item.sent,
        "transport": flow.transport,
        "local": addresses[flow.listener] if flow.listener < len(addresses) else "?",
        "remote": format_host_port(flow.remote_host, flow.remote_port),
        "data": base64.b64encode(data).decode(),
    }


def _json(body: object, status: int = 200) -> Reply:
    return Reply(json.dumps(body).encode() + b"\n", JSON, status)
