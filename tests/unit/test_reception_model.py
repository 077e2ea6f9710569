"""What a leg knows of the stream it hears, against a list of the packets that came."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ringwheel._testcore import ffi, lib

MAX_DROPOUT, MAX_MISORDER, MAX_LATE = 3000, 100, 63
PACKET_TS, PACKET_US, CLOCK_HZ = 160, 20_000, 8000
SSRCS = [0x1111, 0x2222, 0x3333]
edges = st.sampled_from([2999, 3000, 3001, -61, -62, -63, -64, -99, -100, -101])


@dataclass
class Stream:
    """One source from where it was taken on; numbers do not wrap here."""

    ssrc: int
    first: int
    heard: set[int] = field(default_factory=set)
    received: int = 0
    """As RFC 3550 counts: with duplicates and packets that came too late."""

    @property
    def expected(self) -> range:
        return range(min(self.heard), max(self.heard) + 1)

    @property
    def lost(self) -> int:
        return len(self.expected) - len(self.heard)

    @property
    def gaps(self) -> int:
        """Runs of missing numbers: each ends below one that was heard."""
        return sum(n - 1 not in self.heard for n in self.heard) - 1

    def place(self, sequence: int) -> int:
        """The number without wrap that is nearest ahead of, or shortly behind, the highest."""
        ahead = (sequence - max(self.heard)) % 2**16
        return max(self.heard) + (ahead if ahead < MAX_DROPOUT else ahead - 2**16)


class ReceptionAgainstLists(RuleBasedStateMachine):
    """Packets of a few sources in any order; the sender's clock is without jitter."""

    @initialize(first=st.sampled_from([0, 1, 40, 30_000, 65_500, 65_535]))
    def start(self, first: int) -> None:
        self.reception = ffi.new("rw_reception *")
        lib.rw_reception_init(self.reception, CLOCK_HZ)
        self.streams: list[Stream] = []
        self.candidate: tuple[int, int] | None = None
        self.next = dict.fromkeys(SSRCS, first)
        self.counts = dict.fromkeys(
            ("reordered", "duplicates", "stale", "refused", "restarts", "sources"), 0
        )
        self.now_us = 10**9
        self.heard_us = 0
        self.reported = (0, 0)
        self.hear(SSRCS[0], first)

    def hear(self, ssrc: int, sequence: int) -> None:
        header = ffi.new("rw_rtp_header *")
        header.ssrc, header.sequence = ssrc, sequence % 2**16
        header.timestamp = self.now_us * CLOCK_HZ // 10**6 % 2**32
        expected = self.judge(ssrc, sequence % 2**16)
        assert lib.rw_reception_hear(self.reception, header, self.now_us) == expected
        if expected <= lib.RW_HEARD_RESTART:
            self.heard_us = self.now_us
        self.next[ssrc] = (sequence + 1) % 2**16

    def judge(self, ssrc: int, sequence: int) -> int:
        if not self.streams:
            self.counts["sources"] += 1
            return self.begin(ssrc, sequence, lib.RW_HEARD_NEW_SOURCE)
        stream = self.streams[-1]
        ahead = (sequence - max(stream.heard)) % 2**16
        if ssrc != stream.ssrc or MAX_DROPOUT <= ahead <= 2**16 - MAX_MISORDER:
            return self.prove(ssrc, sequence)
        number = stream.place(sequence)
        stream.received += 1
        if number > max(stream.heard):
            stream.heard.add(number)
            self.candidate = None
            return lib.RW_HEARD_NEW
        return self.judge_behind(stream, number)

    def judge_behind(self, stream: Stream, number: int) -> int:
        if max(stream.heard) - number >= MAX_LATE:
            self.counts["stale"] += 1
            return lib.RW_HEARD_STALE
        if number in stream.heard:
            self.counts["duplicates"] += 1
            return lib.RW_HEARD_DUPLICATE
        stream.heard.add(number)
        self.counts["reordered"] += 1
        return lib.RW_HEARD_LATE

    def prove(self, ssrc: int, sequence: int) -> int:
        same = ssrc == self.streams[-1].ssrc
        if self.candidate == (ssrc, sequence):
            self.counts["restarts" if same else "sources"] += 1
            verdict = lib.RW_HEARD_RESTART if same else lib.RW_HEARD_NEW_SOURCE
            return self.begin(ssrc, sequence, verdict)
        self.candidate = ssrc, (sequence + 1) % 2**16
        self.counts["refused"] += 1
        return lib.RW_HEARD_JUMP if same else lib.RW_HEARD_STRANGER

    def begin(self, ssrc: int, sequence: int, verdict: int) -> int:
        self.streams.append(Stream(ssrc, sequence, {sequence}, 1))
        self.candidate = None
        self.reported = (0, 0)
        return verdict

    @rule(ssrc=st.sampled_from([*SSRCS[:1] * 4, *SSRCS]), packets=st.integers(1, 12))
    def go_on(self, ssrc: int, packets: int) -> None:
        for _ in range(packets):
            self.now_us += PACKET_US
            self.hear(ssrc, self.next[ssrc])

    @rule(steps=st.lists(st.integers(-110, 70), max_size=10))
    def come_in_disorder(self, steps: list[int]) -> None:
        for step in steps:
            self.hear(self.streams[-1].ssrc, max(self.streams[-1].heard) + step)

    @rule(step=st.one_of(st.integers(2, 70), edges))
    def leap(self, step: int) -> None:
        stream = self.streams[-1]
        self.hear(stream.ssrc, max(stream.heard) + step)

    @rule(ssrc=st.sampled_from(SSRCS), sequence=st.integers(0, 65_535))
    def come_from_anywhere(self, ssrc: int, sequence: int) -> None:
        self.hear(ssrc, sequence)

    @rule()
    def report(self) -> None:
        stream = self.streams[-1]
        expected, received = len(stream.expected), stream.received
        block = ffi.new("rw_report_block *")
        came = received != self.reported[1]
        assert lib.rw_reception_report(self.reception, self.now_us, block) == came
        if not came:
            return
        lost = (expected - self.reported[0]) - (received - self.reported[1])
        assert block.ssrc == stream.ssrc
        # Duplicates may have made it negative.
        fraction = Fraction(max(0, lost), max(1, expected - self.reported[0]))
        assert block.fraction_lost == int(fraction * 256)
        assert block.cumulative_lost == expected - received
        assert block.highest_sequence == max(stream.heard)
        assert (block.lsr, block.dlsr) == (0, 0)
        self.reported = (expected, received)

    @invariant()
    def figures_are_those_of_the_lists(self) -> None:
        reception = self.reception
        assert lib.rw_reception_expected(reception) == sum(len(s.expected) for s in self.streams)
        assert lib.rw_reception_received(reception) == sum(len(s.heard) for s in self.streams)
        assert lib.rw_reception_lost(reception) == sum(s.lost for s in self.streams)
        assert reception.gaps == sum(s.gaps for s in self.streams)
        assert {name: getattr(reception, name) for name in self.counts} == self.counts
        assert reception.last_heard_us == self.heard_us
        assert lib.rw_reception_max_jitter_us(reception) == 0


TestReception = ReceptionAgainstLists.TestCase
TestReception.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@settings(deadline=None)
@given(
    delays_us=st.lists(st.integers(0, 400_000), min_size=2, max_size=80),
    clock_hz=st.sampled_from([8000, 16_000, 48_000]),
    start_us=st.sampled_from([0, 10**6, 2**50]),
    timestamp=st.integers(0, 2**32 - 1),
)
def test_jitter_is_the_mean_deviation_of_transit(delays_us, clock_hz, start_us, timestamp):
    """RFC 3550 section 6.4.1 in exact fractions; ours has integers of 1/16."""
    reception = ffi.new("rw_reception *")
    lib.rw_reception_init(reception, clock_hz)
    header = ffi.new("rw_rtp_header *")
    jitter, highest, before = Fraction(0), Fraction(0), None
    for n, delay_us in enumerate(delays_us):
        arrival_us = start_us + n * PACKET_US + delay_us
        header.sequence = n
        header.timestamp = (timestamp + n * clock_hz // 50) % 2**32
        lib.rw_reception_hear(reception, header, arrival_us)
        transit = Fraction(delay_us * clock_hz, 10**6)
        if before is not None:
            jitter += (abs(transit - before) - jitter) / 16
        before = transit
        highest = max(highest, jitter)
        assert abs(lib.rw_reception_jitter_ts(reception) - jitter) <= 2
    slack_us = 2 * 10**6 / clock_hz
    assert abs(lib.rw_reception_max_jitter_us(reception) - highest * 10**6 / clock_hz) <= slack_us
