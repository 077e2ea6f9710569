#include "ear/ear.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define SOUND 0
#define EVENTS 101
#define COMFORT_NOISE 13

static rw_ear *ear;
static rw_ear_report report;
static uint64_t now_us;
static uint16_t sequence;
static uint32_t timestamp;

static void begin(bool speech, bool tones, uint8_t events) {
    rw_ear_config config = {.speech = speech,
                            .tones = tones,
                            .sensitivity = RW_VAD_MEDIUM,
                            .hangover_ms = 300,
                            .media_timeout_ms = 1000};
    rw_ear_media media = {8000, SOUND, events, COMFORT_NOISE};
    CHECK_EQUAL(rw_ear_create(&config, rw_codec_find("PCMU", 8000), &ear), 0);
    CHECK_EQUAL(rw_ear_agree(ear, &media), 0);
    now_us = 5000000;
    sequence = 65530;
    timestamp = 0xffffff00;
}

static rw_ear_reject hear(uint8_t type, const uint8_t *payload, size_t bytes) {
    rw_rtp_packet packet = {
        .header = {.payload_type = type, .sequence = sequence, .timestamp = timestamp, .ssrc = 7},
        .payload = payload,
        .payload_bytes = bytes};
    report.count = 0;
    return rw_ear_hear(ear, &packet, now_us, &report);
}

/* One packet of 20 ms; then the next one is due. */
static rw_ear_reject hear_sound(const int16_t *pcm) {
    uint8_t payload[160];
    rw_codec_find("PCMU", 8000)->encode(NULL, pcm, 160, payload, sizeof payload);
    rw_ear_reject reject = hear(SOUND, payload, sizeof payload);
    sequence++;
    timestamp += 160;
    now_us += 20000;
    return reject;
}

/* A vowel-like buzz of 125 Hz. */
static void fill_voice(int16_t *pcm, unsigned frame) {
    for (unsigned i = 0; i < 160; i++) {
        double at = (frame * 160 + i) / 8000.0;
        double sound = 0;
        for (int harmonic = 1; harmonic <= 12; harmonic++)
            sound += sin(2 * M_PI * 125 * harmonic * at) / harmonic;
        pcm[i] = (int16_t)(3000 * sound);
    }
}

static size_t count_of(rw_ear_news_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < report.count; i++)
        count += report.news[i].kind == kind;
    return count;
}

static void test_speech_starts_and_ends(void) {
    int16_t pcm[160] = {0};
    unsigned started_after = 0;
    begin(true, false, EVENTS);
    for (unsigned i = 0; i < 50; i++)
        CHECK_EQUAL(hear_sound(pcm), RW_EAR_TAKEN);
    for (unsigned i = 0; i < 20; i++) {
        fill_voice(pcm, i);
        hear_sound(pcm);
        if (count_of(RW_EAR_SPEECH) && !started_after) started_after = i + 1;
    }
    CHECK(started_after >= 2 && started_after <= 3);
    CHECK(rw_ear_waits(ear));
    /* The stream stops without a word: speech ends by the clock. */
    size_t ended = 0;
    for (unsigned i = 0; i < 30; i++, now_us += 20000) {
        report.count = 0;
        rw_ear_pass(ear, now_us, &report);
        ended += count_of(RW_EAR_SPEECH);
    }
    CHECK_EQUAL(ended, 1);
    CHECK(!rw_ear_waits(ear));
    rw_ear_destroy(ear);
}

static void test_speech_ends_over_a_hole_in_the_timestamps(void) {
    int16_t pcm[160];
    begin(true, false, EVENTS);
    for (unsigned i = 0; i < 20; i++) {
        fill_voice(pcm, i);
        hear_sound(pcm);
    }
    CHECK(rw_ear_waits(ear));
    timestamp += 8000;
    memset(pcm, 0, sizeof pcm);
    hear_sound(pcm);
    CHECK_EQUAL(count_of(RW_EAR_SPEECH), 1);
    CHECK_EQUAL(report.news[0].speech.kind, RW_VAD_END);
    rw_ear_destroy(ear);
}

static void test_digits_as_events_and_as_tones(void) {
    const uint8_t start[4] = {5, 10, 0, 160};
    begin(false, true, EVENTS);
    CHECK_EQUAL(hear(EVENTS, start, 4), RW_EAR_TAKEN);
    CHECK_EQUAL(count_of(RW_EAR_DIGIT), 1);
    CHECK_EQUAL(report.news[0].digit.symbol, '5');
    CHECK(!report.news[0].tone && rw_ear_waits(ear));
    report.count = 0;
    rw_ear_pass(ear, now_us + 300000, &report);
    CHECK(report.count == 1 && report.news[0].digit.ended);
    rw_ear_destroy(ear);

    begin(false, true, RW_NO_PAYLOAD_TYPE);
    rw_dtmf_tone tone;
    int16_t pcm[160];
    size_t digits = 0;
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, '9', 80, 80, -9, -7, 8000), 0);
    for (unsigned i = 0; i < 8; i++) {
        CHECK_EQUAL(rw_dtmf_tone_fill(&tone, pcm, 160), 160);
        hear_sound(pcm);
        digits += count_of(RW_EAR_DIGIT);
        if (report.count) CHECK(report.news[0].tone && report.news[0].digit.symbol == '9');
    }
    CHECK_EQUAL(digits, 2);
    rw_ear_destroy(ear);
}

static void test_tones_are_left_alone_where_events_were_agreed_on(void) {
    rw_dtmf_tone tone;
    int16_t pcm[160];
    begin(false, true, EVENTS);
    CHECK_EQUAL(rw_dtmf_tone_start(&tone, '9', 80, 80, -9, -7, 8000), 0);
    for (unsigned i = 0; i < 8; i++) {
        CHECK_EQUAL(rw_dtmf_tone_fill(&tone, pcm, 160), 160);
        hear_sound(pcm);
        CHECK_EQUAL(report.count, 0);
    }
    rw_ear_destroy(ear);
}

static void test_what_is_not_heard(void) {
    int16_t pcm[160] = {0};
    const uint8_t flash[4] = {16, 10, 0, 160};
    begin(true, false, EVENTS);
    CHECK_EQUAL(hear(96, flash, 4), RW_EAR_UNKNOWN_TYPE);
    CHECK_EQUAL(hear_sound(pcm), RW_EAR_TAKEN);
    sequence--;
    CHECK_EQUAL(hear_sound(pcm), RW_EAR_DUPLICATE);
    CHECK_EQUAL(hear(SOUND, flash, 0), RW_EAR_EMPTY);
    sequence++;
    CHECK_EQUAL(hear(EVENTS, flash, 4), RW_EAR_NOT_A_DIGIT);
    sequence++;
    CHECK_EQUAL(hear(EVENTS, flash, 3), RW_EAR_BAD_EVENT);
    sequence++;
    CHECK_EQUAL(hear(COMFORT_NOISE, flash, 1), RW_EAR_TAKEN);
    sequence += 20000;
    CHECK_EQUAL(hear_sound(pcm), RW_EAR_JUMP);
    CHECK_EQUAL(rw_reception_received(rw_ear_reception(ear)), 5);
    rw_ear_destroy(ear);
}

static rw_ear_reject note(uint8_t type, const uint8_t *payload, size_t bytes) {
    rw_rtp_packet packet = {
        .header = {.payload_type = type, .sequence = sequence, .timestamp = timestamp, .ssrc = 7},
        .payload = payload,
        .payload_bytes = bytes};
    return rw_ear_note(ear, &packet, now_us);
}

/* As when speech came before a hold, music and keys within, and a key behind it. */
static void test_what_is_only_noted_is_neither_heard_nor_lost(void) {
    int16_t pcm[160];
    uint8_t loud[160];
    const uint8_t key[4] = {5, 10, 0, 160}, end[4] = {5, 0x8a, 0, 160};
    memset(loud, 0x80, sizeof loud);
    begin(true, true, EVENTS);
    for (unsigned i = 0; i < 20; i++) {
        fill_voice(pcm, i);
        hear_sound(pcm);
    }
    CHECK(rw_ear_waits(ear));
    size_t ended = 0;
    for (unsigned i = 0; i < 50; i++, sequence++, timestamp += 160, now_us += 20000) {
        report.count = 0;
        CHECK_EQUAL(i % 10 ? note(SOUND, loud, 160) : note(EVENTS, key, 4), RW_EAR_TAKEN);
        rw_ear_pass(ear, now_us, &report);
        ended += count_of(RW_EAR_SPEECH);
        CHECK_EQUAL(count_of(RW_EAR_DIGIT), 0);
    }
    CHECK_EQUAL(ended, 1); /* by the clock */
    CHECK(!rw_ear_waits(ear));
    CHECK_EQUAL(note(77, loud, 160), RW_EAR_UNKNOWN_TYPE);
    sequence--;
    CHECK_EQUAL(note(SOUND, loud, 160), RW_EAR_DUPLICATE);
    sequence++;
    CHECK_EQUAL(hear(EVENTS, end, 4), RW_EAR_TAKEN);
    CHECK(count_of(RW_EAR_DIGIT) > 0);
    CHECK_EQUAL(rw_reception_lost(rw_ear_reception(ear)), 0);
    rw_ear_destroy(ear);
}

static void test_media_timeout_is_told_once_for_each_silence(void) {
    int16_t pcm[160] = {0};
    uint64_t next_us, opened_us;
    begin(false, false, EVENTS);
    opened_us = now_us;
    CHECK(!rw_ear_timed_out(ear, opened_us, now_us, &next_us));
    CHECK_EQUAL(next_us, opened_us + 1000000);
    hear_sound(pcm);
    CHECK(!rw_ear_timed_out(ear, opened_us, opened_us + 999999, &next_us));
    CHECK(rw_ear_timed_out(ear, opened_us, opened_us + 1000000, &next_us));
    CHECK(!rw_ear_timed_out(ear, opened_us, next_us, &next_us));
    now_us = opened_us + 5000000;
    hear_sound(pcm);
    CHECK(!rw_ear_timed_out(ear, opened_us, now_us, &next_us));
    CHECK(rw_ear_timed_out(ear, opened_us, next_us, &next_us));
    rw_ear_destroy(ear);
}

/* Packets of `bytes` in the stream's own sequence, `step_us` apart; how many of 5000 are heard. */
static unsigned heard_of_a_rush(bool speech, size_t bytes, uint64_t step_us) {
    static uint8_t payload[1400];
    unsigned heard = 0;
    begin(speech, false, EVENTS);
    for (unsigned i = 0; i < 5000; i++) {
        rw_ear_reject reject = hear(SOUND, payload, bytes);
        CHECK(reject == RW_EAR_TAKEN || reject == RW_EAR_TOO_FAST);
        heard += reject == RW_EAR_TAKEN;
        sequence++;
        timestamp += (uint32_t)bytes;
        now_us += step_us;
    }
    rw_ear_destroy(ear);
    return heard;
}

static void test_sound_that_comes_faster_than_time(void) {
    /* 6 s at once and twice the pace of time, whatever the packets are. */
    CHECK_EQUAL(heard_of_a_rush(true, 160, 20000), 5000);
    CHECK_EQUAL(heard_of_a_rush(true, 160, 10000), 5000);
    CHECK_EQUAL(heard_of_a_rush(false, 80, 5000), 5000);
    CHECK_EQUAL(heard_of_a_rush(true, 160, 0), 301);
    CHECK_EQUAL(heard_of_a_rush(true, 1400, 0), 51); /* of 120 ms each: no more is decoded */
    CHECK_EQUAL(heard_of_a_rush(false, 1400, 0), 601);
    CHECK_EQUAL(heard_of_a_rush(true, 1, 0), 601);
    unsigned heard = heard_of_a_rush(true, 1400, 200); /* 5,000 in 1 s: 8 s of sound */
    CHECK(heard >= 66 && heard <= 68);
}

static void test_a_hold_up_is_made_up_for(void) {
    int16_t pcm[160] = {0};
    begin(true, false, EVENTS);
    for (unsigned i = 0; i < 50; i++)
        hear_sound(pcm);
    for (unsigned i = 0; i < 280; i++) { /* 5.6 s of sound in no time */
        now_us -= 20000 * (i > 0);
        CHECK_EQUAL(hear_sound(pcm), RW_EAR_TAKEN);
    }
    for (unsigned i = 0; i < 500; i++)
        CHECK_EQUAL(hear_sound(pcm), RW_EAR_TAKEN);
    rw_ear_destroy(ear);
}

static void test_hostile_packets_of_every_kind(void) {
    unsigned long long dice = 1;
    static uint8_t payload[1500];
    begin(true, true, RW_NO_PAYLOAD_TYPE);
    for (int i = 0; i < 200000; i++) {
        unsigned long long roll = check_random(&dice);
        for (int at = 0; at < 8; at++)
            payload[check_random(&dice) % sizeof payload] = (uint8_t)(roll >> at);
        sequence = roll % 7 ? (uint16_t)(sequence + 1) : (uint16_t)(roll >> 20);
        timestamp = (uint32_t)(roll % 5 ? timestamp + 160 : roll >> 9);
        hear((uint8_t)(roll % 3 ? SOUND : roll >> 50 & 127), payload, roll % sizeof payload);
        CHECK(report.count <= RW_EAR_ROOM);
        now_us += roll % 40000;
        report.count = 0;
        if (roll % 11 == 0) rw_ear_pass(ear, now_us, &report);
    }
    rw_ear_destroy(ear);
}

int main(void) {
    rw_ear_config wrong = {.speech = true, .hangover_ms = 1};
    CHECK_EQUAL(rw_ear_create(&wrong, rw_codec_find("PCMU", 8000), &ear), -EINVAL);
    test_speech_starts_and_ends();
    test_speech_ends_over_a_hole_in_the_timestamps();
    test_digits_as_events_and_as_tones();
    test_tones_are_left_alone_where_events_were_agreed_on();
    test_what_is_not_heard();
    test_what_is_only_noted_is_neither_heard_nor_lost();
    test_media_timeout_is_told_once_for_each_silence();
    test_sound_that_comes_faster_than_time();
    test_a_hold_up_is_made_up_for();
    test_hostile_packets_of_every_kind();
    return 0;
}
