/*
 * Prompts: encoded sound, immutable and shared by every leg that plays it; and playlists, the queue
 * of prompts of one leg with its place in them, or live sound for that one leg.
 *
 * A prompt holds the payload bytes of a sample-based codec (G.711, G.722, L16) in one piece, so any
 * slice of it is a packet payload: playing costs a leg a cursor, and prompts whose lengths are not
 * multiples of the packet time follow each other without a gap or padding.
 *
 * A codec whose packets are whole (Opus) has prompts that know where each packet ends. All packets
 * last equally long, and whoever makes the prompts has seen to what happens between two of them.
 */
#ifndef RW_PROMPT_H
#define RW_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "live/live.h"

typedef struct rw_prompt rw_prompt;

/* A prompt with a copy of `payload` and one reference, which the caller owns; NULL if out of
 * memory. */
rw_prompt *rw_prompt_create(const uint8_t *payload, size_t bytes);
/* The same with how loud it is: `levels_dbov` (copied) has one level for each `level_bytes` of
 * payload, the last one for what is left; at least one and no more than those. NULL also if their
 * number is wrong. A prompt without levels is taken for RW_PROMPT_LEVEL_DBOV throughout. */
rw_prompt *rw_prompt_create_with_levels(const uint8_t *payload, size_t bytes,
                                        const int8_t *levels_dbov, size_t level_count,
                                        size_t level_bytes);
#define RW_PROMPT_LEVEL_DBOV (-15)
/* A prompt of `packet_count` whole packets, which lie one behind the other in `payload` (copied):
 * `packet_bytes` has the length of each, `levels_dbov` how loud it is. NULL if out of memory, or if
 * a packet is empty or longer than RW_PROMPT_MAX_PACKET_BYTES. */
rw_prompt *rw_prompt_create_of_packets(const uint8_t *payload, const uint16_t *packet_bytes,
                                       const int8_t *levels_dbov, size_t packet_count);
#define RW_PROMPT_MAX_PACKET_BYTES 1436
rw_prompt *rw_prompt_retain(rw_prompt *prompt);
void rw_prompt_release(rw_prompt *prompt);
size_t rw_prompt_bytes(const rw_prompt *prompt);
/* The payload, good as long as the prompt. */
const uint8_t *rw_prompt_payload(const rw_prompt *prompt);

/* How playing a list came to its end. */
typedef enum rw_play_outcome {
    RW_PLAY_FINISHED,
    RW_PLAY_STOPPED,
    RW_PLAY_REPLACED,
    RW_PLAY_LEG_CLOSED,
    RW_PLAY_BARGED_IN, /* the caller pressed a digit or spoke */
} rw_play_outcome;

/* What ends playing, as a set. */
typedef enum rw_barge_in {
    RW_BARGE_IN_DIGIT = 1,
    RW_BARGE_IN_SPEECH = 2,
} rw_barge_in;

/* Owned by one thread at a time: the control side makes it, the command ring hands it to the shard,
 * the event ring hands it back, the control side destroys it. */
typedef struct rw_playlist {
    struct rw_playlist *next; /* in an rw_playlist_queue */
    uint64_t play_id;
    uint64_t leg_id;
    uint64_t played_bytes;
    uint64_t played_packets; /* counted where they are whole */
    rw_play_outcome outcome;
    bool loop;
    uint8_t barge_in;  /* rw_barge_in */
    int8_t level_dbov; /* loudest of what was read last */
    uint32_t index;    /* prompt under the cursor; `count` at the end */
    uint32_t count;
    size_t offset_bytes; /* cursor inside that prompt */
    size_t packet;       /* the one at the cursor, where they are whole and were not cut */
    rw_live *live;       /* what plays in the place of prompts, or NULL */
    rw_prompt *prompts[];
} rw_playlist;

/* Playlists in order; whoever holds the queue owns what is in it. */
typedef struct rw_playlist_queue {
    rw_playlist *first;
    rw_playlist **end; /* where the next one is hooked in */
} rw_playlist_queue;

static inline void rw_playlist_queue_init(rw_playlist_queue *queue) {
    queue->first = NULL;
    queue->end = &queue->first;
}

static inline void rw_playlist_queue_push(rw_playlist_queue *queue, rw_playlist *playlist) {
    playlist->next = NULL;
    *queue->end = playlist;
    queue->end = &playlist->next;
}

/* The first list, or NULL when there is none. */
static inline rw_playlist *rw_playlist_queue_pop(rw_playlist_queue *queue) {
    rw_playlist *playlist = queue->first;
    if (!playlist) return NULL;
    queue->first = playlist->next;
    if (!queue->first) queue->end = &queue->first;
    return playlist;
}

/* A list of `count` prompts, with a reference of its own to each. NULL if out of memory, or if a
 * list to be looped has no sound in it. */
rw_playlist *rw_playlist_create(uint64_t play_id, rw_prompt *const *prompts, size_t count,
                                bool loop);
/* A list that plays `live`, with a reference of its own. NULL if out of memory. */
rw_playlist *rw_playlist_create_live(uint64_t play_id, rw_live *live);
void rw_playlist_destroy(rw_playlist *playlist);

/* Copies the next `bytes` of sound to `to`, across the borders of prompts; returns how many there
 * were, fewer only when the list has come to its end, or its live sound is not there yet. */
size_t rw_playlist_read(rw_playlist *playlist, uint8_t *to, size_t bytes);

/* Copies the next packet of a list of whole packets to `to` (RW_PROMPT_MAX_PACKET_BYTES of room);
 * returns its length, 0 once the list has come to its end, or if its live sound is not there yet.
 * Of a prompt whose packets are not known, as much as fits one is taken. A list whose packets have
 * been cut by rw_playlist_read() ends, unless the cursor is in the next prompt. */
size_t rw_playlist_read_packet(rw_playlist *playlist, uint8_t *to);

/* True once the last byte has been read. */
static inline bool rw_playlist_ended(const rw_playlist *playlist) {
    if (playlist->live) return rw_live_ended(playlist->live);
    return playlist->index == playlist->count;
}

#endif
