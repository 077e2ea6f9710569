"""How long a connection may take for what (RFC 5626 4.4.1, and limits against those who dawdle).

Sans-I/O: time and what happened in, what to do out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of the connections of all listeners together.

    ``handshakes``: so many may be under way, half of them with one address. ``connect_ms``: within
    it a request is either on its way or goes by another one, before dialling gives up a peer that
    is silent for 4 s. ``message_ms``: how
    long a message may take from its first byte, and the first one from when the connection is
    there. ``idle_ms``: a connection that we have accepted is closed after so long without a message
    or a ping, which says that the peer keeps it for what may come from us; ``idle_opened_ms``: the
    same of one that we have opened, longer than most registrations last, and an answer to our ping
    counts. ``ping_ms``: we ping after so much silence on those that we have opened, up to a fifth
    sooner. ``queue_bytes``: what may wait to be sent on one.
    """

    connections: int = 1_024
    per_source: int = 256
    handshakes: int = 64
    connect_ms: int = 3_000
    handshake_ms: int = 10_000
    message_ms: int = 10_000
    idle_ms: int = 900_000
    idle_opened_ms: int = 7_200_000
    ping_ms: int = 120_000
    pong_ms: int = 10_000
    stall_ms: int = 10_000
    queue_bytes: int = 1_048_576
    queue_messages: int = 256


class Due(Enum):
    """What is to be done with a connection now."""

    NOTHING = "nothing"
    PING = "ping"
    SLOW = "a message that does not come to its end"
    IDLE = "nothing to do"
    DEAD = "no answer to a keep-alive"
    STALLED = "a peer that does not read"


class Lifeline:
    """The clock of one connection. Ask ``due`` again after ``wait_ms``."""

    __slots__ = (
        "_answers_pings",
        "_idle_ms",
        "_last_message_ms",
        "_last_sign_ms",
        "_limits",
        "_partial_ms",
        "_ping_after_ms",
        "_pinged_ms",
        "_stalled_ms",
        "initiator",
    )

    def __init__(self, limits: StreamLimits, now_ms: int, share: float, *, initiator: bool) -> None:
        """``share``, from 0 to 1, spreads the pings of many connections."""
        self._limits = limits
        self._idle_ms = limits.idle_opened_ms if initiator else limits.idle_ms
        self.initiator = initiator
        self._ping_after_ms = int(limits.ping_ms * (1 - share / 5))
        self._last_message_ms = self._last_sign_ms = now_ms
        # Who connects has something to say; whom we connect to may keep silent.
        self._partial_ms: int | None = None if initiator else now_ms
        self._pinged_ms: int | None = None
        self._stalled_ms: int | None = None
        self._answers_pings = False

    def heard(self, now_ms: int, *, message: bool, within: bool) -> None:
        """Bytes came; with them a whole ``message``; ``within``: the rest is the start of one."""
        self._last_sign_ms = now_ms
        if message:
            self._last_message_ms = now_ms
            self._partial_ms = None
        if within and self._partial_ms is None:
            self._partial_ms = now_ms

    def pinged(self, now_ms: int) -> None:
        """The peer has sent a ping: it wants to keep the connection."""
        self._last_message_ms = now_ms

    def ponged(self, now_ms: int) -> None:
        """The peer has answered a ping of ours."""
        self._last_message_ms = now_ms
        self._pinged_ms = None
        self._answers_pings = True

    def sent(self, now_ms: int) -> None:
        """A message of ours went out."""
        self._last_message_ms = now_ms

    def stalled(self, now_ms: int | None) -> None:
        """What we send waits for the peer to read since then; None: no more."""
        self._stalled_ms = now_ms

    def due(self, now_ms: int) -> Due:
        """What is to be done now. A PING is taken as sent."""
        limits = self._limits
        if _passed(self._stalled_ms, limits.stall_ms, now_ms):
            return Due.STALLED
        if _passed(self._partial_ms, limits.message_ms, now_ms):
            return Due.SLOW
        if _passed(self._last_message_ms, self._idle_ms, now_ms):
            return Due.IDLE
        return self._ping_due(now_ms) if self.initiator else Due.NOTHING

    def _ping_due(self, now_ms: int) -> Due:
        if self._pinged_ms is not None:
            if not _passed(self._pinged_ms, self._limits.pong_ms, now_ms):
                return Due.NOTHING
            # Whoever has never answered knows no RFC 5626: then TCP has to find out.
            if self._answers_pings and self._last_sign_ms <= self._pinged_ms:
                return Due.DEAD
            self._last_sign_ms, self._pinged_ms = now_ms, None
            return Due.NOTHING
        if not _passed(self._last_sign_ms, self._ping_after_ms, now_ms):
            return Due.NOTHING
        self._pinged_ms = now_ms
        return Due.PING

    def wait_ms(self, now_ms: int) -> int:
        """How long nothing but the peer can make something due."""
        limits = self._limits
        ends = [self._last_message_ms + self._idle_ms]
        if self._stalled_ms is not None:
            ends.append(self._stalled_ms + limits.stall_ms)
        if self._partial_ms is not None:
            ends.append(self._partial_ms + limits.message_ms)
        if self.initiator and self._pinged_ms is not None:
            ends.append(self._pinged_ms + limits.pong_ms)
        elif self.initiator:
            ends.append(self._last_sign_ms + self._ping_after_ms)
        # A message that begins, or a peer that stops to read, is looked at in time all the same.
        soonest_ms = min(limits.message_ms, limits.stall_ms)
        return max(1, min(min(ends) - now_ms, soonest_ms))


def _passed(since_ms: int | None, duration_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms >= duration_ms
