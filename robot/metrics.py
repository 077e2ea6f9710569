"""A robot's figures as a `Monitor` shows them: read when somebody asks, and not before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..media.monitor.families import counter, gauge, histogram
from .speech.mrcp.service import MrcpFigures, MrcpService

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from .calling import CallingOut
    from .kept import CachedPrompts
    from .results import ResultWriter
    from .runner import Robot
    from .script.model import By
    from .speech.embedded import EmbeddedSpeech
    from .speech.service import SpeechService


class RobotMetrics:
    """What ``/metrics`` and ``/status`` tell of a robot. ``services`` are those of MRCP, by name;
    ``calling`` is set once it calls out."""

    name = "robot"

    def __init__(
        self,
        robot: Robot,
        *,
        services: Mapping[By, SpeechService] | None = None,
        writer: ResultWriter | None = None,
        kept: CachedPrompts | None = None,
        embedded: EmbeddedSpeech | None = None,
    ) -> None:
        self._robot = robot
        self._services: dict[str, MrcpService] = {}
        for name, service in (services or {}).items():
            if isinstance(service, MrcpService) and service not in self._services.values():
                self._services[name] = service
        self._writer = writer
        self._kept = kept
        self._embedded = embedded
        self.calling: CallingOut | None = None

    def status(self) -> dict[str, Any]:
        """As plain data."""
        figures = self._robot.figures
        told: dict[str, Any] = {
            "script": self._robot.script.name,
            "conversations_up": self._robot.conversations,
            "causes": _by_cause(figures.conversations),
            "questions": dict(figures.questions),
            "misses": dict(figures.misses),
            "steps": figures.steps,
            "mrcp": {name: asdict(service.figures()) for name, service in self._services.items()},
        }
        if self._writer is not None:
            told["results"] = _results(self._writer)
        if self.calling is not None:
            told["dials"] = _dials(self.calling)
        if self._kept is not None:
            told["prompt_cache"] = asdict(self._kept.figures)
        if self._embedded is not None:
            told["embedded_restarts"] = self._embedded.restarts
        return told

    def collect(self) -> Iterator[Metric]:
        """As metrics."""
        yield from self._conversations()
        if self._writer is not None:
            results = _results(self._writer)
            yield gauge("robot_results_waiting", "Results.", (), {(): results.pop("waiting")})
            yield counter("robot_results", "Results by outcome.", ("outcome",), _keyed(results))
        if self.calling is not None:
            yield gauge("robot_dials", "Numbers to call.", ("state",), _keyed(_dials(self.calling)))
        if self._services:
            yield from _mrcp({name: s.figures() for name, s in self._services.items()})
            yield from self._latencies()
        if self._kept is not None:
            counts = asdict(self._kept.figures)
            held = {(): counts.pop("bytes_held")}
            yield gauge("prompt_cache_bytes", "Kept prompts.", (), held)
            yield counter("prompt_cache", "Prompts asked for.", ("event",), _keyed(counts))
        if self._embedded is not None:
            restarts = {(): self._embedded.restarts}
            yield counter("embedded_speech_restarts", "Restarts.", (), restarts)

    def _conversations(self) -> Iterator[Metric]:
        figures = self._robot.figures
        up = {(): self._robot.conversations}
        yield gauge("robot_conversations_up", "Conversations that go on.", (), up)
        yield counter(
            "robot_conversations", "By their end.", ("script", "cause"), figures.conversations
        )
        for name, help, label, counts in (
            ("robot_unreached", "Calls without a conversation.", "outcome", figures.unreached),
            ("robot_questions", "Questions by outcome.", "outcome", figures.questions),
            ("robot_misses", "Answers that did not come or fit.", "cause", figures.misses),
        ):
            yield counter(name, help, (label,), _keyed(counts))
        yield counter("robot_steps", "Steps.", (), {(): figures.steps})
        yield histogram("robot_conversation_seconds", "How long.", {(): figures.seconds})

    def _latencies(self) -> Iterator[Metric]:
        opening = {(name,): service.opening_s for name, service in self._services.items()}
        yield histogram("mrcp_opening_seconds", "To set a session up.", opening, ("service",))
        answers = {
            (name, str(method)): taken
            for name, service in self._services.items()
            for method, taken in service.answers_s.items()
        }
        labels = ("service", "method")
        yield histogram("mrcp_answer_seconds", "Until answers came.", answers, labels)


def _by_cause(conversations: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {cause: count for (_, cause), count in conversations.items()}


def _results(writer: ResultWriter) -> dict[str, int]:
    return {"written": writer.written, "lost": writer.lost, "waiting": writer.waiting}


def _dials(calling: CallingOut) -> dict[str, int]:
    return {"waiting": calling.waiting, "under_way": calling.tally.under_way}


def _mrcp(services: Mapping[str, MrcpFigures]) -> Iterator[Metric]:
    sessions: dict[tuple[str, ...], float] = {}
    events: dict[tuple[str, ...], float] = {}
    for name, figures in services.items():
        for server in figures.servers:
            for state in ("taken", "idle"):
                sessions[name, server.name, state] = getattr(server, state)
            for event in ("opened", "reused", "lost"):
                events[name, server.name, event] = getattr(server, event)
    yield gauge("mrcp_sessions", "Sessions.", ("service", "server", "state"), sessions)
    yield counter("mrcp_session_events", "Sessions.", ("service", "server", "event"), events)
    failures = {(n, kind): c for n, f in services.items() for kind, c in f.failures.items()}
    yield counter("mrcp_failures", "Sessions not had.", ("service", "kind"), failures)
    connections = {(name,): float(f.control_connections) for name, f in services.items()}
    yield gauge("mrcp_control_connections", "Connections.", ("service",), connections)


def _keyed(counts: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(name,): count for name, count in counts.items()}
