"""cffi binding of C internals for property tests (Hypothesis); not part of an ordinary install."""

from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = str(ROOT / "build" / "meson" / "libringwheel.a")

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

    typedef struct rw_rtp_header {
        bool marker; uint8_t payload_type; uint16_t sequence; uint32_t timestamp; uint32_t ssrc;
    } rw_rtp_header;
    typedef struct rw_rtp_packet {
        rw_rtp_header header; const uint8_t *payload; size_t payload_bytes;
    } rw_rtp_packet;
    typedef enum {
        RW_RTP_OK, RW_RTP_TOO_SHORT, RW_RTP_BAD_VERSION, RW_RTP_BAD_CSRC, RW_RTP_BAD_EXTENSION,
        RW_RTP_BAD_PADDING, ...
    } rw_rtp_reject;
    rw_rtp_reject rw_rtp_parse(const uint8_t *datagram, size_t bytes, rw_rtp_packet *packet);

    typedef struct rw_histogram { ...; } rw_histogram;
    void rw_histogram_add(rw_histogram *histogram, uint64_t value, uint64_t times);
    uint64_t rw_histogram_total(const rw_histogram *histogram);
    uint64_t rw_histogram_quantile(const rw_histogram *histogram, double fraction);
    uint64_t rw_histogram_max(const rw_histogram *histogram);

    typedef struct rw_ring rw_ring;
    rw_ring *rw_ring_create(size_t capacity, size_t element_bytes);
    void rw_ring_destroy(rw_ring *ring);
    int rw_ring_push(rw_ring *ring, const void *element);
    int rw_ring_pop(rw_ring *ring, void *element);
    bool rw_ring_empty(const rw_ring *ring);

    typedef struct rw_prompt rw_prompt;
    rw_prompt *rw_prompt_create(const uint8_t *payload, size_t bytes);
    void rw_prompt_release(rw_prompt *prompt);

    typedef enum {
        RW_PLAY_FINISHED, RW_PLAY_STOPPED, RW_PLAY_REPLACED, RW_PLAY_LEG_CLOSED
    } rw_play_outcome;
    typedef struct rw_playlist {
        uint64_t play_id; uint64_t played_bytes; rw_play_outcome outcome; ...;
    } rw_playlist;
    typedef struct rw_playlist_queue { rw_playlist *first; ...; } rw_playlist_queue;
    void rw_playlist_queue_init(rw_playlist_queue *queue);
    void rw_playlist_queue_push(rw_playlist_queue *queue, rw_playlist *playlist);
    rw_playlist *rw_playlist_queue_pop(rw_playlist_queue *queue);
    rw_playlist *rw_playlist_create(uint64_t play_id, rw_prompt *const *prompts, size_t count,
                                    bool loop);
    void rw_playlist_destroy(rw_playlist *playlist);
    size_t rw_playlist_read(rw_playlist *playlist, uint8_t *to, size_t bytes);
    bool rw_playlist_ended(const rw_playlist *playlist);

    typedef enum { RW_SILENCE_STOP, RW_SILENCE_SEND } rw_silence_policy;
    typedef struct rw_leg_media {
        uint32_t clock_rate_hz; uint8_t payload_type; uint8_t ptime_ms; uint8_t bytes_per_ts;
        uint8_t silence; bool send; ...;
    } rw_leg_media;
    typedef struct rw_leg_config {
        rw_leg_media media; rw_silence_policy silence_policy; int fd; uint32_t ssrc;
        uint32_t first_timestamp; uint16_t first_sequence;
    } rw_leg_config;
    typedef struct rw_leg {
        uint64_t due_tick; bool paused; rw_playlist_queue playing; ...;
    } rw_leg;
    void rw_leg_init(rw_leg *leg, const rw_leg_config *config, uint64_t id, uint64_t due_tick);
    void rw_leg_set_media(rw_leg *leg, const rw_leg_media *media);
    bool rw_leg_has_output(const rw_leg *leg);
    uint64_t rw_leg_skip_to(rw_leg *leg, uint64_t tick);
    size_t rw_leg_compose(rw_leg *leg, uint8_t *packet, rw_playlist_queue *ended);
    void rw_leg_clear_queue(rw_leg *leg, rw_play_outcome outcome, rw_playlist_queue *ended);

    typedef enum { RW_VAD_LOW, RW_VAD_MEDIUM, RW_VAD_HIGH } rw_vad_sensitivity;
    typedef struct rw_vad_config {
        uint32_t sample_rate_hz; uint32_t hangover_ms; rw_vad_sensitivity sensitivity;
    } rw_vad_config;
    typedef enum { RW_VAD_NONE, RW_VAD_START, RW_VAD_END } rw_vad_kind;
    typedef struct rw_vad_event {
        rw_vad_kind kind; uint32_t duration_ms; int8_t level_dbov; int8_t noise_dbov;
    } rw_vad_event;
    typedef struct rw_vad { ...; } rw_vad;
    int rw_vad_init(rw_vad *vad, const rw_vad_config *config);
    int rw_vad_hear(rw_vad *vad, const int16_t *pcm, size_t samples, rw_vad_event *event);
    void rw_vad_gap(rw_vad *vad, uint32_t ms, rw_vad_event *event);
    void rw_vad_sent(rw_vad *vad, int level_dbov);
    bool rw_vad_speaking(const rw_vad *vad);
    int8_t rw_vad_level(const int16_t *pcm, size_t samples);
    """
)
ffi.set_source(
    "ringwheel._testcore",
    """
    #include "histogram/histogram.h"
    #include "leg/leg.h"
    #include "prompt/prompt.h"
    #include "ring/ring.h"
    #include "rtp/rtp.h"
    #include "vad/vad.h"
    #include "wheel/wheel.h"
    """,
    include_dirs=[str(ROOT / "csrc")],
    extra_objects=[LIBRARY],
    depends=[LIBRARY],  # else an edit in C leaves the tests with what it was before
    libraries=["pthread", "m"],
)
