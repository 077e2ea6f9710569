/* What a conference costs a member for each frame of 20 ms, heard, mixed and encoded, without what
 * its packets cost: nanoseconds of CPU time, the best of several rounds. */
#include <stdio.h>
#include <time.h>

#include "conference/conference.h"
#include "test/check.h"

#define ROUNDS 10
#define FRAMES 10
#define FRAME_MS 20
#define MAX_PAYLOAD_BYTES 640
#define LEGS 1000 /* as many as a busy shard has, so that a seat is not always at hand */

static rw_seat *seats[LEGS];
static uint8_t said[MAX_PAYLOAD_BYTES];

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void fill(uint32_t room_hz, unsigned members, const rw_codec *codec) {
    rw_conference *conference = NULL;
    for (unsigned i = 0; i < LEGS; i++) {
        if (i % members == 0) {
            rw_conference_release(conference);
            CHECK_EQUAL(rw_conference_create(room_hz, members, &conference), 0);
        }
        CHECK_EQUAL(rw_seat_create(i, conference, codec, &seats[i]), 0);
        CHECK_EQUAL(rw_seat_take(seats[i], i % FRAME_MS), 0);
        rw_seat_set_role(seats[i], RW_MIXER_TALKER, NULL);
    }
    rw_conference_release(conference);
}

static void serve(rw_seat *seat, uint64_t tick, size_t bytes) {
    uint8_t payload[MAX_PAYLOAD_BYTES];
    int8_t level_dbov;
    uint32_t frame = (uint32_t)(tick / FRAME_MS);
    const rw_ear_media media = {.clock_rate_hz = seat->codec->clock_rate_hz,
                                .sound = 0,
                                .events = RW_NO_PAYLOAD_TYPE,
                                .comfort_noise = RW_NO_PAYLOAD_TYPE};
    rw_rtp_packet packet = {
        .header = {.sequence = (uint16_t)frame, .timestamp = frame * (media.clock_rate_hz / 50)},
        .payload = said,
        .payload_bytes = bytes};
    CHECK_EQUAL(rw_seat_mix(seat, tick, FRAME_MS, payload, sizeof(payload), &level_dbov), bytes);
    rw_seat_hear(seat, &media, &packet, RW_HEARD_NEW);
    rw_seat_advance(seat, tick + FRAME_MS);
}

static void measure(const char *name, uint32_t room_hz, unsigned members) {
    const rw_codec *codec = rw_codec_find(name, 8000);
    size_t bytes = (size_t)codec->bytes_per_ts * codec->clock_rate_hz / 50;
    double best_ns = 1e18;
    uint64_t tick = FRAME_MS;
    fill(room_hz, members, codec);
    for (int round = 0; round < ROUNDS; round++) {
        double from_ns = cpu_ns();
        for (int ticks = 0; ticks < FRAMES * FRAME_MS; ticks++, tick++)
            for (unsigned i = tick % FRAME_MS; i < LEGS; i += FRAME_MS)
                serve(seats[i], tick, bytes);
        double took_ns = (cpu_ns() - from_ns) / FRAMES / LEGS;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    for (unsigned i = 0; i < LEGS; i++) {
        rw_seat_leave(seats[i]);
        rw_seat_destroy(seats[i]);
    }
    printf("%u legs of %s in rooms of %2u, %5u Hz: %.0f ns\n", LEGS, name, members, room_hz,
           best_ns);
}

int main(void) {
    static const unsigned sizes[] = {2, 10, 50};
    for (int i = 0; i < MAX_PAYLOAD_BYTES; i++)
        said[i] = (uint8_t)(i * 37);
    for (int i = 0; i < 3; i++) {
        measure("PCMU", 8000, sizes[i]);
        measure("G722", 16000, sizes[i]);
        measure("PCMU", 16000, sizes[i]);
    }
    return 0;
}
