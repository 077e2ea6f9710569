#include "phases/phases.h"

#include <stdbool.h>

#include "base/base.h"
#include "test/check.h"

#define FULL 10 /* legs that fill a phase */
#define COST_US (RW_BURST_US / FULL)
#define MAX_LEGS 600

typedef struct member {
    uint64_t tick;
    unsigned ptime_ms;
    uint32_t cost_us;
} member;

static rw_phases phases;

static member join(uint64_t from_tick, unsigned ptime_ms, uint32_t cost_us) {
    uint64_t tick = rw_phases_choose(&phases, from_tick, ptime_ms, cost_us);
    CHECK(tick >= from_tick && tick < from_tick + RW_PHASES);
    rw_phases_enter(&phases, tick, ptime_ms, cost_us);
    return (member){tick, ptime_ms, cost_us};
}

static void leave(const member *leg) {
    rw_phases_leave(&phases, leg->tick, leg->ptime_ms, leg->cost_us);
}

static unsigned phase_of(const member *leg) {
    return leg->tick % RW_PHASES;
}

static unsigned open_phases(void) {
    unsigned count = 0;
    for (int i = 0; i < RW_PHASES; i++)
        if (phases.load_us[i]) count++;
    return count;
}

static void test_the_first_leg_begins_at_once_and_others_share_its_phase(void) {
    phases = (rw_phases){0};
    for (int i = 0; i < FULL; i++) {
        member leg = join(1007 + 31u * (unsigned)i, 20, COST_US);
        CHECK_EQUAL(leg.tick % 20, 7);
        if (!i) CHECK_EQUAL(leg.tick, 1007);
    }
    CHECK_EQUAL(phases.load_us[7], RW_BURST_US);
    CHECK_EQUAL(join(2000, 20, COST_US).tick, 2017); /* half the time away */
}

static void test_phases_are_opened_evenly(void) {
    for (unsigned count = 1; count <= RW_PHASES; count *= 2) {
        phases = (rw_phases){0};
        for (unsigned i = 0; i < count * FULL; i++)
            join(3, 20, COST_US);
        CHECK_EQUAL(open_phases(), count);
        unsigned gap = 0;
        for (unsigned i = 0; i < 2 * RW_PHASES; i++) {
            gap = phases.load_us[i % RW_PHASES] ? 0 : gap + 1;
            CHECK(gap <= RW_PHASES / count);
        }
    }
}

static void test_when_all_are_full_legs_are_spread_evenly(void) {
    phases = (rw_phases){0};
    for (unsigned i = 0; i < 3 * RW_PHASES * FULL; i++)
        join(i, 20, COST_US);
    for (int i = 0; i < RW_PHASES; i++)
        CHECK_EQUAL(phases.load_us[i], 3 * RW_BURST_US);
}

static void test_what_legs_have_left_is_filled_first(void) {
    static member legs[3 * FULL];
    phases = (rw_phases){0};
    for (unsigned i = 0; i < 3 * FULL; i++)
        legs[i] = join(100, 20, COST_US);
    leave(&legs[2 * FULL]);
    leave(&legs[3]);
    leave(&legs[FULL]);
    member first = join(200, 20, COST_US), second = join(200, 20, COST_US);
    CHECK_EQUAL(phase_of(&first), phase_of(&legs[3]));
    CHECK_EQUAL(phase_of(&second), phase_of(&legs[FULL]));
}

static void test_other_packet_times_count_wherever_they_come(void) {
    static const struct {
        unsigned ptime_ms, phases;
    } cases[] = {{10, 2}, {17, 20}, {20, 1}, {30, 2}, {40, 1}, {60, 1}};
    for (size_t i = 0; i < RW_LENGTH_OF(cases); i++) {
        phases = (rw_phases){0};
        member leg = join(5, cases[i].ptime_ms, COST_US);
        CHECK_EQUAL(open_phases(), cases[i].phases);
        for (uint64_t tick = leg.tick; tick < 1200; tick += leg.ptime_ms)
            CHECK_EQUAL(phases.load_us[tick % RW_PHASES], COST_US);
        leave(&leg);
        CHECK_EQUAL(open_phases(), 0);
    }
}

/* Legs of all kinds come and go: none joins a burst that becomes too long while it could have gone
 * elsewhere, and nothing is left behind. */
static void test_random_legs(void) {
    static const unsigned ptimes_ms[] = {10, 20, 20, 20, 30, 40, 60};
    static member legs[MAX_LEGS];
    unsigned long long seed = 7;
    size_t count = 0;
    phases = (rw_phases){0};
    for (uint64_t tick = 1; tick < 20000; tick++) {
        unsigned want = (unsigned)(tick / 2500 % 2 ? 1 : 3); /* many come, then many go */
        if (count < MAX_LEGS && check_random(&seed) % 4 < want) {
            uint32_t least_us = UINT32_MAX, cost_us = 1 + (uint32_t)(check_random(&seed) % 100);
            for (int i = 0; i < RW_PHASES; i++)
                if (phases.load_us[i] < least_us) least_us = phases.load_us[i];
            legs[count] = join(tick, ptimes_ms[check_random(&seed) % 7], cost_us);
            uint32_t load_us = phases.load_us[phase_of(&legs[count])];
            if (legs[count++].ptime_ms % 20 == 0)
                CHECK(load_us <= RW_BURST_US || load_us == least_us + cost_us);
        } else if (count) {
            size_t gone = check_random(&seed) % count;
            leave(&legs[gone]);
            legs[gone] = legs[--count];
        }
        CHECK_EQUAL(phases.legs, count);
    }
    while (count)
        leave(&legs[--count]);
    CHECK_EQUAL(open_phases(), 0);
}

int main(void) {
    test_the_first_leg_begins_at_once_and_others_share_its_phase();
    test_phases_are_opened_evenly();
    test_when_all_are_full_legs_are_spread_evenly();
    test_what_legs_have_left_is_filled_first();
    test_other_packet_times_count_wherever_they_come();
    test_random_legs();
    return 0;
}
