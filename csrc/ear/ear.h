/*
 * Ear: what a leg makes of the stream that reaches it. It judges each packet (RFC 3550), hears
 * digits as telephone events (RFC 4733) or in the sound, and hears when the caller speaks.
 *
 * The control side makes an ear, hands it to the shard with the leg, and gets it back with the
 * leg's last event; in between the shard's thread alone uses it. Hearing allocates nothing and
 * reads no clock: microseconds are of one monotonic clock.
 */
#ifndef RW_EAR_H
#define RW_EAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digit.h"
#include "codec/codec.h"
#include "dtmf/dtmf.h"
#include "reception/reception.h"
#include "rtp/rtp.h"
#include "telephone_event/telephone_event.h"
#include "vad/vad.h"

#define RW_NO_PAYLOAD_TYPE 0xff

/* A speech detector and a DTMF detector hear nothing new of a stream that is silent for so long:
 * then time goes on without it. */
#define RW_EAR_SILENT_US 60000

/* Sound is heard up to so many times as fast as time, and so much of it may come ahead of that at
 * once, as after a hold-up: more than a socket's buffer holds of a stream; a packet counts for
 * RW_EAR_MIN_PACKET_US at least. So a flood that keeps to the stream's own sequence costs no more
 * than a few streams. */
#define RW_EAR_MAX_PACE 2
#define RW_EAR_MAX_AHEAD_US 3000000
#define RW_EAR_MIN_PACKET_US 10000

typedef struct rw_ear_config {
    bool speech; /* tell when the caller speaks */
    bool tones;  /* look for digits in the sound while no events are agreed on */
    rw_vad_sensitivity sensitivity;
    uint32_t hangover_ms;      /* silence that ends speech */
    uint32_t media_timeout_ms; /* tell when nothing was heard for so long; 0: never */
} rw_ear_config;

/* The numbers that offer and answer agreed on; RW_NO_PAYLOAD_TYPE where there is none. */
typedef struct rw_ear_media {
    uint32_t clock_rate_hz;
    uint8_t sound;
    uint8_t events;
    uint8_t comfort_noise;
} rw_ear_media;

/* Why a valid RTP packet was not heard; the index of its counter. */
typedef enum rw_ear_reject {
    RW_EAR_TAKEN,
    RW_EAR_DUPLICATE,
    RW_EAR_STALE,        /* too late to be of use */
    RW_EAR_JUMP,         /* far from the sequence, and the next one has not followed yet */
    RW_EAR_STRANGER,     /* another source, which has not proved itself yet */
    RW_EAR_UNKNOWN_TYPE, /* a payload type that was not agreed on */
    RW_EAR_TOO_FAST,     /* more sound than there was time for */
    RW_EAR_EMPTY,        /* a payload that the codec can make no sound of */
    RW_EAR_BAD_EVENT,    /* an event of impossible length */
    RW_EAR_NOT_A_DIGIT,  /* an event that is none */
    RW_EAR_DIGIT_STORM,  /* more digits than fingers can press */
    RW_EAR_REJECTS
} rw_ear_reject;

typedef enum rw_ear_news_kind {
    RW_EAR_DIGIT,
    RW_EAR_SPEECH,
    RW_EAR_MEDIA_TIMEOUT, /* nothing was heard for the time that was asked for */
} rw_ear_news_kind;

typedef struct rw_ear_news {
    rw_ear_news_kind kind;
    bool tone; /* the digit was heard in the sound, not as an event */
    union {
        rw_digit digit;
        rw_vad_event speech;
    };
} rw_ear_news;

/* What one packet or slot can tell at most: RW_EVENT_ROOM events, or a packet of Opus' 120 ms. */
#define RW_EAR_ROOM 24

typedef struct rw_ear_report {
    size_t count;
    rw_ear_news news[RW_EAR_ROOM];
} rw_ear_report;

typedef struct rw_ear rw_ear;

/* An ear for sound of `codec`; the caller owns it. 0, -EINVAL for settings that are none, -ENOMEM.
 */
int rw_ear_create(const rw_ear_config *config, const rw_codec *codec, rw_ear **ear);
void rw_ear_destroy(rw_ear *ear);

/* Takes over what was agreed on. -EINVAL: not a clock rate. */
int rw_ear_agree(rw_ear *ear, const rw_ear_media *media);

/* Hears a packet, and adds what it tells to `report`. */
rw_ear_reject rw_ear_hear(rw_ear *ear, const rw_rtp_packet *packet, uint64_t now_us,
                          rw_ear_report *report);

/* Takes note of a packet without hearing anything in it, as on hold: it has its place in the
 * stream. */
rw_ear_reject rw_ear_note(rw_ear *ear, const rw_rtp_packet *packet, uint64_t now_us);

/* Lets time pass; to be called in each slot in which nothing may have come. */
void rw_ear_pass(rw_ear *ear, uint64_t now_us, rw_ear_report *report);

/* True while something is under way that may end by time alone: to be called again in the next
 * slot, however silent it is. */
bool rw_ear_waits(const rw_ear *ear);

/* A packet of this level was sent to the caller. */
void rw_ear_sent(rw_ear *ear, int level_dbov);

/* Nothing was heard since `since_us`, or the last packet if that was later: true, once for each
 * silence, if the media timeout has passed. `next_us` is when to ask again; 0: never. */
bool rw_ear_timed_out(rw_ear *ear, uint64_t since_us, uint64_t now_us, uint64_t *next_us);

/* Takes an SR of the peer: what the next report says of it (RFC 3550 section 6.4.1). */
void rw_ear_hear_sender_report(rw_ear *ear, uint32_t ssrc, uint64_t ntp, uint64_t now_us);

/* Fills the report block on what was heard; false, and `block` untouched, if nothing was since the
 * last one. */
bool rw_ear_report_block(rw_ear *ear, uint64_t now_us, rw_report_block *block);

const rw_reception *rw_ear_reception(const rw_ear *ear);

/* What the packet that was taken last was to its stream. */
rw_heard rw_ear_heard(const rw_ear *ear);

/* True if a packet that got this verdict has its place in the stream, whatever is in it: then
 * rw_ear_heard() speaks of it. */
static inline bool rw_ear_knows_place(rw_ear_reject reject) {
    return reject == RW_EAR_TAKEN || reject >= RW_EAR_EMPTY;
}

#endif
