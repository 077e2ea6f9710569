cdef extern from "srtp/srtp.h" nogil:
    enum:
        RW_SRTP_MAX_MKI_BYTES
        RW_SRTP_DEFAULT_WINDOW_PACKETS
        RW_SRTP_MIN_WINDOW_PACKETS
        RW_SRTP_MAX_WINDOW_PACKETS
    ctypedef enum rw_srtp_suite:
        RW_SRTP_SUITES
    ctypedef struct rw_srtp_key:
        uint8_t bytes[44]  # RW_SRTP_MAX_KEY_BYTES
        uint8_t key_bytes
        uint8_t mki[4]  # RW_SRTP_MAX_MKI_BYTES
        uint8_t mki_bytes
    ctypedef struct rw_srtp_config:
        rw_srtp_suite suite
        uint16_t window_packets
        rw_srtp_key local
        rw_srtp_key remote
    bint rw_srtp_available()
    const char *rw_srtp_suite_name(rw_srtp_suite suite)
    size_t rw_srtp_key_bytes(rw_srtp_suite suite)
    int rw_srtp_check_config(const rw_srtp_config *config)
    ctypedef struct rw_srtp:
        pass
    int rw_srtp_create(const rw_srtp_config *config, rw_srtp **out)
    void rw_srtp_destroy(rw_srtp *srtp)
    bint rw_srtp_same_config(const rw_srtp_config *a, const rw_srtp_config *b)

cdef extern from "<string.h>" nogil:
    void explicit_bzero(void *memory, size_t count)
