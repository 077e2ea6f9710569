"""The C core's choice of a leg's phase against a plain list, for any coming and going of legs."""

import math
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ringwheel._testcore import ffi, lib

PHASES, BURST_US = lib.RW_PHASES, lib.RW_BURST_US


@dataclass(frozen=True)
class Leg:
    """A leg with a slot in ``tick`` and, before and behind it, in every ``ptime_ms``."""

    tick: int
    ptime_ms: int
    cost_us: int

    def visits(self, phase: int) -> bool:
        return (phase - self.tick) % math.gcd(self.ptime_ms, PHASES) == 0


class PhasesAgainstList(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.phases = ffi.new("rw_phases *")
        self.legs: list[Leg] = []

    def load_us(self, phase: int) -> int:
        return sum(leg.cost_us for leg in self.legs if leg.visits(phase))

    def burst_us(self, leg: Leg) -> int:
        """The longest burst that the leg would have a part in, were it there."""
        visited = [phase for phase in range(PHASES) if leg.visits(phase)]
        return max(self.load_us(phase) for phase in visited) + leg.cost_us

    @rule(
        tick=st.integers(1, 10**12),
        ptime_ms=st.one_of(st.sampled_from([10, 20, 30, 40, 60]), st.integers(10, 60)),
        cost_us=st.sampled_from([1, BURST_US // 10, BURST_US // 4, BURST_US, 2 * BURST_US]),
        many=st.sampled_from([1, 5, 40]),
    )
    def come(self, tick: int, ptime_ms: int, cost_us: int, many: int) -> None:
        for _ in range(many):
            chosen = lib.rw_phases_choose(self.phases, tick, ptime_ms, cost_us)
            assert tick <= chosen < tick + PHASES
            leg = Leg(chosen, ptime_ms, cost_us)
            anywhere = [Leg(tick + later, ptime_ms, cost_us) for later in range(PHASES)]
            shortest_us = min(self.burst_us(other) for other in anywhere)
            assert self.burst_us(leg) <= max(BURST_US, shortest_us)
            lib.rw_phases_enter(self.phases, leg.tick, ptime_ms, cost_us)
            self.legs.append(leg)

    @precondition(lambda self: self.legs)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        leg = self.legs.pop(data.draw(st.integers(0, len(self.legs) - 1)))
        lib.rw_phases_leave(self.phases, leg.tick, leg.ptime_ms, leg.cost_us)

    @precondition(lambda self: self.legs)
    @rule(ptime_ms=st.integers(10, 60))
    def agree_on_another_packet_time(self, ptime_ms: int) -> None:
        old = self.legs.pop()
        lib.rw_phases_leave(self.phases, old.tick, old.ptime_ms, old.cost_us)
        leg = Leg(old.tick, ptime_ms, old.cost_us)
        lib.rw_phases_enter(self.phases, leg.tick, leg.ptime_ms, leg.cost_us)
        self.legs.append(leg)

    @precondition(lambda self: self.legs)
    @rule()
    def a_new_one_opens_no_phase_while_there_is_room(self) -> None:
        """What would fit into a phase in use goes into one."""
        chosen = lib.rw_phases_choose(self.phases, 1000, 20, 1)
        if any(0 < self.load_us(phase) < BURST_US for phase in range(PHASES)):
            assert self.load_us(chosen % PHASES) > 0

    @invariant()
    def loads_are_those_of_the_legs(self) -> None:
        assert self.phases.legs == len(self.legs)
        expected = [self.load_us(phase) for phase in range(PHASES)]
        assert list(self.phases.load_us) == expected


TestPhases = PhasesAgainstList.TestCase
TestPhases.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
