#include "prompt/prompt.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct rw_prompt {
    _Atomic uint32_t references;
    size_t bytes;
    size_t level_bytes;           /* 0: no levels are known */
    const int8_t *levels_dbov;    /* behind the payload */
    const uint16_t *packet_bytes; /* behind the levels; NULL: may be cut anywhere */
    uint8_t payload[];
};

/* With `extra_bytes` of room behind the levels. */
static rw_prompt *create(const uint8_t *payload, size_t bytes, const int8_t *levels_dbov,
                         size_t level_count, size_t extra_bytes) {
    rw_prompt *prompt = malloc(sizeof(rw_prompt) + bytes + level_count + extra_bytes);
    if (!prompt) return NULL;
    atomic_init(&prompt->references, 1);
    prompt->bytes = bytes;
    prompt->level_bytes = 0;
    prompt->packet_bytes = NULL;
    prompt->levels_dbov = (const int8_t *)prompt->payload + bytes;
    if (bytes) memcpy(prompt->payload, payload, bytes);
    if (level_count) memcpy(prompt->payload + bytes, levels_dbov, level_count);
    return prompt;
}

/* In the place of the packet at the cursor: its prompt was cut, and may not have one there. */
#define CUT SIZE_MAX

/* The next address that a uint16_t may have. */
static void *aligned_behind(const void *address) {
    return (void *)(((uintptr_t)address + 1) & ~(uintptr_t)1);
}

rw_prompt *rw_prompt_create(const uint8_t *payload, size_t bytes) {
    return create(payload, bytes, NULL, 0, 0);
}

rw_prompt *rw_prompt_create_with_levels(const uint8_t *payload, size_t bytes,
                                        const int8_t *levels_dbov, size_t level_count,
                                        size_t level_bytes) {
    if (!level_bytes || level_count != (bytes + level_bytes - 1) / level_bytes) return NULL;
    rw_prompt *prompt = create(payload, bytes, levels_dbov, level_count, 0);
    if (prompt) prompt->level_bytes = level_bytes;
    return prompt;
}

rw_prompt *rw_prompt_create_of_packets(const uint8_t *payload, const uint16_t *packet_bytes,
                                       const int8_t *levels_dbov, size_t packet_count) {
    size_t bytes = 0, room = (packet_count + 1) * sizeof(*packet_bytes);
    for (size_t i = 0; i < packet_count; i++) {
        if (!packet_bytes[i] || packet_bytes[i] > RW_PROMPT_MAX_PACKET_BYTES) return NULL;
        bytes += packet_bytes[i];
    }
    rw_prompt *prompt = create(payload, bytes, levels_dbov, packet_count, room);
    if (!prompt) return NULL;
    uint16_t *behind = (uint16_t *)aligned_behind(prompt->levels_dbov + packet_count);
    if (packet_count) memcpy(behind, packet_bytes, packet_count * sizeof(*packet_bytes));
    prompt->packet_bytes = behind;
    return prompt;
}

/* The loudest level in `bytes` from `offset` on; there is at least one byte. */
static int8_t level_of(const rw_prompt *prompt, size_t offset, size_t bytes) {
    if (!prompt->level_bytes) return RW_PROMPT_LEVEL_DBOV;
    size_t first = offset / prompt->level_bytes, last = (offset + bytes - 1) / prompt->level_bytes;
    int8_t loudest = prompt->levels_dbov[first];
    for (size_t i = first + 1; i <= last; i++)
        if (prompt->levels_dbov[i] > loudest) loudest = prompt->levels_dbov[i];
    return loudest;
}

rw_prompt *rw_prompt_retain(rw_prompt *prompt) {
    atomic_fetch_add_explicit(&prompt->references, 1, memory_order_relaxed);
    return prompt;
}

void rw_prompt_release(rw_prompt *prompt) {
    if (atomic_fetch_sub_explicit(&prompt->references, 1, memory_order_acq_rel) == 1) free(prompt);
}

size_t rw_prompt_bytes(const rw_prompt *prompt) {
    return prompt->bytes;
}

const uint8_t *rw_prompt_payload(const rw_prompt *prompt) {
    return prompt->payload;
}

/* Moves the cursor over prompts that have been read to their end, or are empty. */
static void settle(rw_playlist *playlist) {
    while (playlist->index < playlist->count &&
           playlist->offset_bytes == playlist->prompts[playlist->index]->bytes) {
        playlist->offset_bytes = 0;
        playlist->packet = 0;
        playlist->index++;
        if (playlist->index == playlist->count && playlist->loop) playlist->index = 0;
    }
}

static bool has_sound(rw_prompt *const *prompts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (prompts[i]->bytes) return true;
    return false;
}

rw_playlist *rw_playlist_create(uint64_t play_id, rw_prompt *const *prompts, size_t count,
                                bool loop) {
    if (count > UINT32_MAX || (loop && !has_sound(prompts, count))) return NULL;
    rw_playlist *playlist = malloc(sizeof(rw_playlist) + count * sizeof(rw_prompt *));
    if (!playlist) return NULL;
    *playlist = (rw_playlist){.play_id = play_id, .loop = loop, .count = (uint32_t)count};
    for (size_t i = 0; i < count; i++)
        playlist->prompts[i] = rw_prompt_retain(prompts[i]);
    settle(playlist);
    return playlist;
}

rw_playlist *rw_playlist_create_live(uint64_t play_id, rw_live *live) {
    rw_playlist *playlist = malloc(sizeof(rw_playlist));
    if (playlist) *playlist = (rw_playlist){.play_id = play_id, .live = rw_live_retain(live)};
    return playlist;
}

void rw_playlist_destroy(rw_playlist *playlist) {
    if (!playlist) return;
    rw_live_release(playlist->live);
    for (uint32_t i = 0; i < playlist->count; i++)
        rw_prompt_release(playlist->prompts[i]);
    free(playlist);
}

static size_t read_live(rw_playlist *playlist, uint8_t *to, size_t bytes) {
    size_t copied = rw_live_read(playlist->live, to, bytes, &playlist->level_dbov);
    playlist->played_bytes += copied;
    return copied;
}

size_t rw_playlist_read(rw_playlist *playlist, uint8_t *to, size_t bytes) {
    if (playlist->live) return read_live(playlist, to, bytes);
    size_t copied = 0;
    playlist->level_dbov = INT8_MIN;
    while (copied < bytes && !rw_playlist_ended(playlist)) {
        const rw_prompt *prompt = playlist->prompts[playlist->index];
        size_t left = prompt->bytes - playlist->offset_bytes;
        size_t take = left < bytes - copied ? left : bytes - copied;
        int8_t level_dbov = level_of(prompt, playlist->offset_bytes, take);
        if (level_dbov > playlist->level_dbov) playlist->level_dbov = level_dbov;
        memcpy(to + copied, prompt->payload + playlist->offset_bytes, take);
        copied += take;
        playlist->offset_bytes += take;
        if (prompt->packet_bytes) playlist->packet = CUT;
        settle(playlist);
    }
    playlist->played_bytes += copied;
    return copied;
}

/* The length of the packet at the cursor. */
static size_t packet_bytes_of(const rw_playlist *playlist) {
    const rw_prompt *prompt = playlist->prompts[playlist->index];
    if (prompt->packet_bytes) return prompt->packet_bytes[playlist->packet];
    size_t left = prompt->bytes - playlist->offset_bytes;
    return left < RW_PROMPT_MAX_PACKET_BYTES ? left : RW_PROMPT_MAX_PACKET_BYTES;
}

static size_t read_live_packet(rw_playlist *playlist, uint8_t *to) {
    size_t bytes =
        rw_live_read_packet(playlist->live, to, RW_PROMPT_MAX_PACKET_BYTES, &playlist->level_dbov);
    playlist->played_bytes += bytes;
    playlist->played_packets += bytes > 0;
    return bytes;
}

size_t rw_playlist_read_packet(rw_playlist *playlist, uint8_t *to) {
    if (playlist->live) return read_live_packet(playlist, to);
    playlist->level_dbov = INT8_MIN;
    if (playlist->packet == CUT) playlist->index = playlist->count;
    if (rw_playlist_ended(playlist)) return 0;
    const rw_prompt *prompt = playlist->prompts[playlist->index];
    size_t bytes = packet_bytes_of(playlist);
    memcpy(to, prompt->payload + playlist->offset_bytes, bytes);
    playlist->level_dbov = prompt->packet_bytes ? prompt->levels_dbov[playlist->packet]
                                                : level_of(prompt, playlist->offset_bytes, bytes);
    playlist->offset_bytes += bytes;
    playlist->packet++;
    playlist->played_bytes += bytes;
    playlist->played_packets++;
    settle(playlist);
    return bytes;
}
