/*
 * Pairs: what the far ends of bridged legs hear of each other. A talker speaks to every leg; what
 * comes back from a leg is held against what was said to the other leg of its pair: number by
 * number, byte for byte where both have one codec, and how long it took.
 *
 * A leg's first packet has to be what was said first: talk begins when the legs are bridged.
 *
 * Not thread-safe: one thread uses a talker, its receiver and these.
 */
#ifndef RW_BENCH_PAIRS_H
#define RW_BENCH_PAIRS_H

#include "bench/talker.h"

#define RW_PAIRS_KEPT_BYTES 1472 /* of a packet's payload */

typedef struct rw_pairs rw_pairs;

/* What came of a packet; also the index of its counter. */
typedef enum rw_pairs_verdict {
    RW_PAIRS_RIGHT,
    RW_PAIRS_STRANGER,   /* from none of the legs */
    RW_PAIRS_REPEATED,   /* came before */
    RW_PAIRS_DISORDERED, /* after a later one */
    RW_PAIRS_NOT_SAID,   /* nothing was said under that number, or long ago */
    RW_PAIRS_MISTYPED,   /* not the payload type of the leg that it came from */
    RW_PAIRS_MISTIMED,   /* its timestamp does not fit its number */
    RW_PAIRS_ALTERED,    /* other bytes than were said */
    RW_PAIRS_VERDICTS,
} rw_pairs_verdict;

typedef struct rw_pairs_config {
    uint32_t legs;            /* even: legs 2i and 2i + 1 are a pair */
    const uint16_t *ports;    /* that each leg sends from; read during the call */
    uint8_t payload_types[2]; /* of the even and of the odd legs */
    uint16_t ptime_ts[2];     /* of their packets, in RTP timestamps */
    uint32_t keep_every;      /* of each so-manieth pair some packets are kept; 0: of none */
    uint32_t keep_packets;    /* the first so many of each of its legs */
} rw_pairs_config;

/* A packet that was kept. */
typedef struct rw_pairs_kept {
    uint32_t frame; /* of the sound that the other leg was told: this is what became of it */
    uint16_t bytes;
    uint8_t payload[RW_PAIRS_KEPT_BYTES];
} rw_pairs_kept;

/* Watches what `receiver` hears from now on; both it and `talker` stay the caller's, and outlive
 * the pairs. `config` is copied. 0, -EINVAL (an odd number of legs, or none), -ENOMEM. */
int rw_pairs_open(rw_pairs **pairs, rw_receiver *receiver, const rw_talker *talker,
                  const rw_pairs_config *config);
void rw_pairs_close(rw_pairs *pairs);

uint64_t rw_pairs_count(const rw_pairs *pairs, rw_pairs_verdict verdict);

/* Time from the sending of packets to the arrival of what became of them, in microseconds. */
const rw_histogram *rw_pairs_delay_us(const rw_pairs *pairs);
/* Forgets the delays so far. */
void rw_pairs_begin_window(rw_pairs *pairs);

/* What was kept of packets from `leg`, in the order of their arrival; it stays the pairs'. */
const rw_pairs_kept *rw_pairs_kept_of(const rw_pairs *pairs, uint32_t leg, uint32_t *count);

#endif
