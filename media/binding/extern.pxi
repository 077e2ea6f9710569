# Declarations of the C core. Included text, not a .pxd: Cython looks for a .pxd by package name
# and does not find it while the repository root is the package.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "codec/codec.h" nogil:
    ctypedef size_t (*rw_decode)(
        void *state, const uint8_t *payload, size_t bytes, int16_t *pcm, size_t room) noexcept
    ctypedef size_t (*rw_encode)(
        void *state, const int16_t *pcm, size_t samples, uint8_t *payload, size_t room) noexcept
    ctypedef size_t (*rw_conceal)(void *state, int16_t *pcm, size_t samples) noexcept
    ctypedef struct rw_codec:
        const char *name
        const char *label
        int payload_type
        uint32_t clock_rate_hz
        uint32_t sample_rate_hz
        uint8_t bytes_per_ts
        uint8_t silence
        uint16_t delay_samples
        void *(*create_encoder)() noexcept
        rw_decode decode
        rw_encode encode
        rw_conceal conceal
    size_t rw_codec_count()
    const rw_codec *rw_codec_at(size_t index)
    int rw_codec_create_decoder(const rw_codec *codec, void **state)
    int rw_codec_create_encoder(const rw_codec *codec, void **state)
    int rw_codec_create_prompt_encoder(const rw_codec *codec, void **state)
    const rw_codec *rw_codec_find(const char *name, uint32_t clock_rate_hz)
    void rw_codec_destroy_state(void *state)

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

cdef extern from "pages/pages.h" nogil:
    ctypedef struct rw_pages:
        pass
    rw_pages *rw_pages_create()
    void *rw_pages_take(rw_pages *pages, size_t bytes)
    bint rw_pages_give(rw_pages *pages, void *slot)
