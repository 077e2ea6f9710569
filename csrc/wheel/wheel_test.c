#include "wheel/wheel.h"

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

static void test_random_against_deadlines(void) {
    static rw_timer timers[TIMERS];
    rw_wheel wheel;
    unsigned long long seed = 42;
    uint64_t now_tick = UINT64_MAX / 2 - 70000; /* crosses a boundary of every level */
    rw_wheel_init(&wheel, now_tick);
    for (int round = 0; round < 20000; round++) {
        rw_timer *timer = &timers[check_random(&seed) % TIMERS];
        uint64_t action = check_random(&seed) % 4;
        if (action == 0) rw_wheel_cancel(&wheel, timer);
        if (action == 1) rw_wheel_arm(&wheel, timer, now_tick + check_random(&seed) % 70000);
        if (action == 2) rw_wheel_arm(&wheel, timer, now_tick + check_random(&seed) % 40);
        if (action < 3) continue;
        uint64_t before = now_tick;
        now_tick += check_random(&seed) % 30;
        rw_wheel_advance(&wheel, now_tick);
        while ((timer = rw_wheel_pop_due(&wheel)))
            CHECK(timer->deadline_tick > before && timer->deadline_tick <= now_tick);
        CHECK_EQUAL(rw_wheel_check(&wheel), 0);
    }
}

int main(void) {
    test_expires_at_its_tick();
    test_past_deadline_expires_at_next_tick();
    test_cancel_of_a_due_timer();
    test_timers_of_one_tick_expire_in_the_order_in_which_they_were_armed();
    test_random_against_deadlines();
    return 0;
}
