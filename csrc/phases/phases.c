#include "phases/phases.h"

/* The order in which phases are opened: each as far from those before it as may be. */
static const uint8_t opened[RW_PHASES] = {0, 10, 5, 15, 2, 12, 7, 17, 4, 14,
                                          9, 19, 1, 11, 6, 16, 3, 13, 8, 18};

/* A leg's slots visit every `step`-th phase: the greatest common divisor of both cycles. */
static unsigned step_of(unsigned ptime_ms) {
    unsigned a = ptime_ms, b = RW_PHASES;
    while (b) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint32_t most_loaded_us(const rw_phases *phases, unsigned phase, unsigned step) {
    uint32_t most_us = 0;
    for (phase %= step; phase < RW_PHASES; phase += step)
        if (phases->load_us[phase] > most_us) most_us = phases->load_us[phase];
    return most_us;
}

/* The first phase in use that has room, in the order in which they are opened; else the lightest:
 * the next to be opened, or the least full. */
static unsigned choose_phase(const rw_phases *phases, unsigned step, uint32_t cost_us) {
    unsigned lightest = 0;
    uint32_t least_us = UINT32_MAX;
    for (unsigned i = 0; i < RW_PHASES; i++) {
        unsigned phase = (phases->first + opened[i]) % RW_PHASES;
        uint32_t load_us = most_loaded_us(phases, phase, step);
        if (load_us && load_us + cost_us <= RW_BURST_US) return phase;
        if (load_us >= least_us) continue;
        least_us = load_us;
        lightest = phase;
    }
    return lightest;
}

uint64_t rw_phases_choose(const rw_phases *phases, uint64_t from_tick, unsigned ptime_ms,
                          uint32_t cost_us) {
    if (!phases->legs) return from_tick;
    unsigned step = step_of(ptime_ms);
    unsigned phase = choose_phase(phases, step, cost_us);
    return from_tick + (phase % step + step - from_tick % step) % step;
}

void rw_phases_enter(rw_phases *phases, uint64_t tick, unsigned ptime_ms, uint32_t cost_us) {
    unsigned step = step_of(ptime_ms);
    if (!phases->legs++) phases->first = tick % RW_PHASES;
    for (unsigned phase = tick % step; phase < RW_PHASES; phase += step)
        phases->load_us[phase] += cost_us;
}

void rw_phases_leave(rw_phases *phases, uint64_t tick, unsigned ptime_ms, uint32_t cost_us) {
    unsigned step = step_of(ptime_ms);
    phases->legs--;
    for (unsigned phase = tick % step; phase < RW_PHASES; phase += step)
        phases->load_us[phase] -= cost_us;
}
