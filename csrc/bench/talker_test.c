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

static struct sockaddr_in from[LEGS], to[LEGS];
static int legs[LEGS];
static uint8_t sound[FRAMES * RW_TALKER_PAYLOAD_BYTES];

static rw_talker_config config = {
    .legs = LEGS, .from = from, .to = to, .sound = sound, .sound_bytes = sizeof sound};

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
        CHECK_EQUAL(packet.payload_bytes, RW_TALKER_PAYLOAD_BYTES);
        CHECK_EQUAL(packet.payload[0], packet.payload[RW_TALKER_PAYLOAD_BYTES - 1]);
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
        sound[i] = (uint8_t)(i / RW_TALKER_PAYLOAD_BYTES);
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

static void test_what_is_refused(rw_receiver *receiver) {
    rw_talker *talker;
    rw_talker_config bad = config;
    bad.legs = 0;
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &bad), -EINVAL);
    bad = config;
    bad.sound_bytes = 0;
    CHECK_EQUAL(rw_talker_open(&talker, receiver, &bad), -EINVAL);
    bad.sound_bytes = RW_TALKER_PAYLOAD_BYTES + 1;
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
    test_what_is_refused(receiver);
    for (uint32_t i = 0; i < LEGS; i++)
        close(legs[i]);
    rw_receiver_close(receiver);
    return 0;
}
