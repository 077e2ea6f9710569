#include "g711/g711.h"

/* Both laws: a code is a sign bit, three bits of segment and four of interval; mu-law goes on the
 * wire with every bit inverted, A-law with every even bit (G.711 tables 1 and 2). */
#define SIGN 0x80
#define ULAW_INVERT 0xff
#define ALAW_INVERT 0x55
/* Mu-law's segments are powers of two once the magnitude is moved up by this (14-bit scale). */
#define ULAW_BIAS 33
#define ULAW_MAX 8191

#define SEGMENT(code) ((code) >> 4 & 7)
#define INTERVAL(code) ((code) & 15)

/* The middle of a code's interval; 14-bit scale for mu-law, 16-bit scale for A-law. */
#define ULAW_MAGNITUDE(code) (((2 * INTERVAL(code) + ULAW_BIAS) << SEGMENT(code)) - ULAW_BIAS)
#define ALAW_MAGNITUDE(code)                                                                       \
    (SEGMENT(code) ? (16 * INTERVAL(code) + 264) << (SEGMENT(code) - 1) : 16 * INTERVAL(code) + 8)
#define WITH_SIGN(bit, magnitude) ((bit) ? (magnitude) : -(magnitude))
#define ULAW_VALUE(wire) WITH_SIGN((wire) & SIGN, 4 * ULAW_MAGNITUDE((wire) ^ ULAW_INVERT))
#define ALAW_VALUE(wire) WITH_SIGN((wire) & SIGN, ALAW_MAGNITUDE((wire) ^ ALAW_INVERT))

#define FOUR(value, at) value(at), value((at) + 1), value((at) + 2), value((at) + 3)
#define SIXTEEN(value, at)                                                                         \
    FOUR(value, at), FOUR(value, (at) + 4), FOUR(value, (at) + 8), FOUR(value, (at) + 12)
#define SIXTY_FOUR(value, at)                                                                      \
    SIXTEEN(value, at), SIXTEEN(value, (at) + 16), SIXTEEN(value, (at) + 32),                      \
        SIXTEEN(value, (at) + 48)
#define EVERY_CODE(value)                                                                          \
    SIXTY_FOUR(value, 0), SIXTY_FOUR(value, 64), SIXTY_FOUR(value, 128), SIXTY_FOUR(value, 192)

static const int16_t ulaw_values[256] = {EVERY_CODE(ULAW_VALUE)};
static const int16_t alaw_values[256] = {EVERY_CODE(ALAW_VALUE)};

/* Segment by biased 14-bit magnitude / 32. */
static const uint8_t ulaw_segments[256] = {
    [0 ... 1] = 0,   [2 ... 3] = 1,   [4 ... 7] = 2,    [8 ... 15] = 3,
    [16 ... 31] = 4, [32 ... 63] = 5, [64 ... 127] = 6, [128 ... 255] = 7,
};

/* How far a magnitude is shifted to its interval, by 12-bit magnitude / 16: A-law's segments 0 and
 * 1 have intervals of the same width, after that each is twice as wide as the one before. */
static const uint8_t alaw_shifts[128] = {
    [0 ... 1] = 0,   [2 ... 3] = 1,   [4 ... 7] = 2,    [8 ... 15] = 3,
    [16 ... 31] = 4, [32 ... 63] = 5, [64 ... 127] = 6,
};

/* -1 for a negative sample, else 0. */
static int sign_mask(int sample) {
    return sample >> 15;
}

static uint8_t ulaw_code(int sample) {
    int negative = sign_mask(sample);
    int biased = ((sample ^ negative) >> 2) + ULAW_BIAS;
    biased = biased < ULAW_MAX ? biased : ULAW_MAX;
    int segment = ulaw_segments[biased >> 5];
    int code = (segment << 4) + (biased >> (segment + 1)) - 16;
    return (uint8_t)(code ^ ULAW_INVERT ^ (negative & SIGN));
}

static uint8_t alaw_code(int sample) {
    int negative = sign_mask(sample);
    int magnitude = (sample ^ negative) >> 4;
    int shift = alaw_shifts[magnitude >> 4];
    int code = (shift << 4) + (magnitude >> shift);
    return (uint8_t)(code ^ ALAW_INVERT ^ (~negative & SIGN));
}

void rw_g711_ulaw_encode(const int16_t *samples, size_t count, uint8_t *codes) {
    for (size_t i = 0; i < count; i++)
        codes[i] = ulaw_code(samples[i]);
}

void rw_g711_ulaw_decode(const uint8_t *codes, size_t count, int16_t *samples) {
    for (size_t i = 0; i < count; i++)
        samples[i] = ulaw_values[codes[i]];
}

void rw_g711_alaw_encode(const int16_t *samples, size_t count, uint8_t *codes) {
    for (size_t i = 0; i < count; i++)
        codes[i] = alaw_code(samples[i]);
}

void rw_g711_alaw_decode(const uint8_t *codes, size_t count, int16_t *samples) {
    for (size_t i = 0; i < count; i++)
        samples[i] = alaw_values[codes[i]];
}
