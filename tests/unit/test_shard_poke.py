"""A shard that is asked looks for work, and then rests again."""

import time

from ringwheel.media._core import Shard

ROUNDS = 2_000


def test_a_poked_shard_takes_a_turn_each_time_and_rests_after():
    shard = Shard(4)
    try:
        for _ in range(ROUNDS):
            before = shard.turns
            shard.poke()
            while shard.turns == before:  # the test's own time-out ends a shard that is lost
                time.sleep(0)
        rested = shard.turns
        time.sleep(0.05)  # nothing can be awaited: it is to stay as it is
        assert shard.turns <= rested + 2
    finally:
        shard.stop()
    before = shard.turns
    shard.poke()
    assert shard.turns == before


def test_lateness_by_bounds_of_a_shard_at_rest():
    shard = Shard(4)
    assert shard.lateness_up_to([100, 1000]) == ([0, 0], 0, 0)
    shard.stop()
