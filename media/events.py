"""What the C core tells: events of legs, and their figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class PlayOutcome(StrEnum):
    """How playing a list came to its end, in the order of ``rw_play_outcome``."""

    FINISHED = "finished"
    STOPPED = "stopped"
    REPLACED = "replaced"
    LEG_CLOSED = "leg-closed"


class LegMedia(NamedTuple):
    """What offer and answer agreed on for the sound that a leg sends.

    ``bytes_per_ts``: payload bytes per RTP timestamp unit (1 for G.711). ``silence``: the payload
    byte that sounds as silence. ``send`` is False while the other side holds the call: nothing is
    sent, and what plays stands still.
    """

    remote_host: str
    remote_port: int
    payload_type: int = 0
    ptime_ms: int = 20
    clock_rate_hz: int = 8000
    bytes_per_ts: int = 1
    silence: int = 0xFF
    send: bool = True


class LegFigures(NamedTuple):
    """Counts of one leg since it was opened."""

    packets_sent: int = 0
    packets_skipped: int = 0
    send_errors: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    packets_rejected: int = 0


class PlayEnded(NamedTuple):
    """A playlist came to its end; its last packet has been handed to the kernel."""

    leg_id: int
    play_id: int
    outcome: PlayOutcome
    played_bytes: int


class LegClosed(NamedTuple):
    """A leg and its socket are gone. ``error`` is 0, or the errno that closed it."""

    leg_id: int
    error: int
    figures: LegFigures


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Summary of a histogram: number of values, then values."""

    count: int
    p50: int
    p99: int
    p999: int
    max: int
