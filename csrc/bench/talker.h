/*
 * Talker: the far end of many legs. From the very addresses that the legs send to, which are those
 * of a receiver, it sends each of them a packet of sound every 20 ms, a twentieth of the legs in
 * each tick of 1 ms, and drains the receiver in between.
 *
 * Not thread-safe: one thread uses a talker and its receiver. Reads CLOCK_MONOTONIC.
 */
#ifndef RW_BENCH_TALKER_H
#define RW_BENCH_TALKER_H

#include "bench/receiver.h"

#define RW_TALKER_PAYLOAD_BYTES 160 /* 20 ms of G.711 */

typedef struct rw_talker rw_talker;

typedef struct rw_talker_config {
    uint32_t legs;
    const struct sockaddr_in *from; /* where each leg sends to: its port is one of the receiver's */
    const struct sockaddr_in *to;   /* where each leg receives */
    const uint8_t *sound; /* PCMU, heard again and again, by each leg from another place */
    size_t sound_bytes;   /* a multiple of RW_TALKER_PAYLOAD_BYTES */
} rw_talker_config;

/* Opens a talker; `config` is copied, with all that it points to. `receiver` stays the caller's and
 * outlives the talker. 0, -EINVAL (no legs, no sound, a port that is not the receiver's), -ENOMEM.
 */
int rw_talker_open(rw_talker **talker, rw_receiver *receiver, const rw_talker_config *config);
void rw_talker_close(rw_talker *talker);

/* Talks and drains for `duration_us`. A tick that comes late is made up for at once, in this run or
 * the next. 0 or a negative errno of the receiver. */
int rw_talker_run(rw_talker *talker, uint64_t duration_us);

/* Packets that the kernel has taken, and has not, since the talker was opened. */
uint64_t rw_talker_packets(const rw_talker *talker);
uint64_t rw_talker_failed(const rw_talker *talker);

#endif
