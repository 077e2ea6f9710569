/* What hearing costs: nanoseconds per 20 ms frame, the best of several rounds. */
#include <stdio.h>
#include <time.h>

#include "dtmf/dtmf.h"
#include "test/check.h"

#define ROUNDS 20
#define FRAMES 2000
#define MAX_FRAME_SAMPLES 320

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void measure(const char *name, uint32_t sample_rate_hz, const int16_t *frame) {
    rw_dtmf_detector detector;
    rw_digit digits[RW_DTMF_ROOM];
    double best_ns = 1e18;
    CHECK_EQUAL(rw_dtmf_detector_init(&detector, sample_rate_hz), 0);
    size_t frame_samples = sample_rate_hz / 50;
    for (int round = 0; round < ROUNDS; round++) {
        double from_ns = cpu_ns();
        for (int i = 0; i < FRAMES; i++)
            rw_dtmf_detector_hear(&detector, frame, frame_samples, digits, RW_DTMF_ROOM);
        double took_ns = (cpu_ns() - from_ns) / FRAMES;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    printf("%s, %u Hz: %.0f ns, state %zu bytes\n", name, sample_rate_hz, best_ns, sizeof detector);
}

int main(void) {
    static const uint32_t sample_rates_hz[] = {8000, 16000};
    int16_t noise[MAX_FRAME_SAMPLES], tone[MAX_FRAME_SAMPLES];
    unsigned long long seed = 1;
    for (int i = 0; i < MAX_FRAME_SAMPLES; i++)
        noise[i] = (int16_t)(check_random(&seed) >> 50);
    for (int i = 0; i < 2; i++) {
        rw_dtmf_tone generator;
        rw_dtmf_tone_start(&generator, '5', 40, 0, -9, -7, sample_rates_hz[i]);
        rw_dtmf_tone_fill(&generator, tone, MAX_FRAME_SAMPLES);
        measure("noise", sample_rates_hz[i], noise);
        measure("digit", sample_rates_hz[i], tone);
    }
    return 0;
}
