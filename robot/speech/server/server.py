"""The server: SIP by our own engine, control listeners, engines, and all their sessions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from ....media.call import Call
from ....media.engine import Engine
from ....media.sip.listener import Listener
from ....media.sip.tls import TlsConfig, TlsContexts
from ....media.sip.transport import WheelClock
from ..engines.engine import Synthesizer, Utterance, make_engine
from ..engines.pool import PoolFigures, RecognizerPool
from ..mrcp.message import ChannelId
from .control import ControlFigures, ControlListener, Served
from .hearing import Engines
from .resource import ResourceFigures
from .session import ENCRYPTED, PLAIN, Means, Session

log = structlog.get_logger(__name__)

DEFAULT_RECOGNIZER, DEFAULT_SYNTHESIZER = "pocketsphinx", "espeak-ng"
WORKERS = 2
MAX_SESSIONS = 200


@dataclass(frozen=True, slots=True)
class SpeechFigures:
    """How a server is."""

    sessions: int
    channels: int
    control: dict[str, ControlFigures]
    recognition: PoolFigures
    resources: ResourceFigures


class SpeechServer:
    """An MRCPv2 server; an asynchronous context manager.

    ``sip``: as of :class:`Engine`. ``mrcp`` and ``mrcp_tls``: ``HOST:PORT`` for control
    connections in the clear and over TLS, with the certificate of ``tls``; one of both is needed.
    ``recognizer`` and ``synthesizer`` are names of engines, ``workers`` processes recognize.
    ``voice`` speaks where a request names none. ``records``: where recordings are kept whose
    client asks for a URI; without it they come back in the answer.

    Raises EngineFailed for engines that cannot work here, ListenError for a listener that cannot
    be opened, ValueError for what makes no sense.
    """

    def __init__(
        self,
        sip: Sequence[str] = ("udp:127.0.0.1:5070",),
        *,
        mrcp: str | None = "127.0.0.1:1544",
        mrcp_tls: str | None = None,
        tls: TlsConfig | None = None,
        recognizer: str = DEFAULT_RECOGNIZER,
        synthesizer: str = DEFAULT_SYNTHESIZER,
        workers: int = WORKERS,
        voice: str | None = None,
        records: Path | None = None,
        max_sessions: int = MAX_SESSIONS,
        rtp_ports: tuple[int, int] = (40_002, 44_000),
        advertise: str | None = None,
    ) -> None:
        listeners = {PLAIN: mrcp, ENCRYPTED: mrcp_tls}
        self._listeners = {
            protocol: Listener.parse(f"{'tcp' if protocol == PLAIN else 'tls'}:{address}")
            for protocol, address in listeners.items()
            if address is not None
        }
        if not self._listeners:
            remedy = "name one by --mrcp or --mrcp-tls"
            raise ValueError(f"a speech server needs a listener for control connections; {remedy}")
        if mrcp_tls is not None and (tls is None or tls.certificate is None):
            remedy = "name them by --tls-cert and --tls-key"
            raise ValueError(f"MRCP over TLS needs a certificate and its key; {remedy}")
        self._tls = tls
        self._synthesizer = synthesizer
        self._voice = voice
        self._records = records
        self._pool = RecognizerPool(recognizer, workers=workers)
        self.engine = Engine(
            sip,
            tls=tls,
            rtp_ports=rtp_ports,
            advertise=advertise,
            max_calls=max_sessions,
            codecs=("pcmu", "pcma"),
        )
        self._clock = WheelClock(self._timer_failed)
        self._control: dict[str, ControlListener] = {}
        self._sessions: set[Session] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> SpeechServer:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        synthesizer: Synthesizer = make_engine("ringwheel.synthesizers", self._synthesizer)
        if self._voice is not None:
            await synthesizer.check(Utterance("a", voice=self._voice))
        await self._stack.enter_async_context(self._pool)
        self._clock.start()
        self._stack.callback(self._clock.stop)
        engines = Engines(self._pool)
        self._stack.callback(engines.close)
        self._means = Means(engines, synthesizer, self._clock, {}, self._voice, self._records)
        contexts = TlsContexts(self._tls) if self._tls is not None else None
        for protocol, listener in self._listeners.items():
            context = contexts.server if contexts and protocol == ENCRYPTED else None
            control = ControlListener(listener, self._find, context=context)
            await control.start()
            self._stack.push_async_callback(control.close)
            self._control[protocol] = control
            self._means.ports[protocol] = control.port
        await self._stack.enter_async_context(self.engine)
        ports = {protocol: control.port for protocol, control in self._control.items()}
        log.info("speech", sip=self.engine.listeners, control=ports)

    @property
    def ports(self) -> dict[str, int]:
        """Of the control listeners, by their protocol in SDP."""
        return dict(self._means.ports)

    def figures(self) -> SpeechFigures:
        """As they are now."""
        return SpeechFigures(
            len(self._sessions),
            len(self._means.channels),
            {protocol: control.figures for protocol, control in self._control.items()},
            self._pool.figures(),
            self._means.figures,
        )

    async def serve(self) -> None:
        """Serve sessions until :meth:`drain` has ended."""
        await self.engine.serve(self._serve_session)

    async def drain(self, timeout_s: float = 30.0) -> bool:
        """Refuse new sessions, let the running ones end, and hang up those that do not in time."""
        return await self.engine.drain(timeout_s)

    async def _serve_session(self, call: Call) -> None:
        session = Session(call, self._means)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    def _find(self, channel: ChannelId) -> Served | None:
        return self._means.channels.get(str(channel))

    @staticmethod
    def _timer_failed(what: str) -> None:
        log.exception("speech timer failed", what=what)


def as_json(figures: SpeechFigures) -> dict[str, Any]:
    """Figures as they are shown and logged."""
    return {
        "sessions": figures.sessions,
        "channels": figures.channels,
        "recognition": {name: getattr(figures.recognition, name) for name in PoolFigures.__slots__},
        "requests": dict(figures.resources.requests),
        "statuses": {str(status): n for status, n in figures.resources.statuses.items()},
        "events": dict(figures.resources.events),
        "causes": dict(figures.resources.causes),
        "synthesized_s": round(figures.resources.synthesized_s, 3),
        "control": {name: control.as_dict() for name, control in figures.control.items()},
    }
