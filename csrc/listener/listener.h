/*
 * Listener: sound on its way from a leg to a program that listens. The shard's thread pushes the
 * sound of each slot, the control side reads it in its own time; what finds no room is left out and
 * counted. Each holds a reference, and whoever lets go last frees it.
 */
#ifndef RW_LISTENER_H
#define RW_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rw_listener rw_listener;

#define RW_LISTENER_MAX_ROOM_MS 60000

/* With room for `room_ms` of sound at `sample_rate_hz` (8,000 to 48,000), and one reference, which
 * the caller owns. 0, -EINVAL, -ENOMEM. */
int rw_listener_create(uint32_t sample_rate_hz, uint32_t room_ms, rw_listener **listener);
rw_listener *rw_listener_retain(rw_listener *listener);
void rw_listener_release(rw_listener *listener);

/* --- the shard's thread -------------------------------------------------------------------- */

/* Adds sound. True if the reader is to be told that there is some: it has emptied the queue since
 * it was told last. */
bool rw_listener_push(rw_listener *listener, const int16_t *pcm, size_t samples);
/* It could not be told: the next push says so again. */
void rw_listener_untold(rw_listener *listener);

/* --- who listens --------------------------------------------------------------------------- */

/* How many samples can be read. */
size_t rw_listener_readable(rw_listener *listener);
/* Copies the oldest samples to `pcm`, at most `room`; returns how many there were. When there were
 * fewer than `room`, the next ones are told of. */
size_t rw_listener_read(rw_listener *listener, int16_t *pcm, size_t room);
/* Samples that found no room. */
uint64_t rw_listener_dropped(const rw_listener *listener);

#endif
