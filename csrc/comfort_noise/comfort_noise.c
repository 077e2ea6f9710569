#include "comfort_noise/comfort_noise.h"

#include <math.h>
#include <string.h>

#define LEVEL_MASK 0x7f /* the highest bit means nothing (RFC 3389 section 3.1) */
#define OVERLOAD 32768.0
/* Quantized coefficients: 258 * (index - 127) on the scale of 2^-15 (RFC 3389 section 3.2). */
#define COEFFICIENT_STEP (258.0f / 32768.0f)
#define COEFFICIENT_ZERO 127
#define COEFFICIENT_NONE 255
/* The sum of four numbers that are uniform over 16 bits has this deviation: sqrt(4 / 12) * 2^16. */
#define DICE_DEVIATION 37837.2f

void rw_comfort_noise_init(rw_comfort_noise *noise, uint64_t seed) {
    memset(noise, 0, sizeof(*noise));
    noise->random = seed * 2 + 1; /* xorshift must not start at zero */
}

/* The filter amplifies power by 1 / prod(1 - k^2): what goes in is weaker by that. */
static float excitation_of(const rw_comfort_noise *noise, unsigned level) {
    double power = pow(OVERLOAD, 2) * pow(10, -(double)level / 10);
    for (uint32_t i = 0; i < noise->order; i++)
        power *= 1 - (double)noise->reflection[i] * (double)noise->reflection[i];
    return (float)sqrt(power);
}

rw_comfort_noise_reject rw_comfort_noise_read(rw_comfort_noise *noise, const uint8_t *payload,
                                              size_t bytes) {
    if (bytes == 0) return RW_COMFORT_NOISE_EMPTY;
    size_t order = bytes - 1;
    if (order > RW_COMFORT_NOISE_MAX_ORDER) order = RW_COMFORT_NOISE_MAX_ORDER;
    if (memchr(payload + 1, COEFFICIENT_NONE, order)) return RW_COMFORT_NOISE_BAD_COEFFICIENT;
    noise->order = (uint32_t)order;
    for (size_t i = 0; i < order; i++)
        noise->reflection[i] = COEFFICIENT_STEP * (float)(payload[1 + i] - COEFFICIENT_ZERO);
    noise->excitation = excitation_of(noise, payload[0] & LEVEL_MASK);
    return RW_COMFORT_NOISE_OK;
}

/* A number near to normally distributed, of deviation 1 (xorshift64*, its four 16-bit parts). */
static float roll(uint64_t *random) {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    uint64_t dice = *random * 2685821657736338717u;
    int sum = 0;
    for (int shift = 0; shift < 64; shift += 16)
        sum += (int)(dice >> shift & 0xffff) - 0x8000;
    return (float)sum / DICE_DEVIATION;
}

/* One step of the all-pole lattice: stable for any coefficients below 1. The sign is that of the
 * G.711 Appendix II decoder: 1 + k1 z^-1 is the denominator of first order. */
static float filter(rw_comfort_noise *noise, float forward) {
    float *backward = noise->backward;
    for (uint32_t i = noise->order; i > 0; i--) {
        float k = noise->reflection[i - 1];
        forward -= k * backward[i - 1];
        backward[i] = backward[i - 1] + k * forward;
    }
    backward[0] = forward;
    return forward;
}

static int16_t to_int16(float value) {
    if (value >= INT16_MAX) return INT16_MAX;
    if (value <= INT16_MIN) return INT16_MIN;
    return (int16_t)lrintf(value);
}

void rw_comfort_noise_generate(rw_comfort_noise *noise, int16_t *pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = to_int16(filter(noise, noise->excitation * roll(&noise->random)));
}
