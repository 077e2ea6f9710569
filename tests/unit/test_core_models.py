"""Small parts of the C core against what Python has for the same: slices, sorted lists, deques."""

from __future__ import annotations

import errno
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ringwheel._testcore import ffi, lib

# RTP (RFC 3550 section 5.1)


def reads(data: bytes) -> tuple[int, dict[str, int], bytes]:
    """The reject reason, header fields and payload, as the RFC has them."""
    if len(data) < 12:
        return lib.RW_RTP_TOO_SHORT, {}, b""
    if data[0] >> 6 != 2:
        return lib.RW_RTP_BAD_VERSION, {}, b""
    rest = data[12:]
    csrc_bytes = 4 * (data[0] & 15)
    if csrc_bytes > len(rest):
        return lib.RW_RTP_BAD_CSRC, {}, b""
    rest = rest[csrc_bytes:]
    if data[0] & 0x10:
        words = int.from_bytes(rest[2:4], "big")
        if len(rest) < 4 + 4 * words:
            return lib.RW_RTP_BAD_EXTENSION, {}, b""
        rest = rest[4 + 4 * words :]
    if data[0] & 0x20:
        padding = data[-1]
        if not 0 < padding <= len(rest):
            return lib.RW_RTP_BAD_PADDING, {}, b""
        rest = rest[:-padding]
    header = {
        "marker": data[1] >> 7,
        "payload_type": data[1] & 127,
        "sequence": int.from_bytes(data[2:4], "big"),
        "timestamp": int.from_bytes(data[4:8], "big"),
        "ssrc": int.from_bytes(data[8:12], "big"),
    }
    return lib.RW_RTP_OK, header, rest


near_rtp = st.builds(
    lambda first, head, rest, last: bytes([0x80 | first]) + head + rest + last,
    st.integers(0, 63),
    st.binary(min_size=11, max_size=11),
    st.binary(max_size=90),
    st.sampled_from([b"", b"\0", b"\1", b"\x04", b"\xff"]),
)


@settings(max_examples=1500)
@given(data=st.one_of(near_rtp, st.binary(max_size=100)))
def test_rtp_is_read_as_the_rfc_has_it(data):
    # A copy of its own, to the byte: sanitizers see any look beyond it.
    datagram = ffi.new("uint8_t[]", data) if data else ffi.new("uint8_t[1]")
    packet = ffi.new("rw_rtp_packet *")
    reject, header, payload = reads(data)
    assert lib.rw_rtp_parse(datagram, len(data), packet) == reject
    if reject == lib.RW_RTP_OK:
        assert {name: int(getattr(packet.header, name)) for name in header} == header
        assert bytes(ffi.buffer(packet.payload, packet.payload_bytes)) == payload


# Histogram

values = st.one_of(
    st.integers(0, 100),
    st.integers(0, 2**36 - 1),
    st.builds(lambda bit, off: max(0, 2**bit + off), st.integers(0, 35), st.integers(-1, 1)),
)
fractions = st.one_of(st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 1.0]), st.floats(0, 1))


@given(
    added=st.lists(st.tuples(values, st.integers(1, 50)), max_size=40),
    asked=st.lists(fractions, min_size=1, max_size=5),
)
def test_quantiles_are_those_of_the_sorted_list_to_bucket_precision(added, asked):
    histogram = ffi.new("rw_histogram *")
    for value, times in added:
        lib.rw_histogram_add(histogram, value, times)
    ordered = sorted(value for value, times in added for _ in range(times))
    assert lib.rw_histogram_total(histogram) == len(ordered)
    assert lib.rw_histogram_max(histogram) == max(ordered, default=0)
    for fraction in asked:
        found = lib.rw_histogram_quantile(histogram, fraction)
        if not ordered:
            assert found == 0
            continue
        exact = next(v for i, v in enumerate(ordered, 1) if i >= fraction * len(ordered))
        assert exact <= found <= min(exact + exact // 32, ordered[-1])


def test_values_beyond_the_last_bucket_count_as_the_largest():
    histogram = ffi.new("rw_histogram *")
    lib.rw_histogram_add(histogram, 2**64 - 1, 3)
    assert lib.rw_histogram_total(histogram) == 3
    assert lib.rw_histogram_quantile(histogram, 0.5) == 2**36 - 1


# Ring


class RingAgainstDeque(RuleBasedStateMachine):
    """One thread's view: first in, first out, and full at a power of two."""

    @initialize(capacity=st.integers(0, 20), element_bytes=st.integers(1, 40))
    def start(self, capacity: int, element_bytes: int) -> None:
        self.room = max(2, 1 << (capacity - 1).bit_length()) if capacity else 2
        self.element_bytes = element_bytes
        self.ring = ffi.gc(lib.rw_ring_create(capacity, element_bytes), lib.rw_ring_destroy)
        self.model: deque[bytes] = deque()

    @rule(data=st.data(), times=st.integers(1, 12))
    def push(self, data: st.DataObject, times: int) -> None:
        size = self.element_bytes
        for _ in range(times):
            element = data.draw(st.binary(min_size=size, max_size=size))
            full = len(self.model) == self.room
            answer = lib.rw_ring_push(self.ring, ffi.from_buffer(element))
            assert answer == (-errno.EAGAIN if full else 0)
            if not full:
                self.model.append(element)

    @rule(times=st.integers(1, 12))
    def pop(self, times: int) -> None:
        for _ in range(times):
            element = ffi.new("uint8_t[]", self.element_bytes)
            answer = lib.rw_ring_pop(self.ring, element)
            assert answer == (0 if self.model else -errno.EAGAIN)
            if self.model:
                assert bytes(ffi.buffer(element)) == self.model.popleft()

    @invariant()
    def knows_when_it_is_empty(self) -> None:
        assert lib.rw_ring_empty(self.ring) == (not self.model)


TestRing = RingAgainstDeque.TestCase
TestRing.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
