# Header lines of SIP messages. Each call asks for a dozen of them: in Python that is a dozen loops.

import re

cimport cython

_NO_TOKEN = re.compile(r"[^A-Za-z0-9\-.!%*_+`'~]")


cdef str plain(text):
    """A text as Cython takes it: of no class of its own, as those of a StrEnum are. TypeError."""
    return text if type(text) is str else str.__str__(text)


def is_token(str text not None) -> bool:
    """True for a token of RFC 3261 section 25.1."""
    return text != "" and _NO_TOKEN.search(text) is None


cdef str good_name(name):
    cdef str text = plain(name)
    if text not in SIP_HEADER_NAMES and not is_token(text):
        raise ValueError("a header name that is no token")
    return text


cdef tuple good_line(name, value):
    cdef str text = plain(value)
    if "\n" in text or "\r" in text:
        raise ValueError("a line break inside a SIP header")
    return good_name(name), text


cdef dict _header_ids = {name: i for i, name in enumerate(_header_names) if i}


cdef tuple _pair_of(const uint8_t *data, const rw_sip_header *header):
    name = _header_names[header.id] if header.id else _text(data, header.name)
    return name, _value_of(data, header)


cdef str _value_of(const uint8_t *data, const rw_sip_header *header):
    return _unfolded(data, header.value) if header.folded else _text(data, header.value)


cdef Headers _headers_of(bytes data, const rw_sip_message *m):
    """The lines of a message where they lie: of a dozen, two or three are ever looked at."""
    cdef Headers headers = Headers.__new__(Headers)
    headers.data = data
    headers.index = PyBytes_FromStringAndSize(
        <const char *>m.headers, m.header_count * sizeof(rw_sip_header)
    )
    return headers


@cython.final
cdef class Headers:
    """Header lines in wire order, under their canonical long names (``Via``, ``Call-ID``).

    Look-up by canonical name is exact: the parser has already turned compact forms and any case
    into the canonical name (``v``, ``VIA`` and ``via`` all read as ``Via``). Headers that the
    parser does not know (``X-Account``) keep their spelling and are found in any case.
    Line breaks in values, and names that are no tokens, are refused with ValueError.
    """

    cdef list pairs   # of name and value; None while the lines lie in a message, where
    cdef bytes data   # is that message, and
    cdef bytes index  # an rw_sip_header for each line, which nobody else has

    def __cinit__(self):
        self.data = self.index = b""  # bare, they are those of no message

    def __reduce__(self):
        return Headers, (self.lines(),)  # a copy must not share the index

    def __init__(self, lines=()):
        self.pairs = []
        for name, value in lines:
            self.add(name, value)

    @staticmethod
    def adopt(list lines not None) -> Headers:
        """Take over a list of lines that are known to be good: parsed, or copied from parsed."""
        cdef Headers headers = Headers.__new__(Headers)
        headers.pairs = lines
        return headers

    cdef rw_sip_header *lying(self):
        return <rw_sip_header *>PyBytes_AS_STRING(self.index)

    cdef unsigned lying_count(self):
        return PyBytes_GET_SIZE(self.index) // sizeof(rw_sip_header)

    cdef const uint8_t *raw(self):
        return <const uint8_t *>PyBytes_AS_STRING(self.data)

    cdef list lines(self):
        """Every line as name and value, from now on kept so."""
        if self.pairs is None:
            self.read_lines()
        return self.pairs

    cdef int read_lines(self) except -1:
        cdef list lines = []
        # No pointer is kept from one line to the next: a new tuple may run the collector (Python
        # 3.11), and a finalizer may ask for these lines, and so have read them all.
        while self.pairs is None and len(lines) < self.lying_count():
            lines.append(_pair_of(self.raw(), self.lying() + len(lines)))
        if self.pairs is None:
            self.pairs = lines
            self.data = self.index = None
        return 0

    cdef rw_sip_header *find(self, unsigned known):
        """The first line of that id of those that lie in a message; NULL if there is none."""
        cdef rw_sip_header *header = self.lying()
        cdef rw_sip_header *end = header + self.lying_count()
        while header < end:
            if header.id == known:
                return header
            header += 1
        return NULL

    def copy(self) -> Headers:
        """A copy that changes on its own."""
        return Headers.adopt(self.lines().copy())

    def __iter__(self):
        return iter(self.lines())

    def __len__(self):
        return len(self.lines())

    def __contains__(self, str name not None):
        return self.get(name) is not None

    def __eq__(self, other):
        return isinstance(other, Headers) and self.lines() == (<Headers>other).lines()

    __hash__ = None

    def __repr__(self):
        return f"Headers({self.lines()!r})"

    cpdef str get(self, str name):
        """Value of the first line of that name, unfolded and stripped; None if there is none."""
        cdef rw_sip_header *header
        cdef tuple line
        if self.pairs is None and (known := _header_ids.get(name)) is not None:
            header = self.find(known)
            return _value_of(self.raw(), header) if header != NULL else None
        for line in self.lines():
            if <str>line[0] == name:
                return <str>line[1]
        if name in _header_ids:
            return None
        wanted = name.lower()
        for line in self.lines():
            if (<str>line[0]).lower() == wanted:
                return <str>line[1]
        return None

    def only(self, str name not None):
        """The value of the one line of that canonical name; None if there is none, or several."""
        found = self.all(name)
        return found[0] if len(found) == 1 else None

    cpdef list all(self, str name):
        """Values of every line of that name, one entry a line (commas are not split)."""
        cdef rw_sip_header *header
        cdef tuple line
        cdef unsigned i
        # Before it is asked where the lines are: see read_lines().
        cdef list found = []
        known = _header_ids.get(name)
        if known is None:
            wanted = name.lower()
            return [line[1] for line in self.lines() if (<str>line[0]).lower() == wanted]
        if self.pairs is not None:
            return [line[1] for line in self.pairs if <str>line[0] == name]
        for i in range(self.lying_count()):
            header = &self.lying()[i]
            if header.id == <unsigned>known:
                found.append(_value_of(self.raw(), header))
        return found

    cdef bytes first_via(self):
        """The value of the topmost Via line as it goes on the wire; None if there is none."""
        cdef rw_sip_header *header
        if self.pairs is None:
            header = self.find(RW_SIP_H_VIA)
            if header != NULL and not header.folded:
                return self.data[header.value.at : header.value.at + header.value.length]
        value = self.get("Via")
        return None if value is None else value.encode("utf-8", "surrogateescape")

    cdef void put_first_via(self, bytes value):
        """Put another value in its place. Of a message it lies behind the end then."""
        cdef rw_sip_header *header
        cdef bytes data
        if self.pairs is not None:
            self.replace_first("Via", value.decode("utf-8", "surrogateescape"))
            return
        data = self.data + value  # first of all: there may be no memory for it
        header = self.find(RW_SIP_H_VIA)
        header.value.at = PyBytes_GET_SIZE(self.data)
        header.value.length = PyBytes_GET_SIZE(value)
        header.folded = False
        self.data = data

    def add(self, name, value) -> None:
        """Append a line."""
        self.lines().append(good_line(name, value))

    def set(self, name, value) -> None:
        """Put one line in the place of every line of that name, at the end."""
        self.remove(name)
        self.add(name, value)

    def replace_first(self, name, value) -> None:
        """Change the value of the first line of that name where it stands. KeyError: no such."""
        cdef list lines = self.lines()
        cdef Py_ssize_t index
        cdef tuple line = good_line(name, value)
        for index in range(len(lines)):
            if <str>(<tuple>lines[index])[0] == <str>line[0]:
                lines[index] = line
                return
        raise KeyError(name)

    def remove(self, name) -> None:
        """Take every line of that name out."""
        wanted = name.lower()
        self.pairs = [line for line in self.lines() if line[0].lower() != wanted]

    cpdef bytes render(self, str start_line, bytes body):
        """The message of these headers as it goes on the wire, with a Content-Length that is right.

        ValueError: a line break in the start line or a header.
        """
        cdef Page page
        cdef tuple line
        begin(&page)
        try:
            put_text(&page, start_line)
            end_line(&page)
            for line in self.lines():
                if <str>line[0] != "Content-Length":
                    put_line(&page, line[0], line[1])
            return finished(&page, body)
        finally:
            release(&page)


def header_ids(names) -> bytes:
    """The ids of known headers, as `answer` wants them."""
    return bytes(_header_ids[name] for name in names)


cdef int put_value(Page *page, const uint8_t *data, const rw_sip_header *header) except -1:
    if not header.folded:
        return put(page, data + header.value.at, header.value.length)
    return put_text(page, _unfolded(data, header.value))


cdef int put_copied(Page *page, Headers headers, bytes wanted, str to_tag) except -1:
    """The lines of a request that its response has as well, as they lie in the request."""
    cdef const rw_sip_header *header
    cdef unsigned i
    for i in range(headers.lying_count()):
        header = &headers.lying()[i]
        if memchr(PyBytes_AS_STRING(wanted), header.id, PyBytes_GET_SIZE(wanted)) == NULL:
            continue
        put_text(page, _header_names[header.id])
        put(page, b": ", 2)
        put_value(page, headers.raw(), header)
        if to_tag is not None and header.id == RW_SIP_H_TO:
            put(page, b";tag=", 5)
            put_text(page, to_tag)
        end_line(page)
    return 0


cdef list _copied_pairs(list pairs, bytes wanted, str to_tag):
    """The same of a request whose lines have been looked at."""
    cdef tuple line
    cdef list copied = []
    for line in pairs:
        if _header_ids.get(line[0], 0) in wanted:
            if to_tag is not None and <str>line[0] == "To":
                line = ("To", f"{line[1]};tag={to_tag}")
            copied.append(line)
    return copied


def answer(
    Headers headers not None, str start_line not None, bytes wanted not None, str to_tag,
    added, bytes body not None,
) -> bytes:
    """The response to a request of these ``headers``: those lines of it that are ``wanted``, then
    those that are ``added``.

    ``to_tag`` is put behind To, if there is one. ValueError: as of `Headers`.
    """
    cdef Page page
    begin(&page)
    try:
        put_text(&page, start_line)
        end_line(&page)
        if headers.pairs is None:
            put_copied(&page, headers, wanted, to_tag)
        else:
            for name, value in _copied_pairs(headers.pairs, wanted, to_tag):
                put_line(&page, name, value)
        for name, value in added:
            put_line(&page, good_name(name), plain(value))
        return finished(&page, body)
    finally:
        release(&page)
