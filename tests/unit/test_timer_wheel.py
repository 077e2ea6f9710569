"""Protocol timers as Python sees them: callbacks, and what they may do to the wheel."""

import gc
import sys
import weakref

import pytest
from ringwheel.media._core import Timer, TimerWheel, WheelClock


class Token:
    """Something whose end can be seen."""

    def __call__(self) -> None:
        """A callback."""


def test_a_callback_comes_in_the_advance_that_reaches_it():
    wheel, called = TimerWheel(1_000), []
    timer = wheel.arm(20, lambda: called.append(wheel.now_ms))
    assert wheel.advance(1_019) == 0
    assert timer.pending
    assert wheel.advance(1_020) == 1
    assert called == [1_020]
    assert not timer.pending
    assert (len(wheel), wheel.next_ms()) == (0, None)


def test_no_delay_is_the_next_millisecond():
    wheel, called = TimerWheel(5), []
    wheel.arm(0, lambda: called.append(1))
    assert wheel.advance(5) == 0
    assert wheel.advance(6) == 1


def test_cancel_says_whether_there_was_something_to_cancel():
    wheel = TimerWheel(0)
    timer = wheel.arm(10, pytest.fail)
    assert timer.cancel()
    assert not timer.cancel()
    assert wheel.advance(100) == 0


def test_a_callback_can_cancel_one_that_is_due_in_the_same_advance():
    wheel, called = TimerWheel(0), []
    timers = []

    def first() -> None:
        called.append("first")
        assert timers[1].cancel()

    timers.append(wheel.arm(10, first))
    timers.append(wheel.arm(20, pytest.fail))
    assert wheel.advance(30) == 1
    assert called == ["first"]
    assert len(wheel) == 0


def test_a_callback_that_cancels_its_own_timer_finds_it_gone():
    wheel, answers = TimerWheel(0), []
    timer = wheel.arm(1, lambda: answers.append(timer.cancel()))
    wheel.advance(1)
    assert answers == [False]


def test_a_callback_that_arms_anew_waits_for_the_next_advance():
    wheel, at_ms = TimerWheel(0), []

    def again() -> None:
        at_ms.append(wheel.now_ms)
        wheel.arm(0, again)

    wheel.arm(1, again)
    for now_ms in (1, 2, 50):
        assert wheel.advance(now_ms) == 1
    assert at_ms == [1, 2, 50]


def test_an_exception_in_a_callback_leaves_the_rest_to_the_next_advance():
    wheel, called = TimerWheel(0), []
    wheel.arm(1, lambda: 1 // 0)
    wheel.arm(2, lambda: called.append(2))
    with pytest.raises(ZeroDivisionError):
        wheel.advance(5)
    assert wheel.advance(6) == 1
    assert called == [2]
    assert len(wheel) == 0


@pytest.mark.parametrize("end", ["expired", "cancelled", "cleared", "wheel gone"])
def test_nothing_is_held_once_a_timer_has_ended(end):
    wheel = TimerWheel(0)
    token = Token()
    gone = weakref.ref(token)
    timer = wheel.arm(10, token)
    del token
    gc.collect()
    assert gone() is not None
    if end == "expired":
        wheel.advance(10)
    elif end == "cancelled":
        timer.cancel()
    else:
        wheel.clear()
    if end == "wheel gone":
        del wheel
    gc.collect()
    assert gone() is None


def test_clear_calls_nothing_and_leaves_nothing():
    wheel = TimerWheel(7)
    timers = [wheel.arm(10**power, pytest.fail) for power in range(15)]
    wheel.clear()
    assert len(wheel) == 0
    assert not any(timer.pending for timer in timers)


def test_a_wheel_goes_on_from_where_it_was_cleared():
    wheel, called = TimerWheel(7), []
    wheel.arm(5, pytest.fail)
    wheel.advance(9)
    wheel.clear()
    assert (wheel.now_ms, wheel.next_ms()) == (9, None)
    wheel.arm(5, lambda: called.append(wheel.now_ms))
    assert (wheel.advance(13), wheel.advance(14)) == (0, 1)
    assert called == [14]


def test_a_callback_may_clear_the_wheel():
    wheel = TimerWheel(0)
    wheel.arm(1, wheel.clear)
    wheel.arm(2, pytest.fail)
    wheel.arm(2_000, pytest.fail)
    assert wheel.advance(5) == 1
    assert wheel.advance(5_000) == 0


def test_next_ms_leads_to_a_deadline_however_far():
    wheel, called = TimerWheel(3), []
    wheel.arm(2**63, lambda: called.append(wheel.now_ms))
    for _ in range(12):
        if (next_ms := wheel.next_ms()) is None:
            break
        wheel.advance(next_ms)
    assert called == [2**63 + 3]


def test_time_does_not_go_back():
    wheel = TimerWheel(100)
    timer = wheel.arm(10, pytest.fail)
    assert wheel.advance(50) == 0
    assert wheel.now_ms == 100
    assert timer.pending


def test_a_negative_delay_and_a_wait_beyond_64_bits_are_refused():
    wheel = TimerWheel(10)
    for delay_ms in (-1, 2**64 - 11, 2**64 - 1, 2**64):
        with pytest.raises(OverflowError):
            wheel.arm(delay_ms, pytest.fail)
    assert len(wheel) == 0


class Machine(Timer):
    """What is a timer itself, and its callback."""

    def __init__(self, wheel):
        self.wheel, self.expired_ms = wheel, []

    def __call__(self):
        self.expired_ms.append(self.wheel.now_ms)
        if len(self.expired_ms) == 1:
            self.wheel.arm(10, self)


def test_a_callback_that_is_a_timer_is_armed_itself():
    wheel = TimerWheel(0)
    machine = Machine(wheel)
    assert wheel.arm(5, machine) is machine
    assert machine.pending
    for now_ms in range(30):
        wheel.advance(now_ms)
    assert machine.expired_ms == [5, 15]
    assert not machine.pending
    assert not machine.cancel()


def test_a_timer_that_is_armed_again_moves():
    wheel, other = TimerWheel(0), TimerWheel(0)
    machine = Machine(wheel)
    for delay_ms in (100, 5, 50):
        wheel.arm(delay_ms, machine)
    assert len(wheel) == 1
    wheel.advance(49)
    other.arm(7, machine)
    assert (len(wheel), len(other)) == (0, 1)
    wheel.advance(1_000)
    assert machine.expired_ms == []
    other.advance(7)
    assert len(machine.expired_ms) == 1


def test_a_timer_of_its_own_is_kept_while_it_is_armed_and_freed_then():
    wheel = TimerWheel(0)
    machine = Machine(wheel)
    references = sys.getrefcount(machine)
    wheel.arm(5, machine)
    wheel.arm(6, machine)
    assert sys.getrefcount(machine) > references
    assert machine.cancel()
    assert sys.getrefcount(machine) == references
    wheel.arm(5, machine)
    wheel.clear()
    assert sys.getrefcount(machine) == references


class Last:
    """A callback whose end does something, as the `finally` of a coroutine that dies with it."""

    def __init__(self, ending):
        self.ending = ending

    def __call__(self) -> None:
        """A callback."""

    def __del__(self):
        self.ending()


def armed_behind_who_arms_it():
    """A timer behind one of the same tick whose end arms it anew; and who refers to it unarmed."""
    wheel = TimerWheel(0)
    machine = Machine(wheel)
    references = sys.getrefcount(machine)
    wheel.arm(5, Last(lambda: wheel.arm(10, machine)))
    wheel.arm(5, machine)
    return wheel, machine, references


def test_a_destructor_of_what_expired_may_arm_the_timer_that_is_next():
    wheel, machine, references = armed_behind_who_arms_it()
    assert wheel.advance(5) == 1
    assert machine.pending
    assert sys.getrefcount(machine) > references
    assert machine.cancel()
    assert sys.getrefcount(machine) == references


def test_a_destructor_may_arm_a_timer_that_is_being_cleared():
    wheel, machine, references = armed_behind_who_arms_it()
    wheel.clear()
    assert (len(wheel), wheel.now_ms, machine.pending) == (1, 0, True)
    wheel.advance(10)
    assert machine.expired_ms == [10]
    assert machine.cancel()  # it arms itself anew
    assert sys.getrefcount(machine) == references


def test_what_a_destructor_arms_while_a_clock_stops_can_be_cancelled():
    clock, armed = WheelClock(pytest.fail), []
    clock.arm(5, Last(lambda: armed.append(clock.arm(10, pytest.fail))))
    clock.stop()
    (timer,) = armed
    assert (len(clock), timer.pending) == (1, True)
    assert timer.cancel()
    assert len(clock) == 0
