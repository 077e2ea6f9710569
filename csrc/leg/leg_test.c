#include "leg/leg.h"

#include <errno.h>
#include <string.h>

#include "rtp/rtp.h"
#include "test/check.h"

static rw_leg leg;
static rw_playlist_queue ended;
static uint8_t packet[RW_MAX_PACKET_BYTES];

static rw_leg_config config_of(rw_silence_policy policy) {
    rw_leg_config config = {
        .media = {.clock_rate_hz = 8000,
                  .ptime_ms = 20,
                  .bytes_per_ts = 1,
                  .silence = 0xff,
                  .send = true},
        .silence_policy = policy,
        .fd = -1,
        .ssrc = 0x11223344,
        .first_timestamp = 0xffffff00,
        .first_sequence = 65534,
    };
    config.media.remote.v4.sin_family = AF_INET;
    return config;
}

static void start(rw_silence_policy policy) {
    rw_leg_config config = config_of(policy);
    CHECK_EQUAL(rw_leg_check_media(&config.media), 0);
    rw_playlist_queue_init(&ended);
    rw_leg_init(&leg, &config, 1ull << 32, 1000);
}

static void enqueue(uint64_t play_id, size_t bytes, uint8_t value) {
    uint8_t payload[1000];
    memset(payload, value, bytes);
    rw_prompt *prompt = rw_prompt_create(payload, bytes);
    rw_playlist_queue_push(&leg.playing, rw_playlist_create(play_id, &prompt, 1, false));
    rw_prompt_release(prompt);
}

static rw_rtp_packet compose(void) {
    rw_rtp_packet parsed = {0};
    size_t bytes = rw_leg_compose(&leg, packet, &ended);
    if (bytes) CHECK_EQUAL(rw_rtp_parse(packet, bytes, &parsed), RW_RTP_OK);
    return parsed;
}

static uint64_t pop_ended(rw_play_outcome outcome) {
    rw_playlist *playlist = rw_playlist_queue_pop(&ended);
    CHECK(playlist);
    CHECK_EQUAL(playlist->outcome, outcome);
    uint64_t play_id = playlist->play_id;
    rw_playlist_destroy(playlist);
    return play_id;
}

static void test_lists_follow_each_other_inside_a_packet(void) {
    start(RW_SILENCE_STOP);
    enqueue(1, 170, 1);
    enqueue(2, 200, 2);
    rw_rtp_packet first = compose();
    CHECK(first.header.marker);
    CHECK_EQUAL(first.header.sequence, 65534);
    CHECK_EQUAL(first.payload_bytes, 160);
    CHECK(!ended.first);
    rw_rtp_packet second = compose();
    CHECK(!second.header.marker);
    CHECK_EQUAL(second.header.timestamp, first.header.timestamp + 160);
    CHECK(second.payload[9] == 1 && second.payload[10] == 2);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
    rw_rtp_packet third = compose(); /* 50 bytes of sound, then silence to a full packet */
    CHECK_EQUAL(third.header.sequence, 0);
    CHECK(third.payload[49] == 2 && third.payload[50] == 0xff && third.payload[159] == 0xff);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 2);
    CHECK_EQUAL(compose().payload_bytes, 0);
    CHECK(!rw_leg_has_output(&leg));
}

static void test_timestamp_goes_on_over_a_pause(void) {
    start(RW_SILENCE_STOP);
    enqueue(1, 480, 1);
    rw_rtp_packet before = compose();
    leg.paused = true;
    CHECK(!rw_leg_has_output(&leg));
    CHECK_EQUAL(compose().payload_bytes, 0);
    CHECK_EQUAL(rw_leg_skip_to(&leg, leg.due_tick + 41), 3);
    leg.paused = false;
    rw_rtp_packet after = compose();
    CHECK(after.header.marker);
    CHECK_EQUAL(after.header.sequence, (uint16_t)(before.header.sequence + 1));
    CHECK_EQUAL(after.header.timestamp, before.header.timestamp + 5 * 160);
    CHECK_EQUAL(leg.due_tick, 1000 + 6 * 20);
    rw_leg_clear_queue(&leg, RW_PLAY_STOPPED, &ended);
    CHECK_EQUAL(pop_ended(RW_PLAY_STOPPED), 1);
}

static void test_silence_is_sent_on_demand_without_a_new_marker(void) {
    start(RW_SILENCE_SEND);
    CHECK(compose().header.marker);
    rw_rtp_packet silence = compose();
    CHECK(!silence.header.marker && silence.payload[0] == 0xff && silence.payload[159] == 0xff);
    enqueue(1, 160, 3);
    rw_rtp_packet sound = compose();
    CHECK(!sound.header.marker && sound.payload[0] == 3);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
}

static void test_hold_sends_nothing_and_keeps_the_place(void) {
    start(RW_SILENCE_SEND);
    enqueue(1, 320, 5);
    compose();
    rw_leg_media held = leg.media;
    held.send = false;
    rw_leg_set_media(&leg, &held);
    CHECK(!rw_leg_has_output(&leg));
    CHECK_EQUAL(compose().payload_bytes, 0);
    held.send = true;
    rw_leg_set_media(&leg, &held);
    rw_rtp_packet resumed = compose();
    CHECK(resumed.header.marker && resumed.payload[0] == 5);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
}

static void test_an_empty_list_ends_and_sends_nothing(void) {
    start(RW_SILENCE_STOP);
    enqueue(9, 0, 0);
    CHECK_EQUAL(compose().payload_bytes, 0);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 9);
}

static void test_late_live_sound_leaves_its_slot_empty(void) {
    int16_t pcm[200] = {0};
    rw_live *live = NULL;
    start(RW_SILENCE_STOP);
    const rw_live_config config = {.ptime_ms = 20, .room_ms = 100};
    CHECK_EQUAL(rw_live_create(rw_codec_find("PCMU", 8000), &config, &live), 0);
    rw_playlist_queue_push(&leg.playing, rw_playlist_create_live(1, live));
    enqueue(2, 160, 2);
    CHECK_EQUAL(compose().payload_bytes, 0);
    CHECK(rw_leg_has_output(&leg));
    rw_live_write(live, pcm, 200);
    rw_rtp_packet sound = compose();
    CHECK(sound.header.marker && sound.payload[0] == 0xff);
    rw_live_finish(live);
    rw_rtp_packet joined = compose(); /* its last 40 samples, and what is queued behind */
    CHECK(joined.payload[39] == 0xff && joined.payload[40] == 2);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
    compose();
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 2);
    CHECK_EQUAL(rw_live_starved(live), 1);
    rw_live_release(live);
}

static void test_impossible_media_is_refused(void) {
    rw_leg_media media = config_of(RW_SILENCE_STOP).media;
    media.ptime_ms = 9;
    CHECK_EQUAL(rw_leg_check_media(&media), -EINVAL);
    media.ptime_ms = 61;
    CHECK_EQUAL(rw_leg_check_media(&media), -EINVAL);
    media.ptime_ms = 60;
    CHECK_EQUAL(rw_leg_check_media(&media), 0);
    media.clock_rate_hz = 48000;
    CHECK_EQUAL(rw_leg_check_media(&media), -EMSGSIZE);
    media.clock_rate_hz = 8000;
    media.payload_type = 128;
    CHECK_EQUAL(rw_leg_check_media(&media), -EINVAL);
    media.payload_type = 0;
    media.remote.any.sa_family = AF_UNIX;
    CHECK_EQUAL(rw_leg_check_media(&media), -EINVAL);
}

static void start_whole_packets(rw_silence_policy policy) {
    rw_leg_config config = config_of(policy);
    config.media.clock_rate_hz = 48000;
    config.media.bytes_per_ts = 0;
    CHECK_EQUAL(rw_leg_check_media(&config.media), -EINVAL);
    config.media.silence_bytes = 3;
    memcpy(config.media.silence_packet, "sil", 3);
    CHECK_EQUAL(rw_leg_check_media(&config.media), 0);
    rw_playlist_queue_init(&ended);
    rw_leg_init(&leg, &config, 1ull << 32, 1000);
}

static void enqueue_packets(uint64_t play_id, const char *text, const uint16_t *packet_bytes,
                            size_t count) {
    int8_t levels_dbov[4] = {-10, -20, -30, -40};
    rw_prompt *prompt =
        rw_prompt_create_of_packets((const uint8_t *)text, packet_bytes, levels_dbov, count);
    rw_playlist_queue_push(&leg.playing, rw_playlist_create(play_id, &prompt, 1, false));
    rw_prompt_release(prompt);
}

static void check_sent(const char *expected, int level_dbov) {
    rw_rtp_packet sent = compose();
    CHECK_EQUAL(sent.payload_bytes, strlen(expected));
    CHECK(!memcmp(sent.payload, expected, sent.payload_bytes));
    CHECK_EQUAL(leg.sent_dbov, level_dbov);
}

static void test_whole_packets_go_out_one_a_slot(void) {
    start_whole_packets(RW_SILENCE_STOP);
    enqueue_packets(1, "aabbb", (uint16_t[]){2, 3}, 2);
    enqueue_packets(2, "", NULL, 0);
    enqueue_packets(3, "c", (uint16_t[]){1}, 1);
    uint32_t first_ts = leg.timestamp;
    check_sent("aa", -10);
    CHECK_EQUAL(leg.timestamp, first_ts + 960);
    check_sent("bbb", -20);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
    check_sent("c", -10);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 2);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 3);
    CHECK_EQUAL(compose().payload_bytes, 0);
}

static void test_silence_between_whole_packets_is_one(void) {
    start_whole_packets(RW_SILENCE_SEND);
    check_sent("sil", RW_VAD_SILENCE_DBOV);
    enqueue_packets(1, "aa", (uint16_t[]){2}, 1);
    check_sent("aa", -10);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
    check_sent("sil", RW_VAD_SILENCE_DBOV);
}

static rw_playlist *music_of(uint64_t play_id, uint8_t value) {
    uint8_t payload[160];
    memset(payload, value, sizeof(payload));
    rw_prompt *prompt = rw_prompt_create(payload, sizeof(payload));
    rw_playlist *music = rw_playlist_create(play_id, &prompt, 1, true);
    rw_prompt_release(prompt);
    return music;
}

static void test_music_plays_in_the_place_of_all_else(void) {
    start(RW_SILENCE_STOP);
    enqueue(1, 480, 1);
    CHECK_EQUAL(compose().payload[0], 1);
    rw_leg_play_music(&leg, music_of(8, 8), &ended);
    leg.paused = leg.relayed = true;
    for (int i = 0; i < 3; i++) {
        CHECK(rw_leg_has_output(&leg));
        CHECK_EQUAL(compose().payload[0], 8);
    }
    rw_leg_play_music(&leg, music_of(9, 9), &ended);
    CHECK_EQUAL(pop_ended(RW_PLAY_REPLACED), 8);
    rw_leg_barge_in(&leg, RW_BARGE_IN_DIGIT | RW_BARGE_IN_SPEECH, &ended);
    CHECK(!ended.first);
    CHECK_EQUAL(compose().payload[0], 9);
    rw_leg_end_music(&leg, RW_PLAY_STOPPED, &ended);
    CHECK_EQUAL(pop_ended(RW_PLAY_STOPPED), 9);
    leg.paused = false;
    CHECK_EQUAL(compose().payload_bytes, 0); /* a relay's turn */
    CHECK(!rw_leg_has_output(&leg));
    leg.relayed = false;
    CHECK_EQUAL(compose().payload[0], 1);
    CHECK_EQUAL(compose().payload[0], 1);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
    rw_leg_end_music(&leg, RW_PLAY_STOPPED, &ended);
    CHECK(!ended.first);
}

static void start_with_comfort_noise(bool taken) {
    rw_leg_config config = config_of(RW_SILENCE_COMFORT_NOISE);
    config.media.comfort_noise_payload_type = 13;
    config.media.takes_comfort_noise = taken;
    rw_playlist_queue_init(&ended);
    rw_leg_init(&leg, &config, 1ull << 32, 1000);
}

static void check_comfort_noise(void) {
    CHECK(rw_leg_has_output(&leg));
    rw_rtp_packet noise = compose();
    CHECK_EQUAL(noise.header.payload_type, 13);
    CHECK(!noise.header.marker);
    CHECK_EQUAL(noise.payload_bytes, 1);
    CHECK_EQUAL(noise.payload[0], -RW_COMFORT_NOISE_DBOV);
}

static void test_comfort_noise_at_the_start_of_a_pause_and_rarely_within(void) {
    start_with_comfort_noise(true);
    for (int round = 0; round < 3; round++) {
        check_comfort_noise();
        for (int slot = 1; slot < 50; slot++) {
            CHECK(!rw_leg_has_output(&leg) && rw_leg_needs_slots(&leg));
            CHECK_EQUAL(compose().payload_bytes, 0);
        }
    }
    enqueue(1, 160, 1);
    CHECK(compose().header.marker);
    CHECK_EQUAL(pop_ended(RW_PLAY_FINISHED), 1);
    check_comfort_noise();
    rw_leg_media media = leg.media;
    media.send = false;
    rw_leg_set_media(&leg, &media);
    CHECK(!rw_leg_needs_slots(&leg));
    CHECK_EQUAL(compose().payload_bytes, 0);
    media.send = true;
    rw_leg_set_media(&leg, &media);
    check_comfort_noise();
}

static void test_no_comfort_noise_for_those_who_do_not_take_it(void) {
    start_with_comfort_noise(false);
    CHECK(!rw_leg_needs_slots(&leg));
    CHECK_EQUAL(compose().payload_bytes, 0);
}

int main(void) {
    test_lists_follow_each_other_inside_a_packet();
    test_timestamp_goes_on_over_a_pause();
    test_silence_is_sent_on_demand_without_a_new_marker();
    test_hold_sends_nothing_and_keeps_the_place();
    test_an_empty_list_ends_and_sends_nothing();
    test_late_live_sound_leaves_its_slot_empty();
    test_impossible_media_is_refused();
    test_whole_packets_go_out_one_a_slot();
    test_silence_between_whole_packets_is_one();
    test_music_plays_in_the_place_of_all_else();
    test_comfort_noise_at_the_start_of_a_pause_and_rarely_within();
    test_no_comfort_noise_for_those_who_do_not_take_it();
    return 0;
}
