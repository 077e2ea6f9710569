"""A peer's sound on its way to the caller, and ours to the peer, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.speech.stream.budget import Budget
from ringwheel.robot.speech.stream.outbox import (
    MAX_WAITING_BLOCKS,
    MAX_WAITING_NOTES,
    MarkPassed,
    Outbox,
    OutboxFull,
    Pressed,
    Said,
)
from ringwheel.robot.speech.stream.playout import CUSHION_MS, MAX_MARKS, ROOM_MS, Playout

ROOM_BYTES = 80_000


class Wheel:
    """A mouth whose leg sends 20 ms in every slot, and the clock that drives both."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.sent = b""
        self.gaps = self._pause = 0
        self.told: list[str] = []
        self._buffer = b""
        self._written = 0
        self._gone = 0
        self._marks: list[tuple[int, int]] = []
        self.playout = Playout(self, bytes_per_ms=8, room=ROOM_BYTES)
        self._wake_ms: int | None = None

    @property
    def buffered_ms(self) -> float:
        return len(self._buffer) / 8

    def write(self, sound: memoryview) -> int:
        part = bytes(sound[: ROOM_MS * 8 - len(self._buffer)])
        self._buffer += part
        self._written += len(part)
        return len(part)

    def mark(self, number: int) -> bool:
        if len(self._marks) == 8:
            return False
        self._marks.append((self._written, number))
        self._tell()
        return True

    def clear(self) -> None:
        self._gone += len(self._buffer)
        self._buffer = b""
        self._marks.clear()

    def _tell(self) -> None:
        while self._marks and self._marks[0][0] <= self._gone:
            self.told += self.playout.sent(self._marks.pop(0)[1])

    def advance(self) -> None:
        delay_ms = self.playout.advance(self.now_ms)
        self._wake_ms = None if delay_ms is None else self.now_ms + delay_ms

    def pass_ms(self, ms: int) -> None:
        for _ in range(ms):
            self.now_ms += 1
            if self._wake_ms is not None and self.now_ms >= self._wake_ms:
                self.advance()
            if self.now_ms % 20 == 0:
                self._slot()

    def _slot(self) -> None:
        part, self._buffer = self._buffer[:160], self._buffer[160:]
        if not part:
            self._pause += bool(self.sent)
        else:  # what is not followed by sound is no gap
            self.gaps, self._pause = self.gaps + self._pause, 0
        self.sent += part
        self._gone += len(part)
        self._tell()

    def put(self, sound: bytes) -> None:
        self.playout.put(sound)
        self.advance()


def test_ten_seconds_at_once_are_played_at_the_pace_of_the_call():
    wheel, sound = Wheel(), bytes(range(250)) * 320
    wheel.put(sound)
    wheel.playout.mark("end")
    wheel.advance()
    wheel.pass_ms(9_900)
    assert wheel.told == []
    wheel.pass_ms(120)
    assert (wheel.sent, wheel.gaps, wheel.told) == (sound, 0, ["end"])
    assert wheel.playout.idle


def test_a_peer_that_is_late_with_a_block_leaves_no_gap():
    """Each block as it is due, with up to 40 ms of jitter."""
    wheel, block = Wheel(), b"\x01" * 160
    late = [0, 35, 10, 40, 0, 40, 5] * 6
    due = sorted(20 * number + jitter for number, jitter in enumerate(late))
    for at_ms in due:
        wheel.pass_ms(at_ms - wheel.now_ms)
        wheel.put(block)
    wheel.pass_ms(60)
    assert wheel.sent == block * len(late)
    assert wheel.gaps == 0


def test_a_short_sound_waits_no_longer_than_the_cushion():
    wheel = Wheel()
    wheel.put(b"\x01" * 160)
    wheel.pass_ms(CUSHION_MS + 20)
    assert wheel.sent == b"\x01" * 160


def test_nothing_of_before_a_clear_is_played_after_it():
    wheel = Wheel()
    wheel.put(b"\x01" * 40_000)
    wheel.playout.mark("one")
    wheel.playout.put(b"\x01" * 4_000)
    wheel.playout.mark("two")
    wheel.pass_ms(300)
    assert wheel.playout.clear() == ["one", "two"]
    old = len(wheel.sent)
    wheel.put(b"\x02" * 800)
    wheel.playout.mark("three")
    wheel.advance()
    wheel.pass_ms(200)
    assert set(wheel.sent[old:]) == {2}
    assert wheel.told == ["three"]
    assert wheel.playout.figures.cleared == 44_000 - old
    assert (wheel.playout.figures.marks, wheel.playout.figures.marks_cleared) == (3, 2)


def test_marks_without_sound_come_back_at_once_and_in_order():
    wheel = Wheel()
    for name in "abc":
        wheel.playout.mark(name)
    wheel.advance()
    assert wheel.told == ["a", "b", "c"]


def test_more_than_there_is_room_for_is_discarded_from_its_end():
    wheel = Wheel()
    wheel.put(bytes([1]) * (ROOM_BYTES - 100))
    wheel.playout.put(bytes([2]) * 20_000)
    wheel.playout.put(bytes([3]) * 20_000)
    figures = wheel.playout.figures
    assert figures.taken + figures.discarded == ROOM_BYTES - 100 + 40_000
    wheel.pass_ms(20_000)
    assert wheel.sent == (bytes([1]) * (ROOM_BYTES - 100) + bytes([2]) * 3_300)[: figures.taken]


def test_more_marks_than_can_be_kept_are_refused():
    wheel = Wheel()
    wheel.put(b"\x01" * 8_000)
    for number in range(MAX_MARKS + 5):
        wheel.playout.mark(str(number))
    assert wheel.playout.figures.marks_refused == 5
    assert len(wheel.playout.clear()) == MAX_MARKS


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "mark", "clear", "wait"]), st.integers(1, 3_000)),
        max_size=30,
    )
)
def test_whatever_a_peer_does_its_sound_is_played_in_order_and_every_mark_comes_back_once(script):
    wheel, marks, turn = Wheel(), [], 0
    for what, amount in script:
        if what == "put":
            wheel.put(bytes([turn % 256]) * (amount // 2 * 2))
        elif what == "mark":
            marks.append(f"{len(marks)}")
            wheel.playout.mark(marks[-1])
            wheel.advance()
        elif what == "clear":
            wheel.told += wheel.playout.clear()
            turn += 1
        else:
            wheel.pass_ms(amount % 500)
    wheel.pass_ms(12_000)
    assert list(wheel.sent) == sorted(wheel.sent)
    assert wheel.told == marks
    assert wheel.playout.idle


def test_the_oldest_sound_is_left_out_for_a_peer_that_does_not_read():
    outbox = Outbox()
    outbox.put(Pressed("1"))
    for number in range(MAX_WAITING_BLOCKS + 3):
        outbox.put(Said(b"", number))
    outbox.put(MarkPassed("m"))
    assert outbox.dropped_blocks == 3
    taken = [outbox.take() for _ in range(len(outbox))]
    assert taken[0] == Pressed("1")
    assert taken[1] == Said(b"", 3)
    assert taken[-1] == MarkPassed("m")
    assert outbox.take() is None


def test_keys_and_marks_are_never_left_out_but_bounded():
    outbox = Outbox()
    for _ in range(MAX_WAITING_NOTES):
        outbox.put(MarkPassed("m"))
    outbox.put(Said(b"", 0))
    with pytest.raises(OutboxFull):
        outbox.put(Pressed("1"))


def test_a_budget_lets_a_burst_pass_and_then_no_more_than_its_rate():
    budget, now_ms, taken = Budget(1_000, 500, 0), 0, 0
    while now_ms < 2_000:
        now_ms += budget.take(1, now_ms)
        taken += 1
    assert 2_490 <= taken <= 2_510
    assert budget.take(1, now_ms + 10_000) == 0
