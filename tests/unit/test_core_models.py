"""The C core against plain models, through cffi: the wheel, playlists, RTP, histogram, ring."""

from __future__ import annotations

import errno
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

core = pytest.importorskip("ringwheel._testcore", reason="built with RINGWHEEL_TEST_BINDING=1")
ffi, lib = core.ffi, core.lib

NEVER = 2**64 - 1
TIMERS = 12
steps = st.one_of(
    st.integers(0, 100), st.integers(0, 10_000), st.integers(0, 2**40), st.integers(0, 2**62)
)


class WheelMachine(RuleBasedStateMachine):
    """The wheel beside a dict of deadlines."""

    @initialize(now=st.integers(0, 2**40))
    def start(self, now):
        self.wheel = ffi.new("rw_wheel *")
        self.timers = [ffi.new("rw_timer *") for _ in range(TIMERS)]
        self.armed: dict[int, int] = {}
        self.now = now
        lib.rw_wheel_init(self.wheel, now)

    @rule(index=st.integers(0, TIMERS - 1), delay=steps)
    def arm(self, index, delay):
        deadline = self.now + delay
        lib.rw_wheel_arm(self.wheel, self.timers[index], deadline)
        self.armed[index] = max(deadline, self.now + 1)

    @rule(index=st.integers(0, TIMERS - 1), behind=st.integers(0, 1000))
    def arm_in_the_past(self, index, behind):
        lib.rw_wheel_arm(self.wheel, self.timers[index], max(0, self.now - behind))
        self.armed[index] = self.now + 1

    @rule(index=st.integers(0, TIMERS - 1))
    def cancel(self, index):
        was_armed = self.armed.pop(index, None) is not None
        assert lib.rw_wheel_cancel(self.wheel, self.timers[index]) == was_armed

    @rule(step=steps)
    def advance(self, step):
        self.now += step
        lib.rw_wheel_advance(self.wheel, self.now)
        popped = set()
        while (timer := lib.rw_wheel_pop_due(self.wheel)) != ffi.NULL:
            popped.add(next(i for i, ours in enumerate(self.timers) if ours == timer))
        expected = {index for index, deadline in self.armed.items() if deadline <= self.now}
        assert popped == expected
        for index in expected:
            del self.armed[index]

    @invariant()
    def holds(self):
        if not hasattr(self, "wheel"):
            return
        assert lib.rw_wheel_check(self.wheel) == 0
        assert self.wheel.armed == len(self.armed)
        next_tick = lib.rw_wheel_next_tick(self.wheel)
        if self.armed:
            assert self.now < next_tick <= min(self.armed.values())
        else:
            assert next_tick == NEVER


WheelMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestWheel = WheelMachine.TestCase


@given(
    prompts=st.lists(st.binary(max_size=60), max_size=6),
    reads=st.lists(st.integers(1, 50), max_size=40),
    loop=st.booleans(),
)
def test_a_playlist_reads_as_its_prompts_in_one_piece(prompts, reads, loop):
    handles = [lib.rw_prompt_create(payload, len(payload)) for payload in prompts]
    playlist = lib.rw_playlist_create(1, handles, len(handles), loop)
    whole = b"".join(prompts)
    for handle in handles:
        lib.rw_prompt_release(handle)  # the playlist has its own reference
    if loop and not whole:
        assert playlist == ffi.NULL
        return
    model = whole * (2000 // len(whole) + 1) if loop else whole
    place = 0
    for size in reads:
        buffer = ffi.new("uint8_t[]", size)
        got = lib.rw_playlist_read(playlist, buffer, size)
        assert bytes(buffer[0:got]) == model[place : place + size]
        place += got
    assert playlist.played_bytes == place
    lib.rw_playlist_destroy(playlist)


def rtp_model(datagram):
    """RFC 3550 section 5.1, the slow way: (sequence, timestamp, payload), or None."""
    if len(datagram) < 12 or datagram[0] >> 6 != 2:
        return None
    rest = datagram[12:]
    csrcs = 4 * (datagram[0] & 15)
    if len(rest) < csrcs:
        return None
    rest = rest[csrcs:]
    if datagram[0] & 0x10:
        if len(rest) < 4:
            return None
        words = int.from_bytes(rest[2:4], "big")
        if len(rest) < 4 + 4 * words:
            return None
        rest = rest[4 + 4 * words :]
    if datagram[0] & 0x20:
        padding = datagram[-1]
        if not 0 < padding <= len(rest):
            return None
        rest = rest[:-padding]
    numbers = int.from_bytes(datagram[2:4], "big"), int.from_bytes(datagram[4:8], "big")
    return *numbers, rest


rtp_like = st.builds(
    lambda first, rest: bytes([0x80 | first]) + rest, st.integers(0, 63), st.binary(max_size=80)
)


@settings(max_examples=2000)
@given(st.one_of(st.binary(max_size=60), rtp_like))
def test_rtp_is_read_as_the_rfc_says(datagram):
    packet = ffi.new("rw_rtp_packet *")
    data = ffi.new("uint8_t[]", datagram or b"\0")
    reject = lib.rw_rtp_parse(data, len(datagram), packet)
    expected = rtp_model(datagram)
    assert (reject == 0) == (expected is not None)
    if expected:
        payload = bytes(ffi.buffer(packet.payload, packet.payload_bytes))
        assert (packet.header.sequence, packet.header.timestamp, payload) == expected


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_is_at_most_a_bucket_above_the_right_value(values, fraction):
    histogram = ffi.new("rw_histogram *")
    for value in values:
        lib.rw_histogram_add(histogram, value, 1)
    got = lib.rw_histogram_quantile(histogram, fraction)
    enough = next(
        value for count, value in enumerate(sorted(values), 1) if count >= fraction * len(values)
    )
    assert enough <= got <= min(max(values), enough * 33 // 32 + 1)


@given(st.integers(2, 20), st.lists(st.one_of(st.none(), st.integers(0, 2**32)), max_size=200))
def test_a_ring_is_a_bounded_queue(capacity, actions):
    ring = lib.rw_ring_create(capacity, 8)
    room = 1 << (capacity - 1).bit_length()
    model: deque[int] = deque()
    cell = ffi.new("uint64_t *")
    for value in actions:
        if value is None:
            assert lib.rw_ring_pop(ring, cell) == (0 if model else -errno.EAGAIN)
            if model:
                assert cell[0] == model.popleft()
        else:
            cell[0] = value
            full = len(model) == room
            assert lib.rw_ring_push(ring, cell) == (-errno.EAGAIN if full else 0)
            if not full:
                model.append(value)
    lib.rw_ring_destroy(ring)
