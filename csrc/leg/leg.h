/*
 * Leg: one RTP stream to one remote address, in the hands of the shard that owns it.
 *
 * A leg's life runs on a grid of slots, one packet time apart. `due_tick` and `timestamp` always
 * belong together: the slot that comes next, and the RTP timestamp that a packet in it carries. In
 * each slot the leg sends sound, sends silence, or sends nothing; the pair moves on all the same,
 * so timestamps go on over pauses (RFC 3550 section 5.1) and the grid never drifts.
 *
 * No I/O, no clock: the shard passes time in and hands what is composed to its backend.
 */
#ifndef RW_LEG_H
#define RW_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address/address.h"
#include "base/atomic.h"
#include "base/base.h"
#include "conference/conference.h"
#include "ear/ear.h"
#include "latch/latch.h"
#include "prompt/prompt.h"
#include "relay/relay.h"
#include "rtcp/rtcp.h"
#include "srtp/srtp.h"
#include "tap/tap.h"
#include "wheel/wheel.h"

#define RW_MIN_PTIME_MS 10
#define RW_MAX_PTIME_MS 60
#define RW_MAX_PACKET_BYTES 1472 /* what fits an Ethernet frame over IPv4 */
#define RW_MAX_SILENCE_BYTES 32

/* The comfort noise that is sent (RFC 3389): white, at the level of an idle line (-65 dBm0, ITU-T
 * G.712), at the start of a pause and so often within it. */
#define RW_COMFORT_NOISE_DBOV (-71)
#define RW_COMFORT_NOISE_INTERVAL_MS 1000

/* A slot is left out when the shard comes later than this. */
#define RW_MAX_LATE_TICKS 100

/* What to send while there is nothing to play. */
typedef enum rw_silence_policy {
    RW_SILENCE_STOP,          /* nothing; the next sound carries the marker */
    RW_SILENCE_SEND,          /* packets of the codec's silence */
    RW_SILENCE_COMFORT_NOISE, /* comfort noise now and then, to those who take it; else nothing */
} rw_silence_policy;

/* What the offer and answer agreed on. */
typedef struct rw_leg_media {
    rw_address remote;
    uint32_t clock_rate_hz; /* of RTP timestamps */
    uint8_t payload_type;
    uint8_t ptime_ms;
    uint8_t bytes_per_ts;  /* payload bytes per timestamp unit: 1 for G.711 and G.722, 2 for L16;
                              0: packets are whole (Opus) */
    uint8_t silence;       /* payload byte that sounds as silence, where packets are cut */
    uint8_t silence_bytes; /* of the packet that sounds as silence, where they are whole */
    uint8_t silence_packet[RW_MAX_SILENCE_BYTES];
    bool send;    /* false on hold: nothing is sent, what plays stands still */
    bool receive; /* false on hold: what comes all the same is counted, and goes nowhere */
    uint8_t event_payload_type; /* telephone-event, both ways; RW_NO_PAYLOAD_TYPE: not agreed on */
    uint8_t comfort_noise_payload_type; /* RW_NO_PAYLOAD_TYPE: neither heard nor sent */
    bool takes_comfort_noise;           /* the peer said so; heard it is from all */
    rw_address rtcp; /* where the peer takes RTCP; of no family: nowhere, unless `rtcp_mux` */
    bool rtcp_mux;   /* RTCP goes to and comes from `remote` (RFC 5761) */
} rw_leg_media;

#define RW_CNAME_BITS 96 /* RFC 7022 section 4.2 */

/* What a leg needs to report by RTCP; all zero for one without an ear, which does not. */
typedef struct rw_rtcp_seed {
    uint8_t cname[RW_CNAME_BITS / 8]; /* random, nobody else's */
    uint32_t dice;                    /* random; spreads the reports */
} rw_rtcp_seed;

typedef struct rw_leg_config {
    rw_leg_media media;
    rw_silence_policy silence_policy;
    int fd;      /* for backends with one socket per leg a UDP socket, bound by its number; or -1 */
    rw_ear *ear; /* what hears for the leg, or NULL: then packets are only counted. The shard gives
                    it back with RW_EVENT_LEG_CLOSED. */
    rw_srtp *srtp;                 /* encrypts both ways, or NULL; given back in the same way */
    rw_latch_policy source_policy; /* only RW_LATCH_POLICY_SDP where legs share a socket */
    rw_rtcp_seed rtcp_seed;
    uint32_t ssrc;
    uint32_t first_timestamp;
    uint16_t first_sequence;
} rw_leg_config;

/* Figures of one leg; written by its shard, readable by any thread. */
typedef struct rw_leg_stats {
    _Atomic uint64_t packets_sent;
    _Atomic uint64_t packets_skipped;
    _Atomic uint64_t send_errors;
    _Atomic uint64_t packets_received;
    _Atomic uint64_t bytes_received;
    _Atomic uint64_t packets_rejected; /* not RTP, or not heard */
    _Atomic uint64_t digits_sent;
} rw_leg_stats;

/* What a leg's ear says of the whole stream, as of the last report or the end. */
typedef struct rw_leg_heard {
    _Atomic uint64_t expected;
    _Atomic uint64_t lost;
    _Atomic uint64_t reordered;
    _Atomic uint64_t duplicates;
    _Atomic uint64_t gaps;
    _Atomic uint64_t sources;
    _Atomic uint64_t jitter_us;
    _Atomic uint64_t max_jitter_us;
} rw_leg_heard;

/* What the peer's last report says of the stream that we send. */
typedef struct rw_leg_told {
    _Atomic uint64_t reports; /* about us; 0: the rest means nothing */
    _Atomic uint64_t expected;
    _Atomic uint64_t lost;
    _Atomic uint64_t fraction_lost; /* of the last interval, in 1/256 */
    _Atomic uint64_t jitter_us;
    _Atomic uint64_t max_jitter_us;
    _Atomic uint64_t rtts; /* round trips measured; 0: `rtt_us` means nothing */
    _Atomic uint64_t rtt_us;
} rw_leg_told;

/* Where a leg stands in RTCP. */
typedef struct rw_leg_reports {
    rw_rtcp_seed seed;
    rw_rtcp_timing timing;
    uint64_t next_us;       /* when the next report is due */
    uint64_t listen_us;     /* when `fd` is listened to again; 0: it is */
    uint32_t packets_at[2]; /* what was sent by the last report, and by the one before */
    uint32_t sequences;     /* numbers that our stream has used, */
    uint16_t sequence;      /* up to this one */
    int fd;                 /* a socket of its own, for the port behind RTP's; -1: none */
    bool anywhere;          /* `fd` is not connected: the peer is behind a NAT */
    bool started;           /* a report was sent */
} rw_leg_reports;

#define RW_LEG_HOT_LINES 3

typedef struct rw_leg {
    /* Read and written for each packet: RW_LEG_HOT_LINES, up to the first figure of `stats`. */
    _Alignas(RW_CACHE_LINE_BYTES) rw_timer timer;
    uint64_t due_tick;
    uint32_t timestamp;
    uint32_t ssrc;
    uint32_t frame_ts;
    uint16_t frame_bytes; /* 0: packets are whole */
    uint16_t sequence;
    uint8_t payload_type;
    uint8_t ptime_ms;
    uint8_t silence;
    bool send;
    bool paused;
    bool marker; /* the next packet starts a talkspurt (RFC 3551 section 4.1) */
    bool send_silence;
    bool send_noise;     /* comfort noise, in pauses */
    uint8_t noise_slots; /* until it is sent again */
    bool receiving;      /* sound came lately: the backend reads this leg in its slots */
    bool expected;       /* its sound is waited for: it is read whenever something came */
    uint8_t quiet_slots;
    bool sending_digits;
    bool relayed;     /* another leg's sound is sent in the place of its own, which stands still */
    bool mixed;       /* the packet composed last is what the others in the conference said */
    int8_t sent_dbov; /* level of the packet composed last */
    bool closing;     /* closed, its event not posted yet */
    bool unsettled;   /* the remote address may still move: `fd` is not connected */
    int fd;
    rw_playlist_queue playing; /* the first is under the cursor */
    rw_playlist_queue music;   /* one list, which plays instead of all else while it is there */
    rw_tap *taps;              /* what takes continuous sound from the leg */
    rw_seat *seat;             /* in a conference, or NULL */
    rw_ear *ear;
    rw_srtp *srtp;
    rw_relay *relay;            /* to another leg of the shard, or NULL */
    struct rw_leg *next_behind; /* in the shard's list of one tick */
    uint32_t sound_packets; /* handed to the backend, and the bytes of their payload (for SRs) */
    uint32_t sound_bytes;

    /* Readable by all threads. */
    rw_leg_stats stats;
    rw_leg_heard heard;
    rw_leg_told told;
    _Atomic uint64_t id;         /* slot index and generation; 0 while the slot is free */
    _Atomic uint64_t figures_id; /* whose figures these are, until the slot is used again */

    /* Read when the leg is opened, moved or closed. */
    int close_status;
    uint64_t relay_to;   /* the id of the leg that `relay` leads to */
    rw_timer watch;      /* for the media timeout and for reports */
    uint64_t watched_us; /* since when the peer has been expected to send */
    rw_latch latch;      /* whose packets are taken, and where to send */
    rw_latch_policy source_policy;
    rw_silence_policy silence_policy;
    rw_leg_reports reports;
    rw_event_sender digits;
    rw_leg_media media;
    uint32_t overflow;   /* what the backend has counted of the socket's RW_RECEIVE_OVERFLOW */
    struct rw_leg *next; /* in the backend's table, later in the shard's list of closed legs */
} rw_leg;

_Static_assert(offsetof(rw_leg, stats) + sizeof(uint64_t) <= RW_LEG_HOT_LINES * RW_CACHE_LINE_BYTES,
               "what a packet needs of a leg has outgrown its cache lines");

/* -EINVAL or -EMSGSIZE if no packet can be made from these figures, else 0. */
int rw_leg_check_media(const rw_leg_media *media);

/* Makes a free place of the slab into a leg whose first slot is `due_tick`. */
void rw_leg_init(rw_leg *leg, const rw_leg_config *config, uint64_t id, uint64_t due_tick);

/* The numbers that the leg hears by. */
rw_ear_media rw_leg_ear_media(const rw_leg *leg);

/* Takes over a new agreement; the queue and the timestamp go on. */
void rw_leg_set_media(rw_leg *leg, const rw_leg_media *media);

/* True if the coming slot has something to send. */
bool rw_leg_has_output(const rw_leg *leg);

/* True if it or a later one has: the leg is to go through its slots. */
bool rw_leg_needs_slots(const rw_leg *leg);

/* Moves on to the first slot at or after `tick`, sending nothing; returns how many were left out.
 */
uint64_t rw_leg_skip_to(rw_leg *leg, uint64_t tick);

/* Writes the packet of the coming slot to `packet` (RW_MAX_PACKET_BYTES of room) and moves on;
 * returns its length, 0 if the slot stays empty. Lists that came to their end move to `ended`. */
size_t rw_leg_compose(rw_leg *leg, uint8_t *packet, rw_playlist_queue *ended);

/* Queues a digit to be sent as an event; -ENOTSUP if none were agreed on, -EINVAL and -ENOBUFS as
 * rw_event_sender_queue(). */
int rw_leg_send_digit(rw_leg *leg, char symbol, uint16_t on_ms, uint16_t off_ms);

/* Ends the lists that `cause` may interrupt, up to the first one that it may not. */
void rw_leg_barge_in(rw_leg *leg, rw_barge_in cause, rw_playlist_queue *ended);

/* Empties the queue: every list gets `outcome` and moves to `ended`. */
void rw_leg_clear_queue(rw_leg *leg, rw_play_outcome outcome, rw_playlist_queue *ended);

/* Plays music on hold, in the place of the queue, of a relay, and of other music, which ends. */
void rw_leg_play_music(rw_leg *leg, rw_playlist *music, rw_playlist_queue *ended);

/* Ends the music, if there is any: the queue goes on from its place. */
void rw_leg_end_music(rw_leg *leg, rw_play_outcome outcome, rw_playlist_queue *ended);

#endif
