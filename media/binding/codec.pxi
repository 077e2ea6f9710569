# The C core's table of codecs, over whole arrays. Samples: contiguous int16; payload: bytes or any
# contiguous uint8 buffer.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize


def codec_table() -> list:
    """What is built in, by index: label, name, payload type (-1: dynamic), clock rate in Hz, sample
    rate in Hz, payload bytes per RTP timestamp unit (0: packets are not cut), silence byte, whether
    it adapts to what came before, samples by which what is decoded lies behind."""
    cdef const rw_codec *codec
    table = []
    for i in range(rw_codec_count()):
        codec = rw_codec_at(i)
        table.append((
            codec.label.decode(), codec.name.decode(), codec.payload_type, codec.clock_rate_hz,
            codec.sample_rate_hz, codec.bytes_per_ts, codec.silence, codec.create_encoder != NULL,
            codec.delay_samples,
        ))
    return table


cdef const rw_codec *codec_at(size_t index) except NULL:
    cdef const rw_codec *codec = rw_codec_at(index)
    if codec == NULL:
        raise IndexError(f"there is no codec {index}")
    return codec


cdef class CodecEncoder:
    """Encodes one stream with the codec at ``index`` of the table; ``stored``: not live sound, but
    what is kept to be played."""

    cdef const rw_codec *codec
    cdef void *state

    def __cinit__(self, size_t index, bint stored=False):
        self.codec = codec_at(index)
        cdef int error
        if stored:
            error = rw_codec_create_prompt_encoder(self.codec, &self.state)
        else:
            error = rw_codec_create_encoder(self.codec, &self.state)
        if error < 0:
            raise MemoryError()

    def __dealloc__(self):
        rw_codec_destroy_state(self.state)

    def encode(self, const int16_t[::1] samples, Py_ssize_t room_bytes) -> bytes:
        """The payload of the next samples, at most ``room_bytes`` long; empty if it would not fit, or
        if the codec has no packets of that many samples."""
        cdef size_t count = samples.shape[0], made = 0
        cdef bytes payload = PyBytes_FromStringAndSize(NULL, room_bytes)
        cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(payload)
        if count:
            with nogil:
                made = self.codec.encode(self.state, &samples[0], count, to, room_bytes)
        return payload if made == <size_t>room_bytes else payload[:made]


cdef class CodecDecoder:
    """Decodes one stream with the codec at ``index`` of the table."""

    cdef const rw_codec *codec
    cdef void *state

    def __cinit__(self, size_t index):
        self.codec = codec_at(index)
        if rw_codec_create_decoder(self.codec, &self.state) < 0:
            raise MemoryError()

    def __dealloc__(self):
        rw_codec_destroy_state(self.state)

    def decode(self, const uint8_t[::1] payload, int16_t[::1] samples) -> int:
        """Write the samples of ``payload``, as many as there is room for; returns how many."""
        cdef size_t count = payload.shape[0], room = samples.shape[0], made = 0
        if count and room:
            with nogil:
                made = self.codec.decode(self.state, &payload[0], count, &samples[0], room)
        return made

    def conceal(self, int16_t[::1] samples) -> int:
        """Write what may have been in a lost packet; returns how many samples, 0 if the codec has no
        way of its own."""
        cdef size_t room = samples.shape[0]
        if self.codec.conceal == NULL or not room:
            return 0
        with nogil:
            room = self.codec.conceal(self.state, &samples[0], room)
        return room
