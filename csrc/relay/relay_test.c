#include "relay/relay.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

static const rw_ear_media PCMU_8K = {8000, 0, 101, 13};
static rw_relay *relay;
static rw_relay_target target;
static uint8_t out[1472];
static rw_rtp_packet passed;

static const rw_codec *codec(const char *name, uint32_t clock_rate_hz) {
    return rw_codec_find(name, clock_rate_hz);
}

static void begin(const rw_codec *to, rw_ear_media media) {
    CHECK_EQUAL(rw_relay_create(codec("PCMU", 8000), to, &relay), 0);
    target = (rw_relay_target){media, 0xfeed, 70000, 65534};
}

static rw_rtp_packet packet_of(uint8_t type, uint16_t sequence, uint32_t timestamp,
                               const uint8_t *payload, size_t bytes) {
    return (rw_rtp_packet){
        {.payload_type = type, .sequence = sequence, .timestamp = timestamp, .ssrc = 0xbeef},
        payload,
        bytes};
}

static size_t pass(const rw_rtp_packet *packet, rw_heard heard) {
    size_t bytes = rw_relay_pass(relay, &PCMU_8K, packet, heard, &target, out, sizeof out);
    if (bytes) CHECK_EQUAL(rw_rtp_parse(out, bytes, &passed), RW_RTP_OK);
    return bytes;
}

static void test_packets_keep_order_gaps_and_payload(void) {
    uint8_t payload[160];
    begin(codec("PCMU", 8000), (rw_ear_media){8000, 0, 96, 13});
    memset(payload, 0x55, sizeof payload);
    rw_rtp_packet first = packet_of(0, 10, 5000, payload, 160);
    CHECK_EQUAL(pass(&first, RW_HEARD_NEW), 172);
    CHECK(passed.header.marker && passed.header.ssrc == 0xfeed);
    CHECK_EQUAL(passed.header.sequence, 65534);
    CHECK_EQUAL(passed.header.timestamp, 70000);
    CHECK(!memcmp(passed.payload, payload, 160));
    rw_rtp_packet fourth = packet_of(0, 13, 5480, payload, 160);
    pass(&fourth, RW_HEARD_NEW);
    CHECK_EQUAL(passed.header.sequence, 1);
    CHECK_EQUAL(passed.header.timestamp, 70480);
    CHECK(!passed.header.marker);
    rw_rtp_packet second = packet_of(0, 11, 5160, payload, 160);
    pass(&second, RW_HEARD_LATE);
    CHECK_EQUAL(passed.header.sequence, 65535);
    CHECK_EQUAL(target.sequence, 2);
    rw_relay_destroy(relay);
}

static void test_a_new_source_goes_on_where_the_other_side_stands(void) {
    uint8_t payload[160] = {0};
    begin(codec("PCMU", 8000), PCMU_8K);
    rw_rtp_packet packet = packet_of(0, 10, 5000, payload, 160);
    pass(&packet, RW_HEARD_NEW);
    target.timestamp = 90000;
    packet = packet_of(0, 40000, 1, payload, 160);
    pass(&packet, RW_HEARD_NEW_SOURCE);
    CHECK_EQUAL(passed.header.sequence, 65535);
    CHECK_EQUAL(passed.header.timestamp, 90000);
    CHECK(passed.header.marker);
    rw_relay_destroy(relay);
}

static void test_it_goes_on_behind_what_the_other_side_sent_itself(void) {
    uint8_t payload[160] = {0};
    begin(codec("PCMU", 8000), PCMU_8K);
    rw_rtp_packet packet = packet_of(0, 10, 5000, payload, 160);
    pass(&packet, RW_HEARD_NEW);
    target.sequence = 5;
    target.timestamp = 90000;
    packet = packet_of(0, 9, 4840, payload, 160);
    CHECK_EQUAL(pass(&packet, RW_HEARD_LATE), 0);
    packet = packet_of(0, 12, 5320, payload, 160);
    CHECK(pass(&packet, RW_HEARD_NEW) > 0);
    CHECK(passed.header.marker);
    CHECK_EQUAL(passed.header.sequence, 5);
    CHECK_EQUAL(passed.header.timestamp, 90000);
    rw_relay_destroy(relay);
}

static void test_what_was_not_passed_on_is_no_loss(void) {
    uint8_t payload[160] = {0};
    begin(codec("PCMU", 8000), PCMU_8K);
    rw_rtp_packet packet = packet_of(0, 10, 5000, payload, 160);
    pass(&packet, RW_HEARD_NEW);
    rw_relay_untie(relay);
    packet = packet_of(0, 510, 85000, payload, 160);
    CHECK(pass(&packet, RW_HEARD_NEW) > 0);
    CHECK_EQUAL(passed.header.sequence, 65535);
    rw_relay_destroy(relay);
}

static void test_events_pass_under_the_other_sides_number_and_clock(void) {
    const uint8_t event[4] = {5, 10, 0x01, 0x90};
    begin(codec("L16", 16000), (rw_ear_media){16000, 97, 98, RW_NO_PAYLOAD_TYPE});
    rw_rtp_packet packet = packet_of(101, 10, 5000, event, 4);
    CHECK_EQUAL(pass(&packet, RW_HEARD_NEW), 16);
    CHECK_EQUAL(passed.header.payload_type, 98);
    CHECK_EQUAL(rw_load_be16(passed.payload + 2), 800);
    packet = packet_of(101, 11, 5160, event, 4);
    pass(&packet, RW_HEARD_NEW);
    CHECK_EQUAL(passed.header.timestamp, 70320);
    packet = packet_of(13, 12, 5160, event, 1);
    CHECK_EQUAL(pass(&packet, RW_HEARD_NEW), 0);
    rw_relay_destroy(relay);
}

/* Correlation of what comes out, decoded, with the tone that went in. */
static double heard_through(const char *name, uint32_t clock_rate_hz) {
    const rw_codec *from = codec("PCMU", 8000), *to = codec(name, clock_rate_hz);
    static int16_t sent[40 * 160], heard[2 * 40 * 160 + 1000];
    uint8_t payload[160];
    void *decoder;
    size_t got = 0;
    begin(to, (rw_ear_media){clock_rate_hz, 97, 98, 13});
    CHECK_EQUAL(rw_codec_create_decoder(to, &decoder), 0);
    for (size_t i = 0; i < RW_LENGTH_OF(sent); i++)
        sent[i] = (int16_t)(8000 * sin((double)i * (0.05 + (double)i * 4e-5)));
    for (unsigned frame = 0; frame < 40; frame++) {
        from->encode(NULL, sent + frame * 160, 160, payload, 160);
        rw_rtp_packet packet =
            packet_of(0, (uint16_t)(10 + frame), 5000 + frame * 160, payload, 160);
        CHECK(pass(&packet, RW_HEARD_NEW) > 0);
        got += to->decode(decoder, passed.payload, passed.payload_bytes, heard + got,
                          RW_LENGTH_OF(heard) - got);
    }
    CHECK(got == 40u * to->sample_rate_hz / 50);
    double best = 0;
    unsigned step = to->sample_rate_hz / 8000;
    for (size_t delay = 0; delay < 60 * step; delay++) {
        double cross = 0, left = 0, right = 0;
        for (size_t i = 800; i < 5000; i++) {
            double a = sent[i], b = heard[i * step + delay];
            cross += a * b;
            left += a * a;
            right += b * b;
        }
        double correlation = cross / sqrt(left * right);
        if (correlation > best) best = correlation;
    }
    rw_codec_destroy_state(decoder);
    rw_relay_destroy(relay);
    return best;
}

static void test_sound_is_the_same_behind_another_codec(void) {
    CHECK(heard_through("PCMA", 8000) > 0.99);
    CHECK(heard_through("G722", 8000) > 0.95);
    CHECK(heard_through("L16", 8000) > 0.99);
    CHECK(heard_through("L16", 16000) > 0.95);
}

static void test_what_does_not_pass(void) {
    static uint8_t large[1500];
    begin(codec("G722", 8000), (rw_ear_media){8000, 9, RW_NO_PAYLOAD_TYPE, 13});
    rw_rtp_packet packet = packet_of(101, 10, 5000, large, 4);
    CHECK_EQUAL(pass(&packet, RW_HEARD_NEW), 0);
    packet = packet_of(0, 11, 5000, large, 160);
    CHECK(pass(&packet, RW_HEARD_NEW) > 0);
    CHECK_EQUAL(pass(&packet, RW_HEARD_LATE), 0);
    packet.payload_bytes = 0;
    CHECK_EQUAL(pass(&packet, RW_HEARD_NEW), 0);
    packet.payload_bytes = sizeof large;
    pass(&packet, RW_HEARD_NEW);
    CHECK_EQUAL(rw_relay_pass(relay, &PCMU_8K, &packet, RW_HEARD_NEW, &target, out, 11), 0);
    rw_relay_destroy(relay);
    begin(codec("PCMU", 8000), PCMU_8K);
    CHECK_EQUAL(pass(&packet, RW_HEARD_NEW), 0);
    rw_relay_destroy(relay);
}

int main(void) {
    test_packets_keep_order_gaps_and_payload();
    test_a_new_source_goes_on_where_the_other_side_stands();
    test_it_goes_on_behind_what_the_other_side_sent_itself();
    test_what_was_not_passed_on_is_no_loss();
    test_events_pass_under_the_other_sides_number_and_clock();
    test_sound_is_the_same_behind_another_codec();
    test_what_does_not_pass();
    return 0;
}
