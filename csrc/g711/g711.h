/*
 * ITU-T G.711: companding of 16-bit linear samples to the 8-bit codes of mu-law and A-law, and
 * back.
 *
 * The Recommendation's uniform scale is 14 bits wide for mu-law and 13 for A-law; samples here fill
 * 16 bits, so its values stand here four times and eight times as large. Where a sample lies
 * exactly on a decision value the ITU-T software tools (G.191) are followed: a positive one belongs
 * to the interval above it, a negative one to the interval nearer to zero.
 *
 * No state, no failure: every code and every sample is valid. The arrays belong to the caller, hold
 * at least `count` entries, and do not overlap.
 */
#ifndef RW_G711_H
#define RW_G711_H

#include <stddef.h>
#include <stdint.h>

/* What each law encodes a sample of zero to: the byte to send for silence. */
#define RW_G711_ULAW_SILENCE 0xff
#define RW_G711_ALAW_SILENCE 0xd5

void rw_g711_ulaw_encode(const int16_t *samples, size_t count, uint8_t *codes);
void rw_g711_ulaw_decode(const uint8_t *codes, size_t count, int16_t *samples);
void rw_g711_alaw_encode(const int16_t *samples, size_t count, uint8_t *codes);
void rw_g711_alaw_decode(const uint8_t *codes, size_t count, int16_t *samples);

#endif
