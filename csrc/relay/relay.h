/*
 * Relay: the way from one leg to another, packet for packet (a translator in the words of RFC 3550
 * section 7, with an SSRC of its own on each side). Packets keep their order, their gaps and their
 * distances in time; numbers are moved to where the other leg's stream stands. Telephone events and
 * comfort noise pass under the other side's payload types. Sound passes as it is where both legs
 * have one codec; else it is decoded, resampled and encoded, each packet by itself.
 *
 * The control side makes a relay, a shard uses it, and gives it back. Passing a packet allocates
 * nothing.
 */
#ifndef RW_RELAY_H
#define RW_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"
#include "ear/ear.h"
#include "reception/reception.h"
#include "rtp/rtp.h"

/* Where the stream of the leg that a relay leads to stands. */
typedef struct rw_relay_target {
    rw_ear_media media;
    uint32_t ssrc;
    uint32_t timestamp; /* of this moment */
    uint16_t sequence;  /* that the next packet carries; moves on */
} rw_relay_target;

typedef struct rw_relay rw_relay;

/* A relay between two codecs; the caller owns it. 0, -EINVAL for rates that cannot be resampled,
 * -ENOMEM. */
int rw_relay_create(const rw_codec *from, const rw_codec *to, rw_relay **relay);
void rw_relay_destroy(rw_relay *relay);

/* The other side takes nothing for a while: what comes next goes on where its stream stands then.
 */
void rw_relay_untie(rw_relay *relay);

/* A list of relays, owned by whoever holds it; NULL is the empty one. */
void rw_relay_push(rw_relay **list, rw_relay *relay);
rw_relay *rw_relay_pop(rw_relay **list);
rw_relay *rw_relay_next(const rw_relay *relay);

/* Writes what `packet`, which came from a stream with the numbers `from`, is to the other side, to
 * `to`; returns its length, 0 if it does not pass: a payload type that the other side has not, or
 * one too many bytes. `heard` is what the packet was to its stream. */
size_t rw_relay_pass(rw_relay *relay, const rw_ear_media *from, const rw_rtp_packet *packet,
                     rw_heard heard, rw_relay_target *target, uint8_t *to, size_t room);

#endif
