"""`TimerWheel`: the C wheel as Python sees it."""

from __future__ import annotations

import gc
import weakref

import pytest
from ringwheel.media._core import TimerWheel


def test_expires_at_its_time_and_never_before():
    wheel, called = TimerWheel(1000), []
    timer = wheel.arm(500, lambda: called.append("late"))
    wheel.arm(20, lambda: called.append("soon"))
    assert (len(wheel), timer.pending) == (2, True)
    assert wheel.advance(1499) == 1
    assert called == ["soon"]
    assert wheel.next_ms() == 1500
    assert wheel.advance(1500) == 1
    assert called == ["soon", "late"]
    assert (wheel.next_ms(), timer.pending, timer.cancel()) == (None, False, False)


def test_cancelled_is_not_called():
    wheel, called = TimerWheel(0), []
    timer = wheel.arm(10, lambda: called.append(1))
    assert timer.cancel()
    assert not timer.cancel()
    assert wheel.advance(100) == 0
    assert not called


def test_a_callback_may_cancel_another_that_is_due_too():
    wheel, called = TimerWheel(0), []
    timers = []
    for number in range(2):

        def expire(number=number):
            called.append(number)
            timers[1 - number].cancel()

        timers.append(wheel.arm(5, expire))
    wheel.advance(5)
    assert len(called) == 1


def test_a_callback_that_arms_again_waits_for_the_next_tick():
    wheel, called = TimerWheel(0), []

    def again():
        called.append(wheel.now_ms)
        if len(called) < 3:
            wheel.arm(0, again)

    wheel.arm(1, again)
    for now_ms in range(1, 10):
        wheel.advance(now_ms)
    assert called == [1, 2, 3]


def test_what_a_callback_raises_reaches_the_caller_and_costs_no_other_timer():
    wheel, called = TimerWheel(0), []

    def broken():
        raise RuntimeError("bug")

    wheel.arm(5, broken)
    wheel.arm(5, lambda: called.append(1))
    wheel.arm(5, lambda: called.append(2))
    for _ in range(3):
        try:
            wheel.advance(6)
        except RuntimeError:
            break
    else:
        pytest.fail("the exception was swallowed")
    wheel.advance(7)
    assert len(wheel) == 0
    assert len(called) == 2


@pytest.mark.parametrize("ending", ["expire", "cancel", "clear"])
def test_callback_and_wheel_are_released(ending):
    class Owner:
        def expire(self):
            pass

    owner, wheel = Owner(), TimerWheel(0)
    timer = wheel.arm(5, owner.expire)
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is not None
    if ending == "expire":
        wheel.advance(5)
    elif ending == "cancel":
        timer.cancel()
    else:
        wheel.clear()
    assert alive() is None
    assert len(wheel) == 0
