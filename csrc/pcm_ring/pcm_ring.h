/*
 * Bounded wait-free queue of samples from one thread to one other.
 *
 * Each side owns a position, and writes it after it has moved samples; nobody ever waits. A side
 * looks at the other's position only when what it saw of it last is not enough, so a busy side
 * seldom touches the other's cache line. The control side makes a ring, and destroys it when both
 * sides have let go of it.
 */
#ifndef RW_PCM_RING_H
#define RW_PCM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rw_pcm_ring rw_pcm_ring;

/* A ring with room for at least `samples` (rounded up to a power of two); the caller owns it. NULL
 * if out of memory, or if there is no such power. */
rw_pcm_ring *rw_pcm_ring_create(size_t samples);
void rw_pcm_ring_destroy(rw_pcm_ring *ring);

/* How many samples the ring has room for, those that are in it included. */
size_t rw_pcm_ring_room(const rw_pcm_ring *ring);

/* --- the side that writes ------------------------------------------------------------------ */

/* How many samples can be written now. */
size_t rw_pcm_ring_writable(rw_pcm_ring *ring);

/* True if `samples` could be written now. */
bool rw_pcm_ring_fits(rw_pcm_ring *ring, size_t samples);

/* Copies all of `samples` in, or, for want of room, none: then false. */
bool rw_pcm_ring_write(rw_pcm_ring *ring, const int16_t *pcm, size_t samples);

/* How many samples have been written since the ring was made. */
size_t rw_pcm_ring_written(const rw_pcm_ring *ring);

/* --- the side that reads ------------------------------------------------------------------- */

/* How many samples have been read or skipped since the ring was made. */
size_t rw_pcm_ring_taken(const rw_pcm_ring *ring);

/* How many samples can be read now. */
size_t rw_pcm_ring_readable(rw_pcm_ring *ring);

/* Copies the oldest samples out, at most `room`; returns how many there were. */
size_t rw_pcm_ring_read(rw_pcm_ring *ring, int16_t *pcm, size_t room);

/* The oldest samples where they lie, `*samples` of them in one piece: 0 only if there are none.
 * They are the ring's, and stay until they are read or skipped. */
const int16_t *rw_pcm_ring_peek(rw_pcm_ring *ring, size_t *samples);

/* Lets go of the `samples` oldest, which must be readable. */
void rw_pcm_ring_skip(rw_pcm_ring *ring, size_t samples);

#endif
