#include "quality/quality.h"

#include <math.h>

/* G.107 sections 7.2 and 7.3 with the default values of its table 2 (SLR 8, RLR 2, STMR 15, LSTR
 * 18, Ds and Dr 3, TELR 65, WEPL 110, qdu 1, Nc -70, Nfor -64, Ps and Pr 35): they depend on none
 * of our inputs. The tests work them out from the formulas. */
#define BASIC_SIGNAL_TO_NOISE 94.7688 /* Ro */
#define SIMULTANEOUS 1.4136           /* Is */
#define NOISE_LESS_RLR (-63.1792)     /* No - RLR */
#define TALKER_ECHO_LOUDNESS 65.0     /* TELR */
#define WEIGHTED_ECHO_PATH_LOSS 110.0 /* WEPL */
#define PERCEPTIBLE_DELAY_MS 100.0    /* mT */

/* A call with more than this one way is no conversation; it also keeps the figures finite. */
#define MAX_DELAY_US 10000000.0

static const struct {
    double impairment; /* Ie */
    double robustness; /* Bpl */
} codecs[RW_QUALITY_CODECS] = {
    [RW_QUALITY_G711] = {0, 4.3}, [RW_QUALITY_G711_PLC] = {0, 25.1},
    [RW_QUALITY_G722] = {0, 4.3}, [RW_QUALITY_G722_PLC] = {0, 25.1},
    [RW_QUALITY_L16] = {0, 4.3},  [RW_QUALITY_L16_PLC] = {0, 25.1},
    [RW_QUALITY_OPUS] = {0, 10},
};

/* NaN counts as `low`. */
static double within(double low, double value, double high) {
    if (!(value > low)) return low;
    return value < high ? value : high;
}

/* Section 7.4, Idte: the talker hears himself after `delay_ms`. */
static double talker_echo(double delay_ms) {
    double loss = TALKER_ECHO_LOUDNESS - 40 * log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) +
                  6 * exp(-0.3 * delay_ms * delay_ms);
    double echo_rating = 80 + 2.5 * (loss - 14);
    double half = (-1.5 * NOISE_LESS_RLR - echo_rating) / 2;
    return (half + sqrt(half * half + 100) - 1) * (1 - exp(-delay_ms));
}

/* Section 7.4, Idle: the listener hears the talker twice. */
static double listener_echo(double round_trip_ms) {
    double echo_rating = 10.5 * (WEIGHTED_ECHO_PATH_LOSS + 7) * pow(round_trip_ms + 1, -0.25);
    double half = (BASIC_SIGNAL_TO_NOISE - echo_rating) / 2;
    return half + sqrt(half * half + 169);
}

/* Section 7.4, Idd: too long for a conversation even without echo. */
static double absolute_delay(double delay_ms) {
    if (delay_ms <= PERCEPTIBLE_DELAY_MS) return 0;
    double octaves = log2(delay_ms / PERCEPTIBLE_DELAY_MS);
    return 25 * (pow(1 + pow(octaves, 6), 1.0 / 6) - 3 * pow(1 + pow(octaves / 3, 6), 1.0 / 6) + 2);
}

/* Section 7.5, Ie,eff */
static double equipment(rw_quality_codec codec, double loss, double burst_ratio) {
    double impairment = codecs[codec].impairment;
    double loss_percent = 100 * within(0, loss, 1);
    if (loss_percent == 0) return impairment;
    double bursts = within(1, burst_ratio, 100);
    return impairment +
           (95 - impairment) * loss_percent / (loss_percent / bursts + codecs[codec].robustness);
}

double rw_quality_burst_ratio(uint64_t lost, uint64_t gaps, uint64_t expected) {
    if (gaps == 0 || expected == 0) return 1;
    double mean_run = (double)lost / (double)gaps;
    return within(1, mean_run * (1 - (double)lost / (double)expected), INFINITY);
}

/* G.107 Annex B. The cubic dips below 1 for small ratings. */
double rw_quality_mos(double rating) {
    double r = within(0, rating, 100);
    return within(1, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 4.5);
}

rw_quality rw_quality_rate(const rw_quality_input *input) {
    double delay_us = within(0, (double)input->rtt_us / 2 + input->buffer_us, MAX_DELAY_US);
    double delay_ms = delay_us / 1000;
    double delay = talker_echo(delay_ms) + listener_echo(2 * delay_ms) + absolute_delay(delay_ms);
    double equipment_and_loss = equipment(input->codec, input->loss, input->burst_ratio);
    double rating =
        within(0, BASIC_SIGNAL_TO_NOISE - SIMULTANEOUS - delay - equipment_and_loss, 100);
    return (rw_quality){.rating = rating, .mos = rw_quality_mos(rating)};
}
