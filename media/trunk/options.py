"""The OPTIONS by which trunks ask whether a peer is alive (RFC 3261 section 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..sip.edge import Flow
from ..sip.failure import Undelivered
from ..sip.fields import format_host_port
from ..sip.message import Response
from ..sip.requests import retry_after_s
from ..sip.resolve import Target
from .health import Answer, Heard

if TYPE_CHECKING:
    from ..sip.ua import UserAgent


class OptionsAsker:
    """`Ask` over a user agent. ``flow_to`` gives the way to an address; None: there is none."""

    def __init__(self, agent: UserAgent, flow_to: Callable[[Target], Flow | None]) -> None:
        self._agent = agent
        self._flow_to = flow_to

    def __call__(self, target: Target, heard: Heard) -> Callable[[], None]:
        flow = self._flow_to(target)
        if flow is None:
            heard(None)
            return _nothing
        agent = self._agent
        own = f"sip:{agent.config.user}@{agent.config.addresses[flow.listener]}"
        question = _Question(heard)
        pending = agent.request("OPTIONS", uri_of(target), flow, from_uri=own, user=question)
        return pending.forget


def _nothing() -> None:
    """Nothing was asked."""


def uri_of(target: Target) -> str:
    """An address as a Request-URI."""
    transport = "" if target.transport == "UDP" else f";transport={target.transport.lower()}"
    return f"sip:{format_host_port(target.host, target.port)}{transport}"


class _Question:
    """The user of one OPTIONS."""

    __slots__ = ("_heard",)

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def on_response(self, response: Response) -> None:
        """A provisional response says nothing yet; one that stands for none says that it failed."""
        if isinstance(response, Undelivered):
            self._heard(None)
        elif response.status >= 200:
            self._heard(Answer(response.status, retry_after_s(response)))

    def on_timeout(self) -> None:
        """Nobody answered."""
        self._heard(None)
