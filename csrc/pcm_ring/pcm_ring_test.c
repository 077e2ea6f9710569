#include "pcm_ring/pcm_ring.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "test/check.h"

#define ACROSS 2000000 /* samples from thread to thread */

/* The sample that belongs to a place in the stream. */
static int16_t at(size_t place) {
    return (int16_t)(place * 2654435761u >> 7);
}

static void fill(int16_t *pcm, size_t from, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = at(from + i);
}

static void check(const int16_t *pcm, size_t from, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        CHECK_EQUAL(pcm[i], at(from + i));
}

/* Peeks at the samples from `from` on; returns how many lie there in one piece. */
static size_t check_peek(rw_pcm_ring *ring, size_t from) {
    size_t samples;
    const int16_t *pcm = rw_pcm_ring_peek(ring, &samples);
    check(pcm, from, samples);
    return samples;
}

static void test_room_is_a_power_of_two(void) {
    static const size_t wanted[] = {0, 1, 2, 3, 8, 9, 32000};
    static const size_t room[] = {2, 2, 2, 4, 8, 16, 32768};
    for (int i = 0; i < 7; i++) {
        rw_pcm_ring *ring = rw_pcm_ring_create(wanted[i]);
        CHECK(ring);
        CHECK_EQUAL(rw_pcm_ring_room(ring), room[i]);
        CHECK_EQUAL(rw_pcm_ring_writable(ring), room[i]);
        rw_pcm_ring_destroy(ring);
    }
    CHECK(!rw_pcm_ring_create(SIZE_MAX));
    rw_pcm_ring_destroy(NULL);
}

static void test_a_write_is_all_or_nothing(void) {
    rw_pcm_ring *ring = rw_pcm_ring_create(8);
    int16_t pcm[16];
    fill(pcm, 0, 16);
    CHECK(!rw_pcm_ring_write(ring, pcm, 9));
    CHECK(rw_pcm_ring_write(ring, pcm, 5));
    CHECK(!rw_pcm_ring_fits(ring, 4));
    CHECK(rw_pcm_ring_fits(ring, 3));
    CHECK(!rw_pcm_ring_write(ring, pcm + 5, 4));
    CHECK_EQUAL(rw_pcm_ring_readable(ring), 5);
    CHECK(rw_pcm_ring_write(ring, pcm + 5, 3));
    CHECK_EQUAL(rw_pcm_ring_writable(ring), 0);
    CHECK(rw_pcm_ring_write(ring, pcm, 0));
    CHECK(!rw_pcm_ring_write(ring, pcm, 1));
    memset(pcm, 0, sizeof(pcm));
    CHECK_EQUAL(rw_pcm_ring_read(ring, pcm, 16), 8);
    check(pcm, 0, 8);
    CHECK_EQUAL(rw_pcm_ring_read(ring, pcm, 16), 0);
    rw_pcm_ring_destroy(ring);
}

static void test_what_is_peeked_at_stays_until_it_is_skipped(void) {
    rw_pcm_ring *ring = rw_pcm_ring_create(8);
    int16_t pcm[8];
    CHECK_EQUAL(check_peek(ring, 0), 0);
    fill(pcm, 0, 6);
    CHECK(rw_pcm_ring_write(ring, pcm, 6));
    CHECK_EQUAL(check_peek(ring, 0), 6);
    rw_pcm_ring_skip(ring, 5);
    fill(pcm, 6, 7);
    CHECK(rw_pcm_ring_write(ring, pcm, 7));
    /* What was seen first; then, anew, what lies up to the end of the ring, and what is behind. */
    CHECK_EQUAL(check_peek(ring, 5), 1);
    CHECK_EQUAL(rw_pcm_ring_readable(ring), 8);
    CHECK_EQUAL(check_peek(ring, 5), 3);
    rw_pcm_ring_skip(ring, 3);
    CHECK_EQUAL(check_peek(ring, 8), 5);
    rw_pcm_ring_destroy(ring);
}

static void test_samples_stay_in_order_over_the_end_of_the_ring(void) {
    rw_pcm_ring *ring = rw_pcm_ring_create(64);
    unsigned long long seed = 7;
    size_t written = 0, read = 0;
    int16_t pcm[64];
    while (read < 20000) {
        size_t count = check_random(&seed) % 65;
        fill(pcm, written, count);
        size_t room = 64 - (written - read);
        CHECK_EQUAL(rw_pcm_ring_write(ring, pcm, count), count <= room);
        if (count <= room) written += count;
        count = check_random(&seed) % 65;
        size_t got = rw_pcm_ring_read(ring, pcm, count);
        CHECK_EQUAL(got, count < written - read ? count : written - read);
        check(pcm, read, got);
        read += got;
        CHECK_EQUAL(rw_pcm_ring_readable(ring), written - read);
    }
    rw_pcm_ring_destroy(ring);
}

static void *produce(void *context) {
    unsigned long long seed = 3;
    int16_t pcm[480];
    for (size_t sent = 0; sent < ACROSS;) {
        size_t count = 1 + check_random(&seed) % 480;
        if (count > ACROSS - sent) count = ACROSS - sent;
        fill(pcm, sent, count);
        while (!rw_pcm_ring_write(context, pcm, count))
            sched_yield();
        sent += count;
    }
    return NULL;
}

static void test_samples_cross_from_thread_to_thread(void) {
    rw_pcm_ring *ring = rw_pcm_ring_create(1024);
    pthread_t producer;
    int16_t pcm[300];
    size_t got = 0, samples;
    CHECK_EQUAL(pthread_create(&producer, NULL, produce, ring), 0);
    while (got < ACROSS) {
        size_t before = got;
        samples = rw_pcm_ring_read(ring, pcm, 300);
        check(pcm, got, samples);
        got += samples;
        samples = check_peek(ring, got);
        rw_pcm_ring_skip(ring, samples);
        got += samples;
        if (got == before) sched_yield();
    }
    pthread_join(producer, NULL);
    CHECK_EQUAL(rw_pcm_ring_readable(ring), 0);
    rw_pcm_ring_destroy(ring);
}

int main(void) {
    test_room_is_a_power_of_two();
    test_a_write_is_all_or_nothing();
    test_what_is_peeked_at_stays_until_it_is_skipped();
    test_samples_stay_in_order_over_the_end_of_the_ring();
    test_samples_cross_from_thread_to_thread();
    return 0;
}
