# Texts that every message of ours needs: random ones, and the address in brackets.

cdef enum:
    TOKENS = 64  # made at once: each look into the system's source of randomness has its price
    TOKEN_CHARS = 16


cdef class Tokens:
    """Called, it gives 64 random bits as text, out of ``source`` (a `random.Random`)."""

    cdef object source
    cdef str block
    cdef Py_ssize_t left

    def __init__(self, source):
        self.source = source
        self.block = ""
        self.left = 0

    def __call__(self) -> str:
        if self.left == 0:
            bits = self.source.getrandbits(4 * TOKEN_CHARS * TOKENS)
            self.block = f"{bits:x}".zfill(TOKEN_CHARS * TOKENS)
            self.left = TOKEN_CHARS * TOKENS
        self.left -= TOKEN_CHARS
        return self.block[self.left : self.left + TOKEN_CHARS]


def bracketed(str value not None):
    """What stands in the first angle brackets; None if there is nothing, or if a quoted string may
    hide them."""
    cdef Py_ssize_t start, end
    if '"' in value:
        return None
    start, end = value.find("<") + 1, value.find(">")
    return value[start:end] if 0 < start < end else None
