#include "bench/stream.h"

#include "base/base.h"
#include "test/check.h"

#define PTIME_NS 20000000ull

static const rw_stream_pace pace = {.ptime_us = 20000, .ptime_ts = 160};
static rw_stream stream;

/* Packet `index` of a stream that starts at `from`, `late_us` after its time. */
static rw_stream_verdict hear(uint16_t from, uint32_t index, uint64_t late_us) {
    rw_rtp_header header = {.sequence = (uint16_t)(from + index), .timestamp = 1000 + index * 160};
    return rw_stream_packet(&stream, &header, 1 + index * PTIME_NS + late_us * 1000, pace, NULL);
}

static void test_unbroken_stream_across_the_sequence_wrap(void) {
    stream = (rw_stream){0};
    for (uint32_t i = 0; i < 200000; i++)
        CHECK_EQUAL(hear(65500, i, 0), RW_STREAM_NEW);
    CHECK_EQUAL(stream.packets, 200000);
    CHECK_EQUAL(rw_stream_lost(&stream), 0);
    CHECK_EQUAL(stream.timestamp_jumps, 0);
    CHECK_EQUAL(rw_histogram_total(&stream.interval_error_us), 199999);
    CHECK_EQUAL(rw_histogram_max(&stream.interval_error_us), 0);
}

static void test_gap_reordering_and_duplicate(void) {
    stream = (rw_stream){0};
    static const uint32_t order[] = {0, 1, 4, 3, 3, 4, 5, 70, 71};
    for (size_t i = 0; i < RW_LENGTH_OF(order); i++)
        hear(10, order[i], 0);
    CHECK_EQUAL(stream.duplicates, 2);
    CHECK_EQUAL(stream.reordered, 1);
    CHECK_EQUAL(stream.packets, 7);
    CHECK_EQUAL(rw_stream_lost(&stream), 72 - 7); /* 2, and 6 to 69 */
    CHECK_EQUAL(stream.timestamp_jumps, 0);
    CHECK_EQUAL(hear(10, 2, 0), RW_STREAM_REORDERED); /* too old for the bits, still a gap filled */
    CHECK_EQUAL(rw_stream_lost(&stream), 64);
}

static void test_old_copies_do_not_make_a_loss(void) {
    stream = (rw_stream){0};
    for (uint32_t i = 0; i < 100; i++)
        hear(0, i, 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(hear(0, 2, 0), RW_STREAM_REORDERED);
    CHECK_EQUAL(rw_stream_lost(&stream), 0);
    CHECK_EQUAL(stream.reordered, 5);
}

static void test_packet_older_than_the_first(void) {
    stream = (rw_stream){0};
    hear(0, 5, 0);
    CHECK_EQUAL(hear(0, 3, 0), RW_STREAM_REORDERED);
    CHECK_EQUAL(rw_stream_lost(&stream), 0);
    CHECK_EQUAL(stream.packets, 1);
}

static void test_interval_error_is_absolute(void) {
    stream = (rw_stream){0};
    hear(0, 0, 0);
    hear(0, 1, 25);
    hear(0, 2, 0); /* as much too early for its predecessor */
    CHECK_EQUAL(rw_histogram_quantile(&stream.interval_error_us, 0.01), 25);
    CHECK_EQUAL(rw_histogram_max(&stream.interval_error_us), 25);
    CHECK_EQUAL(rw_histogram_total(&stream.interval_error_us), 2);
}

static void test_timestamp_jump_and_spurt(void) {
    stream = (rw_stream){0};
    hear(0, 0, 0);
    rw_rtp_header jumped = {.sequence = 1, .timestamp = 9999};
    rw_stream_packet(&stream, &jumped, 2 * PTIME_NS, pace, NULL);
    CHECK_EQUAL(stream.timestamp_jumps, 1);
    rw_rtp_header marked = {.sequence = 2, .timestamp = 99999, .marker = true};
    rw_stream_packet(&stream, &marked, 50 * PTIME_NS, pace, NULL);
    CHECK_EQUAL(stream.timestamp_jumps, 1);
    CHECK_EQUAL(stream.spurts, 1);
    CHECK_EQUAL(rw_histogram_total(&stream.interval_error_us), 1);
}

static void test_window_counts_only_its_own(void) {
    stream = (rw_stream){0};
    hear(0, 0, 0);
    hear(0, 5, 0);
    CHECK_EQUAL(rw_stream_lost(&stream), 4);
    rw_stream_begin_window(&stream);
    CHECK_EQUAL(rw_stream_lost(&stream), 0);
    CHECK_EQUAL(rw_histogram_total(&stream.interval_error_us), 0);
    CHECK_EQUAL(hear(0, 3, 0), RW_STREAM_REORDERED); /* of the window before */
    CHECK_EQUAL(stream.packets, 0);
    hear(0, 7, 40);
    CHECK_EQUAL(rw_stream_lost(&stream), 1);
    CHECK_EQUAL(rw_histogram_max(&stream.interval_error_us), 40);
}

static void test_random_streams_against_a_plain_count(void) {
    unsigned long long seed = 11;
    for (int round = 0; round < 200; round++) {
        stream = (rw_stream){0};
        uint32_t heard = 0, sent = 500;
        uint16_t from = (uint16_t)check_random(&seed);
        for (uint32_t i = 0; i < sent; i++) {
            if (i && i != sent - 1 && check_random(&seed) % 10 == 0) continue;
            hear(from, i, check_random(&seed) % 100);
            heard++;
        }
        CHECK_EQUAL(stream.packets, heard);
        CHECK_EQUAL(rw_stream_lost(&stream), sent - heard);
        CHECK_EQUAL(stream.timestamp_jumps, 0);
        CHECK_EQUAL(rw_histogram_total(&stream.interval_error_us), heard - 1);
    }
}

int main(void) {
    test_unbroken_stream_across_the_sequence_wrap();
    test_gap_reordering_and_duplicate();
    test_old_copies_do_not_make_a_loss();
    test_packet_older_than_the_first();
    test_interval_error_is_absolute();
    test_timestamp_jump_and_spurt();
    test_window_counts_only_its_own();
    test_random_streams_against_a_plain_count();
    return 0;
}
