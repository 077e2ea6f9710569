# A message while it is written: one piece of memory, on the stack unless the message is a large one.

from cpython.mem cimport PyMem_Realloc
from libc.string cimport memchr

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void *PyUnicode_DATA(object text)

cdef enum:
    PAGE_BYTES = 2048

cdef struct Page:
    char *text  # `own`, or larger and allocated
    size_t used
    size_t room
    unsigned lines
    char[PAGE_BYTES] own


cdef void begin(Page *page) noexcept:
    page.text = page.own
    page.used = 0
    page.room = PAGE_BYTES
    page.lines = 0


cdef void release(Page *page) noexcept:
    if page.text != page.own:
        PyMem_Free(page.text)


cdef int grow(Page *page, size_t size) except -1:
    cdef bint first = page.text == page.own
    cdef size_t room = 2 * (page.used + size)
    cdef char *text = <char *>PyMem_Realloc(NULL if first else page.text, room)
    if text == NULL:
        raise MemoryError("no memory for a message")
    if first:
        memcpy(text, page.own, page.used)
    page.text = text
    page.room = room
    return 0


cdef int put(Page *page, const void *data, size_t size) except -1:
    if page.room - page.used < size:
        grow(page, size)
    memcpy(page.text + page.used, data, size)
    page.used += size
    return 0


cdef int put_text(Page *page, str text) except -1:
    cdef bytes encoded
    if text is None:
        raise TypeError("None in the place of a text in a SIP message")
    if PyUnicode_IS_ASCII(text):
        return put(page, PyUnicode_DATA(text), len(text))
    encoded = text.encode("utf-8", "surrogateescape")
    return put(page, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))


cdef int put_line(Page *page, str name, str value) except -1:
    put_text(page, name)
    put(page, b": ", 2)
    put_text(page, value)
    return end_line(page)


cdef int end_line(Page *page) except -1:
    page.lines += 1
    return put(page, b"\r\n", 2)


cdef unsigned _count(const Page *page, char byte) noexcept:
    cdef const char *at = page.text
    cdef const char *end = page.text + page.used
    cdef unsigned count = 0
    while True:
        at = <const char *>memchr(at, byte, end - at)
        if at == NULL:
            return count
        count += 1
        at += 1


cdef bytes finished(Page *page, bytes body):
    """The message that has been written but for its last header, Content-Length, and ``body``."""
    cdef Py_ssize_t body_bytes = len(body)
    put_line(page, "Content-Length", str(body_bytes))
    end_line(page)
    # Header injection: no more line breaks than were written as such.
    if _count(page, b"\n") != page.lines or _count(page, b"\r") != page.lines:
        raise ValueError("a line break inside a SIP header or start line")
    cdef bytes message = PyBytes_FromStringAndSize(NULL, page.used + body_bytes)
    memcpy(PyBytes_AS_STRING(message), page.text, page.used)
    memcpy(PyBytes_AS_STRING(message) + page.used, PyBytes_AS_STRING(body), body_bytes)
    return message
