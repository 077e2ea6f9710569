/* Small things that every module of libringwheel uses. */
#ifndef RW_BASE_H
#define RW_BASE_H

#include <stddef.h>
#include <stdint.h>

/* The structure of type `type` whose member `member` is at `pointer`. */
#define RW_CONTAINER_OF(pointer, type, member)                                                     \
    ((type *)((char *)(pointer) - offsetof(type, member)))

#define RW_CACHE_LINE_BYTES 64

#define RW_LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Big-endian (network order) loads and stores at any alignment. */
static inline uint16_t rw_load_be16(const uint8_t *from) {
    return (uint16_t)((from[0] << 8) | from[1]);
}

static inline uint32_t rw_load_be32(const uint8_t *from) {
    return ((uint32_t)rw_load_be16(from) << 16) | rw_load_be16(from + 2);
}

static inline void rw_store_be16(uint8_t *to, uint16_t value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static inline void rw_store_be32(uint8_t *to, uint32_t value) {
    rw_store_be16(to, (uint16_t)(value >> 16));
    rw_store_be16(to + 2, (uint16_t)value);
}

#endif
