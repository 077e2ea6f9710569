/*
 * Timer wheel: hierarchical, O(1) arm and cancel, any 64-bit deadline, no clock of its own.
 *
 * Time is a count of ticks that the caller passes in; the shard and the SIP layers use 1 ms ticks.
 * Eleven levels of 64 slots cover every 64-bit deadline, each level 64 times coarser:
 *
 *   level   slot width   reaches (1 ms ticks)
 *     0          1 ms          64 ms
 *     1         64 ms         4.1 s
 *     2        4.1 s          4.4 min
 *     3        4.4 min        4.7 h
 *     4        4.7 h         12.4 days
 *    ...
 *    10         36 million years
 *
 * A timer lies on the finest level that reaches as far as its deadline was away when it was armed,
 * and moves down as its slot comes up: at most ten moves in a life, whatever the deadline, and none
 * for one of up to 64 ticks. A deadline is exact: a timer expires in the advance that reaches its
 * tick, never before. Timers expire in the order of their deadlines, and those of one tick in the
 * order in which they were armed: of one tick's, those on a coarser level were armed before those
 * on a finer one.
 *
 * The timers of a tick become due in one piece: none of them is looked at before its turn. There
 * may be hundreds, each in memory that no cache holds.
 *
 * Not thread-safe: one thread owns a wheel.
 */
#ifndef RW_WHEEL_H
#define RW_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_WHEEL_LEVELS 11
#define RW_WHEEL_SLOTS 64

/* A timer, embedded in the caller's structure, which owns it. Zero it before first use. */
typedef struct rw_timer {
    struct rw_timer *next;
    struct rw_timer **link; /* what points at this timer; NULL while not armed */
    uint64_t deadline_tick;
    uint16_t place; /* level * 64 + slot, while the deadline lies ahead */
} rw_timer;

/* Timers in their order. */
typedef struct rw_wheel_list {
    rw_timer *first;
    rw_timer **end; /* where the next one is hooked in */
} rw_wheel_list;

typedef struct rw_wheel {
    uint64_t now_tick;
    size_t armed;
    uint64_t occupied[RW_WHEEL_LEVELS]; /* bit per slot that holds a timer */
    rw_wheel_list slots[RW_WHEEL_LEVELS * RW_WHEEL_SLOTS];
    rw_wheel_list due;
} rw_wheel;

/* No timer is armed: what rw_wheel_next_tick returns then. */
#define RW_WHEEL_NEVER UINT64_MAX

void rw_wheel_init(rw_wheel *wheel, uint64_t now_tick);

/* Arms `timer`, or moves it if it is armed. A deadline that is not in the future expires at the
 * next tick, so that a timer that arms itself anew cannot hold an advance for ever. */
void rw_wheel_arm(rw_wheel *wheel, rw_timer *timer, uint64_t deadline_tick);

/* Takes `timer` back; true if it was armed, or due and not yet popped. */
bool rw_wheel_cancel(rw_wheel *wheel, rw_timer *timer);

static inline bool rw_timer_armed(const rw_timer *timer) {
    return timer->link != NULL;
}

/* Moves time on to `now_tick` (never back); timers reached become due, earliest first. */
void rw_wheel_advance(rw_wheel *wheel, uint64_t now_tick);

/* Takes the next due timer off the wheel, or NULL. The caller may arm it anew at once. */
rw_timer *rw_wheel_pop_due(rw_wheel *wheel);

/* A tick not later than the earliest deadline at which advancing does something: the next deadline
 * itself when it lies on level 0, else the start of its slot. RW_WHEEL_NEVER if none is armed. */
uint64_t rw_wheel_next_tick(const rw_wheel *wheel);

/* Walks the whole wheel; 0 if every invariant holds, else the line number of the broken one. */
int rw_wheel_check(const rw_wheel *wheel);

#endif
