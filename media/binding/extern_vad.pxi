# Declarations of vad/vad.h.

from libc.stdint cimport int8_t

cdef extern from "vad/vad.h" nogil:
    ctypedef enum rw_vad_sensitivity:
        RW_VAD_LOW
        RW_VAD_MEDIUM
        RW_VAD_HIGH
    ctypedef enum rw_vad_kind:
        RW_VAD_NONE
        RW_VAD_START
        RW_VAD_END
    ctypedef struct rw_vad_config:
        uint32_t sample_rate_hz
        uint32_t hangover_ms
        rw_vad_sensitivity sensitivity
    ctypedef struct rw_vad_event:
        rw_vad_kind kind
        uint32_t duration_ms
        int8_t level_dbov
        int8_t noise_dbov
    ctypedef struct rw_vad:
        pass
    int rw_vad_init(rw_vad *vad, const rw_vad_config *config)
    int rw_vad_hear(rw_vad *vad, const int16_t *pcm, size_t samples, rw_vad_event *event)
    void rw_vad_gap(rw_vad *vad, uint32_t ms, rw_vad_event *event)
    void rw_vad_sent(rw_vad *vad, int level_dbov)
    bint rw_vad_speaking(const rw_vad *vad)
    int8_t rw_vad_level(const int16_t *pcm, size_t samples)
