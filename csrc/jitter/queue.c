#include "jitter/queue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT16_MAX

static size_t chunks_of(size_t bytes) {
    return (bytes + RW_JITTER_CHUNK_BYTES - 1) / RW_JITTER_CHUNK_BYTES;
}

int rw_jitter_queue_init(rw_jitter_queue *queue, size_t entries, size_t bytes) {
    /* The last chunk of each packet may be used in part only. */
    size_t chunks = chunks_of(bytes) + entries;
    *queue = (rw_jitter_queue){.first = NONE, .last = NONE};
    queue->entries = calloc(entries, sizeof(*queue->entries));
    queue->chunks = calloc(chunks, sizeof(*queue->chunks));
    queue->next_chunk = calloc(chunks, sizeof(*queue->next_chunk));
    if (!queue->entries || !queue->chunks || !queue->next_chunk) return -ENOMEM;
    for (size_t i = 0; i < entries; i++)
        queue->entries[i].next = (uint16_t)(i + 1 < entries ? i + 1 : NONE);
    for (size_t i = 0; i < chunks; i++)
        queue->next_chunk[i] = (uint16_t)(i + 1 < chunks ? i + 1 : NONE);
    queue->free_chunks = (uint16_t)chunks;
    return 0;
}

void rw_jitter_queue_release(rw_jitter_queue *queue) {
    free(queue->entries);
    free(queue->chunks);
    free(queue->next_chunk);
}

static size_t piece(size_t bytes) {
    return bytes < RW_JITTER_CHUNK_BYTES ? bytes : RW_JITTER_CHUNK_BYTES;
}

/* Takes chunks from the free list, of which there are enough; returns the first. */
static uint16_t store(rw_jitter_queue *queue, const uint8_t *payload, size_t bytes) {
    uint16_t first = bytes ? queue->free_chunk : NONE, last = NONE;
    for (size_t at = 0; at < bytes; at += RW_JITTER_CHUNK_BYTES) {
        last = queue->free_chunk;
        queue->free_chunk = queue->next_chunk[last];
        queue->free_chunks--;
        memcpy(queue->chunks[last], payload + at, piece(bytes - at));
    }
    if (last != NONE) queue->next_chunk[last] = NONE;
    return first;
}

static void restore(rw_jitter_queue *queue, uint16_t chunk, uint8_t *payload, size_t bytes) {
    for (size_t at = 0; chunk != NONE; at += RW_JITTER_CHUNK_BYTES) {
        uint16_t next = queue->next_chunk[chunk];
        if (payload) memcpy(payload + at, queue->chunks[chunk], piece(bytes - at));
        queue->next_chunk[chunk] = queue->free_chunk;
        queue->free_chunk = chunk;
        queue->free_chunks++;
        chunk = next;
    }
}

/* The entry behind which one of `order` belongs; NONE for the first place. Most come in order. */
static uint16_t place_of(const rw_jitter_queue *queue, int64_t order) {
    if (queue->last != NONE && queue->entries[queue->last].order <= order) return queue->last;
    uint16_t before = NONE;
    for (uint16_t i = queue->first; i != NONE; i = queue->entries[i].next) {
        if (queue->entries[i].order > order) break;
        before = i;
    }
    return before;
}

static uint16_t following(const rw_jitter_queue *queue, uint16_t before) {
    return before == NONE ? queue->first : queue->entries[before].next;
}

/* Sounds that are of one timeline must be in order of time too. */
static bool agree(const rw_jitter_entry *earlier, const rw_jitter_entry *later) {
    return earlier->segment != later->segment || earlier->content != RW_JITTER_CONTENT_SOUND ||
           later->content != RW_JITTER_CONTENT_SOUND || earlier->position <= later->position;
}

static int check_place(const rw_jitter_queue *queue, const rw_jitter_entry *entry,
                       uint16_t before) {
    uint16_t after = following(queue, before);
    if (before != NONE && queue->entries[before].order == entry->order) return -EEXIST;
    if (before != NONE && !agree(&queue->entries[before], entry)) return -EDOM;
    if (after != NONE && !agree(entry, &queue->entries[after])) return -EDOM;
    bool room = queue->free_entry != NONE && chunks_of(entry->bytes) <= queue->free_chunks;
    return room ? 0 : -ENOBUFS;
}

static void link_behind(rw_jitter_queue *queue, uint16_t before, uint16_t index) {
    queue->entries[index].next = following(queue, before);
    if (before == NONE)
        queue->first = index;
    else
        queue->entries[before].next = index;
    if (queue->last == before) queue->last = index;
}

int rw_jitter_queue_push(rw_jitter_queue *queue, const rw_jitter_entry *entry,
                         const uint8_t *payload) {
    uint16_t before = place_of(queue, entry->order);
    int error = check_place(queue, entry, before);
    if (error) return error;
    uint16_t index = queue->free_entry;
    queue->free_entry = queue->entries[index].next;
    queue->entries[index] = *entry;
    queue->entries[index].chunk = store(queue, payload, entry->bytes);
    link_behind(queue, before, index);
    return 0;
}

const rw_jitter_entry *rw_jitter_queue_first(const rw_jitter_queue *queue) {
    return queue->first == NONE ? NULL : &queue->entries[queue->first];
}

void rw_jitter_queue_pop(rw_jitter_queue *queue, uint8_t *payload) {
    uint16_t index = queue->first;
    rw_jitter_entry *entry = &queue->entries[index];
    restore(queue, entry->chunk, payload, entry->bytes);
    queue->first = entry->next;
    if (queue->first == NONE) queue->last = NONE;
    entry->next = queue->free_entry;
    queue->free_entry = index;
}
