#include "vad/vad.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "g711/g711.h"

#define SUB_FRAME_MS 10
#define SUB_FRAME_MAX_MS 19   /* a block of 19 ms is one */
#define FULL_SCALE_DB 90.309f /* of 32768 squared */
#define QUIETEST_DB (-90.0f)

#define FLOOR_WINDOW_MS 600
#define FLOOR_GUESS_DB (-50.0f) /* of a line that nothing is known of */
#define FLOOR_LEAST_DB (-70.0f) /* what G.711 makes of nothing */
#define SMOOTHING 0.3f
#define BAND_CAP_DB 20.0f
/* How far a minimum lies below the mean in steady noise: the narrower the band, the further. */
static const float minimum_bias_db[RW_VAD_BANDS] = {5.0f, 4.5f, 3.5f, 3.0f};

/* A voice's period: 77 to 400 Hz, in samples at 2 kHz, seen in windows of 20 ms. */
#define PERIOD_MIN 5
#define PERIOD_MAX 26
#define PERIOD_WINDOW (RW_VAD_LOW_SAMPLES - PERIOD_MAX)
#define TONE_RESIDUE 0.02f

#define VOICED_START_MS 20
#define VOICELESS_MAX_MS 400 /* longer than any run of consonants */
#define EVIDENCE_MAX_MS 200

#define SENT_SLOT_MS 40
#define SENT_SILENT_DBOV (-50)
#define ECHO_MARGIN_DB 3 /* a sub-frame may be this much louder than its packet */
#define RETURN_LOSS_GUESS_DB 12
#define RETURN_LOSS_MIN_DB 10
#define RETURN_LOSS_MAX_DB 40
#define LEARN_MS 600
#define ECHO_DELAY_MAX_MS 500

/* What each sensitivity asks for. */
static const struct {
    float score_db; /* sum over the bands of what is above the floor */
    float hold_db;  /* the same, to go on */
    float least_db; /* level of a sub-frame */
    float period;   /* normalised autocorrelation */
    int start_ms;
} demands[] = {
    [RW_VAD_LOW] = {16.0f, 10.0f, -42.0f, 0.75f, 60},
    [RW_VAD_MEDIUM] = {10.0f, 7.0f, -48.0f, 0.65f, 40},
    [RW_VAD_HIGH] = {7.0f, 5.0f, -54.0f, 0.55f, 30},
};

/* What one sub-frame sounds like. */
typedef struct {
    float power, level_db, score_db;
    int ms;
} sub_frame;

/* log2 by exponent and a parabola through its mantissa, right to 0.03 dB. */
static float decibels(float power) {
    union {
        float value;
        uint32_t bits;
    } number = {power};
    if (power < 1.0f) return QUIETEST_DB;
    int exponent = (int)(number.bits >> 23) - 127;
    number.bits = (number.bits & 0x7fffff) | 0x3f800000;
    float mantissa = (2.0f - number.value / 3.0f) * number.value - 2.0f / 3.0f;
    return 3.0103f * ((float)exponent + mantissa - 1.0f) - FULL_SCALE_DB;
}

/* fminf and fmaxf are calls, for the sake of what is not a number. */
static float at_most(float value, float limit) {
    return value < limit ? value : limit;
}

static float at_least(float value, float limit) {
    return value > limit ? value : limit;
}

/* Splits into halves of the band, each at half the rate, by two first-order all-pass sections
 * (a power-complementary half-band pair). The low half may stand where the input was. Returns the
 * mean power of the high half. */
static float split(float state[2], const float *in, int pairs, float *low) {
    const float even = 0.1413f, odd = 0.5898f;
    const float even_rest = 1.0f - even * even, odd_rest = 1.0f - odd * odd;
    float first = state[0], second = state[1], sum = 0;
    for (int i = 0; i < pairs; i++) {
        float x = in[2 * i], y = in[2 * i + 1];
        float a = first + odd * x, b = second + even * y;
        /* x - odd * a, without waiting for a */
        first = odd_rest * x - odd * first;
        second = even_rest * y - even * second;
        float high = 0.5f * (a - b);
        sum += high * high;
        low[i] = 0.5f * (a + b);
    }
    state[0] = first;
    state[1] = second;
    return sum / (float)pairs;
}

/* Takes mains hum and rumble away: a high-pass of second order at 160 Hz, at 2 kHz. */
static void remove_rumble(float state[2], float *sound, int count) {
    const float b0 = 0.7004f, a1 = -1.3108f, a2 = 0.4908f;
    float first = state[0], second = state[1];
    for (int i = 0; i < count; i++) {
        float in = b0 * sound[i], out = in + first;
        first = second - 2.0f * in - a1 * out;
        second = in - a2 * out;
        sound[i] = out;
    }
    state[0] = first;
    state[1] = second;
}

static void remember_low(rw_vad *vad, const float *sound, int count) {
    int kept = RW_VAD_LOW_SAMPLES - count;
    memmove(vad->low, vad->low + count, (size_t)kept * sizeof(vad->low[0]));
    for (int i = 0; i < count; i++)
        vad->low[kept + i] = (int16_t)at_least(at_most(sound[i], 32767.0f), -32768.0f);
}

static float floor_db(const rw_vad *vad, int band) {
    int least = vad->minima_cdb[0][band];
    for (int i = 1; i < RW_VAD_FLOOR_WINDOWS; i++)
        least = least < vad->minima_cdb[i][band] ? least : vad->minima_cdb[i][band];
    return at_least((float)least / 100.0f + minimum_bias_db[band], FLOOR_LEAST_DB);
}

static int8_t noise_dbov(const rw_vad *vad) {
    float sum = 0;
    for (int band = 0; band < RW_VAD_BANDS; band++)
        sum += powf(10.0f, floor_db(vad, band) / 10.0f);
    return (int8_t)lrintf(10.0f * log10f(sum));
}

static void start_floor(rw_vad *vad, const float power[RW_VAD_BANDS]) {
    for (int band = 0; band < RW_VAD_BANDS; band++) {
        float guess = at_most(decibels(power[band]), FLOOR_GUESS_DB) * 100.0f;
        for (int i = 0; i < RW_VAD_FLOOR_WINDOWS; i++)
            vad->minima_cdb[i][band] = (int16_t)guess;
        vad->energy[band] = power[band];
    }
    vad->heard = true;
}

/* Minimum statistics: speech has gaps in every band, steady noise has none. */
static void follow_floor(rw_vad *vad, const float power[RW_VAD_BANDS], int ms) {
    vad->window_ms = (uint16_t)(vad->window_ms + ms);
    bool next = vad->window_ms >= FLOOR_WINDOW_MS;
    if (next) {
        memmove(vad->minima_cdb[1], vad->minima_cdb[0],
                sizeof(vad->minima_cdb) - sizeof(vad->minima_cdb[0]));
        vad->window_ms = 0;
    }
    for (int band = 0; band < RW_VAD_BANDS; band++) {
        vad->energy[band] += SMOOTHING * (power[band] - vad->energy[band]);
        int16_t level = (int16_t)(decibels(vad->energy[band]) * 100.0f);
        int16_t *least = &vad->minima_cdb[0][band];
        if (next || level < *least) *least = level;
    }
}

static sub_frame analyse(rw_vad *vad, const int16_t *pcm, int ms) {
    float sound[8 * SUB_FRAME_MAX_MS], power[RW_VAD_BANDS];
    int count = 8 * ms;
    /* 16 kHz is taken down by the mean of two: what it lets through of 4 to 8 kHz is weak. */
    for (int i = 0; i < count; i++)
        sound[i] = vad->wide ? 0.5f * (float)(pcm[2 * i] + pcm[2 * i + 1]) : (float)pcm[i];
    power[3] = split(vad->split[0], sound, count / 2, sound);
    power[2] = split(vad->split[1], sound, count / 4, sound);
    remove_rumble(vad->rumble, sound, count / 4);
    remember_low(vad, sound, count / 4);
    power[1] = split(vad->split[2], sound, count / 8, sound);
    power[0] = 0;
    for (int i = 0; i < count / 8; i++)
        power[0] += sound[i] * sound[i] / (float)(count / 8);
    if (!vad->heard) start_floor(vad, power);
    sub_frame heard = {power[0] + power[1] + power[2] + power[3], 0, 0, ms};
    heard.level_db = decibels(heard.power);
    for (int band = 0; band < RW_VAD_BANDS; band++) {
        float above_db = decibels(power[band]) - floor_db(vad, band);
        if (above_db > 0) heard.score_db += at_most(above_db, BAND_CAP_DB);
    }
    follow_floor(vad, power, ms);
    return heard;
}

static float product(const float *a, const float *b) {
    float lanes[4] = {0};
    for (int i = 0; i < PERIOD_WINDOW; i += 4)
        for (int lane = 0; lane < 4; lane++)
            lanes[lane] += a[i + lane] * b[i + lane];
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

/* A sinusoid obeys x[n] + x[n-2] = c x[n-1]; true if little else is left below 1 kHz. */
static bool is_tone(const float *now) {
    float c = product(now, now - 1) + product(now - 2, now - 1);
    float energy = product(now - 1, now - 1), sides = product(now, now) + product(now - 2, now - 2);
    float left = sides + 2.0f * product(now, now - 2) - c * c / (energy + 1.0f);
    return left < TONE_RESIDUE * sides;
}

/* The best normalised autocorrelation at a voice's periods, at least `wanted`? */
static bool has_period(const float *now, float wanted) {
    float energy = product(now, now) + 1.0f;
    float shifted = product(now - PERIOD_MIN, now - PERIOD_MIN);
    for (int lag = PERIOD_MIN; lag <= PERIOD_MAX; lag++) {
        float like = product(now, now - lag);
        if (like > 0 && like * like > wanted * wanted * energy * (shifted + 1.0f)) return true;
        if (lag == PERIOD_MAX) break;
        float last = now[PERIOD_WINDOW - 1 - lag], before = now[-lag - 1];
        shifted += before * before - last * last;
    }
    return false;
}

static bool is_voiced(const rw_vad *vad) {
    float low[RW_VAD_LOW_SAMPLES];
    for (int i = 0; i < RW_VAD_LOW_SAMPLES; i++)
        low[i] = vad->low[i];
    const float *now = low + PERIOD_MAX;
    return has_period(now, demands[vad->sensitivity].period) && !is_tone(now);
}

static int peak_sent(const rw_vad *vad) {
    int peak = vad->sent_dbov[0];
    for (int i = 1; i < RW_VAD_SENT_SLOTS; i++)
        peak = peak > vad->sent_dbov[i] ? peak : vad->sent_dbov[i];
    return peak;
}

static void pass_sent_slot(rw_vad *vad) {
    memmove(vad->sent_dbov + 1, vad->sent_dbov, RW_VAD_SENT_SLOTS - 1);
    vad->sent_dbov[0] = RW_VAD_SILENCE_DBOV;
    vad->sent_peak_dbov = (int8_t)peak_sent(vad);
}

static void pass_sent(rw_vad *vad, int ms) {
    vad->slot_ms = (uint8_t)(vad->slot_ms + ms);
    if (vad->slot_ms >= SENT_SLOT_MS) {
        vad->slot_ms = (uint8_t)(vad->slot_ms - SENT_SLOT_MS);
        pass_sent_slot(vad);
    }
    bool plays = vad->sent_peak_dbov > SENT_SILENT_DBOV;
    if (!plays)
        vad->playing_ms = 0;
    else if (vad->playing_ms < ECHO_DELAY_MAX_MS)
        vad->playing_ms = (uint16_t)(vad->playing_ms + ms);
}

/* How loud an echo may be now. */
static float echo_db(const rw_vad *vad) {
    return (float)(vad->sent_peak_dbov - vad->return_loss_db + ECHO_MARGIN_DB);
}

static void forget_learning(rw_vad *vad) {
    vad->learn_ms = 0;
    vad->least_loss_db = RETURN_LOSS_MAX_DB;
}

/* Learns the return loss from what comes back while only we speak. Down at once, up by halves: a
 * pause of the prompt must not look like a line without an echo. */
static void learn_echo(rw_vad *vad, const sub_frame *heard) {
    if (vad->speaking || vad->evidence_ms || vad->playing_ms < ECHO_DELAY_MAX_MS) {
        forget_learning(vad);
        return;
    }
    float loss_db = at_least((float)vad->sent_peak_dbov - heard->level_db, RETURN_LOSS_MIN_DB);
    if (loss_db < vad->least_loss_db) vad->least_loss_db = (uint8_t)loss_db;
    if (vad->least_loss_db < vad->return_loss_db) vad->return_loss_db = vad->least_loss_db;
    vad->learn_ms = (uint16_t)(vad->learn_ms + heard->ms);
    if (vad->learn_ms < LEARN_MS) return;
    vad->return_loss_db = (uint8_t)((vad->return_loss_db + vad->least_loss_db) / 2);
    forget_learning(vad);
}

static void count_speech(rw_vad *vad, const sub_frame *heard) {
    vad->power += heard->power * (float)heard->ms;
    vad->power_ms += (uint32_t)heard->ms;
}

static void tell(const rw_vad *vad, rw_vad_kind kind, rw_vad_event *event) {
    float mean = vad->power / (float)(vad->power_ms ? vad->power_ms : 1);
    event->kind = kind;
    event->duration_ms = vad->span_ms - vad->silent_ms;
    event->level_dbov = (int8_t)decibels(mean);
    event->noise_dbov = noise_dbov(vad);
}

static void forget_speech(rw_vad *vad) {
    vad->evidence_ms = vad->voiced_ms = 0;
    vad->power_ms = vad->span_ms = 0;
    vad->power = 0;
    vad->silent_ms = vad->voiceless_ms = 0;
    vad->speaking = false;
}

static void pass_silence(rw_vad *vad, uint32_t ms, rw_vad_event *event) {
    vad->span_ms += ms;
    vad->silent_ms = (uint16_t)(vad->silent_ms + ms);
    if (vad->silent_ms < vad->hangover_ms || event->kind != RW_VAD_NONE) return;
    tell(vad, RW_VAD_END, event);
    forget_speech(vad);
}

/* Goes on speaking: weaker sound will do, voiced or near something voiced. */
static void go_on(rw_vad *vad, const sub_frame *heard, bool loud, rw_vad_event *event) {
    bool voiced = loud && is_voiced(vad);
    if (voiced)
        vad->voiceless_ms = 0;
    else if (vad->voiceless_ms < VOICELESS_MAX_MS)
        vad->voiceless_ms = (uint16_t)(vad->voiceless_ms + heard->ms);
    if (!loud || vad->voiceless_ms >= VOICELESS_MAX_MS) {
        pass_silence(vad, (uint32_t)heard->ms, event);
        return;
    }
    vad->silent_ms = 0;
    vad->span_ms += (uint32_t)heard->ms;
    count_speech(vad, heard);
}

static void weaken_evidence(rw_vad *vad, uint32_t ms) {
    if (vad->evidence_ms <= 2 * ms)
        forget_speech(vad);
    else
        vad->evidence_ms = (uint8_t)(vad->evidence_ms - 2 * ms);
}

static void look_for_start(rw_vad *vad, const sub_frame *heard, rw_vad_event *event) {
    vad->span_ms += (uint32_t)heard->ms;
    count_speech(vad, heard);
    if (vad->evidence_ms < EVIDENCE_MAX_MS)
        vad->evidence_ms = (uint8_t)(vad->evidence_ms + heard->ms);
    if (!is_voiced(vad))
        vad->voiced_ms = 0;
    else if (vad->voiced_ms < EVIDENCE_MAX_MS)
        vad->voiced_ms = (uint8_t)(vad->voiced_ms + heard->ms);
    if (vad->evidence_ms < demands[vad->sensitivity].start_ms || vad->voiced_ms < VOICED_START_MS ||
        event->kind != RW_VAD_NONE)
        return;
    vad->speaking = true;
    tell(vad, RW_VAD_START, event);
}

static void judge(rw_vad *vad, const sub_frame *heard, rw_vad_event *event) {
    float wanted_db =
        vad->speaking ? demands[vad->sensitivity].hold_db : demands[vad->sensitivity].score_db;
    bool loud = heard->score_db >= wanted_db &&
                heard->level_db >= demands[vad->sensitivity].least_db &&
                heard->level_db > echo_db(vad);
    if (vad->speaking)
        go_on(vad, heard, loud, event);
    else if (loud)
        look_for_start(vad, heard, event);
    else
        weaken_evidence(vad, (uint32_t)heard->ms);
    learn_echo(vad, heard);
}

int rw_vad_init(rw_vad *vad, const rw_vad_config *config) {
    bool wide = config->sample_rate_hz == 16000;
    if (!wide && config->sample_rate_hz != 8000) return -EINVAL;
    if (config->hangover_ms < RW_VAD_HANGOVER_MIN_MS ||
        config->hangover_ms > RW_VAD_HANGOVER_MAX_MS)
        return -EINVAL;
    if ((unsigned)config->sensitivity >= RW_LENGTH_OF(demands)) return -EINVAL;
    *vad = (rw_vad){
        .hangover_ms = (uint16_t)config->hangover_ms,
        .sensitivity = (uint8_t)(config->sensitivity & 3),
        .wide = wide,
        .return_loss_db = RETURN_LOSS_GUESS_DB,
        .least_loss_db = RETURN_LOSS_MAX_DB,
        .sent_peak_dbov = RW_VAD_SILENCE_DBOV,
    };
    memset(vad->sent_dbov, RW_VAD_SILENCE_DBOV, sizeof(vad->sent_dbov));
    return 0;
}

int rw_vad_hear(rw_vad *vad, const int16_t *pcm, size_t samples, rw_vad_event *event) {
    size_t per_ms = vad->wide ? 16 : 8;
    if (samples % per_ms || samples < RW_VAD_FRAME_MIN_MS * per_ms ||
        samples > RW_VAD_FRAME_MAX_MS * per_ms)
        return -EINVAL;
    *event = (rw_vad_event){.kind = RW_VAD_NONE};
    int left_ms = (int)(samples / per_ms);
    for (int parts = left_ms / SUB_FRAME_MS; parts; parts--) {
        int ms = left_ms / parts;
        pass_sent(vad, ms);
        sub_frame heard = analyse(vad, pcm, ms);
        judge(vad, &heard, event);
        pcm += (size_t)ms * per_ms;
        left_ms -= ms;
    }
    return 0;
}

static void pass_gap(rw_vad *vad, int ms, rw_vad_event *event) {
    pass_sent(vad, ms);
    if (vad->speaking)
        pass_silence(vad, (uint32_t)ms, event);
    else
        weaken_evidence(vad, (uint32_t)ms);
}

void rw_vad_gap(rw_vad *vad, uint32_t ms, rw_vad_event *event) {
    /* After this nothing is left to change, however long it is. */
    const uint32_t enough_ms = RW_VAD_HANGOVER_MAX_MS + RW_VAD_SENT_SLOTS * SENT_SLOT_MS;
    *event = (rw_vad_event){.kind = RW_VAD_NONE};
    for (uint32_t left_ms = ms < enough_ms ? ms : enough_ms; left_ms;) {
        uint32_t step_ms = left_ms < SENT_SLOT_MS ? left_ms : SENT_SLOT_MS;
        pass_gap(vad, (int)step_ms, event);
        left_ms -= step_ms;
    }
}

void rw_vad_sent(rw_vad *vad, int level_dbov) {
    if (level_dbov > 0) level_dbov = 0;
    if (level_dbov <= vad->sent_dbov[0]) return;
    vad->sent_dbov[0] = (int8_t)level_dbov;
    if (level_dbov > vad->sent_peak_dbov) vad->sent_peak_dbov = (int8_t)level_dbov;
}

static int8_t level_of(uint64_t sum, size_t samples) {
    if (!sum) return RW_VAD_SILENCE_DBOV;
    return (int8_t)lrintf(decibels((float)sum / (float)samples));
}

static uint64_t sum_of_squares(const int16_t *pcm, size_t samples) {
    uint64_t sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (uint32_t)((int32_t)pcm[i] * pcm[i]);
    return sum;
}

int8_t rw_vad_level(const int16_t *pcm, size_t samples) {
    return level_of(sum_of_squares(pcm, samples), samples);
}

static int8_t level_of_codes(void (*decode)(const uint8_t *, size_t, int16_t *),
                             const uint8_t *codes, size_t count) {
    int16_t pcm[160];
    uint64_t sum = 0;
    for (size_t at = 0; at < count; at += RW_LENGTH_OF(pcm)) {
        size_t part = count - at < RW_LENGTH_OF(pcm) ? count - at : RW_LENGTH_OF(pcm);
        decode(codes + at, part, pcm);
        sum += sum_of_squares(pcm, part);
    }
    return level_of(sum, count);
}

int8_t rw_vad_level_ulaw(const uint8_t *codes, size_t count) {
    return level_of_codes(rw_g711_ulaw_decode, codes, count);
}

int8_t rw_vad_level_alaw(const uint8_t *codes, size_t count) {
    return level_of_codes(rw_g711_alaw_decode, codes, count);
}
