#include "rtcp/rtcp.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define OWN 0x11111111
#define PEER 0x22222222

static uint8_t datagram[RW_RTCP_MAX_BYTES];
static rw_rtcp_heard heard;

static const rw_sender_info sender = {0x0123456789abcdef, 8000, 50, 8000};
static const rw_report_block block = {OWN, 255, -3, 0x10005, 77, 0x45678901, 65536};

static rw_rtcp_report full_report(void) {
    return (rw_rtcp_report){PEER, &sender, &block, "a@b", 3, true};
}

static rw_rtcp_reject parse(size_t bytes) {
    return rw_rtcp_parse(datagram, bytes, OWN, PEER, &heard);
}

static void test_round_trip(void) {
    rw_rtcp_report report = full_report();
    int bytes = rw_rtcp_compose(datagram, sizeof(datagram), &report);
    CHECK_EQUAL(bytes, 52 + 16 + 8);
    CHECK(rw_rtcp_is(datagram, (size_t)bytes));
    CHECK_EQUAL(parse((size_t)bytes), RW_RTCP_OK);
    CHECK(heard.has_sender && heard.has_block && heard.bye);
    CHECK_EQUAL(heard.sender_ssrc, PEER);
    CHECK_EQUAL(heard.block_from, PEER);
    CHECK(memcmp(&heard.sender, &sender, sizeof(sender)) == 0);
    CHECK(memcmp(&heard.block, &block, sizeof(block)) == 0);
    CHECK_EQUAL(heard.skipped, 1); /* SDES */
}

static void test_the_smallest_report(void) {
    rw_rtcp_report report = {PEER, NULL, NULL, "ab", 2, false};
    int bytes = rw_rtcp_compose(datagram, sizeof(datagram), &report);
    static const uint8_t expected[24] = {0x80, 201, 0,   1,   0x22, 0x22, 0x22, 0x22,
                                         0x81, 202, 0,   3,   0x22, 0x22, 0x22, 0x22,
                                         1,    2,   'a', 'b', 0,    0,    0,    0};
    CHECK_EQUAL(bytes, sizeof(expected));
    CHECK(memcmp(datagram, expected, sizeof(expected)) == 0);
    CHECK_EQUAL(parse((size_t)bytes), RW_RTCP_OK);
    CHECK(!heard.has_sender && !heard.has_block && !heard.bye);
}

static void test_room_is_checked(void) {
    static char cname[300];
    memset(cname, 'c', sizeof(cname));
    rw_rtcp_report report = {PEER, &sender, &block, cname, RW_RTCP_MAX_CNAME_BYTES, true};
    datagram[0] = 0;
    CHECK_EQUAL(rw_rtcp_compose(datagram, RW_RTCP_MAX_BYTES - 1, &report), -ENOSPC);
    CHECK_EQUAL(datagram[0], 0);
    CHECK_EQUAL(rw_rtcp_compose(datagram, RW_RTCP_MAX_BYTES, &report), RW_RTCP_MAX_BYTES);
    report.cname_bytes = 256;
    CHECK_EQUAL(rw_rtcp_compose(datagram, sizeof(datagram), &report), -EINVAL);
    report.cname_bytes = 0;
    CHECK_EQUAL(rw_rtcp_compose(datagram, sizeof(datagram), &report), -EINVAL);
}

static void test_rtp_and_rtcp_on_one_port(void) {
    uint8_t bytes[2] = {0x80, 192};
    CHECK(rw_rtcp_is(bytes, 2));
    CHECK(!rw_rtcp_is(bytes, 1));
    bytes[1] = 191;
    CHECK(!rw_rtcp_is(bytes, 2));
    bytes[1] = 224;
    CHECK(!rw_rtcp_is(bytes, 2));
    bytes[1] = 223;
    CHECK(rw_rtcp_is(bytes, 2));
    bytes[0] = 0x40;
    CHECK(!rw_rtcp_is(bytes, 2));
}

static void test_what_is_not_about_us_is_left_aside(void) {
    rw_rtcp_report report = full_report();
    size_t bytes = (size_t)rw_rtcp_compose(datagram, sizeof(datagram), &report);
    CHECK_EQUAL(rw_rtcp_parse(datagram, bytes, OWN + 1, PEER + 1, &heard), RW_RTCP_OK);
    CHECK(heard.has_sender && !heard.has_block && !heard.bye);
}

/* RFC 5506: a BYE, an XR or feedback alone will do. */
static void test_reduced_size_and_unknown_packets(void) {
    static const uint8_t alone[] = {0x80, 207, 0, 1, 1,    2,    3,    4,
                                    0x81, 203, 0, 1, 0x22, 0x22, 0x22, 0x22};
    memcpy(datagram, alone, sizeof(alone));
    CHECK_EQUAL(parse(sizeof(alone)), RW_RTCP_OK);
    CHECK(heard.bye);
    CHECK_EQUAL(heard.skipped, 1);
}

static void test_rejects(void) {
    rw_rtcp_report report = full_report();
    size_t bytes = (size_t)rw_rtcp_compose(datagram, sizeof(datagram), &report);
    heard = (rw_rtcp_heard){.skipped = 42};
    for (size_t cut = 0; cut < bytes; cut++)
        if (cut != 52 && cut != 68) CHECK(parse(cut) != RW_RTCP_OK); /* else between packets */
    CHECK_EQUAL(heard.skipped, 42);
    CHECK_EQUAL(parse(0), RW_RTCP_TOO_SHORT);
    CHECK_EQUAL(parse(51), RW_RTCP_TOO_SHORT);
    CHECK_EQUAL(parse(48), RW_RTCP_BAD_LENGTH);
    datagram[52] = 0x01;
    CHECK_EQUAL(parse(bytes), RW_RTCP_BAD_VERSION);
    datagram[52] = 0x81;
    datagram[53] = 96;
    CHECK_EQUAL(parse(bytes), RW_RTCP_BAD_TYPE);
    datagram[53] = 202;
    datagram[0] = 0x82; /* a block more than there is room for */
    CHECK_EQUAL(parse(bytes), RW_RTCP_BAD_REPORT);
    datagram[0] = 0x81;
    datagram[68] = 0x82;
    CHECK_EQUAL(parse(bytes), RW_RTCP_BAD_BYE);
    datagram[68] = 0x81;
    CHECK_EQUAL(parse(bytes), RW_RTCP_OK);
}

static void test_padding(void) {
    static const uint8_t padded[] = {0x80, 201, 0, 1, 1, 2, 3, 4, 0xa0, 204, 0, 3,
                                     0,    0,   0, 1, 0, 0, 0, 0, 0,    0,   0, 8};
    memcpy(datagram, padded, sizeof(padded));
    CHECK_EQUAL(parse(24), RW_RTCP_OK);
    datagram[23] = 6;
    CHECK_EQUAL(parse(24), RW_RTCP_BAD_PADDING);
    datagram[23] = 0;
    CHECK_EQUAL(parse(24), RW_RTCP_BAD_PADDING);
    datagram[23] = 16;
    CHECK_EQUAL(parse(24), RW_RTCP_BAD_PADDING);
    datagram[23] = 12;
    CHECK_EQUAL(parse(24), RW_RTCP_OK);
    datagram[0] = 0xa0; /* not the last one */
    CHECK_EQUAL(parse(24), RW_RTCP_BAD_PADDING);
}

static void test_round_trip_time(void) {
    uint64_t now_ntp = rw_rtcp_ntp_of(1700000000500000);
    CHECK_EQUAL(now_ntp >> 32, 1700000000 + 2208988800);
    CHECK_EQUAL((uint32_t)now_ntp, 0x80000000);
    uint32_t middle = rw_rtcp_ntp_middle(now_ntp);
    rw_report_block about = {.lsr = middle - 2 * 65536, .dlsr = 65536};
    CHECK_EQUAL(rw_rtcp_rtt_us(&about, now_ntp), 1000000);
    about.dlsr = 2 * 65536;
    CHECK_EQUAL(rw_rtcp_rtt_us(&about, now_ntp), 0);
    about.dlsr += 20; /* clocks are rounded */
    CHECK_EQUAL(rw_rtcp_rtt_us(&about, now_ntp), 0);
    about.dlsr += 65536;
    CHECK_EQUAL(rw_rtcp_rtt_us(&about, now_ntp), -ERANGE);
    about.lsr = middle - 61 * 65536;
    about.dlsr = 0;
    CHECK_EQUAL(rw_rtcp_rtt_us(&about, now_ntp), -ERANGE);
    about.lsr = middle + 65536; /* we have not sent that yet */
    CHECK_EQUAL(rw_rtcp_rtt_us(&about, now_ntp), -ERANGE);
    about.lsr = 0;
    CHECK_EQUAL(rw_rtcp_rtt_us(&about, now_ntp), -ENODATA);
}

static void test_intervals(void) {
    rw_rtcp_timing timing;
    rw_rtcp_timing_init(&timing, 64000);
    CHECK_EQUAL(rw_rtcp_next_us(&timing, 1, 0), 1026035); /* 2.5 s / 2 / 1.21828 */
    CHECK_EQUAL(rw_rtcp_next_us(&timing, 1, 0), 2052070);
    CHECK_EQUAL(rw_rtcp_next_us(&timing, 2, UINT32_MAX), 6156211);
    CHECK_EQUAL(rw_rtcp_next_us(&timing, 2, 0x80000000), 4104140);
}

/* 5 % of 6 kbit/s is 37.5 bytes a second: two of 132 need 7.04 s. */
static void test_a_narrow_session_waits_longer(void) {
    rw_rtcp_timing timing;
    rw_rtcp_timing_init(&timing, 6000);
    timing.initial = false;
    CHECK_EQUAL(rw_rtcp_next_us(&timing, 2, 0x80000000) / 1000, 5778);
    CHECK_EQUAL(rw_rtcp_next_us(&timing, 0, 0x80000000) / 1000, 7704);
    for (int i = 0; i < 500; i++)
        rw_rtcp_timing_note(&timing, 216);
    CHECK_EQUAL(timing.average_bytes_q4 / 16, 264);
    rw_rtcp_timing_init(&timing, 0);
    CHECK_EQUAL(rw_rtcp_next_us(&timing, 2, 0), 1026035);
}

int main(void) {
    test_round_trip();
    test_the_smallest_report();
    test_room_is_checked();
    test_rtp_and_rtcp_on_one_port();
    test_what_is_not_about_us_is_left_aside();
    test_reduced_size_and_unknown_packets();
    test_rejects();
    test_padding();
    test_round_trip_time();
    test_intervals();
    test_a_narrow_session_waits_longer();
    return 0;
}
