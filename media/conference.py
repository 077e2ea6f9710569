"""Conferences: callers who talk with each other, and supervisors who listen and whisper."""

from __future__ import annotations

import os
from typing import Literal, get_args

import structlog

from ._core import Room
from .call import Call
from .events import Role
from .leg import Leg, Seat

log = structlog.get_logger(__name__)

RoleName = Literal["talk", "listen", "whisper"]

SAMPLE_RATES_HZ = (8_000, 16_000, 24_000, 48_000)
MAX_MEMBERS = 64


class Conference:
    """A room for up to ``max_members`` calls, each of which hears the others without itself.

    Sound is mixed at ``sample_rate_hz`` (8,000, 16,000, 24,000 or 48,000): 8,000 is right for
    telephones, 16,000 where members have wideband codecs. The first call to join decides on which
    shard the conference is, and all others have to be there. Sound takes the jitter buffer's delay
    (40 ms at first) and two or three slots through it. ValueError: another rate, or a number of
    members that cannot be.
    """

    __slots__ = ("_max_members", "_room", "_seats")

    def __init__(self, *, sample_rate_hz: int = 8_000, max_members: int = 16) -> None:
        if sample_rate_hz not in SAMPLE_RATES_HZ:
            rates = ", ".join(map(str, SAMPLE_RATES_HZ))
            raise ValueError(f"sample_rate_hz: {sample_rate_hz}; use one of {rates}")
        if not 2 <= max_members <= MAX_MEMBERS:
            raise ValueError(f"max_members: use 2 to {MAX_MEMBERS}")
        self._max_members = max_members
        self._room = Room(sample_rate_hz, max_members)
        self._seats: dict[Call, tuple[Leg, Seat]] = {}

    @property
    def members(self) -> tuple[Call, ...]:
        """The calls that are in it, in the order in which they joined."""
        return tuple(self._seats)

    async def join(
        self, call: Call, role: RoleName = "talk", *, whisper_to: Call | None = None
    ) -> None:
        """Take part with ``call``; returns when it has left, moved to another conference or ended.

        All members hear who talks, none hears who listens, and only ``whisper_to``, a member, hears
        who whispers. What is played to a call meanwhile is heard by it alone, in the place of the
        others. Its digits are gathered as ever, and not heard. Cancelling it leaves.

        ValueError: the call is in it already, is on another shard, or whispers to nobody;
        RuntimeError: it was not answered, or the conference is full.
        """
        target = self._target(call, role, whisper_to)
        leg, codec = call.connected()
        if call in self._seats:
            raise ValueError(f"call {call.id} is in the conference already")
        if len(self._seats) == self._max_members:
            raise RuntimeError(f"the conference is full: {self._max_members} members")
        seat = leg.join(self._room, codec, Role[role.upper()], target)
        self._seats[call] = leg, seat
        try:
            ended = await seat.ended
        finally:
            del self._seats[call]
            leg.leave(seat)
        if ended.error:
            raise OSError(ended.error, os.strerror(ended.error))
        heard = ended.tapped
        log.info(
            "conference left",
            call=call.id,
            concealed_samples=heard.concealed_samples,
            discarded_late=heard.discarded_late,
            max_delay_ms=heard.max_delay_ms,
        )

    def set_role(self, call: Call, role: RoleName, *, whisper_to: Call | None = None) -> None:
        """Change who hears a member. When ``whisper_to`` leaves, its whisperers only listen.

        ValueError: the call is not a member, or whispers to nobody.
        """
        leg, seat = self._seat(call)
        target = self._target(call, role, whisper_to)
        leg.set_role(seat, Role[role.upper()], target)

    def leave(self, call: Call) -> None:
        """Let a member go; its :meth:`join` returns. ValueError: the call is not a member."""
        leg, seat = self._seat(call)
        leg.leave(seat)

    def _seat(self, call: Call) -> tuple[Leg, Seat]:
        if call not in self._seats:
            raise ValueError(f"call {call.id} is not in the conference")
        return self._seats[call]

    def _target(self, call: Call, role: RoleName, whisper_to: Call | None) -> Leg | None:
        """The leg that is whispered to."""
        if role not in get_args(RoleName):
            raise ValueError(f"role: {role!r}; use one of {', '.join(get_args(RoleName))}")
        if (role == "whisper") is (whisper_to is None):
            raise ValueError("whisper_to: say to whom who whispers, and only then")
        if whisper_to is None:
            return None
        if whisper_to is call:
            raise ValueError("whisper_to: a call cannot whisper to itself")
        return self._seat(whisper_to)[0]


__all__ = ["Conference", "RoleName"]
