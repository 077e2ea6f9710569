#include "live/live.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "pcm_ring/pcm_ring.h"
#include "ring/ring.h"
#include "vad/vad.h"

#define MAX_SAMPLES (RW_CODEC_MAX_PACKET_MS * 48)

#define CODES_AT_ONCE 512

typedef struct mark {
    uint64_t position; /* of the sample behind it */
    uint64_t id;
    uint64_t clears; /* that there were before it */
} mark;

struct rw_live {
    _Atomic uint32_t references;
    _Atomic bool finished;
    _Atomic uint64_t starved;
    _Atomic uint64_t dropped;
    _Atomic uint64_t clears;     /* how often was cleared, */
    _Atomic uint64_t cleared_to; /* and up to which position */
    const rw_codec *codec;
    bool encoded; /* samples in the ring are bytes of payload */
    bool rounds_up;
    size_t packet_samples;
    size_t lead_samples;
    rw_pcm_ring *ring;
    rw_ring *marks; /* or NULL */

    /* The reader's. */
    void *encoder;
    bool begun;
    size_t waited; /* samples that were too few for a packet, in the slot before */
    uint64_t clears_seen;
    uint64_t skipped_from; /* the positions that the last clearing has left out */
    uint64_t skipped_to;
    bool holds_mark; /* the next one is here, and no more in the ring */
    mark next_mark;
};

/* A byte of payload stands for one sample. */
static bool is_g711(const rw_codec *codec) {
    return codec->bytes_per_ts == 1 && codec->clock_rate_hz == codec->sample_rate_hz;
}

static bool is_valid(const rw_codec *codec, const rw_live_config *config) {
    if (!config->ptime_ms || config->ptime_ms > RW_CODEC_MAX_PACKET_MS) return false;
    if (!config->room_ms || config->room_ms > RW_LIVE_MAX_ROOM_MS) return false;
    if (config->lead_ms && config->lead_ms + config->ptime_ms > config->room_ms) return false;
    return config->marks <= RW_LIVE_MAX_MARKS && (!config->encoded || is_g711(codec));
}

static int create_parts(rw_live *live, const rw_live_config *config) {
    size_t per_ms = live->codec->sample_rate_hz / 1000;
    live->packet_samples = config->ptime_ms * per_ms;
    live->lead_samples = config->lead_ms * per_ms;
    live->ring = rw_pcm_ring_create(config->room_ms * per_ms);
    if (config->marks) live->marks = rw_ring_create(config->marks, sizeof(mark));
    if (!live->ring || (config->marks && !live->marks)) return -ENOMEM;
    return rw_codec_create_encoder(live->codec, &live->encoder);
}

int rw_live_create(const rw_codec *codec, const rw_live_config *config, rw_live **live) {
    if (!is_valid(codec, config)) return -EINVAL;
    rw_live *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    atomic_init(&self->references, 1);
    self->codec = codec;
    self->encoded = config->encoded;
    self->rounds_up = config->rounds_up;
    int error = create_parts(self, config);
    if (error)
        rw_live_release(self);
    else
        *live = self;
    return error;
}

rw_live *rw_live_retain(rw_live *live) {
    atomic_fetch_add_explicit(&live->references, 1, memory_order_relaxed);
    return live;
}

void rw_live_release(rw_live *live) {
    if (!live || atomic_fetch_sub_explicit(&live->references, 1, memory_order_acq_rel) > 1) return;
    rw_codec_destroy_state(live->encoder);
    rw_pcm_ring_destroy(live->ring);
    rw_ring_destroy(live->marks);
    free(live);
}

uint32_t rw_live_sample_rate_hz(const rw_live *live) {
    return live->codec->sample_rate_hz;
}

/* --- who makes the sound --------------------------------------------------------------------- */

size_t rw_live_write(rw_live *live, const int16_t *pcm, size_t samples) {
    size_t room = rw_pcm_ring_writable(live->ring);
    size_t take = samples < room ? samples : room;
    return take && rw_pcm_ring_write(live->ring, pcm, take) ? take : 0;
}

size_t rw_live_write_encoded(rw_live *live, const uint8_t *payload, size_t bytes) {
    int16_t codes[CODES_AT_ONCE];
    size_t room = rw_pcm_ring_writable(live->ring), taken = bytes < room ? bytes : room;
    for (size_t at = 0, count; at < taken; at += count) {
        count = taken - at < CODES_AT_ONCE ? taken - at : CODES_AT_ONCE;
        for (size_t i = 0; i < count; i++)
            codes[i] = payload[at + i];
        rw_pcm_ring_write(live->ring, codes, count);
    }
    return taken;
}

void rw_live_push(rw_live *live, const int16_t *pcm, size_t samples) {
    rw_count(&live->dropped, samples - rw_live_write(live, pcm, samples));
}

uint64_t rw_live_dropped(const rw_live *live) {
    return rw_read(&live->dropped);
}

int rw_live_mark(rw_live *live, uint64_t id) {
    const mark here = {rw_pcm_ring_written(live->ring), id, rw_read(&live->clears)};
    return live->marks && !rw_ring_push(live->marks, &here) ? 0 : -ENOBUFS;
}

/* Whoever sees the position sees that it belongs to a clearing: so the count goes first. */
void rw_live_clear(rw_live *live) {
    rw_count(&live->clears, 1);
    atomic_store_explicit(&live->cleared_to, rw_pcm_ring_written(live->ring), memory_order_release);
}

size_t rw_live_writable(rw_live *live) {
    return rw_pcm_ring_writable(live->ring);
}

size_t rw_live_waiting(rw_live *live) {
    size_t waiting = rw_pcm_ring_room(live->ring) - rw_pcm_ring_writable(live->ring);
    size_t since_clear = rw_pcm_ring_written(live->ring) - rw_read(&live->cleared_to);
    return waiting < since_clear ? waiting : since_clear;
}

void rw_live_finish(rw_live *live) {
    atomic_store_explicit(&live->finished, true, memory_order_release);
}

uint64_t rw_live_starved(const rw_live *live) {
    return rw_read(&live->starved);
}

/* --- the leg that plays it ------------------------------------------------------------------- */

static bool is_finished(const rw_live *live) {
    return atomic_load_explicit(&live->finished, memory_order_acquire);
}

/* Leaves out what was cleared. */
static void skip_cleared(rw_live *live) {
    uint64_t to = atomic_load_explicit(&live->cleared_to, memory_order_acquire);
    uint64_t from = rw_pcm_ring_taken(live->ring);
    if (to <= from) return;
    live->clears_seen = rw_read(&live->clears);
    live->skipped_from = from;
    live->skipped_to = to;
    rw_pcm_ring_readable(live->ring); /* all up to there is known now */
    rw_pcm_ring_skip(live->ring, to - from);
}

/* How many samples this packet gets, of which there are `readable`. */
static size_t share_of(rw_live *live, size_t readable, size_t wanted) {
    size_t lead = live->begun ? 0 : live->lead_samples, waited = live->waited;
    live->waited = 0;
    if (readable >= wanted + lead) {
        live->begun = true;
        return wanted;
    }
    if (readable >= wanted) return 0;
    rw_count(&live->starved, 1);
    if (live->rounds_up && readable && readable == waited) return readable;
    live->waited = readable;
    return 0;
}

/* Payload passes as it is. */
static size_t pass(rw_live *live, int16_t *codes, size_t samples, uint8_t *to, int8_t *level_dbov) {
    for (size_t i = 0; i < samples; i++)
        to[i] = (uint8_t)codes[i];
    *level_dbov = rw_vad_level(codes, live->codec->decode(NULL, to, samples, codes, samples));
    return samples;
}

/* Encodes `wanted` samples, or those before the end, with silence up to a multiple of `unit`. */
static size_t encode(rw_live *live, size_t wanted, size_t unit, uint8_t *to, size_t room,
                     int8_t *level_dbov) {
    int16_t pcm[MAX_SAMPLES];
    bool finished = is_finished(live); /* before the look at the ring: what is in it then is all */
    *level_dbov = RW_VAD_SILENCE_DBOV;
    skip_cleared(live);
    size_t readable = rw_pcm_ring_readable(live->ring);
    size_t share = finished ? wanted : share_of(live, readable, wanted);
    size_t samples = share ? rw_pcm_ring_read(live->ring, pcm, share) : 0;
    if (!samples) return 0;
    if (live->encoded) return pass(live, pcm, samples, to, level_dbov);
    while (samples % unit)
        pcm[samples++] = 0;
    *level_dbov = rw_vad_level(pcm, samples);
    return live->codec->encode(live->encoder, pcm, samples, to, room);
}

size_t rw_live_read(rw_live *live, uint8_t *to, size_t bytes, int8_t *level_dbov) {
    *level_dbov = RW_VAD_SILENCE_DBOV;
    if (!live->codec->bytes_per_ts) return 0; /* whole packets are not cut */
    /* G.722 codes two samples in a timestamp unit. */
    size_t unit = live->codec->sample_rate_hz / live->codec->clock_rate_hz;
    size_t wanted = bytes / live->codec->bytes_per_ts * unit;
    return wanted <= MAX_SAMPLES ? encode(live, wanted, unit, to, bytes, level_dbov) : 0;
}

size_t rw_live_read_packet(rw_live *live, uint8_t *to, size_t room, int8_t *level_dbov) {
    return encode(live, live->packet_samples, live->packet_samples, to, room, level_dbov);
}

bool rw_live_at_mark(rw_live *live, uint64_t *id, bool *cleared) {
    if (!live->marks) return false;
    if (!live->holds_mark && rw_ring_pop(live->marks, &live->next_mark)) return false;
    live->holds_mark = true;
    uint64_t position = live->next_mark.position;
    if (position > rw_pcm_ring_taken(live->ring)) return false;
    *id = live->next_mark.id;
    *cleared = position > live->skipped_from && position <= live->skipped_to &&
               live->next_mark.clears < live->clears_seen;
    return true;
}

void rw_live_pass_mark(rw_live *live) {
    live->holds_mark = false;
}

bool rw_live_ended(rw_live *live) {
    return is_finished(live) && !rw_pcm_ring_readable(live->ring);
}
