/*
 * Live sound: samples that the control side makes while they are played, such as those of a speech
 * synthesizer or of another program. A ring lies between the two threads; the shard's thread
 * encodes each packet as its slot comes, so that a codec that adapts has one state.
 *
 * One thread writes, one reads. Each holds a reference, and whoever lets go last frees it.
 */
#ifndef RW_LIVE_H
#define RW_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"

typedef struct rw_live rw_live;

#define RW_LIVE_MAX_ROOM_MS 60000

/* Live sound for a leg of `codec` that sends packets of `ptime_ms`, with room for `room_ms` of it,
 * and one reference, which the caller owns. 0, -EINVAL for a packet time over
 * RW_CODEC_MAX_PACKET_MS or a room over RW_LIVE_MAX_ROOM_MS or for none at all, -ENOMEM. */
int rw_live_create(const rw_codec *codec, uint32_t ptime_ms, uint32_t room_ms, rw_live **live);
rw_live *rw_live_retain(rw_live *live);
void rw_live_release(rw_live *live);

/* --- who makes the sound --------------------------------------------------------------------- */

/* Takes samples at the codec's rate, as many as there is room for; returns how many. */
size_t rw_live_write(rw_live *live, const int16_t *pcm, size_t samples);
/* How many samples wait to be played. */
size_t rw_live_waiting(rw_live *live);
/* Nothing more is written: playing ends behind what waits. */
void rw_live_finish(rw_live *live);
/* How often a packet was due and its sound was not there. */
uint64_t rw_live_starved(const rw_live *live);

/* --- the leg that plays it ------------------------------------------------------------------- */

/* Encodes the next sound into `bytes` at `to`, all or none of it, except that what is last may be
 * short; returns how many bytes there are. `level_dbov` is how loud it is. */
size_t rw_live_read(rw_live *live, uint8_t *to, size_t bytes, int8_t *level_dbov);
/* The same for codecs whose packets are whole: one of them, if it fits in `room`. */
size_t rw_live_read_packet(rw_live *live, uint8_t *to, size_t room, int8_t *level_dbov);

/* True once the last sample has been read. */
bool rw_live_ended(rw_live *live);

#endif
