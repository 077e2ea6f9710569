#include "quality/quality.h"

#include <math.h>

#include "test/check.h"

#define CHECK_NEAR(actual, expected, tolerance) CHECK(fabs((actual) - (expected)) <= (tolerance))

static rw_quality rate(rw_quality_codec codec, double loss, double bursts, unsigned one_way_ms) {
    rw_quality_input input = {codec, loss, bursts, one_way_ms * 2000ull, 0};
    return rw_quality_rate(&input);
}

static void test_a_line_without_fault(void) {
    rw_quality best = rate(RW_QUALITY_G711, 0, 1, 0);
    CHECK_NEAR(best.rating, 93.2, 0.01);
    CHECK_NEAR(best.mos, 4.41, 0.005);
}

/* G.107 Annex B, table B.1 */
static void test_mos_of_ratings(void) {
    CHECK_NEAR(rw_quality_mos(90), 4.34, 0.01);
    CHECK_NEAR(rw_quality_mos(80), 4.03, 0.01);
    CHECK_NEAR(rw_quality_mos(70), 3.60, 0.01);
    CHECK_NEAR(rw_quality_mos(60), 3.10, 0.01);
    CHECK_NEAR(rw_quality_mos(50), 2.58, 0.01);
    CHECK_NEAR(rw_quality_mos(2), 1, 0);
    CHECK_NEAR(rw_quality_mos(-5), 1, 0);
    CHECK_NEAR(rw_quality_mos(100), 4.5, 0);
    CHECK_NEAR(rw_quality_mos(120), 4.5, 0);
    CHECK_NEAR(rw_quality_mos(NAN), 1, 0);
}

static void test_loss(void) {
    /* Ie,eff = 95 * 2 / (2 + 4.3) = 30.16, with concealment 95 * 2 / (2 + 25.1) = 7.01 */
    CHECK_NEAR(rate(RW_QUALITY_G711, 0.02, 1, 0).rating, 93.206 - 30.159, 0.01);
    CHECK_NEAR(rate(RW_QUALITY_G711_PLC, 0.02, 1, 0).rating, 93.206 - 7.011, 0.01);
    /* in runs twice as long: 95 * 2 / (1 + 25.1) */
    CHECK_NEAR(rate(RW_QUALITY_G711_PLC, 0.02, 2, 0).rating, 93.206 - 7.280, 0.01);
    CHECK_NEAR(rate(RW_QUALITY_OPUS, 0.02, 1, 0).rating, 93.206 - 15.833, 0.01);
    CHECK_NEAR(rate(RW_QUALITY_G711, 1, 1, 0).mos, 1, 0.01);
}

static void test_delay(void) {
    /* the knee is at some 177 ms; these are worked out from G.107's formulas */
    CHECK_NEAR(rate(RW_QUALITY_G711, 0, 1, 100).rating, 90.66, 0.01);
    CHECK_NEAR(rate(RW_QUALITY_G711, 0, 1, 200).rating, 85.80, 0.01);
    CHECK_NEAR(rate(RW_QUALITY_G711, 0, 1, 400).rating, 62.25, 0.01);
    rw_quality_input input = {RW_QUALITY_G711, 0, 1, 100000, 50000};
    CHECK_NEAR(rw_quality_rate(&input).rating, rate(RW_QUALITY_G711, 0, 1, 100).rating, 1e-9);
}

static void test_figures_without_sense(void) {
    rw_quality_input input = {RW_QUALITY_OPUS, NAN, NAN, UINT64_MAX, UINT32_MAX};
    rw_quality worst = rw_quality_rate(&input);
    CHECK(worst.rating >= 0 && worst.rating < 30);
    CHECK(worst.mos >= 1 && worst.mos < 2);
    CHECK_NEAR(rate(RW_QUALITY_G711, -1, 0, 0).rating, 93.206, 0.01);
    CHECK_NEAR(rate(RW_QUALITY_G711, 7, INFINITY, 0).rating, 0, 0);
}

static void test_burst_ratio(void) {
    CHECK_NEAR(rw_quality_burst_ratio(0, 0, 1000), 1, 0);
    CHECK_NEAR(rw_quality_burst_ratio(0, 0, 0), 1, 0);
    CHECK_NEAR(rw_quality_burst_ratio(100, 100, 1000), 1, 0); /* never two in a row */
    CHECK_NEAR(rw_quality_burst_ratio(100, 20, 1000), 4.5, 1e-9);
}

int main(void) {
    test_a_line_without_fault();
    test_mos_of_ratings();
    test_loss();
    test_delay();
    test_figures_without_sense();
    test_burst_ratio();
    return 0;
}
