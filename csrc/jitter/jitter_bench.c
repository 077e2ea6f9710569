/* What a slot of 20 ms costs, put and take: nanoseconds of CPU time, the best of several rounds. */
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "base/base.h"
#include "jitter/jitter.h"
#include "test/check.h"

#define ROUNDS 10
#define SLOTS 4000
#define BUFFERS 200 /* more than the cache holds, so that the state is not always at hand */

static rw_jitter *buffers[BUFFERS];
static int16_t pcm[320];
static uint8_t payload[1472];

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void start(const rw_codec *codec, size_t count) {
    rw_jitter_config config = {20, 200, 40, 0};
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(rw_jitter_create(codec, &config, &buffers[i]), 0);
}

static void stop(size_t count) {
    for (size_t i = 0; i < count; i++)
        rw_jitter_destroy(buffers[i]);
}

static double run(const rw_codec *codec, size_t bytes, size_t count, unsigned loss_percent) {
    unsigned long long seed = 1;
    size_t turns = SLOTS / count;
    uint32_t packet_ts = codec->clock_rate_hz / 50;
    double from_ns = cpu_ns();
    for (size_t turn = 0; turn < turns; turn++)
        for (size_t i = 0; i < count; i++) {
            rw_rtp_packet packet = {
                {.sequence = (uint16_t)turn, .timestamp = (uint32_t)turn * packet_ts},
                payload,
                bytes};
            if (check_random(&seed) % 100 >= loss_percent)
                rw_jitter_put(buffers[i], &packet, RW_HEARD_NEW);
            rw_jitter_take(buffers[i], pcm, codec->sample_rate_hz / 50);
        }
    return (cpu_ns() - from_ns) / (double)(turns * count);
}

static void measure(const rw_codec *codec, size_t bytes, size_t count, unsigned loss_percent) {
    double best_ns = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        start(codec, count);
        double took_ns = run(codec, bytes, count, loss_percent);
        if (took_ns < best_ns) best_ns = took_ns;
        stop(count);
    }
    printf("%s, %zu buffers, %u %% lost: %.0f ns a slot\n", codec->label, count, loss_percent,
           best_ns);
}

int main(void) {
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 37);
    for (size_t i = 0; i < rw_codec_count(); i++) {
        const rw_codec *codec = rw_codec_at(i);
        if (!codec->bytes_per_ts) continue; /* these bytes are no packet */
        size_t bytes = (size_t)codec->bytes_per_ts * codec->clock_rate_hz / 50;
        measure(codec, bytes, 1, 0);
        measure(codec, bytes, BUFFERS, 0);
        measure(codec, bytes, 1, 5);
    }
    return 0;
}
