# G.711 over whole arrays. Samples: contiguous int16; codes: bytes or any contiguous uint8 buffer.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

ctypedef void (*g711_encoder)(const int16_t *samples, size_t count, uint8_t *codes) noexcept nogil
ctypedef void (*g711_decoder)(const uint8_t *codes, size_t count, int16_t *samples) noexcept nogil


def ulaw_encode(const int16_t[::1] samples) -> bytes:
    """Mu-law codes of 16-bit samples, one byte a sample (ITU-T G.711)."""
    return _g711_encode(rw_g711_ulaw_encode, samples)


def alaw_encode(const int16_t[::1] samples) -> bytes:
    """A-law codes of 16-bit samples, one byte a sample (ITU-T G.711)."""
    return _g711_encode(rw_g711_alaw_encode, samples)


def ulaw_decode(const uint8_t[::1] codes, int16_t[::1] samples) -> None:
    """Write the samples of mu-law ``codes`` into ``samples``, which must be of the same length."""
    _g711_decode(rw_g711_ulaw_decode, codes, samples)


def alaw_decode(const uint8_t[::1] codes, int16_t[::1] samples) -> None:
    """Write the samples of A-law ``codes`` into ``samples``, which must be of the same length."""
    _g711_decode(rw_g711_alaw_decode, codes, samples)


cdef bytes _g711_encode(g711_encoder encode, const int16_t[::1] samples):
    cdef size_t count = samples.shape[0]
    cdef bytes codes = PyBytes_FromStringAndSize(NULL, count)
    cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(codes)
    if count:
        with nogil:
            encode(&samples[0], count, to)
    return codes


cdef int _g711_decode(
    g711_decoder decode, const uint8_t[::1] codes, int16_t[::1] samples
) except -1:
    cdef size_t count = codes.shape[0]
    if samples.shape[0] != codes.shape[0]:
        raise ValueError(f"{codes.shape[0]} codes need as many samples, not {samples.shape[0]}")
    if count:
        with nogil:
            decode(&codes[0], count, &samples[0])
    return 0
