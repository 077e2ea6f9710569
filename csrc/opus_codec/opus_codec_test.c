#include "opus_codec/opus_codec.h"

#include <math.h>
#include <opus.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define PACKET_SAMPLES 320
#define PACKETS 100
#define SAMPLES (PACKETS * PACKET_SAMPLES)
#define PAYLOAD_BYTES 400

static int16_t said[SAMPLES], heard[SAMPLES];

/* Something like a voice: harmonics of a gliding pitch, coming and going four times a second. */
static void make_voice(void) {
    double phase = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        double at_s = (double)i / RW_OPUS_SAMPLE_RATE_HZ, sum = 0;
        phase += 2 * M_PI * (140 + 30 * sin(3 * at_s)) / RW_OPUS_SAMPLE_RATE_HZ;
        for (int harmonic = 1; harmonic <= 12; harmonic++)
            sum += sin(harmonic * phase) / harmonic;
        said[i] = (int16_t)(6000 * sum * (0.6 + 0.4 * sin(2 * M_PI * 4 * at_s)));
    }
}

static double correlation_at(size_t lag, size_t from, size_t to) {
    double both = 0, one = 0, other = 0;
    for (size_t i = from; i + lag < to; i++) {
        both += (double)said[i] * heard[i + lag];
        one += (double)said[i] * said[i];
        other += (double)heard[i + lag] * heard[i + lag];
    }
    return both / sqrt(one * other + 1);
}

/* The delay below 20 ms at which the two have most in common. */
static size_t best_lag(size_t from, size_t to) {
    size_t best = 0;
    for (size_t lag = 1; lag < PACKET_SAMPLES; lag++)
        if (correlation_at(lag, from, to) > correlation_at(best, from, to)) best = lag;
    return best;
}

static double correlation(size_t from, size_t to) {
    return correlation_at(best_lag(from, to), from, to);
}

/* Passes the voice, without every `lose_every`th packet (0: none is lost). */
static void pass(void *encoder, size_t lose_every) {
    void *decoder = rw_opus_create_decoder();
    CHECK(encoder && decoder);
    for (size_t i = 0; i < PACKETS; i++) {
        uint8_t payload[PAYLOAD_BYTES];
        int16_t *to = heard + i * PACKET_SAMPLES;
        size_t bytes = rw_opus_encode(encoder, said + i * PACKET_SAMPLES, PACKET_SAMPLES, payload,
                                      sizeof(payload));
        CHECK(bytes > 0);
        size_t got = lose_every && i % lose_every == 5
                         ? rw_opus_conceal(decoder, to, PACKET_SAMPLES)
                         : rw_opus_decode(decoder, payload, bytes, to, PACKET_SAMPLES);
        CHECK_EQUAL(got, PACKET_SAMPLES);
    }
    free(encoder);
    free(decoder);
}

static void test_a_voice_comes_back(void) {
    pass(rw_opus_create_encoder(), 0);
    CHECK(correlation(1600, SAMPLES) > 0.95);
}

static void test_losses_are_concealed(void) {
    pass(rw_opus_create_encoder(), 10);
    CHECK(correlation(1600, SAMPLES) > 0.8);
    for (size_t i = 5; i < PACKETS; i += 10) {
        double power = 0;
        for (size_t j = 0; j < PACKET_SAMPLES; j++)
            power += pow(heard[i * PACKET_SAMPLES + j], 2);
        CHECK(power / PACKET_SAMPLES > 100 * 100);
    }
}

static void test_lengths_that_there_are_not(void) {
    uint8_t payload[PAYLOAD_BYTES];
    void *encoder = rw_opus_create_encoder(), *decoder = rw_opus_create_decoder();
    CHECK_EQUAL(rw_opus_encode(encoder, said, 321, payload, sizeof(payload)), 0);
    CHECK_EQUAL(rw_opus_encode(encoder, said, 0, payload, sizeof(payload)), 0);
    CHECK_EQUAL(rw_opus_encode(encoder, said, SAMPLES, payload, sizeof(payload)), 0);
    CHECK_EQUAL(rw_opus_encode(encoder, said, PACKET_SAMPLES, payload, 0), 0);
    size_t bytes = rw_opus_encode(encoder, said, PACKET_SAMPLES, payload, sizeof(payload));
    CHECK_EQUAL(rw_opus_decode(decoder, payload, bytes, heard, PACKET_SAMPLES - 1), 0);
    CHECK_EQUAL(rw_opus_decode(decoder, payload, bytes, heard, SAMPLES), PACKET_SAMPLES);
    CHECK_EQUAL(rw_opus_decode(decoder, payload, 0, heard, SAMPLES), 0);
    CHECK_EQUAL(rw_opus_decode(decoder, payload, SIZE_MAX, heard, SAMPLES), 0);
    CHECK_EQUAL(rw_opus_conceal(decoder, heard, 100), 80);
    CHECK_EQUAL(rw_opus_conceal(decoder, heard, 39), 0);
    free(encoder);
    free(decoder);
}

/* Any bytes: a number of samples within the room, or none (ASan and UBSan watch). */
/* 30 and 50 ms are no frames: such a packet is made of several. */
static void test_packets_of_several_frames(void) {
    static const size_t steps[] = {1, 3, 6, 12, 20, 28, 40, 48};
    uint8_t payload[2 * PAYLOAD_BYTES];
    void *encoder = rw_opus_create_encoder(), *decoder = rw_opus_create_decoder();
    for (size_t i = 0; i < RW_LENGTH_OF(steps); i++) {
        size_t samples = 40 * steps[i];
        size_t bytes = rw_opus_encode(encoder, said, samples, payload, sizeof(payload));
        CHECK(bytes > 0);
        CHECK_EQUAL(rw_opus_decode(decoder, payload, bytes, heard, SAMPLES), samples);
        CHECK(rw_opus_encode(encoder, said, samples, payload, 1) <= 1);
    }
    free(encoder);
    free(decoder);
}

static void test_several_frames_are_the_same_sound(void) {
    void *encoder = rw_opus_create_encoder(), *decoder = rw_opus_create_decoder();
    for (size_t at = 0; at + 480 <= SAMPLES; at += 480) {
        uint8_t payload[PAYLOAD_BYTES];
        size_t bytes = rw_opus_encode(encoder, said + at, 480, payload, sizeof(payload));
        CHECK_EQUAL(rw_opus_decode(decoder, payload, bytes, heard + at, 480), 480);
    }
    CHECK(correlation(1600, SAMPLES - 480) > 0.95);
    free(encoder);
    free(decoder);
}

/* Browsers send two channels and the full band, whatever we said that we play (RFC 7587 section
 * 6.1): each sample of ours is three of theirs, on either side. */
static void test_stereo_at_48_khz_is_heard_in_mono(void) {
    static int16_t both[2 * 3 * PACKET_SAMPLES];
    int error;
    OpusEncoder *peer = opus_encoder_create(48000, 2, OPUS_APPLICATION_AUDIO, &error);
    CHECK_EQUAL(error, OPUS_OK);
    opus_encoder_ctl(peer, OPUS_SET_FORCE_CHANNELS(2));
    void *decoder = rw_opus_create_decoder();
    for (size_t at = 0; at < SAMPLES; at += PACKET_SAMPLES) {
        uint8_t payload[2 * PAYLOAD_BYTES];
        for (size_t i = 0; i < 3 * PACKET_SAMPLES; i++)
            both[2 * i] = both[2 * i + 1] = said[at + i / 3];
        int bytes = opus_encode(peer, both, 3 * PACKET_SAMPLES, payload, sizeof(payload));
        CHECK(bytes > 0 && payload[0] & 4); /* the bit of stereo, RFC 6716 section 3.1 */
        CHECK_EQUAL(rw_opus_decode(decoder, payload, (size_t)bytes, heard + at, PACKET_SAMPLES),
                    PACKET_SAMPLES);
    }
    CHECK(correlation(1600, SAMPLES) > 0.95);
    opus_encoder_destroy(peer);
    free(decoder);
}

/* What a prompt makes up for. */
static void test_the_delay_is_as_said(void) {
    pass(rw_opus_create_prompt_encoder(), 0);
    size_t lag = best_lag(1600, SAMPLES);
    CHECK(correlation_at(lag, 1600, SAMPLES) > 0.95);
    CHECK(lag + 1 >= RW_OPUS_DELAY_SAMPLES && lag <= RW_OPUS_DELAY_SAMPLES + 1);
}

static void test_noise_is_bearable(void) {
    unsigned long long random = 6716;
    void *decoder = rw_opus_create_decoder();
    for (int round = 0; round < 3000; round++) {
        uint8_t payload[PAYLOAD_BYTES];
        size_t bytes = check_random(&random) % sizeof(payload);
        size_t room = check_random(&random) % 2000;
        for (size_t i = 0; i < bytes; i++)
            payload[i] = (uint8_t)(check_random(&random) >> 32);
        CHECK(rw_opus_decode(decoder, payload, bytes, heard, room) <= room);
    }
    free(decoder);
}

int main(void) {
    make_voice();
    test_a_voice_comes_back();
    test_losses_are_concealed();
    test_lengths_that_there_are_not();
    test_packets_of_several_frames();
    test_several_frames_are_the_same_sound();
    test_stereo_at_48_khz_is_heard_in_mono();
    test_the_delay_is_as_said();
    test_noise_is_bearable();
    CHECK(strstr(rw_opus_version(), "opus"));
    return 0;
}
