"""Whether a peer is alive, in virtual time: OPTIONS, silence, Retry-After, what calls tell."""

from __future__ import annotations

import random

import pytest
from ringwheel.media._core import TimerWheel
from ringwheel.media.sip.resolve import Target
from ringwheel.media.trunk.health import MAX_WATCHED, Answer, Health, Means, PeerWatch

INTERVAL_MS = 30_000
TIMEOUT_MS = 4_000


class Peer:
    """One peer whose addresses answer as the test says: a status, or None for silence."""

    def __init__(self, interval_ms=INTERVAL_MS):
        self.wheel = TimerWheel(0)
        self.asked = []
        self.refreshed = 0
        self.answers = {}
        self.leads_to = ["a"]
        means = Means(self.wheel, self._ask, random.Random(1), interval_ms, TIMEOUT_MS)
        self.watch = PeerWatch("peer", means, self._refresh)
        self.watch.start()

    def _refresh(self):
        self.refreshed += 1
        self.watch.set_targets(Target(name, 5060) for name in self.leads_to)

    def _ask(self, target, heard):
        self.asked.append((self.wheel.now_ms, target.host))
        answer = self.answers.get(target.host, Answer(200))
        timer = self.wheel.arm(50, lambda: heard(answer)) if answer else None
        return timer.cancel if timer else lambda: None

    def run(self, duration_ms):
        end_ms = self.wheel.now_ms + duration_ms
        while (next_ms := self.wheel.next_ms()) is not None and next_ms <= end_ms:
            self.wheel.advance(max(next_ms, self.wheel.now_ms + 1))
        self.wheel.advance(end_ms)

    def one(self, name="a"):
        return self.watch.watches[name, 5060, "UDP"]

    def health(self, name="a"):
        return self.one(name).health

    def times(self, name="a"):
        return [at_ms for at_ms, host in self.asked if host == name]


def test_an_address_is_up_until_something_says_otherwise():
    peer = Peer()
    assert (peer.health(), peer.watch.up) == (Health.UNKNOWN, True)
    peer.run(1_000)
    assert (peer.health(), peer.watch.up) == (Health.UP, True)


def test_it_is_asked_with_each_interval_and_not_all_at_once():
    peer = Peer()
    peer.leads_to = ["a", "b"]
    peer.run(10 * INTERVAL_MS)
    gaps = [b - a for a, b in zip(peer.times()[1:], peer.times()[2:], strict=False)]
    assert 8 <= len(peer.times()) <= 12
    assert all(0.9 * INTERVAL_MS <= gap <= 1.1 * INTERVAL_MS + 100 for gap in gaps)
    assert len(set(gaps)) > 1
    assert peer.times("a") != peer.times("b")


@pytest.mark.parametrize("status", [200, 401, 404, 405, 481, 500, 501, 603])
def test_whatever_is_answered_shows_life(status):
    peer = Peer()
    peer.answers["a"] = Answer(status)
    peer.run(1_000)
    assert peer.health() is Health.UP


@pytest.mark.parametrize("status", [408, 503])
def test_what_says_that_nobody_can_serve_does_not(status):
    peer = Peer()
    peer.answers["a"] = Answer(status)
    peer.run(1_000)
    assert (peer.health(), peer.watch.up) == (Health.DOWN, False)
    assert peer.one().reason == f"{status} to OPTIONS"


def test_one_silence_is_a_lost_packet_and_two_are_not():
    peer = Peer()
    peer.run(1_000)
    peer.answers["a"] = None
    while len(peer.asked) < 2:
        peer.run(100)
    peer.run(TIMEOUT_MS)
    assert (peer.health(), peer.one().failures) == (Health.UP, 1)
    peer.run(1_000 + TIMEOUT_MS)
    assert (peer.health(), len(peer.asked)) == (Health.DOWN, 3)
    assert peer.one().reason == "no answer to OPTIONS"


def test_who_never_answered_is_down_with_the_first_silence():
    peer = Peer()
    peer.answers["a"] = None
    peer.run(500 + TIMEOUT_MS)
    assert peer.health() is Health.DOWN


def test_who_is_down_is_asked_ever_more_seldom_and_up_with_the_first_answer():
    peer = Peer()
    peer.answers["a"] = None
    peer.run(300_000)
    gaps = [b - a - TIMEOUT_MS for a, b in zip(peer.times(), peer.times()[1:], strict=False)]
    assert gaps[:5] == [1_000, 2_000, 4_000, 8_000, 16_000]
    assert set(gaps[5:]) == {INTERVAL_MS}
    peer.answers["a"] = Answer(200)
    peer.run(INTERVAL_MS + TIMEOUT_MS)
    assert (peer.health(), peer.one().failures) == (Health.UP, 0)


def test_retry_after_is_kept_to():
    peer = Peer()
    peer.answers["a"] = Answer(503, retry_after_s=120)
    peer.run(1_000)
    asked_ms = peer.times()[-1]
    peer.answers["a"] = Answer(200)
    peer.run(119_000)
    assert (len(peer.asked), peer.health()) == (1, Health.DOWN)
    peer.run(2_000)
    assert peer.times()[-1] >= asked_ms + 120_000
    assert peer.health() is Health.UP


def test_a_failed_call_takes_an_address_down_until_it_answers():
    peer = Peer()
    peer.run(1_000)
    peer.one().note_failure("no answer to INVITE")
    assert (peer.health(), peer.watch.up) == (Health.DOWN, False)
    peer.run(1_100)
    assert peer.health() is Health.UP


def test_without_options_a_failed_call_lets_it_rest_for_a_while():
    peer = Peer(interval_ms=0)
    peer.run(100_000)
    assert peer.asked == []
    peer.one().note_failure("no answer to INVITE")
    peer.run(29_900)
    assert peer.health() is Health.DOWN
    peer.run(200)
    assert (peer.health(), peer.asked) == (Health.UNKNOWN, [])
    peer.one().note_failure("503 to INVITE", retry_after_s=5)
    peer.run(5_100)
    assert peer.health() is Health.UNKNOWN


def test_a_call_that_gets_through_shows_life():
    peer = Peer()
    peer.answers["a"] = None
    peer.run(10_000)
    peer.one().note_alive()
    assert peer.health() is Health.UP


def test_a_peer_is_up_while_one_of_its_addresses_is():
    peer = Peer()
    peer.leads_to = ["a", "b"]
    peer.answers["a"] = None
    peer.run(2 * INTERVAL_MS)
    assert [peer.health(name) for name in "ab"] == [Health.DOWN, Health.UP]
    assert peer.watch.up


def test_addresses_follow_the_name():
    peer = Peer()
    peer.run(1_000)
    peer.leads_to = ["b", "c"]
    peer.run(INTERVAL_MS + 1_000)
    assert [key[0] for key in peer.watch.watches] == ["b", "c"]
    asked = len(peer.times("a"))
    peer.run(5 * INTERVAL_MS)
    assert len(peer.times("a")) == asked


def test_a_name_is_looked_up_again_though_nobody_is_asked():
    """Else what DNS did not know at the start would never be called."""
    peer = Peer(interval_ms=0)
    peer.leads_to = []
    peer.watch.set_targets([])
    peer.watch.set_trouble("there is no such name in DNS")
    assert not peer.watch.up
    peer.leads_to = ["b"]
    peer.run(31_000)
    assert [key[0] for key in peer.watch.watches] == ["b"]
    assert (peer.watch.up, peer.asked) == (True, [])
    peer.watch.stop()
    assert len(peer.wheel) == 0


def test_a_name_that_leads_nowhere_keeps_its_known_addresses():
    peer = Peer()
    peer.run(1_000)
    peer.watch.set_trouble("the DNS servers did not answer in time")
    assert peer.watch.up
    lost = Peer()
    lost.watch.set_targets([])
    lost.watch.set_trouble("there is no such name in DNS")
    assert not lost.watch.up


def test_addresses_are_bounded():
    peer = Peer()
    peer.watch.set_targets(Target(f"h{n}", 5060) for n in range(100))
    assert len(peer.watch.watches) == MAX_WATCHED


def test_nothing_is_left_when_it_is_stopped():
    peer = Peer()
    peer.leads_to = ["a", "b"]
    peer.answers["a"] = None
    peer.run(INTERVAL_MS + 2_000)
    peer.watch.stop()
    peer.watch.set_targets([Target("c", 5060)])  # an answer of DNS that comes late
    assert (len(peer.wheel), peer.watch.watches) == (0, {})
