# Digits as tones. Samples: contiguous int16.

cdef extern from "dtmf/dtmf.h" nogil:
    int RW_DTMF_ROW_DBM0
    int RW_DTMF_COLUMN_DBM0
    ctypedef struct rw_dtmf_tone:
        pass
    int rw_dtmf_tone_start(
        rw_dtmf_tone *tone, char symbol, uint16_t on_ms, uint16_t off_ms, int row_dbm0,
        int column_dbm0, uint32_t sample_rate_hz)
    size_t rw_dtmf_tone_fill(rw_dtmf_tone *tone, int16_t *pcm, size_t samples)


def dial_tones(str digits not None, uint16_t on_ms, uint16_t off_ms, uint32_t sample_rate_hz):
    """Digits as sound (ITU-T Q.23), an int16 array. OSError EINVAL: no digit, or another rate than
    8000 or 16000."""
    cdef rw_dtmf_tone tone
    cdef size_t samples = (on_ms + off_ms) * sample_rate_hz // 1000, at = 0
    pcm = np.zeros(samples * len(digits), np.int16)
    cdef int16_t[::1] to = pcm
    for symbol in digits.encode("ascii", "replace"):
        raise_errno(rw_dtmf_tone_start(
            &tone, symbol, on_ms, off_ms, RW_DTMF_ROW_DBM0, RW_DTMF_COLUMN_DBM0, sample_rate_hz))
        rw_dtmf_tone_fill(&tone, &to[at], samples)
        at += samples
    return pcm
