"""A user agent on a port of its own, on the running event loop: what a caller speaks SIP with."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..media.sip.admission import Limits
from ..media.sip.edge import Flow
from ..media.sip.events import CallHandler, Refuse
from ..media.sip.info import InfoDigit
from ..media.sip.message import Response
from ..media.sip.session import SipCall
from ..media.sip.transport import Listener, SipEndpoint
from ..media.sip.ua import UserAgent, UserAgentConfig

HOST = "127.0.0.1"
ANSWER_TIMEOUT_MS = 32_000
GATHER_MS = 20
"""What callers read together does not change with the engine's setting: a set-up time is
comparable."""


class OnlyPlaces:
    """What a user agent tells (`CallHandler`) that is all the same to those who place calls: what
    they do with an answer, and with the end of a call, is theirs."""

    __slots__ = ()

    def on_invite(self, call: SipCall) -> None:
        call.reject(403, "Not Taking Calls")

    def on_ringing(self, call: SipCall, response: Response) -> None:
        """Nothing to do: the answer counts."""

    def on_ack(self, call: SipCall, sdp: bytes | None) -> None:
        """Only for calls that came in, and those are rejected."""

    def on_offer(self, call: SipCall, sdp: bytes | None) -> bytes:
        raise Refuse(488, "Session Stays As It Is")

    def on_answer(self, call: SipCall, sdp: bytes) -> None:
        """Nothing is offered but in the INVITE."""

    def on_info_digit(self, call: SipCall, digit: InfoDigit) -> None:
        """Nobody types to a caller by INFO."""

    def on_reinvited(self, call: SipCall, status: int, sdp: bytes | None) -> None:
        """No re-INVITE is ever sent."""


def call_robot(
    agent: UserAgent, flow: Flow, target: Listener, number: int, offer: bytes
) -> SipCall:
    """Place the call of that number."""
    uri = f"sip:robot@{target.host}:{target.port}"
    return agent.dial(uri, offer, flow, from_uri=f"sip:caller{number}@{HOST}")


class Phone:
    """Binds a free port of ``host``; a context manager. Raises ListenError.

    ``handler`` is told of calls, of which there are ``max_calls`` at most at the same time. A call
    of ours that is not answered within ``answer_timeout_ms`` is given up. It asks for no session
    timer: what is measured is a plain call.
    """

    def __init__(
        self,
        handler: CallHandler,
        *,
        max_calls: int,
        host: str = HOST,
        answer_timeout_ms: int = ANSWER_TIMEOUT_MS,
    ) -> None:
        self._endpoint = SipEndpoint([f"udp:{host}:0"], gather_ms=GATHER_MS)
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
