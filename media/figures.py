"""An engine in figures, at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from .events import Quantiles
from .sip.reject import SipReject
from .sip.transport import SipEndpoint
from .sip.ua import UserAgent


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """The engine at one moment. Counters only grow; ``lateness_us`` has one entry per shard.

    ``calls_by_state`` counts what SIP knows of calls. ``unreadable``: messages that are no SIP, by
    reason. ``places_taken``: places for legs, each with its RTP port. Transactions, dialogs and
    timers are those that are held. ``outcomes``: what dialling came to. Sessions with speech
    servers are none of those calls: they are in ``speech_sessions`` alone.
    """

    calls_up: int
    calls_limit: int
    draining: bool
    sip: dict[str, int]
    media: dict[str, int]
    recorder: dict[str, int]
    lateness_us: list[Quantiles]
    prompts_bytes: int
    calls_by_state: dict[str, int] = field(default_factory=dict)
    places_taken: int = 0
    transactions: int = 0
    dialogs: int = 0
    timers: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    speech_sessions: int = 0
    speech_sessions_limit: int = 0


def sip_counters(agent: UserAgent, endpoint: SipEndpoint) -> dict[str, int]:
    """Everything that is counted of SIP, from the sockets up."""
    return agent.counters.as_dict() | endpoint.counts.as_dict()


def unreadable(agent: UserAgent) -> dict[str, int]:
    """Messages that are no SIP, by reason."""
    return {reason.name.lower(): agent.unreadable[reason] for reason in SipReject if reason}
