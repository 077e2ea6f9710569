/* The packets of a jitter buffer, in order, their bytes in chunks of one size. Private to it. */
#ifndef RW_JITTER_QUEUE_H
#define RW_JITTER_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#define RW_JITTER_CHUNK_BYTES 64

typedef enum rw_jitter_content {
    RW_JITTER_CONTENT_SOUND,
    RW_JITTER_CONTENT_NOISE,
    RW_JITTER_CONTENT_OTHER, /* only stands for its sequence number */
} rw_jitter_content;

typedef struct rw_jitter_entry {
    int64_t order;    /* sequence number, extended over all sources */
    int64_t position; /* of its first sample on the timeline */
    uint32_t segment; /* runs of one timeline of the sender */
    uint16_t bytes;
    uint16_t chunk; /* the first of its payload's */
    uint16_t next;
    uint8_t content; /* rw_jitter_content */
} rw_jitter_entry;

typedef struct rw_jitter_queue {
    rw_jitter_entry *entries;
    uint8_t (*chunks)[RW_JITTER_CHUNK_BYTES];
    uint16_t *next_chunk;
    uint16_t first, last;
    uint16_t free_entry, free_chunk, free_chunks;
} rw_jitter_queue;

/* Room for `entries` packets with `bytes` in all, each below 2^16 - 1 in number. 0 or -ENOMEM; to
 * be released either way. */
int rw_jitter_queue_init(rw_jitter_queue *queue, size_t entries, size_t bytes);
void rw_jitter_queue_release(rw_jitter_queue *queue);

/* Copies `entry` and its `payload` into their place. 0; -EEXIST if there is one of this order;
 * -EDOM if its position does not fit between its neighbours'; -ENOBUFS. */
int rw_jitter_queue_push(rw_jitter_queue *queue, const rw_jitter_entry *entry,
                         const uint8_t *payload);

/* The first, which the queue owns until it is popped; NULL if it is empty. */
const rw_jitter_entry *rw_jitter_queue_first(const rw_jitter_queue *queue);

/* Removes the first, of which there must be one; `payload` has room for its bytes, or is NULL. */
void rw_jitter_queue_pop(rw_jitter_queue *queue, uint8_t *payload);

#endif
