/* The inside of a shard, shared by shard.c (legs and ticks), control.c (the control side) and
 * tests. */
#ifndef RW_SHARD_PRIVATE_H
#define RW_SHARD_PRIVATE_H

#include <pthread.h>

#include "phases/phases.h"
#include "ring/ring.h"
#include "shard/shard.h"

#define TICK_US 1000

/* Set in the epoll data of a leg's socket for RTCP, beside the leg's id. */
#define RW_CONTROL_EVENT 0x80000000u

/* The shortest slice that Linux gives. */
#define RW_SHARD_SLICE_NS 100000u
#define RW_SHARD_REALTIME_PRIORITY 1 /* of 1 to 99 */

/* struct sched_attr, whose header does not go with that of glibc. */
typedef struct rw_sched_attr {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* of SCHED_OTHER: the slice */
    uint64_t deadline_ns;
    uint64_t period_ns;
} rw_sched_attr;

typedef enum rw_command_kind {
    RW_COMMAND_OPEN,
    RW_COMMAND_CLOSE,
    RW_COMMAND_UPDATE,
    RW_COMMAND_PLAY,
    RW_COMMAND_REPLACE,
    RW_COMMAND_STOP,
    RW_COMMAND_PAUSE,
    RW_COMMAND_RESUME,
    RW_COMMAND_MUSIC,
    RW_COMMAND_END_MUSIC,
    RW_COMMAND_DIGITS,
    RW_COMMAND_RELAY,
    RW_COMMAND_END_RELAY,
    RW_COMMAND_REKEY,
    RW_COMMAND_TAP,
    RW_COMMAND_END_TAP,
    RW_COMMAND_JOIN,
    RW_COMMAND_ROLE,
    RW_COMMAND_LEAVE,
} rw_command_kind;

/* What is asked for a seat in a conference. */
typedef struct rw_seat_order {
    rw_seat *seat; /* to be taken */
    uint64_t seat_id;
    rw_mixer_role role;
    uint64_t whisper_to; /* a leg */
} rw_seat_order;

typedef struct rw_command {
    rw_command_kind kind;
    uint64_t leg_id;
    union {
        rw_leg_config open;
        rw_leg_media media;
        rw_playlist *playlist;
        rw_digits digits;
        struct {
            rw_relay *relay;
            uint64_t relay_to;
        };
        rw_tap *tap;
        uint64_t tap_id;
        rw_seat_order order;
        rw_srtp_config *keys; /* allocated; whoever takes the command wipes and frees it */
    };
} rw_command;

/* An event as it travels: the control side frees what comes with it. */
typedef struct rw_posted_event {
    rw_event event;
    rw_playlist *playlist;
    rw_ear *ear;
    rw_relay *relay;
    rw_srtp *srtp;
    rw_tap *tap;
    rw_seat *seat;
} rw_posted_event;

/* What was heard, kept while the event ring is full. */
#define RW_KEPT_NEWS 256

struct rw_shard {
    /* The shard's thread only. */
    rw_wheel wheel;
    rw_backend *backend;
    rw_backend_host host;
    rw_timer poll_timer; /* reads the legs that are read together, in the next tick */
    bool poll_due;       /* in this one */
    rw_leg *behind;      /* legs that were not read to the end in this tick */
    rw_phases phases;
    rw_leg *closed;              /* to be announced */
    rw_playlist_queue ended;     /* to be announced */
    rw_event news[RW_KEPT_NEWS]; /* to be announced, oldest first */
    uint32_t news_count;
    uint64_t now_us;         /* of this turn */
    uint64_t announce_tick;  /* when to wake the control side for events; RW_WHEEL_NEVER */
    uint64_t announced_tick; /* when that was done last */
    rw_relay *spent;         /* relays to be given back */
    rw_tap *spent_taps;
    rw_seat *spent_seats;
    uint32_t batch; /* packets composed in this tick */
    int epoll_fd;
    uint32_t control_sockets; /* open for RTCP */

    /* Written by the shard's thread, readable by all. */
    rw_counters counters;
    rw_histogram lateness_us;
    rw_histogram batch_packets;
    _Atomic uint64_t turns;

    /* Between threads. */
    rw_ring *commands;
    rw_ring *events;
    rw_ring *free_ids; /* ids of the free slots, with the generation that comes next */
    _Atomic uint64_t sleeps_until_ns; /* 0 while awake: commands are seen before it sleeps */
    _Atomic int wake_pending;
    _Atomic int stopping;
    int wake_fd;
    int event_fd;

    rw_leg *legs;
    uint32_t max_legs;
    uint32_t max_control_sockets;
    bool realtime;
    uint64_t unix_offset_us; /* what `now_us` is behind the time since 1970 */
    pthread_t thread;
    bool running;
};

/* A shard over the backend `ops` whose time starts at `now_tick`; see rw_shard_create. */
int rw_shard_create_at(const rw_shard_config *config, const rw_backend_ops *ops, uint64_t now_tick,
                       rw_shard **shard);

/* One turn of the shard at `now_us`: commands, due legs, events. Reads no clock. */
void rw_shard_turn(rw_shard *shard, uint64_t now_us);

/* The leg with that id, or NULL if its place is free. */
rw_leg *rw_shard_find_leg(const rw_shard *shard, uint64_t leg_id);

/* Wakes a leg that now has something to do, at its next slot. */
void rw_shard_schedule(rw_shard *shard, rw_leg *leg);

/* Marks a leg (or those that are read together) whose datagrams have woken epoll. */
void rw_shard_readable(rw_shard *shard, uint64_t epoll_data);

/* Takes the commands that are left and closes every leg, for the end of the thread. */
void rw_shard_close_all(rw_shard *shard);

/* Tells what has ended, lists, taps and seats before their legs. What finds no room waits for the
 * next turn, or behind the end of the thread for who polls. */
void rw_shard_post_events(rw_shard *shard);

/* Sends the packet that was composed in the backend's room, encrypted if the leg has SRTP. */
void rw_shard_send(rw_shard *shard, rw_leg *leg, uint8_t *packet, size_t bytes);

/* Wipes and frees keys that came by a command. */
void rw_shard_free_keys(rw_srtp_config *keys);

/* Passes what a leg has heard on to the leg that its relay leads to. */
void rw_shard_relay_packet(rw_shard *shard, rw_leg *leg, const rw_rtp_packet *packet);

/* Carries out RW_COMMAND_RELAY and RW_COMMAND_END_RELAY. */
void rw_shard_start_relay(rw_shard *shard, rw_leg *leg, rw_relay *relay, uint64_t to);
void rw_shard_stop_relay(rw_shard *shard, rw_leg *leg);

/* Keeps what was heard, to be announced; false if there is no room, which is counted. */
bool rw_shard_keep_news(rw_shard *shard, const rw_event *event);

/* Carries out RW_COMMAND_TAP and RW_COMMAND_END_TAP; ends every tap of a leg. */
void rw_shard_add_tap(rw_shard *shard, rw_leg *leg, rw_tap *tap);
void rw_shard_remove_tap(rw_shard *shard, rw_leg *leg, uint64_t tap_id);
void rw_shard_remove_taps(rw_shard *shard, rw_leg *leg);
/* Shows the leg's taps a packet of the stream that it hears, or one that it sends. */
void rw_shard_tap_heard(const rw_leg *leg, const rw_rtp_packet *packet);
void rw_shard_tap_sent(const rw_leg *leg, const uint8_t *datagram, size_t bytes);
/* Lets the leg's taps take the sound up to its next slot. */
void rw_shard_advance_taps(rw_shard *shard, rw_leg *leg);

/* Carries out RW_COMMAND_JOIN, RW_COMMAND_ROLE and RW_COMMAND_LEAVE; gives up whatever seat a leg
 * has. */
void rw_shard_take_seat(rw_shard *shard, rw_leg *leg, const rw_seat_order *order);
void rw_shard_change_role(rw_shard *shard, rw_leg *leg, const rw_seat_order *order);
void rw_shard_end_seat(rw_shard *shard, rw_leg *leg, uint64_t seat_id);
void rw_shard_leave_seat(rw_shard *shard, rw_leg *leg);

/* True if there is something to tell the control side. */
static inline bool rw_shard_has_news(const rw_shard *shard) {
    return shard->ended.first || shard->closed || shard->news_count || shard->spent ||
           shard->spent_taps || shard->spent_seats;
}

/* Hooks into the backend: what it calls for each datagram. `context` is the shard. */
void rw_shard_deliver(void *context, rw_leg *leg, const rw_address *source, const uint8_t *datagram,
                      size_t bytes);

/* Begins to take packets from the address in the SDP, or what the leg's policy lets take its place.
 * The backend is to be pointed at `leg->latch.remote` next. */
void rw_shard_open_source(rw_shard *shard, rw_leg *leg, const rw_address *from_sdp);

/* True if a valid RTP packet from `source` is the leg's. */
bool rw_shard_admit(rw_shard *shard, rw_leg *leg, const rw_address *source);

/* Reports of a leg with an ear; without one these do nothing. */
void rw_shard_begin_reports(rw_shard *shard, rw_leg *leg);
/* Does what is due; returns when to be called again. Only for a leg with an ear. */
uint64_t rw_shard_keep_reports(rw_shard *shard, rw_leg *leg);
/* A new agreement is about to be taken over. */
void rw_shard_move_reports(rw_shard *shard, rw_leg *leg, const rw_leg_media *media);
/* The last words, while the leg is still attached. */
void rw_shard_end_reports(rw_shard *shard, rw_leg *leg);

/* Takes RTCP that came on the port of RTP; reads what came on that of RTCP. Then the leg's watch
 * may be due earlier. */
void rw_shard_hear_control(rw_shard *shard, rw_leg *leg, const rw_address *source,
                           const uint8_t *datagram, size_t bytes);
void rw_shard_read_control(rw_shard *shard, rw_leg *leg);
void rw_shard_close_control(rw_shard *shard, rw_leg *leg);

#endif
