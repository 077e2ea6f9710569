/*
 * Digits as telephone events (RFC 4733): hearing them out of RTP payloads, and composing them.
 *
 * No allocation, no clock: `now_us` is any clock that does not go back. The states are the
 * caller's, and one thread uses each at a time.
 */
#ifndef RW_TELEPHONE_EVENT_H
#define RW_TELEPHONE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digit.h"
#include "rtp/rtp.h"

#define RW_EVENT_BYTES 4 /* of one event in a payload (RFC 4733 section 2.3) */

/* Events that one payload may carry, and the news that they can be. */
#define RW_EVENT_MAX_PER_PAYLOAD 4
#define RW_EVENT_ROOM (1 + 2 * RW_EVENT_MAX_PER_PAYLOAD)

/* A digit that is not heard of for so long is over. */
#define RW_EVENT_TIMEOUT_US 200000

/* Digits that are taken at once, and how many a second in the long run: a keypad that follows Q.24
 * can do 12. */
#define RW_EVENT_MAX_BURST 20
#define RW_EVENT_MAX_PER_S 20

/* What became of a payload; the index of its counter. */
typedef enum rw_event_verdict {
    RW_EVENT_STARTED,     /* a digit began, perhaps one ended too */
    RW_EVENT_ENDED,       /* a digit ended */
    RW_EVENT_UPDATED,     /* a digit goes on */
    RW_EVENT_REPEATED,    /* about a digit that is over */
    RW_EVENT_BAD_LENGTH,  /* no multiple of 4 bytes, none, or too many events */
    RW_EVENT_NOT_A_DIGIT, /* events 16 (flash) to 255 are not reported */
    RW_EVENT_STORM,       /* more digits than fingers can press */
    RW_EVENT_VERDICTS
} rw_event_verdict;

/* What a payload told, in order. */
typedef struct rw_event_news {
    size_t count;
    rw_digit digits[RW_EVENT_ROOM];
} rw_event_news;

typedef enum rw_event_phase {
    RW_EVENT_NONE, /* nothing heard yet */
    RW_EVENT_SOUNDING,
    RW_EVENT_OVER,    /* its end was heard, or another event's start */
    RW_EVENT_EXPIRED, /* over because nothing more was heard */
} rw_event_phase;

typedef struct rw_event_receiver {
    uint64_t heard_us;   /* when the last packet of the digit came */
    uint64_t allowed_us; /* when the rate limit's account is even again */
    uint64_t earlier_ts; /* duration of the segments before this one */
    uint32_t clock_hz;
    uint32_t ssrc;
    uint32_t segment_ts;  /* RTP timestamp of the event, or of its last segment */
    uint32_t duration_ts; /* of that segment, as far as it is known */
    uint16_t sequence;    /* of the last packet that told something new */
    uint8_t code;
    rw_event_phase phase;
} rw_event_receiver;

/* -EINVAL for clocks below 1000 Hz or above 192 kHz. */
int rw_event_receiver_init(rw_event_receiver *receiver, uint32_t clock_hz);

/* Hears a packet whose payload type is telephone-event. Each digit is told once when it begins, at
 * the first packet that is left of it, and once when it ends: at the first of its end packets, at
 * the start of the next digit, or by rw_event_receiver_expire(). */
rw_event_verdict rw_event_receiver_hear(rw_event_receiver *receiver, uint64_t now_us,
                                        const rw_rtp_header *header, const uint8_t *payload,
                                        size_t bytes, rw_event_news *news);

/* True, and the end in `ended`, if nothing has been heard of the digit for RW_EVENT_TIMEOUT_US. To
 * be called in each slot of a leg: it costs two comparisons. */
bool rw_event_receiver_expire(rw_event_receiver *receiver, uint64_t now_us, rw_digit *ended);

/* Digits that wait to be sent. */
#define RW_EVENT_QUEUE 32

/* Shorter ones are not heard by everybody (Q.24). */
#define RW_EVENT_MIN_ON_MS 40
#define RW_EVENT_MIN_OFF_MS 40
#define RW_EVENT_ON_MS 100
#define RW_EVENT_OFF_MS 100

#define RW_EVENT_MAX_VOLUME 63 /* dBm0 below zero (RFC 4733 section 2.3.4) */
#define RW_EVENT_VOLUME 10

/* What goes into the slot of a leg. */
typedef struct rw_event_packet {
    uint32_t timestamp; /* of the event, not of the slot */
    bool marker;
    uint8_t payload[RW_EVENT_BYTES];
} rw_event_packet;

typedef struct rw_event_order {
    uint16_t on_ms;
    uint16_t off_ms;
    uint8_t code;
    uint8_t volume;
} rw_event_order;

typedef enum rw_event_sending {
    RW_EVENT_SENDS_NOTHING,
    RW_EVENT_SENDS_DIGIT, /* its end packets are part of it */
    RW_EVENT_SENDS_PAUSE,
} rw_event_sending;

typedef struct rw_event_sender {
    uint32_t clock_hz;
    uint32_t segment_ts;   /* RTP timestamp of the event, or of its segment */
    uint32_t remaining_ts; /* of the event, from there on */
    uint32_t next_ts;      /* the slot from which the next digit may begin */
    rw_event_sending phase;
    bool marker;       /* the next packet is the event's first */
    uint8_t ends_left; /* end packets still to be sent */
    uint8_t first;     /* in the queue: what sounds, or comes next */
    uint8_t queued;
    rw_event_order queue[RW_EVENT_QUEUE];
} rw_event_sender;

/* -EINVAL for clocks below 1000 Hz or above 192 kHz. */
int rw_event_sender_init(rw_event_sender *sender, uint32_t clock_hz);

/* Queues a digit: -EINVAL if it is none, too short, or too close to the next; -ENOBUFS if
 * RW_EVENT_QUEUE wait already. */
int rw_event_sender_queue(rw_event_sender *sender, char symbol, uint16_t on_ms, uint16_t off_ms,
                          uint8_t volume);

/* True while slots belong to the sender: it has digits, or the pause after the last goes on. What
 * else the leg plays stands still. */
bool rw_event_sender_busy(const rw_event_sender *sender);

/* What to send in the slot with this RTP timestamp, `frame_ts` long. False if the slot stays empty,
 * because it lies in a pause. Called once for each slot while busy; slots may be left out, and
 * their length may change. */
bool rw_event_sender_compose(rw_event_sender *sender, uint32_t slot_ts, uint32_t frame_ts,
                             rw_event_packet *packet);

#endif
