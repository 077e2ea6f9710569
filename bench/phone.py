"""A user agent on a port of its own, on the running event loop: what a caller speaks SIP with."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..media.sip.admission import Limits
from ..media.sip.edge import Flow
from ..media.sip.events import CallHandler
from ..media.sip.transport import SipEndpoint
from ..media.sip.ua import UserAgent, UserAgentConfig


class Phone:
    """Binds a free port of ``host``; a context manager. Raises ListenError.

    ``handler`` is told of calls, of which there are ``max_calls`` at most at the same time. A call
    of ours that is not answered within ``answer_timeout_ms`` is given up. It asks for no session
    timer: what is measured is a plain call.
    """

    def __init__(
        self, handler: CallHandler, *, host: str, max_calls: int, answer_timeout_ms: int
    ) -> None:
        self._endpoint = SipEndpoint([f"udp:{host}:0"])
        config = UserAgentConfig(
            self._endpoint.addresses,
            user="caller",
            limits=Limits(max_calls=max_calls),
            answer_timeout_ms=answer_timeout_ms,
            session_expires_s=0,
        )
        self.agent = UserAgent(self._endpoint.send, self._endpoint.timers, config, handler)

    def flow(self, host: str, port: int) -> Flow:
        """The way to a peer."""
        return self._endpoint.flow(host, port)

    def __enter__(self) -> Self:
        self._endpoint.start(self.agent)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.agent.shutdown()
        self._endpoint.close()
