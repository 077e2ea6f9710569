#include "g722/g722.h"

#include <stdbool.h>
#include <string.h>

#include "base/base.h"

/* Names in capitals are those of the Recommendation's blocks (G.722 section 6.2). Its arithmetic
 * is 16-bit: products keep the upper bits, sums saturate. */

#define LOW_LIMIT (-16384)
#define HIGH_LIMIT 16383
#define LOW_INITIAL_STEP 32
#define HIGH_INITIAL_STEP 8
#define LOW_LOG_STEP_MAX 18432
#define HIGH_LOG_STEP_MAX 22528
#define LOW_STEP_SHIFT 8
#define HIGH_STEP_SHIFT 10
#define HIGH_DECISION 564

/* Every second coefficient of the quadrature mirror filter; the others are these backwards (table
 * 11). */
static const int16_t qmf[RW_G722_TAPS / 2] = {3,    -11,  12,  32,   -210, 951,
                                              3876, -805, 362, -156, 53,   -11};

/* Antilogarithm of the step size, 2048 * 2^(n/32) (ILB, table 15). */
static const int16_t antilog[32] = {
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
};

/* Decision levels of the 6-bit quantizer (Q6, table 14); 0 is never reached. */
static const int16_t decisions6[30] = {
    0,   35,  72,  110, 150,  190,  233,  276,  323,  370,  422,  473,  530,  587,  650,
    714, 786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
};

/* Output levels of the three inverse quantizers by code (QM6, QM4, QM2). */
static const int16_t levels6[64] = {
    -136,   -136,   -136,  -136,  -24808, -21904, -19008, -16704, -14984, -13512, -12280,
    -11192, -10232, -9360, -8576, -7856,  -7192,  -6576,  -6000,  -5456,  -4944,  -4464,
    -4008,  -3576,  -3168, -2776, -2400,  -2032,  -1688,  -1360,  -1040,  -728,   24808,
    21904,  19008,  16704, 14984, 13512,  12280,  11192,  10232,  9360,   8576,   7856,
    7192,   6576,   6000,  5456,  4944,   4464,   4008,   3576,   3168,   2776,   2400,
    2032,   1688,   1360,  1040,  728,    432,    136,    -432,   -136,
};
static const int16_t levels4[16] = {0,     -20456, -12896, -8968, -6288, -4240, -2584, -1200,
                                    20456, 12896,  8968,   6288,  4240,  2584,  1200,  0};
static const int16_t levels2[4] = {-7408, -1616, 7408, 1616};

/* How a code moves the logarithm of the step (WL over RL42, WH over IH2). */
static const int16_t low_moves[16] = {-60,  3042, 1198, 538, 334, 172, 58,  -30,
                                      3042, 1198, 538,  334, 172, 58,  -30, -60};
static const int16_t high_moves[4] = {798, -214, 798, -214};

static int saturate(int value) {
    return value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value;
}

static int clamp(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

/* The product of two fractions of 15 bits. */
static int times(int a, int b) {
    return (a * b) >> 15;
}

static bool same_sign(int a, int b) {
    return (a < 0) == (b < 0);
}

static void band_init(rw_g722_band *band, int step) {
    memset(band, 0, sizeof(*band));
    band->step = (int16_t)step;
}

void rw_g722_init(rw_g722 *state) {
    band_init(&state->low, LOW_INITIAL_STEP);
    band_init(&state->high, HIGH_INITIAL_STEP);
    memset(state->history, 0, sizeof(state->history));
}

/* LOGSCL and SCALEL, or LOGSCH and SCALEH: the step size for the next sample. */
static void adapt_step(rw_g722_band *band, int move, int log_max, int shift) {
    int log_step = clamp(((band->log_step * 127) >> 7) + move, 0, log_max);
    int down = shift - (log_step >> 11);
    int step = antilog[(log_step >> 6) & 31];
    band->log_step = (int16_t)log_step;
    band->step = (int16_t)((down < 0 ? step << -down : step >> down) << 2);
}

/* UPPOL2 and UPPOL1: the pole coefficients, held within the triangle of stability. */
static void adapt_poles(rw_g722_band *band) {
    const int16_t *p = band->p;
    int turn = saturate(4 * band->a[1]);
    turn = same_sign(p[0], p[1]) ? -turn : turn;
    int a2 = (saturate(turn) >> 7) + (same_sign(p[0], p[2]) ? 128 : -128);
    a2 = clamp(a2 + times(band->a[2], 32512), -12288, 12288);
    int a1 = (same_sign(p[0], p[1]) ? 192 : -192) + times(band->a[1], 32640);
    int limit = 15360 - a2;
    band->a[1] = (int16_t)clamp(a1, -limit, limit);
    band->a[2] = (int16_t)a2;
}

/* UPZERO: the zero coefficients. */
static void adapt_zeros(rw_g722_band *band) {
    int pull = band->d[0] ? 128 : 0;
    for (int i = 1; i < 7; i++) {
        int move = same_sign(band->d[i], band->d[0]) ? pull : -pull;
        band->b[i] = (int16_t)saturate(move + times(band->b[i], 32640));
    }
}

/* FILTEP, FILTEZ and PREDIC: the estimate for the next sample, after DELAYA. */
static void predict(rw_g722_band *band) {
    int poles = saturate(times(band->a[1], saturate(2 * band->r[1])) +
                         times(band->a[2], saturate(2 * band->r[2])));
    int zeros = 0;
    for (int i = 6; i > 0; i--)
        zeros += times(band->b[i], saturate(2 * band->d[i]));
    band->zeros = (int16_t)saturate(zeros);
    band->estimate = (int16_t)saturate(poles + band->zeros);
}

/* Block 4L or 4H: takes the quantized `difference` of this sample into the predictor. */
static void adapt_predictor(rw_g722_band *band, int difference) {
    band->d[0] = (int16_t)difference;
    band->r[0] = (int16_t)saturate(band->estimate + difference);
    band->p[0] = (int16_t)saturate(band->zeros + difference);
    adapt_poles(band);
    adapt_zeros(band);
    memmove(band->d + 1, band->d, 6 * sizeof(band->d[0]));
    memmove(band->r + 1, band->r, 2 * sizeof(band->r[0]));
    memmove(band->p + 1, band->p, 2 * sizeof(band->p[0]));
    predict(band);
}

/* The lower band's predictor sees only the upper 4 bits of a code, in all three modes. */
static void adapt_low(rw_g722_band *band, int code) {
    int difference = times(band->step, levels4[code >> 2]);
    adapt_step(band, low_moves[code >> 2], LOW_LOG_STEP_MAX, LOW_STEP_SHIFT);
    adapt_predictor(band, difference);
}

static void adapt_high(rw_g722_band *band, int code) {
    int difference = times(band->step, levels2[code]);
    adapt_step(band, high_moves[code], HIGH_LOG_STEP_MAX, HIGH_STEP_SHIFT);
    adapt_predictor(band, difference);
}

/* SUBTRA and QUANTL. */
static int quantize_low(const rw_g722_band *band, int sample) {
    int error = saturate(sample - band->estimate);
    int magnitude = error < 0 ? -(error + 1) : error;
    int interval = 1;
    while (interval < (int)RW_LENGTH_OF(decisions6) &&
           magnitude >= (decisions6[interval] * band->step) >> 12)
        interval++;
    if (error >= 0) return 62 - interval;
    return interval < 3 ? 64 - interval : 34 - interval;
}

/* SUBTRA and QUANTH. */
static int quantize_high(const rw_g722_band *band, int sample) {
    int error = saturate(sample - band->estimate);
    int magnitude = error < 0 ? -(error + 1) : error;
    bool outer = magnitude >= (HIGH_DECISION * band->step) >> 12;
    return (error < 0 ? 1 : 3) - outer;
}

/* Sums of the two halves of the mirror filter over 24 samples, oldest first. */
static void filter(const int16_t *x, int *even, int *odd) {
    *even = *odd = 0;
    for (int i = 0; i < RW_G722_TAPS / 2; i++) {
        *even += x[2 * i] * qmf[i];
        *odd += x[2 * i + 1] * qmf[RW_G722_TAPS / 2 - 1 - i];
    }
}

/* Moves two new samples into the filter. */
static void push(rw_g722 *state, int older, int newer) {
    memmove(state->history, state->history + 2, (RW_G722_TAPS - 2) * sizeof(state->history[0]));
    state->history[RW_G722_TAPS - 2] = (int16_t)older;
    state->history[RW_G722_TAPS - 1] = (int16_t)newer;
}

static uint8_t encode_pair(rw_g722 *state, int older, int newer) {
    int even, odd;
    push(state, older, newer);
    filter(state->history, &even, &odd);
    int low = quantize_low(&state->low, (odd + even) >> 14);
    int high = quantize_high(&state->high, (odd - even) >> 14);
    adapt_low(&state->low, low);
    adapt_high(&state->high, high);
    return (uint8_t)(high << 6 | low);
}

static void decode_byte(rw_g722 *state, uint8_t byte, int16_t pair[2]) {
    int low_code = byte & 63, high_code = byte >> 6, even, odd;
    int low = state->low.estimate + times(state->low.step, levels6[low_code]);
    int high = state->high.estimate + times(state->high.step, levels2[high_code]);
    low = clamp(low, LOW_LIMIT, HIGH_LIMIT);
    high = clamp(high, LOW_LIMIT, HIGH_LIMIT);
    adapt_low(&state->low, low_code);
    adapt_high(&state->high, high_code);
    push(state, low + high, low - high);
    filter(state->history, &even, &odd);
    pair[0] = (int16_t)saturate(odd >> 11);
    pair[1] = (int16_t)saturate(even >> 11);
}

void rw_g722_encode(rw_g722 *state, const int16_t *pcm, size_t samples, uint8_t *payload) {
    for (size_t i = 0; i < samples / 2; i++)
        payload[i] = encode_pair(state, pcm[2 * i], pcm[2 * i + 1]);
}

void rw_g722_decode(rw_g722 *state, const uint8_t *payload, size_t bytes, int16_t *pcm) {
    for (size_t i = 0; i < bytes; i++)
        decode_byte(state, payload[i], pcm + 2 * i);
}
