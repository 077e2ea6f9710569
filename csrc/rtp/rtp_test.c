#include "rtp/rtp.h"

#include <string.h>

#include "test/check.h"

static void test_round_trip(void) {
    uint8_t datagram[16] = {0};
    rw_rtp_header header = {true, 101, 65535, 0xdeadbeef, 0x12345678};
    rw_rtp_packet packet;
    rw_rtp_write_header(datagram, &header);
    memcpy(datagram + 12, "abcd", 4);
    CHECK_EQUAL(rw_rtp_parse(datagram, 16, &packet), RW_RTP_OK);
    CHECK(packet.header.marker);
    CHECK_EQUAL(packet.header.payload_type, 101);
    CHECK_EQUAL(packet.header.sequence, 65535);
    CHECK_EQUAL(packet.header.timestamp, 0xdeadbeef);
    CHECK_EQUAL(packet.header.ssrc, 0x12345678);
    CHECK_EQUAL(packet.payload_bytes, 4);
    CHECK(packet.payload == datagram + 12);
}

static void test_csrc_extension_and_padding_are_skipped(void) {
    /* 1 CSRC, an extension of 1 word, payload "xy", 2 bytes of padding */
    uint8_t datagram[28] = {[0] = 0xb1, [18] = 0, [19] = 1, [24] = 'x', [25] = 'y', [27] = 2};
    rw_rtp_packet packet;
    CHECK_EQUAL(rw_rtp_parse(datagram, sizeof(datagram), &packet), RW_RTP_OK);
    CHECK_EQUAL(packet.payload_bytes, 2);
    CHECK(memcmp(packet.payload, "xy", 2) == 0);
}

static void test_rejects(void) {
    rw_rtp_packet packet;
    uint8_t datagram[12] = {0x80};
    CHECK_EQUAL(rw_rtp_parse(datagram, 0, &packet), RW_RTP_TOO_SHORT);
    CHECK_EQUAL(rw_rtp_parse(datagram, 11, &packet), RW_RTP_TOO_SHORT);
    CHECK_EQUAL(rw_rtp_parse(datagram, 12, &packet), RW_RTP_OK);
    datagram[0] = 0x40;
    CHECK_EQUAL(rw_rtp_parse(datagram, 12, &packet), RW_RTP_BAD_VERSION);
    datagram[0] = 0x81;
    CHECK_EQUAL(rw_rtp_parse(datagram, 12, &packet), RW_RTP_BAD_CSRC);
    datagram[0] = 0x90;
    CHECK_EQUAL(rw_rtp_parse(datagram, 12, &packet), RW_RTP_BAD_EXTENSION);
    datagram[0] = 0xa0;
    CHECK_EQUAL(rw_rtp_parse(datagram, 12, &packet), RW_RTP_BAD_PADDING);
    datagram[11] = 1;
    CHECK_EQUAL(rw_rtp_parse(datagram, 12, &packet), RW_RTP_BAD_PADDING);
}

static void test_extension_length_past_the_end(void) {
    uint8_t datagram[16] = {[0] = 0x90, [14] = 0xff, [15] = 0xff};
    rw_rtp_packet packet;
    CHECK_EQUAL(rw_rtp_parse(datagram, sizeof(datagram), &packet), RW_RTP_BAD_EXTENSION);
}

int main(void) {
    test_round_trip();
    test_csrc_extension_and_padding_are_skipped();
    test_rejects();
    test_extension_length_past_the_end();
    return 0;
}
