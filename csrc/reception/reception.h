/*
 * Reception: what one leg knows of the stream that it hears (RFC 3550 section 6.4.1, A.1, A.3 and
 * A.8): which packets are new, late, doubled or of another source, how many are missing, how evenly
 * they come.
 *
 * The first source of a call is taken at its first packet: its address has been checked, and there
 * is nothing that it could take the place of. Whatever would put another stream in the place of the
 * one that is heard, be it another SSRC or the same one far from its sequence, must first prove
 * itself by two packets in sequence (MIN_SEQUENTIAL), with nothing new from the present stream
 * between them. So a stray packet does no harm, and of two senders at once the one that was first
 * stays. Who can send two packets into a gap of the true stream can take it: that is for SRTP.
 *
 * Every source has its own sequence; figures of the call add up over all of them. The caller embeds
 * the struct; nothing allocates or reads a clock. Microseconds are of one monotonic clock.
 */
#ifndef RW_RECEPTION_H
#define RW_RECEPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "rtcp/rtcp.h"
#include "rtp/rtp.h"

/* Ahead by this many packets or more is a jump, not loss (RFC 3550 A.1). */
#define RW_MAX_DROPOUT 3000
/* Behind by this many packets or more is a jump, not reordering (RFC 3550 A.1). */
#define RW_MAX_MISORDER 100
/* Later by this many packets is no use to a listener: not taken, and not told from duplicates. */
#define RW_MAX_LATE_PACKETS 63

/* What a packet is to the stream. */
typedef enum rw_heard {
    RW_HEARD_NEW,        /* ahead of all before it, with or without a gap */
    RW_HEARD_LATE,       /* reordered: it fills a gap */
    RW_HEARD_NEW_SOURCE, /* first packet of a source that has been taken, and so of a call */
    RW_HEARD_RESTART,    /* the same source goes on from another sequence number */
    /* The packets of these are to be dropped. */
    RW_HEARD_DUPLICATE,
    RW_HEARD_STALE,    /* RW_MAX_LATE_PACKETS or more behind */
    RW_HEARD_JUMP,     /* far from the sequence; a restart if the next one follows */
    RW_HEARD_STRANGER, /* another source; taken if its next one follows */
} rw_heard;

/* True if the packet is part of the stream. */
static inline bool rw_heard_is_taken(rw_heard heard) {
    return heard <= RW_HEARD_RESTART;
}

typedef struct rw_reception {
    /* Read and written for each packet. */
    uint64_t window;        /* bit n is set if the packet n before `highest` was heard */
    uint64_t last_heard_us; /* when a packet was taken last: for media timeout */
    uint32_t ssrc;
    uint32_t base; /* lowest and highest extended sequence number of this source */
    uint32_t highest;
    uint32_t received; /* of this source as RFC 3550 counts: with duplicates and late ones */
    uint32_t distinct; /* of this source, each once */
    uint32_t clock_rate_hz;
    uint32_t transit_ts; /* arrival less timestamp of the packet that jitter was measured by */
    uint32_t timestamp;  /* of that packet */
    uint32_t jitter_q4;  /* in 1/16 timestamp unit */
    uint32_t max_jitter_q4;
    bool timed;   /* `transit_ts` and `timestamp` are those of a packet */
    bool proving; /* a stream has sent `candidate_ssrc` and would go on with the sequence below */
    uint16_t candidate_sequence;
    uint32_t candidate_ssrc;

    /* Counts of the whole call. */
    uint32_t reordered;
    uint32_t duplicates;
    uint32_t stale;
    uint32_t refused; /* JUMP and STRANGER */
    uint32_t sources; /* taken, the first included */
    uint32_t restarts;
    uint32_t timestamp_steps;  /* timestamps that went elsewhere within a sequence */
    uint32_t gaps;             /* runs of missing packets */
    uint64_t earlier_expected; /* of sources and sequences before the present one */
    uint64_t earlier_distinct;

    /* For RTCP. */
    uint32_t expected_prior; /* at the last report */
    uint32_t received_prior;
    uint32_t sender_report_middle; /* NTP time of the last SR, its middle 32 bits; 0 if none */
    uint64_t sender_report_us;     /* when it came */
} rw_reception;

/* Begins a call. `clock_rate_hz` is that of RTP timestamps, over 0. */
void rw_reception_init(rw_reception *reception, uint32_t clock_rate_hz);

/* Takes over another clock rate, from the next packet on; jitter is kept, in its new units. */
void rw_reception_set_clock(rw_reception *reception, uint32_t clock_rate_hz);

/* Counts a packet; says what it is. */
rw_heard rw_reception_hear(rw_reception *reception, const rw_rtp_header *header,
                           uint64_t arrival_us);

/* Notes an SR of `ssrc` that came at `now_us`, for LSR and DLSR; others than the source that is
 * heard are left aside. */
void rw_reception_hear_sender_report(rw_reception *reception, uint32_t ssrc, uint64_t ntp,
                                     uint64_t now_us);

/* Fills the report block and begins the next interval. False, and `block` untouched, if nothing
 * came since the last report: such a source gets no block (RFC 3550 section 6.4). */
bool rw_reception_report(rw_reception *reception, uint64_t now_us, rw_report_block *block);

/* Figures of the whole call. Expected and lost follow gaps, so a packet that is only late counts as
 * lost until it comes. Unlike RTCP's, `lost` leaves duplicates aside and is never negative. */
uint64_t rw_reception_expected(const rw_reception *reception);
uint64_t rw_reception_received(const rw_reception *reception);
uint64_t rw_reception_lost(const rw_reception *reception);

/* Interarrival jitter as RTCP reports it, and in microseconds; the highest value it has had. */
uint32_t rw_reception_jitter_ts(const rw_reception *reception);
uint32_t rw_reception_jitter_us(const rw_reception *reception);
uint32_t rw_reception_max_jitter_us(const rw_reception *reception);

#endif
