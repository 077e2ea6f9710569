/*
 * Memory on huge pages. A thread that wakes up after some milliseconds finds the TLB cold, and then
 * pays for every page of 4 KB that it touches; on pages of 2 MB the same memory is a few of them.
 *
 * Where the system gives no huge pages (see transparent_hugepage/enabled), all of this works the
 * same on small ones.
 */
#ifndef RW_PAGES_H
#define RW_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define RW_PAGES_HUGE_BYTES ((size_t)2 << 20)

/* `bytes` of zeroed memory, which the caller owns until rw_pages_unmap() with the same number; NULL
 * if out of memory. From half a huge page on it has whole ones to itself, which may all become
 * resident; what is smaller begins on a cache line. */
void *rw_pages_map(size_t bytes);
/* Gives back what rw_pages_map() has handed out; NULL is nothing. */
void rw_pages_unmap(void *memory, size_t bytes);

/*
 * Slots of equal size, cut from chunks of one huge page each: for an allocator above that asks for
 * memory by the quarter of a megabyte or more. A chunk whose slots are all given back is unmapped,
 * but for one, so that an allocator at a border does not map and unmap it all the time.
 *
 * Any thread may call. A child that a fork makes has the slots too, if no other thread was in a
 * call meanwhile.
 */
typedef struct rw_pages rw_pages;

/* NULL if out of memory. */
rw_pages *rw_pages_create(void);
/* Unmaps all of it, with the slots that are still out. */
void rw_pages_destroy(rw_pages *pages);

/* A slot of `bytes`, aligned to that, which the caller owns until rw_pages_give(). NULL if out of
 * memory, or if a huge page does not consist of 1 to 64 such slots. What is in it is undefined. */
void *rw_pages_take(rw_pages *pages, size_t bytes);
/* Takes a slot back. False, and nothing done, if `slot` is none of these. */
bool rw_pages_give(rw_pages *pages, void *slot);

#endif
