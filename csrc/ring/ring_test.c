#include "ring/ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "test/check.h"

#define PRODUCERS 3
#define CONSUMERS 2
#define EACH 20000

static void test_full_and_empty(void) {
    rw_ring *ring = rw_ring_create(4, sizeof(int));
    int value = 0;
    CHECK_EQUAL(rw_ring_pop(ring, &value), -EAGAIN);
    CHECK(rw_ring_empty(ring));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            CHECK_EQUAL(rw_ring_push(ring, &i), 0);
        CHECK_EQUAL(rw_ring_push(ring, &value), -EAGAIN);
        CHECK(!rw_ring_empty(ring));
        for (int i = 0; i < 4; i++) {
            CHECK_EQUAL(rw_ring_pop(ring, &value), 0);
            CHECK_EQUAL(value, i);
        }
        CHECK_EQUAL(rw_ring_pop(ring, &value), -EAGAIN);
    }
    rw_ring_destroy(ring);
}

typedef struct shared_state {
    rw_ring *ring;
    _Atomic uint64_t sum;
    _Atomic uint64_t taken;
} shared_state;

static void *produce(void *context) {
    shared_state *state = context;
    for (uint64_t value = 1; value <= EACH; value++)
        while (rw_ring_push(state->ring, &value))
            sched_yield();
    return NULL;
}

static void *consume(void *context) {
    shared_state *state = context;
    uint64_t value;
    while (atomic_load(&state->taken) < PRODUCERS * EACH) {
        if (rw_ring_pop(state->ring, &value)) {
            sched_yield();
            continue;
        }
        atomic_fetch_add(&state->sum, value);
        atomic_fetch_add(&state->taken, 1);
    }
    return NULL;
}

static void test_nothing_is_lost_between_threads(void) {
    shared_state state = {.ring = rw_ring_create(64, sizeof(uint64_t))};
    pthread_t threads[PRODUCERS + CONSUMERS];
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume, &state),
                    0);
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQUAL(state.taken, PRODUCERS * EACH);
    CHECK_EQUAL(state.sum, (uint64_t)PRODUCERS * EACH * (EACH + 1) / 2);
    rw_ring_destroy(state.ring);
}

typedef struct taker {
    rw_ring *ring;
    _Atomic int round; /* that may begin; -1: no more */
    _Atomic int done;  /* the last that has ended */
} taker;

static void *take_what_is_there(void *context) {
    taker *self = context;
    int round, value;
    for (int last = 0; (round = atomic_load(&self->round)) >= 0;) {
        if (round == last) continue;
        while (!rw_ring_pop(self->ring, &value))
            ;
        atomic_store(&self->done, last = round);
    }
    return NULL;
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One pushes while another takes all that it sees: what the second has not seen any more, the first
 * must not take for taken, or nobody is told of it. */
static void test_what_was_left_is_not_taken_for_taken(void) {
    const uint64_t end_ms = now_ms() + 400;
    taker other = {.ring = rw_ring_create(4, sizeof(int))};
    pthread_t thread;
    unsigned long long seed = 2026;
    int value = 0;
    CHECK_EQUAL(pthread_create(&thread, NULL, take_what_is_there, &other), 0);
    for (int round = 1; now_ms() < end_ms; round++) {
        CHECK_EQUAL(rw_ring_push(other.ring, &value), 0);
        atomic_store(&other.round, round);
        for (uint64_t pause = check_random(&seed) % 200; pause; pause--)
            atomic_signal_fence(memory_order_seq_cst); /* or the compiler leaves the loop out */
        CHECK_EQUAL(rw_ring_push(other.ring, &value), 0);
        bool taken = rw_ring_empty(other.ring);
        while (atomic_load(&other.done) < round)
            sched_yield();
        bool left = !rw_ring_pop(other.ring, &value);
        CHECK(!(left && taken));
    }
    atomic_store(&other.round, -1);
    pthread_join(thread, NULL);
    rw_ring_destroy(other.ring);
}

int main(void) {
    test_full_and_empty();
    test_nothing_is_lost_between_threads();
    test_what_was_left_is_not_taken_for_taken();
    return 0;
}
