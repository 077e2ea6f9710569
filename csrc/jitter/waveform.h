/* Sound that is made of sound: periods, cross-fades, concealment. Private to the jitter buffer. */
#ifndef RW_JITTER_WAVEFORM_H
#define RW_JITTER_WAVEFORM_H

#include <stddef.h>
#include <stdint.h>

#define RW_WAVEFORM_MAX_PER_MS 16
/* What rw_concealer_begin() reads before the end of the sound. */
#define RW_WAVEFORM_HISTORY_MS 40
/* Periods of voices (400 Hz down to 67 Hz). */
#define RW_WAVEFORM_MIN_PERIOD_MS 2
#define RW_WAVEFORM_MAX_PERIOD_MS 15
/* Then concealment has faded to silence. */
#define RW_WAVEFORM_CONCEAL_MS 60

/* The period, from `shortest` to `longest`, at which the `window` samples at `at` are most like
 * those before them; `longest` samples can be read before `at`. `likeness` is their correlation, 0
 * to 1; 1 for digital silence. */
size_t rw_waveform_period(const int16_t *at, size_t window, size_t shortest, size_t longest,
                          float *likeness);

/* Fades over from one sound to another; `to` may be either. */
void rw_waveform_fade(const int16_t *out, const int16_t *in, int16_t *to, size_t samples);

/* Mean square of the samples. */
float rw_waveform_power(const int16_t *pcm, size_t samples);

/* Fades concealment out, of which `made` samples were there before these: none is heard after
 * RW_WAVEFORM_CONCEAL_MS. */
void rw_waveform_weaken(int16_t *pcm, size_t samples, uint32_t made, uint32_t per_ms);

/* Goes on with a sound by repeating its last period. */
typedef struct rw_concealer {
    uint16_t period;
    uint16_t phase; /* next sample of `cycle` */
    int16_t step;   /* that the sound would make where the first repetition begins */
    uint16_t left;  /* samples over which the step is smoothed */
    int16_t cycle[RW_WAVEFORM_MAX_PERIOD_MS * RW_WAVEFORM_MAX_PER_MS];
} rw_concealer;

/* Begins behind the sound that ends at `end`, RW_WAVEFORM_HISTORY_MS of it. */
void rw_concealer_begin(rw_concealer *concealer, const int16_t *end, uint32_t per_ms);

void rw_concealer_fill(rw_concealer *concealer, int16_t *pcm, size_t samples);

#endif
