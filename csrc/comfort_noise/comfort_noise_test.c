#include "comfort_noise/comfort_noise.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define SAMPLES 32000

static int16_t pcm[SAMPLES];

/* Mean product of samples that are `lag` apart. */
static double power_at(size_t lag) {
    double sum = 0;
    for (size_t i = 0; i + lag < SAMPLES; i++)
        sum += (double)pcm[i] * pcm[i + lag];
    return sum / (double)(SAMPLES - lag);
}

static double level_dbov(void) {
    return 10 * log10(power_at(0) / (32768.0 * 32768.0));
}

/* Half a second passes first, until the filter has settled. */
static void generate(const uint8_t *payload, size_t bytes) {
    rw_comfort_noise noise;
    rw_comfort_noise_init(&noise, 7);
    CHECK_EQUAL(rw_comfort_noise_read(&noise, payload, bytes), RW_COMFORT_NOISE_OK);
    rw_comfort_noise_generate(&noise, pcm, 4000);
    rw_comfort_noise_generate(&noise, pcm, SAMPLES);
}

static void test_white_noise_has_the_level_that_was_asked_for(void) {
    for (int level = 20; level <= 70; level += 10) {
        uint8_t payload = (uint8_t)(0x80 | level);
        generate(&payload, 1);
        CHECK(fabs(level_dbov() + level) < 0.3);
        CHECK(fabs(power_at(1) / power_at(0)) < 0.03);
    }
    uint8_t none = 127;
    generate(&none, 1);
    for (size_t i = 0; i < SAMPLES; i++)
        CHECK(abs(pcm[i]) <= 1);
}

/* A model of first order with k = -0.5: neighbours correlate by 0.5, those two apart by 0.25. */
static void test_reflection_coefficients_colour_it(void) {
    uint8_t payload[] = {40, 127 - 64, 127};
    generate(payload, sizeof(payload));
    CHECK(fabs(level_dbov() + 40) < 0.5);
    CHECK(fabs(power_at(1) / power_at(0) - 0.504) < 0.04);
    CHECK(fabs(power_at(2) / power_at(0) - 0.254) < 0.04);
    payload[1] = 127 + 64;
    generate(payload, sizeof(payload));
    CHECK(fabs(power_at(1) / power_at(0) + 0.504) < 0.04);
}

static void test_the_level_holds_at_any_order(void) {
    uint8_t payload[200] = {35, 200, 60, 140, 100, 150, 90, 127, 130, 120, 160, 110, 140};
    memset(payload + 13, 254, sizeof(payload) - 13); /* beyond the order kept */
    generate(payload, sizeof(payload));
    CHECK(fabs(level_dbov() + 35) < 0.7);
}

static void test_rejects_change_nothing(void) {
    rw_comfort_noise noise, before;
    uint8_t payload[] = {30, 100, 255};
    rw_comfort_noise_init(&noise, 1);
    rw_comfort_noise_generate(&noise, pcm, SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++)
        CHECK_EQUAL(pcm[i], 0);
    CHECK_EQUAL(rw_comfort_noise_read(&noise, payload, 2), RW_COMFORT_NOISE_OK);
    before = noise;
    CHECK_EQUAL(rw_comfort_noise_read(&noise, payload, 0), RW_COMFORT_NOISE_EMPTY);
    CHECK_EQUAL(rw_comfort_noise_read(&noise, payload, 3), RW_COMFORT_NOISE_BAD_COEFFICIENT);
    CHECK(memcmp(&noise, &before, sizeof(noise)) == 0);
}

/* The sharpest resonances that can be written down, at full level, and changes amid them. */
static void test_extremes_stay_in_bounds(void) {
    unsigned long long random = 3389;
    rw_comfort_noise noise;
    rw_comfort_noise_init(&noise, 5);
    for (int round = 0; round < 500; round++) {
        uint8_t payload[14] = {0};
        for (size_t i = 1; i < sizeof(payload); i++)
            payload[i] = check_random(&random) >> 40 & 1 ? 254 : 0;
        CHECK_EQUAL(rw_comfort_noise_read(&noise, payload, check_random(&random) % 13 + 1),
                    RW_COMFORT_NOISE_OK);
        rw_comfort_noise_generate(&noise, pcm, 160);
        for (size_t i = 0; i < RW_LENGTH_OF(noise.backward); i++)
            CHECK(isfinite(noise.backward[i]));
    }
    uint8_t quiet = 60;
    CHECK_EQUAL(rw_comfort_noise_read(&noise, &quiet, 1), RW_COMFORT_NOISE_OK);
    rw_comfort_noise_generate(&noise, pcm, SAMPLES);
    CHECK(fabs(level_dbov() + 60) < 0.3);
}

int main(void) {
    test_white_noise_has_the_level_that_was_asked_for();
    test_reflection_coefficients_colour_it();
    test_the_level_holds_at_any_order();
    test_rejects_change_nothing();
    test_extremes_stay_in_bounds();
    return 0;
}
