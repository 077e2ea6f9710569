#include "vad/vad.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "g711/g711.h"
#include "test/check.h"

#define FRAME 160
#define FRAME_MS 20

static rw_vad vad;
static rw_vad_event event;
static int starts, ends;
static int clock_ms;
static unsigned long long seed;

static void begin_with(uint32_t hangover_ms, rw_vad_sensitivity sensitivity) {
    rw_vad_config config = {8000, hangover_ms, sensitivity};
    CHECK_EQUAL(rw_vad_init(&vad, &config), 0);
    starts = ends = clock_ms = 0;
    seed = 1;
}

static void begin(void) {
    begin_with(RW_VAD_HANGOVER_DEFAULT_MS, RW_VAD_MEDIUM);
}

static double noise(void) {
    return (double)(check_random(&seed) >> 40) / (1 << 23) - 1.0;
}

/* A vowel of this amplitude: glottal pulses of 120 Hz through a resonance at 600 Hz. */
static double voice(int at, double amplitude) {
    int place = at % 67;
    return amplitude * exp(-place / 20.0) * cos(2 * M_PI * 600 * place / 8000);
}

static void hear(const int16_t *pcm) {
    CHECK_EQUAL(rw_vad_hear(&vad, pcm, FRAME, &event), 0);
    starts += event.kind == RW_VAD_START;
    ends += event.kind == RW_VAD_END;
    clock_ms += FRAME_MS;
}

/* Frames of a vowel over noise of these amplitudes; returns after how many ms speech started, 0 if
 * it did not. */
static int hear_sound(int ms, double voiced, double noisy) {
    int before = starts, started_ms = 0;
    for (int from = 0; from < ms; from += FRAME_MS) {
        int16_t pcm[FRAME];
        for (int i = 0; i < FRAME; i++)
            pcm[i] = (int16_t)(voice(from * 8 + i, voiced) + noisy * noise());
        hear(pcm);
        if (starts > before && !started_ms) started_ms = from + FRAME_MS;
    }
    return started_ms;
}

static void hear_tones(int ms, double amplitude, double first_hz, double second_hz) {
    for (int from = 0; from < ms; from += FRAME_MS) {
        int16_t pcm[FRAME];
        for (int i = 0; i < FRAME; i++) {
            double turn = 2 * M_PI * (from * 8 + i) / 8000;
            pcm[i] = (int16_t)(amplitude * (sin(first_hz * turn) + sin(second_hz * turn)));
        }
        hear(pcm);
    }
}

static void test_what_is_no_config_is_refused(void) {
    rw_vad_config good = {16000, 500, RW_VAD_HIGH}, bad = good;
    CHECK_EQUAL(rw_vad_init(&vad, &good), 0);
    bad.sample_rate_hz = 44100;
    CHECK_EQUAL(rw_vad_init(&vad, &bad), -EINVAL);
    bad = good;
    bad.hangover_ms = RW_VAD_HANGOVER_MIN_MS - 1;
    CHECK_EQUAL(rw_vad_init(&vad, &bad), -EINVAL);
    bad.hangover_ms = RW_VAD_HANGOVER_MAX_MS + 1;
    CHECK_EQUAL(rw_vad_init(&vad, &bad), -EINVAL);
    bad = good;
    bad.sensitivity = (rw_vad_sensitivity)3;
    CHECK_EQUAL(rw_vad_init(&vad, &bad), -EINVAL);
}

static void test_only_whole_frames_are_heard(void) {
    static const int16_t pcm[1000];
    begin();
    CHECK_EQUAL(rw_vad_hear(&vad, pcm, 0, &event), -EINVAL);
    CHECK_EQUAL(rw_vad_hear(&vad, pcm, 72, &event), -EINVAL);
    CHECK_EQUAL(rw_vad_hear(&vad, pcm, 161, &event), -EINVAL);
    CHECK_EQUAL(rw_vad_hear(&vad, pcm, 488, &event), -EINVAL);
    for (size_t samples = 80; samples <= 480; samples += 8)
        CHECK_EQUAL(rw_vad_hear(&vad, pcm, samples, &event), 0);
}

static void test_clear_speech_starts_within_60_ms_and_ends_after_the_hangover(void) {
    begin_with(300, RW_VAD_MEDIUM);
    CHECK_EQUAL(hear_sound(1000, 0, 20), 0);
    int started_ms = hear_sound(400, 6000, 20);
    CHECK(started_ms > 0 && started_ms <= 60);
    CHECK(rw_vad_speaking(&vad));
    hear_sound(280, 0, 20);
    CHECK_EQUAL(ends, 0);
    while (event.kind != RW_VAD_END && clock_ms < 3000)
        hear_sound(FRAME_MS, 0, 20);
    CHECK(clock_ms >= 1700 && clock_ms <= 1740);
    CHECK(!rw_vad_speaking(&vad));
    CHECK(event.duration_ms >= 390 && event.duration_ms <= 440);
    CHECK(event.level_dbov > -30 && event.level_dbov < -15);
    CHECK(event.noise_dbov < -55);
}

static void test_steady_noise_starts_nothing_at_any_level(void) {
    for (double amplitude = 1; amplitude < 30000; amplitude *= 3) {
        begin();
        CHECK_EQUAL(hear_sound(10000, 0, amplitude), 0);
    }
}

static void test_speech_over_noise_is_heard(void) {
    begin();
    hear_sound(3000, 0, 500);
    int started_ms = hear_sound(300, 6000, 500);
    CHECK(started_ms > 0 && started_ms <= 100);
}

static void test_a_louder_line_ends_what_it_has_started(void) {
    begin();
    hear_sound(1000, 0, 20);
    hear_sound(300, 6000, 20);
    hear_sound(4000, 0, 3000);
    CHECK_EQUAL(starts, 1);
    CHECK_EQUAL(ends, 1);
}

static void test_hum_becomes_the_floor(void) {
    begin();
    hear_tones(4000, 4000, 100, 200);
    CHECK(!rw_vad_speaking(&vad));
    int before = starts;
    hear_tones(4000, 4000, 100, 200);
    CHECK_EQUAL(starts, before);
}

static void test_a_burst_and_a_click_are_no_speech(void) {
    begin();
    for (int i = 0; i < 20; i++) {
        hear_sound(300, 0, 20);
        hear_sound(FRAME_MS, 0, 12000);
    }
    for (int i = 0; i < 20; i++) {
        int16_t pcm[FRAME] = {[7] = 32767};
        hear(pcm);
        hear_sound(200, 0, 20);
    }
    CHECK_EQUAL(starts, 0);
}

static void test_digits_are_no_speech(void) {
    static const double low_hz[] = {697, 770, 852, 941}, high_hz[] = {1209, 1336, 1477, 1633};
    begin();
    for (int digit = 0; digit < 16; digit++) {
        hear_tones(100, 6000, low_hz[digit / 4], high_hz[digit % 4]);
        hear_sound(100, 0, 20);
    }
    CHECK_EQUAL(starts, 0);
}

static void test_a_gap_ends_speech_and_only_a_long_one(void) {
    begin();
    hear_sound(500, 0, 20);
    hear_sound(200, 6000, 20);
    CHECK_EQUAL(starts, 1);
    rw_vad_gap(&vad, 40, &event);
    CHECK_EQUAL(event.kind, RW_VAD_NONE);
    CHECK(rw_vad_speaking(&vad));
    rw_vad_gap(&vad, 480, &event);
    CHECK_EQUAL(event.kind, RW_VAD_END);
    rw_vad_gap(&vad, UINT32_MAX, &event);
    CHECK_EQUAL(event.kind, RW_VAD_NONE);
}

static void sends_and_hears(int ms, int sent_dbov, double amplitude) {
    for (int i = 0; i < ms; i += FRAME_MS) {
        rw_vad_sent(&vad, sent_dbov);
        hear_sound(FRAME_MS, amplitude, 20);
    }
}

static void test_an_echo_is_no_speech_but_a_caller_over_it_is(void) {
    begin();
    hear_sound(1000, 0, 20);
    /* 4,000 is about -29 dBov. */
    for (int i = 0; i < 10; i++) {
        sends_and_hears(300, -14, 4000);
        sends_and_hears(200, -14, 0);
    }
    CHECK_EQUAL(starts, 0);
    sends_and_hears(300, -14, 20000);
    CHECK_EQUAL(starts, 1);
}

static void test_the_echo_of_the_last_half_second_is_guarded(void) {
    begin();
    hear_sound(1000, 0, 20);
    sends_and_hears(1000, -14, 0);
    CHECK_EQUAL(hear_sound(400, 1000, 20), 0);
    CHECK(hear_sound(1000, 1000, 20) > 0);
}

static void test_a_quiet_line_lowers_the_guard(void) {
    begin();
    hear_sound(1000, 0, 20);
    sends_and_hears(200, -14, 3000);
    CHECK_EQUAL(starts, 0);
    sends_and_hears(6000, -14, 0);
    sends_and_hears(200, -14, 3000);
    CHECK_EQUAL(starts, 1);
}

static void test_levels(void) {
    int16_t pcm[FRAME] = {0};
    uint8_t codes[FRAME];
    CHECK_EQUAL(rw_vad_level(pcm, FRAME), RW_VAD_SILENCE_DBOV);
    CHECK_EQUAL(rw_vad_level(pcm, 0), RW_VAD_SILENCE_DBOV);
    for (int i = 0; i < FRAME; i++)
        pcm[i] = i % 2 ? -32768 : 32767;
    CHECK_EQUAL(rw_vad_level(pcm, FRAME), 0);
    for (int i = 0; i < FRAME; i++)
        pcm[i] = (int16_t)(3276 * (i % 2 ? -1 : 1));
    CHECK_EQUAL(rw_vad_level(pcm, FRAME), -20);
    rw_g711_ulaw_encode(pcm, FRAME, codes);
    CHECK_EQUAL(rw_vad_level_ulaw(codes, FRAME), -20);
    rw_g711_alaw_encode(pcm, FRAME, codes);
    CHECK_EQUAL(rw_vad_level_alaw(codes, FRAME), -20);
}

static void test_the_state_is_small(void) {
    CHECK(sizeof(rw_vad) < 256);
}

int main(void) {
    test_what_is_no_config_is_refused();
    test_only_whole_frames_are_heard();
    test_clear_speech_starts_within_60_ms_and_ends_after_the_hangover();
    test_steady_noise_starts_nothing_at_any_level();
    test_speech_over_noise_is_heard();
    test_a_louder_line_ends_what_it_has_started();
    test_hum_becomes_the_floor();
    test_a_burst_and_a_click_are_no_speech();
    test_digits_are_no_speech();
    test_a_gap_ends_speech_and_only_a_long_one();
    test_an_echo_is_no_speech_but_a_caller_over_it_is();
    test_the_echo_of_the_last_half_second_is_guarded();
    test_a_quiet_line_lowers_the_guard();
    test_levels();
    test_the_state_is_small();
    return 0;
}
