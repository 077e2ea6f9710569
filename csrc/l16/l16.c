#include "l16/l16.h"

#include "base/base.h"

void rw_l16_encode(const int16_t *pcm, size_t samples, uint8_t *payload) {
    for (size_t i = 0; i < samples; i++)
        rw_store_be16(payload + 2 * i, (uint16_t)pcm[i]);
}

void rw_l16_decode(const uint8_t *payload, size_t samples, int16_t *pcm) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)rw_load_be16(payload + 2 * i);
}
