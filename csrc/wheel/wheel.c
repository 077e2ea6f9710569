#include "wheel/wheel.h"

#define SLOT_BITS 6
#define RW_WHEEL_DUE UINT16_MAX

static uint64_t rotate_left(uint64_t bits, unsigned by) {
    by &= 63;
    return by ? (bits << by) | (bits >> (64 - by)) : bits;
}

static unsigned slot_of(uint64_t tick, unsigned level) {
    return (unsigned)(tick >> (level * SLOT_BITS)) & (RW_WHEEL_SLOTS - 1);
}

/* The level of the highest bit in which two different ticks differ. */
static unsigned level_between(uint64_t now_tick, uint64_t deadline_tick) {
    return (63u - (unsigned)__builtin_clzll(now_tick ^ deadline_tick)) / SLOT_BITS;
}

static void place(rw_wheel *wheel, rw_timer *timer) {
    unsigned level = level_between(wheel->now_tick, timer->deadline_tick);
    unsigned slot = slot_of(timer->deadline_tick, level);
    timer->place = (uint16_t)(level * RW_WHEEL_SLOTS + slot);
    rw_timer **head = &wheel->slots[timer->place];
    timer->next = *head;
    timer->link = head;
    if (timer->next) timer->next->link = &timer->next;
    *head = timer;
    wheel->occupied[level] |= 1ull << slot;
}

static void append_due(rw_wheel *wheel, rw_timer *timer) {
    timer->place = RW_WHEEL_DUE;
    timer->next = NULL;
    timer->link = wheel->due_end;
    *wheel->due_end = timer;
    wheel->due_end = &timer->next;
}

static void unlink_timer(rw_wheel *wheel, rw_timer *timer) {
    *timer->link = timer->next;
    if (timer->next) timer->next->link = timer->link;
    if (timer->place == RW_WHEEL_DUE) {
        if (!timer->next) wheel->due_end = timer->link;
    } else if (!wheel->slots[timer->place]) {
        wheel->occupied[timer->place / RW_WHEEL_SLOTS] &= ~(1ull << timer->place % RW_WHEEL_SLOTS);
    }
    timer->next = NULL;
    timer->link = NULL;
    wheel->armed--;
}

void rw_wheel_init(rw_wheel *wheel, uint64_t now_tick) {
    *wheel = (rw_wheel){.now_tick = now_tick};
    wheel->due_end = &wheel->due;
}

void rw_wheel_arm(rw_wheel *wheel, rw_timer *timer, uint64_t deadline_tick) {
    if (timer->link) unlink_timer(wheel, timer);
    timer->deadline_tick = deadline_tick > wheel->now_tick ? deadline_tick : wheel->now_tick + 1;
    place(wheel, timer);
    wheel->armed++;
}

bool rw_wheel_cancel(rw_wheel *wheel, rw_timer *timer) {
    if (!timer->link) return false;
    unlink_timer(wheel, timer);
    return true;
}

/* Slots of `level` whose start lies in (from_tick, to_tick]. */
static uint64_t slots_passed(unsigned level, uint64_t from_tick, uint64_t to_tick) {
    uint64_t from = from_tick >> (level * SLOT_BITS);
    uint64_t count = (to_tick >> (level * SLOT_BITS)) - from;
    if (count >= RW_WHEEL_SLOTS) return ~0ull;
    return rotate_left((1ull << count) - 1, (unsigned)(from + 1));
}

/* Turns a slot's timers round: the one that was armed last comes first in it. */
static rw_timer *oldest_first(rw_timer *timer) {
    rw_timer *turned = NULL;
    while (timer) {
        rw_timer *next = timer->next;
        timer->next = turned;
        turned = timer;
        timer = next;
    }
    return turned;
}

/* Empties one slot: what has been reached becomes due, the rest moves to a finer level. */
static void empty_slot(rw_wheel *wheel, unsigned level, unsigned slot) {
    rw_timer *timer = oldest_first(wheel->slots[level * RW_WHEEL_SLOTS + slot]);
    wheel->slots[level * RW_WHEEL_SLOTS + slot] = NULL;
    wheel->occupied[level] &= ~(1ull << slot);
    while (timer) {
        rw_timer *next = timer->next;
        if (timer->deadline_tick <= wheel->now_tick)
            append_due(wheel, timer);
        else
            place(wheel, timer);
        timer = next;
    }
}

void rw_wheel_advance(rw_wheel *wheel, uint64_t now_tick) {
    uint64_t from_tick = wheel->now_tick;
    if (now_tick <= from_tick) return;
    wheel->now_tick = now_tick;
    for (unsigned level = 0; level < RW_WHEEL_LEVELS; level++) {
        uint64_t passed = slots_passed(level, from_tick, now_tick) & wheel->occupied[level];
        unsigned first = slot_of(from_tick, level) + 1;
        for (passed = rotate_left(passed, 64 - (first & 63)); passed; passed &= passed - 1)
            empty_slot(wheel, level, (first + (unsigned)__builtin_ctzll(passed)) & 63);
        if (from_tick >> (level * SLOT_BITS) == now_tick >> (level * SLOT_BITS)) break;
    }
}

rw_timer *rw_wheel_pop_due(rw_wheel *wheel) {
    rw_timer *timer = wheel->due;
    if (timer) unlink_timer(wheel, timer);
    return timer;
}

uint64_t rw_wheel_next_tick(const rw_wheel *wheel) {
    if (wheel->due) return wheel->now_tick;
    for (unsigned level = 0; level < RW_WHEEL_LEVELS; level++) {
        if (!wheel->occupied[level]) continue;
        /* Every timer of a level lies behind the present slot and before the level's end, and
         * before all timers of coarser levels: the first occupied slot is the earliest. */
        unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
        uint64_t tick = wheel->now_tick >> (level * SLOT_BITS);
        return ((tick & ~63ull) | slot) << (level * SLOT_BITS);
    }
    return RW_WHEEL_NEVER;
}

static int check_slot(const rw_wheel *wheel, unsigned level, unsigned slot, size_t *count) {
    unsigned place_index = level * RW_WHEEL_SLOTS + slot;
    rw_timer *const *link = &wheel->slots[place_index];
    bool occupied = wheel->occupied[level] >> slot & 1;
    if (occupied != (*link != NULL)) return __LINE__;
    for (; *link; link = &(*link)->next, ++*count) {
        const rw_timer *timer = *link;
        if (timer->link != link) return __LINE__;
        if (timer->place != place_index) return __LINE__;
        if (timer->deadline_tick <= wheel->now_tick) return __LINE__;
        if (slot_of(timer->deadline_tick, level) != slot) return __LINE__;
        if (level_between(wheel->now_tick, timer->deadline_tick) != level) return __LINE__;
    }
    return 0;
}

static int check_due(const rw_wheel *wheel, size_t *count) {
    rw_timer *const *link = &wheel->due;
    for (; *link; link = &(*link)->next, ++*count) {
        if ((*link)->link != link || (*link)->place != RW_WHEEL_DUE) return __LINE__;
        if ((*link)->deadline_tick > wheel->now_tick) return __LINE__;
    }
    return link == wheel->due_end ? 0 : __LINE__;
}

int rw_wheel_check(const rw_wheel *wheel) {
    size_t count = 0;
    int broken = check_due(wheel, &count);
    for (unsigned level = 0; level < RW_WHEEL_LEVELS && !broken; level++)
        for (unsigned slot = 0; slot < RW_WHEEL_SLOTS && !broken; slot++)
            broken = check_slot(wheel, level, slot, &count);
    if (!broken && count != wheel->armed) return __LINE__;
    return broken;
}
