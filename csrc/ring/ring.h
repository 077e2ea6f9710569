/*
 * Bounded lock-free queue of fixed-size elements, many producers and many consumers.
 *
 * Each cell carries a sequence number that says whose turn it is (the scheme of D. Vyukov's bounded
 * MPMC queue): a push or a pop costs one compare-and-swap, nobody waits for anybody. The shard uses
 * one for commands in, one for events out, and one for free leg slots.
 */
#ifndef RW_RING_H
#define RW_RING_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rw_ring rw_ring;

/* A ring of at least `capacity` elements (rounded up to a power of two); NULL if out of memory. */
rw_ring *rw_ring_create(size_t capacity, size_t element_bytes);
void rw_ring_destroy(rw_ring *ring);

/* Copies `element` in; -EAGAIN when the ring is full. */
int rw_ring_push(rw_ring *ring, const void *element);

/* Copies the oldest element out to `element`; -EAGAIN when the ring is empty. */
int rw_ring_pop(rw_ring *ring, void *element);

/* True if there was nothing to pop at that moment. Of what the caller has pushed, that is the
 * truth: it is false unless all of it is taken, or being taken by one who will look for more. */
bool rw_ring_empty(rw_ring *ring);

#endif
