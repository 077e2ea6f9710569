#include "live/live.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"
#include "vad/vad.h"

static int8_t level_dbov;

static rw_live *open_with(const char *name, uint32_t clock_rate_hz, const rw_live_config *config) {
    rw_live *live = NULL;
    CHECK_EQUAL(rw_live_create(rw_codec_find(name, clock_rate_hz), config, &live), 0);
    return live;
}

static rw_live *open_live(const char *name, uint32_t clock_rate_hz, uint32_t room_ms) {
    return open_with(name, clock_rate_hz, &(rw_live_config){.ptime_ms = 20, .room_ms = room_ms});
}

static void write_ramp(rw_live *live, int from, size_t samples) {
    int16_t pcm[2000];
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(100 * (from + (int)i));
    CHECK_EQUAL(rw_live_write(live, pcm, samples), samples);
}

static int16_t l16_at(const uint8_t *payload, size_t index) {
    return (int16_t)(payload[2 * index] << 8 | payload[2 * index + 1]);
}

static void test_sound_comes_out_in_packets(void) {
    uint8_t payload[640];
    rw_live *live = open_live("L16", 8000, 100);
    write_ramp(live, 0, 330);
    CHECK_EQUAL(rw_live_waiting(live), 330);
    for (int packet = 0; packet < 2; packet++) {
        CHECK_EQUAL(rw_live_read(live, payload, 320, &level_dbov), 320);
        for (size_t i = 0; i < 160; i++)
            CHECK_EQUAL(l16_at(payload, i), (int16_t)(100 * (160 * packet + (int)i)));
    }
    CHECK(level_dbov > -15);
    rw_live_release(live);
}

static void test_what_is_not_there_yet_is_waited_for(void) {
    uint8_t payload[320];
    rw_live *live = open_live("PCMU", 8000, 100);
    write_ramp(live, 0, 159);
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 0);
    CHECK_EQUAL(level_dbov, RW_VAD_SILENCE_DBOV);
    CHECK_EQUAL(rw_live_starved(live), 1);
    CHECK(!rw_live_ended(live));
    write_ramp(live, 159, 1);
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 160);
    CHECK(!rw_live_ended(live));
    rw_live_finish(live);
    CHECK(rw_live_ended(live));
    rw_live_release(live);
}

static void test_the_last_packet_may_be_short(void) {
    uint8_t payload[320];
    rw_live *live = open_live("G722", 8000, 100);
    write_ramp(live, 0, 33); /* of an odd number: G.722 codes pairs */
    rw_live_finish(live);
    CHECK(!rw_live_ended(live));
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 17);
    CHECK(rw_live_ended(live));
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 0);
    CHECK_EQUAL(rw_live_starved(live), 0);
    rw_live_release(live);
}

static void test_a_full_ring_takes_what_fits(void) {
    int16_t pcm[5000] = {0};
    rw_live *live = open_live("PCMU", 8000, 64); /* 512 samples, a power of two */
    CHECK_EQUAL(rw_live_write(live, pcm, 5000), 512);
    CHECK_EQUAL(rw_live_write(live, pcm, 1), 0);
    rw_live_release(live);
}

static void test_whole_packets_are_filled_up(void) {
    uint8_t payload[320];
    rw_live *live = open_live("PCMA", 8000, 100);
    write_ramp(live, 0, 200);
    CHECK_EQUAL(rw_live_read_packet(live, payload, sizeof(payload), &level_dbov), 160);
    CHECK_EQUAL(rw_live_read_packet(live, payload, sizeof(payload), &level_dbov), 0);
    rw_live_finish(live);
    CHECK_EQUAL(rw_live_read_packet(live, payload, sizeof(payload), &level_dbov), 160);
    CHECK_EQUAL(payload[159], 0xd5); /* silence in A-law */
    rw_live_release(live);
}

/* A mistake of the control side: it is not heard, and harms nothing. */
static void test_whole_packets_are_not_cut(void) {
    uint8_t payload[320];
    if (!rw_codec_find("opus", 48000)) return; /* built without it */
    rw_live *live = open_live("opus", 48000, 100);
    level_dbov = 0;
    write_ramp(live, 0, 960);
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 0);
    CHECK_EQUAL(level_dbov, RW_VAD_SILENCE_DBOV);
    CHECK(rw_live_read_packet(live, payload, sizeof(payload), &level_dbov) > 0);
    rw_live_release(live);
}

/* Reads a packet of G.711; what is in it is all of one code. */
static int code_read(rw_live *live) {
    uint8_t payload[160];
    size_t bytes = rw_live_read(live, payload, sizeof(payload), &level_dbov);
    for (size_t i = 1; i < bytes; i++)
        CHECK_EQUAL(payload[i], payload[0]);
    return bytes ? payload[0] : -1;
}

static void write_code(rw_live *live, uint8_t code, size_t bytes) {
    uint8_t payload[1000];
    memset(payload, code, bytes);
    CHECK_EQUAL(rw_live_write_encoded(live, payload, bytes), bytes);
}

static void check_mark(rw_live *live, uint64_t id, bool cleared) {
    uint64_t reached;
    bool given_up;
    for (int i = 0; i < 2; i++) { /* it stays until it is passed */
        CHECK(rw_live_at_mark(live, &reached, &given_up));
        CHECK_EQUAL(reached, id);
        CHECK_EQUAL(given_up, cleared);
    }
    rw_live_pass_mark(live);
}

static bool at_mark(rw_live *live) {
    uint64_t id;
    bool cleared;
    return rw_live_at_mark(live, &id, &cleared);
}

static void test_every_code_passes_as_it_is(void) {
    uint8_t codes[256], payload[160];
    const rw_live_config config = {.ptime_ms = 20, .room_ms = 1000, .encoded = true};
    rw_live *live = open_with("PCMU", 8000, &config);
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(rw_live_write_encoded(live, codes, 256), 256);
    for (int at = 0; at < 2560; at += 160) {
        CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 160);
        CHECK(level_dbov > -40);
        for (int i = 0; i < 160; i++)
            CHECK_EQUAL(payload[i], (uint8_t)(at + i));
    }
    rw_live_release(live);
}

static void test_marks_are_reached_in_order_when_their_sound_was_read(void) {
    const rw_live_config config = {.ptime_ms = 20, .room_ms = 1000, .marks = 4, .encoded = true};
    rw_live *live = open_with("PCMU", 8000, &config);
    CHECK_EQUAL(rw_live_mark(live, 1), 0);
    write_code(live, 5, 200);
    CHECK_EQUAL(rw_live_mark(live, 2), 0);
    CHECK_EQUAL(rw_live_mark(live, 3), 0);
    write_code(live, 5, 120);
    CHECK_EQUAL(rw_live_mark(live, 4), 0);
    CHECK_EQUAL(rw_live_mark(live, 5), -ENOBUFS);
    check_mark(live, 1, false);
    CHECK_EQUAL(code_read(live), 5);
    CHECK(!at_mark(live));
    CHECK_EQUAL(code_read(live), 5);
    check_mark(live, 2, false);
    check_mark(live, 3, false);
    check_mark(live, 4, false);
    CHECK(!at_mark(live));
    rw_live_release(live);
}

static void test_what_was_cleared_is_not_read_and_its_marks_say_so(void) {
    const rw_live_config config = {.ptime_ms = 20, .room_ms = 1000, .marks = 8, .encoded = true};
    rw_live *live = open_with("PCMU", 8000, &config);
    write_code(live, 1, 160);
    CHECK_EQUAL(rw_live_mark(live, 1), 0);
    write_code(live, 2, 640);
    CHECK_EQUAL(rw_live_mark(live, 2), 0);
    CHECK_EQUAL(code_read(live), 1);
    rw_live_clear(live);
    CHECK_EQUAL(rw_live_waiting(live), 0);
    CHECK_EQUAL(rw_live_mark(live, 3), 0); /* nothing is before it any more */
    write_code(live, 3, 160);
    CHECK_EQUAL(rw_live_mark(live, 4), 0);
    CHECK_EQUAL(rw_live_waiting(live), 160);
    check_mark(live, 1, false); /* its sound had been read before */
    CHECK(!at_mark(live));
    CHECK_EQUAL(code_read(live), 3);
    check_mark(live, 2, true);
    check_mark(live, 3, false);
    check_mark(live, 4, false);
    rw_live_release(live);
}

static void test_a_clearing_of_all_ends_what_is_finished(void) {
    rw_live *live = open_live("PCMU", 8000, 100);
    write_ramp(live, 0, 500);
    rw_live_clear(live);
    rw_live_finish(live);
    CHECK_EQUAL(code_read(live), -1);
    CHECK(rw_live_ended(live));
    rw_live_release(live);
}

static void test_what_is_less_than_a_packet_is_rounded_up(void) {
    const rw_live_config config = {
        .ptime_ms = 20, .room_ms = 100, .encoded = true, .rounds_up = true};
    rw_live *live = open_with("PCMA", 8000, &config);
    uint8_t payload[160];
    write_code(live, 9, 100);
    CHECK_EQUAL(code_read(live), -1);
    write_code(live, 9, 20); /* there is more: it is waited for */
    CHECK_EQUAL(code_read(live), -1);
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 120);
    CHECK_EQUAL(code_read(live), -1);
    rw_live_release(live);
}

static void test_the_first_packet_waits_for_its_lead(void) {
    const rw_live_config config = {.ptime_ms = 20, .room_ms = 100, .lead_ms = 10};
    uint8_t payload[320];
    rw_live *live = open_with("PCMU", 8000, &config);
    write_ramp(live, 0, 239);
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 0);
    write_ramp(live, 239, 1);
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 160);
    write_ramp(live, 240, 80); /* none later */
    CHECK_EQUAL(rw_live_read(live, payload, 160, &level_dbov), 160);
    CHECK_EQUAL(rw_live_starved(live), 0);
    rw_live_release(live);
}

static void test_what_finds_no_room_is_counted(void) {
    int16_t pcm[600] = {0};
    rw_live *live = open_live("PCMU", 8000, 64);
    rw_live_push(live, pcm, 500);
    rw_live_push(live, pcm, 600);
    CHECK_EQUAL(rw_live_dropped(live), 588);
    CHECK_EQUAL(rw_live_writable(live), 0);
    rw_live_release(live);
}

#define WRITTEN_BYTES 400000
#define CYCLE 251 /* codes come round after so many */
#define MARK_EVERY 1000
#define CLEAR_EVERY 40000

static _Atomic unsigned clears_done;

static void *write_on(void *context) {
    rw_live *live = context;
    uint8_t piece[100];
    for (size_t at = 0; at < WRITTEN_BYTES;) {
        size_t count = sizeof(piece) - at % sizeof(piece); /* up to where a mark may be */
        for (size_t i = 0; i < count; i++)
            piece[i] = (uint8_t)((at + i) % CYCLE);
        size_t taken = rw_live_write_encoded(live, piece, count);
        at += taken;
        if (taken && at % MARK_EVERY == 0)
            while (rw_live_mark(live, at / MARK_EVERY))
                ;
        if (taken && at % CLEAR_EVERY == 0) {
            atomic_fetch_add(&clears_done, 1);
            rw_live_clear(live);
        }
    }
    rw_live_finish(live);
    return NULL;
}

/* Every mark comes once and in order; sound leaps only where it was cleared. */
static void test_a_thread_writes_while_another_reads(void) {
    const rw_live_config config = {.ptime_ms = 20, .room_ms = 64, .marks = 8, .encoded = true};
    rw_live *live = open_with("PCMU", 8000, &config);
    uint8_t payload[160];
    uint64_t id, next_id = 1;
    bool cleared;
    unsigned leaps = 0;
    int next = 0;
    pthread_t writer;
    atomic_store(&clears_done, 0);
    CHECK_EQUAL(pthread_create(&writer, NULL, write_on, live), 0);
    while (!rw_live_ended(live) || next_id <= WRITTEN_BYTES / MARK_EVERY) {
        size_t bytes = rw_live_read(live, payload, sizeof(payload), &level_dbov);
        for (size_t i = 0; i < bytes; i++) {
            leaps += payload[i] != next;
            next = (payload[i] + 1) % CYCLE;
        }
        CHECK(leaps <= atomic_load(&clears_done));
        for (; rw_live_at_mark(live, &id, &cleared); rw_live_pass_mark(live))
            CHECK_EQUAL(id, next_id++);
    }
    CHECK_EQUAL(pthread_join(writer, NULL), 0);
    rw_live_release(live);
}

static void test_impossible_figures_are_refused(void) {
    rw_live *live = NULL;
    const rw_codec *codec = rw_codec_find("PCMU", 8000);
    const rw_live_config wrong[] = {
        {.ptime_ms = 20, .room_ms = 0},
        {.ptime_ms = 20, .room_ms = RW_LIVE_MAX_ROOM_MS + 1},
        {.ptime_ms = 0, .room_ms = 100},
        {.ptime_ms = RW_CODEC_MAX_PACKET_MS + 1, .room_ms = 1000},
        {.ptime_ms = 20, .room_ms = 100, .lead_ms = 90},
        {.ptime_ms = 20, .room_ms = 100, .marks = RW_LIVE_MAX_MARKS + 1},
    };
    for (size_t i = 0; i < RW_LENGTH_OF(wrong); i++)
        CHECK_EQUAL(rw_live_create(codec, &wrong[i], &live), -EINVAL);
    const rw_live_config encoded = {.ptime_ms = 20, .room_ms = 100, .encoded = true};
    CHECK_EQUAL(rw_live_create(rw_codec_find("G722", 8000), &encoded, &live), -EINVAL);
    CHECK_EQUAL(rw_live_create(rw_codec_find("L16", 8000), &encoded, &live), -EINVAL);
    CHECK(!live);
}

int main(void) {
    test_sound_comes_out_in_packets();
    test_what_is_not_there_yet_is_waited_for();
    test_the_last_packet_may_be_short();
    test_a_full_ring_takes_what_fits();
    test_whole_packets_are_filled_up();
    test_whole_packets_are_not_cut();
    test_every_code_passes_as_it_is();
    test_marks_are_reached_in_order_when_their_sound_was_read();
    test_what_was_cleared_is_not_read_and_its_marks_say_so();
    test_a_clearing_of_all_ends_what_is_finished();
    test_what_is_less_than_a_packet_is_rounded_up();
    test_the_first_packet_waits_for_its_lead();
    test_what_finds_no_room_is_counted();
    test_a_thread_writes_while_another_reads();
    test_impossible_figures_are_refused();
    return 0;
}
