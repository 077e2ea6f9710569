#include "latch/latch.h"

#include "test/check.h"

#define PACKET_US 20000

static rw_latch latch;
static uint64_t now_us;

static rw_address at(const char *host, uint16_t port) {
    rw_address address;
    CHECK_EQUAL(rw_address_parse(&address, host, port), 0);
    return address;
}

static void open_window(rw_latch_policy policy, const char *sdp) {
    rw_address address = at(sdp, 4000);
    rw_latch_open(&latch, policy, &address, now_us);
}

static void start(rw_latch_policy policy) {
    rw_latch_init(&latch);
    now_us = 5000000000;
    open_window(policy, "10.0.0.5");
}

static rw_latch_verdict hear(const char *host) {
    rw_address source = at(host, 4000);
    now_us += PACKET_US;
    return rw_latch_hear(&latch, &source, now_us);
}

static void prove(const char *host) {
    CHECK_EQUAL(hear(host), RW_LATCH_PROVING);
    CHECK_EQUAL(hear(host), RW_LATCH_PROVING);
    CHECK_EQUAL(hear(host), RW_LATCH_MOVED);
}

static bool sends_to(const char *host) {
    rw_address address = at(host, 4000);
    return rw_address_equal(&latch.remote, &address);
}

static void test_sdp_only(void) {
    start(RW_LATCH_POLICY_SDP);
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_ACCEPT);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_STRANGER);
    CHECK_EQUAL(latch.strangers, 10);
    CHECK(sends_to("10.0.0.5"));
}

static void test_a_phone_behind_a_nat_is_latched_on(void) {
    start(RW_LATCH_POLICY_LATCH);
    prove("192.0.2.1");
    CHECK(sends_to("192.0.2.1"));
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_ACCEPT);
        CHECK_EQUAL(hear("198.51.100.9"), RW_LATCH_STRANGER);
    }
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_STRANGER);
    CHECK_EQUAL(latch.strangers, 101);
    CHECK(sends_to("192.0.2.1"));
}

static void test_the_sdp_takes_its_place_back_for_a_while(void) {
    start(RW_LATCH_POLICY_LATCH);
    prove("192.0.2.1");
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_ACCEPT);
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_MOVED);
    CHECK(sends_to("10.0.0.5"));
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_STRANGER);
}

static void test_the_window_ends_with_packets(void) {
    for (int more = 4; more <= 5; more++) { /* 7 and 8 packets, the proof included */
        start(RW_LATCH_POLICY_LATCH);
        prove("192.0.2.1");
        for (int i = 0; i < more; i++)
            CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_ACCEPT);
        CHECK_EQUAL(hear("10.0.0.5"), more == 4 ? RW_LATCH_MOVED : RW_LATCH_STRANGER);
    }
}

static void test_it_moves_to_another_source_only_once(void) {
    start(RW_LATCH_POLICY_LATCH);
    prove("192.0.2.1");
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(hear("198.51.100.9"), RW_LATCH_STRANGER);
}

static void test_the_window_ends_with_time(void) {
    start(RW_LATCH_POLICY_LATCH);
    prove("192.0.2.1");
    now_us += RW_LATCH_SETTLE_US;
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_STRANGER);
    start(RW_LATCH_POLICY_LATCH);
    now_us += RW_LATCH_OPEN_US;
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_STRANGER);
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_ACCEPT);
}

/* From the first packet of the source that proved itself, not from the last. */
static void test_the_window_of_a_slow_source(void) {
    start(RW_LATCH_POLICY_LATCH);
    hear("192.0.2.1");
    now_us += RW_LATCH_SETTLE_US / 2;
    hear("192.0.2.1");
    now_us += RW_LATCH_SETTLE_US / 2 - 3 * PACKET_US;
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_MOVED);
    now_us += PACKET_US;
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_STRANGER);
}

static void test_a_proof_takes_its_time(void) {
    rw_address source = at("192.0.2.1", 4000);
    start(RW_LATCH_POLICY_LATCH);
    for (uint64_t us = 0; us < RW_LATCH_PROOF_US; us += RW_LATCH_PROOF_US / 3)
        CHECK_EQUAL(rw_latch_hear(&latch, &source, now_us + us), RW_LATCH_PROVING);
    CHECK_EQUAL(rw_latch_hear(&latch, &source, now_us + RW_LATCH_PROOF_US), RW_LATCH_MOVED);
}

static void test_a_proof_is_interrupted(void) {
    start(RW_LATCH_POLICY_LATCH);
    prove("192.0.2.1");
    hear("192.0.2.1");
    open_window(RW_LATCH_POLICY_LATCH, "10.0.0.5");
    hear("198.51.100.9");
    hear("198.51.100.9");
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_ACCEPT); /* by the source that we send to */
    CHECK_EQUAL(hear("198.51.100.9"), RW_LATCH_PROVING);
    hear("198.51.100.9");
    open_window(RW_LATCH_POLICY_LATCH, "10.0.0.5"); /* by a new window */
    prove("198.51.100.9");
}

static void test_packets_far_apart_prove_nothing(void) {
    start(RW_LATCH_POLICY_LATCH);
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_PROVING);
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_PROVING);
    now_us += RW_LATCH_SETTLE_US;
    prove("192.0.2.1");
}

static void test_a_stray_packet_does_not_end_the_window(void) {
    start(RW_LATCH_POLICY_LATCH);
    CHECK_EQUAL(hear("198.51.100.9"), RW_LATCH_PROVING);
    now_us += 2 * RW_LATCH_SETTLE_US;
    prove("192.0.2.1");
}

static void test_a_flood_between_two_packets_proves_nothing(void) {
    rw_address thief = at("198.51.100.9", 4000);
    start(RW_LATCH_POLICY_LATCH);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_PROVING);
        for (int j = 1; j < 20; j++)
            CHECK_EQUAL(rw_latch_hear(&latch, &thief, now_us + (uint64_t)j * 1000),
                        RW_LATCH_PROVING);
    }
    CHECK(sends_to("10.0.0.5"));
}

static void test_the_first_packet_from_the_sdp_settles_it(void) {
    start(RW_LATCH_POLICY_LATCH);
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_PROVING);
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_ACCEPT);
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_STRANGER);
}

static void test_only_unicast_of_the_same_family(void) {
    start(RW_LATCH_POLICY_LATCH);
    for (int i = 0; i < 5; i++) {
        CHECK_EQUAL(hear("2001:db8::1"), RW_LATCH_STRANGER);
        CHECK_EQUAL(hear("224.0.0.5"), RW_LATCH_STRANGER);
        CHECK_EQUAL(hear("0.0.0.0"), RW_LATCH_STRANGER);
        CHECK_EQUAL(hear("255.255.255.255"), RW_LATCH_STRANGER);
    }
}

static void test_renegotiation_opens_the_window_again(void) {
    start(RW_LATCH_POLICY_LATCH);
    prove("192.0.2.1");
    for (int i = 0; i < 10; i++)
        hear("192.0.2.1");
    open_window(RW_LATCH_POLICY_LATCH, "10.0.0.5"); /* a session refresh: nothing is interrupted */
    CHECK(sends_to("192.0.2.1"));
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_ACCEPT);
    prove("192.0.2.77"); /* the NAT has given it another address */
    open_window(RW_LATCH_POLICY_LATCH, "10.0.0.6");
    CHECK(sends_to("10.0.0.6"));
    open_window(RW_LATCH_POLICY_LATCH, "10.0.0.6");
    prove("192.0.2.1");
    open_window(RW_LATCH_POLICY_SDP, "10.0.0.6");
    CHECK(sends_to("10.0.0.6"));
    CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_STRANGER);
}

static void test_a_refreshed_stream_settles_again(void) {
    start(RW_LATCH_POLICY_LATCH);
    prove("192.0.2.1");
    open_window(RW_LATCH_POLICY_LATCH, "10.0.0.5");
    for (int i = 0; i < RW_LATCH_SETTLE_PACKETS; i++)
        CHECK_EQUAL(hear("192.0.2.1"), RW_LATCH_ACCEPT);
    CHECK_EQUAL(hear("10.0.0.5"), RW_LATCH_STRANGER);
}

int main(void) {
    test_sdp_only();
    test_a_phone_behind_a_nat_is_latched_on();
    test_the_sdp_takes_its_place_back_for_a_while();
    test_the_window_ends_with_packets();
    test_it_moves_to_another_source_only_once();
    test_the_window_ends_with_time();
    test_the_window_of_a_slow_source();
    test_a_proof_takes_its_time();
    test_a_proof_is_interrupted();
    test_packets_far_apart_prove_nothing();
    test_a_stray_packet_does_not_end_the_window();
    test_a_flood_between_two_packets_proves_nothing();
    test_the_first_packet_from_the_sdp_settles_it();
    test_only_unicast_of_the_same_family();
    test_renegotiation_opens_the_window_again();
    test_a_refreshed_stream_settles_again();
    return 0;
}
