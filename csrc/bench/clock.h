/* The clock and the sleep of the benchmarks: absolute deadlines, as the shard has them. */
#ifndef RW_BENCH_CLOCK_H
#define RW_BENCH_CLOCK_H

#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

static inline uint64_t rw_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t rw_clock_us(clockid_t clock) {
    return rw_clock_ns(clock) / 1000;
}

/* Sleeps until `deadline_us` of CLOCK_MONOTONIC; at once if that has passed. A signal ends it. */
static inline void rw_sleep_until_us(uint64_t deadline_us) {
    struct timespec deadline = {.tv_sec = (time_t)(deadline_us / 1000000),
                                .tv_nsec = (long)(deadline_us % 1000000) * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
}

/* Takes away the 50 us by which Linux may put off the calling thread's wake-ups. */
static inline void rw_no_timer_slack(void) {
    prctl(PR_SET_TIMERSLACK, 1ul);
}

#endif
