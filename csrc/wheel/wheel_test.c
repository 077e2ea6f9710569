#include "wheel/wheel.h"

#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define TIMERS 2000

static void test_expires_at_its_tick(void) {
    static const uint64_t delays[] = {1, 2, 63, 64, 65, 4095, 4096, 262144, 1ull << 40, 1ull << 62};
    for (size_t i = 0; i < RW_LENGTH_OF(delays); i++) {
        rw_wheel wheel;
        rw_timer timer = {0};
        rw_wheel_init(&wheel, 12345);
        rw_wheel_arm(&wheel, &timer, 12345 + delays[i]);
        CHECK(rw_wheel_next_tick(&wheel) <= 12345 + delays[i]);
        rw_wheel_advance(&wheel, 12345 + delays[i] - 1);
        CHECK(!rw_wheel_pop_due(&wheel));
        CHECK_EQUAL(rw_wheel_next_tick(&wheel), 12345 + delays[i]);
        rw_wheel_advance(&wheel, 12345 + delays[i]);
        CHECK(rw_wheel_pop_due(&wheel) == &timer);
        CHECK(!rw_timer_armed(&timer));
        CHECK_EQUAL(rw_wheel_check(&wheel), 0);
    }
}

static void test_past_deadline_expires_at_next_tick(void) {
    rw_wheel wheel;
    rw_timer timer = {0};
    rw_wheel_init(&wheel, 1000);
    rw_wheel_arm(&wheel, &timer, 3);
    CHECK(!rw_wheel_pop_due(&wheel));
    rw_wheel_advance(&wheel, 1001);
    CHECK(rw_wheel_pop_due(&wheel) == &timer);
}

static void test_cancel_of_a_due_timer(void) {
    rw_wheel wheel;
    rw_timer timers[3] = {0};
    rw_wheel_init(&wheel, 0);
    for (int i = 0; i < 3; i++)
        rw_wheel_arm(&wheel, &timers[i], 5);
    rw_wheel_advance(&wheel, 9);
    for (int i = 0; i < 3; i++)
        CHECK(rw_wheel_cancel(&wheel, &timers[i]));
    CHECK(!rw_wheel_cancel(&wheel, &timers[0]));
    CHECK(!rw_wheel_pop_due(&wheel));
    CHECK_EQUAL(rw_wheel_next_tick(&wheel), RW_WHEEL_NEVER);
    CHECK_EQUAL(rw_wheel_check(&wheel), 0);
}

/* However far ahead: it lies on several levels on its way. */
static void test_timers_of_one_tick_expire_in_the_order_in_which_they_were_armed(void) {
    static const uint64_t delays[] = {1, 20, 70, 5000, 300000};
    for (size_t i = 0; i < RW_LENGTH_OF(delays); i++) {
        rw_wheel wheel;
        rw_timer timers[9] = {0};
        rw_wheel_init(&wheel, 1000);
        for (int k = 0; k < 9; k++)
            rw_wheel_arm(&wheel, &timers[k], 1000 + delays[i]);
        for (uint64_t tick = 0; tick < 1000 + delays[i]; tick = rw_wheel_next_tick(&wheel))
            rw_wheel_advance(&wheel, tick);
        rw_wheel_advance(&wheel, 1000 + delays[i]);
        for (int k = 0; k < 9; k++)
            CHECK(rw_wheel_pop_due(&wheel) == &timers[k]);
    }
}

/* --- against a plain model ------------------------------------------------------------------ */

typedef struct modelled {
    rw_timer timer;
    uint64_t deadline_tick;
    uint64_t armed_as; /* counts on with each arming; 0: it is not armed */
} modelled;

static struct {
    rw_wheel wheel;
    modelled timers[TIMERS];
    uint64_t now_tick;
    uint64_t armings;
    unsigned long long seed;
} model;

static uint64_t random_below(uint64_t bound) {
    return check_random(&model.seed) % bound;
}

/* Some are at the border of two levels, some are those of others that were armed at another time.
 */
static uint64_t random_deadline(void) {
    uint64_t reach = 1ull << 6 * random_below(4);
    switch (random_below(3)) {
    case 0:
        return model.now_tick + reach - 1 + random_below(3);
    case 1:
        return (model.now_tick / reach + random_below(4)) * reach + random_below(2);
    default:
        return model.now_tick + random_below(64 * reach);
    }
}

static void model_arm(modelled *timer) {
    uint64_t deadline_tick = random_deadline();
    rw_wheel_arm(&model.wheel, &timer->timer, deadline_tick);
    bool ahead = deadline_tick > model.now_tick;
    timer->deadline_tick = ahead ? deadline_tick : model.now_tick + 1;
    timer->armed_as = ++model.armings;
}

static void model_cancel(modelled *timer) {
    CHECK_EQUAL(rw_wheel_cancel(&model.wheel, &timer->timer), timer->armed_as != 0);
    timer->armed_as = 0;
}

static bool is_before(const modelled *one, const modelled *other) {
    if (one->deadline_tick != other->deadline_tick)
        return one->deadline_tick < other->deadline_tick;
    return one->armed_as < other->armed_as;
}

/* The one to expire next, or NULL. */
static modelled *next_to_expire(void) {
    modelled *next = NULL;
    for (modelled *timer = model.timers; timer < model.timers + TIMERS; timer++)
        if (timer->armed_as && (!next || is_before(timer, next))) next = timer;
    return next;
}

static void check_next_tick(void) {
    const modelled *next = next_to_expire();
    uint64_t next_tick = rw_wheel_next_tick(&model.wheel);
    if (!next)
        CHECK_EQUAL(next_tick, RW_WHEEL_NEVER);
    else if (next->deadline_tick <= model.now_tick)
        CHECK_EQUAL(next_tick, model.now_tick);
    else
        CHECK(next_tick > model.now_tick && next_tick <= next->deadline_tick);
}

static void model_advance(void) {
    static const uint64_t steps[] = {3, 100, 5000, 300000};
    uint64_t next_tick = rw_wheel_next_tick(&model.wheel);
    if (next_tick != RW_WHEEL_NEVER && random_below(2))
        model.now_tick = next_tick;
    else
        model.now_tick += random_below(steps[random_below(RW_LENGTH_OF(steps))]);
    rw_wheel_advance(&model.wheel, model.now_tick);
    CHECK_EQUAL(rw_wheel_check(&model.wheel), 0);
}

/* What a timer that expires has its owner do may be to arm it, or another, anew. */
static void model_pop(void) {
    modelled *next = next_to_expire();
    bool due = next && next->deadline_tick <= model.now_tick;
    CHECK(rw_wheel_pop_due(&model.wheel) == (due ? &next->timer : NULL));
    if (!due) return;
    next->armed_as = 0;
    if (random_below(2)) model_arm(next);
}

/* Timers are armed, moved and cancelled, also while some are due, and time goes by. */
static void test_random_against_a_model(uint64_t start_tick) {
    memset(&model, 0, sizeof(model));
    model.seed = 42;
    model.now_tick = start_tick;
    rw_wheel_init(&model.wheel, start_tick);
    for (int round = 0; round < 60000; round++) {
        modelled *timer = &model.timers[random_below(TIMERS)];
        uint64_t action = random_below(8);
        if (action < 3)
            model_arm(timer);
        else if (action < 4)
            model_cancel(timer);
        else if (action < 5)
            model_advance();
        else
            model_pop();
        if (round % 16 == 0) check_next_tick();
    }
}

int main(void) {
    test_expires_at_its_tick();
    test_past_deadline_expires_at_next_tick();
    test_cancel_of_a_due_timer();
    test_timers_of_one_tick_expire_in_the_order_in_which_they_were_armed();
    test_random_against_a_model(0);
    test_random_against_a_model(UINT64_MAX / 2 - 50000000); /* crosses one of every level */
    return 0;
}
