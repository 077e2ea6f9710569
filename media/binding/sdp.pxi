# Session descriptions of the plain form, taken apart (media/sdp/alike.py says what that is for).
# Each step takes where the one before has come to, and NULL stays NULL.

from libc.string cimport memchr, memcmp

cdef enum:
    ORIGIN_FIELDS = 6
    MAX_ORIGIN_FIELD_CHARS = 64
    MIN_ADDRESS_CHARS = 7
    MAX_ADDRESS_CHARS = 15
    MAX_PORT_DIGITS = 5


cdef const char *behind_text(
    const char *at, const char *end, const char *text, Py_ssize_t size
) noexcept:
    if at == NULL or end - at < size or memcmp(at, text, size):
        return NULL
    return at + size


cdef const char *behind_origin(const char *at, const char *end) noexcept:
    """Behind the six fields of an o= line (RFC 8866 section 5.2)."""
    cdef const char *begin
    cdef int field
    for field in range(ORIGIN_FIELDS):
        if field:
            at = behind_text(at, end, b" ", 1)
        if at == NULL:
            return NULL
        begin = at
        while at < end and c"!" <= at[0] <= c"~":
            at += 1
        if not 1 <= at - begin <= MAX_ORIGIN_FIELD_CHARS:
            return NULL
    return at


cdef const char *line_end(const char *at, const char *end) noexcept:
    """The line feed of the line that has to end here."""
    if at != NULL and at < end and at[0] == c"\r":
        at += 1
    return NULL if at == NULL or at == end or at[0] != c"\n" else at


cdef const char *next_place(const char *at, const char *end) noexcept:
    """The next c= or m= line below the one that `at` is in, or NULL."""
    while at != NULL:
        at = <const char *>memchr(at, c"\n", end - at)
        if at == NULL:
            break
        at += 1
        if end - at >= 2 and at[1] == c"=" and (at[0] == c"c" or at[0] == c"m"):
            break
    return at


cdef const char *behind_address(const char *at, const char *end) noexcept:
    cdef const char *begin = at
    while at != NULL and at < end and (c"0" <= at[0] <= c"9" or at[0] == c"."):
        at += 1
    return at if MIN_ADDRESS_CHARS <= at - begin <= MAX_ADDRESS_CHARS else NULL


cdef const char *behind_port(const char *at, const char *end, int *port) noexcept:
    cdef const char *begin = at
    port[0] = 0
    while at != NULL and at < end and c"0" <= at[0] <= c"9" and at - begin < MAX_PORT_DIGITS:
        port[0] = 10 * port[0] + (at[0] - c"0")
        at += 1
    return at if at != begin and begin[0] != c"0" else NULL


def plain_parts(bytes description not None) -> tuple | None:
    """The address, the port and the rest of a description that has one IPv4 address, for the whole
    of it, and behind that one stream of sound, which is on. None: it is of another form.

    The rest begins behind the origin, with a NUL in the place of the address and of the port.
    """
    cdef const char *text = description
    cdef const char *end = text + len(description)
    cdef int port
    cdef const char *before = behind_text(text, end, b"v=0", 3)
    before = behind_origin(behind_text(line_end(before, end), end, b"\no=", 3), end)
    cdef const char *address = next_place(line_end(before, end), end)
    address = behind_text(address, end, b"c=IN IP4 ", 9)
    cdef const char *between = behind_address(address, end)
    cdef const char *port_text = next_place(line_end(between, end), end)
    port_text = behind_text(port_text, end, b"m=audio ", 8)
    cdef const char *behind = behind_port(port_text, end, &port)
    if behind == NULL or behind == end or behind[0] != c" " or next_place(behind, end) != NULL:
        return None
    if memchr(text, 0, end - text) != NULL:
        return None
    rest = before[:address - before] + b"\0" + between[:port_text - between] + b"\0" + behind[:end - behind]
    return address[:between - address].decode("ascii"), port, rest
