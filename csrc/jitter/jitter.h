/*
 * Jitter buffer: makes of packets, which come as the network brings them, sound that never stops.
 *
 * Packets are kept encoded, in the order of their sequence, and each has a place on one timeline of
 * samples: that of its timestamp. rw_jitter_take() walks along it. Where there is no sound, it
 * conceals, or is silent where the sender paused: then the next packet's sequence follows on,
 * however far its timestamp is. Until that packet has come nobody can tell, so an empty buffer is
 * concealed, and counted anew when it is known which it was.
 *
 * How far a packet is ahead of the walker when it comes is all that is known of time, and all that
 * is needed: no clock is read or passed. The least such distance of the last seconds says whether
 * the delay is too short or too long. It grows at once: what comes late, with nothing behind it
 * played yet, is played late; what was overtaken makes the sound stretch. It shrinks slowly, after
 * seconds without need: at once in pauses, else by single periods of the sound. As long as nothing
 * comes late and the delay stays near the first one, every sample is what the sender has sent.
 *
 * Another source, the same one from another sequence, and timestamps that jump without their
 * sequence or that contradict it, go on behind what is in the buffer: what was said before is
 * played, and the new sound has the delay that the old had.
 *
 * The control side makes a buffer, one thread uses it, the control side destroys it. Putting and
 * taking allocate nothing.
 */
#ifndef RW_JITTER_H
#define RW_JITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"
#include "reception/reception.h"
#include "rtp/rtp.h"

#define RW_JITTER_MIN_MS 10
#define RW_JITTER_MAX_MS 1000

/* `min_ms` <= `initial_ms` <= `max_ms`, and this with `early_ms`, within the limits above. Where
 * all three are one, the delay stays: sound is neither stretched nor shortened. */
typedef struct rw_jitter_config {
    uint32_t min_ms;     /* the least delay, to which it shrinks in pauses */
    uint32_t max_ms;     /* no packet waits longer */
    uint32_t initial_ms; /* the first delay, to which it shrinks within sound */
    uint32_t early_ms;   /* what waits so much longer than `max_ms` costs silence, but no sound */
} rw_jitter_config;

/* What became of a packet; the index of its counter. */
typedef enum rw_jitter_verdict {
    RW_JITTER_KEPT,
    RW_JITTER_NOT_HEARD, /* reception has not taken it */
    RW_JITTER_EMPTY,     /* not a single sample */
    RW_JITTER_TOO_LONG,  /* more than RW_CODEC_MAX_PACKET_MS, or than RW_MAX_PACKET_BYTES */
    RW_JITTER_LATE,      /* its place has been played */
    RW_JITTER_REPEATED,  /* this sequence number is in the buffer */
    RW_JITTER_MISPLACED, /* its timestamp is not between those of its neighbours */
    RW_JITTER_NO_ROOM,   /* too many small packets, or too many bytes */
    RW_JITTER_VERDICTS
} rw_jitter_verdict;

/* What was taken: sound if there is any in it, else concealment if there is any of that. Comfort
 * noise is silence. */
typedef enum rw_jitter_kind {
    RW_JITTER_SOUND,
    RW_JITTER_CONCEALED,
    RW_JITTER_SILENCE
} rw_jitter_kind;

/* Each sample that was taken is one of played, concealed, silent and stretched. */
typedef struct rw_jitter_figures {
    uint64_t played_samples;
    uint64_t concealed_samples; /* in place of what was lost or came late; at most 60 ms a packet */
    uint64_t silent_samples;    /* the sender sent none, or concealment has faded away */
    uint64_t stretched_samples; /* added to make the delay longer */
    uint64_t shrunk_samples;    /* left out to make the delay shorter */
    uint64_t discarded_late;    /* packets */
    uint64_t discarded_full;    /* packets: no room, or more than `max_ms` was waiting */
    uint64_t discarded_broken;  /* packets that the codec could make nothing of */
    uint32_t delay_ms;          /* that a packet waits which the network has brought swiftly */
    uint32_t max_delay_ms;      /* the longest so far */
} rw_jitter_figures;

typedef struct rw_jitter rw_jitter;

/* A buffer for a stream of `codec`; the caller owns it. 0, -EINVAL for settings that are none,
 * -ENOMEM. */
int rw_jitter_create(const rw_codec *codec, const rw_jitter_config *config, rw_jitter **jitter);
void rw_jitter_destroy(rw_jitter *jitter);

/* Puts a packet of sound into its place; `heard` is what it was to its stream. The payload is
 * copied. */
rw_jitter_verdict rw_jitter_put(rw_jitter *jitter, const rw_rtp_packet *packet, rw_heard heard);

/* The same for comfort noise (RFC 3389), which fills the pause until there is sound again. */
rw_jitter_verdict rw_jitter_put_comfort_noise(rw_jitter *jitter, const rw_rtp_packet *packet,
                                              rw_heard heard);

/* The same for a packet of the stream that has no sound in it, as telephone events: it must be
 * told, or it would be missed as lost. There is silence until there is sound again. */
rw_jitter_verdict rw_jitter_put_other(rw_jitter *jitter, const rw_rtp_header *header,
                                      rw_heard heard);

/* Fills `pcm`, which belongs to the caller, with the next `samples` at the codec's sample rate; to
 * be called in every slot, whether anything comes or not. */
rw_jitter_kind rw_jitter_take(rw_jitter *jitter, int16_t *pcm, size_t samples);

/* True while there is something that came and was not taken. */
bool rw_jitter_waiting(const rw_jitter *jitter);

void rw_jitter_read(const rw_jitter *jitter, rw_jitter_figures *figures);

#endif
