"""What a call plays, and how far it is."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from .events import PlayEnded
from .leg import Leg
from .prompt import Playable
from .snapshot import State
from .sound import StrPath


class _Play(NamedTuple):
    files: tuple[StrPath, ...]
    playable: Playable
    playing: asyncio.Future[PlayEnded]


class Position:
    """The lists that a call plays and has queued.

    How far it is in the first one follows from what the leg has sent since that began: digits,
    silence and comfort noise sent in between count as if they were sound.
    """

    __slots__ = ("_began_ms", "_plays")

    def __init__(self) -> None:
        self._plays: deque[_Play] = deque()
        self._began_ms = 0.0

    def add(
        self,
        leg: Leg,
        files: tuple[StrPath, ...],
        playable: Playable,
        playing: asyncio.Future[PlayEnded],
    ) -> None:
        """A list was queued."""
        self._drop_ended()
        if not self._plays:
            self._began_ms = float(leg.packets_sent * playable.packet_ms)
        self._plays.append(_Play(files, playable, playing))

    def snapshot(self, leg: Leg) -> list[State]:
        """The lists in their order: ``files``, and ``played_ms`` of each."""
        self._drop_ended()
        lists: list[State] = []
        for play in self._plays:
            played_ms = 0.0 if lists else max(0.0, _sent_ms(leg, play.playable) - self._began_ms)
            lists.append(
                {"files": [str(file) for file in play.files], "played_ms": round(played_ms)}
            )
        return lists

    def _drop_ended(self) -> None:
        while self._plays and self._plays[0].playing.done():
            play = self._plays.popleft()
            if self._plays and not play.playing.cancelled():
                self._began_ms += play.playable.played_ms(play.playing.result())


def _sent_ms(leg: Leg, playable: Playable) -> float:
    return float(leg.packets_sent * playable.packet_ms)
