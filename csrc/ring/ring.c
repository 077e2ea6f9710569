#include "ring/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

typedef struct cell {
    _Atomic size_t turn; /* position: free for the push of it; position + 1: full for its pop */
    uint8_t element[];
} cell;

struct rw_ring {
    size_t mask;
    size_t element_bytes;
    size_t cell_bytes;
    uint8_t *cells;
    /* Producers and consumers write to lines of their own. */
    _Alignas(CACHE_LINE) _Atomic size_t push_position;
    _Alignas(CACHE_LINE) _Atomic size_t pop_position;
};

static cell *cell_at(const rw_ring *ring, size_t position) {
    return (cell *)(ring->cells + (position & ring->mask) * ring->cell_bytes);
}

rw_ring *rw_ring_create(size_t capacity, size_t element_bytes) {
    size_t size = 2;
    while (size < capacity)
        size *= 2;
    rw_ring *ring = aligned_alloc(CACHE_LINE, sizeof(rw_ring));
    if (!ring) return NULL;
    memset(ring, 0, sizeof(*ring));
    ring->mask = size - 1;
    ring->element_bytes = element_bytes;
    ring->cell_bytes = (sizeof(cell) + element_bytes + 7) & ~(size_t)7;
    ring->cells = calloc(size, ring->cell_bytes);
    if (!ring->cells) {
        free(ring);
        return NULL;
    }
    for (size_t i = 0; i < size; i++)
        atomic_store_explicit(&cell_at(ring, i)->turn, i, memory_order_relaxed);
    return ring;
}

void rw_ring_destroy(rw_ring *ring) {
    if (!ring) return;
    free(ring->cells);
    free(ring);
}

/* Claims the next position whose cell has turn `position + offset`; NULL when it is not so far. */
static cell *claim(rw_ring *ring, _Atomic size_t *next, size_t offset, size_t *claimed) {
    size_t position = atomic_load_explicit(next, memory_order_relaxed);
    for (;;) {
        cell *candidate = cell_at(ring, position);
        size_t turn = atomic_load_explicit(&candidate->turn, memory_order_acquire);
        intptr_t ahead = (intptr_t)(turn - (position + offset));
        if (ahead < 0) return NULL;
        if (ahead > 0) {
            position = atomic_load_explicit(next, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(
                       next, &position, position + 1, memory_order_acquire, memory_order_relaxed)) {
            *claimed = position;
            return candidate;
        }
    }
}

int rw_ring_push(rw_ring *ring, const void *element) {
    size_t position;
    cell *target = claim(ring, &ring->push_position, 0, &position);
    if (!target) return -EAGAIN;
    memcpy(target->element, element, ring->element_bytes);
    atomic_store_explicit(&target->turn, position + 1, memory_order_release);
    return 0;
}

int rw_ring_pop(rw_ring *ring, void *element) {
    size_t position;
    cell *source = claim(ring, &ring->pop_position, 1, &position);
    if (!source) return -EAGAIN;
    memcpy(element, source->element, ring->element_bytes);
    atomic_store_explicit(&source->turn, position + ring->mask + 1, memory_order_release);
    return 0;
}

/* Adds nothing where it could read: a read may pass a push of the same thread. So either a pop that
 * comes later sees what was pushed, or this sees that the pop came first. */
bool rw_ring_empty(rw_ring *ring) {
    size_t position = atomic_fetch_add(&ring->pop_position, 0);
    return atomic_load(&cell_at(ring, position)->turn) != position + 1;
}
