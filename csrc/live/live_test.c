#include "live/live.h"

#include <errno.h>
#include <string.h>

#include "test/check.h"
#include "vad/vad.h"

static int8_t level_dbov;

static rw_live *open_live(const char *name, uint32_t clock_rate_hz, uint32_t room_ms) {
    rw_live *live = NULL;
    CHECK_EQUAL(rw_live_create(rw_codec_find(name, clock_rate_hz), 20, room_ms, &live), 0);
    return live;
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

static void test_impossible_figures_are_refused(void) {
    rw_live *live = NULL;
    const rw_codec *codec = rw_codec_find("PCMU", 8000);
    CHECK_EQUAL(rw_live_create(codec, 20, 0, &live), -EINVAL);
    CHECK_EQUAL(rw_live_create(codec, 20, RW_LIVE_MAX_ROOM_MS + 1, &live), -EINVAL);
    CHECK_EQUAL(rw_live_create(codec, 0, 100, &live), -EINVAL);
    CHECK_EQUAL(rw_live_create(codec, RW_CODEC_MAX_PACKET_MS + 1, 100, &live), -EINVAL);
    CHECK(!live);
}

int main(void) {
    test_sound_comes_out_in_packets();
    test_what_is_not_there_yet_is_waited_for();
    test_the_last_packet_may_be_short();
    test_a_full_ring_takes_what_fits();
    test_whole_packets_are_filled_up();
    test_impossible_figures_are_refused();
    return 0;
}
