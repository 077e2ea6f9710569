"""A monitor looks at one engine: it opens the HTTP port, keeps SIP messages, sends copies of them.

An engine without one does nothing for all this.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import structlog

from ..connection import Connection
from ..engine import Engine
from ..sip.edge import Flow, MessageObserver
from ..sip.hep import HepSender
from ..sip.trace import Trace
from ..sip.traffic import Traffic
from ..sip.transport import ListenError
from .addresses import hep_address, http_address, split_address
from .ended import EndedCalls
from .families import Part
from .health import LoopLag

if TYPE_CHECKING:
    from .http import HttpPort

log = structlog.get_logger(__name__)

MAX_TRACE_MESSAGES = 1_000_000
TRACE_MESSAGES = 10_000


class Monitor:
    """What is seen of a running engine; an asynchronous context manager, inside the engine's.

    ``http``: where metrics, health, calls and SIP messages are served, ``HOST:PORT``, or ``PORT``
    of 127.0.0.1; None: nowhere. Whoever reaches it sees who calls whom. ``trace_messages``: how
    many SIP messages are kept for ``ringwheel trace``, up to 16 MiB of them; 0: none. ``hep``: a
    capture server (``HOST:PORT``, HEP3 over UDP) that gets a copy of each, as from the agent
    ``hep_id``. ``parts`` are shown beside the engine.

    ListenError: the HTTP port cannot be opened, or there is no way to the capture server.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        http: str | None = None,
        trace_messages: int = TRACE_MESSAGES,
        hep: str | None = None,
        hep_id: int = 1,
        parts: Sequence[Part] = (),
    ) -> None:
        if not 0 <= trace_messages <= MAX_TRACE_MESSAGES:
            raise ValueError(f"trace_messages: use 0 to {MAX_TRACE_MESSAGES}")
        if not 0 <= hep_id < 2**32:
            raise ValueError("hep_id: use 0 to 4294967295")
        self.engine = engine
        self.parts = tuple(parts)
        self.started_s = time.time()
        self.trace = Trace(trace_messages) if trace_messages and http else None
        self.traffic = Traffic()
        self.ended = EndedCalls()
        self.lag = LoopLag()
        self.hep: HepSender | None = None
        self._http_at = http_address(http) if http else None
        self._hep_at = hep_address(hep) if hep else None
        self._hep_id = hep_id
        self._port: HttpPort | None = None

    @property
    def address(self) -> str | None:
        """``host:port`` of the HTTP port; None if there is none."""
        return self._port.address if self._port else None

    async def __aenter__(self) -> Monitor:
        if self._hep_at is not None:
            self.hep = await self._open_hep(*self._hep_at)
        try:
            if self._http_at is not None:
                await self._open_port(*self._http_at)
        except BaseException:
            self._close_hep()
            raise
        parts = (self.traffic if self._port else None, self.trace, self.hep)
        observers = [part for part in parts if part is not None]
        if observers:
            self.engine.watch(chain(observers), self._on_leg_over if self._port else None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.watch(None, None)
        self.lag.stop()
        if self._port is not None:
            await self._port.close()
        self._close_hep()

    async def _open_port(self, host: str, port: int) -> None:
        # Only now: an engine that is not looked at has no use for them.
        from .http import HttpPort  # noqa: PLC0415
        from .metrics import Metrics  # noqa: PLC0415
        from .pages import Pages  # noqa: PLC0415

        pages = Pages(self, Metrics(self, version()))
        self._port = HttpPort(pages.by_path())
        await self._port.open(host, port)
        self.lag.start()
        log.info("http listening", url=f"http://{self._port.address}", pid=os.getpid())

    async def _open_hep(self, host: str, port: int) -> HepSender:
        local = [split_address(address) for address in self.engine.bound_addresses]
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port)
            return HepSender((str(found[0][4][0]), port), self._hep_id, local)
        except OSError as error:
            cause = error.strerror or str(error)
            raise ListenError(f"hep {host}:{port}: {cause}; name a server there is") from error

    def _close_hep(self) -> None:
        if self.hep is not None:
            self.hep.close()

    def _on_leg_over(self, call: Connection) -> None:
        try:
            self.ended.add(call)
        except Exception:  # whatever it is, the call's own way must go on
            log.exception("figures of a call not taken", call=call.id)


def chain(observers: Sequence[MessageObserver]) -> MessageObserver:
    """One observer for all of them. It is called for every message: two know each other."""
    first, *others = observers
    if not others:
        return first
    second = chain(others)

    def both(sent: bool, flow: Flow, data: bytes, time_s: float) -> None:
        first(sent, flow, data, time_s)
        second(sent, flow, data, time_s)

    return both


def version() -> str:
    """That of the package."""
    from ... import __version__  # noqa: PLC0415 - the package imports this module first

    return __version__
