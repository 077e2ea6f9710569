"""Legs for tests of the C core by cffi."""

from __future__ import annotations

from ringwheel._testcore import ffi, lib


def empty_leg():
    """A zeroed ``rw_leg`` on a cache line, as its type demands: ``ffi.new`` does not heed that."""
    size = ffi.sizeof("rw_leg")
    return ffi.gc(
        ffi.cast("rw_leg *", lib.rw_pages_map(size)), lambda leg: lib.rw_pages_unmap(leg, size)
    )
