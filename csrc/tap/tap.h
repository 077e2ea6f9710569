/*
 * Tap: where continuous sound is taken from a leg, for a recording, for a program that listens, or
 * for another leg that plays it.
 * Packets go through a jitter buffer for each side, that of the caller and, for recordings, that of
 * the robot, which is fed with what the leg sends. Every millisecond of the leg's time gives its
 * sound, whatever the network does.
 *
 * A recording waits equally long for both sides, so they stay aligned; that time is left out at its
 * beginning and made up for at its end. A listener waits no longer than it has to. Another leg gets
 * the sound and the gaps within it, but not what is silent before it, behind it and in its pauses:
 * there is nothing to play then.
 *
 * The control side makes a tap, a shard uses it with its leg, and gives it back. In between nothing
 * is allocated.
 */
#ifndef RW_TAP_H
#define RW_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "ear/ear.h"
#include "jitter/jitter.h"
#include "listener/listener.h"
#include "live/live.h"
#include "recorder/recorder.h"
#include "resample/resample.h"
#include "rtp/rtp.h"

/* How long a recording waits for packets: what is later is lost to it. */
#define RW_TAP_RECORDING_DELAY_MS 200
/* By how much they may come sooner than the first ones, and nothing of the sound is lost. */
#define RW_TAP_RECORDING_EARLY_MS 200
/* Between these a listener's delay adapts. */
#define RW_TAP_LISTENER_MIN_MS 20
#define RW_TAP_LISTENER_MAX_MS 200
#define RW_TAP_LISTENER_INITIAL_MS 40

typedef struct rw_tap {
    struct rw_tap *next; /* of its leg, or of those to be given back */
    uint64_t tap_id;
    uint64_t leg_id;
    uint64_t heard_tick; /* up to where the leg's time has been taken */
    const rw_codec *codec;
    rw_jitter *caller;
    rw_jitter *robot;        /* of a recording */
    rw_recording *recording; /* or NULL; the control side's */
    rw_listener *listener;   /* or NULL; a reference of its own */
    uint64_t skip_samples;   /* still to be left out at the beginning */
    rw_live *live;           /* that another leg plays, or NULL; a reference of its own */
    rw_resampler *resampler; /* to its rate */
    bool begun;              /* there was sound for it */
} rw_tap;

/* For a recording at the sample rate of `codec`, which the caller keeps open until it has the tap
 * back. 0 or -ENOMEM; the caller owns the tap. */
int rw_tap_create_recording(uint64_t tap_id, const rw_codec *codec, rw_recording *recording,
                            rw_tap **tap);
/* For `listener`, of which the tap takes a reference. */
int rw_tap_create_listening(uint64_t tap_id, const rw_codec *codec, rw_listener *listener,
                            rw_tap **tap);
/* For `live`, which another leg plays; of which the tap takes a reference, and which nobody else
 * writes to. -EINVAL too: rates that cannot be resampled. */
int rw_tap_create_speaking(uint64_t tap_id, const rw_codec *codec, rw_live *live, rw_tap **tap);
void rw_tap_destroy(rw_tap *tap);

/* A list of taps, owned by whoever holds it; NULL is the empty one. */
void rw_tap_push(rw_tap **list, rw_tap *tap);
rw_tap *rw_tap_pop(rw_tap **list);
/* The one called `tap_id`; NULL if there is none. */
const rw_tap *rw_tap_find(const rw_tap *list, uint64_t tap_id);
/* Takes the one called `tap_id` out; NULL if there is none. */
rw_tap *rw_tap_remove(rw_tap **list, uint64_t tap_id);

/* Puts a packet of a stream with the numbers `media` into the jitter buffer of who hears it. */
void rw_tap_put(rw_jitter *jitter, const rw_ear_media *media, const rw_rtp_packet *packet,
                rw_heard heard);

/* A packet of the stream that the leg hears, under the numbers agreed on. */
void rw_tap_hear(rw_tap *tap, const rw_ear_media *media, const rw_rtp_packet *packet,
                 rw_heard heard);
/* One that the leg sends. */
void rw_tap_sent(rw_tap *tap, const rw_ear_media *media, const rw_rtp_packet *packet);

/* Takes the sound up to `tick`. True if a listener is to be told of it. */
bool rw_tap_advance(rw_tap *tap, uint64_t tick);

/* Nothing more is sent or heard: takes what a recording or another leg still waits for. */
void rw_tap_finish(rw_tap *tap);

#endif
