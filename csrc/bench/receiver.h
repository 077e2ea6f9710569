/*
 * RTP receiver of the benchmarks: a few UDP sockets, many streams, told apart by receiving socket,
 * source address and SSRC, each measured with the kernel's arrival times.
 *
 * It polls, and no thread ever waits on a socket, so that delivering a packet does not wake anybody
 * up at the sender's cost; the kernel's time stamp makes the poll's own lateness harmless.
 *
 * Not thread-safe: one thread uses a receiver. Reads CLOCK_MONOTONIC.
 */
#ifndef RW_BENCH_RECEIVER_H
#define RW_BENCH_RECEIVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/stream.h"

typedef struct rw_receiver rw_receiver;

typedef struct rw_receiver_config {
    uint32_t sockets;
    uint32_t streams_max; /* packets of further streams are counted in `unknown` */
    uint32_t ptime_us;
    uint32_t capture_every; /* the payload of every so-many-th stream is kept; 0 for none */
    uint32_t capture_bytes; /* at most, for each of those */
    /* Only packets over the loopback interface, but to any address of 127.0.0.0/8: gives thousands
     * of distinct destinations with few sockets. Otherwise 127.0.0.1 alone. */
    bool all_loopback;
} rw_receiver_config;

typedef struct rw_receiver_totals {
    uint64_t packets; /* of the window, duplicates and rejected ones included */
    uint64_t rejected[RW_RTP_REJECTS];
    uint64_t oversized; /* longer than any RTP packet of ours: cut off by the kernel */
    uint64_t unknown;
    uint64_t
        dropped; /* by the kernel, because this receiver was too slow: no fault of the sender */
} rw_receiver_totals;

/* Who a stream is. */
typedef struct rw_receiver_source {
    uint32_t socket;
    uint32_t ssrc;
    struct sockaddr_in from;
} rw_receiver_source;

/* Told of each packet of a known stream, by the kernel's time of its arrival (CLOCK_REALTIME). */
typedef void rw_receiver_listener(void *context, const rw_receiver_source *source,
                                  const rw_rtp_packet *packet, uint64_t arrival_ns,
                                  rw_stream_verdict verdict);

/* Opens the sockets on free ports. On 0, `*receiver` is the caller's, to be closed. */
int rw_receiver_open(rw_receiver **receiver, const rw_receiver_config *config);
void rw_receiver_close(rw_receiver *receiver);

/* Port of socket `index`, in host order; 0 if there is no such socket. */
uint16_t rw_receiver_port(const rw_receiver *receiver, uint32_t index);

/* Socket `index`, which stays the receiver's, for who sends from its port; there is such a one. */
int rw_receiver_fd(const rw_receiver *receiver, uint32_t index);

/* Has `listener` be told of every packet from now on, with `context`, which outlives its use; NULL:
 * nobody is. */
void rw_receiver_listen(rw_receiver *receiver, rw_receiver_listener *listener, void *context);

/* Takes what has arrived; returns the number of packets, or a negative errno. */
int64_t rw_receiver_drain(rw_receiver *receiver);

/* Drains again and again for `duration_us`, asleep in between; 0 or a negative errno. */
int rw_receiver_run(rw_receiver *receiver, uint64_t duration_us);

/* Forgets all counts; streams and what was captured stay. */
void rw_receiver_begin_window(rw_receiver *receiver);

void rw_receiver_read_totals(const rw_receiver *receiver, rw_receiver_totals *totals);

/* Interval errors of all streams together. */
const rw_histogram *rw_receiver_interval_error_us(const rw_receiver *receiver);

uint32_t rw_receiver_streams(const rw_receiver *receiver);

/* Stream `index`, in order of appearance; NULL if there is none. Both stay the receiver's. */
const rw_stream *rw_receiver_stream(const rw_receiver *receiver, uint32_t index,
                                    rw_receiver_source *source);

/* Payload kept of stream `index` in order of arrival, duplicates left out; NULL if none is kept.
 * Valid until the next drain. */
const uint8_t *rw_receiver_captured(const rw_receiver *receiver, uint32_t index, size_t *bytes);

#endif
