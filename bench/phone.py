"""A user agent on a port of its own, on the running event loop: what a caller speaks SIP with."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..media.sip.admission import Limits
from ..media.sip.edge import Flow
from ..media.sip.events import CallHandler
from ..media.sip.message import Request, Response, SipParseError
from ..media.sip.transport import Listener, LoopTimers, SipEndpoint
from ..media.sip.ua import UserAgent, UserAgentConfig


class Phone:
    """Binds a free port of ``host``; a context manager. Raises ListenError.

    ``handler`` is told of calls, of which there are ``max_calls`` at most at the same time. A call
    of ours that is not answered within ``answer_timeout_ms`` is given up.
    """

    def __init__(
        self, handler: CallHandler, *, host: str, max_calls: int, answer_timeout_ms: int
    ) -> None:
        self.timers = LoopTimers()
        self._endpoint = SipEndpoint([Listener(host, 0)], self._receive, self._receive_error)
        config = UserAgentConfig(
            addresses=(f"{host}:{self._endpoint.sockets[0].port}",),
            user="caller",
            limits=Limits(max_calls=max_calls),
            answer_timeout_ms=answer_timeout_ms,
        )
        self.agent = UserAgent(self._endpoint.send, self.timers, config, handler)

    def _receive(self, message: Request | Response, flow: Flow) -> None:
        self.agent.receive(message, flow)

    def _receive_error(self, error: SipParseError, flow: Flow) -> None:
        self.agent.receive_error(error, flow)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.agent.shutdown()
        self.timers.close()
        self._endpoint.close()
