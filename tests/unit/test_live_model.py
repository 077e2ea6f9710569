"""Live sound against a plain list: what is played is what was written, less what was cleared; every
mark comes once, in order, as soon as the sound before it is gone one way or the other."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ringwheel._testcore import ffi, lib

FRAME = 160
MARKS = 8
PCMU = next(
    lib.rw_codec_at(n)
    for n in range(lib.rw_codec_count())
    if ffi.string(lib.rw_codec_at(n).label) == b"pcmu"
)


class LiveSound(RuleBasedStateMachine):
    """Bytes are numbered; ``sound`` holds those that wait, ``marks`` what comes behind which."""

    @initialize(
        room_ms=st.integers(20, 80),
        lead_ms=st.sampled_from([0, 0, 10]),
        encoded=st.booleans(),
        rounds_up=st.booleans(),
    )
    def begin(self, room_ms: int, lead_ms: int, encoded: bool, rounds_up: bool) -> None:
        made = ffi.new("rw_live **")
        room_ms = max(room_ms, 20 + lead_ms)
        config = ffi.new("rw_live_config *", (20, room_ms, lead_ms, MARKS, encoded, rounds_up))
        assert lib.rw_live_create(PCMU, config, made) == 0
        self.live = ffi.gc(made[0], lib.rw_live_release)
        self.encoded, self.rounds_up, self.lead = encoded, rounds_up, lead_ms * 8
        self.room = lib.rw_live_writable(self.live)
        self.sound = b""
        self.in_ring = 0  # what was cleared has its place until it is left out
        self.written = self.gone = 0
        self.cleared_to = 0
        self.marks: list[tuple[int, int, bool]] = []  # id, position, cleared
        self.next_id = 0
        self.begun = self.finished = False
        self.waited = 0

    @precondition(lambda self: not self.finished)
    @rule(length=st.integers(0, 400), seed=st.integers(0, 255))
    def write(self, length: int, seed: int) -> None:
        codes = bytes((seed + at * 7) % 256 for at in range(length))
        codes = codes.replace(b"\x7f", b"\x7e")  # the second zero, which samples do not have
        if self.encoded:
            taken = lib.rw_live_write_encoded(self.live, codes, length)
        else:
            pcm = ffi.new("int16_t[]", [linear(code) for code in codes])
            taken = lib.rw_live_write(self.live, pcm, length)
        assert taken == min(length, self.room - self.in_ring)
        self.sound += codes[:taken]
        self.in_ring += taken
        self.written += taken

    @rule()
    def mark(self) -> None:
        waiting = lib.rw_live_mark(self.live, self.next_id)
        # The reader may hold one more.
        assert waiting == 0 or len(self.marks) >= MARKS
        if waiting == 0:
            self.marks.append((self.next_id, self.written, False))
            self.next_id += 1

    @rule()
    def clear(self) -> None:
        lib.rw_live_clear(self.live)
        if self.written > self.gone:
            self.cleared_to = self.written
            self.marks = [
                (mark_id, position, position > self.gone) for mark_id, position, _ in self.marks
            ]
        self.sound = b""

    @rule()
    def finish(self) -> None:
        lib.rw_live_finish(self.live)
        self.finished = True

    @rule(wanted=st.sampled_from([FRAME, FRAME, FRAME, 60]))
    def play(self, wanted: int) -> None:
        """One slot of the leg: a packet, and the marks that it has reached."""
        payload = ffi.new("uint8_t[]", wanted)
        level = ffi.new("int8_t *")
        count = lib.rw_live_read(self.live, payload, wanted, level)
        self.gone = max(self.gone, self.cleared_to)
        expected = self.expected(wanted)
        assert bytes(payload)[:count] == self.sound[:expected]
        self.sound = self.sound[expected:]
        self.gone += expected
        self.in_ring = self.written - self.gone
        self.reach_marks()

    def expected(self, wanted: int) -> int:
        waiting, waited = len(self.sound), self.waited
        if self.finished:
            return min(wanted, waiting)
        self.waited = 0
        if waiting >= wanted + (0 if self.begun else self.lead):
            self.begun = True
            return wanted
        if waiting >= wanted:
            return 0
        if self.rounds_up and waiting and waiting == waited:
            return waiting
        self.waited = waiting
        return 0

    def reach_marks(self) -> None:
        mark_id, cleared = ffi.new("uint64_t *"), ffi.new("bool *")
        while self.marks and self.marks[0][1] <= self.gone:
            due, _, was_cleared = self.marks.pop(0)
            assert lib.rw_live_at_mark(self.live, mark_id, cleared)
            assert (mark_id[0], cleared[0]) == (due, was_cleared)
            lib.rw_live_pass_mark(self.live)
        assert not lib.rw_live_at_mark(self.live, mark_id, cleared)

    @invariant()
    def figures_agree(self) -> None:
        if hasattr(self, "live"):
            assert lib.rw_live_waiting(self.live) == len(self.sound)
            assert lib.rw_live_ended(self.live) == (self.finished and not self.in_ring)


def linear(code: int) -> int:
    """ITU-T G.711, table 2b, as 16 bits."""
    value = ~code & 0xFF
    magnitude = ((((value & 0x0F) << 3) + 0x84) << ((value & 0x70) >> 4)) - 0x84
    return -magnitude if value & 0x80 else magnitude


LiveSound.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLiveSound = LiveSound.TestCase
