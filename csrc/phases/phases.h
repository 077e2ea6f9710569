/*
 * Phases: in which ticks of the 20 ms a shard's legs have their slots.
 *
 * Each tick in which a leg is due wakes the shard, and what it wakes to, it finds in no cache. So
 * legs share ticks: a phase is filled before the next one is opened, up to a burst that is short
 * beside the tick. Phases are opened evenly over the 20 ms. Once no phase has room all are open,
 * and legs are spread over them evenly.
 *
 * A leg keeps its phase while it lives: to move it would make a packet early or late. So phases
 * that legs have left are filled first.
 *
 * No clock, no legs: whoever calls says what comes and goes.
 */
#ifndef RW_PHASES_H
#define RW_PHASES_H

#include <stdint.h>

/* Nearly all legs have a slot in every 20 ms. One with another packet time visits every phase that
 * its slots fall into as the time goes on, and is counted in full in each. */
#define RW_PHASES 20

/* What the legs of a phase may take together. */
#define RW_BURST_US 500

/* Estimates of what a slot takes: a packet out; packets in, and what is made of them; and, where a
 * codec is more than a table (Opus), decoding and encoding. */
#define RW_SLOT_SEND_US 6
#define RW_SLOT_HEAR_US 6
#define RW_SLOT_CODE_US 90

typedef struct rw_phases {
    uint32_t load_us[RW_PHASES]; /* what the legs in each take, at most */
    uint32_t legs;
    uint32_t first; /* the phase of the first leg, which the others are opened behind */
} rw_phases;

/* The tick from `from_tick` on in which a leg best has its first slot. */
uint64_t rw_phases_choose(const rw_phases *phases, uint64_t from_tick, unsigned ptime_ms,
                          uint32_t cost_us);

/* A leg with a slot in `tick`, which takes `cost_us`, comes or goes. */
void rw_phases_enter(rw_phases *phases, uint64_t tick, unsigned ptime_ms, uint32_t cost_us);
void rw_phases_leave(rw_phases *phases, uint64_t tick, unsigned ptime_ms, uint32_t cost_us);

#endif
