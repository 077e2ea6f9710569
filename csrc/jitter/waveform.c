#include "jitter/waveform.h"

#include <math.h>
#include <string.h>

/* Of the sound that is looked at for its period. */
#define WINDOW_MS 20
/* Concealment is at full level for so long: most losses are of one packet. */
#define FULL_LEVEL_MS 15
/* Sound that is less like itself has no voice: a long period makes less of a buzz of it. */
#define VOICED_LIKENESS 0.4f
/* The periods are looked through at every so many samples, then around the best of them. */
#define COARSE 4

static float product(const int16_t *a, const int16_t *b, size_t samples, size_t step) {
    float lanes[4] = {0};
    for (size_t i = 0; i + 3 * step < samples; i += 4 * step)
        for (size_t lane = 0; lane < 4; lane++)
            lanes[lane] += (float)(a[i + lane * step] * b[i + lane * step]);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

float rw_waveform_power(const int16_t *pcm, size_t samples) {
    return samples ? product(pcm, pcm, samples, 1) / (float)samples : 0;
}

static float likeness_at(const int16_t *at, size_t window, size_t period, size_t step) {
    const int16_t *before = at - period;
    float both = product(at, at, window, step) * product(before, before, window, step);
    if (both <= 0) return 0;
    return product(at, before, window, step) / sqrtf(both);
}

static size_t best_of(const int16_t *at, size_t window, size_t from, size_t to, size_t step,
                      float *likeness) {
    size_t best = from;
    *likeness = likeness_at(at, window, from, step);
    for (size_t period = from + step; period <= to; period += step) {
        float like = likeness_at(at, window, period, step);
        if (like <= *likeness) continue;
        *likeness = like;
        best = period;
    }
    return best;
}

size_t rw_waveform_period(const int16_t *at, size_t window, size_t shortest, size_t longest,
                          float *likeness) {
    *likeness = 1;
    if (rw_waveform_power(at, window) <= 0) return longest;
    size_t near = best_of(at, window, shortest, longest, COARSE, likeness);
    size_t from = near < shortest + COARSE ? shortest : near - COARSE;
    size_t to = near + COARSE > longest ? longest : near + COARSE;
    size_t best = best_of(at, window, from, to, 1, likeness);
    if (*likeness < 0) *likeness = 0;
    return best;
}

static int16_t clip(int value) {
    if (value > INT16_MAX) return INT16_MAX;
    return value < INT16_MIN ? INT16_MIN : (int16_t)value;
}

void rw_waveform_fade(const int16_t *out, const int16_t *in, int16_t *to, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        int64_t rise = (int64_t)i + 1, all = (int64_t)samples + 1;
        to[i] = (int16_t)((out[i] * (all - rise) + in[i] * rise) / all);
    }
}

static int gain_q15(uint32_t made, uint32_t per_ms) {
    uint32_t full = FULL_LEVEL_MS * per_ms, all = RW_WAVEFORM_CONCEAL_MS * per_ms;
    if (made >= all) return 0;
    if (made < full) return 1 << 15;
    return (int)((all - made) * (1u << 15) / (all - full));
}

void rw_waveform_weaken(int16_t *pcm, size_t samples, uint32_t made, uint32_t per_ms) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(pcm[i] * gain_q15(made + (uint32_t)i, per_ms) / (1 << 15));
}

void rw_concealer_begin(rw_concealer *concealer, const int16_t *end, uint32_t per_ms) {
    size_t window = WINDOW_MS * per_ms, longest = RW_WAVEFORM_MAX_PERIOD_MS * per_ms;
    float likeness;
    size_t period = rw_waveform_period(end - window, window, RW_WAVEFORM_MIN_PERIOD_MS * per_ms,
                                       longest, &likeness);
    if (likeness < VOICED_LIKENESS) period = longest;
    const int16_t *cycle = end - period;
    size_t seam = period / 4;
    concealer->period = (uint16_t)period;
    concealer->phase = 0;
    concealer->step = clip(end[-1] - cycle[-1]);
    concealer->left = (uint16_t)seam;
    memcpy(concealer->cycle, cycle, period * sizeof(*cycle));
    /* The end of the cycle becomes what was before its beginning, to which it comes back. */
    rw_waveform_fade(end - seam, cycle - seam, concealer->cycle + period - seam, seam);
}

static int next_step(rw_concealer *concealer) {
    int seam = concealer->period / 4;
    return concealer->left ? concealer->step * concealer->left-- / seam : 0;
}

void rw_concealer_fill(rw_concealer *concealer, int16_t *pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        pcm[i] = clip(concealer->cycle[concealer->phase] + next_step(concealer));
        if (++concealer->phase == concealer->period) concealer->phase = 0;
    }
}
