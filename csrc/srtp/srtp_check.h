/* Keys and packets for the tests, the fuzzer and the benchmark of SRTP. */
#ifndef RW_SRTP_CHECK_H
#define RW_SRTP_CHECK_H

#include <string.h>

#include "base/base.h"
#include "rtp/rtp.h"
#include "srtp/srtp.h"
#include "test/check.h"

#define CHECK_SSRC 0xcafebabe
#define CHECK_PACKET_BYTES 172

static inline rw_srtp_key check_key(rw_srtp_suite suite, uint8_t seed) {
    rw_srtp_key key = {.key_bytes = (uint8_t)rw_srtp_key_bytes(suite)};
    for (size_t i = 0; i < key.key_bytes; i++)
        key.bytes[i] = (uint8_t)(seed + 7 * i);
    return key;
}

static inline rw_srtp_config check_config(rw_srtp_suite suite, uint8_t local, uint8_t remote) {
    return (rw_srtp_config){suite, RW_SRTP_DEFAULT_WINDOW_PACKETS, check_key(suite, local),
                            check_key(suite, remote)};
}

static inline rw_srtp *check_create(const rw_srtp_config *config) {
    rw_srtp *srtp;
    CHECK_EQUAL(rw_srtp_create(config, &srtp), 0);
    return srtp;
}

/* An RTP packet of 20 ms of PCMU. */
static inline size_t check_rtp_packet(uint8_t *packet, uint32_t ssrc, uint16_t sequence) {
    rw_rtp_header header = {false, 0, sequence, 160u * sequence, ssrc};
    rw_rtp_write_header(packet, &header);
    for (size_t i = RW_RTP_HEADER_BYTES; i < CHECK_PACKET_BYTES; i++)
        packet[i] = (uint8_t)(i + sequence);
    return CHECK_PACKET_BYTES;
}

/* A receiver report without blocks (RFC 3550 section 6.4.2), and an empty SDES behind it. */
static inline size_t check_rtcp_packet(uint8_t *packet, uint32_t ssrc) {
    static const uint8_t report[] = {0x80, 201, 0, 1, 0, 0, 0, 0, 0x80, 202, 0, 0};
    memcpy(packet, report, sizeof report);
    rw_store_be32(packet + 4, ssrc);
    return sizeof report;
}

#endif
