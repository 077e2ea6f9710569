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

#define RW_TALKER_MEMORY 128 /* packets to each leg that can be recalled: 2.56 s */

typedef struct rw_talker rw_talker;

/* Sound in one codec, cut into packets of 20 ms. */
typedef struct rw_talker_sound {
    uint8_t payload_type;
    uint16_t ptime_ts; /* of a packet, in RTP timestamps */
    uint32_t frames;
    const uint16_t *frame_bytes; /* the length of each packet's payload */
    const uint8_t *payload;      /* all of them, one behind the other */
} rw_talker_sound;

/* A packet that was sent. */
typedef struct rw_talker_packet {
    uint32_t frame; /* of the leg's sound */
    const uint8_t *payload;
    size_t payload_bytes;
    uint64_t sent_ns; /* of CLOCK_REALTIME, just before the system call */
} rw_talker_packet;

typedef struct rw_talker_config {
    uint32_t legs;
    const struct sockaddr_in *from; /* where each leg sends to: its port is one of the receiver's */
    const struct sockaddr_in *to;   /* where each leg receives */
    const rw_talker_sound *sounds;  /* heard again and again, by each leg from another place; */
    uint32_t sound_count;           /* a leg hears the one at its number modulo this */
} rw_talker_config;

/* Opens a talker; `config` is copied, with all that it points to. `receiver` stays the caller's and
 * outlives the talker. 0, -EINVAL (no legs, no sound, a port that is not the receiver's), -ENOMEM.
 */
int rw_talker_open(rw_talker **talker, rw_receiver *receiver, const rw_talker_config *config);
void rw_talker_close(rw_talker *talker);

/* Talks and drains for `duration_us`. A tick that comes late is made up for at once, in this run or
 * the next. 0 or a negative errno of the receiver. */
int rw_talker_run(rw_talker *talker, uint64_t duration_us);

/* Packet `number` of those that went to `leg`, from 0 on; false if there is no such packet, or if
 * it was RW_TALKER_MEMORY packets ago. What it points to stays the talker's. */
bool rw_talker_recall(const rw_talker *talker, uint32_t leg, uint32_t number,
                      rw_talker_packet *packet);

/* Packets that the kernel has taken, and has not, since the talker was opened. */
uint64_t rw_talker_packets(const rw_talker *talker);
uint64_t rw_talker_failed(const rw_talker *talker);

#endif
