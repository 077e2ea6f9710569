/* Figures that one thread writes and others may read: relaxed, so a count costs a plain add. */
#ifndef RW_ATOMIC_H
#define RW_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

static inline uint64_t rw_read(const _Atomic uint64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

static inline void rw_write(_Atomic uint64_t *value, uint64_t to) {
    atomic_store_explicit(value, to, memory_order_relaxed);
}

/* Adds in the one thread that writes `value`: not an atomic read-modify-write, and none needed. */
static inline void rw_count(_Atomic uint64_t *value, uint64_t by) {
    rw_write(value, rw_read(value) + by);
}

#endif
