#include "latch/latch.h"

#include <string.h>

void rw_latch_init(rw_latch *latch) {
    memset(latch, 0, sizeof(*latch));
}

void rw_latch_open(rw_latch *latch, rw_latch_policy policy, const rw_address *from_sdp,
                   uint64_t now_us) {
    if (policy == RW_LATCH_POLICY_SDP || !rw_address_equal(&latch->sdp, from_sdp))
        latch->remote = *from_sdp;
    latch->sdp = *from_sdp;
    latch->opened_us = now_us;
    latch->heard = 0;
    latch->proof = 0;
    latch->moved = false;
    latch->settled = policy == RW_LATCH_POLICY_SDP;
}

static rw_latch_verdict refuse(rw_latch *latch) {
    latch->strangers++;
    return RW_LATCH_STRANGER;
}

static void close_in_time(rw_latch *latch, uint64_t now_us) {
    if (latch->heard ? now_us - latch->first_us > RW_LATCH_SETTLE_US
                     : now_us - latch->opened_us > RW_LATCH_OPEN_US)
        latch->settled = true;
}

/* The address in the SDP speaks: that is what both sides have agreed on. */
static rw_latch_verdict settle_on_sdp(rw_latch *latch) {
    bool moves = !rw_address_equal(&latch->remote, &latch->sdp);
    latch->remote = latch->sdp;
    latch->settled = true;
    return moves ? RW_LATCH_MOVED : RW_LATCH_ACCEPT;
}

static rw_latch_verdict hear_remote(rw_latch *latch, uint64_t now_us) {
    if (latch->heard == 0) latch->first_us = now_us;
    latch->proof = 0;
    if (++latch->heard >= RW_LATCH_SETTLE_PACKETS) latch->settled = true;
    return RW_LATCH_ACCEPT;
}

/* Whether a source that is neither the SDP's nor ours may prove itself. */
static bool may_be_taken(const rw_latch *latch, const rw_address *source) {
    return !latch->moved && source->any.sa_family == latch->sdp.any.sa_family &&
           rw_address_is_unicast(source);
}

/* True when the packets in a row are enough, and came as a stream does. */
static bool has_proved(const rw_latch *latch, uint64_t now_us) {
    return latch->proof >= RW_LATCH_PROOF_PACKETS &&
           now_us - latch->candidate_us >= RW_LATCH_PROOF_US;
}

static rw_latch_verdict hear_candidate(rw_latch *latch, const rw_address *source, uint64_t now_us) {
    if (latch->proof == 0 || !rw_address_equal(&latch->candidate, source) ||
        now_us - latch->candidate_us > RW_LATCH_SETTLE_US) {
        latch->candidate = *source;
        latch->candidate_us = now_us;
        latch->proof = 0;
    }
    if (latch->proof < RW_LATCH_PROOF_PACKETS) latch->proof++;
    if (!has_proved(latch, now_us)) return RW_LATCH_PROVING;
    latch->remote = *source;
    latch->first_us = latch->candidate_us;
    latch->heard = RW_LATCH_PROOF_PACKETS;
    latch->moved = true;
    return RW_LATCH_MOVED;
}

rw_latch_verdict rw_latch_hear(rw_latch *latch, const rw_address *source, uint64_t now_us) {
    if (!latch->settled) close_in_time(latch, now_us);
    bool from_remote = rw_address_equal(&latch->remote, source);
    if (latch->settled) return from_remote ? RW_LATCH_ACCEPT : refuse(latch);
    if (rw_address_equal(&latch->sdp, source)) return settle_on_sdp(latch);
    if (from_remote) return hear_remote(latch, now_us);
    if (!may_be_taken(latch, source)) return refuse(latch);
    return hear_candidate(latch, source, now_us);
}
