"""Sessions with speech servers: pooled, bounded, and taken from the next server when one fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from ..service import SpeechFailed
from .servers import MrcpServer, ServerHealth, order_servers
from .session import MrcpSession, SessionFailed, Surroundings
from .taken import Taken
from .words import Resource

if TYPE_CHECKING:
    from ....media._core import Shard
    from ....media.call import Call

log = structlog.get_logger(__name__)

USUAL = (Resource.SPEECHSYNTH, Resource.SPEECHRECOG)
"""What a session is set up with."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """``open_s``: the deadline of all attempts to get a session; ``idle_s``: how long one waits for
    the next call; ``age_s``: how old it may be then."""

    open_s: float = 8.0
    idle_s: float = 60.0
    age_s: float = 3_600.0


@dataclass(slots=True, eq=False)
class Idle:
    """A session that waits for a call."""

    session: MrcpSession
    timer: asyncio.TimerHandle


@dataclass(slots=True, eq=False)
class ServerPool:
    """The sessions with one server. ``taken`` are in use or being opened."""

    health: ServerHealth
    taken: int = 0
    idle: deque[Idle] = field(default_factory=deque)
    opened: int = 0
    reused: int = 0
    lost: int = 0

    @property
    def server(self) -> MrcpServer:
        """Which one."""
        return self.health.server

    @property
    def sessions(self) -> int:
        """All of them."""
        return self.taken + len(self.idle)


class SessionPool:
    """All sessions of a service. `take` and `give_back` go in pairs."""

    def __init__(
        self,
        around: Surroundings,
        servers: tuple[MrcpServer, ...],
        limits: PoolLimits,
        source: random.Random | None = None,
    ) -> None:
        self.failures: Counter[str] = Counter()
        self.opening = Taken()
        self.pools = [ServerPool(ServerHealth(server)) for server in servers]
        self._around = around
        self._limits = limits
        self._source = source or random.Random()
        self._of: dict[MrcpSession, tuple[ServerPool, float]] = {}
        self._closed = False

    async def take(self, beside: Call) -> MrcpSession:
        """A session on the media thread of a call: one that waits, or a new one, of the first
        server that gives one. SpeechFailed."""
        shard = beside.connected()[0].shard
        causes: list[SpeechFailed] = []
        pool: ServerPool | None = None
        timeout = asyncio.timeout(self._limits.open_s)
        try:
            async with timeout:
                for health in order_servers(
                    [pool.health for pool in self.pools], self._now_ms(), self._source
                ):
                    pool = self._pool_of(health)
                    try:
                        return self._reuse(pool, shard) or await self._open(pool, beside)
                    except SpeechFailed as error:
                        causes.append(error)
        except TimeoutError:
            if not timeout.expired():
                raise
            text = f"no speech session within {self._limits.open_s:g} s"
            causes.append(SpeechFailed("deadline", text))
            self.failures["deadline"] += 1
            if pool is not None:
                self._rest(pool, text)
        raise self._failure(causes)

    def give_back(self, session: MrcpSession) -> None:
        """A call needs it no more: keep it for the next one, or end it."""
        pool, born_s = self._of.get(session, (None, 0.0))
        if pool is None:
            return  # ended with the pool
        pool.taken -= 1
        young = time.monotonic() - born_s < self._limits.age_s
        roomy = len(pool.idle) < max(pool.server.keep, pool.server.ready)
        if self._closed or session.lost or session.busy or not young or not roomy:
            self._drop(session)
            return
        loop = asyncio.get_running_loop()
        idle = Idle(session, loop.call_later(self._limits.idle_s, self._rested, session))
        pool.idle.append(idle)

    async def prepare(self) -> None:
        """Open the sessions that servers are to have ready. What fails is logged, and comes when a
        call needs it."""
        openings = []
        for pool in self.pools:
            missing = pool.server.ready - pool.sessions
            openings += [self._prepare(pool) for _ in range(missing)]
        await asyncio.gather(*openings)

    async def add(self, session: MrcpSession, resource: Resource) -> None:
        """Add a resource to a session that has it not. SpeechFailed."""
        try:
            await session.add(resource)
        except SessionFailed as error:
            self.failures[error.kind] += 1
            raise SpeechFailed(error.kind, str(error)) from None

    def blame(self, session: MrcpSession, cause: str) -> None:
        """A server has not done what it should: the next session is had elsewhere."""
        found = self._of.get(session)
        if found is not None:
            self._rest(found[0], cause)

    def resting(self, pool: ServerPool) -> bool:
        """True while a server is left alone."""
        return pool.health.resting(self._now_ms())

    def close(self) -> None:
        """End all that wait, and keep none any more."""
        self._closed = True
        for session in list(self._of):
            self._drop(session)

    # Within

    async def _prepare(self, pool: ServerPool) -> None:
        try:
            async with asyncio.timeout(self._limits.open_s):
                session = await self._open(pool, None)
        except (SpeechFailed, TimeoutError) as error:
            log.warning("no speech session in advance", server=pool.server.name, cause=str(error))
        else:
            self.give_back(session)

    def _reuse(self, pool: ServerPool, shard: Shard) -> MrcpSession | None:
        """One that waits, on the call's media thread: the last one that was used."""
        for idle in reversed(pool.idle):
            if not idle.session.lost and idle.session.shard is shard:
                pool.idle.remove(idle)
                idle.timer.cancel()
                pool.taken += 1
                pool.reused += 1
                return idle.session
        return None

    async def _open(self, pool: ServerPool, beside: Call | None) -> MrcpSession:
        server = pool.server
        if pool.sessions >= server.max_sessions and pool.idle:
            self._drop(pool.idle[0].session)  # of another thread
        if self._closed:
            raise SpeechFailed("cancelled", "the speech service was closed")
        if pool.sessions >= server.max_sessions:
            self.failures["full"] += 1
            raise SpeechFailed(
                "refused", f"{server.name}: all {server.max_sessions} sessions in use"
            )
        session = MrcpSession(self._around, server)
        began_s = time.monotonic()
        pool.taken += 1
        try:
            await session.open(USUAL, beside)
        except SessionFailed as error:
            pool.taken -= 1
            self._note_failure(pool, error)
            raise SpeechFailed(error.kind, str(error)) from None
        except BaseException:
            pool.taken -= 1
            session.close()
            raise
        pool.health.worked()
        pool.opened += 1
        self.opening.add(time.monotonic() - began_s)
        self._of[session] = pool, time.monotonic()
        session.on_lost = self._on_lost
        return session

    def _note_failure(self, pool: ServerPool, error: SessionFailed) -> None:
        self.failures[error.kind] += 1
        if error.ours:
            return
        retry_after_ms = None if error.retry_after_s is None else error.retry_after_s * 1_000
        self._rest(pool, str(error), retry_after_ms)

    def _rest(self, pool: ServerPool, cause: str, retry_after_ms: int | None = None) -> None:
        resting = pool.health.resting(self._now_ms())
        pool.health.failed(self._now_ms(), cause, self._source.random(), retry_after_ms)
        if not resting:
            wait_s = (pool.health.until_ms - self._now_ms()) / 1_000
            log.warning("speech server left alone", server=pool.server.name, cause=cause, s=wait_s)

    def _on_lost(self, session: MrcpSession) -> None:
        pool, _ = self._of[session]
        pool.lost += 1
        self.failures["lost"] += 1
        if any(idle.session is session for idle in pool.idle):
            # A server may end what waits, as it likes.
            self._drop(session)
        else:
            self._rest(pool, session.lost)

    def _drop(self, session: MrcpSession) -> None:
        """End a session, whether it waits or not."""
        pool, _ = self._of.pop(session)
        for idle in list(pool.idle):
            if idle.session is session:
                idle.timer.cancel()
                pool.idle.remove(idle)
        session.on_lost = None
        session.close()

    def _rested(self, session: MrcpSession) -> None:
        """It has waited long enough, unless it is one of those that are to be ready."""
        pool, _ = self._of[session]
        if len(pool.idle) > pool.server.ready:
            self._drop(session)

    def _pool_of(self, health: ServerHealth) -> ServerPool:
        return next(pool for pool in self.pools if pool.health is health)

    def _failure(self, causes: list[SpeechFailed]) -> SpeechFailed:
        """What to tell of several servers: the last word of each, the kind of the last."""
        if causes:
            return SpeechFailed(causes[-1].kind, "; ".join(str(cause) for cause in causes))
        resting = [f"{p.server.name}: {p.health.cause}" for p in self.pools]
        return SpeechFailed(
            "unreachable", f"every speech server is left alone: {'; '.join(resting)}"
        )

    @staticmethod
    def _now_ms() -> int:
        return int(asyncio.get_running_loop().time() * 1_000)
