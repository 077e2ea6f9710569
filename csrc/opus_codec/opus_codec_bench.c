/* What a packet of 20 ms costs: microseconds of CPU time, the best of several rounds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "opus_codec/opus_codec.h"
#include "test/check.h"

#define ROUNDS 10
#define PACKETS 500
#define PACKET_SAMPLES 320
#define PAYLOAD_BYTES 400

static int16_t sound[PACKETS * PACKET_SAMPLES];
static uint8_t payloads[PACKETS][PAYLOAD_BYTES];
static size_t lengths[PACKETS];

static double cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Harmonics of a gliding pitch, coming and going four times a second. */
static void make_voice(void) {
    double phase = 0;
    for (int i = 0; i < PACKETS * PACKET_SAMPLES; i++) {
        double at_s = (double)i / RW_OPUS_SAMPLE_RATE_HZ, sum = 0;
        phase += 2 * M_PI * (140 + 30 * sin(3 * at_s)) / RW_OPUS_SAMPLE_RATE_HZ;
        for (int harmonic = 1; harmonic <= 12; harmonic++)
            sum += sin(harmonic * phase) / harmonic;
        sound[i] = (int16_t)(6000 * sum * (0.6 + 0.4 * sin(2 * M_PI * 4 * at_s)));
    }
}

static void encode_all(void *encoder) {
    for (int i = 0; i < PACKETS; i++) {
        lengths[i] = rw_opus_encode(encoder, sound + i * PACKET_SAMPLES, PACKET_SAMPLES,
                                    payloads[i], PAYLOAD_BYTES);
        CHECK(lengths[i] > 0);
    }
}

static void decode_all(void *decoder) {
    int16_t heard[PACKET_SAMPLES];
    for (int i = 0; i < PACKETS; i++)
        CHECK_EQUAL(rw_opus_decode(decoder, payloads[i], lengths[i], heard, PACKET_SAMPLES),
                    PACKET_SAMPLES);
}

static void measure(const char *name, void *(*create)(void), void (*run)(void *state)) {
    double best_us = 1e18;
    size_t bytes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        void *state = create();
        CHECK(state);
        double from_us = cpu_us();
        run(state);
        double took_us = (cpu_us() - from_us) / PACKETS;
        if (took_us < best_us) best_us = took_us;
        free(state);
    }
    for (int i = 0; i < PACKETS; i++)
        bytes += lengths[i];
    printf("%s: %.1f us a packet of %zu bytes\n", name, best_us, bytes / PACKETS);
}

int main(void) {
    make_voice();
    measure("encoding live sound", rw_opus_create_encoder, encode_all);
    measure("encoding a prompt", rw_opus_create_prompt_encoder, encode_all);
    measure("decoding", rw_opus_create_decoder, decode_all);
    return 0;
}
