#include "resample/resample.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

static const uint32_t rates_hz[] = {8000, 16000, 24000, 48000};

/* A tenth of a second at the highest rate. */
#define SAMPLES 4800
#define PACKET_MS 10

static double lower_of(uint32_t a_hz, uint32_t b_hz) {
    return a_hz < b_hz ? a_hz : b_hz;
}

/* Feeds a tone by packets; returns how many samples came, which are at `to_hz`. */
static size_t resample_tone(uint32_t from_hz, uint32_t to_hz, double hz, double amplitude,
                            int16_t *to) {
    rw_resampler resampler;
    CHECK_EQUAL(rw_resampler_init(&resampler, from_hz, to_hz), 0);
    size_t packet = from_hz * PACKET_MS / 1000, made = 0;
    int16_t pcm[480];
    for (size_t at = 0; at < from_hz / 10; at += packet) {
        for (size_t i = 0; i < packet; i++)
            pcm[i] = (int16_t)lrint(amplitude * sin(2 * M_PI * hz * (double)(at + i) / from_hz));
        made += rw_resample(&resampler, pcm, packet, to + made, SAMPLES - made);
    }
    return made;
}

/* Power of the tone over the power of all else, in dB, once the filter is full: the tone is where
 * it should be, 14 samples of the lower rate late. */
static double snr_db(const int16_t *heard, size_t samples, uint32_t to_hz, double hz,
                     double amplitude, double delay_s) {
    double signal = 0, noise = 0;
    for (size_t i = samples / 10; i < samples; i++) {
        double wanted = amplitude * sin(2 * M_PI * hz * ((double)i / to_hz - delay_s));
        signal += wanted * wanted;
        noise += (heard[i] - wanted) * (heard[i] - wanted);
    }
    return 10 * log10(signal / noise);
}

static void check_pass_band(uint32_t from_hz, uint32_t to_hz) {
    static const double parts[] = {0.0125, 0.125, 0.25, 0.375, 0.425};
    double lower_hz = lower_of(from_hz, to_hz);
    for (size_t i = 0; i < RW_LENGTH_OF(parts); i++) {
        int16_t heard[SAMPLES];
        double hz = parts[i] * lower_hz;
        size_t made = resample_tone(from_hz, to_hz, hz, 12000, heard);
        CHECK_EQUAL(made, to_hz / 10);
        double delay_s = from_hz == to_hz ? 0 : RW_RESAMPLE_REACH / lower_hz;
        CHECK(snr_db(heard, made, to_hz, hz, 12000, delay_s) > 45);
    }
}

/* What the lower rate cannot carry does not come back as another tone. */
static void check_stop_band(uint32_t from_hz, uint32_t to_hz) {
    for (double hz = 0.575 * to_hz; hz < from_hz / 2.0; hz += 0.11 * to_hz) {
        int16_t heard[SAMPLES];
        double power = 0;
        size_t made = resample_tone(from_hz, to_hz, hz, 12000, heard);
        for (size_t i = made / 5; i < made; i++)
            power += (double)heard[i] * heard[i] / (double)(made - made / 5);
        CHECK(10 * log10(power / (12000.0 * 12000.0 / 2)) < -45);
    }
}

static void test_every_pair_of_rates(void) {
    for (size_t i = 0; i < RW_LENGTH_OF(rates_hz); i++)
        for (size_t j = 0; j < RW_LENGTH_OF(rates_hz); j++) {
            check_pass_band(rates_hz[i], rates_hz[j]);
            if (i > j) check_stop_band(rates_hz[i], rates_hz[j]);
        }
}

/* Any cut of the input gives the same output, and the room that was said is enough. */
static void test_the_cut_does_not_matter(void) {
    unsigned long long random = 48000;
    int16_t said[SAMPLES], whole[6 * SAMPLES + 1], cut[6 * SAMPLES + 1];
    for (size_t i = 0; i < SAMPLES; i++)
        said[i] = (int16_t)(check_random(&random) >> 40);
    for (size_t pair = 0; pair < 16; pair++) {
        uint32_t from_hz = rates_hz[pair % 4], to_hz = rates_hz[pair / 4];
        rw_resampler one, other;
        CHECK_EQUAL(rw_resampler_init(&one, from_hz, to_hz), 0);
        CHECK_EQUAL(rw_resampler_init(&other, from_hz, to_hz), 0);
        size_t all = rw_resample(&one, said, SAMPLES, whole, RW_LENGTH_OF(whole)), made = 0;
        CHECK_EQUAL(all, (size_t)SAMPLES * to_hz / from_hz);
        for (size_t at = 0; at < SAMPLES;) {
            size_t take = check_random(&random) % 700;
            take = take < SAMPLES - at ? take : SAMPLES - at;
            made +=
                rw_resample(&other, said + at, take, cut + made, rw_resampler_room(&other, take));
            at += take;
        }
        CHECK_EQUAL(made, all);
        CHECK(memcmp(whole, cut, all * sizeof(*cut)) == 0);
    }
}

/* The worst of all inputs saturates and does not wrap; sums do not overflow (UBSan watches). */
static void test_full_scale_squares_saturate(void) {
    for (size_t pair = 0; pair < 16; pair++) {
        int16_t said[SAMPLES], heard[6 * SAMPLES + 1];
        uint32_t from_hz = rates_hz[pair % 4], to_hz = rates_hz[pair / 4];
        size_t half = from_hz / 200;
        for (size_t i = 0; i < SAMPLES; i++)
            said[i] = i / half % 2 ? INT16_MIN : INT16_MAX;
        rw_resampler resampler;
        CHECK_EQUAL(rw_resampler_init(&resampler, from_hz, to_hz), 0);
        size_t made = rw_resample(&resampler, said, SAMPLES, heard, RW_LENGTH_OF(heard));
        size_t other_half = to_hz / 200;
        double delay =
            from_hz == to_hz ? 0 : RW_RESAMPLE_REACH * (double)to_hz / lower_of(from_hz, to_hz);
        for (size_t at = (size_t)delay + other_half / 2; at < made; at += other_half) {
            size_t side = (at - (size_t)delay) / other_half % 2;
            CHECK(side ? heard[at] < -28000 : heard[at] > 28000);
        }
    }
}

static void test_no_room_is_no_harm(void) {
    int16_t said[400] = {0}, heard[10];
    rw_resampler resampler;
    CHECK_EQUAL(rw_resampler_init(&resampler, 8000, 48000), 0);
    CHECK_EQUAL(rw_resample(&resampler, said, 400, heard, 10), 10);
    CHECK_EQUAL(rw_resample(&resampler, said, 0, heard, 0), 0);
    CHECK_EQUAL(rw_resampler_init(&resampler, 8000, 8000), 0);
    CHECK_EQUAL(rw_resample(&resampler, said, 400, heard, 10), 10);
    CHECK_EQUAL(rw_resampler_init(&resampler, 8000, 44100), -EINVAL);
    CHECK_EQUAL(rw_resampler_init(&resampler, 0, 8000), -EINVAL);
}

int main(void) {
    test_every_pair_of_rates();
    test_the_cut_does_not_matter();
    test_full_scale_squares_saturate();
    test_no_room_is_no_harm();
    return 0;
}
