# Declarations of the C core. Included text, not a .pxd: Cython looks for a .pxd by package name
# and does not find it while the repository root is the package.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "g711/g711.h" nogil:
    void rw_g711_ulaw_encode(const int16_t *samples, size_t count, uint8_t *codes)
    void rw_g711_ulaw_decode(const uint8_t *codes, size_t count, int16_t *samples)
    void rw_g711_alaw_encode(const int16_t *samples, size_t count, uint8_t *codes)
    void rw_g711_alaw_decode(const uint8_t *codes, size_t count, int16_t *samples)

cdef extern from "wheel/wheel.h" nogil:
    ctypedef struct rw_timer:
        uint64_t deadline_tick
    ctypedef struct rw_wheel:
        uint64_t now_tick
        size_t armed
    uint64_t RW_WHEEL_NEVER
    void rw_wheel_init(rw_wheel *wheel, uint64_t now_tick)
    void rw_wheel_arm(rw_wheel *wheel, rw_timer *timer, uint64_t deadline_tick)
    bint rw_wheel_cancel(rw_wheel *wheel, rw_timer *timer)
    bint rw_timer_armed(const rw_timer *timer)
    void rw_wheel_advance(rw_wheel *wheel, uint64_t now_tick)
    rw_timer *rw_wheel_pop_due(rw_wheel *wheel)
    uint64_t rw_wheel_next_tick(const rw_wheel *wheel)
