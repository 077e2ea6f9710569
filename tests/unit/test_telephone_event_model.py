"""Telephone events of the C core: what is sent is heard, whatever the network does to it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib

DIGITS = "0123456789*#ABCD"
PAYLOAD_TYPE = 101
SSRC = 0xCAFE


@dataclass(frozen=True, slots=True)
class Packet:
    """A telephone-event packet on its way; ``at_ms`` is the slot it was sent in."""

    at_ms: int
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes

    @property
    def end(self) -> bool:
        """The end bit."""
        return bool(self.payload[1] & 0x80)

    @property
    def duration_ts(self) -> int:
        """The duration field."""
        return int.from_bytes(self.payload[2:], "big")


def send(
    orders: Iterable[tuple[str, int, int]], clock_hz: int, ptime_ms: int, first_ts: int = 0
) -> Iterator[Packet]:
    """The packets of digits, each with how long it sounds and how long the pause is."""
    sender = ffi.new("rw_event_sender *")
    assert lib.rw_event_sender_init(sender, clock_hz) == 0
    waiting = list(orders)
    packet = ffi.new("rw_event_packet *")
    frame_ts = clock_hz // 1000 * ptime_ms
    slot = 0
    while waiting or lib.rw_event_sender_busy(sender):
        while waiting:
            digit, on_ms, off_ms = waiting[0]
            if lib.rw_event_sender_queue(sender, digit.encode(), on_ms, off_ms, 10):
                break
            waiting.pop(0)
        slot_ts = (first_ts + slot * frame_ts) % 2**32
        if lib.rw_event_sender_compose(sender, slot_ts, frame_ts, packet):
            payload = bytes(ffi.buffer(packet.payload))
            yield Packet(slot * ptime_ms, slot % 2**16, packet.timestamp, packet.marker, payload)
        slot += 1


def hear(packets: Iterable[Packet], clock_hz: int) -> list[tuple[str, bool, int]]:
    """What is told of packets: symbol, whether it ended, duration."""
    receiver = ffi.new("rw_event_receiver *")
    assert lib.rw_event_receiver_init(receiver, clock_hz) == 0
    header = ffi.new("rw_rtp_header *", {"payload_type": PAYLOAD_TYPE, "ssrc": SSRC})
    news, ended = ffi.new("rw_event_news *"), ffi.new("rw_digit *")
    told = []
    now_us = 0
    for packet in packets:
        now_us = max(now_us, packet.at_ms * 1000)
        if lib.rw_event_receiver_expire(receiver, now_us, ended):
            told.append((ended.symbol.decode(), True, ended.duration_ms))
        header.sequence, header.timestamp = packet.sequence, packet.timestamp
        header.marker = packet.marker
        lib.rw_event_receiver_hear(
            receiver, now_us, header, packet.payload, len(packet.payload), news
        )
        for i in range(news.count):
            digit = news.digits[i]
            told.append((digit.symbol.decode(), digit.ended, digit.duration_ms))
    if lib.rw_event_receiver_expire(receiver, now_us + 1_000_000, ended):
        told.append((ended.symbol.decode(), True, ended.duration_ms))
    return told


def starts(told: list[tuple[str, bool, int]]) -> str:
    """The digits that began."""
    return "".join(symbol for symbol, ended, _ in told if not ended)


orders = st.lists(
    st.tuples(st.sampled_from(DIGITS), st.integers(40, 400), st.integers(40, 300)), max_size=40
)
clocks = st.sampled_from([8000, 48_000])
ptimes = st.sampled_from([10, 20, 30, 40, 60])


@given(orders=orders, clock_hz=clocks, ptime_ms=ptimes, first_ts=st.integers(0, 2**32 - 1))
def test_what_is_sent_is_told_once_with_its_duration(orders, clock_hz, ptime_ms, first_ts):
    told = hear(send(orders, clock_hz, ptime_ms, first_ts), clock_hz)
    expected = []
    for digit, on_ms, _ in orders:
        expected += [(digit, False, 0), (digit, True, on_ms)]
    assert told == expected


@given(orders=orders, clock_hz=clocks, ptime_ms=ptimes)
def test_packets_are_as_rfc_4733_wants_them(orders, clock_hz, ptime_ms):
    by_event: dict[int, list[Packet]] = {}
    for packet in send(orders, clock_hz, ptime_ms):
        by_event.setdefault(packet.timestamp, []).append(packet)
    assert len(by_event) == len(orders)
    ends_ts = 0
    for (digit, on_ms, off_ms), (timestamp, packets) in zip(orders, by_event.items(), strict=True):
        assert timestamp >= ends_ts
        assert all(packet.payload[0] == DIGITS.index(digit) for packet in packets)
        assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
        assert [packet.end for packet in packets] == [False] * (len(packets) - 3) + [True] * 3
        durations = [packet.duration_ts for packet in packets]
        assert durations == sorted(durations)
        assert durations[-3:] == [clock_hz * on_ms // 1000] * 3
        steps_ms = {b.at_ms - a.at_ms for a, b in pairwise(packets)}
        assert steps_ms == {ptime_ms}  # not a slot is left out while a digit is sent
        ends_ts = timestamp + clock_hz * (on_ms + off_ms) // 1000


@given(
    on_ms=st.integers(1000, 60_000),
    clock_hz=clocks,
    ptime_ms=ptimes,
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.05]),
)
@settings(max_examples=40, deadline=None)
def test_a_long_digit_is_one_digit(on_ms, clock_hz, ptime_ms, seed, loss):
    draw = random.Random(seed)
    packets = list(send([("5", on_ms, 100)], clock_hz, ptime_ms))
    left = [packet for packet in packets if packet.end or draw.random() >= loss]
    assert hear(left, clock_hz) == [("5", False, 0), ("5", True, on_ms)]


@given(orders=orders, ptime_ms=ptimes, data=st.data())
def test_copies_and_packets_that_were_overtaken_add_nothing(orders, ptime_ms, data):
    """Packets come up to four places late, and twice; the first of a digit keeps its place."""
    packets = list(send(orders, 8000, ptime_ms))
    arrivals = []
    for place, packet in enumerate(packets):
        arrivals.append((place, packet))
        copies = data.draw(st.lists(st.integers(1, 4), max_size=2)) if not packet.marker else [4]
        arrivals += [(place + late + 0.5, packet) for late in copies]
    arrivals.sort(key=lambda arrival: arrival[0])
    told = hear((packet for _, packet in arrivals), 8000)
    assert [(symbol, ended) for symbol, ended, _ in told] == [
        (digit, ended) for digit, _, _ in orders for ended in (False, True)
    ]


@given(orders=st.lists(st.tuples(st.sampled_from(DIGITS), st.just(100), st.just(100)), max_size=20))
def test_digits_are_told_even_if_all_their_markers_and_ends_are_lost(orders):
    left = [p for p in send(orders, 8000, 20) if not p.marker and not p.end]
    told = hear(left, 8000)
    assert [(symbol, ended) for symbol, ended, _ in told] == [
        (digit, ended) for digit, _, _ in orders for ended in (False, True)
    ]
    assert all(duration_ms == 80 for _, ended, duration_ms in told if ended)


@pytest.mark.parametrize("clock_hz", [8000, 48_000])
@pytest.mark.parametrize(("loss", "least"), [(0.0, 1.0), (0.02, 1.0), (0.05, 0.99)])
def test_digits_under_random_loss(clock_hz, loss, least):
    """4,000 digits, all sixteen, 100 ms each; what is told is right in number and order."""
    draw = random.Random(4711)
    digits = "".join(draw.choice(DIGITS) for _ in range(4000 - 16)) + DIGITS
    packets = send([(digit, 100, 100) for digit in digits], clock_hz, 20)
    told = hear((packet for packet in packets if draw.random() >= loss), clock_hz)
    assert len(told) == 2 * len(starts(told))  # each that began has ended
    right = wrong = 0
    expected = iter(digits)
    for symbol in starts(told):
        if symbol in expected:  # consumes what was missed before it
            right += 1
        else:
            wrong += 1
    assert wrong == 0
    assert right >= least * len(digits)
