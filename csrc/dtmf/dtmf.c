#include "dtmf/dtmf.h"

#include <errno.h>

#include "base/base.h"

#define STEP_MS 4
#define WINDOWS_TO_START 7
#define WINDOWS_TO_END 7
#define MAX_LOST_STEPS 25 /* 100 ms */

#define MIN_POWER 9.27e5f         /* of a tone at -27.5 dBm0, peak amplitude squared */
#define MAX_ROW_OVER_COLUMN 12.6f /* 11 dB */
#define MAX_COLUMN_OVER_ROW 3.55f /* 5.5 dB */
#define MIN_SHARE 0.6f
#define MIN_MEAN_SHARE 0.75f

#define FULL_SCALE_DBM0_AMPLITUDE 22827.0 /* peak of a sine at 0 dBm0 */
#define ONE_DB_LESS 0.89125093813374556

/* A vector of the processor: four rows, or four columns. */
typedef float four __attribute__((vector_size(4 * sizeof(float))));

/* 697, 770, 852, 941 Hz; 1209, 1336, 1477, 1633 Hz: cosine and sine of the turn in one sample. */
typedef struct rate_constants {
    uint32_t sample_rate_hz;
    double cosine[2][RW_DTMF_GROUP];
    double sine[2][RW_DTMF_GROUP];
} rate_constants;

static const rate_constants rates[] = {
    {8000,
     {{0.85386890467445087, 0.8226405180208598, 0.78434349193341002, 0.73910228412008794},
      {0.58205201151366581, 0.49818510533949084, 0.3993091946133181, 0.28426635338760098}},
     {{0.52048813015289175, 0.56856185073426391, 0.62032675797655601, 0.67359321077967294},
      {0.81315155776330861, 0.86707070116449003, 0.91681632135191793, 0.95874534696743929}}},
    {16000,
     {{0.96277435172382186, 0.95463095435379108, 0.94454843495011154, 0.93249726115417841},
      {0.88939642778506423, 0.86550133025301901, 0.8364535834740976, 0.80133212633327044}},
     {{0.27030639589690547, 0.2977914387445853, 0.32837212736968857, 0.36117704514539134},
      {0.45713673473389455, 0.50090662536070985, 0.54803777487810179, 0.59821971156607634}}},
};

/* The turn in a step, whatever the rate; and the square of the tangent of the angle by which it may
 * be off: 2.5 % + 1 Hz. */
typedef struct group_constants {
    four turn_re;
    four turn_im;
    float max_off[RW_DTMF_GROUP];
} group_constants;

static const group_constants row_constants = {
    {0.236498997f, 0.87630668f, -0.83752804f, 0.0878511966f},
    {-0.971631733f, 0.481753674f, 0.546394347f, -0.996133609f},
    {0.24928f, 0.311325f, 0.39387f, 0.501914f},
};
static const group_constants column_constants = {
    {0.514439534f, -0.556875616f, 0.83752804f, -0.979855052f},
    {-0.857526656f, 0.830595899f, -0.546394347f, -0.199709981f},
    {0.99749f, 1.37438f, 1.98179f, 3.05578f},
};

/* The raised cosine in the middle of each step, and its square. The sum of the weights is 2. */
static const float weights[RW_DTMF_STEPS] = {0.14644661f, 0.85355339f, 0.85355339f, 0.14644661f};
static const float squares[RW_DTMF_STEPS] = {0.02144661f, 0.72855339f, 0.72855339f, 0.02144661f};
#define SUM_OF_SQUARES 1.5f

static const char keypad[RW_DTMF_GROUP][RW_DTMF_GROUP + 1] = {"123A", "456B", "789C", "*0#D"};

static const rate_constants *find_rate(uint32_t sample_rate_hz) {
    for (size_t i = 0; i < RW_LENGTH_OF(rates); i++)
        if (rates[i].sample_rate_hz == sample_rate_hz) return &rates[i];
    return NULL;
}

static four load(const float *from) {
    four value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void store(float *to, four value) {
    memcpy(to, &value, sizeof value);
}

int rw_dtmf_detector_init(rw_dtmf_detector *detector, uint32_t sample_rate_hz) {
    const rate_constants *rate = find_rate(sample_rate_hz);
    if (!rate) return -EINVAL;
    *detector = (rw_dtmf_detector){.step_samples = (uint16_t)(sample_rate_hz / 1000 * STEP_MS)};
    for (size_t i = 0; i < RW_DTMF_GROUP; i++) {
        detector->rows.cosine[i] = (float)rate->cosine[0][i];
        detector->rows.sine[i] = (float)rate->sine[0][i];
        detector->columns.cosine[i] = (float)rate->cosine[1][i];
        detector->columns.sine[i] = (float)rate->sine[1][i];
    }
    return 0;
}

/* The eight filters over samples of one step. Both groups in one loop: each waits for its own
 * last result, and their waits overlap. */
static void filter(rw_dtmf_detector *detector, const int16_t *pcm, size_t samples) {
    four row = load(detector->rows.cosine) * 2, column = load(detector->columns.cosine) * 2;
    four row1 = load(detector->rows.s1), row2 = load(detector->rows.s2);
    four column1 = load(detector->columns.s1), column2 = load(detector->columns.s2);
    uint64_t energy = 0;
    for (size_t i = 0; i < samples; i++) {
        float x = pcm[i];
        energy += (uint64_t)(pcm[i] * pcm[i]);
        four row0 = row * row1 + (x - row2), column0 = column * column1 + (x - column2);
        row2 = row1, row1 = row0;
        column2 = column1, column1 = column0;
    }
    store(detector->rows.s1, row1), store(detector->rows.s2, row2);
    store(detector->columns.s1, column1), store(detector->columns.s2, column2);
    detector->energy += energy;
}

/* Ends a step: what the filters hold is the amplitude, its phase as of the last sample. */
static void end_group_step(rw_dtmf_group *group, unsigned at) {
    four s1 = load(group->s1), s2 = load(group->s2);
    store(group->steps[at].re, s1 - load(group->cosine) * s2);
    store(group->steps[at].im, load(group->sine) * s2);
    store(group->s1, (four){0}), store(group->s2, (four){0});
}

static void end_step(rw_dtmf_detector *detector) {
    unsigned at = detector->step % RW_DTMF_STEPS;
    end_group_step(&detector->rows, at);
    end_group_step(&detector->columns, at);
    detector->energies[at] = (float)detector->energy;
    detector->energy = 0;
    detector->filled_samples = 0;
    detector->step++;
    if (detector->filled_steps < RW_DTMF_STEPS) detector->filled_steps++;
}

/* The window's amplitudes: the last four steps, each turned on to the phase of the last sample. */
static rw_dtmf_amplitudes window_of(const rw_dtmf_group *group, const group_constants *constants,
                                    unsigned oldest) {
    four re = {0}, im = {0};
    for (unsigned i = 0; i < RW_DTMF_STEPS; i++) {
        const rw_dtmf_amplitudes *step = &group->steps[(oldest + i) % RW_DTMF_STEPS];
        four turned = re * constants->turn_re - im * constants->turn_im;
        im = re * constants->turn_im + im * constants->turn_re + weights[i] * load(step->im);
        re = turned + weights[i] * load(step->re);
    }
    rw_dtmf_amplitudes window;
    store(window.re, re), store(window.im, im);
    return window;
}

static float power_at(const rw_dtmf_amplitudes *window, unsigned i) {
    return window->re[i] * window->re[i] + window->im[i] * window->im[i];
}

static unsigned loudest(const rw_dtmf_amplitudes *window) {
    unsigned best = 0;
    for (unsigned i = 1; i < RW_DTMF_GROUP; i++)
        if (power_at(window, i) > power_at(window, best)) best = i;
    return best;
}

/* Energy of the window, each sample weighted by the window's square. */
static float window_energy(const rw_dtmf_detector *detector, unsigned oldest) {
    float energy = 0;
    for (unsigned i = 0; i < RW_DTMF_STEPS; i++)
        energy += squares[i] * detector->energies[(oldest + i) % RW_DTMF_STEPS];
    return energy;
}

/* The share of all energy that two tones of these powers have; 0 if they are no digit's: too quiet,
 * too unlike, or with too much beside them. */
static float digit_share(const rw_dtmf_detector *detector, float row, float column, float energy) {
    float samples = detector->step_samples;
    float quieter = row < column ? row : column;
    if (quieter < MIN_POWER * samples * samples) return 0;
    if (row > MAX_ROW_OVER_COLUMN * column || column > MAX_COLUMN_OVER_ROW * row) return 0;
    float share = (row + column) * SUM_OF_SQUARES / 2 / (energy * samples);
    return share < MIN_SHARE ? 0 : share;
}

#define FADE 0.875f

/* Adds the turn from the window before to this one, less what is due at the nominal frequency.
 * Older turns fade, so that a gliding tone is judged by where it is now. */
static void follow(rw_dtmf_group *group, const group_constants *constants,
                   const rw_dtmf_amplitudes *window, unsigned i) {
    float re = window->re[i], im = window->im[i];
    float due_re = constants->turn_re[i], due_im = constants->turn_im[i];
    float turned_re = group->before_re * due_re - group->before_im * due_im;
    float turned_im = group->before_re * due_im + group->before_im * due_re;
    group->turn_re = FADE * group->turn_re + re * turned_re + im * turned_im;
    group->turn_im = FADE * group->turn_im + im * turned_re - re * turned_im;
    group->before_re = re;
    group->before_im = im;
}

static bool frequency_fits(const rw_dtmf_group *group, float max_off) {
    return group->turn_re > 0 &&
           group->turn_im * group->turn_im <= max_off * group->turn_re * group->turn_re;
}

static void forget_phase(rw_dtmf_group *group) {
    group->before_re = group->before_im = 0;
}

static void forget_turn(rw_dtmf_group *group) {
    group->turn_re = group->turn_im = 0;
    forget_phase(group);
}

/* Where news go. */
typedef struct news {
    rw_digit *digits;
    size_t count;
    size_t room;
} news;

static void tell(news *to, rw_digit digit) {
    if (to->count < to->room) to->digits[to->count++] = digit;
}

/* The first and the last window each have their middle 1 or 2 ms inside the tone. */
static rw_digit end_digit(rw_dtmf_detector *detector) {
    uint32_t steps = detector->sounds_until - detector->sounds_since + 1;
    rw_digit ended = {detector->sounding, true, steps * STEP_MS};
    detector->sounding = 0;
    return ended;
}

static void start_digit(rw_dtmf_detector *detector, news *to) {
    if (detector->sounding) tell(to, end_digit(detector));
    detector->sounding = detector->candidate;
    detector->sounds_since = detector->first_step;
    detector->sounds_until = detector->step;
    detector->missed = 0;
    tell(to, (rw_digit){detector->sounding, false, 0});
}

/* A window with `digit`, or with none (0). What was lost before it belongs to the digit that
 * sounds if it goes on, and else to the pause. */
static void go_on_sounding(rw_dtmf_detector *detector, char digit, news *to) {
    if (digit == detector->sounding) {
        detector->sounds_until = detector->step;
        detector->missed = 0;
    } else {
        detector->missed = (uint8_t)(detector->missed + 1 + detector->lost_steps);
        if (detector->missed >= WINDOWS_TO_END) tell(to, end_digit(detector));
    }
}

/* The candidate's share is a mean: the first and last windows of a short tone have less. */
static void consider(rw_dtmf_detector *detector, char digit, float share) {
    if (digit != detector->candidate) {
        detector->candidate = digit;
        detector->first_step = detector->step;
        detector->windows = 0;
        detector->share = 0;
        forget_turn(&detector->rows);
        forget_turn(&detector->columns);
    }
    if (detector->windows < WINDOWS_TO_START) detector->windows++;
    detector->share += (share - detector->share) / detector->windows;
}

/* True if the candidate has lasted long enough, and is a digit's two frequencies all in all. */
static bool convinces(const rw_dtmf_detector *detector, unsigned row, unsigned column) {
    return detector->windows == WINDOWS_TO_START && detector->share >= MIN_MEAN_SHARE &&
           frequency_fits(&detector->rows, row_constants.max_off[row]) &&
           frequency_fits(&detector->columns, column_constants.max_off[column]);
}

/* Judges the window that the last step has filled. */
static void judge(rw_dtmf_detector *detector, news *to) {
    unsigned oldest = detector->step % RW_DTMF_STEPS;
    rw_dtmf_amplitudes rows = window_of(&detector->rows, &row_constants, oldest);
    rw_dtmf_amplitudes columns = window_of(&detector->columns, &column_constants, oldest);
    unsigned row = loudest(&rows), column = loudest(&columns);
    float share = digit_share(detector, power_at(&rows, row), power_at(&columns, column),
                              window_energy(detector, oldest));
    char digit = share > 0 ? keypad[row][column] : 0;
    consider(detector, digit, share);
    if (detector->sounding) go_on_sounding(detector, digit, to);
    detector->lost_steps = 0;
    if (!digit) return;
    follow(&detector->rows, &row_constants, &rows, row);
    follow(&detector->columns, &column_constants, &columns, column);
    if (digit != detector->sounding && convinces(detector, row, column)) start_digit(detector, to);
}

size_t rw_dtmf_detector_hear(rw_dtmf_detector *detector, const int16_t *pcm, size_t samples,
                             rw_digit *digits, size_t room) {
    news to = {digits, 0, room};
    while (samples) {
        size_t missing = (size_t)(detector->step_samples - detector->filled_samples);
        size_t taken = samples < missing ? samples : missing;
        filter(detector, pcm, taken);
        detector->filled_samples = (uint16_t)(detector->filled_samples + taken);
        pcm += taken;
        samples -= taken;
        if (taken < missing) break;
        end_step(detector);
        if (detector->filled_steps == RW_DTMF_STEPS) judge(detector, &to);
    }
    return to.count;
}

/* Empties the filters and the window. */
static void forget_window(rw_dtmf_detector *detector) {
    store(detector->rows.s1, (four){0}), store(detector->rows.s2, (four){0});
    store(detector->columns.s1, (four){0}), store(detector->columns.s2, (four){0});
    forget_phase(&detector->rows);
    forget_phase(&detector->columns);
    detector->energy = 0;
    detector->filled_samples = 0;
    detector->filled_steps = 0;
}

bool rw_dtmf_detector_gap(rw_dtmf_detector *detector, size_t samples, rw_digit *ended) {
    size_t steps = (samples + detector->filled_samples) / detector->step_samples;
    detector->step += (uint32_t)steps;
    size_t lost_steps = detector->lost_steps + steps;
    bool too_long = lost_steps > MAX_LOST_STEPS;
    detector->lost_steps = (uint16_t)(too_long ? MAX_LOST_STEPS : lost_steps);
    forget_window(detector);
    if (too_long) detector->candidate = 0;
    bool paused = detector->missed && detector->missed + steps >= WINDOWS_TO_END;
    if (!detector->sounding || !(too_long || paused)) return false;
    *ended = end_digit(detector);
    return true;
}

static void set_oscillator(rw_dtmf_oscillator *oscillator, double cosine, double sine,
                           double amplitude) {
    *oscillator = (rw_dtmf_oscillator){.turn = 2 * cosine, .y1 = 0, .y2 = -amplitude * sine};
}

static double oscillate(rw_dtmf_oscillator *oscillator) {
    double y = oscillator->y1;
    oscillator->y1 = oscillator->turn * y - oscillator->y2;
    oscillator->y2 = y;
    return y;
}

/* Peak of a sine of this level. */
static double amplitude_of(int dbm0) {
    double amplitude = FULL_SCALE_DBM0_AMPLITUDE;
    for (; dbm0 < 0; dbm0++)
        amplitude *= ONE_DB_LESS;
    return amplitude;
}

static bool is_level(int dbm0) {
    return dbm0 >= RW_DTMF_MIN_DBM0 && dbm0 <= 0;
}

/* Place of a symbol on the keypad, row by row; -1 if it has none. */
static int find_key(char symbol) {
    for (int key = 0; key < RW_DIGITS; key++)
        if (keypad[key / RW_DTMF_GROUP][key % RW_DTMF_GROUP] == symbol) return key;
    return -1;
}

int rw_dtmf_tone_start(rw_dtmf_tone *tone, char symbol, uint16_t on_ms, uint16_t off_ms,
                       int row_dbm0, int column_dbm0, uint32_t sample_rate_hz) {
    const rate_constants *rate = find_rate(sample_rate_hz);
    int key = find_key(symbol);
    if (!rate || key < 0 || !is_level(row_dbm0) || !is_level(column_dbm0)) return -EINVAL;
    int row = key / RW_DTMF_GROUP, column = key % RW_DTMF_GROUP;
    set_oscillator(&tone->row, rate->cosine[0][row], rate->sine[0][row], amplitude_of(row_dbm0));
    set_oscillator(&tone->column, rate->cosine[1][column], rate->sine[1][column],
                   amplitude_of(column_dbm0));
    tone->on_samples = sample_rate_hz / 1000 * on_ms;
    tone->off_samples = sample_rate_hz / 1000 * off_ms;
    return 0;
}

static int16_t clip(double value) {
    if (value > INT16_MAX) return INT16_MAX;
    return value < INT16_MIN ? INT16_MIN : (int16_t)value;
}

size_t rw_dtmf_tone_fill(rw_dtmf_tone *tone, int16_t *pcm, size_t samples) {
    size_t on = samples < tone->on_samples ? samples : tone->on_samples;
    for (size_t i = 0; i < on; i++)
        pcm[i] = clip(oscillate(&tone->row) + oscillate(&tone->column));
    size_t off = samples - on < tone->off_samples ? samples - on : tone->off_samples;
    memset(pcm + on, 0, off * sizeof *pcm);
    tone->on_samples -= (uint32_t)on;
    tone->off_samples -= (uint32_t)off;
    return on + off;
}
