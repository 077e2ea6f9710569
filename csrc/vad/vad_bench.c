/* What a frame of 20 ms costs: nanoseconds of CPU time, the best of several rounds. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "test/check.h"
#include "vad/vad.h"

#define ROUNDS 20
#define FRAMES 500
#define FRAME_SAMPLES 160
#define DETECTORS 4000 /* as many as a busy shard has, so that the state is not always at hand */

static rw_vad detectors[DETECTORS];
static int16_t sound[FRAMES * FRAME_SAMPLES];
static volatile int sink;

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void start(int count) {
    rw_vad_config config = {8000, RW_VAD_HANGOVER_DEFAULT_MS, RW_VAD_MEDIUM};
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(rw_vad_init(&detectors[i], &config), 0);
}

static void measure(const char *name, int count) {
    double best_ns = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        rw_vad_event event;
        int events = 0, frames = count > FRAMES ? count : FRAMES;
        start(count);
        double from_ns = cpu_ns();
        for (int i = 0; i < frames; i++) {
            rw_vad_hear(&detectors[i % count], sound + i % FRAMES * FRAME_SAMPLES, FRAME_SAMPLES,
                        &event);
            events += event.kind != RW_VAD_NONE;
        }
        double took_ns = (cpu_ns() - from_ns) / frames;
        sink = events;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    printf("%s, %d detectors: %.0f ns a frame\n", name, count, best_ns);
}

static void make_noise(void) {
    unsigned long long seed = 1;
    for (int i = 0; i < FRAMES * FRAME_SAMPLES; i++)
        sound[i] = (int16_t)(check_random(&seed) >> 52);
}

/* Pulses of 120 Hz, swelling and fading four times a second: the period is looked for all along. */
static void make_voice(void) {
    for (int i = 0; i < FRAMES * FRAME_SAMPLES; i++) {
        double swell = 0.5 + 0.5 * sin(2 * M_PI * 4 * i / 8000);
        sound[i] = (int16_t)(16000 * swell * exp(-(i % 67) / 12.0) * cos(2 * M_PI * 600 * i / 8e3));
    }
}

/* A block's level, as the sender takes it of each packet. */
static void measure_level(void) {
    uint8_t codes[FRAME_SAMPLES];
    for (int i = 0; i < FRAME_SAMPLES; i++)
        codes[i] = (uint8_t)(i * 37);
    double best_ns = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double from_ns = cpu_ns();
        for (int i = 0; i < FRAMES; i++) {
            codes[0] = (uint8_t)i;
            sink = rw_vad_level_ulaw(codes, sizeof(codes));
        }
        double took_ns = (cpu_ns() - from_ns) / FRAMES;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    printf("level of a PCMU payload: %.0f ns\n", best_ns);
}

int main(void) {
    printf("state: %zu bytes\n", sizeof(rw_vad));
    make_noise();
    measure("noise", 1);
    measure("noise", DETECTORS);
    make_voice();
    measure("voice", 1);
    measure("voice", DETECTORS);
    measure_level();
    return 0;
}
