"""Speech for all calls of an engine, by MRCPv2 servers (RFC 6787)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from ....media.monitor.buckets import Buckets
from ....media.sip.tls import TlsConfig, TlsContexts
from .connection import ConnectionLimits, ControlConnections
from .pool import PoolLimits, SessionPool
from .servers import MrcpServer
from .session import SessionLimits, Surroundings
from .speech import MrcpSpeech, SpeechLimits

if TYPE_CHECKING:
    from ....media.call import Call
    from ....media.engine import Engine

log = structlog.get_logger(__name__)

GOODBYE_S = 2.0
"""How long what is being stopped may take when a service ends."""


@dataclass(frozen=True, slots=True)
class MrcpOptions:
    """How a service works. ``tls``: whom to trust, and what to show, on control connections."""

    servers: tuple[MrcpServer, ...]
    tls: TlsConfig = field(default_factory=TlsConfig)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    sessions: SessionLimits = field(default_factory=SessionLimits)
    pool: PoolLimits = field(default_factory=PoolLimits)
    speech: SpeechLimits = field(default_factory=SpeechLimits)

    def __post_init__(self) -> None:
        names = [server.name for server in self.servers]
        if not names:
            raise ValueError("speech needs at least one server")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"two speech servers are called {twice[0]!r}; give each a name")


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something took, in milliseconds, the last thousand times."""

    count: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> Latency:
        """Of those that were measured."""
        ordered = sorted(values_ms)
        if not ordered:
            return cls()
        last = len(ordered) - 1
        return cls(len(ordered), ordered[last // 2], ordered[int(last * 0.99)])


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One server: sessions in use and waiting, those opened, used again and lost since the start;
    ``resting`` says why it is left alone, empty while it is not."""

    name: str
    uri: str
    taken: int
    idle: int
    opened: int
    reused: int
    lost: int
    resting: str


@dataclass(frozen=True, slots=True)
class MrcpFigures:
    """How a service is. ``failures`` counts sessions that could not be had, or were lost, by kind;
    ``odd`` and ``stray`` what servers have sent that changes nothing. ``opening`` is how long a
    session took to set up, ``answers`` how long the answer to each method."""

    servers: tuple[ServerFigures, ...]
    control_connections: int
    failures: dict[str, int] = field(default_factory=dict)
    odd: dict[str, int] = field(default_factory=dict)
    stray: dict[str, int] = field(default_factory=dict)
    opening: Latency = Latency()
    answers: dict[str, Latency] = field(default_factory=dict)


class MrcpService:
    """A `SpeechService` over MRCPv2; an engine has to be serving while it is used.

    Sessions are made by that engine, at most its ``max_speech_sessions``. Raises ValueError for
    servers that make no sense, ListenError for files of TLS that cannot be used.
    """

    def __init__(self, engine: Engine, options: MrcpOptions | Sequence[MrcpServer]) -> None:
        """``options``: or servers alone, where the rest may stay as it is."""
        if not isinstance(options, MrcpOptions):
            options = MrcpOptions(tuple(options))
        self.options = options
        secured = any(server.transport == "tls" for server in options.servers)
        context = TlsContexts(options.tls).client if secured else None
        self._connections = ControlConnections(context, options.connections)
        self._around = Surroundings(engine, self._connections, options.sessions)
        self._pool = SessionPool(self._around, options.servers, options.pool)
        self._tasks: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Open the sessions that servers are to have ready (``MrcpServer.ready``)."""
        await self._pool.prepare()

    async def open(self, call: Call) -> MrcpSpeech:
        """A session for this call, from the pool where there is one. SpeechFailed, CallEnded."""
        speech = MrcpSpeech(call, self._pool, self.options.speech, self._spawn)
        await speech.open()
        return speech

    def figures(self) -> MrcpFigures:
        """How it is now."""
        pool = self._pool
        return MrcpFigures(
            tuple(
                ServerFigures(
                    p.server.name,
                    p.server.uri,
                    p.taken,
                    len(p.idle),
                    p.opened,
                    p.reused,
                    p.lost,
                    p.health.cause if pool.resting(p) else "",
                )
                for p in pool.pools
            ),
            len(self._connections),
            dict(pool.failures),
            {str(oddity): count for oddity, count in self._around.odd.items()},
            {str(stray): count for stray, count in self._connections.stray.items()},
            Latency.of(pool.opening.recent_ms),
            {str(m): Latency.of(taken.recent_ms) for m, taken in self._around.answers.items()},
        )

    @property
    def opening_s(self) -> Buckets:
        """How long sessions took to set up."""
        return self._pool.opening.all_s

    @property
    def answers_s(self) -> dict[str, Buckets]:
        """How long the answers to each method took."""
        return {str(method): taken.all_s for method, taken in self._around.answers.items()}

    async def close(self) -> None:
        """End all sessions and connections."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=GOODBYE_S)
            for task in late:
                task.cancel()
        self._pool.close()
        await self._connections.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("speech task failed", exc_info=task.exception())
