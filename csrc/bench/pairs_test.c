#include "bench/pairs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/check.h"

#define LEGS 4
#define FRAMES 50
#define FRAME_BYTES 10

static int legs[LEGS];
static uint16_t ports[LEGS];
static struct sockaddr_in from[LEGS], to[LEGS];
static uint8_t sound[FRAMES * FRAME_BYTES];
static uint16_t frame_bytes[FRAMES];
static rw_receiver *receiver;
static rw_talker *talker;
static rw_pairs *pairs;

static void open_leg(uint32_t i) {
    socklen_t bytes = sizeof to[i];
    from[i] = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons(rw_receiver_port(receiver, 0)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i)};
    to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    legs[i] = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQUAL(bind(legs[i], (struct sockaddr *)&to[i], bytes), 0);
    CHECK_EQUAL(getsockname(legs[i], (struct sockaddr *)&to[i], &bytes), 0);
    CHECK_EQUAL(connect(legs[i], (struct sockaddr *)&from[i], bytes), 0);
    ports[i] = ntohs(to[i].sin_port);
}

static rw_talker_sound sound_of(uint8_t payload_type, uint16_t ptime_ts) {
    return (rw_talker_sound){payload_type, ptime_ts, FRAMES, frame_bytes, sound};
}

/* Even legs speak PCMU; of odd ones the type and the timestamps are given. */
static void begin(uint8_t payload_type, uint16_t ptime_ts) {
    rw_receiver_config hears = {
        .sockets = 1, .streams_max = 2 * LEGS, .ptime_us = 20000, .all_loopback = true};
    CHECK_EQUAL(rw_receiver_open(&receiver, &hears), 0);
    for (size_t i = 0; i < sizeof sound; i++)
        sound[i] = (uint8_t)(i / FRAME_BYTES);
    for (size_t i = 0; i < FRAMES; i++)
        frame_bytes[i] = FRAME_BYTES;
    for (uint32_t i = 0; i < LEGS; i++)
        open_leg(i);
    rw_talker_sound sounds[] = {sound_of(0, 160), sound_of(payload_type, ptime_ts)};
    rw_talker_config talks = {
        .legs = LEGS, .from = from, .to = to, .sounds = sounds, .sound_count = 2};
    rw_pairs_config config = {.legs = LEGS,
                              .ports = ports,
                              .payload_types = {0, payload_type},
                              .ptime_ts = {160, ptime_ts},
                              .keep_every = 2,
                              .keep_packets = 2};
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &talks), 0);
    CHECK_EQUAL(rw_pairs_open(&pairs, receiver, talker, &config), 0);
}

static void end(void) {
    rw_pairs_close(pairs);
    rw_talker_close(talker);
    rw_receiver_close(receiver);
    for (uint32_t i = 0; i < LEGS; i++)
        close(legs[i]);
}

typedef struct datagram {
    uint8_t bytes[2000];
    ssize_t size;
} datagram;

static datagram hear(uint32_t leg) {
    datagram heard;
    heard.size = recv(legs[leg], heard.bytes, sizeof heard.bytes, 0);
    CHECK(heard.size > RW_RTP_HEADER_BYTES);
    return heard;
}

static void say(uint32_t leg, const datagram *what) {
    CHECK_EQUAL(send(legs[leg], what->bytes, (size_t)what->size, 0), what->size);
    CHECK_EQUAL(rw_receiver_drain(receiver), 1);
}

static uint64_t all(void) {
    uint64_t sum = 0;
    for (int verdict = 0; verdict < RW_PAIRS_VERDICTS; verdict++)
        sum += rw_pairs_count(pairs, (rw_pairs_verdict)verdict);
    return sum;
}

static void test_what_passes_is_right(void) {
    begin(0, 160);
    for (int round = 0; round < 3; round++) {
        CHECK_EQUAL(rw_talker_run(talker, 20000), 0);
        for (uint32_t i = 0; i < LEGS; i++) {
            datagram heard = hear(i);
            say(i ^ 1, &heard);
        }
    }
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_RIGHT), 3 * LEGS);
    CHECK_EQUAL(all(), 3 * LEGS);
    CHECK_EQUAL(rw_histogram_total(rw_pairs_delay_us(pairs)), 3 * LEGS);
    rw_pairs_begin_window(pairs);
    CHECK_EQUAL(rw_histogram_total(rw_pairs_delay_us(pairs)), 0);
    end();
}

static void test_some_are_kept(void) {
    uint32_t count;
    begin(0, 160);
    for (int round = 0; round < 3; round++) {
        CHECK_EQUAL(rw_talker_run(talker, 20000), 0);
        for (uint32_t i = 0; i < LEGS; i++) {
            datagram heard = hear(i);
            say(i ^ 1, &heard);
        }
    }
    const rw_pairs_kept *kept = rw_pairs_kept_of(pairs, 1, &count);
    CHECK_EQUAL(count, 2);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(kept[i].frame, i); /* what leg 0 was told */
        CHECK_EQUAL(kept[i].bytes, FRAME_BYTES);
        CHECK_EQUAL(memcmp(kept[i].payload, sound + i * FRAME_BYTES, FRAME_BYTES), 0);
    }
    CHECK(!rw_pairs_kept_of(pairs, 2, &count));
    CHECK_EQUAL(count, 0);
    CHECK(!rw_pairs_kept_of(pairs, LEGS, &count));
    end();
}

static void test_every_fault_is_counted(void) {
    begin(0, 160);
    CHECK_EQUAL(rw_talker_run(talker, 120000), 0);
    datagram first = hear(0), second = hear(0), third = hear(0), fourth = hear(0), fifth = hear(0);
    say(1, &first);
    say(1, &first);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_REPEATED), 1);
    say(1, &third);
    say(1, &second);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_DISORDERED), 1);
    fourth.bytes[fourth.size - 1] ^= 1;
    say(1, &fourth);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_ALTERED), 1);
    fifth.bytes[7]++;
    say(1, &fifth);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_MISTIMED), 1);
    datagram sixth = hear(0);
    sixth.bytes[1] |= 8;
    say(1, &sixth);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_MISTYPED), 1);
    sixth.bytes[2] += 1;
    say(1, &sixth);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_NOT_SAID), 1);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_RIGHT), 2);
    CHECK_EQUAL(all(), 8);
    end();
}

static void test_a_stranger_is_counted(void) {
    begin(0, 160);
    int stranger = socket(AF_INET, SOCK_DGRAM, 0);
    uint8_t packet[RW_RTP_HEADER_BYTES];
    rw_rtp_write_header(packet, &(rw_rtp_header){.ssrc = 1});
    CHECK(sendto(stranger, packet, sizeof packet, 0, (struct sockaddr *)&from[0], sizeof from[0]) >
          0);
    CHECK_EQUAL(rw_receiver_drain(receiver), 1);
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_STRANGER), 1);
    close(stranger);
    end();
}

/* What was coded anew is held against the type and the clock of the leg that it came from. */
static void test_another_codec(void) {
    begin(111, 960);
    CHECK_EQUAL(rw_talker_run(talker, 40000), 0);
    for (uint32_t number = 0; number < 2; number++) {
        datagram heard = hear(0);
        heard.bytes[1] = (uint8_t)((heard.bytes[1] & 0x80) | 111);
        rw_rtp_header header = {.payload_type = 111,
                                .sequence = (uint16_t)(65535 + number),
                                .timestamp = 0xfffffff0u + number * 960,
                                .ssrc = 9};
        rw_rtp_write_header(heard.bytes, &header);
        heard.bytes[heard.size - 1] ^= 1;
        say(1, &heard);
    }
    CHECK_EQUAL(rw_pairs_count(pairs, RW_PAIRS_RIGHT), 2);
    CHECK_EQUAL(all(), 2);
    end();
}

static void test_what_is_refused(void) {
    begin(0, 160);
    rw_pairs *refused;
    rw_pairs_config config = {.legs = LEGS - 1, .ports = ports};
    CHECK_EQUAL(rw_pairs_open(&refused, receiver, talker, &config), -EINVAL);
    config.legs = 0;
    CHECK_EQUAL(rw_pairs_open(&refused, receiver, talker, &config), -EINVAL);
    end();
}

int main(void) {
    test_what_passes_is_right();
    test_some_are_kept();
    test_every_fault_is_counted();
    test_a_stranger_is_counted();
    test_another_codec();
    test_what_is_refused();
    return 0;
}
