#include "histogram/histogram.h"

#include "base/atomic.h"

#define SUB_BUCKETS (1u << RW_HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value) {
    if (value < SUB_BUCKETS) return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - RW_HISTOGRAM_SUB_BITS;
    return ((shift + 1) << RW_HISTOGRAM_SUB_BITS) +
           ((unsigned)(value >> shift) & (SUB_BUCKETS - 1));
}

/* The largest value that falls into `bucket`. */
static uint64_t bucket_top(unsigned bucket) {
    if (bucket < SUB_BUCKETS) return bucket;
    unsigned shift = (bucket >> RW_HISTOGRAM_SUB_BITS) - 1;
    uint64_t base = SUB_BUCKETS + (bucket & (SUB_BUCKETS - 1));
    return ((base + 1) << shift) - 1;
}

static uint64_t bucket_bottom(unsigned bucket) {
    return bucket ? bucket_top(bucket - 1) + 1 : 0;
}

void rw_histogram_add(rw_histogram *histogram, uint64_t value, uint64_t times) {
    const uint64_t limit = (1ull << RW_HISTOGRAM_MAX_BITS) - 1;
    if (value > limit) value = limit;
    rw_count(&histogram->counts[bucket_of(value)], times);
    if (value > rw_read(&histogram->max)) rw_write(&histogram->max, value);
}

uint64_t rw_histogram_total(const rw_histogram *histogram) {
    uint64_t total = 0;
    for (unsigned i = 0; i < RW_HISTOGRAM_BUCKETS; i++)
        total += rw_read(&histogram->counts[i]);
    return total;
}

uint64_t rw_histogram_quantile(const rw_histogram *histogram, double fraction) {
    uint64_t total = rw_histogram_total(histogram);
    double wanted = fraction * (double)total;
    uint64_t seen = 0;
    for (unsigned i = 0; i < RW_HISTOGRAM_BUCKETS && total; i++) {
        seen += rw_read(&histogram->counts[i]);
        if (seen == 0 || (double)seen < wanted) continue;
        uint64_t top = bucket_top(i), max = rw_read(&histogram->max);
        return top < max ? top : max;
    }
    return rw_read(&histogram->max);
}

uint64_t rw_histogram_bucket(const rw_histogram *histogram, unsigned bucket, uint64_t *top) {
    *top = bucket_top(bucket);
    return rw_read(&histogram->counts[bucket]);
}

uint64_t rw_histogram_up_to(const rw_histogram *histogram, uint64_t value) {
    uint64_t count = 0;
    for (unsigned i = 0; i < RW_HISTOGRAM_BUCKETS && bucket_top(i) <= value; i++)
        count += rw_read(&histogram->counts[i]);
    return count;
}

uint64_t rw_histogram_sum(const rw_histogram *histogram) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < RW_HISTOGRAM_BUCKETS; i++)
        sum += rw_read(&histogram->counts[i]) * ((bucket_bottom(i) + bucket_top(i)) / 2);
    return sum;
}

uint64_t rw_histogram_max(const rw_histogram *histogram) {
    return rw_read(&histogram->max);
}

void rw_histogram_clear(rw_histogram *histogram) {
    rw_write(&histogram->max, 0);
    for (unsigned i = 0; i < RW_HISTOGRAM_BUCKETS; i++)
        rw_write(&histogram->counts[i], 0);
}
