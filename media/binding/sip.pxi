# SIP messages and datagrams: from the C scanner's spans to Python objects.

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


cdef list _header_lines(const uint8_t *data, const rw_sip_message *message):
    cdef list lines = []
    cdef const rw_sip_header *header
    cdef unsigned i
    for i in range(message.header_count):
        header = &message.headers[i]
        name = _header_names[header.id] if header.id else _text(data, header.name)
        value = _unfolded(data, header.value) if header.folded else _text(data, header.value)
        lines.append((name, value))
    return lines


cdef str _sent_by(const uint8_t *data, const rw_sip_via *via):
    cdef unsigned port = via.port
    if not via.host.length:
        return ""
    if not port:  # RFC 3261 section 18.2.2: the default port of the transport
        port = 5061 if _text(data, via.transport).upper() == "TLS" else 5060
    host = _text(data, via.host).lower()
    return f"[{host}]:{port}" if via.ipv6 else f"{host}:{port}"


def scan_message(bytes data not None) -> tuple:
    """Scan one datagram with the C scanner.

    Returns ``(reject, answer_status, method, uri, status, reason, lines, body, call_id, cseq,
    cseq_method, from_tag, to_tag, branch, sent_by)``. ``reject`` is 0, or an index into
    `SIP_REJECT_NAMES`; then ``answer_status`` is the status to answer with, or 0 to drop, and the
    rest is what was found. ``method`` is None for a response; tags are None where absent.
    """
    cdef rw_sip_message m
    cdef const uint8_t *raw = <const uint8_t *>PyBytes_AS_STRING(data)
    rw_sip_scan(raw, PyBytes_GET_SIZE(data), &m)
    return (
        m.reject,
        rw_sip_answer_status(&m),
        _text(raw, m.method) if m.is_request else None,
        _text(raw, m.uri),
        m.status,
        _text(raw, m.reason),
        _header_lines(raw, &m),
        PyBytes_FromStringAndSize(<const char *>raw + m.body.at, m.body.length),
        _text(raw, m.call_id),
        m.cseq,
        _text(raw, m.cseq_method),
        _text(raw, m.from_tag) if m.from_tag.length else None,
        _text(raw, m.to_tag) if m.to_tag.length else None,
        _text(raw, m.via.branch),
        _sent_by(raw, &m.via),
    )


def canonical_header_name(str name not None) -> str:
    """The canonical spelling of a header name in any case or compact form; unknown: unchanged."""
    cdef bytes raw = name.encode("utf-8", "surrogateescape")
    cdef unsigned known = rw_sip_header_lookup(
        <const uint8_t *>PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw)
    )
    return _header_names[known] if known else name


cdef bytes _without(bytes value, rw_sip_span param):
    return value[: param.at] + value[param.at + param.length :] if param.length else value


def stamp_via_value(str value not None, str host not None, int port):
    """Write the source of a request into the first value of its topmost Via line.

    ``received`` is added as RFC 3261 section 18.2.1 and RFC 3581 section 4 want it, in the place of
    one that was there; ``rport``, where asked for, gets ``port``. Returns ``(new value, port that
    responses go to)``. A Via with a fault behind its host is stamped as well: an error response
    carries it back. ValueError if there is no host.
    """
    cdef bytes raw = value.encode("utf-8", "surrogateescape")
    cdef rw_sip_via via
    cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(raw)
    rw_sip_scan_via(data, PyBytes_GET_SIZE(raw), &via)
    if not via.host.length:
        raise ValueError("not a Via header value")
    cdef unsigned reply_port = via.port
    if not reply_port:
        reply_port = 5061 if _text(data, via.transport).upper() == "TLS" else 5060
    added = ""
    if via.rport_param.length:
        reply_port = port
        added = f";rport={port};received={host}"
    elif _text(data, via.host).lower() != host:
        added = f";received={host}"
    cdef uint32_t end = via.whole.at + via.whole.length
    cdef bytes first = raw[:end]
    if via.received_param.at > via.rport_param.at:
        first = _without(_without(first, via.received_param), via.rport_param)
    else:
        first = _without(_without(first, via.rport_param), via.received_param)
    stamped = first.decode("utf-8", "surrogateescape") + added
    return stamped + raw[end:].decode("utf-8", "surrogateescape"), reply_port


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
