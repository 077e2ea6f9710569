/* Two legs that are bridged, in virtual time over real sockets: how soon a packet goes on. And two
 * of which one is sent what the other hears, or plays it. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "rtp/rtp.h"
#include "shard/shard_private.h"
#include "test/check.h"
#include "test/loopback.h"

#define START_MS 5000
#define FLOOD_PACKETS 100 /* more than are read of one leg in a tick */

typedef struct party {
    int fd; /* the far end's */
    rw_address address;
    rw_address leg_address;
    uint64_t leg_id;
    uint16_t sequence;
} party;

static rw_shard *shard;
static uint64_t now_us;
static party one, two;

/* One tick, and what the thread's epoll tells behind it. */
static void run_tick(void) {
    struct epoll_event events[8];
    now_us += TICK_US;
    rw_shard_turn(shard, now_us);
    int count = epoll_wait(shard->epoll_fd, events, RW_LENGTH_OF(events), 0);
    for (int i = 0; i < count; i++)
        rw_shard_readable(shard, events[i].data.u64);
}

static void open_leg(party *who, bool speech) {
    who->fd = bound_socket(&who->address);
    who->sequence = 0;
    rw_leg_config config = {.media = {.remote = who->address,
                                      .clock_rate_hz = 8000,
                                      .ptime_ms = 20,
                                      .bytes_per_ts = 1,
                                      .silence = 0xff,
                                      .send = true,
                                      .receive = true,
                                      .event_payload_type = RW_NO_PAYLOAD_TYPE,
                                      .comfort_noise_payload_type = RW_NO_PAYLOAD_TYPE},
                            .fd = bound_socket(&who->leg_address)};
    rw_ear_config hears = {.speech = speech, .hangover_ms = 100};
    CHECK_EQUAL(rw_ear_create(&hears, rw_codec_find("PCMU", 8000), &config.ear), 0);
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &who->leg_id), 0);
}

static void bridge(const party *from, const party *to) {
    rw_relay *relay;
    const rw_codec *codec = rw_codec_find("PCMU", 8000);
    CHECK_EQUAL(rw_relay_create(codec, codec, &relay), 0);
    CHECK_EQUAL(rw_shard_relay(shard, from->leg_id, to->leg_id, relay), 0);
}

static void begin_apart(const rw_backend_ops *ops, bool speech) {
    rw_shard_config config = {.shared_fd = -1, .max_legs = 2};
    now_us = START_MS * 1000;
    CHECK_EQUAL(rw_shard_create_at(&config, ops, START_MS, &shard), 0);
    open_leg(&one, speech);
    open_leg(&two, speech);
}

static void begin(const rw_backend_ops *ops, bool speech) {
    begin_apart(ops, speech);
    bridge(&one, &two);
    bridge(&two, &one);
    run_tick();
}

static void end(void) {
    rw_shard_destroy(shard);
    close(one.fd);
    close(two.fd);
}

/* A packet of a loud square wave of 200 Hz. */
static void say(party *who) {
    uint8_t packet[RW_RTP_HEADER_BYTES + 160];
    rw_rtp_header header = {
        .sequence = who->sequence, .timestamp = who->sequence * 160u, .ssrc = 7};
    who->sequence++;
    rw_rtp_write_header(packet, &header);
    for (int i = 0; i < 160; i++)
        packet[RW_RTP_HEADER_BYTES + i] = i / 20 % 2 ? 0x10 : 0x90;
    CHECK_EQUAL(sendto(who->fd, packet, sizeof(packet), 0, &who->leg_address.any,
                       sizeof(who->leg_address.v4)),
                sizeof(packet));
}

static unsigned heard(const party *who) {
    uint8_t packet[2000];
    unsigned count = 0;
    while (recv(who->fd, packet, sizeof(packet), MSG_DONTWAIT) > 0)
        count++;
    return count;
}

/* Ticks until somebody hears what the other says; 100 if it takes longer. */
static unsigned ticks_to_cross(party *from, const party *to) {
    say(from);
    unsigned ticks = 1;
    for (; ticks < 100; ticks++) {
        run_tick();
        if (heard(to)) break;
    }
    return ticks;
}

static void test_a_packet_goes_on_at_once(void) {
    begin(&rw_backend_per_leg, false);
    /* The first wakes the shard; while they come they are looked for in each tick. */
    CHECK(ticks_to_cross(&one, &two) <= 2);
    for (int i = 0; i < 50; i++) {
        CHECK_EQUAL(ticks_to_cross(&one, &two), 1);
        CHECK_EQUAL(ticks_to_cross(&two, &one), 1);
    }
    /* After a rest, the shard has to be woken again. */
    for (int i = 0; i < 2000; i++)
        run_tick();
    CHECK(ticks_to_cross(&two, &one) <= 2);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_RELAYED), 102);
    end();
}

static void test_at_rest_no_tick_is_needed(void) {
    begin(&rw_backend_per_leg, false);
    CHECK(ticks_to_cross(&one, &two) <= 2);
    run_tick();
    uint64_t at_rest_us = now_us;
    /* What is left are the reports, seconds away. */
    CHECK(rw_wheel_next_tick(&shard->wheel) > at_rest_us / TICK_US + 100);
    end();
}

static void test_a_flood_is_read_by_and_by(void) {
    begin(&rw_backend_per_leg, false);
    for (int i = 0; i < FLOOD_PACKETS; i++)
        say(&one);
    run_tick();
    run_tick();
    uint64_t read = rw_shard_counter(shard, RW_PACKETS_RECEIVED);
    CHECK(read > 0 && read <= 2 * RW_RECEIVE_BATCH);
    for (int i = 0; i < 20; i++)
        run_tick();
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_RECEIVED), FLOOD_PACKETS);
    end();
}

static void test_a_leg_that_was_parted_is_heard_in_its_slots(void) {
    begin(&rw_backend_per_leg, false);
    CHECK(ticks_to_cross(&one, &two) <= 2);
    CHECK_EQUAL(rw_shard_end_relay(shard, one.leg_id), 0);
    run_tick();
    CHECK_EQUAL(ticks_to_cross(&one, &two), 100);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_RECEIVED), 2);
    CHECK(ticks_to_cross(&two, &one) <= 2);
    bridge(&one, &two);
    run_tick();
    CHECK(ticks_to_cross(&one, &two) <= 2);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_RECEIVED), 4);
    end();
}

static void test_who_closes_is_read_no_more(void) {
    begin(&rw_backend_per_leg, false);
    CHECK(ticks_to_cross(&one, &two) <= 2);
    CHECK_EQUAL(rw_shard_close_leg(shard, one.leg_id), 0);
    run_tick();
    CHECK_EQUAL(ticks_to_cross(&two, &one), 100);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_NOT_RELAYED), 1);
    end();
}

static rw_backend_ops refusing;

static int refuse(rw_backend *backend, rw_leg *leg, bool expected) {
    (void)backend, (void)leg, (void)expected;
    return -ENOSPC;
}

static int open_refusing(const rw_backend_host *host, int fd, rw_backend **backend) {
    int error = rw_backend_per_leg.open(host, fd, backend);
    if (!error) (*backend)->ops = &refusing;
    return error;
}

/* As where a user may have no more epoll watches. */
static void test_a_leg_that_cannot_be_expected_is_read_in_its_slots(void) {
    refusing = rw_backend_per_leg;
    refusing.open = open_refusing;
    refusing.expect = refuse;
    begin(&refusing, false);
    for (int i = 0; i < 50; i++)
        CHECK(ticks_to_cross(&one, &two) <= 21);
    end();
}

/* The end of speech is told by time, which has to pass for a leg that has no slots. */
static void test_speech_ends_though_nothing_comes(void) {
    begin(&rw_backend_per_leg, true);
    rw_event events[16];
    unsigned started = 0, stopped = 0;
    for (int tick = 0; tick < 2000; tick++) {
        if (tick < 1000 && tick % 20 == 0) say(&one);
        run_tick();
        size_t count = rw_shard_poll_events(shard, events, RW_LENGTH_OF(events));
        for (size_t i = 0; i < count; i++) {
            if (events[i].kind != RW_EVENT_SPEECH) continue;
            started += events[i].speech.kind == RW_VAD_START;
            stopped += events[i].speech.kind != RW_VAD_START;
        }
    }
    CHECK_EQUAL(started, 1);
    CHECK_EQUAL(stopped, 1);
    end();
}

/* --- one way ------------------------------------------------------------------------------- */

#define SAID_BYTES (50 * 160)

/* Payload of PCMU that is different everywhere, and has no second code for zero. */
static uint8_t code_at(size_t position) {
    uint8_t code = (uint8_t)(position * 7 + position / 160);
    return code == 0x7f ? 0x7e : code;
}

/* The far end sends `bytes` of what it says from `from` on, in one packet. */
static void say_codes(party *who, size_t from, size_t bytes) {
    uint8_t packet[RW_RTP_HEADER_BYTES + 480];
    rw_rtp_header header = {
        .sequence = who->sequence++, .timestamp = 77 + (uint32_t)from, .ssrc = 9};
    rw_rtp_write_header(packet, &header);
    for (size_t i = 0; i < bytes; i++)
        packet[RW_RTP_HEADER_BYTES + i] = code_at(from + i);
    CHECK(sendto(who->fd, packet, RW_RTP_HEADER_BYTES + bytes, 0, &who->leg_address.any,
                 sizeof(who->leg_address.v4)) > 0);
}

typedef struct stream {
    uint8_t payload[2 * SAID_BYTES];
    size_t bytes;
    unsigned packets;
    unsigned markers; /* talkspurts that began */
    uint32_t timestamp;
} stream;

/* Takes what has come to the far end: one stream, in packets of 20 ms, nothing of it twice. */
static void take(const party *who, stream *to) {
    uint8_t datagram[2000];
    ssize_t bytes;
    while ((bytes = recv(who->fd, datagram, sizeof(datagram), MSG_DONTWAIT)) > 0) {
        rw_rtp_packet packet;
        CHECK_EQUAL(rw_rtp_parse(datagram, (size_t)bytes, &packet), RW_RTP_OK);
        CHECK_EQUAL(packet.payload_bytes, 160);
        if (to->packets && !packet.header.marker)
            CHECK_EQUAL(packet.header.timestamp, to->timestamp + 160);
        to->timestamp = packet.header.timestamp;
        to->markers += packet.header.marker;
        memcpy(to->payload + to->bytes, packet.payload, packet.payload_bytes);
        to->bytes += packet.payload_bytes;
        to->packets++;
    }
}

static rw_live *play_live(const party *who, uint32_t lead_ms) {
    rw_live *live;
    const rw_live_config config = {.ptime_ms = 20, .room_ms = 2000, .lead_ms = lead_ms};
    CHECK_EQUAL(rw_live_create(rw_codec_find("PCMU", 8000), &config, &live), 0);
    rw_playlist *list = rw_playlist_create_live(1, live);
    CHECK_EQUAL(rw_shard_play(shard, who->leg_id, list, false), 0);
    return live;
}

static void speak_to(const party *from, rw_live *live) {
    rw_tap *tap;
    CHECK_EQUAL(rw_tap_create_speaking(5, rw_codec_find("PCMU", 8000), live, &tap), 0);
    CHECK_EQUAL(rw_shard_tap(shard, from->leg_id, tap), 0);
}

/* How often an event has come; `status` is of the last list that ended. */
static unsigned events_of(rw_event_kind kind, rw_play_outcome *outcome) {
    rw_event events[64];
    unsigned found = 0;
    size_t count = rw_shard_poll_events(shard, events, RW_LENGTH_OF(events));
    for (size_t i = 0; i < count; i++) {
        found += events[i].kind == kind;
        if (events[i].kind == RW_EVENT_PLAY_ENDED) *outcome = events[i].outcome;
    }
    return found;
}

static void check_said(const stream *heard, size_t bytes) {
    CHECK(heard->bytes >= bytes && heard->bytes < bytes + 160);
    for (size_t i = 0; i < bytes; i++)
        CHECK_EQUAL(heard->payload[i], code_at(i));
    for (size_t i = bytes; i < heard->bytes; i++)
        CHECK_EQUAL(heard->payload[i], 0xff);
}

/* What `from` hears in packets of `packet_ms` leaves by `to`, while the shard comes up to `late_ms`
 * late: then it serves what is due in any order. */
static void check_speaking(party *from, party *to, unsigned packet_ms, unsigned late_ms) {
    static stream heard;
    heard = (stream){.bytes = 0};
    rw_play_outcome outcome = RW_PLAY_STOPPED;
    begin_apart(&rw_backend_per_leg, false);
    rw_live *live = play_live(to, 10);
    say_codes(from, 5000, 160); /* before it is asked for: no part of it */
    speak_to(from, live);
    run_tick();
    CHECK_EQUAL(events_of(RW_EVENT_SOUND, &outcome), 1);
    size_t said = 0, bytes = packet_ms * 8u;
    unsigned dice = 1, next_ms = 0;
    for (unsigned ms = 0; said < SAID_BYTES; ms++) {
        if (ms % packet_ms == 0) {
            say_codes(from, said, bytes);
            said += bytes;
        }
        bool comes = ms == next_ms;
        dice = dice * 1103515245 + 12345;
        if (comes) next_ms += 1 + dice / 65536 % (late_ms + 1);
        now_us += comes ? 0 : TICK_US;
        if (comes) run_tick();
        take(to, &heard);
    }
    CHECK_EQUAL(rw_shard_end_tap(shard, from->leg_id, 5), 0);
    for (unsigned ms = 0; ms < 300; ms++) {
        run_tick();
        take(to, &heard);
    }
    CHECK_EQUAL(events_of(RW_EVENT_TAP_ENDED, &outcome), 1);
    CHECK_EQUAL(outcome, RW_PLAY_FINISHED);
    check_said(&heard, said);
    CHECK_EQUAL(heard.markers, 1);
    CHECK_EQUAL(rw_live_dropped(live), 0);
    rw_live_release(live);
    end();
}

static void test_what_one_hears_another_plays_to_the_byte(void) {
    check_speaking(&two, &one, 20, 0);
    check_speaking(&two, &one, 30, 0);
    check_speaking(&one, &two, 10, 0);
}

static void test_a_shard_that_is_late_leaves_no_gap(void) {
    for (unsigned late_ms = 1; late_ms < 10; late_ms++) {
        check_speaking(&one, &two, 20, late_ms);
        check_speaking(&two, &one, 20, late_ms);
    }
}

/* A pause of the speaker is one of the leg that plays it, and no noise is made of it. */
static void test_a_pause_is_a_pause(void) {
    static stream heard;
    rw_play_outcome outcome;
    begin_apart(&rw_backend_per_leg, false);
    rw_live *live = play_live(&one, 10);
    speak_to(&two, live);
    run_tick();
    for (unsigned ms = 0; ms < 1000; ms++) {
        if (ms % 20 == 0 && (ms < 200 || ms >= 700)) say_codes(&two, ms * 8, 160);
        run_tick();
        take(&one, &heard);
    }
    CHECK_EQUAL(heard.markers, 2);
    CHECK(heard.packets >= 22 && heard.packets <= 26);
    for (size_t i = 0; i < 1600; i++)
        CHECK_EQUAL(heard.payload[i], code_at(i));
    /* The end of the speaker's leg is that of its sound. */
    CHECK_EQUAL(rw_shard_close_leg(shard, two.leg_id), 0);
    for (unsigned ms = 0; ms < 200; ms++)
        run_tick();
    CHECK_EQUAL(events_of(RW_EVENT_LEG_CLOSED, &outcome), 1);
    CHECK_EQUAL(outcome, RW_PLAY_FINISHED);
    take(&one, &heard);
    CHECK_EQUAL(heard.payload[heard.bytes - 1], code_at(1000 * 8 - 1));
    rw_live_release(live);
    end();
}

static void test_one_way_leaves_the_other_one_alone(void) {
    static stream heard, answered;
    uint8_t sound[1600];
    memset(sound, 0x22, sizeof(sound));
    begin_apart(&rw_backend_per_leg, false);
    bridge(&one, &two);
    rw_prompt *prompt = rw_prompt_create(sound, sizeof(sound));
    CHECK_EQUAL(rw_shard_play(shard, one.leg_id, rw_playlist_create(1, &prompt, 1, false), false),
                0);
    rw_prompt_release(prompt);
    for (unsigned ms = 0; ms < 400; ms++) {
        if (ms % 20 == 0 && ms < 300) say_codes(&one, ms * 8, 160);
        run_tick();
        take(&one, &heard);
        take(&two, &answered);
    }
    CHECK_EQUAL(heard.bytes, sizeof(sound));
    CHECK_EQUAL(memcmp(heard.payload, sound, sizeof(sound)), 0);
    check_said(&answered, 15 * 160);
    end();
}

static void test_marks_are_told_when_their_packet_has_left(void) {
    static stream heard;
    rw_event events[8];
    rw_live *live;
    const rw_live_config config = {
        .ptime_ms = 20, .room_ms = 2000, .marks = 4, .encoded = true, .rounds_up = true};
    uint8_t codes[480] = {0};
    begin_apart(&rw_backend_per_leg, false);
    CHECK_EQUAL(rw_live_create(rw_codec_find("PCMU", 8000), &config, &live), 0);
    CHECK_EQUAL(rw_shard_play(shard, one.leg_id, rw_playlist_create_live(3, live), false), 0);
    rw_live_write_encoded(live, codes, sizeof(codes));
    CHECK_EQUAL(rw_live_mark(live, 8), 0);
    rw_live_write_encoded(live, codes, sizeof(codes));
    CHECK_EQUAL(rw_live_mark(live, 9), 0);
    unsigned told = 0;
    for (unsigned ms = 0; ms < 200; ms++) {
        run_tick();
        take(&one, &heard);
        size_t count = rw_shard_poll_events(shard, events, RW_LENGTH_OF(events));
        for (size_t i = 0; i < count; i++) {
            CHECK_EQUAL(events[i].kind, RW_EVENT_MARK);
            CHECK_EQUAL(events[i].play_id, 3);
            CHECK_EQUAL(events[i].mark_id, 8 + told);
            CHECK_EQUAL(events[i].mark_cleared, told == 1);
            CHECK_EQUAL(heard.packets, told ? 4 : 3);
            told++;
        }
        if (heard.packets == 4) rw_live_clear(live);
    }
    CHECK_EQUAL(told, 2);
    CHECK_EQUAL(heard.packets, 4);
    rw_live_release(live);
    end();
}

int main(void) {
    test_a_packet_goes_on_at_once();
    test_at_rest_no_tick_is_needed();
    test_a_flood_is_read_by_and_by();
    test_a_leg_that_was_parted_is_heard_in_its_slots();
    test_who_closes_is_read_no_more();
    test_a_leg_that_cannot_be_expected_is_read_in_its_slots();
    test_speech_ends_though_nothing_comes();
    test_what_one_hears_another_plays_to_the_byte();
    test_a_shard_that_is_late_leaves_no_gap();
    test_a_pause_is_a_pause();
    test_one_way_leaves_the_other_one_alone();
    test_marks_are_told_when_their_packet_has_left();
    return 0;
}
