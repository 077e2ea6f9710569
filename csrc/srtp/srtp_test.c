#include "srtp/srtp.h"

#include <errno.h>

#include "srtp/srtp_check.h"

#define ROOM 256

/* Two ends of a call: what `near` sends, `far` receives, and the other way. */
typedef struct pair {
    rw_srtp *near;
    rw_srtp *far;
} pair;

static pair make_pair(rw_srtp_suite suite) {
    rw_srtp_config near = check_config(suite, 1, 2), far = check_config(suite, 2, 1);
    return (pair){check_create(&near), check_create(&far)};
}

static void drop_pair(pair ends) {
    rw_srtp_destroy(ends.near);
    rw_srtp_destroy(ends.far);
}

static size_t protected_rtp(rw_srtp *from, uint8_t *packet, uint32_t ssrc, uint16_t sequence) {
    size_t bytes = check_rtp_packet(packet, ssrc, sequence);
    CHECK_EQUAL(rw_srtp_protect(from, packet, &bytes, ROOM), RW_SRTP_OK);
    return bytes;
}

static size_t protected_rtcp(rw_srtp *from, uint8_t *packet) {
    size_t bytes = check_rtcp_packet(packet, CHECK_SSRC);
    CHECK_EQUAL(rw_srtp_protect_rtcp(from, packet, &bytes, ROOM), RW_SRTP_OK);
    return bytes;
}

/* What the far end says of a new packet of the near one. */
static rw_srtp_reject sent(pair ends, uint32_t ssrc, uint16_t sequence) {
    uint8_t packet[ROOM];
    size_t bytes = protected_rtp(ends.near, packet, ssrc, sequence);
    return rw_srtp_unprotect(ends.far, packet, &bytes);
}

static void test_suites(void) {
    static const struct {
        const char *name;
        size_t key_bytes;
    } expected[RW_SRTP_SUITES] = {{"AES_CM_128_HMAC_SHA1_80", 30},
                                  {"AES_CM_128_HMAC_SHA1_32", 30},
                                  {"AEAD_AES_128_GCM", 28},
                                  {"AEAD_AES_256_GCM", 44}};
    for (int suite = 0; suite < RW_SRTP_SUITES; suite++) {
        CHECK(strcmp(rw_srtp_suite_name((rw_srtp_suite)suite), expected[suite].name) == 0);
        CHECK_EQUAL(rw_srtp_key_bytes((rw_srtp_suite)suite), expected[suite].key_bytes);
    }
    CHECK(!rw_srtp_suite_name(RW_SRTP_SUITES));
    CHECK_EQUAL(rw_srtp_key_bytes(RW_SRTP_SUITES), 0);
}

static void test_without_the_library_there_are_no_contexts(void) {
    rw_srtp_config config = check_config(RW_SRTP_AEAD_AES_128_GCM, 1, 2);
    rw_srtp *srtp = (rw_srtp *)&config;
    CHECK_EQUAL(rw_srtp_check_config(&config), -ENOTSUP);
    CHECK_EQUAL(rw_srtp_create(&config, &srtp), -ENOTSUP);
    CHECK(!srtp);
    rw_srtp_destroy(srtp);
}

static void test_bad_configs(void) {
    rw_srtp *srtp;
    rw_srtp_config good = check_config(RW_SRTP_AES_CM_128_HMAC_SHA1_80, 1, 2), bad = good;
    CHECK_EQUAL(rw_srtp_check_config(&good), 0);
    bad.suite = RW_SRTP_SUITES;
    CHECK_EQUAL(rw_srtp_create(&bad, &srtp), -EINVAL);
    CHECK(!srtp);
    bad = good;
    bad.window_packets = RW_SRTP_MIN_WINDOW_PACKETS - 1;
    CHECK_EQUAL(rw_srtp_check_config(&bad), -EINVAL);
    bad.window_packets = RW_SRTP_MAX_WINDOW_PACKETS + 1;
    CHECK_EQUAL(rw_srtp_check_config(&bad), -EINVAL);
    bad = good;
    bad.local.key_bytes--;
    CHECK_EQUAL(rw_srtp_check_config(&bad), -EINVAL);
    bad = good;
    bad.remote.key_bytes++;
    CHECK_EQUAL(rw_srtp_check_config(&bad), -EINVAL);
    bad = good;
    bad.remote.mki_bytes = RW_SRTP_MAX_MKI_BYTES + 1;
    CHECK_EQUAL(rw_srtp_check_config(&bad), -EINVAL);
}

/* The packet and master keys of libsrtp's own regression test; the key is that of RFC 3711
 * appendix B.3. */
static void check_known(rw_srtp_suite suite, const rw_srtp_key *key, const uint8_t *expected,
                        size_t expected_bytes) {
    uint8_t packet[ROOM] = {0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe};
    size_t bytes = 28;
    memset(packet + 12, 0xab, 16);
    rw_srtp_config config = {suite, RW_SRTP_DEFAULT_WINDOW_PACKETS, *key, *key};
    rw_srtp *srtp = check_create(&config);
    CHECK_EQUAL(rw_srtp_protect(srtp, packet, &bytes, ROOM), RW_SRTP_OK);
    CHECK_EQUAL(bytes, 12 + expected_bytes);
    CHECK(memcmp(packet + 12, expected, expected_bytes) == 0);
    rw_srtp_destroy(srtp);
}

static void test_known_packets(void) {
    static const rw_srtp_key counter_mode = {
        .bytes = {0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f,
                  0xa3, 0x2c, 0x06, 0xde, 0x41, 0x39, 0x0e, 0xc6, 0x75, 0xad,
                  0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6},
        .key_bytes = 30};
    static const uint8_t counter_mode_packet[] = {
        0x4e, 0x55, 0xdc, 0x4c, 0xe7, 0x99, 0x78, 0xd8, 0x8c, 0xa4, 0xd2, 0x15, 0x94,
        0x9d, 0x24, 0x02, 0xb7, 0x8d, 0x6a, 0xcc, 0x99, 0xea, 0x17, 0x9b, 0x8d, 0xbb};
    static const rw_srtp_key gcm = {.bytes = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
                                              0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d,
                                              0x0e, 0x0f, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4,
                                              0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab},
                                    .key_bytes = 28};
    static const uint8_t gcm_packet[] = {0xc5, 0x00, 0x2e, 0xde, 0x04, 0xcf, 0xdd, 0x2e,
                                         0xb9, 0x11, 0x59, 0xe0, 0x88, 0x0a, 0xa0, 0x6e,
                                         0xd2, 0x97, 0x68, 0x26, 0xf7, 0x96, 0xb2, 0x01,
                                         0xdf, 0x31, 0x31, 0xa1, 0x27, 0xe8, 0xa3, 0x92};
    check_known(RW_SRTP_AES_CM_128_HMAC_SHA1_80, &counter_mode, counter_mode_packet,
                sizeof counter_mode_packet);
    check_known(RW_SRTP_AEAD_AES_128_GCM, &gcm, gcm_packet, sizeof gcm_packet);
}

static void test_round_trip(rw_srtp_suite suite) {
    static const size_t tag_bytes[RW_SRTP_SUITES] = {10, 4, 16, 16};
    pair ends = make_pair(suite);
    uint8_t packet[ROOM], clear[ROOM];
    size_t clear_bytes = check_rtp_packet(clear, CHECK_SSRC, 9);
    size_t bytes = protected_rtp(ends.near, packet, CHECK_SSRC, 9);
    CHECK_EQUAL(bytes, CHECK_PACKET_BYTES + tag_bytes[suite]);
    CHECK(memcmp(packet, clear, RW_RTP_HEADER_BYTES) == 0);
    CHECK(memcmp(packet + RW_RTP_HEADER_BYTES, clear + RW_RTP_HEADER_BYTES, 16) != 0);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_OK);
    CHECK_EQUAL(bytes, clear_bytes);
    CHECK(memcmp(packet, clear, clear_bytes) == 0);

    clear_bytes = check_rtcp_packet(clear, CHECK_SSRC);
    bytes = protected_rtcp(ends.near, packet);
    CHECK_EQUAL(bytes, clear_bytes + 4 + (tag_bytes[suite] == 4 ? 10 : tag_bytes[suite]));
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes), RW_SRTP_OK);
    CHECK_EQUAL(bytes, clear_bytes);
    CHECK(memcmp(packet, clear, clear_bytes) == 0);
    drop_pair(ends);
}

/* Every bit of the packet is covered, and a refused one leaves the context as it was. */
static void test_tampering(rw_srtp_suite suite) {
    pair ends = make_pair(suite);
    uint8_t rtp[ROOM], rtcp[ROOM], packet[ROOM];
    size_t rtp_bytes = protected_rtp(ends.near, rtp, CHECK_SSRC, 1);
    size_t rtcp_bytes = protected_rtcp(ends.near, rtcp);
    for (size_t i = 0; i < rtp_bytes; i++) {
        size_t bytes = rtp_bytes;
        memcpy(packet, rtp, rtp_bytes);
        packet[i] ^= (uint8_t)(1 << (i % 8));
        CHECK(rw_srtp_unprotect(ends.far, packet, &bytes) != RW_SRTP_OK);
    }
    for (size_t i = 0; i < rtcp_bytes; i++) {
        size_t bytes = rtcp_bytes;
        memcpy(packet, rtcp, rtcp_bytes);
        packet[i] ^= (uint8_t)(1 << (i % 8));
        CHECK(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes) != RW_SRTP_OK);
    }
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, rtp, &rtp_bytes), RW_SRTP_OK);
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, rtcp, &rtcp_bytes), RW_SRTP_OK);
    drop_pair(ends);
}

/* No length that a datagram can be cut to reads outside of it, or passes. */
static void test_cut_short(rw_srtp_suite suite) {
    pair ends = make_pair(suite);
    uint8_t rtp[ROOM], rtcp[ROOM];
    size_t rtp_bytes = protected_rtp(ends.near, rtp, CHECK_SSRC, 1);
    size_t rtcp_bytes = protected_rtcp(ends.near, rtcp);
    for (size_t cut = 0; cut < rtp_bytes; cut++) {
        size_t bytes = cut;
        uint8_t *packet = malloc(cut ? cut : 1);
        memcpy(packet, rtp, cut);
        rw_srtp_reject reject = rw_srtp_unprotect(ends.far, packet, &bytes);
        CHECK(reject == RW_SRTP_TOO_SHORT || reject == RW_SRTP_AUTHENTICATION_FAILED);
        free(packet);
    }
    for (size_t cut = 0; cut < rtcp_bytes; cut++) {
        size_t bytes = cut;
        uint8_t *packet = malloc(cut ? cut : 1);
        memcpy(packet, rtcp, cut);
        CHECK(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes) != RW_SRTP_OK);
        free(packet);
    }
    drop_pair(ends);
}

static void test_replay_and_order(rw_srtp_suite suite) {
    pair ends = make_pair(suite);
    uint8_t first[ROOM], old[ROOM], packet[ROOM];
    size_t first_bytes = protected_rtp(ends.near, first, CHECK_SSRC, 1000), bytes = first_bytes;
    size_t old_bytes = protected_rtp(ends.near, old, CHECK_SSRC, 1001), rtcp_bytes;
    memcpy(packet, first, first_bytes);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_OK);
    bytes = first_bytes;
    memcpy(packet, first, first_bytes);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_REPLAYED);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 1001 + RW_SRTP_DEFAULT_WINDOW_PACKETS - 1), RW_SRTP_OK);
    bytes = old_bytes;
    memcpy(packet, old, old_bytes);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_OK); /* late, not too late */
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 1001 + RW_SRTP_DEFAULT_WINDOW_PACKETS), RW_SRTP_OK);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, old, &old_bytes), RW_SRTP_TOO_OLD);

    rtcp_bytes = bytes = protected_rtcp(ends.near, first);
    memcpy(packet, first, rtcp_bytes);
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes), RW_SRTP_OK);
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, first, &rtcp_bytes), RW_SRTP_REPLAYED);
    drop_pair(ends);
}

static void test_wrong_key(rw_srtp_suite suite) {
    pair ends = make_pair(suite);
    rw_srtp_config strange = check_config(suite, 2, 3);
    rw_srtp_destroy(ends.far);
    ends.far = check_create(&strange);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 1), RW_SRTP_AUTHENTICATION_FAILED);
    uint8_t packet[ROOM];
    size_t bytes = protected_rtcp(ends.near, packet);
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes), RW_SRTP_AUTHENTICATION_FAILED);
    drop_pair(ends);
}

static void test_mki(rw_srtp_suite suite) {
    rw_srtp_config near = check_config(suite, 1, 2), far = check_config(suite, 2, 1);
    near.local.mki_bytes = far.remote.mki_bytes = 4;
    near.local.mki[3] = far.remote.mki[3] = 1;
    if (suite == RW_SRTP_AES_CM_128_HMAC_SHA1_32) {
        CHECK_EQUAL(rw_srtp_check_config(&near), -ENOTSUP);
        CHECK_EQUAL(rw_srtp_check_config(&far), -ENOTSUP);
        return;
    }
    pair ends = {check_create(&near), check_create(&far)}, plain = make_pair(suite);
    uint8_t packet[ROOM];
    size_t plain_bytes = protected_rtp(plain.near, packet, CHECK_SSRC, 1);
    size_t bytes = protected_rtp(ends.near, packet, CHECK_SSRC, 1);
    CHECK_EQUAL(bytes, plain_bytes + 4);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_OK);
    plain_bytes = protected_rtcp(plain.near, packet);
    bytes = protected_rtcp(ends.near, packet);
    CHECK_EQUAL(bytes, plain_bytes + 4);
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes), RW_SRTP_OK);
    far.remote.mki[3] = 2;
    CHECK_EQUAL(rw_srtp_rekey(ends.far, &far), 0);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 2), RW_SRTP_WRONG_MKI);
    drop_pair(plain);
    drop_pair(ends);
}

static void test_what_cannot_be_protected(void) {
    pair ends = make_pair(RW_SRTP_AEAD_AES_256_GCM);
    uint8_t packet[ROOM];
    size_t bytes = check_rtp_packet(packet, CHECK_SSRC, 1);
    CHECK_EQUAL(rw_srtp_protect(ends.near, packet, &bytes, bytes + 15), RW_SRTP_NO_ROOM);
    CHECK_EQUAL(bytes, CHECK_PACKET_BYTES);
    CHECK_EQUAL(rw_srtp_protect(ends.near, packet, &bytes, bytes + 16), RW_SRTP_OK);
    bytes = check_rtcp_packet(packet, CHECK_SSRC);
    CHECK_EQUAL(rw_srtp_protect_rtcp(ends.near, packet, &bytes, bytes + 19), RW_SRTP_NO_ROOM);
    CHECK_EQUAL(rw_srtp_protect_rtcp(ends.near, packet, &bytes, bytes + 20), RW_SRTP_OK);
    bytes = 11;
    CHECK_EQUAL(rw_srtp_protect(ends.near, packet, &bytes, ROOM), RW_SRTP_TOO_SHORT);
    bytes = 7;
    CHECK_EQUAL(rw_srtp_protect_rtcp(ends.near, packet, &bytes, ROOM), RW_SRTP_TOO_SHORT);
    drop_pair(ends);
}

static void check_malformed(pair ends, uint8_t first, uint16_t extension_words) {
    uint8_t packet[ROOM];
    size_t bytes = check_rtp_packet(packet, CHECK_SSRC, 1);
    packet[0] = first;
    rw_store_be16(packet + 14, extension_words);
    CHECK_EQUAL(rw_srtp_protect(ends.near, packet, &bytes, ROOM), RW_SRTP_MALFORMED);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_MALFORMED);
    bytes = 12 + 4 + 10; /* a CSRC list of 15, or an extension, has no place in it */
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_MALFORMED);
}

static void test_malformed(void) {
    pair ends = make_pair(RW_SRTP_AES_CM_128_HMAC_SHA1_80);
    uint8_t rtcp[ROOM];
    check_malformed(ends, 0x40, 0);
    check_malformed(ends, 0x90, 0xffff);
    check_malformed(ends, 0x90, 40);
    size_t bytes = protected_rtcp(ends.near, rtcp);
    rtcp[0] ^= 0xc0;
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, rtcp, &bytes), RW_SRTP_MALFORMED);
    drop_pair(ends);
}

static void test_ssrcs_are_bounded(void) {
    pair ends = make_pair(RW_SRTP_AES_CM_128_HMAC_SHA1_80);
    rw_srtp_config other = check_config(RW_SRTP_AES_CM_128_HMAC_SHA1_80, 5, 2);
    pair strangers = {check_create(&other), ends.far};
    /* A stranger's SSRCs do not count, because he has not the key. */
    for (uint32_t ssrc = 1000; ssrc < 1000 + RW_SRTP_MAX_SSRCS; ssrc++)
        CHECK_EQUAL(sent(strangers, ssrc, 1), RW_SRTP_AUTHENTICATION_FAILED);
    for (uint32_t ssrc = 0; ssrc < RW_SRTP_MAX_SSRCS; ssrc++)
        CHECK_EQUAL(sent(ends, ssrc, 1), RW_SRTP_OK);
    uint8_t packet[ROOM];
    size_t bytes = check_rtp_packet(packet, RW_SRTP_MAX_SSRCS, 1);
    CHECK_EQUAL(rw_srtp_protect(ends.near, packet, &bytes, ROOM), RW_SRTP_TOO_MANY_SSRCS);
    rw_srtp_config twin = check_config(RW_SRTP_AES_CM_128_HMAC_SHA1_80, 1, 2);
    pair more = {check_create(&twin), ends.far};
    CHECK_EQUAL(sent(more, RW_SRTP_MAX_SSRCS, 1), RW_SRTP_TOO_MANY_SSRCS);
    CHECK_EQUAL(sent(more, 0, 2), RW_SRTP_OK);
    rw_srtp_destroy(more.near);
    rw_srtp_destroy(strangers.near);
    drop_pair(ends);
}

/* Both sides over the wrap of the sequence number, so that the rollover counter is 1. */
static void roll_over(pair ends) {
    for (uint32_t sequence = 65530; sequence < 65540; sequence++)
        CHECK_EQUAL(sent(ends, CHECK_SSRC, (uint16_t)sequence), RW_SRTP_OK);
}

/* In front of the tag (RFC 3711 section 3.4), or last (RFC 7714 section 9.2). */
static uint32_t srtcp_index(const uint8_t *packet, size_t bytes, rw_srtp_suite suite) {
    bool aead = suite == RW_SRTP_AEAD_AES_128_GCM || suite == RW_SRTP_AEAD_AES_256_GCM;
    return rw_load_be32(packet + bytes - (aead ? 4 : 14)) & 0x7fffffff;
}

static void test_new_keys_keep_the_rollover_counter(rw_srtp_suite suite) {
    pair ends = make_pair(suite);
    uint8_t packet[ROOM];
    roll_over(ends);
    size_t bytes = protected_rtcp(ends.near, packet);
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes), RW_SRTP_OK);
    rw_srtp_config near = check_config(suite, 11, 2), far = check_config(suite, 2, 11);
    CHECK_EQUAL(rw_srtp_rekey(ends.near, &near), 0);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 4), RW_SRTP_AUTHENTICATION_FAILED);
    CHECK_EQUAL(rw_srtp_rekey(ends.far, &far), 0);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 5), RW_SRTP_OK);
    bytes = protected_rtcp(ends.near, packet);
    CHECK_EQUAL(srtcp_index(packet, bytes, suite), 2); /* RFC 3711 section 3.4: not reset */
    CHECK_EQUAL(rw_srtp_unprotect_rtcp(ends.far, packet, &bytes), RW_SRTP_OK);
    /* A context of its own begins at zero, and so cannot read the same stream. */
    rw_srtp_destroy(ends.far);
    ends.far = check_create(&far);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 6), RW_SRTP_AUTHENTICATION_FAILED);
    drop_pair(ends);
}

static void test_the_same_keys_again_change_nothing(void) {
    pair ends = make_pair(RW_SRTP_AES_CM_128_HMAC_SHA1_80);
    rw_srtp_config far = check_config(RW_SRTP_AES_CM_128_HMAC_SHA1_80, 2, 1);
    uint8_t packet[ROOM], again[ROOM];
    size_t bytes = protected_rtp(ends.near, packet, CHECK_SSRC, 1), again_bytes = bytes;
    memcpy(again, packet, bytes);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, packet, &bytes), RW_SRTP_OK);
    CHECK_EQUAL(rw_srtp_rekey(ends.far, &far), 0);
    CHECK_EQUAL(rw_srtp_unprotect(ends.far, again, &again_bytes), RW_SRTP_REPLAYED);
    rw_srtp_config bad = far;
    CHECK(rw_srtp_same_config(&bad, &far));
    bad.remote.key_bytes = 0;
    CHECK(!rw_srtp_same_config(&bad, &far));
    CHECK_EQUAL(rw_srtp_rekey(ends.far, &bad), -EINVAL);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 2), RW_SRTP_OK);
    drop_pair(ends);
}

static void test_a_rekey_may_change_the_suite(void) {
    pair ends = make_pair(RW_SRTP_AES_CM_128_HMAC_SHA1_80);
    rw_srtp_config near = check_config(RW_SRTP_AEAD_AES_256_GCM, 1, 2);
    rw_srtp_config far = check_config(RW_SRTP_AEAD_AES_256_GCM, 2, 1);
    roll_over(ends);
    CHECK_EQUAL(rw_srtp_rekey(ends.near, &near), 0);
    CHECK_EQUAL(rw_srtp_rekey(ends.far, &far), 0);
    CHECK_EQUAL(sent(ends, CHECK_SSRC, 4), RW_SRTP_OK);
    drop_pair(ends);
}

int main(void) {
    test_suites();
    if (!rw_srtp_available()) {
        test_without_the_library_there_are_no_contexts();
        return 0;
    }
    test_bad_configs();
    test_known_packets();
    for (int i = 0; i < RW_SRTP_SUITES; i++) {
        rw_srtp_suite suite = (rw_srtp_suite)i;
        test_round_trip(suite);
        test_tampering(suite);
        test_cut_short(suite);
        test_replay_and_order(suite);
        test_wrong_key(suite);
        test_mki(suite);
        test_new_keys_keep_the_rollover_counter(suite);
    }
    test_what_cannot_be_protected();
    test_malformed();
    test_ssrcs_are_bounded();
    test_the_same_keys_again_change_nothing();
    test_a_rekey_may_change_the_suite();
    return 0;
}
