"""cffi binding of C internals for property tests (Hypothesis); not part of an ordinary install."""

from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]

ffi = FFI()
ffi.cdef(
    """
    typedef struct rw_timer { uint64_t deadline_tick; ...; } rw_timer;
    typedef struct rw_wheel { uint64_t now_tick; size_t armed; ...; } rw_wheel;
    void rw_wheel_init(rw_wheel *wheel, uint64_t now_tick);
    void rw_wheel_arm(rw_wheel *wheel, rw_timer *timer, uint64_t deadline_tick);
    bool rw_wheel_cancel(rw_wheel *wheel, rw_timer *timer);
    void rw_wheel_advance(rw_wheel *wheel, uint64_t now_tick);
    rw_timer *rw_wheel_pop_due(rw_wheel *wheel);
    uint64_t rw_wheel_next_tick(const rw_wheel *wheel);
    int rw_wheel_check(const rw_wheel *wheel);

    typedef ... rw_prompt;
    typedef struct rw_playlist { uint64_t played_bytes; ...; } rw_playlist;
    rw_prompt *rw_prompt_create(const uint8_t *payload, size_t bytes);
    void rw_prompt_release(rw_prompt *prompt);
    rw_playlist *rw_playlist_create(uint64_t play_id, rw_prompt *const *prompts, size_t count,
                                    bool loop);
    void rw_playlist_destroy(rw_playlist *playlist);
    size_t rw_playlist_read(rw_playlist *playlist, uint8_t *to, size_t bytes);

    typedef struct rw_rtp_header {
        bool marker; uint8_t payload_type; uint16_t sequence; uint32_t timestamp; uint32_t ssrc;
    } rw_rtp_header;
    typedef struct rw_rtp_packet {
        rw_rtp_header header; const uint8_t *payload; size_t payload_bytes;
    } rw_rtp_packet;
    int rw_rtp_parse(const uint8_t *datagram, size_t bytes, rw_rtp_packet *packet);

    typedef struct rw_histogram { ...; } rw_histogram;
    void rw_histogram_add(rw_histogram *histogram, uint64_t value, uint64_t times);
    uint64_t rw_histogram_quantile(const rw_histogram *histogram, double fraction);

    typedef ... rw_ring;
    rw_ring *rw_ring_create(size_t capacity, size_t element_bytes);
    void rw_ring_destroy(rw_ring *ring);
    int rw_ring_push(rw_ring *ring, const void *element);
    int rw_ring_pop(rw_ring *ring, void *element);
    """
)
ffi.set_source(
    "ringwheel._testcore",
    """
    #include "histogram/histogram.h"
    #include "prompt/prompt.h"
    #include "ring/ring.h"
    #include "rtp/rtp.h"
    #include "wheel/wheel.h"
    """,
    include_dirs=[str(ROOT / "csrc")],
    extra_objects=[str(ROOT / "build" / "meson" / "libringwheel.a")],
    libraries=["pthread", "m"],
)
