/*
 * DTMF in the sound itself (ITU-T Q.23): finding digits by the limits of Q.24, and making them.
 *
 * The detector. A Goertzel filter for each of the eight frequencies gives a complex amplitude every
 * 4 ms. Four of these, weighted by a raised cosine, are a window of 16 ms that moves on by 4 ms; a
 * window holds a digit if one row and one column
 *   - are both louder than -27.5 dBm0 (Q.24: 0 to -25 is heard; NTT's limit of -29 is not),
 *   - differ by no more than 11 dB with the row louder, 5.5 dB with the column louder (AT&T's
 *     figures of Q.24 Annex A are 8 and 4; a tone at the edge of its tolerance looks 1 dB weaker,
 *     and a loud one spills over into a weak one by up to -22 dB),
 *   - have at least 60 % of all energy there is.
 * A digit begins after 7 windows in a row, if their mean share of the energy is 75 % and the
 * phase's turn from window to window says that both frequencies are within 2.5 % + 1 Hz (Q.24:
 * 1.5 % + 2 Hz is heard, 3.5 % is not): tones of 35 ms are always long enough, those of 24 ms
 * never. A voice has its fundamental and harmonics elsewhere, the second harmonics of both tones
 * among them, so its share is less. The worst digit of Q.24 has 79 %, and 38 minutes of speech hold
 * a few places with up to 69 %: hence 75. It is over after 7 windows without it: breaks up to
 * 14 ms are bridged, pauses from 30 ms on separate. So a start is told about 45 ms after it.
 *
 * 0 dBm0 is the level of a sine 3.14 dB below full scale (G.711). No allocation, no clock: time is
 * counted in samples. The state is the caller's, and one thread uses it at a time.
 */
#ifndef RW_DTMF_H
#define RW_DTMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digit.h"

#define RW_DTMF_GROUP 4 /* frequencies of the rows, and of the columns */
#define RW_DTMF_STEPS 4 /* steps of 4 ms in a window */

/* News that a block of up to 60 ms can hold: between two starts lie 28 ms. */
#define RW_DTMF_ROOM 6

/* Amplitudes at the four frequencies of a group. */
typedef struct rw_dtmf_amplitudes {
    float re[RW_DTMF_GROUP];
    float im[RW_DTMF_GROUP];
} rw_dtmf_amplitudes;

typedef struct rw_dtmf_group {
    float cosine[RW_DTMF_GROUP]; /* of the turn in one sample */
    float sine[RW_DTMF_GROUP];
    float s1[RW_DTMF_GROUP]; /* the filters' last state and the one before */
    float s2[RW_DTMF_GROUP];
    rw_dtmf_amplitudes steps[RW_DTMF_STEPS]; /* a ring */
    float turn_re;                           /* the candidate's turn from window to window */
    float turn_im;
    float before_re; /* its amplitude in the window before */
    float before_im;
} rw_dtmf_group;

typedef struct rw_dtmf_detector {
    rw_dtmf_group rows;
    rw_dtmf_group columns;
    float energies[RW_DTMF_STEPS];
    float share; /* of the candidate in all energy, mean */
    uint64_t energy;
    uint32_t step;         /* steps heard or lost up to now; wraps */
    uint32_t first_step;   /* of the candidate */
    uint32_t sounds_since; /* first and last step of the digit that sounds */
    uint32_t sounds_until;
    uint16_t step_samples;
    uint16_t filled_samples; /* of the step that is being filled */
    uint16_t lost_steps;     /* nobody knows what was in them */
    uint8_t filled_steps;    /* of the window */
    uint8_t windows;         /* in a row that held the candidate */
    uint8_t missed;          /* windows in a row without the digit that sounds */
    char candidate;          /* 0 if there is none */
    char sounding;           /* 0 while no digit sounds */
} rw_dtmf_detector;

/* -EINVAL for rates other than 8000 and 16000. */
int rw_dtmf_detector_init(rw_dtmf_detector *detector, uint32_t sample_rate_hz);

/* Hears the next samples, any number of them, and writes what began and ended to `digits`; returns
 * how many. What finds no room is not told: RW_DTMF_ROOM is enough for 60 ms. */
size_t rw_dtmf_detector_hear(rw_dtmf_detector *detector, const int16_t *pcm, size_t samples,
                             rw_digit *digits, size_t room);

/* Samples are missing here. A digit that sounds before and after goes on; true if it ended,
 * because too much is missing or a pause had begun. */
bool rw_dtmf_detector_gap(rw_dtmf_detector *detector, size_t samples, rw_digit *ended);

/* An oscillator: y[n] = turn * y[n - 1] - y[n - 2]. */
typedef struct rw_dtmf_oscillator {
    double turn;
    double y1;
    double y2;
} rw_dtmf_oscillator;

/* A digit to be sent as sound, and the pause after it. */
typedef struct rw_dtmf_tone {
    rw_dtmf_oscillator row;
    rw_dtmf_oscillator column;
    uint32_t on_samples; /* still to come */
    uint32_t off_samples;
} rw_dtmf_tone;

/* What networks expect: the column 2 dB louder, because lines take more of it (ETSI ES 201 235). */
#define RW_DTMF_ROW_DBM0 (-9)
#define RW_DTMF_COLUMN_DBM0 (-7)
#define RW_DTMF_MIN_DBM0 (-60)

/* -EINVAL for what is no digit, another rate than 8000 or 16000, or a level outside
 * RW_DTMF_MIN_DBM0 to 0. */
int rw_dtmf_tone_start(rw_dtmf_tone *tone, char symbol, uint16_t on_ms, uint16_t off_ms,
                       int row_dbm0, int column_dbm0, uint32_t sample_rate_hz);

/* Writes the next samples to `pcm`; returns how many, fewer than `samples` only at the end. Two
 * tones at 0 dBm0 are louder than full scale, and clipped. */
size_t rw_dtmf_tone_fill(rw_dtmf_tone *tone, int16_t *pcm, size_t samples);

#endif
