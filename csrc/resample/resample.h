/*
 * Resampling of 16-bit mono streams between 8, 16, 24 and 48 kHz, packet by packet: one short
 * polyphase filter, for the thread that carries the call. (Prompts are resampled better, once.)
 *
 * The pass band goes to 0.43 of the lower rate (3.4 kHz of 8, 7 kHz of 16), the stop band begins at
 * 0.57 and lies 58 dB down. The delay is 14 samples of the lower rate: 1.75 ms at 8 kHz.
 */
#ifndef RW_RESAMPLE_H
#define RW_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

/* Filter reach to each side, in samples of the lower rate. */
#define RW_RESAMPLE_REACH 14
/* Rates are at most this many times apart; so many inputs does one output need at most. */
#define RW_RESAMPLE_MAX_RATIO 6
#define RW_RESAMPLE_MAX_TAPS (2 * RW_RESAMPLE_REACH * RW_RESAMPLE_MAX_RATIO + 1)
#define RW_RESAMPLE_MAX_COEFFICIENTS (RW_RESAMPLE_MAX_RATIO * (2 * RW_RESAMPLE_REACH + 1))

typedef struct rw_resampler {
    uint8_t up;   /* an input lasts so many ticks of the rates' common multiple */
    uint8_t down; /* an output lasts so many */
    uint8_t tick; /* of the next output, after the next input */
    uint8_t taps; /* 0: the rates are the same, samples pass */
    int16_t coefficients[RW_RESAMPLE_MAX_COEFFICIENTS]; /* `taps` for each phase, oldest first */
    int16_t history[RW_RESAMPLE_MAX_TAPS - 1];
} rw_resampler;

/* -EINVAL for a rate that is none of the four. */
int rw_resampler_init(rw_resampler *resampler, uint32_t from_hz, uint32_t to_hz);

/* Samples that `samples` of input give at most. */
size_t rw_resampler_room(const rw_resampler *resampler, size_t samples);

/* Takes in all of `samples`, and writes what comes of them to `to`; returns how many. What exceeds
 * `room` is dropped, so give it rw_resampler_room(). The arrays are the caller's, apart. */
size_t rw_resample(rw_resampler *resampler, const int16_t *from, size_t samples, int16_t *to,
                   size_t room);

#endif
