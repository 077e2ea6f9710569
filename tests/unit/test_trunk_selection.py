"""Who is tried first, and what a trunk carries: against plain models."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel.media._core import TimerWheel
from ringwheel.media.sip.resolve import Target
from ringwheel.media.sip.uri import SipUri
from ringwheel.media.trunk import CallerRules, HeaderRules, Peer, Registration, Trunk, TrunkLimits
from ringwheel.media.trunk.health import Means, PeerWatch
from ringwheel.media.trunk.limits import MAX_WAIT_MS, CallRate, Channels
from ringwheel.media.trunk.rules import Wanted, dress, rewritten
from ringwheel.media.trunk.selection import order_peers, order_targets


def watched(number, priority, weight, *, up=True):
    """A peer with one address."""
    means = Means(TimerWheel(0), lambda *_: lambda: None, random.Random(1), 0, 4_000)
    target = Target(f"192.0.2.{number}", 5060)
    watch = PeerWatch(str(number), means, lambda: watch.set_targets([target]))
    watch.start()
    if not up:
        watch.of(target).note_failure("test")
    return Peer(target.host, priority=priority, weight=weight), watch


peers_strategy = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 100), st.booleans()), min_size=1, max_size=8
)


@given(peers_strategy, st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_peers_that_are_up_go_by_priority_and_all_if_none_is(described, seed):
    peers = [watched(n, prio, weight, up=up) for n, (prio, weight, up) in enumerate(described)]
    ordered = order_peers(peers, random.Random(seed))
    up = [pair for pair, (_, _, is_up) in zip(peers, described, strict=True) if is_up]
    expected = up or peers
    assert sorted(peer.host for peer, _ in ordered) == sorted(peer.host for peer, _ in expected)
    priorities = [peer.priority for peer, _ in ordered]
    assert priorities == sorted(priorities)


def test_weights_are_shares_of_the_calls():
    peers = [watched(1, 0, 75), watched(2, 0, 25), watched(3, 1, 100)]
    source = random.Random(3)
    first = Counter(order_peers(peers, source)[0][0].host for _ in range(4_000))
    assert 0.72 < first["192.0.2.1"] / 4_000 < 0.78
    assert "192.0.2.3" not in first


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((1, 1), (1 / 2, 1 / 2)),
        ((2, 1), (2 / 3, 1 / 3)),
        ((1, 2), (1 / 3, 2 / 3)),
        ((1, 1, 1), (1 / 3, 1 / 3, 1 / 3)),
        ((0, 0), (1 / 2, 1 / 2)),
        ((0, 1), (0, 1)),
    ],
)
def test_small_weights_are_shares_too(weights, shares):
    """A whole number from 0 to the sum would give the first of two equals two thirds."""
    peers = [watched(number, 0, weight) for number, weight in enumerate(weights)]
    source = random.Random(3)
    first = Counter(order_peers(peers, source)[0][0].host for _ in range(4_000))
    for number, share in enumerate(shares):
        assert abs(first[f"192.0.2.{number}"] / 4_000 - share) < 0.03


def test_addresses_of_a_peer_that_are_down_are_left_out_unless_all_are():
    _, watch = watched(1, 0, 1)
    targets = [Target(f"192.0.2.{n}", 5060) for n in (1, 2, 3)]
    watch.set_targets(targets)
    watch.of(targets[0]).note_failure("test")
    assert order_targets(watch, targets) == targets[1:]
    new = Target("192.0.2.9", 5060)
    assert order_targets(watch, [targets[0], new]) == [new]
    assert order_targets(watch, targets[:1]) == targets[:1]


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 50),
    st.lists(st.integers(0, 500), min_size=1, max_size=200),
)
@settings(max_examples=200, deadline=None)
def test_no_time_sees_more_calls_than_its_share(calls_per_s, burst, pauses_ms):
    rate = CallRate(TrunkLimits(calls_per_s=calls_per_s, burst_calls=burst))
    now_ms, begun_ms = 0, []
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        wait_ms = rate.reserve(now_ms)
        if wait_ms is None:
            continue
        assert 0 <= wait_ms <= MAX_WAIT_MS
        begun_ms.append(now_ms + wait_ms)
    assert begun_ms == sorted(begun_ms)
    # A plain model: within any time t, the burst and t's share, and not one more.
    for first in range(len(begun_ms)):
        for last in range(first, len(begun_ms)):
            room = burst + (begun_ms[last] - begun_ms[first]) * calls_per_s / 1_000
            assert last - first + 1 <= room + 1e-6


def test_calls_beyond_the_burst_wait_and_those_far_off_are_told():
    rate = CallRate(TrunkLimits(calls_per_s=2, burst_calls=3))
    waits = [rate.reserve(1_000) for _ in range(15)]
    assert waits[:6] == [0, 0, 0, 500, 1_000, 1_500]
    assert waits[12:] == [5_000, None, None]
    assert rate.reserve(1_500) == 5_000
    assert CallRate(TrunkLimits()).reserve(0) == 0


def test_a_reload_does_not_make_a_rate_begin_anew():
    before, after = (CallRate(TrunkLimits(calls_per_s=1)) for _ in "ab")
    before.reserve(0)
    after.adopt(before)
    assert after.reserve(0) == 1_000


@given(st.lists(st.booleans(), max_size=100), st.integers(1, 5))
@settings(deadline=None)
def test_channels_are_never_more_than_there_are(steps, limit):
    channels, up = Channels(limit), 0
    for wants in steps:
        if wants:
            assert channels.take() is (up < limit)
            up = min(limit, up + 1)
        elif up:
            channels.give_back()
            up -= 1
        assert channels.used == up
        assert channels.free is (up < limit)


NUMBERS = [
    ("+442071234", (("+44", "0"), ("+", "00")), "02071234"),
    ("+33123", (("+", "00"), ("+44", "0")), "0033123"),
    ("02071234", (("00", "+"), ("0", "+44")), "+442071234"),
    ("4711", (("", "9"),), "94711"),
    ("4711", (("0", "+44"),), "4711"),
]


@pytest.mark.parametrize(("number", "prefixes", "expected"), NUMBERS)
def test_the_longest_prefix_is_rewritten(number, prefixes, expected):
    assert rewritten(number, prefixes) == expected


def make(caller=None, headers=None, **options):
    return Trunk(
        "carrier",
        (Peer("192.0.2.1"),),
        caller=CallerRules(**caller or {}),
        headers=HeaderRules(**headers or {}),
        **options,
    )


def dressed(trunk, uri="sip:4711@carrier", caller="", **options):
    return dress(trunk, Wanted(SipUri.parse(uri), caller, **options))


def test_the_uri_has_the_domain_and_keeps_what_is_not_about_the_way():
    found = dressed(make(domain="example.com"), "sip:+44;phone-context=x@carrier;user=phone")
    assert found.uri == "sip:+44;phone-context=x@example.com;user=phone"
    assert dressed(make(), "sips:4711@carrier;transport=tcp;maddr=192.0.2.9").uri == (
        "sips:4711@192.0.2.1"
    )
    v6 = Trunk("carrier", (Peer("2001:db8::1"),))
    assert dressed(v6, caller="12").from_uri == "sip:12@[2001:db8::1]"


def test_who_calls():
    assert dressed(make(), caller="0207").from_uri == "sip:0207@192.0.2.1"
    assert dressed(make(), caller="sip:0207@elsewhere.org").from_uri == "sip:0207@192.0.2.1"
    assert dressed(make(), caller="tel:+4420").from_uri == "sip:+4420@192.0.2.1"
    assert dressed(make({"default": "100"})).from_uri == "sip:100@192.0.2.1"
    assert dressed(make()).from_uri == "sip:192.0.2.1"
    account = make({"from_uri": "sip:{user}@{domain}"}, user="acc", password="x", domain="a.org")
    assert dressed(account, caller="0207").from_uri == "sip:acc@a.org"
    registered = make(registration=Registration("acc"))
    assert dressed(registered).from_uri == "sip:acc@192.0.2.1"
    assert dressed(make(), caller="A Robot").from_uri == "sip:A%20Robot@192.0.2.1"


def test_a_caller_who_hides_stays_hidden_whatever_the_rules_say():
    trunk = make({"display": "Company", "default": "100", "asserted": "sip:{caller}@{domain}"})
    found = dressed(trunk, caller="sip:anonymous@anonymous.invalid")
    assert (found.from_uri, found.display_name) == ("sip:anonymous@anonymous.invalid", "Anonymous")
    assert found.headers == (("P-Asserted-Identity", "<sip:100@192.0.2.1>"),)


def test_headers_are_copied_then_removed_then_added():
    rules = {
        "copy": (("X-A", "X-B"), ("From", "X-From")),
        "remove": ("X-A", "X-C"),
        "add": (("X-C", "{called}"),),
    }
    found = dressed(make(headers=rules), caller="1", headers=(("X-A", "a"), ("x-c", "old")))
    assert found.headers == (
        ("X-B", "a"),
        ("X-From", "<sip:1@192.0.2.1>"),
        ("X-C", "4711"),
    )


def test_a_call_may_say_itself_who_it_is():
    own = (("P-Asserted-Identity", "<sip:9@a>"), ("Privacy", "none"))
    trunk = make({"asserted": "sip:{caller}@{domain}", "privacy": "id"})
    found = dressed(trunk, caller="9", headers=own)
    assert found.headers == own
    assert found.from_uri == "sip:9@192.0.2.1"
    hidden = dressed(trunk, caller="9", headers=(("Privacy", "id;critical"),))
    assert hidden.from_uri == "sip:anonymous@anonymous.invalid"


@pytest.mark.parametrize("privacy", ["none", "none;critical"])
def test_who_asks_for_no_privacy_hides_nobody(privacy):
    found = dressed(make({"privacy": privacy}), caller="0207")
    assert found.from_uri == "sip:0207@192.0.2.1"
    assert found.headers == (("Privacy", privacy),)


def test_where_nobody_is_named_it_is_our_account_that_calls():
    """Whatever a template makes of a caller, it is not to fail for want of one."""
    account = {"user": "acc", "password": "x", "domain": "a.org"}
    found = dressed(make({"asserted": "sip:{caller}@{domain};user=phone"}, **account))
    assert found.from_uri == "sip:acc@a.org"
    assert found.headers == (("P-Asserted-Identity", "<sip:acc@a.org>"),)
    fixed = make({"from_uri": "sip:100@{domain}", "asserted": "tel:+4420100"}, **account)
    assert dressed(fixed).from_uri == "sip:100@a.org"
    assert dressed(fixed).headers == (("P-Asserted-Identity", "<tel:+4420100>"),)


def test_what_makes_no_uri_is_refused_and_not_sent():
    with pytest.raises(ValueError, match="trunk carrier: from_uri makes"):
        dressed(make({"from_uri": "sip:a name@x"}), caller="1")
