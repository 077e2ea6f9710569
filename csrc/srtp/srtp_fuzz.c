/* Any bytes, and real packets with bits of them flipped: nothing is read outside of the datagram,
 * and nothing passes that was not protected with the key. The first byte says which suite, and
 * RTP or RTCP; the second whether the rest is a datagram, or places to flip in a real one. */
#include <stdlib.h>

#include "srtp/srtp_check.h"

#define MAX_BYTES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct subject {
    rw_srtp *receiver;
    uint8_t rtp[CHECK_PACKET_BYTES + RW_SRTP_MAX_TRAILER_BYTES];
    uint8_t rtcp[64];
    size_t rtp_bytes;
    size_t rtcp_bytes;
} subject;

static subject make_subject(rw_srtp_suite suite) {
    rw_srtp_config near = check_config(suite, 1, 2), far = check_config(suite, 2, 1);
    rw_srtp *sender = check_create(&near);
    subject made = {.receiver = check_create(&far)};
    made.rtp_bytes = check_rtp_packet(made.rtp, CHECK_SSRC, 1);
    made.rtcp_bytes = check_rtcp_packet(made.rtcp, CHECK_SSRC);
    CHECK_EQUAL(rw_srtp_protect(sender, made.rtp, &made.rtp_bytes, sizeof made.rtp), 0);
    CHECK_EQUAL(rw_srtp_protect_rtcp(sender, made.rtcp, &made.rtcp_bytes, sizeof made.rtcp), 0);
    rw_srtp_destroy(sender);
    return made;
}

/* Flips the bits of each pair of input bytes at that place; the place is taken once, so that no
 * flip undoes another. False if nothing was changed. */
static bool flip(uint8_t *packet, size_t bytes, const uint8_t *data, size_t size) {
    bool changed = false;
    for (size_t i = 0, place = 0; i + 1 < size && place < bytes; i += 2, place++) {
        place += data[i];
        if (place >= bytes) break;
        packet[place] ^= data[i + 1];
        changed |= data[i + 1] != 0;
    }
    return changed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static subject subjects[RW_SRTP_SUITES];
    if (size < 2 || size > MAX_BYTES || !rw_srtp_available()) return 0;
    rw_srtp_suite suite = (rw_srtp_suite)(data[0] % RW_SRTP_SUITES);
    bool rtcp = data[0] & 0x80, real = data[1] & 1, changed = true;
    subject *on = &subjects[suite];
    if (!on->receiver) *on = make_subject(suite);
    size_t bytes = real ? (rtcp ? on->rtcp_bytes : on->rtp_bytes) : size - 2;
    uint8_t *packet = malloc(bytes ? bytes : 1); /* of the exact size, for ASan to watch its end */
    CHECK(packet);
    if (bytes) memcpy(packet, real ? (rtcp ? on->rtcp : on->rtp) : data + 2, bytes);
    if (real) changed = flip(packet, bytes, data + 2, size - 2);
    if (changed) {
        rw_srtp_reject reject = rtcp ? rw_srtp_unprotect_rtcp(on->receiver, packet, &bytes)
                                     : rw_srtp_unprotect(on->receiver, packet, &bytes);
        if (reject == RW_SRTP_OK) abort();
    }
    free(packet);
    return 0;
}
