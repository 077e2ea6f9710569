/*
 * Comfort noise (RFC 3389): reads the payload that a peer sends in place of silence, and makes
 * noise of that level and colour.
 *
 * One state for each stream. No clock, no allocation.
 */
#ifndef RW_COMFORT_NOISE_H
#define RW_COMFORT_NOISE_H

#include <stddef.h>
#include <stdint.h>

/* The model order kept; coefficients of higher order count as zero (RFC 3389 section 3). */
#define RW_COMFORT_NOISE_MAX_ORDER 12

typedef struct rw_comfort_noise {
    uint64_t random;
    float excitation; /* amplitude of the white noise that is filtered */
    uint32_t order;
    float reflection[RW_COMFORT_NOISE_MAX_ORDER];
    float backward[RW_COMFORT_NOISE_MAX_ORDER + 1]; /* the lattice's delayed values */
} rw_comfort_noise;

/* Why a payload is no comfort noise. */
typedef enum rw_comfort_noise_reject {
    RW_COMFORT_NOISE_OK,
    RW_COMFORT_NOISE_EMPTY,
    RW_COMFORT_NOISE_BAD_COEFFICIENT, /* 255 is the index of no coefficient */
    RW_COMFORT_NOISE_REJECTS
} rw_comfort_noise_reject;

/* Silent until the first payload. Streams with different seeds sound different. */
void rw_comfort_noise_init(rw_comfort_noise *noise, uint64_t seed);

/* Takes level and colour from `payload`; what is refused changes nothing. */
rw_comfort_noise_reject rw_comfort_noise_read(rw_comfort_noise *noise, const uint8_t *payload,
                                              size_t bytes);

/* Writes the next `samples` of the noise, at whatever rate the stream has. */
void rw_comfort_noise_generate(rw_comfort_noise *noise, int16_t *pcm, size_t samples);

#endif
