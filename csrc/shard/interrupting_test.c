/* A leg whose prompt the caller may interrupt, in virtual time over real sockets: how soon it is
 * interrupted, and what it costs while nobody does. */
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
#define EVENTS_TYPE 101
#define PROMPT_MS 1000

static rw_shard *shard;
static uint64_t now_us;
static uint64_t leg_id;
static int caller;
static rw_address leg_address;
static uint16_t sequence; /* of the caller's packets */
static unsigned reads;    /* how often the backend was asked for sound */

/* The backends, counting. */
static rw_backend_ops ops;
static const rw_backend_ops *counted_ops;

static size_t count_read(rw_backend *backend, rw_leg *leg, size_t max) {
    reads++;
    return counted_ops->receive(backend, leg, max);
}

static int open_counting(const rw_backend_host *host, int fd, rw_backend **backend) {
    int error = counted_ops->open(host, fd, backend);
    if (!error) (*backend)->ops = &ops;
    return error;
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

static void run_ms(unsigned ms) {
    while (ms--)
        run_tick();
}

static void begin(const rw_backend_ops *backend) {
    rw_address caller_address;
    counted_ops = backend;
    ops = *backend;
    ops.open = open_counting;
    ops.receive = count_read;
    caller = bound_socket(&caller_address);
    int fd = bound_socket(&leg_address);
    rw_shard_config config = {.shared_fd = ops.socket_per_leg ? -1 : fd, .max_legs = 1};
    rw_leg_config leg = {.media = {.remote = caller_address,
                                   .clock_rate_hz = 8000,
                                   .ptime_ms = 20,
                                   .bytes_per_ts = 1,
                                   .silence = 0xff,
                                   .send = true,
                                   .receive = true,
                                   .event_payload_type = EVENTS_TYPE,
                                   .comfort_noise_payload_type = RW_NO_PAYLOAD_TYPE},
                         .fd = ops.socket_per_leg ? fd : -1};
    const rw_ear_config hears = {.speech = false};
    now_us = START_MS * 1000;
    sequence = 0;
    CHECK_EQUAL(rw_shard_create_at(&config, &ops, START_MS, &shard), 0);
    CHECK_EQUAL(rw_ear_create(&hears, rw_codec_find("PCMU", 8000), &leg.ear), 0);
    CHECK_EQUAL(rw_shard_open_leg(shard, &leg, &leg_id), 0);
    run_tick();
}

static void end(void) {
    rw_shard_destroy(shard);
    close(caller);
}

static void play(uint8_t barge_in) {
    static uint8_t payload[PROMPT_MS * 8];
    rw_prompt *prompt = rw_prompt_create(payload, sizeof(payload));
    rw_playlist *playlist = rw_playlist_create(1, &prompt, 1, false);
    rw_prompt_release(prompt);
    playlist->barge_in = barge_in;
    CHECK_EQUAL(rw_shard_play(shard, leg_id, playlist, false), 0);
    run_tick();
    reads = 0;
}

/* The caller sends a packet: of a digit that goes on, or of sound. */
static void send_packet(uint8_t payload_type) {
    uint8_t packet[RW_RTP_HEADER_BYTES + 160] = {0};
    static const uint8_t five[RW_EVENT_BYTES] = {5, 10, 0, 160};
    size_t bytes = payload_type == EVENTS_TYPE ? sizeof(five) : 160;
    rw_rtp_header header = {.payload_type = payload_type,
                            .sequence = sequence,
                            .timestamp = sequence * 160u,
                            .ssrc = 7};
    sequence++;
    rw_rtp_write_header(packet, &header);
    memcpy(packet + RW_RTP_HEADER_BYTES, five, sizeof(five));
    CHECK_EQUAL(sendto(caller, packet, RW_RTP_HEADER_BYTES + bytes, 0, &leg_address.any,
                       sizeof(leg_address.v4)),
                RW_RTP_HEADER_BYTES + bytes);
}

static uint64_t received(void) {
    return rw_shard_counter(shard, RW_PACKETS_RECEIVED);
}

/* Ticks until the next packet of the caller is read; 100 if it takes longer. */
static unsigned ticks_to_hear(uint8_t payload_type) {
    uint64_t before = received();
    unsigned ticks = 0;
    send_packet(payload_type);
    for (; ticks < 100 && received() == before; ticks++)
        run_tick();
    return ticks;
}

/* How the prompt ended; fails if it has not. */
static rw_play_outcome outcome(void) {
    rw_event event;
    do
        CHECK_EQUAL(rw_shard_poll_events(shard, &event, 1), 1);
    while (event.kind != RW_EVENT_PLAY_ENDED);
    return event.outcome;
}

static void test_a_digit_ends_the_prompt_at_once(const rw_backend_ops *backend) {
    for (unsigned wait_ms = 0; wait_ms < 60; wait_ms += 7) {
        begin(backend);
        play(RW_BARGE_IN_DIGIT);
        run_ms(300 + wait_ms);
        CHECK(ticks_to_hear(EVENTS_TYPE) <= 2); /* one to be woken */
        CHECK_EQUAL(outcome(), RW_PLAY_BARGED_IN);
        uint64_t sent = rw_shard_counter(shard, RW_PACKETS_SENT);
        run_ms(100);
        CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_SENT), sent);
        end();
    }
}

static void test_who_talks_is_heard_in_the_tick(void) {
    begin(&rw_backend_per_leg);
    play(RW_BARGE_IN_DIGIT);
    for (int i = 0; i < 30; i++) {
        CHECK(ticks_to_hear(0) <= 2);
        run_ms(18);
    }
    CHECK(reads <= 2 * 30); /* once more than there is something, and not again until there is */
    CHECK(ticks_to_hear(EVENTS_TYPE) <= 2);
    CHECK_EQUAL(outcome(), RW_PLAY_BARGED_IN);
    end();
}

static void test_a_silent_caller_is_not_looked_for(void) {
    begin(&rw_backend_per_leg);
    play(RW_BARGE_IN_DIGIT | RW_BARGE_IN_SPEECH);
    run_ms(PROMPT_MS + 40);
    CHECK_EQUAL(outcome(), RW_PLAY_FINISHED);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_SENT), PROMPT_MS / 20);
    CHECK_EQUAL(reads, 0);
    end();
}

/* Whether nothing plays then, or what nobody may interrupt. */
static void test_behind_the_prompt_sound_is_heard_in_the_slots(bool plays_on) {
    begin(&rw_backend_per_leg);
    play(RW_BARGE_IN_DIGIT);
    if (plays_on) play(0);
    CHECK(ticks_to_hear(0) <= 2);
    run_ms(PROMPT_MS + 40);
    unsigned longest = 0;
    for (int i = 0; i < 30; i++) {
        unsigned ticks = ticks_to_hear(0);
        if (ticks > longest) longest = ticks;
        run_ms(3);
    }
    CHECK(longest > 10 && longest <= 21);
    run_ms(PROMPT_MS);
    CHECK(!rw_timer_armed(&rw_shard_find_leg(shard, leg_id)->timer)); /* at rest */
    CHECK_EQUAL(received(), 31);
    end();
}

static int refuse(rw_backend *backend, rw_leg *leg, bool expected) {
    (void)backend, (void)leg, (void)expected;
    return -ENOSPC;
}

/* As where a user may have no more epoll watches. */
static void test_a_leg_that_cannot_be_expected_is_heard_in_its_slots(void) {
    static rw_backend_ops refusing;
    refusing = rw_backend_per_leg;
    refusing.expect = refuse;
    begin(&refusing);
    play(RW_BARGE_IN_DIGIT);
    run_ms(300);
    CHECK(ticks_to_hear(EVENTS_TYPE) <= 21);
    CHECK_EQUAL(outcome(), RW_PLAY_BARGED_IN);
    end();
}

/* Where its socket has a double, neither: that keeps the socket open for who will have it next. */
static void test_a_leg_that_is_closed_in_its_prompt_is_read_no_more(bool doubled) {
    begin(&rw_backend_per_leg);
    int spare = doubled ? dup(rw_shard_find_leg(shard, leg_id)->fd) : -1;
    play(RW_BARGE_IN_DIGIT);
    CHECK(ticks_to_hear(0) <= 2);
    CHECK_EQUAL(rw_shard_close_leg(shard, leg_id), 0);
    run_tick();
    CHECK_EQUAL(outcome(), RW_PLAY_LEG_CLOSED);
    run_ms(5); /* the last look at those that are expected */
    CHECK_EQUAL(ticks_to_hear(0), 100);
    CHECK_EQUAL(rw_shard_counter(shard, RW_RECEIVE_FAILED), 0);
    CHECK_EQUAL(shard->wheel.armed, 0);
    if (doubled) close(spare);
    end();
}

int main(void) {
    test_a_digit_ends_the_prompt_at_once(&rw_backend_per_leg);
    test_a_digit_ends_the_prompt_at_once(&rw_backend_shared);
    test_who_talks_is_heard_in_the_tick();
    test_a_silent_caller_is_not_looked_for();
    test_behind_the_prompt_sound_is_heard_in_the_slots(false);
    test_behind_the_prompt_sound_is_heard_in_the_slots(true);
    test_a_leg_that_cannot_be_expected_is_heard_in_its_slots();
    test_a_leg_that_is_closed_in_its_prompt_is_read_no_more(false);
    test_a_leg_that_is_closed_in_its_prompt_is_read_no_more(true);
    return 0;
}
