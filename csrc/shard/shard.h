/*
 * Shard: one thread, one timer wheel, one backend, and the legs that they own.
 *
 * Other threads (the control side) never touch a leg: they submit commands through a lock-free ring
 * and poll events from another; an eventfd becomes readable when there are events. A leg is named
 * by an id that carries its slot's generation, so a command for a leg that is gone does no harm.
 *
 * All functions may be called from any thread, except that one thread at a time polls events, and
 * create, start, stop and destroy are called in that order by one thread.
 */
#ifndef RW_SHARD_H
#define RW_SHARD_H

#include "backend/backend.h"
#include "histogram/histogram.h"
#include "leg/leg.h"

typedef struct rw_shard rw_shard;

typedef struct rw_shard_config {
    const char *backend; /* "per-leg" or "shared" */
    int shared_fd;       /* the shared socket, or -1; owned by the shard once created */
    uint32_t max_legs;
    uint32_t max_control_sockets; /* for the RTCP of legs that do not share the port of RTP */
    bool realtime;                /* the thread comes before all that does not run in real time */
} rw_shard_config;

typedef enum rw_event_kind {
    RW_EVENT_PLAY_ENDED,    /* a playlist came to its end; `outcome` says how */
    RW_EVENT_LEG_CLOSED,    /* the leg and its socket are gone; `status` 0 or a negative errno */
    RW_EVENT_DIGIT,         /* `digit` began or ended; `tone` if it was heard in the sound */
    RW_EVENT_SPEECH,        /* the caller started or stopped to speak: `speech` */
    RW_EVENT_RELAY_ENDED,   /* a relay from this leg is no more in use */
    RW_EVENT_MEDIA_TIMEOUT, /* nothing was heard for the time that was asked for */
    RW_EVENT_SOUND,         /* there is sound for the listener of `tap_id`, or, for one whose sound
                               another leg plays, from now on there may be */
    RW_EVENT_MARK,          /* live sound has been played up to `mark` */
    RW_EVENT_TAP_ENDED,     /* a tap is no more in use; `tapped` says what it made of the stream */
    RW_EVENT_SEAT_ENDED,    /* a seat is no more in use; `status` is -ENOSPC if the conference was
                               full, `tapped` says what was made of the stream */
} rw_event_kind;

/* What a leg's ear says of the whole stream, at the last report or the end; all zero for a leg
 * without one. */
typedef struct rw_hearing {
    uint64_t expected;
    uint64_t lost;
    uint32_t reordered;
    uint32_t duplicates;
    uint32_t gaps;
    uint32_t sources;
    uint32_t jitter_us;
    uint32_t max_jitter_us;
} rw_hearing;

/* What the peer's last RTCP report says of the whole stream that we send. It is only what the peer
 * says. */
typedef struct rw_told {
    uint64_t reports;  /* about us; 0: the rest means nothing */
    uint64_t expected; /* packets that were sent by then */
    uint64_t lost;
    uint32_t fraction_lost; /* of the last interval, in 1/256 */
    uint32_t jitter_us;
    uint32_t max_jitter_us;
    uint64_t rtts; /* round trips that were measured; 0: `rtt_us` means nothing */
    uint32_t rtt_us;
} rw_told;

typedef struct rw_event {
    rw_event_kind kind;
    int status;
    uint64_t leg_id;
    uint64_t play_id;
    rw_play_outcome outcome;
    uint64_t played_bytes;
    uint64_t played_packets; /* counted where they are whole */
    uint64_t packets_sent;
    uint64_t packets_skipped;
    uint64_t send_errors;
    uint64_t packets_received;
    uint64_t bytes_received;
    uint64_t packets_rejected;
    uint64_t digits_sent;
    bool tone;
    rw_digit digit;
    rw_vad_event speech;
    uint64_t tap_id;
    uint64_t seat_id;
    union {
        struct { /* with RW_EVENT_LEG_CLOSED, as all figures */
            rw_hearing hearing;
            rw_told told;
        };
        struct { /* with RW_EVENT_MARK, of the list `play_id` */
            uint64_t mark_id;
            bool mark_cleared;
        };
        rw_jitter_figures tapped; /* with RW_EVENT_TAP_ENDED and RW_EVENT_SEAT_ENDED: of the
                                    caller's side */
    };
} rw_event;

/* 0, or -EINVAL (no such backend), -ENOMEM, or what opening the backend said. */
int rw_shard_create(const rw_shard_config *config, rw_shard **shard);
/* Starts the thread. 0 or a negative errno: -EPERM if it is to run in real time and may not. */
int rw_shard_start(rw_shard *shard);
/* Closes all legs and ends the thread; the closing events can still be polled. */
void rw_shard_stop(rw_shard *shard);
/* Frees everything; playlists that were not handed back are destroyed. */
void rw_shard_destroy(rw_shard *shard);

/* Opens a leg. On success the shard owns `config->fd`. -EINVAL or -EMSGSIZE for impossible figures,
 * -ENOSPC when all legs are in use, -EAGAIN when the command ring stays full. */
int rw_shard_open_leg(rw_shard *shard, const rw_leg_config *config, uint64_t *leg_id);
/* The rest answer 0 or -EAGAIN. A command for a leg that is gone is counted and dropped. */
int rw_shard_close_leg(rw_shard *shard, uint64_t leg_id);
int rw_shard_update_leg(rw_shard *shard, uint64_t leg_id, const rw_leg_media *media);
/* Queues `playlist`, or with `replace` plays it now in place of all that was queued. On success the
 * shard owns it, and reports its end exactly once. */
int rw_shard_play(rw_shard *shard, uint64_t leg_id, rw_playlist *playlist, bool replace);
int rw_shard_stop_playing(rw_shard *shard, uint64_t leg_id);
/* Plays music on hold, in the place of all that is queued or relayed, which stands still until the
 * music ends. On success the shard owns it, and reports its end exactly once. */
int rw_shard_play_music(rw_shard *shard, uint64_t leg_id, rw_playlist *music);
int rw_shard_end_music(rw_shard *shard, uint64_t leg_id);
int rw_shard_pause(rw_shard *shard, uint64_t leg_id, bool paused);

/* Sends what `leg_id` hears to the leg `to`, in the place of what that one plays, until
 * rw_shard_end_relay() or until the first is closed. On success the shard owns `relay`; one that
 * the leg had before is given up. The leg needs an ear. */
int rw_shard_relay(rw_shard *shard, uint64_t leg_id, uint64_t to, rw_relay *relay);
int rw_shard_end_relay(rw_shard *shard, uint64_t leg_id);

/* Gives the leg's sound to `tap` from now on (for one whose sound another leg plays, what has come
 * by now is none of it), until rw_shard_end_tap() or until the leg is closed;
 * RW_EVENT_TAP_ENDED then tells that it is given back. On success the shard owns `tap`. The leg
 * needs an ear. */
int rw_shard_tap(rw_shard *shard, uint64_t leg_id, rw_tap *tap);
int rw_shard_end_tap(rw_shard *shard, uint64_t leg_id, uint64_t tap_id);

/* Gives the leg a seat in a conference, in the place of one that it had. From now on it is heard
 * there as `role` says; `whisper_to` is a leg, as in rw_seat_set_role(). It hears the others while
 * it plays nothing. On success the shard owns `seat`, until rw_shard_leave() or until the leg is
 * closed; RW_EVENT_SEAT_ENDED then tells that it is given back. The leg needs an ear. All legs of a
 * conference have to be of one shard. -EINVAL: no role. */
int rw_shard_join(rw_shard *shard, uint64_t leg_id, rw_seat *seat, rw_mixer_role role,
                  uint64_t whisper_to);
int rw_shard_set_role(rw_shard *shard, uint64_t leg_id, uint64_t seat_id, rw_mixer_role role,
                      uint64_t whisper_to);
int rw_shard_leave(rw_shard *shard, uint64_t leg_id, uint64_t seat_id);

/* Changes the keys of a leg that has SRTP; its streams go on (RFC 3711 section 3.3.1). `config` is
 * copied. -EINVAL and -ENOTSUP as rw_srtp_check_config(), -ENOMEM. */
int rw_shard_rekey(rw_shard *shard, uint64_t leg_id, const rw_srtp_config *config);

/* Digits to be sent as events (RFC 4733), in order, after those that still wait. */
#define RW_MAX_DIGITS RW_EVENT_QUEUE
typedef struct rw_digits {
    char symbols[RW_MAX_DIGITS + 1]; /* ends with a zero */
    uint16_t on_ms;
    uint16_t off_ms;
} rw_digits;

/* -EINVAL for what is no digit, or times that are too short. What finds no room in the leg's queue,
 * or no agreement on events, is left out; `digits_sent` tells. */
int rw_shard_send_digits(rw_shard *shard, uint64_t leg_id, const rw_digits *digits);

/* Readable when there are events; the shard's own, do not close it. */
int rw_shard_event_fd(const rw_shard *shard);
/* Moves up to `room` events to `events`; returns how many. */
size_t rw_shard_poll_events(rw_shard *shard, rw_event *events, size_t room);

/* Figures, readable at any time. */
uint64_t rw_shard_counter(const rw_shard *shard, rw_counter counter);
uint32_t rw_shard_legs_open(const rw_shard *shard);
/* How late ticks were served, in microseconds, one value per leg and slot. */
const rw_histogram *rw_shard_lateness_us(const rw_shard *shard);
/* How many packets a tick sent. */
const rw_histogram *rw_shard_batch_packets(const rw_shard *shard);
/* How often the shard's thread has looked for work. It sleeps for as long as there is none. */
uint64_t rw_shard_turns(const rw_shard *shard);
/* Makes the thread look for work at once: one that is alive takes a turn. */
void rw_shard_poke(rw_shard *shard);
/* CPU time of the shard's thread in nanoseconds; 0 when it does not run. */
uint64_t rw_shard_cpu_ns(const rw_shard *shard);
/* Copies the figures of one leg, the last ones once it is closed; -ESTALE if its place has been
 * taken by another since. */
int rw_shard_leg_stats(const rw_shard *shard, uint64_t leg_id, rw_event *figures);

#endif
