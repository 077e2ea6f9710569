# Python's objects on huge pages: its arenas come from the C core.

cdef extern from "Python.h":
    ctypedef struct PyObjectArenaAllocator:
        void *ctx
        void *(*alloc)(void *ctx, size_t size) noexcept nogil
        void (*free)(void *ctx, void *ptr, size_t size) noexcept nogil
    void PyObject_GetArenaAllocator(PyObjectArenaAllocator *allocator)
    void PyObject_SetArenaAllocator(PyObjectArenaAllocator *allocator)

cdef struct arena_source:
    rw_pages *pages
    PyObjectArenaAllocator former  # for what is no slot, and for arenas that are older


cdef void *take_arena(void *ctx, size_t size) noexcept nogil:
    cdef arena_source *source = <arena_source *>ctx
    cdef void *arena = rw_pages_take(source.pages, size)
    return arena if arena != NULL else source.former.alloc(source.former.ctx, size)


cdef void give_arena(void *ctx, void *arena, size_t size) noexcept nogil:
    cdef arena_source *source = <arena_source *>ctx
    if not rw_pages_give(source.pages, arena):
        source.former.free(source.former.ctx, arena, size)


# As long as the process: Python's arenas outlive every module.
cdef arena_source arenas


def put_arenas_on_huge_pages() -> None:
    """Have Python's memory for objects come from huge pages from now on. Once is enough.

    MemoryError: there is no memory.
    """
    cdef PyObjectArenaAllocator ours
    if arenas.pages != NULL:
        return
    arenas.pages = rw_pages_create()
    if arenas.pages == NULL:
        raise MemoryError
    PyObject_GetArenaAllocator(&arenas.former)
    ours.ctx = &arenas
    ours.alloc = take_arena
    ours.free = give_arena
    PyObject_SetArenaAllocator(&ours)
