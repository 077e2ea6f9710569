/*
 * L16: 16-bit linear samples in network byte order (RFC 3551 section 4.5.11).
 *
 * No state, no failure. The arrays belong to the caller and do not overlap; `payload` is of any
 * alignment and holds two bytes a sample.
 */
#ifndef RW_L16_H
#define RW_L16_H

#include <stddef.h>
#include <stdint.h>

void rw_l16_encode(const int16_t *pcm, size_t samples, uint8_t *payload);
void rw_l16_decode(const uint8_t *payload, size_t samples, int16_t *pcm);

#endif
