"""Whose packets a leg takes, against the rules as sentences over what came since the opening."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ringwheel._testcore import ffi, lib

OPEN_US, PROOF_PACKETS, PROOF_US = 30_000_000, 3, 30_000
SETTLE_PACKETS, SETTLE_US = 8, 5_000_000

PHONE, NAT, OTHER_PORT, THIEF = (
    ("10.0.0.5", 4000),
    ("192.0.2.1", 9000),
    ("192.0.2.1", 9002),
    ("198.51.100.9", 4000),
)
NEVER = [("2001:db8::1", 4000), ("239.1.1.1", 4000), ("0.0.0.0", 4000), ("192.0.2.1", 0)]
SOURCES = [PHONE, NAT, NAT, NAT, OTHER_PORT, THIEF, *NEVER]
SHORT_US = [0, 1000, 10_000, 20_000, 20_000, 30_000]
LONG_US = [1_000_000, 2_000_000, 2_499_999, 3_000_000, 4_900_000, 5_000_000, 6_000_000, 31_000_000]

Source = tuple[str, int]


def address(source: Source):
    made = ffi.new("rw_address *")
    assert lib.rw_address_parse(made, source[0].encode(), source[1]) == 0
    return made


@dataclass
class Heard:
    """A packet that came since the window was opened, and what became of it."""

    source: Source
    at_us: int
    verdict: int


class LatchAgainstRules(RuleBasedStateMachine):
    """The model keeps the whole history and looks back over it for every packet."""

    @initialize(policy=st.sampled_from([lib.RW_LATCH_POLICY_SDP, lib.RW_LATCH_POLICY_LATCH]))
    def start(self, policy: int) -> None:
        self.latch = ffi.new("rw_latch *")
        lib.rw_latch_init(self.latch)
        self.now_us, self.strangers = 10**9, 0
        self.remote: Source | None = None
        self.sdp: Source | None = None
        self.open(policy, PHONE)

    @rule(
        policy=st.sampled_from([lib.RW_LATCH_POLICY_SDP, *[lib.RW_LATCH_POLICY_LATCH] * 3]),
        sdp=st.sampled_from([PHONE, PHONE, PHONE, ("10.0.0.6", 4000)]),
    )
    def open(self, policy: int, sdp: Source) -> None:
        lib.rw_latch_open(self.latch, policy, address(sdp), self.now_us)
        if sdp != self.sdp or policy == lib.RW_LATCH_POLICY_SDP:
            self.remote = sdp
        self.sdp, self.policy = sdp, policy
        self.opened_us, self.history = self.now_us, []
        self.closed = policy == lib.RW_LATCH_POLICY_SDP

    def has_closed(self) -> bool:
        """True from the moment on when nothing may move before the next opening."""
        if any(heard.source == self.sdp for heard in self.history):
            return True
        counted = self.counted()
        if not counted:
            return self.now_us - self.opened_us > OPEN_US
        return len(counted) >= SETTLE_PACKETS or self.now_us - counted[0].at_us > SETTLE_US

    def counted(self) -> list[Heard]:
        """Packets from where we send now; of one that has moved us, its last proofs count too."""
        for n, heard in enumerate(self.history):
            if heard.verdict == lib.RW_LATCH_MOVED:
                row = self.row_before(n)
                proof = [row[0], *row[len(row) - PROOF_PACKETS + 2 :], heard]
                after = self.history[n + 1 :]
                return proof + [h for h in after if h.verdict == lib.RW_LATCH_ACCEPT]
        return [heard for heard in self.history if heard.verdict == lib.RW_LATCH_ACCEPT]

    def row_before(self, end: int) -> list[Heard]:
        """The packets in a row that led to the one at ``end``; whom we never take is not there."""
        row: list[Heard] = []
        for heard in self.history[:end]:
            if heard.verdict == lib.RW_LATCH_ACCEPT:
                row = []
            elif heard.verdict == lib.RW_LATCH_PROVING:
                same = row and row[0].source == heard.source
                in_time = row and heard.at_us - row[0].at_us <= SETTLE_US
                row = [*row, heard] if same and in_time else [heard]
        return row

    def judge(self, source: Source) -> int:
        self.closed = self.closed or self.has_closed()
        if self.closed:
            return lib.RW_LATCH_ACCEPT if source == self.remote else lib.RW_LATCH_STRANGER
        if source == self.sdp:
            return lib.RW_LATCH_ACCEPT if source == self.remote else lib.RW_LATCH_MOVED
        if source == self.remote:
            return lib.RW_LATCH_ACCEPT
        moved = any(heard.verdict == lib.RW_LATCH_MOVED for heard in self.history)
        if moved or source in NEVER:
            return lib.RW_LATCH_STRANGER
        row = self.row_before(len(self.history))
        if not row or row[0].source != source or self.now_us - row[0].at_us > SETTLE_US:
            return lib.RW_LATCH_PROVING
        proved = len(row) + 1 >= PROOF_PACKETS and self.now_us - row[0].at_us >= PROOF_US
        return lib.RW_LATCH_MOVED if proved else lib.RW_LATCH_PROVING

    def hear(self, source: Source, pause_us: int) -> None:
        self.now_us += pause_us
        expected = self.judge(source)
        verdict = lib.rw_latch_hear(self.latch, address(source), self.now_us)
        assert verdict == expected
        self.history.append(Heard(source, self.now_us, verdict))
        if verdict == lib.RW_LATCH_MOVED:
            self.remote = source
        self.strangers += verdict == lib.RW_LATCH_STRANGER

    @rule(source=st.sampled_from(SOURCES[:6]), packets=st.integers(1, 9))
    def hear_stream(self, source: Source, packets: int) -> None:
        for _ in range(packets):
            self.hear(source, 20_000)

    @rule(sources=st.lists(st.sampled_from([NAT, NAT, THIEF]), max_size=6))
    def hear_two_at_once(self, sources: list[Source]) -> None:
        for source in sources:
            self.hear(source, 10_000)

    @rule(source=st.sampled_from(SOURCES), pause_us=st.sampled_from(SHORT_US))
    def hear_one(self, source: Source, pause_us: int) -> None:
        self.hear(source, pause_us)

    @rule(source=st.sampled_from(SOURCES[:6]), pause_us=st.sampled_from(LONG_US))
    def hear_after_a_pause(self, source: Source, pause_us: int) -> None:
        self.hear(source, pause_us)

    @invariant()
    def sends_where_the_rules_say(self) -> None:
        assert lib.rw_address_equal(ffi.addressof(self.latch, "remote"), address(self.remote))
        assert self.latch.strangers == self.strangers


TestLatch = LatchAgainstRules.TestCase
TestLatch.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
