/*
 * Live sound: samples that the control side makes while they are played, such as those of a speech
 * synthesizer or of another program, or that another leg has heard. A ring lies between the two
 * threads; the shard's thread encodes each packet as its slot comes, so that a codec that adapts
 * has one state.
 *
 * Who makes the sound may set marks in it, and clear what waits. Neither needs a command: positions
 * are counted from the first sample on, a clearing is one that the reader leaps to.
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

#define RW_LIVE_MAX_MARKS 4096

typedef struct rw_live_config {
    uint32_t ptime_ms; /* of the packets that the leg sends */
    uint32_t room_ms;  /* so much may wait */
    uint32_t lead_ms;  /* so much more than a packet is there before the first is played */
    uint32_t marks;    /* so many may wait; 0: none are set */
    bool encoded;      /* takes payload of the codec (G.711 only) in the place of samples */
    bool rounds_up;    /* what is less than a packet goes out, with silence behind it, when nothing
                          was added for a slot */
} rw_live_config;

/* Live sound for a leg of `codec`, with one reference, which the caller owns. 0, -EINVAL for a
 * packet time over RW_CODEC_MAX_PACKET_MS or a room over RW_LIVE_MAX_ROOM_MS or for none at all,
 * for a lead that does not fit in, more marks than RW_LIVE_MAX_MARKS, or a codec that cannot be
 * `encoded`; -ENOMEM. */
int rw_live_create(const rw_codec *codec, const rw_live_config *config, rw_live **live);
rw_live *rw_live_retain(rw_live *live);
void rw_live_release(rw_live *live);
uint32_t rw_live_sample_rate_hz(const rw_live *live);

/* --- who makes the sound --------------------------------------------------------------------- */

/* Takes samples at the codec's rate, as many as there is room for; returns how many. */
size_t rw_live_write(rw_live *live, const int16_t *pcm, size_t samples);
/* The same where it is `encoded`. */
size_t rw_live_write_encoded(rw_live *live, const uint8_t *payload, size_t bytes);
/* Takes samples as rw_live_write(); what finds no room is left out and counted. */
void rw_live_push(rw_live *live, const int16_t *pcm, size_t samples);
uint64_t rw_live_dropped(const rw_live *live);
/* Sets a mark behind what was written: reached when all of that has been played or cleared.
 * -ENOBUFS: too many wait. */
int rw_live_mark(rw_live *live, uint64_t id);
/* What was written is not played any more, from the next packet on. */
void rw_live_clear(rw_live *live);
/* How many samples wait to be played. */
size_t rw_live_waiting(rw_live *live);
/* How many there is room for: what was cleared has its place until the next packet. */
size_t rw_live_writable(rw_live *live);
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

/* True if a mark was reached by what was read last: its `id`, and whether the sound before it was
 * `cleared` and not played to its end. It is the same one until rw_live_pass_mark(). */
bool rw_live_at_mark(rw_live *live, uint64_t *id, bool *cleared);
void rw_live_pass_mark(rw_live *live);

/* True once the last sample has been read. */
bool rw_live_ended(rw_live *live);

#endif
