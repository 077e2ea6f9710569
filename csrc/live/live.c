#include "live/live.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "pcm_ring/pcm_ring.h"
#include "vad/vad.h"

#define MAX_SAMPLES (RW_CODEC_MAX_PACKET_MS * 48)

struct rw_live {
    _Atomic uint32_t references;
    _Atomic bool finished;
    _Atomic uint64_t starved;
    const rw_codec *codec;
    size_t packet_samples;
    void *encoder; /* the reader's */
    rw_pcm_ring *ring;
};

int rw_live_create(const rw_codec *codec, uint32_t ptime_ms, uint32_t room_ms, rw_live **live) {
    if (!ptime_ms || ptime_ms > RW_CODEC_MAX_PACKET_MS) return -EINVAL;
    if (!room_ms || room_ms > RW_LIVE_MAX_ROOM_MS) return -EINVAL;
    rw_live *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    atomic_init(&self->references, 1);
    self->codec = codec;
    self->packet_samples = ptime_ms * (codec->sample_rate_hz / 1000);
    self->ring = rw_pcm_ring_create((size_t)room_ms * (codec->sample_rate_hz / 1000));
    int error = self->ring ? rw_codec_create_encoder(codec, &self->encoder) : -ENOMEM;
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
    free(live);
}

size_t rw_live_write(rw_live *live, const int16_t *pcm, size_t samples) {
    size_t room = rw_pcm_ring_writable(live->ring);
    size_t take = samples < room ? samples : room;
    return take && rw_pcm_ring_write(live->ring, pcm, take) ? take : 0;
}

size_t rw_live_waiting(rw_live *live) {
    return rw_pcm_ring_room(live->ring) - rw_pcm_ring_writable(live->ring);
}

void rw_live_finish(rw_live *live) {
    atomic_store_explicit(&live->finished, true, memory_order_release);
}

uint64_t rw_live_starved(const rw_live *live) {
    return rw_read(&live->starved);
}

static bool is_finished(const rw_live *live) {
    return atomic_load_explicit(&live->finished, memory_order_acquire);
}

/* Encodes `wanted` samples, or those before the end, with silence up to a multiple of `unit`. */
static size_t encode(rw_live *live, size_t wanted, size_t unit, uint8_t *to, size_t room,
                     int8_t *level_dbov) {
    int16_t pcm[MAX_SAMPLES];
    bool finished = is_finished(live); /* before the look at the ring: what is in it then is all */
    *level_dbov = RW_VAD_SILENCE_DBOV;
    if (!finished && rw_pcm_ring_readable(live->ring) < wanted) {
        rw_count(&live->starved, 1);
        return 0;
    }
    size_t samples = rw_pcm_ring_read(live->ring, pcm, wanted);
    if (!samples) return 0;
    while (samples % unit)
        pcm[samples++] = 0;
    *level_dbov = rw_vad_level(pcm, samples);
    return live->codec->encode(live->encoder, pcm, samples, to, room);
}

size_t rw_live_read(rw_live *live, uint8_t *to, size_t bytes, int8_t *level_dbov) {
    /* G.722 codes two samples in a timestamp unit. */
    size_t unit = live->codec->sample_rate_hz / live->codec->clock_rate_hz;
    size_t wanted = bytes / live->codec->bytes_per_ts * unit;
    return wanted <= MAX_SAMPLES ? encode(live, wanted, unit, to, bytes, level_dbov) : 0;
}

size_t rw_live_read_packet(rw_live *live, uint8_t *to, size_t room, int8_t *level_dbov) {
    return encode(live, live->packet_samples, live->packet_samples, to, room, level_dbov);
}

bool rw_live_ended(rw_live *live) {
    return is_finished(live) && !rw_pcm_ring_readable(live->ring);
}
