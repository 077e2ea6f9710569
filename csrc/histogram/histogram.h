/*
 * Histogram of unsigned values (microseconds, batch sizes), log-linear: exact below 32, then 32
 * buckets to each power of two, so a reported value is at most 3.2 % off.
 *
 * One thread adds; any thread may read at any time and sees a recent state.
 */
#ifndef RW_HISTOGRAM_H
#define RW_HISTOGRAM_H

#include <stdint.h>

#define RW_HISTOGRAM_SUB_BITS 5
#define RW_HISTOGRAM_MAX_BITS 36 /* values above 2^36 (19 hours in us) count as 2^36 */
#define RW_HISTOGRAM_BUCKETS                                                                       \
    ((RW_HISTOGRAM_MAX_BITS - RW_HISTOGRAM_SUB_BITS + 1) << RW_HISTOGRAM_SUB_BITS)

typedef struct rw_histogram {
    _Atomic uint64_t max;
    _Atomic uint64_t counts[RW_HISTOGRAM_BUCKETS];
} rw_histogram;

/* Counts `value` `times` times. */
void rw_histogram_add(rw_histogram *histogram, uint64_t value, uint64_t times);

/* The number of values added. */
uint64_t rw_histogram_total(const rw_histogram *histogram);

/* The smallest value that at least `fraction` (0 to 1) of the values do not exceed, to bucket
 * precision and never above the maximum; 0 when empty. */
uint64_t rw_histogram_quantile(const rw_histogram *histogram, double fraction);

/* How many values lie in a bucket, and the largest that falls into it; buckets are numbered by
 * value from 0 to RW_HISTOGRAM_BUCKETS - 1. */
uint64_t rw_histogram_bucket(const rw_histogram *histogram, unsigned bucket, uint64_t *top);

/* How many values do not exceed `value`, to bucket precision: what shares its bucket is left out,
 * unless `value` is the largest of it. */
uint64_t rw_histogram_up_to(const rw_histogram *histogram, uint64_t value);

/* The sum of the values, each taken as the middle of its bucket: at most 1.6 % off. */
uint64_t rw_histogram_sum(const rw_histogram *histogram);

/* The largest value added. */
uint64_t rw_histogram_max(const rw_histogram *histogram);

/* Forgets everything; only for the adding thread, or while it rests. */
void rw_histogram_clear(rw_histogram *histogram);

#endif
