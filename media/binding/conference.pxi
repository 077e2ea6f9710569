# Room: where the legs of one shard hear each other.


cdef class Room:
    """A conference for up to ``max_members`` legs, mixed at ``sample_rate_hz``.

    It belongs to the shard of the leg that joins first. See ``csrc/conference/conference.h``.
    OSError EINVAL: not a rate, or too many members.
    """

    cdef rw_conference *conference
    cdef object shard

    def __cinit__(self, uint32_t sample_rate_hz, uint32_t max_members):
        raise_errno(rw_conference_create(sample_rate_hz, max_members, &self.conference))

    def __dealloc__(self):
        rw_conference_release(self.conference)
