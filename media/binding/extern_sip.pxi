# Declarations of the SIP scanner and of batched UDP receive.

cdef extern from "sip/sip.h" nogil:
    enum:
        RW_SIP_MAX_HOST_BYTES
        RW_SIP_REJECT_COUNT
        RW_SIP_H_VIA
        RW_SIP_H_TO
        RW_SIP_H_COUNT
    ctypedef struct rw_sip_span:
        uint32_t at
        uint32_t length
    ctypedef struct rw_sip_header:
        rw_sip_span name
        rw_sip_span value
        uint8_t id
        bint folded
    ctypedef struct rw_sip_via:
        rw_sip_span whole
        rw_sip_span transport
        rw_sip_span host
        uint16_t port
        rw_sip_span branch
        rw_sip_span received_param
        rw_sip_span rport_param
        bint ipv6
    ctypedef struct rw_sip_message:
        bint is_request
        int reject
        rw_sip_span method
        rw_sip_span uri
        uint16_t status
        rw_sip_span reason
        uint32_t cseq
        rw_sip_span cseq_method
        rw_sip_span call_id
        rw_sip_span from_tag
        rw_sip_span to_tag
        rw_sip_via via
        rw_sip_span body
        unsigned header_count
        rw_sip_header *headers
    int rw_sip_scan(const uint8_t *data, size_t length, rw_sip_message *message)
    int rw_sip_scan_via(const uint8_t *data, size_t length, rw_sip_via *via)
    unsigned rw_sip_answer_status(const rw_sip_message *message)
    size_t rw_sip_unfold(const uint8_t *data, rw_sip_span value, uint8_t *to)
    unsigned rw_sip_header_lookup(const uint8_t *name, size_t length)
    const char *rw_sip_header_name(unsigned id)
    const char *rw_sip_reject_name(unsigned reject)

cdef extern from "<sys/socket.h>" nogil:
    ssize_t sendto(int fd, const void *data, size_t length, int flags, const sockaddr *to,
                   socklen_t to_bytes)

cdef extern from "udp/udp.h" nogil:
    enum:
        RW_UDP_HOST_BYTES
    struct sockaddr_storage:
        pass
    ctypedef struct rw_udp_batch:
        pass
    ctypedef struct rw_udp_datagram:
        const uint8_t *data
        size_t length
        const sockaddr_storage *from_ "from"
    ctypedef struct rw_udp_counts:
        uint64_t datagrams
        uint64_t icmp_errors
    int rw_udp_open(const sockaddr *address, socklen_t address_bytes, int traffic_class)
    rw_udp_batch *rw_udp_batch_new(unsigned capacity)
    void rw_udp_batch_free(rw_udp_batch *batch)
    int rw_udp_receive(rw_udp_batch *batch, int fd, unsigned limit)
    rw_udp_datagram rw_udp_at(const rw_udp_batch *batch, unsigned index)
    const rw_udp_counts *rw_udp_counts_of(const rw_udp_batch *batch)
    int rw_udp_host(const sockaddr_storage *from_, char *to)
