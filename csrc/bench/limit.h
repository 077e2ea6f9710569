/*
 * The limit: bare loops that send RTP packets, send and receive them, or pass them on, with the
 * fewest system calls there are, and do nothing else. What they cost is what the kernel charges; an
 * engine is measured against them.
 *
 * Sequence numbers, timestamps and SSRCs are really written, leg by leg, so that a receiver checks
 * these packets as it checks the engine's. Reads CLOCK_MONOTONIC and the process's CPU clock.
 */
#ifndef RW_BENCH_LIMIT_H
#define RW_BENCH_LIMIT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram/histogram.h"

#define RW_LIMIT_PAYLOAD_BYTES 160 /* 20 ms of G.711 */

typedef enum rw_limit_way {
    RW_LIMIT_SEND,     /* one connected socket a leg, one `send` a packet */
    RW_LIMIT_SENDMMSG, /* one unconnected socket, one `sendmmsg` for many packets */
    RW_LIMIT_EXCHANGE, /* as RW_LIMIT_SEND, and one `recvmmsg` a packet for what has come */
    RW_LIMIT_RELAY, /* what one `recvmmsg` has brought to leg 2i goes on from leg 2i + 1 by `send`,
                       and the other way: as many legs as make pairs */
} rw_limit_way;

typedef struct rw_limit_config {
    rw_limit_way way;
    /* In as many 1 ms ticks of the 20 as a shard has such legs in (see `phases`), so that a leg
     * sends every 20 ms; otherwise as fast as it goes, leg after leg. */
    bool paced;
    uint32_t legs;
    uint64_t duration_us;
    const struct sockaddr_in *to; /* destination of each leg; the caller's, read during the run */
    const int *fds; /* RW_LIMIT_EXCHANGE and RW_LIMIT_RELAY: a bound socket of each leg; the
                       caller's, as they are */
} rw_limit_config;

/* Zeroed by the caller. */
typedef struct rw_limit_result {
    uint64_t packets;
    uint64_t failed;   /* packets that the kernel did not take */
    uint64_t received; /* datagrams, whatever is in them */
    uint64_t ticks;    /* with packets */
    uint64_t cpu_us;   /* of the whole process, user and system */
    uint64_t wall_us;
    rw_histogram lateness_us; /* of each tick's start; empty when not paced */
} rw_limit_result;

/* Runs the loop for the duration. 0, or a negative errno if the sockets could not be had. */
int rw_limit_run(const rw_limit_config *config, rw_limit_result *result);

#endif
