/* Two legs that are bridged, in virtual time over real sockets: how soon a packet goes on. */
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

static int bound_socket(rw_address *address) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t size = sizeof(address->v4);
    *address = (rw_address){.v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    CHECK_EQUAL(bind(fd, &address->any, size), 0);
    CHECK_EQUAL(getsockname(fd, &address->any, &size), 0);
    return fd;
}

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

static void begin(const rw_backend_ops *ops, bool speech) {
    rw_shard_config config = {.shared_fd = -1, .max_legs = 2};
    now_us = START_MS * 1000;
    CHECK_EQUAL(rw_shard_create_at(&config, ops, START_MS, &shard), 0);
    open_leg(&one, speech);
    open_leg(&two, speech);
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

static int refuse(rw_backend *backend, rw_leg *leg, bool expected) {
    (void)backend, (void)leg, (void)expected;
    return -ENOSPC;
}

/* As where a user may have no more epoll watches. */
static void test_a_leg_that_cannot_be_expected_is_read_often(void) {
    static rw_backend_ops refusing;
    refusing = rw_backend_per_leg;
    refusing.expect = refuse;
    begin(&refusing, false);
    CHECK(ticks_to_cross(&one, &two) <= 2);
    for (int i = 0; i < 50; i++)
        CHECK(ticks_to_cross(&one, &two) <= 5);
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

int main(void) {
    test_a_packet_goes_on_at_once();
    test_at_rest_no_tick_is_needed();
    test_a_flood_is_read_by_and_by();
    test_a_leg_that_was_parted_is_heard_in_its_slots();
    test_who_closes_is_read_no_more();
    test_a_leg_that_cannot_be_expected_is_read_often();
    test_speech_ends_though_nothing_comes();
    return 0;
}
