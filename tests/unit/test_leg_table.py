"""Legs of a shard that is too busy, and of handlers that raise."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from ringwheel.media import leg as leg_module
from ringwheel.media.events import (
    DigitHeard,
    LegClosed,
    LegFigures,
    LegMedia,
    PlayEnded,
    PlayOutcome,
)
from ringwheel.media.leg import Leg, LegTable

MEDIA = LegMedia("127.0.0.1", 9)


class ShardOfTests:
    """Tells what it is given, and refuses so many commands to close."""

    def __init__(self) -> None:
        self.event_fd = os.eventfd(0)
        self.told: list[object] = []
        self.refusals = 0
        self.legs = 0

    def open_leg(self, *_: object, **__: object) -> int:
        self.legs += 1
        return self.legs

    def play(self, leg_id: int, play_id: int, **_: object) -> None:
        self.told.append(PlayEnded(leg_id, play_id, PlayOutcome.FINISHED, 0))

    def close_leg(self, leg_id: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError
        self.told.append(closed(leg_id))

    def poll_events(self) -> list[object]:
        told, self.told = self.told, []
        return told


def closed(leg_id: int) -> LegClosed:
    return LegClosed(leg_id, 0, LegFigures())


@pytest.fixture
def shard() -> Iterator[ShardOfTests]:
    shard = ShardOfTests()
    yield shard
    os.close(shard.event_fd)


def open_leg(table: LegTable, gone: list[int]) -> Leg:
    leg = table.open(MEDIA, fd=-1, silence="stop", on_closed=lambda: gone.append(leg.id))
    return leg


async def test_a_close_that_finds_the_shard_busy_is_tried_again(shard, monkeypatch):
    monkeypatch.setattr(leg_module, "CLOSE_AGAIN_S", 0.001)
    gone: list[int] = []
    table = LegTable(shard)
    leg = open_leg(table, gone)
    shard.refusals = 2
    leg.close()
    async with asyncio.timeout(10):
        while not leg.closed.done():
            table.take_events()
            await asyncio.sleep(0.001)
    assert (gone, shard.refusals, len(table)) == ([leg.id], 0, 0)


async def test_a_handler_that_raises_costs_no_other_event(shard):
    gone: list[int] = []
    table = LegTable(shard)
    one, other = open_leg(table, gone), open_leg(table, gone)

    def fail(_: object) -> None:
        raise RuntimeError("a handler's")

    one.on_heard = fail
    shard.told = [DigitHeard(one.id, "1", False, 0, False)]
    played = other.play([])
    shard.told += [closed(one.id), closed(other.id)]
    assert table.take_events()
    assert played.result().outcome is PlayOutcome.FINISHED
    assert one.closed.done() and other.closed.done()
    assert gone == [one.id, other.id]


async def test_a_leg_that_fails_at_its_end_gives_its_place_back(shard):
    gone: list[int] = []
    table = LegTable(shard)
    one, other = open_leg(table, gone), open_leg(table, gone)
    one.closed.cancel()  # it cannot be told any more
    shard.told = [closed(one.id), closed(other.id)]
    assert table.take_events()
    assert gone == [one.id, other.id]
    assert len(table) == 0
