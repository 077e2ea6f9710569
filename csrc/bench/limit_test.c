#include "bench/limit.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/receiver.h"
#include "test/check.h"

#define LEGS 45 /* not a multiple of the 20 ticks */
#define SOCKETS 4

static const rw_receiver_config receiver_config = {.sockets = SOCKETS,
                                                   .streams_max = LEGS + 1,
                                                   .ptime_us = 20000,
                                                   .capture_every = LEGS,
                                                   .capture_bytes = 4000,
                                                   .all_loopback = true};

/* Every leg's address is its own: few ports, many addresses of 127.0.0.0/8. */
static void set_destinations(const rw_receiver *receiver, struct sockaddr_in *to) {
    for (uint32_t i = 0; i < LEGS; i++)
        to[i] = (struct sockaddr_in){.sin_family = AF_INET,
                                     .sin_port = htons(rw_receiver_port(receiver, i % SOCKETS)),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / SOCKETS)};
}

static void check_streams(const rw_receiver *receiver, const rw_limit_result *result) {
    rw_receiver_totals totals;
    rw_receiver_read_totals(receiver, &totals);
    CHECK_EQUAL(totals.packets + totals.dropped, result->packets);
    CHECK_EQUAL(totals.unknown + totals.oversized, 0);
    CHECK_EQUAL(rw_receiver_streams(receiver), LEGS);
    for (uint32_t i = 0; i < LEGS; i++) {
        rw_receiver_source source;
        const rw_stream *stream = rw_receiver_stream(receiver, i, &source);
        CHECK_EQUAL(stream->duplicates + stream->reordered + stream->timestamp_jumps, 0);
        CHECK_EQUAL(stream->spurts, 1);
        if (!totals.dropped) CHECK_EQUAL(rw_stream_lost(stream), 0);
    }
}

static void test_loop(rw_limit_way way, bool paced, uint64_t duration_us) {
    static struct sockaddr_in to[LEGS];
    static rw_limit_result result;
    rw_receiver *receiver;
    result = (rw_limit_result){0};
    CHECK_EQUAL(rw_receiver_open(&receiver, &receiver_config), 0);
    set_destinations(receiver, to);
    rw_limit_config config = {
        .way = way, .paced = paced, .legs = LEGS, .duration_us = duration_us, .to = to};
    CHECK_EQUAL(rw_limit_run(&config, &result), 0);
    CHECK(rw_receiver_drain(receiver) > 0);
    CHECK_EQUAL(result.failed, 0);
    if (paced) CHECK_EQUAL(result.packets, LEGS * duration_us / 20000);
    check_streams(receiver, &result);
    size_t bytes = 0;
    const uint8_t *captured = rw_receiver_captured(receiver, 0, &bytes);
    CHECK(captured && bytes >= RW_LIMIT_PAYLOAD_BYTES);
    CHECK_EQUAL(captured[RW_LIMIT_PAYLOAD_BYTES - 1], 0xff);
    rw_receiver_close(receiver);
}

/* A socket of each leg, with two datagrams that wait there. */
static void open_legs(int *fds, const uint8_t *datagram, size_t size) {
    for (uint32_t i = 0; i < LEGS; i++) {
        struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t bytes = sizeof own;
        fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        CHECK_EQUAL(bind(fds[i], (struct sockaddr *)&own, bytes), 0);
        CHECK_EQUAL(getsockname(fds[i], (struct sockaddr *)&own, &bytes), 0);
        for (int packet = 0; packet < 2; packet++)
            CHECK(sendto(fds[i], datagram, size, 0, (struct sockaddr *)&own, bytes) > 0);
    }
}

/* All that waits is read, and the leg's own packets go out. */
static void test_exchange(void) {
    static struct sockaddr_in to[LEGS];
    static rw_limit_result result;
    int fds[LEGS];
    rw_receiver *receiver;
    CHECK_EQUAL(rw_receiver_open(&receiver, &receiver_config), 0);
    set_destinations(receiver, to);
    open_legs(fds, (const uint8_t *)"sound", 5);
    rw_limit_config config = {.way = RW_LIMIT_EXCHANGE,
                              .paced = true,
                              .legs = LEGS,
                              .duration_us = 40000,
                              .to = to,
                              .fds = fds};
    CHECK_EQUAL(rw_limit_run(&config, &result), 0);
    CHECK(rw_receiver_drain(receiver) > 0);
    CHECK_EQUAL(result.packets, LEGS * 2);
    CHECK_EQUAL(result.received, LEGS * 2);
    check_streams(receiver, &result);
    for (uint32_t i = 0; i < LEGS; i++)
        CHECK_EQUAL(close(fds[i]), 0); /* still the caller's */
    rw_receiver_close(receiver);
}

/* All that waits goes out as it is, by the other leg of the pair. */
static void test_relay(void) {
    enum { PAIRED = LEGS / 2 * 2 };
    static struct sockaddr_in to[LEGS];
    static rw_limit_result result;
    uint8_t datagram[RW_RTP_HEADER_BYTES + 5] = "............sound";
    int fds[LEGS];
    rw_receiver *receiver;
    CHECK_EQUAL(rw_receiver_open(&receiver, &receiver_config), 0);
    set_destinations(receiver, to);
    rw_rtp_write_header(datagram, &(rw_rtp_header){.ssrc = 1});
    open_legs(fds, datagram, sizeof datagram);
    rw_limit_config config = {.way = RW_LIMIT_RELAY,
                              .paced = true,
                              .legs = PAIRED,
                              .duration_us = 40000,
                              .to = to,
                              .fds = fds};
    CHECK_EQUAL(rw_limit_run(&config, &result), 0);
    CHECK_EQUAL(rw_receiver_drain(receiver), PAIRED * 2);
    CHECK_EQUAL(result.packets, PAIRED * 2);
    CHECK_EQUAL(result.received, PAIRED * 2);
    size_t bytes = 0;
    const uint8_t *captured = rw_receiver_captured(receiver, 0, &bytes);
    CHECK(captured && bytes == 5 && memcmp(captured, "sound", 5) == 0);
    for (uint32_t i = 0; i < LEGS; i++)
        close(fds[i]);
    rw_receiver_close(receiver);
}

static void test_what_is_refused(void) {
    static rw_limit_result result;
    rw_limit_config config = {.duration_us = 1000};
    CHECK(rw_limit_run(&config, &result) < 0);
    config = (rw_limit_config){.way = RW_LIMIT_RELAY, .legs = 3, .duration_us = 1000};
    CHECK(rw_limit_run(&config, &result) < 0);
}

int main(void) {
    test_what_is_refused();
    test_loop(RW_LIMIT_SEND, true, 200000);
    test_loop(RW_LIMIT_SENDMMSG, true, 200000);
    test_exchange();
    test_relay();
    test_loop(RW_LIMIT_SEND, false, 2000);
    test_loop(RW_LIMIT_SENDMMSG, false, 2000);
    return 0;
}
