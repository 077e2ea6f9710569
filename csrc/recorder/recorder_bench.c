/* What a shard pays for a frame of 20 ms, and the writer for one in a period. Nanoseconds of
 * CPU time, the best of several periods. */
#include "recorder/recorder.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "recorder/recorder_private.h"
#include "test/check.h"

#define PERIODS 100
#define FRAMES 50 /* in a second */
#define FRAMES_A_PERIOD (RW_RECORDER_DEFAULT_PERIOD_MS * FRAMES / 1000)
#define MAX_SAMPLES 960
#define FEW 10
#define RECORDINGS 1000 /* as many as a busy shard may have, so that the state is not at hand */

static int16_t caller[MAX_SAMPLES], robot[MAX_SAMPLES];
static rw_recording *recordings[RECORDINGS];
static char folder[] = "recorder_bench_XXXXXX";

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void path_of(int i, char *to, size_t room) {
    snprintf(to, room, "%s/%d.wav", folder, i);
}

static void open_all(rw_recorder *recorder, int count, uint32_t rate_hz, uint8_t channels) {
    char path[64];
    for (int i = 0; i < count; i++) {
        rw_recording_config config = {path, 0,       rate_hz, RW_RECORDING_DEFAULT_BUFFER_MS,
                                      0,    channels};
        path_of(i, path, sizeof(path));
        CHECK_EQUAL(rw_recording_open(recorder, &config, &recordings[i]), 0);
    }
}

static void finish_all(rw_recorder *recorder, int count) {
    char path[64];
    for (int i = 0; i < count; i++)
        rw_recording_finish(recordings[i]);
    rw_recorder_turn(recorder);
    for (int i = 0; i < count; i++) {
        path_of(i, path, sizeof(path));
        unlink(path);
    }
}

/* The CPU time of a period's frames for all recordings. */
static double push_ns(int count, size_t samples) {
    double from_ns = cpu_ns();
    for (int frame = 0; frame < FRAMES_A_PERIOD; frame++)
        for (int i = 0; i < count; i++)
            rw_recording_push(recordings[i], caller, robot, samples);
    return cpu_ns() - from_ns;
}

static double write_ns(rw_recorder *recorder) {
    double from_ns = cpu_ns();
    rw_recorder_turn(recorder);
    return cpu_ns() - from_ns;
}

static void measure(int count, uint32_t rate_hz, uint8_t channels) {
    rw_recorder_config config = {(uint32_t)count, RW_RECORDER_DEFAULT_PERIOD_MS};
    rw_recorder *recorder;
    double best_push_ns = 1e18, best_write_ns = 1e18;
    CHECK_EQUAL(rw_recorder_create(&config, &recorder), 0);
    open_all(recorder, count, rate_hz, channels);
    for (int period = 0; period < PERIODS; period++) {
        best_push_ns = fmin(best_push_ns, push_ns(count, rate_hz / FRAMES));
        best_write_ns = fmin(best_write_ns, write_ns(recorder));
    }
    printf(
        "%d recordings, %u Hz, %d channels: push %.0f ns a frame, writer %.1f us a period each\n",
        count, rate_hz, channels, best_push_ns / FRAMES_A_PERIOD / count,
        best_write_ns / 1e3 / count);
    finish_all(recorder, count);
    rw_recorder_destroy(recorder);
}

int main(void) {
    printf("state: %zu bytes\n", sizeof(rw_recording));
    for (int i = 0; i < MAX_SAMPLES; i++) {
        caller[i] = (int16_t)(i * 37);
        robot[i] = (int16_t)(i * 91);
    }
    CHECK(mkdtemp(folder));
    measure(FEW, 8000, 1);
    measure(FEW, 8000, 2);
    measure(FEW, 48000, 2);
    measure(RECORDINGS, 8000, 1);
    measure(RECORDINGS, 8000, 2);
    CHECK_EQUAL(rmdir(folder), 0);
    return 0;
}
