#include "pages/pages.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"

#define HUGE_BYTES RW_PAGES_HUGE_BYTES

/* --- mappings ----------------------------------------------------------------------------- */

static void unmap(char *from, const char *to) {
    if (from < to) munmap(from, (size_t)(to - from));
}

/* `bytes` of mapped memory that begin on a huge page. */
static char *map_aligned(size_t bytes) {
    size_t room = bytes + HUGE_BYTES;
    char *start = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char *aligned = start + (-(uintptr_t)start & (HUGE_BYTES - 1));
    unmap(start, aligned);
    unmap(aligned + bytes, start + room);
    madvise(aligned, bytes, MADV_HUGEPAGE); /* advice: a kernel without them refuses it */
    return aligned;
}

static bool is_large(size_t bytes) {
    return bytes >= HUGE_BYTES / 2;
}

static size_t whole_pages(size_t bytes) {
    return (bytes + HUGE_BYTES - 1) & -HUGE_BYTES;
}

static void *allocate(size_t bytes) {
    size_t lines = (bytes + RW_CACHE_LINE_BYTES - 1) / RW_CACHE_LINE_BYTES;
    void *memory = aligned_alloc(RW_CACHE_LINE_BYTES, lines * RW_CACHE_LINE_BYTES);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *rw_pages_map(size_t bytes) {
    if (!is_large(bytes)) return allocate(bytes);
    return bytes > SIZE_MAX / 2 ? NULL : map_aligned(whole_pages(bytes));
}

void rw_pages_unmap(void *memory, size_t bytes) {
    if (!is_large(bytes))
        free(memory);
    else if (memory)
        munmap(memory, whole_pages(bytes));
}

/* --- slots -------------------------------------------------------------------------------- */

#define MAX_SLOTS 64

typedef struct chunk {
    char *base;
    size_t slot_bytes;
    uint64_t taken; /* a bit for each slot */
} chunk;

/* Chunks are looked through one after the other: that is nothing beside a megabyte of memory that
 * comes or goes. */
struct rw_pages {
    pthread_mutex_t lock;
    chunk *chunks;
    size_t count, room;
};

rw_pages *rw_pages_create(void) {
    rw_pages *pages = calloc(1, sizeof(*pages));
    if (pages) pthread_mutex_init(&pages->lock, NULL);
    return pages;
}

void rw_pages_destroy(rw_pages *pages) {
    if (!pages) return;
    for (size_t i = 0; i < pages->count; i++)
        munmap(pages->chunks[i].base, HUGE_BYTES);
    free(pages->chunks);
    pthread_mutex_destroy(&pages->lock);
    free(pages);
}

static bool can_be_cut(size_t slot_bytes) {
    return slot_bytes >= HUGE_BYTES / MAX_SLOTS && HUGE_BYTES % slot_bytes == 0;
}

static uint64_t all_slots(size_t slot_bytes) {
    return UINT64_MAX >> (MAX_SLOTS - HUGE_BYTES / slot_bytes);
}

/* An empty chunk takes any size. */
static bool has_room(const chunk *candidate, size_t slot_bytes) {
    if (!candidate->taken) return true;
    return candidate->slot_bytes == slot_bytes && candidate->taken != all_slots(slot_bytes);
}

/* The fullest chunk with room, so that the others become empty; NULL if there is none. */
static chunk *chunk_with_room(rw_pages *pages, size_t slot_bytes) {
    chunk *best = NULL;
    for (chunk *each = pages->chunks; each < pages->chunks + pages->count; each++) {
        if (!has_room(each, slot_bytes)) continue;
        if (!best || __builtin_popcountll(each->taken) > __builtin_popcountll(best->taken))
            best = each;
    }
    return best;
}

static bool make_room_for_chunk(rw_pages *pages) {
    if (pages->count < pages->room) return true;
    size_t room = pages->room ? 2 * pages->room : 16;
    chunk *chunks = realloc(pages->chunks, room * sizeof(*chunks));
    if (!chunks) return false;
    pages->chunks = chunks;
    pages->room = room;
    return true;
}

static chunk *add_chunk(rw_pages *pages) {
    if (!make_room_for_chunk(pages)) return NULL;
    char *base = map_aligned(HUGE_BYTES);
    if (!base) return NULL;
    chunk *added = &pages->chunks[pages->count++];
    *added = (chunk){.base = base};
    return added;
}

static void *take_of(chunk *source, size_t slot_bytes) {
    source->slot_bytes = slot_bytes;
    unsigned slot = (unsigned)__builtin_ctzll(~source->taken);
    source->taken |= 1ull << slot;
    return source->base + slot * slot_bytes;
}

void *rw_pages_take(rw_pages *pages, size_t bytes) {
    if (!can_be_cut(bytes)) return NULL;
    pthread_mutex_lock(&pages->lock);
    chunk *source = chunk_with_room(pages, bytes);
    if (!source) source = add_chunk(pages);
    void *slot = source ? take_of(source, bytes) : NULL;
    pthread_mutex_unlock(&pages->lock);
    return slot;
}

static chunk *chunk_of(const rw_pages *pages, const void *slot) {
    for (chunk *each = pages->chunks; each < pages->chunks + pages->count; each++)
        if ((uintptr_t)slot - (uintptr_t)each->base < HUGE_BYTES) return each;
    return NULL;
}

static bool has_another_empty(const rw_pages *pages, const chunk *empty) {
    for (const chunk *each = pages->chunks; each < pages->chunks + pages->count; each++)
        if (each != empty && !each->taken) return true;
    return false;
}

static void give_to(rw_pages *pages, chunk *owner, const char *slot) {
    owner->taken &= ~(1ull << ((size_t)(slot - owner->base) / owner->slot_bytes));
    if (owner->taken || !has_another_empty(pages, owner)) return;
    munmap(owner->base, HUGE_BYTES);
    *owner = pages->chunks[--pages->count];
}

bool rw_pages_give(rw_pages *pages, void *slot) {
    pthread_mutex_lock(&pages->lock);
    chunk *owner = chunk_of(pages, slot);
    if (owner) give_to(pages, owner, slot);
    pthread_mutex_unlock(&pages->lock);
    return owner;
}
