"""A trunk at work, in virtual time: what calls tell of its peers, and what a reload keeps."""

from __future__ import annotations

import random

import pytest
from ringwheel.media._core import TimerWheel
from ringwheel.media.outcome import ANSWERED, DialResult, Outcome
from ringwheel.media.sip.resolve import Target
from ringwheel.media.trunk import Peer, Trunk, TrunkLimits
from ringwheel.media.trunk.running import BUSY_REST_S, Passage, RunningTrunk, Surroundings

HOSTS = ("192.0.2.1", "192.0.2.2")


class World:
    """What a trunk runs on: nobody answers OPTIONS, and names are numbers."""

    def __init__(self):
        self.wheel = TimerWheel(0)
        self.asked = []
        self.changed = []
        self.around = Surroundings(
            self.wheel, self._ask, random.Random(1), self._refresh, self.changed.append
        )

    def _ask(self, target, heard):
        self.asked.append(target.host)
        return lambda: None

    @staticmethod
    def _refresh(trunk, peer, watch):
        watch.set_targets([Target(peer.host, 5060)])

    def trunk(self, *hosts, before=None, **options):
        peers = tuple(Peer(host, priority=n) for n, host in enumerate(hosts))
        settings = {"options_interval_s": 0, **options}
        running = RunningTrunk(Trunk("carrier", peers, **settings), self.around, before)
        running.start()
        return running

    def run(self, duration_ms):
        self.wheel.advance(self.wheel.now_ms + duration_ms)


@pytest.fixture
def work():
    return World()


def passage(running, host=HOSTS[0]):
    watch = next(w for _, p in running.peers for w in p.watches.values() if w.target.host == host)
    assert running.channels.take()
    return Passage(running, watch), watch


def failed(status, *, outcome=Outcome.CONGESTION, **options):
    return DialResult(outcome, status, "Phrase", **options)


def test_an_answer_shows_life_and_is_counted_once(work):
    running = work.trunk(*HOSTS)
    way, watch = passage(running)
    way.judge(None)
    way.judge(ANSWERED)
    way.judge(ANSWERED)
    assert (watch.health, running.counts.answered, running.channels.used) == ("up", 1, 1)
    way.leave()
    way.leave()
    assert running.channels.used == 0


def test_a_503_has_the_address_left_alone_for_as_long_as_it_says(work):
    running = work.trunk(*HOSTS)
    way, watch = passage(running)
    way.judge(failed(503, retry_after_s=60))
    work.run(59_900)
    assert [peer.host for peer, _ in running.ordered_peers()] == [HOSTS[1]]
    assert (watch.health, watch.reason) == ("down", "503 to INVITE")
    work.run(300)
    assert [peer.host for peer, _ in running.ordered_peers()] == list(HOSTS)


def test_a_503_that_does_not_say_has_it_left_alone_for_a_moment(work):
    running = work.trunk(*HOSTS)
    way, watch = passage(running)
    way.judge(failed(503))
    work.run(1_000 * BUSY_REST_S - 100)
    assert watch.health == "down"
    work.run(300)
    assert watch.health == "unknown"


@pytest.mark.parametrize(
    ("result", "health"),
    [
        (failed(486, outcome=Outcome.BUSY), "up"),
        (failed(500, outcome=Outcome.UNREACHABLE), "up"),
        (failed(408, outcome=Outcome.UNREACHABLE, silent=True), "down"),
        (failed(487, outcome=Outcome.CANCELLED), "unknown"),
        (failed(503, outcome=Outcome.CANCELLED), "unknown"),
    ],
)
def test_what_else_a_call_tells_of_an_address(work, result, health):
    running = work.trunk(*HOSTS)
    way, watch = passage(running)
    way.judge(result)
    assert watch.health == health


def test_a_reload_keeps_calls_counters_turns_and_health(work):
    before = work.trunk(*HOSTS, limits=TrunkLimits(channels=2, calls_per_s=1))
    way, watch = passage(before)
    assert before.rate.reserve(0) == 0
    way.judge(failed(503, retry_after_s=60))
    after = work.trunk(
        HOSTS[1], HOSTS[0], before=before, limits=TrunkLimits(channels=1, calls_per_s=1)
    )
    assert (after.channels.used, after.channels.limit, after.channels.free) == (1, 1, False)
    assert after.rate.reserve(0) == 1_000
    assert [p.up for _, p in after.peers] == [True, False]
    assert after.peers[1][1].of(watch.target) is watch
    way.leave()
    assert (after.channels.used, after.counts) == (0, before.counts)


def test_a_reload_stops_what_it_does_not_keep(work):
    before = work.trunk(*HOSTS, options_interval_s=30)
    after = work.trunk(HOSTS[1], before=before, options_interval_s=30)
    work.run(1_000)
    assert work.asked == [HOSTS[1]]
    (_, watch) = after.peers[0]
    anew = work.trunk(HOSTS[1], before=after, options_interval_s=60)
    assert anew.peers[0][1] is not watch
    anew.stop()
    assert len(work.wheel) == 0


def test_other_requests_go_to_the_first_address_that_is_up(work):
    running = work.trunk(*HOSTS)
    assert running.best_address().target.host == HOSTS[0]
    running.note_failure(Target(HOSTS[0], 5060), "408 to REGISTER")
    assert running.best_address().target.host == HOSTS[1]
    running.note_failure(Target(HOSTS[1], 5060), "408 to REGISTER")
    assert running.best_address().target.host == HOSTS[0]
    assert work.changed == ["carrier"] * 4
    assert not running.figures().up
