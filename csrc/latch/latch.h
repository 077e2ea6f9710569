/*
 * Latch: whose packets a leg takes, and where it sends its own (symmetric RTP, RFC 4961).
 *
 * A phone behind a NAT sends from an address that its SDP does not know. With the policy `latch`
 * such a source may take the place of the address in the SDP, under these rules:
 *   - only from the (re)negotiation on, and within RW_LATCH_OPEN_US of it;
 *   - only after RW_LATCH_PROOF_PACKETS packets in a row over RW_LATCH_PROOF_US, with none from
 *     anybody else between them: neither a packet that strays in from an earlier call on the same
 *     port does, nor a flood into the 20 ms between two packets of the true stream;
 *   - only a unicast address of the family in the SDP;
 *   - only once; the address in the SDP may still take its place back, by a single packet, until
 *     RW_LATCH_SETTLE_PACKETS packets or RW_LATCH_SETTLE_US after the source was first heard;
 *   - then, and after the first packet from the SDP's own address, nothing moves until the next
 *     (re)negotiation.
 * With the policy `sdp`, nobody but the address in the SDP is heard.
 *
 * What this protects against: one who finds a port while a call is under way gets nothing of it and
 * cannot speak into it. One who sprays ports with packets before a call must hit within the short
 * time before the caller's own packets. What it does not protect against: who can send from the
 * caller's address (spoofing, same NAT and port), who reads the signalling and so can be the first
 * at a fresh port, and a call whose peer is silent or sends through a NAT so late that another is
 * faster. Only SRTP keeps these out, or `sdp` where no NAT is between.
 *
 * Other sources can keep a source behind a NAT from proving itself, by sending between its packets:
 * then the leg stays with the SDP. It fails closed.
 *
 * One struct a port: RTCP on a port of its own has a latch of its own. Pure state, embedded by the
 * caller; microseconds are of one monotonic clock.
 */
#ifndef RW_LATCH_H
#define RW_LATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "address/address.h"

/* Whoever has not sent this long after the (re)negotiation is not latched on. */
#define RW_LATCH_OPEN_US 30000000
/* Three packets of 20 ms; a sender with shorter ones needs more of them. */
#define RW_LATCH_PROOF_PACKETS 3
#define RW_LATCH_PROOF_US 30000
/* From the first packet of the source that we send to: then it is settled. */
#define RW_LATCH_SETTLE_PACKETS 8
#define RW_LATCH_SETTLE_US 5000000

typedef enum rw_latch_policy {
    RW_LATCH_POLICY_SDP,   /* nobody but the address in the SDP */
    RW_LATCH_POLICY_LATCH, /* or a source that proves itself in time */
} rw_latch_policy;

typedef enum rw_latch_verdict {
    RW_LATCH_ACCEPT,
    RW_LATCH_MOVED,    /* accept, and send to `remote` from now on */
    RW_LATCH_PROVING,  /* drop: it may be taken if it goes on */
    RW_LATCH_STRANGER, /* drop; counted */
} rw_latch_verdict;

typedef struct rw_latch {
    rw_address remote; /* where to send, and whose packets are taken */
    rw_address sdp;
    rw_address candidate;
    uint64_t opened_us;
    uint64_t first_us;     /* the first packet of the source that we send to */
    uint64_t candidate_us; /* the first of the candidate's packets in a row */
    uint32_t strangers;    /* packets refused, over the whole call */
    uint8_t heard;         /* packets from `remote` since it was opened */
    uint8_t proof;         /* packets in a row from `candidate` */
    bool moved;            /* once since it was opened */
    bool settled;          /* nothing moves any more */
} rw_latch;

/* Begins a call. */
void rw_latch_init(rw_latch *latch);

/* Opens the window, at each (re)negotiation. If the SDP names the same address as before, a source
 * that was latched on stays where we send to, or every session refresh would interrupt the call;
 * under the policy `sdp`, or with another address, we send to what it names. `from_sdp` is copied.
 */
void rw_latch_open(rw_latch *latch, rw_latch_policy policy, const rw_address *from_sdp,
                   uint64_t now_us);

/* Judges a packet by its source. */
rw_latch_verdict rw_latch_hear(rw_latch *latch, const rw_address *source, uint64_t now_us);

#endif
