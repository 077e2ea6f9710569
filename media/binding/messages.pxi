# SIP messages. What every message is asked for is read by one call; its header lines stay where they
# lie until somebody asks for them (headers.pxi).

from posix.strings cimport strncasecmp

cdef tuple _methods = (
    "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO", "REFER",
    "NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH",
)  # fmt: skip


cdef str _method(const uint8_t *data, rw_sip_span span):
    """A method; the text of those that are known is made once."""
    cdef str known
    for known in _methods:
        if <Py_ssize_t>span.length == len(known) and memcmp(
            data + span.at, PyUnicode_DATA(known), span.length
        ) == 0:
            return known
    return _text(data, span)


cdef unsigned _port_of(const uint8_t *data, const rw_sip_via *via):
    # RFC 3261 section 18.2.2: the default port of the transport
    if via.port:
        return via.port
    tls = via.transport.length == 3 and strncasecmp(
        <const char *>data + via.transport.at, b"TLS", 3
    ) == 0
    return 5061 if tls else 5060


cdef str _sent_by(const uint8_t *data, const rw_sip_via *via):
    if not via.host.length:
        return ""
    host = _text(data, via.host).lower()
    port = _port_of(data, via)
    return f"[{host}]:{port}" if via.ipv6 else f"{host}:{port}"


cdef class Message:
    """What requests and responses share. The fields below the body are read off the headers once.

    ``branch`` and ``sent_by`` are those of the topmost Via; ``sent_by`` is ``host:port`` in lower
    case with the default port filled in. ``from_tag`` and ``to_tag`` are None where absent.
    """

    cdef public Headers headers
    cdef public bytes body
    cdef public str call_id
    cdef public long cseq
    cdef public str cseq_method
    cdef public str from_tag
    cdef public str to_tag
    cdef public str branch
    cdef public str sent_by

    cdef tuple fields(self):
        return (
            self.start_line(), self.headers, self.body, self.call_id, self.cseq, self.cseq_method,
            self.from_tag, self.to_tag, self.branch, self.sent_by,
        )  # fmt: skip

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return self.fields() == (<Message>other).fields()

    __hash__ = None

    def __repr__(self):
        return f"{type(self).__name__}{self.fields()!r}"

    cpdef str start_line(self):
        """The first line, without its CRLF."""
        raise AssertionError("a message is a Request or a Response")

    @cython.nonecheck(True)  # bare messages have no headers
    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; Content-Length is always written, once, and right.

        ValueError: a line break in the start line or a header.
        """
        return self.headers.render(self.start_line(), self.body)


cdef class Request(Message):
    """A SIP request. ``uri`` is the Request-URI as on the wire."""

    cdef public str method
    cdef public str uri

    def __init__(
        self,
        Headers headers not None,
        *,
        str method not None,
        uri not None,
        bytes body not None=b"",
        str call_id not None="",
        long cseq=0,
        str cseq_method not None="",
        str from_tag=None,
        str to_tag=None,
        str branch not None="",
        str sent_by not None="",
    ):
        self.method = method
        self.uri = plain(uri)
        self.headers = headers
        self.body = body
        self.call_id = call_id
        self.cseq = cseq
        self.cseq_method = cseq_method
        self.from_tag = from_tag
        self.to_tag = to_tag
        self.branch = branch
        self.sent_by = sent_by

    cpdef str start_line(self):
        return f"{self.method} {self.uri} SIP/2.0"


cdef class Response(Message):
    """A SIP response. ``reason`` may be empty (RFC 3261 section 25.1)."""

    cdef public int status
    cdef public str reason

    def __init__(
        self,
        Headers headers not None,
        *,
        int status,
        str reason not None,
        bytes body not None=b"",
        str call_id not None="",
        long cseq=0,
        str cseq_method not None="",
        str from_tag=None,
        str to_tag=None,
        str branch not None="",
        str sent_by not None="",
    ):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.call_id = call_id
        self.cseq = cseq
        self.cseq_method = cseq_method
        self.from_tag = from_tag
        self.to_tag = to_tag
        self.branch = branch
        self.sent_by = sent_by

    cpdef str start_line(self):
        return f"SIP/2.0 {self.status} {self.reason}"


cdef Message _start_of(const uint8_t *raw, const rw_sip_message *m):
    cdef Request request
    cdef Response response
    if m.is_request:
        request = Request.__new__(Request)
        request.method = _method(raw, m.method)
        request.uri = _text(raw, m.uri)
        return request
    response = Response.__new__(Response)
    response.status = m.status
    response.reason = _text(raw, m.reason)
    return response


cdef Message _message_of(bytes data, const rw_sip_message *m):
    cdef const uint8_t *raw = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef Message message = _start_of(raw, m)
    message.headers = _headers_of(data, m)
    message.body = PyBytes_FromStringAndSize(<const char *>raw + m.body.at, m.body.length)
    message.call_id = _text(raw, m.call_id)
    message.cseq = m.cseq
    message.cseq_method = _method(raw, m.cseq_method)
    message.from_tag = _text(raw, m.from_tag) if m.from_tag.length else None
    message.to_tag = _text(raw, m.to_tag) if m.to_tag.length else None
    message.branch = _text(raw, m.via.branch)
    message.sent_by = _sent_by(raw, &m.via)
    return message


def read_message(refusal, bytes data not None):
    """The `Request` or `Response` that ``data``, a datagram or a message of a stream, holds.

    If it is none, what ``refusal`` makes of these is raised: an index into `SIP_REJECT_NAMES`, the
    status to answer with or 0, and, if there is an answer, what was found in the request.
    """
    cdef rw_sip_message m
    cdef unsigned status
    rw_sip_scan(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &m)
    if m.reject:
        status = rw_sip_answer_status(&m)
        raise refusal(m.reject, status, _message_of(data, &m) if status else None)
    return _message_of(data, &m)


def server_key(Request request not None, str method not None) -> str:
    """What a retransmission of ``request`` has in common with it (RFC 3261 17.2.3).

    An ACK has the key of its INVITE.
    """
    branch = request.branch
    if method == "ACK":
        method = "INVITE"
    # RFC 3261 8.1.1.7: the magic cookie
    if len(branch) > 7 and branch.startswith("z9hG4bK"):
        return f"{branch} {request.sent_by} {method}"
    # No cookie, or nothing but the cookie (RFC 4475 3.2): matched the RFC 2543 way. The To tag
    # tells no INVITEs apart that the CSeq does not, and the ACK carries the tag of our answer.
    to_tag = "" if method == "INVITE" else request.to_tag or ""
    return (
        f"{branch} {request.sent_by} {method} {request.uri} {to_tag} "
        f"{request.from_tag or ''} {request.call_id} {request.cseq}"
    )


def client_key(Message message not None) -> str:
    """Branch and method: what a response has in common with its request."""
    return f"{message.branch} {message.cseq_method}"


def merge_key_of(Request request not None) -> int:
    """What makes two requests one that came by two ways; 0 where the question does not arise.

    A 64-bit hash, seeded at random in each process, takes the place of three strings for as long
    as the transaction lingers.
    """
    if request.to_tag is not None or request.method == "CANCEL":
        return 0
    return hash((request.from_tag, request.call_id, request.cseq, request.method))


cdef bytes _without(bytes value, rw_sip_span param):
    return value[: param.at] + value[param.at + param.length :] if param.length else value


cdef bytes _stamped(bytes value, const rw_sip_via *via, bytes added):
    """``value`` without the received and rport of its first Via, ``added`` at that one's end."""
    cdef uint32_t end = via.whole.at + via.whole.length
    cdef bytes first = value[:end]
    if via.received_param.at > via.rport_param.at:
        first = _without(_without(first, via.received_param), via.rport_param)
    else:
        first = _without(_without(first, via.rport_param), via.received_param)
    return first + added + value[end:]


@cython.nonecheck(True)
def stamp_via(Request request not None, str host not None, int port) -> int:
    """Note in the topmost Via where a request came from; call it once, on arrival.

    ``host`` is the numeric source address without brackets. Adds ``received`` (RFC 3261 section
    18.2.1) and fills ``rport`` in (RFC 3581 section 4), in the place of what the peer put there;
    also in a Via with a fault behind its host, since an error response carries it back.
    Returns the port that responses go to (section 18.2.2); their host is ``host``. An ``maddr`` is
    not followed: it serves multicast, and would let a peer aim our responses at others.
    ValueError: no Via, or one without a host.
    """
    cdef rw_sip_via via
    cdef bytes value = request.headers.first_via()
    if value is None:
        raise ValueError("a request without Via")
    cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(value)
    rw_sip_scan_via(data, PyBytes_GET_SIZE(value), &via)
    if not via.host.length:
        raise ValueError("not a Via header value")
    if via.rport_param.length:
        added = f";rport={port};received={host}"
    else:
        added = "" if _text(data, via.host).lower() == host else f";received={host}"
        port = _port_of(data, &via)
    if added or via.received_param.length:
        request.headers.put_first_via(_stamped(value, &via, added.encode()))
    return port
