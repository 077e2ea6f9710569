#include "dtmf/dtmf.h"

#include <errno.h>

#include "base/base.h"
#include "test/check.h"

#define MAX_SAMPLES 16000

static int16_t sound[MAX_SAMPLES];

/* Adds silence of `off_ms` behind a tone of `on_ms`; returns where the sound now ends. */
static size_t add_tone(size_t at, char symbol, uint16_t on_ms, uint16_t off_ms, uint32_t rate_hz) {
    rw_dtmf_tone tone;
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, symbol, on_ms, off_ms, -9, -7, rate_hz), 0);
    return at + rw_dtmf_tone_fill(&tone, sound + at, MAX_SAMPLES - at);
}

/* Writes what is told: a symbol when a digit begins, a dot when it ends. */
static void note(char *told, const rw_digit *digits, size_t count) {
    size_t length = strlen(told);
    for (size_t i = 0; i < count; i++)
        told[length++] = digits[i].ended ? '.' : digits[i].symbol;
    told[length] = 0;
}

static void hear(rw_dtmf_detector *detector, size_t from, size_t to, size_t block, char *told) {
    rw_digit digits[RW_DTMF_ROOM];
    for (; from < to; from += block) {
        size_t samples = to - from < block ? to - from : block;
        size_t count = rw_dtmf_detector_hear(detector, sound + from, samples, digits, RW_DTMF_ROOM);
        note(told, digits, count);
    }
}

static void test_every_digit_in_blocks_of_any_size(void) {
    static const size_t blocks[] = {1, 7, 80, 160, 480};
    static const uint32_t rates_hz[] = {8000, 16000};
    for (size_t i = 0; i < RW_LENGTH_OF(blocks); i++) {
        for (size_t r = 0; r < RW_LENGTH_OF(rates_hz); r++) {
            rw_dtmf_detector detector;
            CHECK_EQUAL(rw_dtmf_detector_init(&detector, rates_hz[r]), 0);
            for (int code = 0; code < RW_DIGITS; code++) {
                char told[16] = "", expected[3] = {RW_DIGIT_SYMBOLS[code], '.', 0};
                size_t end = add_tone(0, expected[0], 50, 50, rates_hz[r]);
                hear(&detector, 0, end, blocks[i], told);
                CHECK(!strcmp(told, expected));
            }
        }
    }
}

static void test_a_lost_packet_does_not_split_a_digit(void) {
    rw_dtmf_detector detector;
    rw_digit ended;
    char told[16] = "";
    CHECK_EQUAL(rw_dtmf_detector_init(&detector, 8000), 0);
    size_t end = add_tone(0, '7', 160, 60, 8000);
    hear(&detector, 0, 560, 160, told);
    CHECK(!strcmp(told, "7"));
    CHECK(!rw_dtmf_detector_gap(&detector, 160, &ended));
    hear(&detector, 720, end, 160, told);
    CHECK(!strcmp(told, "7."));
}

static void test_a_lost_packet_in_a_pause_does_not_join_two_digits(void) {
    for (size_t lost = 400; lost <= 800; lost += 40) {
        rw_dtmf_detector detector;
        rw_digit ended;
        char told[16] = "";
        CHECK_EQUAL(rw_dtmf_detector_init(&detector, 8000), 0);
        size_t end = add_tone(add_tone(0, '7', 60, 60, 8000), '7', 60, 60, 8000);
        hear(&detector, 0, lost, 160, told);
        if (rw_dtmf_detector_gap(&detector, 160, &ended)) note(told, &ended, 1);
        hear(&detector, lost + 160, end, 160, told);
        CHECK(!strcmp(told, "7.7."));
    }
}

static void test_what_is_lost_for_long_ends_a_digit(void) {
    rw_dtmf_detector detector;
    rw_digit ended;
    char told[16] = "";
    CHECK_EQUAL(rw_dtmf_detector_init(&detector, 8000), 0);
    size_t end = add_tone(0, 'D', 100, 0, 8000);
    hear(&detector, 0, end, 160, told);
    CHECK(!rw_dtmf_detector_gap(&detector, 800, &ended));
    CHECK(rw_dtmf_detector_gap(&detector, 800, &ended));
    CHECK(ended.ended && ended.symbol == 'D');
    CHECK(ended.duration_ms >= 84 && ended.duration_ms <= 100); /* the last window is cut off */
    CHECK(!rw_dtmf_detector_gap(&detector, SIZE_MAX / 2, &ended));
}

/* What finds no room is lost, and nothing else. */
static void test_a_full_array_is_not_overrun(void) {
    rw_dtmf_detector detector;
    rw_digit digits[2] = {{0}, {'x', false, 0}};
    CHECK_EQUAL(rw_dtmf_detector_init(&detector, 8000), 0);
    size_t end = add_tone(add_tone(0, '1', 50, 50, 8000), '2', 50, 50, 8000);
    CHECK_EQUAL(rw_dtmf_detector_hear(&detector, sound, end, digits, 1), 1);
    CHECK(digits[0].symbol == '1' && digits[1].symbol == 'x');
}

static void test_bad_arguments(void) {
    rw_dtmf_detector detector;
    rw_dtmf_tone tone;
    CHECK_EQUAL(rw_dtmf_detector_init(&detector, 48000), -EINVAL);
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, '1', 50, 50, -9, -7, 44100), -EINVAL);
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, 'E', 50, 50, -9, -7, 8000), -EINVAL);
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, 0, 50, 50, -9, -7, 8000), -EINVAL);
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, '1', 50, 50, 1, -7, 8000), -EINVAL);
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, '1', 50, 50, -9, -61, 8000), -EINVAL);
}

static void test_a_tone_has_its_length_and_then_no_more(void) {
    rw_dtmf_tone tone;
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, '5', 50, 25, 0, 0, 8000), 0);
    CHECK_EQUAL(rw_dtmf_tone_fill(&tone, sound, 410), 410);
    CHECK_EQUAL(rw_dtmf_tone_fill(&tone, sound + 410, 410), 190);
    CHECK_EQUAL(rw_dtmf_tone_fill(&tone, sound, 160), 0);
    CHECK(sound[399] != 0);
    for (size_t i = 400; i < 600; i++)
        CHECK_EQUAL(sound[i], 0);
}

int main(void) {
    CHECK(sizeof(rw_dtmf_detector) <= 512);
    test_every_digit_in_blocks_of_any_size();
    test_a_lost_packet_does_not_split_a_digit();
    test_a_lost_packet_in_a_pause_does_not_join_two_digits();
    test_what_is_lost_for_long_ends_a_digit();
    test_a_full_array_is_not_overrun();
    test_bad_arguments();
    test_a_tone_has_its_length_and_then_no_more();
    return 0;
}
