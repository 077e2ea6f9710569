#include "pcm_ring/pcm_ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64
#define MAX_ROOM ((size_t)1 << 40)

/* One side's position counts on without end; the place in the ring is position & mask. */
typedef struct side {
    _Alignas(CACHE_LINE) _Atomic size_t position;
    size_t seen; /* of the other side's position, when it was looked at last */
} side;

struct rw_pcm_ring {
    size_t mask;
    int16_t *samples;
    side writer;
    side reader;
};

rw_pcm_ring *rw_pcm_ring_create(size_t samples) {
    size_t room = 2;
    if (samples > MAX_ROOM) return NULL;
    while (room < samples)
        room *= 2;
    rw_pcm_ring *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));
    if (!ring) return NULL;
    memset(ring, 0, sizeof(*ring));
    ring->mask = room - 1;
    ring->samples = calloc(room, sizeof(int16_t));
    if (ring->samples) return ring;
    free(ring);
    return NULL;
}

void rw_pcm_ring_destroy(rw_pcm_ring *ring) {
    if (!ring) return;
    free(ring->samples);
    free(ring);
}

size_t rw_pcm_ring_room(const rw_pcm_ring *ring) {
    return ring->mask + 1;
}

/* What only the side itself writes, it may read as it likes. */
static size_t own(const side *self) {
    return atomic_load_explicit(&self->position, memory_order_relaxed);
}

/* Looks where the other side is: what it did before it went there is then visible. */
static void look(side *self, const side *other) {
    self->seen = atomic_load_explicit(&other->position, memory_order_acquire);
}

static void advance(side *self, size_t samples) {
    atomic_store_explicit(&self->position, own(self) + samples, memory_order_release);
}

/* How many of `samples` from `position` on lie in one piece. */
static size_t in_one_piece(const rw_pcm_ring *ring, size_t position, size_t samples) {
    size_t before_end = ring->mask + 1 - (position & ring->mask);
    return samples < before_end ? samples : before_end;
}

/* --- the side that writes ------------------------------------------------------------------ */

static size_t writable_as_seen(const rw_pcm_ring *ring) {
    return ring->mask + 1 - (own(&ring->writer) - ring->writer.seen);
}

size_t rw_pcm_ring_writable(rw_pcm_ring *ring) {
    look(&ring->writer, &ring->reader);
    return writable_as_seen(ring);
}

bool rw_pcm_ring_fits(rw_pcm_ring *ring, size_t samples) {
    return writable_as_seen(ring) >= samples || rw_pcm_ring_writable(ring) >= samples;
}

bool rw_pcm_ring_write(rw_pcm_ring *ring, const int16_t *pcm, size_t samples) {
    if (!rw_pcm_ring_fits(ring, samples)) return false;
    size_t position = own(&ring->writer);
    size_t first = in_one_piece(ring, position, samples);
    memcpy(ring->samples + (position & ring->mask), pcm, first * sizeof(*pcm));
    memcpy(ring->samples, pcm + first, (samples - first) * sizeof(*pcm));
    advance(&ring->writer, samples);
    return true;
}

size_t rw_pcm_ring_written(const rw_pcm_ring *ring) {
    return own(&ring->writer);
}

/* --- the side that reads ------------------------------------------------------------------- */

size_t rw_pcm_ring_taken(const rw_pcm_ring *ring) {
    return own(&ring->reader);
}

static size_t readable_as_seen(const rw_pcm_ring *ring) {
    return ring->reader.seen - own(&ring->reader);
}

size_t rw_pcm_ring_readable(rw_pcm_ring *ring) {
    look(&ring->reader, &ring->writer);
    return readable_as_seen(ring);
}

const int16_t *rw_pcm_ring_peek(rw_pcm_ring *ring, size_t *samples) {
    size_t position = own(&ring->reader);
    size_t readable = readable_as_seen(ring);
    if (!readable) readable = rw_pcm_ring_readable(ring);
    *samples = in_one_piece(ring, position, readable);
    return ring->samples + (position & ring->mask);
}

void rw_pcm_ring_skip(rw_pcm_ring *ring, size_t samples) {
    advance(&ring->reader, samples);
}

size_t rw_pcm_ring_read(rw_pcm_ring *ring, int16_t *pcm, size_t room) {
    size_t readable = readable_as_seen(ring);
    if (readable < room) readable = rw_pcm_ring_readable(ring);
    size_t samples = readable < room ? readable : room;
    size_t position = own(&ring->reader);
    size_t first = in_one_piece(ring, position, samples);
    memcpy(pcm, ring->samples + (position & ring->mask), first * sizeof(*pcm));
    memcpy(pcm + first, ring->samples, (samples - first) * sizeof(*pcm));
    advance(&ring->reader, samples);
    return samples;
}
