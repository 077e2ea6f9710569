/*
 * Opus (RFC 6716, RFC 7587) by libopus: the functions of csrc/codec's table. Mono, 16 kHz samples
 * (wideband: what speech recognition takes), whatever the peer sends; the RTP clock is 48 kHz.
 *
 * States come from malloc() in one piece, for free().
 */
#ifndef RW_OPUS_CODEC_H
#define RW_OPUS_CODEC_H

#include <stddef.h>
#include <stdint.h>

#define RW_OPUS_SAMPLE_RATE_HZ 16000
/* How far what is decoded lies behind what was encoded: 6.5 ms. */
#define RW_OPUS_DELAY_SAMPLES 104

/* NULL when out of memory. */
void *rw_opus_create_decoder(void);
/* For live sound. In-band FEC is on, so a peer that looks for it can mend a loss with the packet
 * behind it (RFC 7587 section 3.3). */
void *rw_opus_create_encoder(void);
/* For stored sound: the same without FEC, whose bits go to the sound itself. */
void *rw_opus_create_prompt_encoder(void);

/* A packet that does not fit `room` as a whole is left out. */
size_t rw_opus_decode(void *state, const uint8_t *payload, size_t bytes, int16_t *pcm, size_t room);

/* `samples` are a multiple of 2.5 ms, up to 120 ms. Opus has frames of 2.5, 5, 10, 20, 40 and 60
 * ms; any other packet, such as one of 30 ms, is made of several (RFC 6716 section 3.2). */
size_t rw_opus_encode(void *state, const int16_t *pcm, size_t samples, uint8_t *payload,
                      size_t room);

/* Goes on with the sound (libopus' concealment), in steps of 2.5 ms: `samples` are rounded down. */
size_t rw_opus_conceal(void *state, int16_t *pcm, size_t samples);

/* "libopus 1.3.1" */
const char *rw_opus_version(void);

#endif
