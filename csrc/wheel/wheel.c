#include "wheel/wheel.h"

#define SLOT_BITS 6

static uint64_t rotate_right(uint64_t bits, uint64_t by) {
    by &= 63;
    return by ? (bits >> by) | (bits << (64 - by)) : bits;
}

static unsigned slot_of(uint64_t tick, unsigned level) {
    return (unsigned)(tick >> (level * SLOT_BITS)) & (RW_WHEEL_SLOTS - 1);
}

/* The tick in which the slot of a deadline begins. */
static uint64_t start_of(uint64_t deadline_tick, unsigned level) {
    return deadline_tick >> (level * SLOT_BITS) << (level * SLOT_BITS);
}

/* The finest level that reaches so far: 64 ticks the first, 64 times as much each one above. */
static unsigned level_of(uint64_t delay_ticks) {
    return (63u - (unsigned)__builtin_clzll((delay_ticks - 1) | 1)) / SLOT_BITS;
}

/* --- lists -------------------------------------------------------------------------------- */

static void init_list(rw_wheel_list *list) {
    list->first = NULL;
    list->end = &list->first;
}

static void append(rw_wheel_list *list, rw_timer *timer) {
    timer->next = NULL;
    timer->link = list->end;
    *list->end = timer;
    list->end = &timer->next;
}

static void prepend(rw_wheel_list *list, rw_timer *timer) {
    timer->next = list->first;
    timer->link = &list->first;
    if (timer->next)
        timer->next->link = &timer->next;
    else
        list->end = &timer->next;
    list->first = timer;
}

/* Hooks all of `from` in behind `to`, looking at the first alone. */
static void append_all(rw_wheel_list *to, rw_wheel_list *from) {
    if (!from->first) return;
    from->first->link = to->end;
    *to->end = from->first;
    to->end = from->end;
    init_list(from);
}

/* Empties a list; what was in it comes back last first. */
static rw_timer *take_reversed(rw_wheel_list *list) {
    rw_timer *reversed = NULL;
    for (rw_timer *timer = list->first, *next; timer; timer = next) {
        next = timer->next;
        timer->next = reversed;
        reversed = timer;
    }
    init_list(list);
    return reversed;
}

/* --- the wheel ---------------------------------------------------------------------------- */

void rw_wheel_init(rw_wheel *wheel, uint64_t now_tick) {
    *wheel = (rw_wheel){.now_tick = now_tick};
    for (unsigned i = 0; i < RW_WHEEL_LEVELS * RW_WHEEL_SLOTS; i++)
        init_list(&wheel->slots[i]);
    init_list(&wheel->due);
}

/* Notes in which slot a timer belongs, whose deadline lies ahead. */
static rw_wheel_list *place(rw_wheel *wheel, rw_timer *timer) {
    unsigned level = level_of(timer->deadline_tick - wheel->now_tick);
    unsigned slot = slot_of(timer->deadline_tick, level);
    timer->place = (uint16_t)(level * RW_WHEEL_SLOTS + slot);
    wheel->occupied[level] |= 1ull << slot;
    return &wheel->slots[timer->place];
}

static void unlink_timer(rw_wheel *wheel, rw_timer *timer) {
    bool due = timer->deadline_tick <= wheel->now_tick;
    rw_wheel_list *list = due ? &wheel->due : &wheel->slots[timer->place];
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    else
        list->end = timer->link;
    if (!due && !list->first)
        wheel->occupied[timer->place / RW_WHEEL_SLOTS] &= ~(1ull << timer->place % RW_WHEEL_SLOTS);
    timer->next = NULL;
    timer->link = NULL;
    wheel->armed--;
}

void rw_wheel_arm(rw_wheel *wheel, rw_timer *timer, uint64_t deadline_tick) {
    if (timer->link) unlink_timer(wheel, timer);
    timer->deadline_tick = deadline_tick > wheel->now_tick ? deadline_tick : wheel->now_tick + 1;
    append(place(wheel, timer), timer);
    wheel->armed++;
}

bool rw_wheel_cancel(rw_wheel *wheel, rw_timer *timer) {
    if (!timer->link) return false;
    unlink_timer(wheel, timer);
    return true;
}

/* The tick in which the next slot of a level begins that holds a timer; RW_WHEEL_NEVER. */
static uint64_t next_start(const rw_wheel *wheel, unsigned level) {
    if (!wheel->occupied[level]) return RW_WHEEL_NEVER;
    /* What a level holds begins after the present, and within one turn of it. */
    uint64_t next = (wheel->now_tick >> (level * SLOT_BITS)) + 1;
    next += (unsigned)__builtin_ctzll(rotate_right(wheel->occupied[level], next));
    return next << (level * SLOT_BITS);
}

/* The same of all levels whose timers have to move down before they expire. */
static uint64_t next_move(const rw_wheel *wheel) {
    uint64_t earliest = RW_WHEEL_NEVER;
    for (unsigned level = 1; level < RW_WHEEL_LEVELS; level++) {
        uint64_t start = next_start(wheel, level);
        if (start < earliest) earliest = start;
    }
    return earliest;
}

uint64_t rw_wheel_next_tick(const rw_wheel *wheel) {
    if (wheel->due.first) return wheel->now_tick;
    uint64_t expires = next_start(wheel, 0), moves = next_move(wheel);
    return expires < moves ? expires : moves;
}

/* Timers of the slots that begin at `start_tick`, the tick after the present, move down. They were
 * armed before those that lie there already, and those of a coarser level before the others. */
static void move_down(rw_wheel *wheel, uint64_t start_tick) {
    for (unsigned level = 1; level < RW_WHEEL_LEVELS; level++) {
        if (next_start(wheel, level) != start_tick) continue;
        unsigned slot = slot_of(start_tick, level);
        wheel->occupied[level] &= ~(1ull << slot);
        rw_timer *timer = take_reversed(&wheel->slots[level * RW_WHEEL_SLOTS + slot]);
        for (rw_timer *next; timer; timer = next) {
            next = timer->next;
            prepend(place(wheel, timer), timer);
        }
    }
}

/* Timers of the finest level up to `tick` become due. */
static void expire(rw_wheel *wheel, uint64_t tick) {
    while (wheel->occupied[0]) {
        uint64_t next_tick = next_start(wheel, 0);
        if (next_tick > tick) break;
        unsigned slot = slot_of(next_tick, 0);
        wheel->occupied[0] &= ~(1ull << slot);
        append_all(&wheel->due, &wheel->slots[slot]);
    }
    wheel->now_tick = tick;
}

void rw_wheel_advance(rw_wheel *wheel, uint64_t now_tick) {
    while (wheel->now_tick < now_tick) {
        uint64_t start_tick = next_move(wheel);
        bool moves = start_tick != RW_WHEEL_NEVER && start_tick <= now_tick;
        expire(wheel, moves ? start_tick - 1 : now_tick);
        if (moves) move_down(wheel, start_tick);
    }
}

rw_timer *rw_wheel_pop_due(rw_wheel *wheel) {
    rw_timer *timer = wheel->due.first;
    if (timer) unlink_timer(wheel, timer);
    return timer;
}

/* --- invariants --------------------------------------------------------------------------- */

static int check_list(const rw_wheel_list *list, size_t *count) {
    rw_timer *const *link = &list->first;
    for (; *link; link = &(*link)->next, ++*count)
        if ((*link)->link != link) return __LINE__;
    return link == list->end ? 0 : __LINE__;
}

static int check_slot(const rw_wheel *wheel, unsigned level, unsigned slot, size_t *count) {
    unsigned place_index = level * RW_WHEEL_SLOTS + slot;
    const rw_wheel_list *list = &wheel->slots[place_index];
    bool occupied = wheel->occupied[level] >> slot & 1;
    if (occupied != (list->first != NULL)) return __LINE__;
    for (const rw_timer *timer = list->first; timer; timer = timer->next) {
        if (timer->place != place_index) return __LINE__;
        if (timer->deadline_tick <= wheel->now_tick) return __LINE__;
        if (slot_of(timer->deadline_tick, level) != slot) return __LINE__;
        if (start_of(timer->deadline_tick, level) <= wheel->now_tick) return __LINE__;
        if (level_of(timer->deadline_tick - wheel->now_tick) > level) return __LINE__;
    }
    return check_list(list, count);
}

static int check_due(const rw_wheel *wheel, size_t *count) {
    uint64_t before = 0;
    for (const rw_timer *timer = wheel->due.first; timer; timer = timer->next) {
        if (timer->deadline_tick > wheel->now_tick) return __LINE__;
        if (timer->deadline_tick < before) return __LINE__;
        before = timer->deadline_tick;
    }
    return check_list(&wheel->due, count);
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
