# How errors of the C core become exceptions.

import os


cdef int raise_errno(int error) except -1:
    """Turns a negative errno into OSError (BlockingIOError for -EAGAIN, and so on)."""
    if error < 0:
        raise OSError(-error, os.strerror(-error))
    return 0
