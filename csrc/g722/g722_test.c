#include "g722/g722.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define SAMPLES 3200
/* What both mirror filters delay together. */
#define DELAY_SAMPLES 22

static void make_tone(int16_t *pcm, size_t samples, double hz, double amplitude) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(amplitude * sin(2 * M_PI * hz * (double)i / 16000));
}

/* Correlation of what was heard with what was said, once the steps have adapted. */
static double correlation(const int16_t *said, const int16_t *heard, size_t samples) {
    double both = 0, one = 0, other = 0;
    for (size_t i = 400; i + DELAY_SAMPLES < samples; i++) {
        double a = said[i], b = heard[i + DELAY_SAMPLES];
        both += a * b;
        one += a * a;
        other += b * b;
    }
    return both / sqrt(one * other);
}

static void test_tones_of_both_bands_come_back(void) {
    static const double tones_hz[] = {150, 300, 1000, 3400, 5000, 6500};
    for (size_t i = 0; i < RW_LENGTH_OF(tones_hz); i++) {
        int16_t said[SAMPLES], heard[SAMPLES];
        uint8_t payload[SAMPLES / 2];
        rw_g722 encoder, decoder;
        rw_g722_init(&encoder);
        rw_g722_init(&decoder);
        make_tone(said, SAMPLES, tones_hz[i], 8000);
        rw_g722_encode(&encoder, said, SAMPLES, payload);
        rw_g722_decode(&decoder, payload, SAMPLES / 2, heard);
        CHECK(correlation(said, heard, SAMPLES) > 0.98);
    }
}

/* However a stream is cut into packets, its bytes and samples are the same. */
static void test_the_cut_does_not_matter(void) {
    static const size_t cuts[] = {2, 320, 6, 640, 0, 160};
    int16_t said[SAMPLES], heard[SAMPLES], whole[SAMPLES];
    uint8_t cut[SAMPLES / 2], once[SAMPLES / 2];
    rw_g722 encoder, decoder;
    make_tone(said, SAMPLES, 440, 30000);
    rw_g722_init(&encoder);
    rw_g722_encode(&encoder, said, SAMPLES, once);
    rw_g722_init(&decoder);
    rw_g722_decode(&decoder, once, SAMPLES / 2, whole);
    rw_g722_init(&encoder);
    rw_g722_init(&decoder);
    for (size_t at = 0, i = 0; at < SAMPLES; i++) {
        size_t left = SAMPLES - at, take = cuts[i % RW_LENGTH_OF(cuts)];
        take = take < left ? take : left;
        rw_g722_encode(&encoder, said + at, take, cut + at / 2);
        rw_g722_decode(&decoder, cut + at / 2, take / 2, heard + at);
        at += take;
    }
    CHECK(memcmp(cut, once, sizeof(cut)) == 0);
    CHECK(memcmp(heard, whole, sizeof(heard)) == 0);
}

static void test_the_silence_byte_falls_to_silence(void) {
    int16_t said[SAMPLES], heard[SAMPLES];
    uint8_t payload[SAMPLES / 2];
    rw_g722 encoder, decoder;
    rw_g722_init(&encoder);
    rw_g722_init(&decoder);
    make_tone(said, SAMPLES, 900, 20000);
    rw_g722_encode(&encoder, said, SAMPLES, payload);
    rw_g722_decode(&decoder, payload, SAMPLES / 2, heard);
    memset(payload, RW_G722_SILENCE, sizeof(payload));
    rw_g722_decode(&decoder, payload, SAMPLES / 2, heard);
    for (size_t i = 320; i < SAMPLES; i++)
        CHECK(abs(heard[i]) < 120);
}

/* Any bytes at all, and the loudest sounds there are: nothing overflows (UBSan watches). */
static void test_noise_is_bearable(void) {
    unsigned long long random = 722;
    int16_t pcm[64];
    uint8_t payload[32];
    rw_g722 encoder, decoder;
    rw_g722_init(&encoder);
    rw_g722_init(&decoder);
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof(payload); i++)
            payload[i] = (uint8_t)(check_random(&random) >> 32);
        rw_g722_decode(&decoder, payload, sizeof(payload), pcm);
        for (size_t i = 0; i < RW_LENGTH_OF(pcm); i++)
            pcm[i] = check_random(&random) >> 32 & 1 ? INT16_MAX : INT16_MIN;
        rw_g722_encode(&encoder, pcm, RW_LENGTH_OF(pcm), payload);
    }
}

int main(void) {
    test_tones_of_both_bands_come_back();
    test_the_cut_does_not_matter();
    test_the_silence_byte_falls_to_silence();
    test_noise_is_bearable();
    return 0;
}
