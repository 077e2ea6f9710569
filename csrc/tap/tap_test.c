#include "tap/tap.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/check.h"

#define FRAME 160
#define FRAME_MS 20
#define WAV_HEADER_BYTES 44

static const rw_ear_media media = {
    .clock_rate_hz = 8000, .sound = 11, .events = 101, .comfort_noise = RW_NO_PAYLOAD_TYPE};
static const rw_codec *l16(void) {
    return rw_codec_find("L16", 8000);
}

/* Packet `number` of a stream whose samples are `first`, `first` + 1, ... */
static const rw_rtp_packet *packet_of(unsigned number, int first, uint8_t type) {
    static uint8_t payload[2 * FRAME];
    static rw_rtp_packet packet;
    for (int i = 0; i < FRAME; i++) {
        int16_t sample = (int16_t)(first + (int)number * FRAME + i);
        payload[2 * i] = (uint8_t)((uint16_t)sample >> 8);
        payload[2 * i + 1] = (uint8_t)sample;
    }
    packet = (rw_rtp_packet){
        .header = {.payload_type = type,
                   .sequence = (uint16_t)(65530 + number),
                   .timestamp = 0xfffffe00u + number * FRAME,
                   .ssrc = 7},
        .payload = payload,
        .payload_bytes = sizeof(payload),
    };
    return &packet;
}

static void test_a_listener_hears_every_millisecond(void) {
    int16_t heard[4000];
    rw_listener *listener;
    rw_tap *tap;
    CHECK_EQUAL(rw_listener_create(8000, 500, &listener), 0);
    CHECK_EQUAL(rw_tap_create_listening(9, l16(), listener, &tap), 0);
    tap->heard_tick = 1000;
    CHECK(!rw_tap_advance(tap, 1000));
    for (unsigned i = 0; i < 10; i++) {
        rw_tap_hear(tap, &media, packet_of(i, 1, 11), RW_HEARD_NEW);
        CHECK_EQUAL(rw_tap_advance(tap, 1000 + (i + 1) * FRAME_MS), i == 0);
    }
    CHECK(!rw_tap_advance(tap, 1000 + 13 * FRAME_MS));
    CHECK_EQUAL(rw_listener_read(listener, heard, 4000), 13 * FRAME);
    size_t delay = RW_TAP_LISTENER_INITIAL_MS * 8;
    for (size_t i = 0; i < delay; i++)
        CHECK_EQUAL(heard[i], 0);
    for (size_t i = 0; i < 10 * FRAME; i++)
        CHECK_EQUAL(heard[delay + i], 1 + (int)i);
    rw_tap_destroy(tap);
    rw_listener_release(listener);
}

typedef struct recorded {
    int16_t pcm[2 * 8000];
    size_t frames;
} recorded;

static recorded read_back(const char *path) {
    static recorded result;
    uint8_t header[WAV_HEADER_BYTES];
    FILE *file = fopen(path, "rb");
    CHECK(file);
    CHECK_EQUAL(fread(header, 1, sizeof(header), file), sizeof(header));
    result.frames = fread(result.pcm, 4, sizeof(result.pcm) / 4, file);
    fclose(file);
    unlink(path);
    return result;
}

/* A call of `frames` frames in which both sides talk from the first on; the caller's packet
 * `missing` is lost. */
static recorded record_call(unsigned frames, unsigned missing, rw_jitter_figures *figures) {
    char path[64];
    rw_recorder *recorder;
    rw_recording *recording;
    rw_tap *tap;
    snprintf(path, sizeof(path), "tap_test_%d.wav", (int)getpid());
    const rw_recorder_config config = {.max_recordings = 1, .period_ms = 10};
    const rw_recording_config wav = {
        .path = path, .sample_rate_hz = 8000, .buffer_ms = 5000, .channels = 2};
    CHECK_EQUAL(rw_recorder_create(&config, &recorder), 0);
    CHECK_EQUAL(rw_recorder_start(recorder), 0);
    CHECK_EQUAL(rw_recording_open(recorder, &wav, &recording), 0);
    CHECK_EQUAL(rw_tap_create_recording(1, l16(), recording, &tap), 0);
    for (unsigned i = 0; i < frames; i++) {
        rw_tap_sent(tap, &media, packet_of(i, 5000, 11));
        if (i != missing) rw_tap_hear(tap, &media, packet_of(i, 1, 11), RW_HEARD_NEW);
        CHECK(!rw_tap_advance(tap, (i + 1) * FRAME_MS));
    }
    rw_tap_finish(tap);
    rw_jitter_read(tap->caller, figures);
    rw_tap_destroy(tap);
    rw_recording_finish(recording);
    rw_recorder_destroy(recorder);
    return read_back(path);
}

static void test_both_sides_of_a_recording_are_aligned(void) {
    rw_jitter_figures figures;
    recorded call = record_call(20, UINT32_MAX, &figures);
    CHECK_EQUAL(call.frames, 20 * FRAME);
    for (size_t i = 0; i < call.frames; i++) {
        CHECK_EQUAL(call.pcm[2 * i], 1 + (int)i);
        CHECK_EQUAL(call.pcm[2 * i + 1], 5000 + (int)i);
    }
}

static void test_a_lost_packet_moves_nothing(void) {
    rw_jitter_figures figures;
    recorded call = record_call(30, 12, &figures);
    CHECK_EQUAL(call.frames, 30 * FRAME);
    CHECK_EQUAL(figures.concealed_samples, FRAME);
    for (size_t i = 0; i < call.frames; i++) {
        /* Concealment runs over into what comes next. */
        bool made_up = i / FRAME == 12 || i / FRAME == 13;
        if (!made_up) CHECK_EQUAL(call.pcm[2 * i], 1 + (int)i);
        CHECK_EQUAL(call.pcm[2 * i + 1], 5000 + (int)i);
    }
}

static void test_an_event_is_no_loss(void) {
    int16_t heard[4000];
    rw_jitter_figures figures;
    rw_listener *listener;
    rw_tap *tap;
    CHECK_EQUAL(rw_listener_create(8000, 500, &listener), 0);
    CHECK_EQUAL(rw_tap_create_listening(9, l16(), listener, &tap), 0);
    for (unsigned i = 0; i < 20; i++) {
        uint8_t type = i == 7 || i == 8 ? 101 : 11;
        rw_tap_hear(tap, &media, packet_of(i, 1, type), RW_HEARD_NEW);
        rw_tap_advance(tap, (i + 1) * FRAME_MS);
    }
    rw_jitter_read(tap->caller, &figures);
    CHECK_EQUAL(figures.concealed_samples, 0);
    CHECK_EQUAL(rw_listener_read(listener, heard, 4000), 20 * FRAME);
    rw_tap_destroy(tap);
    rw_listener_release(listener);
}

static void test_a_list_of_taps(void) {
    rw_listener *listener;
    rw_tap *taps = NULL, *tap;
    CHECK_EQUAL(rw_listener_create(8000, 500, &listener), 0);
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_EQUAL(rw_tap_create_listening(id, l16(), listener, &tap), 0);
        rw_tap_push(&taps, tap);
    }
    rw_listener_release(listener);
    CHECK(!rw_tap_remove(&taps, 4));
    for (uint64_t id = 2; id; id = id == 2 ? 3 : id == 3 ? 1 : 0) {
        tap = rw_tap_remove(&taps, id);
        CHECK_EQUAL(tap->tap_id, id);
        rw_tap_destroy(tap);
    }
    CHECK(!taps && !rw_tap_pop(&taps));
}

int main(void) {
    test_a_listener_hears_every_millisecond();
    test_both_sides_of_a_recording_are_aligned();
    test_a_lost_packet_moves_nothing();
    test_an_event_is_no_loss();
    test_a_list_of_taps();
    return 0;
}
