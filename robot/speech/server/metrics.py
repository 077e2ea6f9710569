"""The figures of a speech server as a `Monitor` shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ....media.monitor.families import counter, gauge
from .server import SpeechFigures, as_json

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class SpeechMetrics:
    """What ``/metrics`` and ``/status`` tell of a server whose figures ``read`` gives."""

    name = "speech"

    def __init__(self, read: Callable[[], SpeechFigures]) -> None:
        self._read = read

    def status(self) -> dict[str, Any]:
        """As plain data."""
        return as_json(self._read())

    def collect(self) -> Iterator[Metric]:
        """As metrics."""
        figures = self._read()
        pool, done = figures.recognition, figures.resources
        yield gauge("mrcp_server_sessions", "Sessions.", (), {(): figures.sessions})
        yield gauge("mrcp_server_channels", "Channels.", (), {(): figures.channels})
        requests = {(method,): count for method, count in done.requests.items()}
        yield counter("mrcp_server_requests", "Requests.", ("method",), requests)
        statuses = {(str(status),): count for status, count in done.statuses.items()}
        yield counter("mrcp_server_responses", "Responses.", ("status",), statuses)
        causes = {
            (resource, cause): count
            for (resource, _, cause), count in (
                (key.partition(" "), count) for key, count in done.causes.items()
            )
        }
        yield counter("mrcp_server_completions", "Causes.", ("resource", "cause"), causes)
        spoken = {(): done.synthesized_s}
        yield counter("synthesized_seconds", "Sound made of text.", (), spoken)
        yield gauge("recognizer_workers", "Processes.", (), {(): pool.workers})
        yield gauge("recognizer_waiting", "Recognitions in the queue.", (), {(): pool.waiting})
        jobs = {
            ("done",): pool.jobs - pool.failed,
            ("failed",): pool.failed,
            ("refused",): pool.refused,
        }
        yield counter("recognizer_jobs", "Jobs by outcome.", ("outcome",), jobs)
        yield counter("recognizer_restarts", "Workers that died.", (), {(): pool.restarts})
        cpu = {(): pool.cpu_us / 1_000_000}
        yield counter("recognizer_cpu_seconds", "CPU time.", (), cpu)
        control = {
            (protocol, event): count
            for protocol, counts in figures.control.items()
            for event, count in counts.as_dict().items()
            if event != "connections"
        }
        yield counter("mrcp_server_control", "Connections.", ("protocol", "event"), control)
        open_now = {(protocol,): c.connections for protocol, c in figures.control.items()}
        yield gauge("mrcp_server_connections", "Connections.", ("protocol",), open_now)
