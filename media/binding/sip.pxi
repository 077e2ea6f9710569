# Text of the SIP scanner's spans, and datagrams in batches.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.errno cimport errno
from libc.string cimport memcmp, memcpy, strlen

cdef tuple _header_names = (None,) + tuple(
    rw_sip_header_name(i).decode() for i in range(1, RW_SIP_H_COUNT)
)
SIP_HEADER_NAMES = frozenset(_header_names[1:])
SIP_REJECT_NAMES = tuple(rw_sip_reject_name(i).decode() for i in range(RW_SIP_REJECT_COUNT))

cdef str _text(const uint8_t *data, rw_sip_span span):
    # Bytes that are no UTF-8 survive as surrogates, so that they leave as they came.
    return PyUnicode_DecodeUTF8(<const char *>data + span.at, span.length, "surrogateescape")


cdef str _unfolded(const uint8_t *data, rw_sip_span value):
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, value.length)
    cdef size_t size = rw_sip_unfold(data, value, <uint8_t *>PyBytes_AS_STRING(buffer))
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(buffer), size, "surrogateescape")


def canonical_header_name(str name not None) -> str:
    """The canonical spelling of a header name in any case or compact form; unknown: unchanged."""
    cdef bytes raw = name.encode("utf-8", "surrogateescape")
    cdef unsigned known = rw_sip_header_lookup(
        <const uint8_t *>PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw)
    )
    return _header_names[known] if known else name


# Peers repeat, so an address is read, and written, once. Direct-mapped: a collision costs a
# conversion, and hostile sources cannot make it grow.
cdef enum:
    ADDRESS_SLOTS = 1024
    ADDRESS_KEY_BYTES = 28  # struct sockaddr_in6


cdef class DatagramReader:
    """Reads datagrams in batches from non-blocking UDP sockets of the caller, who owns them.

    ``peer_of(host, port)`` makes what stands for an address in a batch; it is asked once for as
    long as the address is remembered.
    """

    cdef rw_udp_batch *batch
    cdef object peer_of
    cdef list peers
    cdef uint8_t[1024][28] keys

    def __cinit__(self, peer_of, unsigned capacity=64):
        if not 1 <= capacity <= 1024:
            raise ValueError("capacity must be 1 to 1024 datagrams")
        self.batch = rw_udp_batch_new(capacity)
        if self.batch == NULL:
            raise MemoryError("no memory for receive buffers")
        self.peer_of = peer_of
        self.peers = [None] * ADDRESS_SLOTS

    def __dealloc__(self):
        rw_udp_batch_free(self.batch)

    @property
    def counts(self) -> dict:
        """``datagrams`` received and ``icmp_errors`` absorbed since the start."""
        cdef const rw_udp_counts *counts = rw_udp_counts_of(self.batch)
        return {"datagrams": counts.datagrams, "icmp_errors": counts.icmp_errors}

    @property
    def icmp_errors(self) -> int:
        """How often the network said that it had not delivered something, since the start."""
        return rw_udp_counts_of(self.batch).icmp_errors

    cdef object _peer_at(self, const sockaddr_storage *source):
        # The key is the socket address as the kernel wrote it, zero-padded to one length.
        cdef const uint8_t *raw = <const uint8_t *>source
        cdef uint32_t mixed = 2166136261
        cdef char host[64]
        cdef unsigned i
        cdef int port
        for i in range(<unsigned>ADDRESS_KEY_BYTES):
            mixed = (mixed ^ raw[i]) * 16777619
        i = (mixed ^ (mixed >> 15)) % ADDRESS_SLOTS
        if self.peers[i] is None or memcmp(self.keys[i], raw, ADDRESS_KEY_BYTES) != 0:
            port = rw_udp_host(source, host)
            if port < 0:
                return self.peer_of("", 0)
            self.peers[i] = self.peer_of(host[: strlen(host)].decode(), port)
            memcpy(self.keys[i], raw, ADDRESS_KEY_BYTES)
        return self.peers[i]

    def receive_batch(self, int fd, unsigned limit) -> list:
        """What is waiting on ``fd``, up to ``limit``: ``[(data, peer), ...]``, maybe empty.

        ICMP errors are counted, never raised. OSError: ``fd`` is not a usable socket.
        """
        cdef rw_udp_datagram datagram
        cdef list received = []
        cdef int i
        cdef int count = rw_udp_receive(self.batch, fd, limit)
        if count < 0:
            raise OSError(-count, "receiving datagrams")
        for i in range(count):
            datagram = rw_udp_at(self.batch, i)
            data = PyBytes_FromStringAndSize(<const char *>datagram.data, datagram.length)
            received.append((data, self._peer_at(datagram.from_)))
        return received


cdef class DatagramSender:
    """Sends datagrams by non-blocking UDP sockets of the caller, who owns them."""

    cdef list hosts
    cdef uint16_t[1024] ports
    cdef rw_address[1024] addresses

    def __cinit__(self):
        self.hosts = [None] * ADDRESS_SLOTS

    cdef const rw_address *_address_of(self, str host, uint16_t port) except NULL:
        cdef unsigned i = <unsigned>(<uint64_t>hash(host) ^ port) % ADDRESS_SLOTS
        if self.ports[i] != port or self.hosts[i] != host:
            self.hosts[i] = None
            fill_address(&self.addresses[i], host, port)
            self.hosts[i] = host
            self.ports[i] = port
        return &self.addresses[i]

    def send(self, int fd, bytes data not None, str host not None, uint16_t port) -> int:
        """Send ``data`` to a numeric address; 0, or the ``errno`` that it failed with.

        ValueError, OverflowError: it is no address.
        """
        cdef const rw_address *to = self._address_of(host, port)
        cdef socklen_t to_bytes = rw_address_bytes(to)
        if sendto(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), 0, &to.any, to_bytes) < 0:
            return errno
        return 0
