#include "telephone_event/telephone_event.h"

#include <errno.h>

#include "base/base.h"
#include "test/check.h"

#define PACKET_US 20000

/* A caller's phone, packet by packet, and what is told of it. */
typedef struct phone_line {
    rw_event_receiver receiver;
    rw_event_news news;
    uint64_t now_us;
    rw_rtp_header header;
    char told[256]; /* a symbol when a digit begins, a dot when it ends */
    size_t length;
    uint32_t duration_ms; /* of the last that ended */
} phone_line;

static void open_line(phone_line *line, uint32_t clock_hz) {
    memset(line, 0, sizeof *line);
    line->now_us = 1000000;
    line->header = (rw_rtp_header){false, 101, 100, 5000, 0xcafe};
    CHECK_EQUAL(rw_event_receiver_init(&line->receiver, clock_hz), 0);
}

static void note(phone_line *line, const rw_digit *digit) {
    CHECK(line->length + 1 < sizeof line->told);
    line->told[line->length++] = digit->ended ? '.' : digit->symbol;
    if (digit->ended) line->duration_ms = digit->duration_ms;
}

static rw_event_verdict hear(phone_line *line, uint32_t timestamp, const uint8_t *payload,
                             size_t bytes) {
    line->now_us += PACKET_US;
    line->header.sequence++;
    line->header.timestamp = timestamp;
    rw_event_verdict verdict = rw_event_receiver_hear(&line->receiver, line->now_us, &line->header,
                                                      payload, bytes, &line->news);
    for (size_t i = 0; i < line->news.count; i++)
        note(line, &line->news.digits[i]);
    return verdict;
}

static rw_event_verdict hear_event(phone_line *line, uint32_t timestamp, uint8_t code, bool end,
                                   unsigned duration_ts) {
    uint8_t payload[4] = {code, end ? 0x8a : 0x0a};
    rw_store_be16(payload + 2, (uint16_t)duration_ts);
    return hear(line, timestamp, payload, sizeof payload);
}

static void test_a_digit_is_told_once_at_its_start_and_once_at_its_end(void) {
    phone_line line;
    open_line(&line, 8000);
    CHECK_EQUAL(hear_event(&line, 5000, 10, false, 160), RW_EVENT_STARTED);
    CHECK_EQUAL(hear_event(&line, 5000, 10, false, 320), RW_EVENT_UPDATED);
    CHECK_EQUAL(hear_event(&line, 5000, 10, true, 800), RW_EVENT_ENDED);
    CHECK_EQUAL(hear_event(&line, 5000, 10, true, 800), RW_EVENT_REPEATED);
    CHECK_EQUAL(hear_event(&line, 5000, 10, false, 480), RW_EVENT_REPEATED);
    CHECK(!strcmp(line.told, "*."));
    CHECK_EQUAL(line.duration_ms, 100);
}

static void test_any_packet_that_is_left_starts_it(void) {
    phone_line line;
    open_line(&line, 8000);
    CHECK_EQUAL(hear_event(&line, 5000, 5, true, 800), RW_EVENT_STARTED);
    CHECK(!strcmp(line.told, "5."));
    CHECK_EQUAL(hear_event(&line, 7000, 5, false, 640), RW_EVENT_STARTED);
    CHECK(!strcmp(line.told, "5.5"));
}

static void test_lost_ends(void) {
    phone_line line;
    rw_digit ended;
    open_line(&line, 8000);
    hear_event(&line, 5000, 1, false, 160);
    hear_event(&line, 5000, 1, false, 320);
    CHECK_EQUAL(hear_event(&line, 6600, 1, false, 160), RW_EVENT_STARTED);
    CHECK(!strcmp(line.told, "1.1"));
    CHECK_EQUAL(line.duration_ms, 40);
    CHECK(!rw_event_receiver_expire(&line.receiver, line.now_us + 199999, &ended));
    CHECK(rw_event_receiver_expire(&line.receiver, line.now_us + 200000, &ended));
    CHECK(!rw_event_receiver_expire(&line.receiver, line.now_us + 900000, &ended));
    CHECK(ended.ended && ended.symbol == '1' && ended.duration_ms == 20);
    CHECK_EQUAL(hear_event(&line, 6600, 1, true, 800), RW_EVENT_REPEATED);
}

static void test_long_digits_come_in_segments(void) {
    phone_line line;
    open_line(&line, 48000);
    hear_event(&line, 5000, 3, false, 65280);
    hear_event(&line, 5000, 3, false, 65535);
    CHECK_EQUAL(hear_event(&line, 5000 + 65535, 3, false, 705), RW_EVENT_UPDATED);
    CHECK_EQUAL(hear_event(&line, 5000, 3, false, 65280), RW_EVENT_REPEATED);
    CHECK_EQUAL(hear_event(&line, 5000 + 65535, 3, true, 30465), RW_EVENT_ENDED);
    CHECK(!strcmp(line.told, "3."));
    CHECK_EQUAL(line.duration_ms, 2000);
}

static void test_a_long_digit_goes_on_after_it_has_expired(void) {
    phone_line line;
    rw_digit ended;
    open_line(&line, 8000);
    hear_event(&line, 5000, 3, false, 65000);
    CHECK(rw_event_receiver_expire(&line.receiver, line.now_us + 300000, &ended));
    CHECK_EQUAL(hear_event(&line, 5000 + 65535, 3, false, 160), RW_EVENT_REPEATED);
    CHECK_EQUAL(hear_event(&line, 5000 + 65535, 3, true, 320), RW_EVENT_REPEATED);
    CHECK(!strcmp(line.told, "3"));
}

static void test_several_events_in_a_payload(void) {
    static const uint8_t payload[] = {1, 0x8a, 1, 0x90, 2, 0x8a, 1, 0x90, 3, 0x0a, 0, 160};
    phone_line line;
    open_line(&line, 8000);
    CHECK_EQUAL(hear(&line, 5000, payload, sizeof payload), RW_EVENT_STARTED);
    CHECK(!strcmp(line.told, "1.2.3"));
    CHECK_EQUAL(hear(&line, 5000, payload, sizeof payload), RW_EVENT_UPDATED);
    CHECK_EQUAL(hear_event(&line, 5800, 3, true, 400), RW_EVENT_ENDED);
    CHECK(!strcmp(line.told, "1.2.3."));
}

static void test_rejects(void) {
    static const uint8_t zeros[RW_EVENT_BYTES * (RW_EVENT_MAX_PER_PAYLOAD + 1)];
    phone_line line;
    open_line(&line, 8000);
    CHECK_EQUAL(hear(&line, 5000, zeros, 0), RW_EVENT_BAD_LENGTH);
    CHECK_EQUAL(hear(&line, 5000, zeros, 3), RW_EVENT_BAD_LENGTH);
    CHECK_EQUAL(hear(&line, 5000, zeros, 6), RW_EVENT_BAD_LENGTH);
    CHECK_EQUAL(hear(&line, 5000, zeros, sizeof zeros), RW_EVENT_BAD_LENGTH);
    CHECK_EQUAL(hear_event(&line, 5000, 16, false, 160), RW_EVENT_NOT_A_DIGIT);
    CHECK_EQUAL(hear_event(&line, 5000, 255, true, 160), RW_EVENT_NOT_A_DIGIT);
    CHECK_EQUAL(line.length, 0);
    CHECK_EQUAL(rw_event_receiver_init(&line.receiver, 0), -EINVAL);
}

static void test_one_timestamp_is_one_digit(void) {
    phone_line line;
    open_line(&line, 8000);
    hear_event(&line, 5000, 1, false, 160);
    CHECK_EQUAL(hear_event(&line, 5000, 2, false, 160), RW_EVENT_REPEATED);
    CHECK(!strcmp(line.told, "1"));
}

static void test_timestamps_that_jump_back_begin_anew(void) {
    phone_line line;
    open_line(&line, 8000);
    hear_event(&line, 2000000000, 1, true, 800);
    CHECK_EQUAL(hear_event(&line, 1000000000, 2, true, 800), RW_EVENT_STARTED);
    line.now_us += 3000000;
    CHECK_EQUAL(hear_event(&line, 1000000000 - 8000, 3, true, 800), RW_EVENT_STARTED);
    CHECK(!strcmp(line.told, "1.2.3."));
}

static void test_a_new_source_is_a_new_beginning(void) {
    phone_line line;
    open_line(&line, 8000);
    hear_event(&line, 5000, 1, false, 160);
    line.header.ssrc = 0xbeef;
    CHECK_EQUAL(hear_event(&line, 4000, 2, false, 160), RW_EVENT_STARTED);
    CHECK(!strcmp(line.told, "1.2"));
}

/* 1,000 digits in 20 s from as many sources: no more than the burst and 20 a second are told. */
static void test_a_storm_is_kept_within_bounds(void) {
    phone_line line;
    unsigned started = 0, storm = 0;
    open_line(&line, 8000);
    for (uint32_t i = 0; i < 1000; i++) {
        line.length = 0;
        line.header.ssrc = i;
        rw_event_verdict verdict = hear_event(&line, 5000 + 1000 * i, i % 16, true, 160);
        started += verdict == RW_EVENT_STARTED;
        storm += verdict == RW_EVENT_STORM;
    }
    CHECK_EQUAL(started + storm, 1000);
    CHECK(started >= 400 && started <= 420);
}

static void test_sending_keeps_to_the_slots(void) {
    rw_event_sender sender;
    rw_event_packet packet;
    CHECK_EQUAL(rw_event_sender_init(&sender, 8000), 0);
    CHECK_EQUAL(rw_event_sender_queue(&sender, '#', 50, RW_EVENT_OFF_MS, RW_EVENT_VOLUME), 0);
    for (uint32_t slot = 0; slot < 8; slot++) {
        bool sends = rw_event_sender_compose(&sender, 1000 + 160 * slot, 160, &packet);
        CHECK_EQUAL(sends, slot < 5);
        CHECK_EQUAL(rw_event_sender_busy(&sender), slot < 7);
        if (!sends) continue;
        CHECK_EQUAL(packet.timestamp, 1000);
        CHECK_EQUAL(packet.marker, slot == 0);
        CHECK_EQUAL(packet.payload[0], 11);
        CHECK_EQUAL(packet.payload[1], slot < 2 ? 10 : 0x8a);
        CHECK_EQUAL(rw_load_be16(packet.payload + 2), slot < 2 ? 160 * (slot + 1) : 400);
    }
}

static void test_the_queue_is_bounded(void) {
    rw_event_sender sender;
    CHECK_EQUAL(rw_event_sender_init(&sender, 500), -EINVAL);
    CHECK_EQUAL(rw_event_sender_init(&sender, 8000), 0);
    CHECK_EQUAL(rw_event_sender_queue(&sender, 'E', RW_EVENT_ON_MS, RW_EVENT_OFF_MS, 10), -EINVAL);
    CHECK_EQUAL(rw_event_sender_queue(&sender, 0, 100, 100, 10), -EINVAL);
    CHECK_EQUAL(rw_event_sender_queue(&sender, '1', 39, 100, 10), -EINVAL);
    CHECK_EQUAL(rw_event_sender_queue(&sender, '1', 100, 39, 10), -EINVAL);
    CHECK_EQUAL(rw_event_sender_queue(&sender, '1', 100, 100, 64), -EINVAL);
    CHECK(!rw_event_sender_busy(&sender));
    for (int i = 0; i < RW_EVENT_QUEUE; i++)
        CHECK_EQUAL(rw_event_sender_queue(&sender, '1', 100, 100, 10), 0);
    CHECK_EQUAL(rw_event_sender_queue(&sender, '1', 100, 100, 10), -ENOBUFS);
}

int main(void) {
    test_a_digit_is_told_once_at_its_start_and_once_at_its_end();
    test_any_packet_that_is_left_starts_it();
    test_lost_ends();
    test_long_digits_come_in_segments();
    test_a_long_digit_goes_on_after_it_has_expired();
    test_several_events_in_a_payload();
    test_rejects();
    test_one_timestamp_is_one_digit();
    test_timestamps_that_jump_back_begin_anew();
    test_a_new_source_is_a_new_beginning();
    test_a_storm_is_kept_within_bounds();
    test_sending_keeps_to_the_slots();
    test_the_queue_is_bounded();
    return 0;
}
