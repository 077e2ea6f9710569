#include "histogram/histogram.h"

#include "test/check.h"

static rw_histogram histogram;

static void test_small_values_are_exact(void) {
    rw_histogram_clear(&histogram);
    for (unsigned value = 0; value < 32; value++)
        rw_histogram_add(&histogram, value, 1);
    CHECK_EQUAL(rw_histogram_total(&histogram), 32);
    CHECK_EQUAL(rw_histogram_quantile(&histogram, 0.5), 15);
    CHECK_EQUAL(rw_histogram_quantile(&histogram, 1.0), 31);
    CHECK_EQUAL(rw_histogram_quantile(&histogram, 0.0), 0);
}

static void test_quantiles_are_within_a_bucket(void) {
    rw_histogram_clear(&histogram);
    for (unsigned value = 1; value <= 100000; value++)
        rw_histogram_add(&histogram, value, 1);
    for (int percent = 1; percent < 100; percent++) {
        double got = (double)rw_histogram_quantile(&histogram, percent / 100.0);
        CHECK(got >= percent * 1000.0 && got <= percent * 1000.0 * 1.032 + 1);
    }
    CHECK_EQUAL(rw_histogram_max(&histogram), 100000);
}

static void test_weights_and_the_largest_value(void) {
    rw_histogram_clear(&histogram);
    rw_histogram_add(&histogram, 7, 999);
    rw_histogram_add(&histogram, UINT64_MAX, 1);
    CHECK_EQUAL(rw_histogram_total(&histogram), 1000);
    CHECK_EQUAL(rw_histogram_quantile(&histogram, 0.999), 7);
    CHECK_EQUAL(rw_histogram_max(&histogram), (1ull << 36) - 1);
    CHECK_EQUAL(rw_histogram_quantile(&histogram, 1.0), (1ull << 36) - 1);
}

static void test_counts_up_to_a_value(void) {
    rw_histogram_clear(&histogram);
    for (unsigned value = 1; value <= 1000; value++)
        rw_histogram_add(&histogram, value, 2);
    CHECK_EQUAL(rw_histogram_up_to(&histogram, 0), 0);
    CHECK_EQUAL(rw_histogram_up_to(&histogram, 31), 62);
    CHECK_EQUAL(rw_histogram_up_to(&histogram, 1023), 2000);
    uint64_t half = rw_histogram_up_to(&histogram, 500);
    CHECK(half <= 1000 && half >= 968);
    uint64_t sum = rw_histogram_sum(&histogram);
    CHECK(sum >= 1001000 * 0.98 && sum <= 1001000 * 1.02);
}

static void test_buckets_hold_every_value_once(void) {
    rw_histogram_clear(&histogram);
    for (unsigned value = 0; value < 5000; value++)
        rw_histogram_add(&histogram, value, 3);
    uint64_t held = 0, next = 0;
    for (unsigned bucket = 0; bucket < RW_HISTOGRAM_BUCKETS && next < 5000; bucket++) {
        uint64_t top, count = rw_histogram_bucket(&histogram, bucket, &top);
        uint64_t values = (top < 4999 ? top : 4999) + 1 - next;
        CHECK_EQUAL(count, 3 * values);
        held += count;
        next = top + 1;
    }
    CHECK_EQUAL(held, rw_histogram_total(&histogram));
}

static void test_empty(void) {
    rw_histogram_clear(&histogram);
    CHECK_EQUAL(rw_histogram_quantile(&histogram, 0.99), 0);
    CHECK_EQUAL(rw_histogram_up_to(&histogram, UINT64_MAX), 0);
    CHECK_EQUAL(rw_histogram_sum(&histogram), 0);
}

int main(void) {
    test_small_values_are_exact();
    test_quantiles_are_within_a_bucket();
    test_weights_and_the_largest_value();
    test_counts_up_to_a_value();
    test_buckets_hold_every_value_once();
    test_empty();
    return 0;
}
