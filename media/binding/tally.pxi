# Counters: one call of C for each event that is counted, of which a SIP call makes six.

from cpython.mem cimport PyMem_Calloc, PyMem_Free


cdef class Tally:
    """Counts from 0 on, for each number below ``size``."""

    cdef uint64_t *counts
    cdef unsigned size

    def __cinit__(self, unsigned size):
        self.counts = <uint64_t *>PyMem_Calloc(size, sizeof(uint64_t))
        if self.counts == NULL:
            raise MemoryError("no memory for counters")
        self.size = size

    def __dealloc__(self):
        PyMem_Free(self.counts)

    def __getitem__(self, unsigned what):
        if what >= self.size:
            raise IndexError("no such counter")
        return self.counts[what]

    def add(self, unsigned what):
        """Count one."""
        if what >= self.size:
            raise IndexError("no such counter")
        self.counts[what] += 1
