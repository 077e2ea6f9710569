/*
 * Conference: legs of one shard that hear each other. A leg that takes part has a seat: what it
 * hears goes through a jitter buffer into the conference's mixer, and what it is sent, in the place
 * of silence, is the mix of the others, encoded for it. So each member has one continuous stream
 * both ways, whatever its network, codec and packet time.
 *
 * A shard that is late serves the legs that are due in any order. So that nobody takes sound before
 * it was given, what is heard sounds RW_SEAT_AHEAD_MS later in the conference than it was taken
 * from the jitter buffer.
 *
 * The control side makes a conference, for one shard, and seats in it. A shard uses a seat with its
 * leg, and gives it back. In between nothing is allocated.
 */
#ifndef RW_CONFERENCE_H
#define RW_CONFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"
#include "ear/ear.h"
#include "jitter/jitter.h"
#include "mixer/mixer.h"
#include "rtp/rtp.h"

/* By how much a shard may be late without anybody missing sound. */
#define RW_SEAT_AHEAD_MS 10

typedef struct rw_conference rw_conference;

/* An empty conference that mixes at `sample_rate_hz`, with one reference, which the caller owns. 0,
 * -EINVAL as rw_mixer_create(), -ENOMEM. */
int rw_conference_create(uint32_t sample_rate_hz, uint32_t max_members, rw_conference **conference);
rw_conference *rw_conference_retain(rw_conference *conference);
void rw_conference_release(rw_conference *conference);

typedef struct rw_seat {
    struct rw_seat *next; /* of those to be given back */
    uint64_t seat_id;
    uint64_t leg_id;
    uint64_t heard_tick;       /* up to where the leg's time has been taken */
    rw_conference *conference; /* a reference of its own */
    const rw_codec *codec;
    rw_jitter *jitter;      /* of what the leg hears */
    void *encoder;          /* of what it is sent */
    uint32_t member;        /* its number in the mixer */
    bool taken;             /* it is a member */
    int status;             /* 0, or why it could not become one */
    rw_mixer_stats figures; /* once it was left */
} rw_seat;

/* A seat for a leg of `codec`, in `conference`, of which it takes a reference; the caller owns it.
 * 0, -EINVAL for a sample rate that cannot be resampled to the conference's, -ENOMEM. */
int rw_seat_create(uint64_t seat_id, rw_conference *conference, const rw_codec *codec,
                   rw_seat **seat);
void rw_seat_destroy(rw_seat *seat);

/* A list of seats, owned by whoever holds it; NULL is the empty one. */
void rw_seat_push(rw_seat **list, rw_seat *seat);
rw_seat *rw_seat_pop(rw_seat **list);

/* --- the shard's --------------------------------------------------------------------------- */

/* Becomes a member, a listener, whose leg's next slot is at `tick`. 0, or -ENOSPC if the conference
 * is full; `status` then says so too. */
int rw_seat_take(rw_seat *seat, uint64_t tick);
/* Ends that, if it is one; who whispered to it is a listener from now on. */
void rw_seat_leave(rw_seat *seat);

/* A whisperer is heard by `whisper_to` alone. If that is NULL, itself, or not in the same
 * conference, it is heard by nobody: a whisper never gets to the others. */
void rw_seat_set_role(rw_seat *seat, rw_mixer_role role, const rw_seat *whisper_to);

/* A packet of the stream that the leg hears, under the numbers agreed on. */
void rw_seat_hear(rw_seat *seat, const rw_ear_media *media, const rw_rtp_packet *packet,
                  rw_heard heard);

/* One of its packets that is not to be heard, and was not lost either. */
void rw_seat_note(rw_seat *seat, const rw_rtp_packet *packet, rw_heard heard);

/* Gives the others what was heard, up to `tick`. */
void rw_seat_advance(rw_seat *seat, uint64_t tick);

/* Encodes what the others said in the `ms` before `tick` to `payload`; returns its length, 0 if the
 * codec has no such packet or it does not fit in `room`. `level_dbov` is how loud it is. */
size_t rw_seat_mix(rw_seat *seat, uint64_t tick, uint32_t ms, uint8_t *payload, size_t room,
                   int8_t *level_dbov);

#endif
