"""The C timer wheel against a plain dictionary, for any order of steps and any deadline."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ringwheel._testcore import ffi, lib

NEVER = 2**64 - 1
TIMERS = 12

# Near ones meet in the same slots; edges of levels are powers of 64; the far ones reach 2^63.
delays = st.one_of(
    st.integers(0, 200),
    st.builds(lambda level, off: 64**level + off, st.integers(1, 10), st.integers(-2, 2)),
    st.integers(0, 2**63 - 1),
)
indexes = st.integers(0, TIMERS - 1)


class WheelAgainstDict(RuleBasedStateMachine):
    """``model``: index of each armed timer to the tick in which it has to expire."""

    @initialize(now=st.one_of(st.just(0), st.integers(0, 2**62)))
    def start(self, now: int) -> None:
        self.wheel = ffi.new("rw_wheel *")
        self.timers = ffi.new("rw_timer[]", TIMERS)
        self.model: dict[int, int] = {}
        self.now = now
        lib.rw_wheel_init(self.wheel, now)

    def arm(self, index: int, deadline: int) -> None:
        lib.rw_wheel_arm(self.wheel, self.timers + index, deadline)
        self.model.pop(index, None)  # it comes behind the others now
        self.model[index] = max(deadline, self.now + 1)

    @rule(index=indexes, delay=delays)
    def arm_or_rearm(self, index: int, delay: int) -> None:
        self.arm(index, min(self.now + delay, 2**63))

    @rule(index=indexes, back=st.integers(0, 2**63))
    def arm_in_the_past(self, index: int, back: int) -> None:
        self.arm(index, max(0, self.now - back))

    @rule(index=indexes)
    def cancel(self, index: int) -> None:
        was_armed = self.model.pop(index, None) is not None
        assert lib.rw_wheel_cancel(self.wheel, self.timers + index) == was_armed

    def expire(self, now: int) -> None:
        self.now = now
        lib.rw_wheel_advance(self.wheel, now)

    def popped(self) -> int | None:
        timer = lib.rw_wheel_pop_due(self.wheel)
        return None if timer == ffi.NULL else timer - (self.timers + 0)

    @rule(step=delays)
    def advance(self, step: int) -> None:
        self.expire(max(self.now, min(self.now + step, 2**63)))
        due = {index for index, deadline in self.model.items() if deadline <= self.now}
        found = []
        while (index := self.popped()) is not None:
            found.append(index)
        assert set(found) == due
        for deadline in {self.model[index] for index in found}:  # in the order of arming
            together = [index for index, of_it in self.model.items() if of_it == deadline]
            assert [index for index in found if self.model[index] == deadline] == together
        for index in found:
            del self.model[index]

    @rule(step=delays, cancelled=indexes)
    def cancel_what_is_due(self, step: int, cancelled: int) -> None:
        self.expire(max(self.now, min(self.now + step, 2**63)))
        self.cancel(cancelled)
        self.advance(0)

    @rule(rearmed=indexes, delay=delays)
    def next_tick_leads_to_the_earliest_deadline(self, rearmed: int, delay: int) -> None:
        self.arm_or_rearm(rearmed, delay)
        earliest = min(self.model.values())
        for _ in range(12):  # at most a move per level
            tick = lib.rw_wheel_next_tick(self.wheel)
            assert self.now < tick <= earliest
            self.expire(tick)
            if tick == earliest:
                break
        assert self.now == earliest
        self.advance(0)

    @invariant()
    def holds(self) -> None:
        assert lib.rw_wheel_check(self.wheel) == 0
        assert self.wheel.armed == len(self.model)
        assert self.wheel.now_tick == self.now
        earliest = min(self.model.values(), default=NEVER)
        assert lib.rw_wheel_next_tick(self.wheel) <= earliest


TestWheel = WheelAgainstDict.TestCase
TestWheel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
