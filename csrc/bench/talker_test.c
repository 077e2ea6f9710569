#include "bench/talker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rtp/rtp.h"
#include "test/check.h"

#define LEGS 45 /* not a multiple of the 20 ticks, nor of the sockets */
#define SOCKETS 4
#define FRAMES 3
#define PAYLOAD_BYTES 160

static struct sockaddr_in from[LEGS], to[LEGS];
static int legs[LEGS];
static uint8_t sound[FRAMES * PAYLOAD_BYTES];

static const uint16_t frame_bytes[FRAMES] = {PAYLOAD_BYTES, PAYLOAD_BYTES, PAYLOAD_BYTES};
static const rw_talker_sound sounds[] = {{.payload_type = 0,
                                          .ptime_ts = 160,
                                          .frames = FRAMES,
                                          .frame_bytes = frame_bytes,
                                          .payload = sound}};

static rw_talker_config config = {
    .legs = LEGS, .from = from, .to = to, .sounds = sounds, .sound_count = 1};

/* Legs connected to where they would send, as the engine's are: strangers do not get in. */
static void open_legs(const rw_receiver *receiver) {
    for (uint32_t i = 0; i < LEGS; i++) {
        socklen_t bytes = sizeof to[i];
        from[i] = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons(rw_receiver_port(receiver, i % SOCKETS)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / SOCKETS)};
        to[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        legs[i] = socket(AF_INET, SOCK_DGRAM, 0);
        CHECK_EQUAL(bind(legs[i], (struct sockaddr *)&to[i], bytes), 0);
        CHECK_EQUAL(getsockname(legs[i], (struct sockaddr *)&to[i], &bytes), 0);
        CHECK_EQUAL(connect(legs[i], (struct sockaddr *)&from[i], bytes), 0);
    }
}

/* Every packet follows the one before, in number, time and sound; returns how many there are. */
static uint64_t check_leg(int leg) {
    uint8_t datagram[2000];
    rw_rtp_packet packet;
    uint64_t count = 0;
    uint32_t ssrc = 0, timestamp = 0;
    uint8_t frame = 0;
    for (ssize_t bytes; (bytes = recv(leg, datagram, sizeof datagram, MSG_DONTWAIT)) > 0; count++) {
        CHECK_EQUAL(rw_rtp_parse(datagram, (size_t)bytes, &packet), RW_RTP_OK);
        CHECK_EQUAL(packet.header.sequence, count);
        CHECK_EQUAL(packet.header.marker, count == 0);
        CHECK_EQUAL(packet.payload_bytes, PAYLOAD_BYTES);
        CHECK_EQUAL(packet.payload[0], packet.payload[PAYLOAD_BYTES - 1]);
        if (count) {
            CHECK_EQUAL(packet.header.ssrc, ssrc);
            CHECK_EQUAL(packet.header.timestamp, timestamp + 160);
            CHECK_EQUAL(packet.payload[0], (frame + 1) % FRAMES);
        }
        ssrc = packet.header.ssrc;
        timestamp = packet.header.timestamp;
        frame = packet.payload[0];
    }
    return count;
}

static void test_every_leg_hears_its_own_stream(rw_receiver *receiver) {
    rw_talker *talker;
    uint64_t packets = 0;
    for (size_t i = 0; i < sizeof sound; i++)
        sound[i] = (uint8_t)(i / PAYLOAD_BYTES);
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &config), 0);
    CHECK_EQUAL(send(legs[0], sound, RW_RTP_HEADER_BYTES, 0), RW_RTP_HEADER_BYTES);
    CHECK_EQUAL(rw_talker_run(talker, 50000), 0);
    CHECK_EQUAL(rw_talker_run(talker, 50000), 0);
    for (uint32_t i = 0; i < LEGS; i++) {
        uint64_t heard = check_leg(legs[i]);
        CHECK(heard >= 4);
        packets += heard;
    }
    CHECK_EQUAL(rw_talker_packets(talker), packets);
    CHECK_EQUAL(rw_talker_failed(talker), 0);
    rw_receiver_totals totals;
    rw_receiver_read_totals(receiver, &totals);
    CHECK_EQUAL(totals.packets, 1);
    rw_talker_close(talker);
}

static void test_packets_are_recalled(rw_receiver *receiver) {
    static const uint16_t lengths[] = {10, 20};
    const rw_talker_sound two[] = {
        sounds[0],
        {.payload_type = 111,
         .ptime_ts = 960,
         .frames = 2,
         .frame_bytes = lengths,
         .payload = sound},
    };
    rw_talker_config mixed = config;
    mixed.sounds = two;
    mixed.sound_count = 2;
    rw_talker *talker;
    rw_talker_packet sent;
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &mixed), 0);
    CHECK(!rw_talker_recall(talker, 1, 0, &sent));
    CHECK_EQUAL(rw_talker_run(talker, 50000), 0);
    CHECK(!rw_talker_recall(talker, LEGS, 0, &sent));
    for (uint32_t number = 0; number < 2; number++) {
        uint8_t datagram[2000];
        rw_rtp_packet packet;
        ssize_t bytes = recv(legs[1], datagram, sizeof datagram, MSG_DONTWAIT);
        CHECK_EQUAL(rw_rtp_parse(datagram, (size_t)bytes, &packet), RW_RTP_OK);
        CHECK(rw_talker_recall(talker, 1, number, &sent));
        CHECK_EQUAL(packet.header.payload_type, 111);
        CHECK_EQUAL(packet.payload_bytes, sent.payload_bytes);
        CHECK_EQUAL(sent.payload_bytes, lengths[sent.frame]);
        CHECK_EQUAL(memcmp(packet.payload, sent.payload, sent.payload_bytes), 0);
        CHECK(sent.sent_ns > 0);
    }
    CHECK(!rw_talker_recall(talker, 1, 1000, &sent));
    rw_talker_close(talker);
}

static void test_what_is_refused(rw_receiver *receiver) {
    rw_talker *talker;
    rw_talker_config bad = config;
    bad.legs = 0;
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &bad), -EINVAL);
    bad = config;
    bad.sound_count = 0;
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &bad), -EINVAL);
    rw_talker_sound nothing = sounds[0];
    nothing.frames = 0;
    bad = config;
    bad.sounds = &nothing;
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &bad), -EINVAL);
    from[LEGS - 1].sin_port = htons(1);
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &config), -EINVAL);
}

int main(void) {
    rw_receiver_config receiving = {
        .sockets = SOCKETS, .streams_max = LEGS, .ptime_us = 20000, .all_loopback = true};
    rw_receiver *receiver;
    CHECK_EQUAL(rw_receiver_open(&receiver, &receiving), 0);
    open_legs(receiver);
    test_every_leg_hears_its_own_stream(receiver);
    test_packets_are_recalled(receiver);
    test_what_is_refused(receiver);
    for (uint32_t i = 0; i < LEGS; i++)
        close(legs[i]);
    rw_receiver_close(receiver);
    return 0;
}
