/*
 * RTCP between two parties (RFC 3550 section 6): composing the compound packet that a leg sends,
 * reading what comes, round-trip time, and when to send the next.
 *
 * Nothing here keeps a datagram, allocates or reads a clock. What a peer says in RTCP is only what
 * it says: nobody checks it, so callers use it for figures, never for more.
 */
#ifndef RW_RTCP_H
#define RW_RTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_RTCP_MAX_CNAME_BYTES 255
/* Room that every packet of rw_rtcp_compose() fits into. */
#define RW_RTCP_MAX_BYTES 328

/* SR sender info (RFC 3550 section 6.4.1). */
typedef struct rw_sender_info {
    uint64_t ntp;       /* 32 bits of seconds since 1900, 32 of fraction */
    uint32_t timestamp; /* the RTP timestamp of the same moment */
    uint32_t packets;
    uint32_t bytes; /* of payload */
} rw_sender_info;

/* Report block: what a receiver says about one source (RFC 3550 section 6.4.1). */
typedef struct rw_report_block {
    uint32_t ssrc;
    uint8_t fraction_lost;     /* of the last interval, in 1/256 */
    int32_t cumulative_lost;   /* 24 bits, signed */
    uint32_t highest_sequence; /* extended */
    uint32_t jitter_ts;
    uint32_t lsr;  /* middle 32 bits of the last SR's NTP time, 0 if there was none */
    uint32_t dlsr; /* since then, in 1/65536 s */
} rw_report_block;

/* One compound packet to send. All pointers are borrowed for the call. */
typedef struct rw_rtcp_report {
    uint32_t ssrc;                /* our own */
    const rw_sender_info *sender; /* NULL makes an RR, as from one who sent nothing lately */
    const rw_report_block *block; /* NULL if nothing was heard since the last report */
    const char *cname;            /* RFC 7022 says what makes a good one */
    size_t cname_bytes;           /* 1 to RW_RTCP_MAX_CNAME_BYTES */
    bool bye;                     /* our stream ends */
} rw_rtcp_report;

/* Writes SR or RR, SDES CNAME and perhaps BYE to `to`; returns the length, -EINVAL for a CNAME that
 * is empty or too long, -ENOSPC if `room` is too small (`to` is untouched then). */
int rw_rtcp_compose(uint8_t *to, size_t room, const rw_rtcp_report *report);

/* Why a datagram is not valid RTCP. */
typedef enum rw_rtcp_reject {
    RW_RTCP_OK,
    RW_RTCP_TOO_SHORT,   /* no header, or a length that is no multiple of 4 */
    RW_RTCP_BAD_VERSION, /* in any of the packets */
    RW_RTCP_BAD_TYPE,    /* not 192 to 223 (RFC 5761 section 4) */
    RW_RTCP_BAD_LENGTH,  /* a packet runs past the end */
    RW_RTCP_BAD_PADDING, /* not in the last packet, or impossible (section 6.4.1) */
    RW_RTCP_BAD_REPORT,  /* SR or RR too short for what it says it has */
    RW_RTCP_BAD_BYE,     /* BYE too short for its list of sources */
    RW_RTCP_REJECTS
} rw_rtcp_reject;

/* What a compound packet says that concerns one leg. */
typedef struct rw_rtcp_heard {
    bool has_sender; /* SR: `sender` is filled */
    bool has_block;  /* `block` is about us */
    bool bye;        /* the peer's source has left */
    uint8_t skipped; /* packets of other kinds: SDES, APP, feedback, XR, and what is yet to come */
    uint32_t sender_ssrc; /* who sent `sender`, valid with has_sender */
    uint32_t block_from;  /* who sent `block`, valid with has_block */
    rw_sender_info sender;
    rw_report_block block;
} rw_rtcp_heard;

/* True if a datagram on a port shared by both is RTCP rather than RTP (RFC 5761 section 4). */
bool rw_rtcp_is(const uint8_t *datagram, size_t bytes);

/* Reads a compound packet, or one of reduced size (RFC 5506). `own_ssrc` names the source whose
 * report block is wanted, `peer_ssrc` the one whose BYE is. Of several SR or blocks the last one
 * counts. `heard` is filled on RW_RTCP_OK, else untouched: half a packet is not believed. */
rw_rtcp_reject rw_rtcp_parse(const uint8_t *datagram, size_t bytes, uint32_t own_ssrc,
                             uint32_t peer_ssrc, rw_rtcp_heard *heard);

/* NTP time of a moment in microseconds since 1970. */
uint64_t rw_rtcp_ntp_of(uint64_t unix_us);

/* The middle 32 bits of an NTP time, as LSR has them. */
uint32_t rw_rtcp_ntp_middle(uint64_t ntp);

/* A round trip longer than this is taken for a lie. */
#define RW_RTCP_MAX_RTT_US 60000000

/* Round-trip time in microseconds of a report about us that came at `now_ntp`, on the clock of our
 * own SRs. -ENODATA if the peer has had no SR from us, -ERANGE if its figures cannot be true. */
int64_t rw_rtcp_rtt_us(const rw_report_block *block, uint64_t now_ntp);

/* What is needed to say when the next report is due; the caller embeds one a leg. */
typedef struct rw_rtcp_timing {
    uint32_t bandwidth_bps;    /* of the session's RTP: RTCP may use 5 % of it */
    uint32_t average_bytes_q4; /* size of RTCP datagrams in 1/16 byte, UDP and IP included */
    bool initial;              /* no report was sent yet */
} rw_rtcp_timing;

void rw_rtcp_timing_init(rw_rtcp_timing *timing, uint32_t bandwidth_bps);

/* Takes an RTCP datagram, sent or received, into the average (RFC 3550 section 6.3.3). */
void rw_rtcp_timing_note(rw_rtcp_timing *timing, size_t datagram_bytes);

/* Microseconds from now to the next report (RFC 3550 sections 6.2 and 6.3.1), for a session of two
 * of whom `senders` (0 to 2) send. `dice` is uniform over 32 bits; it must come from a generator
 * that differs between legs, or thousands of them report at once. The first call gives the shorter
 * initial wait. Members never join or leave here, so there is nothing to reconsider (6.3.6). */
uint64_t rw_rtcp_next_us(rw_rtcp_timing *timing, unsigned senders, uint32_t dice);

#endif
