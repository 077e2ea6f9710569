#include "reception/reception.h"

#include "test/check.h"

#define RATE_HZ 8000
#define PACKET_TS 160
#define PACKET_US 20000

static rw_reception reception;
static uint64_t now_us;

static void start(void) {
    rw_reception_init(&reception, RATE_HZ);
    now_us = 7777777;
}

static rw_heard hear_from(uint32_t ssrc, uint16_t sequence) {
    rw_rtp_header header = {
        .sequence = sequence, .timestamp = sequence * (uint32_t)PACKET_TS, .ssrc = ssrc};
    now_us += PACKET_US;
    return rw_reception_hear(&reception, &header, now_us);
}

static rw_heard hear(uint16_t sequence) {
    return hear_from(1, sequence);
}

static rw_heard hear_at(uint16_t sequence, uint32_t timestamp, uint64_t arrival_us) {
    rw_rtp_header header = {.sequence = sequence, .timestamp = timestamp, .ssrc = 1};
    return rw_reception_hear(&reception, &header, arrival_us);
}

static void test_a_call_begins_at_its_first_packet(void) {
    start();
    CHECK_EQUAL(rw_reception_expected(&reception), 0);
    CHECK_EQUAL(hear(9), RW_HEARD_NEW_SOURCE);
    CHECK_EQUAL(reception.last_heard_us, now_us);
    CHECK_EQUAL(hear(10), RW_HEARD_NEW);
    CHECK_EQUAL(rw_reception_expected(&reception), 2);
    CHECK_EQUAL(rw_reception_lost(&reception), 0);
}

static void test_wrap_loss_reordering_and_duplicates(void) {
    start();
    CHECK_EQUAL(hear(65534), RW_HEARD_NEW_SOURCE);
    CHECK_EQUAL(hear(1), RW_HEARD_NEW); /* 65535 and 0 are missing */
    CHECK_EQUAL(rw_reception_lost(&reception), 2);
    CHECK_EQUAL(hear(0), RW_HEARD_LATE);
    CHECK_EQUAL(hear(0), RW_HEARD_DUPLICATE);
    CHECK_EQUAL(hear(1), RW_HEARD_DUPLICATE);
    CHECK_EQUAL(hear(65533), RW_HEARD_LATE); /* from before the first */
    CHECK_EQUAL(rw_reception_expected(&reception), 5);
    CHECK_EQUAL(rw_reception_received(&reception), 4);
    CHECK_EQUAL(reception.gaps, 1);
    CHECK_EQUAL(hear(65535), RW_HEARD_LATE);
    CHECK_EQUAL(rw_reception_lost(&reception), 0);
    CHECK_EQUAL(reception.gaps, 0);
    CHECK_EQUAL(reception.reordered, 3);
    CHECK_EQUAL(reception.duplicates, 2);
}

static void test_a_late_packet_splits_a_gap(void) {
    start();
    hear(100);
    hear(110);
    CHECK_EQUAL(reception.gaps, 1);
    hear(105);
    CHECK_EQUAL(reception.gaps, 2);
    hear(106);
    CHECK_EQUAL(reception.gaps, 2);
    hear(98); /* 99 is missing, in a gap of its own */
    CHECK_EQUAL(reception.gaps, 3);
    CHECK_EQUAL(rw_reception_lost(&reception), 8);
}

static void test_too_late_is_neither_taken_nor_a_restart(void) {
    start();
    hear(1000);
    hear(1000 + RW_MAX_LATE_PACKETS + 1);
    CHECK_EQUAL(hear(1002), RW_HEARD_LATE);
    CHECK_EQUAL(hear(1001), RW_HEARD_STALE);
    hear(1100);
    uint64_t heard_us = reception.last_heard_us;
    CHECK_EQUAL(hear(1100 - RW_MAX_MISORDER + 1), RW_HEARD_STALE);
    CHECK_EQUAL(reception.stale, 2);
    CHECK_EQUAL(reception.last_heard_us, heard_us);
}

static void test_a_jump_needs_a_second_packet(void) {
    start();
    hear(1000);
    hear(1002);
    CHECK_EQUAL(hear(1002 + RW_MAX_DROPOUT), RW_HEARD_JUMP);
    CHECK_EQUAL(hear(1003), RW_HEARD_NEW);
    CHECK_EQUAL(hear(1003 + RW_MAX_DROPOUT), RW_HEARD_JUMP); /* the first was taken back */
    CHECK_EQUAL(hear(1004 + RW_MAX_DROPOUT), RW_HEARD_RESTART);
    CHECK_EQUAL(hear(1004 + RW_MAX_DROPOUT), RW_HEARD_DUPLICATE);
    CHECK_EQUAL(hear(1003 + 2 * RW_MAX_DROPOUT), RW_HEARD_NEW); /* not yet a jump */
    CHECK_EQUAL(rw_reception_expected(&reception), 4 + RW_MAX_DROPOUT);
    CHECK_EQUAL(rw_reception_received(&reception), 5);
    CHECK_EQUAL(reception.restarts, 1);
    CHECK_EQUAL(hear(1003 + 2 * RW_MAX_DROPOUT - RW_MAX_MISORDER), RW_HEARD_JUMP);
}

static void test_another_source_proves_itself_in_a_pause_of_the_first(void) {
    start();
    for (uint16_t i = 0; i < 10; i++) {
        CHECK_EQUAL(hear_from(1, i), i ? RW_HEARD_NEW : RW_HEARD_NEW_SOURCE);
        CHECK_EQUAL(hear_from(2, 500 + i), RW_HEARD_STRANGER);
    }
    CHECK_EQUAL(hear_from(3, 30), RW_HEARD_STRANGER);
    CHECK_EQUAL(hear_from(3, 32), RW_HEARD_STRANGER);
    CHECK_EQUAL(hear_from(3, 33), RW_HEARD_NEW_SOURCE);
    CHECK_EQUAL(hear_from(1, 10), RW_HEARD_STRANGER);
    CHECK_EQUAL(hear_from(3, 35), RW_HEARD_NEW);
    CHECK_EQUAL(reception.sources, 2);
    CHECK_EQUAL(reception.refused, 13);
    CHECK_EQUAL(rw_reception_expected(&reception), 13);
    CHECK_EQUAL(rw_reception_lost(&reception), 1);
}

/* A sender every other packet of which is 10 ms late: D is 80 units each time. */
static void test_jitter_settles_at_the_mean_difference(void) {
    start();
    for (uint32_t i = 0; i < 400; i++)
        hear_at((uint16_t)i, i * PACKET_TS, 1000000 + i * PACKET_US + i % 2 * 10000);
    CHECK(rw_reception_jitter_ts(&reception) >= 79 && rw_reception_jitter_ts(&reception) <= 80);
    CHECK(rw_reception_jitter_us(&reception) >= 9900 &&
          rw_reception_jitter_us(&reception) <= 10000);
    rw_reception_set_clock(&reception, 48000);
    CHECK(rw_reception_jitter_ts(&reception) >= 6 * 79);
    CHECK(rw_reception_max_jitter_us(&reception) <= 10000);
}

static void test_silence_and_timestamp_wrap_are_no_jitter(void) {
    start();
    uint32_t timestamp = UINT32_MAX - 100;
    for (uint16_t i = 0; i < 100; i++) {
        uint32_t pause = i % 10 == 0 ? 50 : 1; /* packets */
        timestamp += pause * PACKET_TS;
        now_us += pause * PACKET_US;
        hear_at(i, timestamp, now_us);
    }
    CHECK_EQUAL(rw_reception_max_jitter_us(&reception), 0);
    CHECK_EQUAL(reception.timestamp_steps, 0);
}

static void test_a_new_timeline_is_no_jitter(void) {
    start();
    hear_at(1, 1000, 1000000);
    hear_at(2, 1160, 1020000);
    hear_at(3, 900000000, 1040000);
    hear_at(4, 900000160, 1060000);
    CHECK_EQUAL(reception.timestamp_steps, 1);
    rw_reception_set_clock(&reception, 16000);
    hear_at(5, 900000480, 1080000);
    hear_at(6, 900000800, 1100000);
    CHECK_EQUAL(reception.timestamp_steps, 1);
    CHECK_EQUAL(rw_reception_max_jitter_us(&reception), 0);
}

static void test_a_long_telephone_event_is_no_jitter(void) {
    start();
    for (uint16_t i = 0; i < 100; i++) /* a digit from packet 40 to 89 */
        hear_at(i, (i > 40 && i < 90 ? 40u : i) * PACKET_TS, 1000000 + i * (uint64_t)PACKET_US);
    CHECK_EQUAL(rw_reception_max_jitter_us(&reception), 0);
}

static void test_reports(void) {
    rw_report_block block = {.ssrc = 99};
    start();
    CHECK(!rw_reception_report(&reception, now_us, &block));
    CHECK_EQUAL(block.ssrc, 99);
    hear(65535);
    hear(2); /* two of four */
    rw_reception_hear_sender_report(&reception, 2, 0x1111222233334444, now_us);
    CHECK(rw_reception_report(&reception, now_us, &block));
    CHECK_EQUAL(block.ssrc, 1);
    CHECK_EQUAL(block.fraction_lost, 128);
    CHECK_EQUAL(block.cumulative_lost, 2);
    CHECK_EQUAL(block.highest_sequence, 0x10002);
    CHECK_EQUAL(block.lsr, 0);
    CHECK_EQUAL(block.dlsr, 0);
    CHECK(!rw_reception_report(&reception, now_us, &block));
    rw_reception_hear_sender_report(&reception, 1, 0x1111222233334444, now_us);
    for (int i = 0; i < 5; i++)
        hear(2);
    CHECK(rw_reception_report(&reception, now_us + 400000, &block));
    CHECK_EQUAL(block.fraction_lost, 0);
    CHECK_EQUAL(block.cumulative_lost, -3); /* RFC 3550 counts duplicates as received */
    CHECK_EQUAL(block.lsr, 0x22223333);
    CHECK_EQUAL(block.dlsr, 32768); /* 5 packets of 20 ms, and 400 ms */
    CHECK_EQUAL(rw_reception_lost(&reception), 2);
    hear(3);
    CHECK(rw_reception_report(&reception, now_us + 70000000000, &block));
    CHECK_EQUAL(block.dlsr, UINT32_MAX);
}

static void test_a_report_is_of_the_source_that_is_heard(void) {
    rw_report_block block;
    start();
    hear(5);
    hear(2000);
    rw_reception_hear_sender_report(&reception, 1, 1ull << 40, now_us);
    hear_from(2, 70);
    hear_from(2, 71);
    CHECK(rw_reception_report(&reception, now_us, &block));
    CHECK_EQUAL(block.ssrc, 2);
    CHECK_EQUAL(block.cumulative_lost, 0);
    CHECK_EQUAL(block.fraction_lost, 0);
    CHECK_EQUAL(block.lsr, 0);
    CHECK_EQUAL(rw_reception_lost(&reception), 1994);
}

int main(void) {
    test_a_call_begins_at_its_first_packet();
    test_wrap_loss_reordering_and_duplicates();
    test_a_late_packet_splits_a_gap();
    test_too_late_is_neither_taken_nor_a_restart();
    test_a_jump_needs_a_second_packet();
    test_another_source_proves_itself_in_a_pause_of_the_first();
    test_jitter_settles_at_the_mean_difference();
    test_silence_and_timestamp_wrap_are_no_jitter();
    test_a_new_timeline_is_no_jitter();
    test_a_long_telephone_event_is_no_jitter();
    test_reports();
    test_a_report_is_of_the_source_that_is_heard();
    return 0;
}
