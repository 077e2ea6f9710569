/* What mixing costs a member for each frame of 20 ms, given and taken: nanoseconds of CPU time, the
 * best of several rounds. */
#include <stdio.h>
#include <time.h>

#include "mixer/mixer.h"
#include "test/check.h"

#define ROUNDS 10
#define FRAMES 10
#define FRAME_MS 20
#define MAX_FRAME_SAMPLES (FRAME_MS * 48)
#define LEGS 1000 /* as many as a busy shard has, so that a room is not always at hand */

static rw_mixer *rooms[LEGS];
static int16_t sound[MAX_FRAME_SAMPLES];

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void fill(rw_mixer *room, unsigned members, uint32_t member_hz) {
    for (unsigned i = 0; i < members; i++)
        CHECK_EQUAL(rw_mixer_join(room, member_hz), i);
}

/* Each member in a phase of its own, as a full shard spreads its legs. */
static void turn(rw_mixer *room, unsigned members, uint64_t tick, size_t samples) {
    int16_t heard[MAX_FRAME_SAMPLES];
    for (unsigned i = tick % FRAME_MS; i < members; i += FRAME_MS) {
        CHECK_EQUAL(rw_mixer_take(room, i, tick, heard, samples), RW_MIXER_OK);
        CHECK_EQUAL(rw_mixer_put(room, i, tick, sound, samples), RW_MIXER_OK);
    }
}

/* The dearest room: of all the others, each member hears one. */
static void part(rw_mixer *room, unsigned members) {
    for (unsigned i = 0; i < members; i++)
        for (unsigned j = 0; j < members; j++)
            if (j != i && j != (i + 1) % members)
                CHECK_EQUAL(rw_mixer_set_hears(room, i, j, false), 0);
}

static void measure(unsigned count, unsigned members, uint32_t room_hz, uint32_t member_hz,
                    bool parted) {
    rw_mixer_config config = {room_hz, members, FRAME_MS};
    double best_ns = 1e18;
    uint64_t tick = 0;
    for (unsigned i = 0; i < count; i++) {
        CHECK_EQUAL(rw_mixer_create(&config, &rooms[i]), 0);
        fill(rooms[i], members, member_hz);
        if (parted) part(rooms[i], members);
    }
    for (int round = 0; round < ROUNDS; round++) {
        double from_ns = cpu_ns();
        for (int ticks = 0; ticks < FRAMES * FRAME_MS; ticks++, tick++)
            for (unsigned i = 0; i < count; i++)
                turn(rooms[i], members, tick, (size_t)FRAME_MS * (member_hz / 1000));
        double took_ns = (cpu_ns() - from_ns) / FRAMES / count / members;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    for (unsigned i = 0; i < count; i++)
        rw_mixer_destroy(rooms[i]);
    printf("%3u rooms of %2u, %5u Hz, members %5u Hz%s: %.0f ns\n", count, members, room_hz,
           member_hz, parted ? ", hearing one each" : "", best_ns);
}

int main(void) {
    static const unsigned sizes[] = {3, 10, 50};
    unsigned long long seed = 1;
    for (int i = 0; i < MAX_FRAME_SAMPLES; i++)
        sound[i] = (int16_t)(check_random(&seed) >> 50);
    for (int i = 0; i < 3; i++) {
        measure(1, sizes[i], 8000, 8000, false);
        measure(LEGS / sizes[i], sizes[i], 8000, 8000, false);
        measure(LEGS / sizes[i], sizes[i], 16000, 16000, false);
        measure(LEGS / sizes[i], sizes[i], 48000, 48000, false);
        measure(LEGS / sizes[i], sizes[i], 16000, 8000, false);
        measure(LEGS / sizes[i], sizes[i], 8000, 8000, true);
    }
    return 0;
}
