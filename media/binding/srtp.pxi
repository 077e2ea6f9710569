# Keys of SRTP, as the control side hands them to a shard.

from libc.string cimport memcpy

SRTP_AVAILABLE = bool(rw_srtp_available())
SRTP_KEY_BYTES = {
    rw_srtp_suite_name(<rw_srtp_suite>suite).decode(): rw_srtp_key_bytes(<rw_srtp_suite>suite)
    for suite in range(RW_SRTP_SUITES)
}
_SUITES = tuple(SRTP_KEY_BYTES)


cdef int fill_srtp_key(
    rw_srtp_key *to, str side, const uint8_t[::1] key, size_t wanted_bytes, const uint8_t[::1] mki
) except -1:
    # The lengths are told, the bytes never: an error's text ends in a log.
    if <size_t>key.shape[0] != wanted_bytes:
        raise ValueError(f"the {side} key and salt are {key.shape[0]} bytes, not {wanted_bytes}")
    if mki.shape[0] > RW_SRTP_MAX_MKI_BYTES:
        raise ValueError(
            f"the {side} MKI is {mki.shape[0]} bytes, and {RW_SRTP_MAX_MKI_BYTES} are supported"
        )
    memcpy(to.bytes, &key[0], wanted_bytes)
    to.key_bytes = <uint8_t>wanted_bytes
    to.mki_bytes = <uint8_t>mki.shape[0]
    if to.mki_bytes:
        memcpy(to.mki, &mki[0], to.mki_bytes)
    return 0


cdef class SrtpKeys:
    """What one leg's SRTP is made of: a suite, our key, and theirs. See ``csrc/srtp/srtp.h``.

    ``suite``: its name in SDP, one of :data:`SRTP_KEY_BYTES`. ``local`` protects what we send,
    ``remote`` what we receive; each is a master key with its salt, as SDP carries them (RFC 4568
    section 6.1). Two are equal if nothing has to change from the one to the other. The bytes do
    not show, and are wiped with the object.

    ValueError: lengths or window do not fit; OSError with ENOTSUP: no libsrtp2 in this build, or an
    MKI with AES_CM_128_HMAC_SHA1_32.
    """

    cdef rw_srtp_config config

    def __cinit__(
        self,
        str suite not None,
        const uint8_t[::1] local not None,
        const uint8_t[::1] remote not None,
        *,
        const uint8_t[::1] local_mki not None=b"",
        const uint8_t[::1] remote_mki not None=b"",
        uint16_t window_packets=RW_SRTP_DEFAULT_WINDOW_PACKETS,
    ):
        cdef size_t wanted_bytes = SRTP_KEY_BYTES.get(suite, 0)
        if not wanted_bytes:
            raise ValueError(f"there is no SRTP suite {suite!r}; use one of: {', '.join(_SUITES)}")
        self.config.suite = <rw_srtp_suite><int>_SUITES.index(suite)
        self.config.window_packets = window_packets
        if not RW_SRTP_MIN_WINDOW_PACKETS <= window_packets <= RW_SRTP_MAX_WINDOW_PACKETS:
            raise ValueError(
                f"a replay window of {window_packets} packets is not within "
                f"{RW_SRTP_MIN_WINDOW_PACKETS} and {RW_SRTP_MAX_WINDOW_PACKETS}"
            )
        fill_srtp_key(&self.config.local, "local", local, wanted_bytes, local_mki)
        fill_srtp_key(&self.config.remote, "remote", remote, wanted_bytes, remote_mki)
        raise_errno(rw_srtp_check_config(&self.config))

    def __dealloc__(self):
        explicit_bzero(&self.config, sizeof(self.config))

    @property
    def suite(self) -> str:
        return _SUITES[<int>self.config.suite]

    def __eq__(self, other) -> bool:
        if not isinstance(other, SrtpKeys):
            return NotImplemented
        return rw_srtp_same_config(&self.config, &(<SrtpKeys>other).config)

    __hash__ = None

    def __repr__(self) -> str:
        return f"<SrtpKeys {self.suite}>"

    def __reduce__(self):
        raise TypeError("SRTP keys are not written down")
