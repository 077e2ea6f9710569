/*
 * Codecs: the one table of what is built in, with how to decode and encode a stream of each.
 *
 * Sound is mono, 16 bits, at the codec's `sample_rate_hz`. A state belongs to one way of one
 * stream: the control side creates and destroys it, the thread that carries the stream uses it, one
 * at a time. Decoding and encoding allocate nothing, lock nothing and know no clock.
 */
#ifndef RW_CODEC_H
#define RW_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No packet that a leg sends or takes is longer than 60 ms; Opus has packets of 120 ms. */
#define RW_CODEC_MAX_PACKET_MS 120

/* Decodes a packet's `payload`, of any length and content, to at most `room` samples; returns how
 * many there are, 0 where the codec can make nothing of it. What exceeds `room` is left out. */
typedef size_t (*rw_decode)(void *state, const uint8_t *payload, size_t bytes, int16_t *pcm,
                            size_t room);

/* Encodes `samples` to at most `room` bytes; returns how many there are, 0 where the codec has no
 * packets of that length or it does not fit. */
typedef size_t (*rw_encode)(void *state, const int16_t *pcm, size_t samples, uint8_t *payload,
                            size_t room);

/* Makes up `samples` in place of a packet that was lost; returns how many there are. */
typedef size_t (*rw_conceal)(void *state, int16_t *pcm, size_t samples);

typedef struct rw_codec {
    const char *name;       /* as SDP has it: "PCMU" */
    const char *label;      /* what people call it, each once: "pcmu" */
    int payload_type;       /* the static one (RFC 3551 table 4), or -1 */
    uint32_t clock_rate_hz; /* of RTP timestamps */
    uint32_t
        sample_rate_hz;   /* of the samples; G.722's is twice its clock (RFC 3551 section 4.5.2) */
    uint8_t bytes_per_ts; /* 0: a packet is a whole, and is not cut */
    uint8_t silence;      /* the payload byte that sounds as silence, where packets are cut */
    uint16_t delay_samples;        /* how far what is decoded lies behind what was encoded, where a
                                      prompt has to make up for it */
    void *(*create_decoder)(void); /* NULL: has no state */
    void *(*create_encoder)(void);
    void *(*create_prompt_encoder)(void); /* for stored sound; NULL: the same */
    rw_decode decode;
    rw_encode encode;
    rw_conceal conceal; /* NULL: the codec has none of its own */
} rw_codec;

/* How many codecs are built in, and the one at `index`: PCMU, PCMA, G.722, L16 at 8 and 16 kHz, and
 * Opus where libopus was found. */
size_t rw_codec_count(void);
const rw_codec *rw_codec_at(size_t index);

/* The codec of an SDP encoding name (which knows no case) and clock rate; NULL if there is none. */
const rw_codec *rw_codec_find(const char *name, uint32_t clock_rate_hz);

/* A new state, NULL for a codec that has none, to be given back to rw_codec_destroy_state(). 0 or
 * -ENOMEM. */
int rw_codec_create_decoder(const rw_codec *codec, void **state);
int rw_codec_create_encoder(const rw_codec *codec, void **state);
int rw_codec_create_prompt_encoder(const rw_codec *codec, void **state);
void rw_codec_destroy_state(void *state);

#endif
