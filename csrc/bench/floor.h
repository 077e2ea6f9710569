/*
 * The floor under the cost of a call: a stateless SIP answerer. It reads one datagram a wake-up,
 * answers INVITE with a fixed session description and every other request but ACK with an empty
 * 200, and remembers nothing: no transaction, no dialog, no timer, no RTP socket. What a complete
 * call costs a real user agent is held against this in the same run.
 */
#ifndef RW_BENCH_FLOOR_H
#define RW_BENCH_FLOOR_H

#include <stddef.h>
#include <stdint.h>

#define RW_FLOOR_BYTES 4096 /* room for an answer; a request that would need more is dropped */

typedef struct rw_floor_counts {
    uint64_t requests;
    uint64_t calls; /* INVITEs answered */
    uint64_t dropped;
} rw_floor_counts;

/* Writes the answer to `request` into `answer`, RW_FLOOR_BYTES long; returns its length, 0 if there
 * is none to give: an ACK, no SIP request, or one too large. */
size_t rw_floor_answer(const uint8_t *request, size_t bytes, uint8_t *answer);

/* Answers what comes to the UDP socket `fd` for `duration_us`, and adds to `counts`. 0 or a
 * negative errno. */
int rw_floor_run(int fd, uint64_t duration_us, rw_floor_counts *counts);

#endif
