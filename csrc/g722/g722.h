/*
 * ITU-T G.722 at 64 kbit/s (mode 1): 7 kHz sound in two sub-bands of adaptive PCM, one byte for
 * each pair of samples at 16 kHz.
 *
 * The states adapt to the sound, so each stream has its own of each way. Every byte is a valid
 * code, and no sound is an error. Arrays belong to the caller and do not overlap.
 */
#ifndef RW_G722_H
#define RW_G722_H

#include <stddef.h>
#include <stdint.h>

/* Played over and over, this byte lets a decoder fall to its quietest from whatever came before
 * (below -58 dBFS; of all bytes none does better): both quantizers' smallest steps, so the scale
 * factors shrink to the floor. */
#define RW_G722_SILENCE 0xfd

#define RW_G722_TAPS 24

/* One sub-band's predictor and step size; index 1 of a delay line is one sample ago. */
typedef struct rw_g722_band {
    int16_t step;     /* the quantizer's scale factor (DETL, DETH) */
    int16_t log_step; /* its logarithm (NBL, NBH) */
    int16_t estimate; /* predicted signal (SL, SH) */
    int16_t zeros;    /* the zero section's part of it (SZL, SZH) */
    int16_t r[3];     /* reconstructed signal */
    int16_t a[3];     /* pole coefficients */
    int16_t p[3];     /* partially reconstructed signal */
    int16_t d[7];     /* quantized differences */
    int16_t b[7];     /* zero coefficients */
} rw_g722_band;

/* For either way; one state serves one way of one stream. */
typedef struct rw_g722 {
    rw_g722_band low;
    rw_g722_band high;
    int16_t history[RW_G722_TAPS]; /* of the quadrature mirror filter, oldest first */
} rw_g722;

void rw_g722_init(rw_g722 *state);

/* Encodes `samples` at 16 kHz, an even number (an odd one at the end is left out), to `samples` / 2
 * bytes. */
void rw_g722_encode(rw_g722 *state, const int16_t *pcm, size_t samples, uint8_t *payload);

/* Decodes `bytes` to twice as many samples. */
void rw_g722_decode(rw_g722 *state, const uint8_t *payload, size_t bytes, int16_t *pcm);

#endif
