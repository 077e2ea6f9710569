#include "listener/listener.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "pcm_ring/pcm_ring.h"

struct rw_listener {
    _Atomic uint32_t references;
    _Atomic bool told; /* that there is sound, and has not read it all since */
    _Atomic uint64_t dropped;
    rw_pcm_ring *ring;
};

int rw_listener_create(uint32_t sample_rate_hz, uint32_t room_ms, rw_listener **listener) {
    if (sample_rate_hz < 8000 || sample_rate_hz > 48000) return -EINVAL;
    if (!room_ms || room_ms > RW_LISTENER_MAX_ROOM_MS) return -EINVAL;
    rw_listener *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    atomic_init(&self->references, 1);
    self->ring = rw_pcm_ring_create((size_t)room_ms * (sample_rate_hz / 1000));
    if (!self->ring) {
        free(self);
        return -ENOMEM;
    }
    *listener = self;
    return 0;
}

rw_listener *rw_listener_retain(rw_listener *listener) {
    atomic_fetch_add_explicit(&listener->references, 1, memory_order_relaxed);
    return listener;
}

void rw_listener_release(rw_listener *listener) {
    if (!listener) return;
    if (atomic_fetch_sub_explicit(&listener->references, 1, memory_order_acq_rel) > 1) return;
    rw_pcm_ring_destroy(listener->ring);
    free(listener);
}

bool rw_listener_push(rw_listener *listener, const int16_t *pcm, size_t samples) {
    if (!rw_pcm_ring_write(listener->ring, pcm, samples)) rw_count(&listener->dropped, samples);
    return !atomic_exchange(&listener->told, true);
}

void rw_listener_untold(rw_listener *listener) {
    atomic_store(&listener->told, false);
}

size_t rw_listener_readable(rw_listener *listener) {
    return rw_pcm_ring_readable(listener->ring);
}

size_t rw_listener_read(rw_listener *listener, int16_t *pcm, size_t room) {
    size_t samples = rw_pcm_ring_read(listener->ring, pcm, room);
    if (samples == room) return samples;
    atomic_store(&listener->told, false);
    /* What was pushed between the two was told to nobody. */
    return samples + rw_pcm_ring_read(listener->ring, pcm + samples, room - samples);
}

uint64_t rw_listener_dropped(const rw_listener *listener) {
    return rw_read(&listener->dropped);
}
