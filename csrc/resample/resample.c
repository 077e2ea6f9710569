#include "resample/resample.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/base.h"
#include "resample/kernel.h"

#define BLOCK_SAMPLES 320

static uint32_t common_divisor(uint32_t a, uint32_t b) {
    return b ? common_divisor(b, a % b) : a;
}

static bool known(uint32_t rate_hz) {
    return rate_hz == 8000 || rate_hz == 16000 || rate_hz == 24000 || rate_hz == 48000;
}

/* The filter `ticks` from its middle, where a sample of the lower rate lasts `longer` ticks; scaled
 * by up / longer, for as many inputs more lie under it when the rate falls. */
static int16_t coefficient(int ticks, int up, int longer) {
    int place = (ticks < 0 ? -ticks : ticks) * (RW_KERNEL_POINTS / longer);
    if (place >= (int)RW_LENGTH_OF(rw_kernel)) return 0;
    return (int16_t)(rw_kernel[place] * up / longer);
}

/* Phase by phase: how each of the last inputs weighs in an output `phase` ticks after the newest.
 */
static void fill_coefficients(rw_resampler *resampler, int longer) {
    int16_t *to = resampler->coefficients;
    for (int phase = 0; phase < resampler->up; phase++)
        for (int age = resampler->taps - 1; age >= 0; age--)
            *to++ = coefficient(phase + age * resampler->up - RW_RESAMPLE_REACH * longer,
                                resampler->up, longer);
}

int rw_resampler_init(rw_resampler *resampler, uint32_t from_hz, uint32_t to_hz) {
    if (!known(from_hz) || !known(to_hz)) return -EINVAL;
    memset(resampler, 0, sizeof(*resampler));
    uint32_t divisor = common_divisor(from_hz, to_hz);
    resampler->up = (uint8_t)(to_hz / divisor);
    resampler->down = (uint8_t)(from_hz / divisor);
    if (from_hz == to_hz) return 0;
    int longer = resampler->up > resampler->down ? resampler->up : resampler->down;
    resampler->taps = (uint8_t)(2 * RW_RESAMPLE_REACH * longer / resampler->up + 1);
    fill_coefficients(resampler, longer);
    return 0;
}

size_t rw_resampler_room(const rw_resampler *resampler, size_t samples) {
    return samples * resampler->up / resampler->down + 1;
}

static int16_t weigh(const int16_t *samples, const int16_t *coefficients, size_t taps) {
    int32_t sum = 1 << (RW_KERNEL_BITS - 1);
    for (size_t i = 0; i < taps; i++)
        sum += samples[i] * coefficients[i];
    sum >>= RW_KERNEL_BITS;
    return (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

/* One block: its samples lie behind the history, so every window is in one piece. */
static size_t resample_block(rw_resampler *resampler, const int16_t *from, size_t samples,
                             int16_t *to, size_t room) {
    int16_t window[RW_RESAMPLE_MAX_TAPS - 1 + BLOCK_SAMPLES];
    size_t taps = resampler->taps, past = taps - 1, made = 0;
    memcpy(window, resampler->history, past * sizeof(*window));
    memcpy(window + past, from, samples * sizeof(*window));
    for (size_t i = 0; i < samples; i++) {
        for (; resampler->tick < resampler->up; resampler->tick += resampler->down)
            if (made < room)
                to[made++] =
                    weigh(window + i, resampler->coefficients + resampler->tick * taps, taps);
        resampler->tick -= resampler->up;
    }
    memcpy(resampler->history, window + samples, past * sizeof(*window));
    return made;
}

size_t rw_resample(rw_resampler *resampler, const int16_t *from, size_t samples, int16_t *to,
                   size_t room) {
    if (!resampler->taps) {
        size_t passed = samples < room ? samples : room;
        memcpy(to, from, passed * sizeof(*to));
        return passed;
    }
    size_t made = 0;
    while (samples) {
        size_t block = samples < BLOCK_SAMPLES ? samples : BLOCK_SAMPLES;
        made += resample_block(resampler, from, block, to + made, room - made);
        from += block;
        samples -= block;
    }
    return made;
}
