"""Speech servers: what may be configured, how long one is left alone, which is taken next."""

import random
from collections import Counter

import pytest
from ringwheel.robot.speech.mrcp.servers import (
    MAX_BACK_OFF_MS,
    MAX_RETRY_AFTER_MS,
    MrcpServer,
    ServerHealth,
    order_servers,
)


def health(name="a", **options):
    return ServerHealth(MrcpServer(f"sip:{name}.example.com", **options))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"uri": "http://x"}, "uri"),
        ({"transport": "udp"}, "transport"),
        ({"codecs": ("mp3",)}, "codecs"),
        ({"codecs": ()}, "codecs"),
        ({"weight": 0}, "weight"),
        ({"max_sessions": 0}, "max_sessions"),
        ({"max_sessions": 2, "keep": 3}, "keep"),
        ({"parameters": (("a b", "1"),)}, "parameter"),
    ],
)
def test_servers_that_make_no_sense_are_refused_by_the_name_of_what_is_wrong(options, named):
    with pytest.raises(ValueError, match=named):
        MrcpServer(**{"uri": "sip:speech.example.com"} | options)


def test_a_server_is_called_by_its_address_unless_it_has_a_name():
    assert MrcpServer("sip:speech.example.com:5070").name == "speech.example.com:5070"
    assert MrcpServer("sip:speech.example.com").name == "speech.example.com"
    assert MrcpServer("sip:speech.example.com", name="a").name == "a"


def test_a_server_that_fails_is_left_alone_for_longer_each_time_up_to_a_bound():
    server, now_ms, waits = health(), 0, []
    for _ in range(12):
        server.failed(now_ms, "gone", 0.5)
        waits.append(server.until_ms - now_ms)
        now_ms = server.until_ms
        assert not server.resting(now_ms) and server.resting(now_ms - 1)
    assert waits[:3] == [500, 1_000, 2_000]
    assert waits[-1] == MAX_BACK_OFF_MS
    server.worked()
    server.failed(now_ms, "gone", 0.5)
    assert server.until_ms == now_ms + 500


def test_what_fails_while_it_is_left_alone_changes_nothing():
    server = health()
    for _ in range(50):
        server.failed(100, "gone", 0.5)
    assert (server.failures, server.until_ms) == (1, 600)


def test_clients_do_not_come_back_all_at_once():
    waits = set()
    for share in (0.0, 0.25, 0.5, 1.0):
        server = health()
        server.failed(0, "gone", share)
        waits.add(server.until_ms)
    assert len(waits) == 4 and min(waits) >= 375 and max(waits) <= 625


def test_a_server_that_says_when_to_come_back_is_believed_within_reason():
    server = health()
    server.failed(0, "busy", 0.5, retry_after_ms=30_000)
    assert server.until_ms == 30_000
    server = health()
    server.failed(0, "busy", 0.5, retry_after_ms=10**9)
    assert server.until_ms == MAX_RETRY_AFTER_MS


def test_the_lowest_priority_comes_first_and_who_is_left_alone_does_not_come():
    main, other, spare = health("a"), health("b", weight=3), health("c", priority=2)
    for seed in range(20):
        assert order_servers([spare, main, other], 0, random.Random(seed))[-1] is spare
    main.failed(0, "gone", 0.5)
    assert order_servers([spare, main, other], 100, random.Random(1)) == [other, spare]
    assert order_servers([main], 100, random.Random(1)) == []
    assert main in order_servers([spare, main, other], 500, random.Random(1))


def test_within_a_priority_calls_are_spread_by_weight():
    light, heavy = health("a"), health("b", weight=3)
    source = random.Random(5)
    first = Counter(order_servers([light, heavy], 0, source)[0].server.name for _ in range(4_000))
    assert 0.70 < first["b.example.com"] / 4_000 < 0.80
