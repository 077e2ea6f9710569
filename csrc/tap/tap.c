#include "tap/tap.h"

#include <errno.h>

#include <stdlib.h>

#include "base/base.h"

/* Sound is taken in pieces of at most this length. */
#define PIECE_MS 20
#define PIECE_SAMPLES (PIECE_MS * 48)

static int create(uint64_t tap_id, const rw_codec *codec, const rw_jitter_config *delay,
                  rw_tap **tap) {
    rw_tap *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->tap_id = tap_id;
    self->codec = codec;
    int error = rw_jitter_create(codec, delay, &self->caller);
    if (error)
        rw_tap_destroy(self);
    else
        *tap = self;
    return error;
}

int rw_tap_create_recording(uint64_t tap_id, const rw_codec *codec, rw_recording *recording,
                            rw_tap **tap) {
    const uint32_t delay_ms = RW_TAP_RECORDING_DELAY_MS;
    const rw_jitter_config delay = {delay_ms, delay_ms, delay_ms, RW_TAP_RECORDING_EARLY_MS};
    rw_tap *self;
    int error = create(tap_id, codec, &delay, &self);
    if (error) return error;
    self->recording = recording;
    self->skip_samples = (uint64_t)delay_ms * (codec->sample_rate_hz / 1000);
    error = rw_jitter_create(codec, &delay, &self->robot);
    if (error)
        rw_tap_destroy(self);
    else
        *tap = self;
    return error;
}

int rw_tap_create_listening(uint64_t tap_id, const rw_codec *codec, rw_listener *listener,
                            rw_tap **tap) {
    const rw_jitter_config delay = {
        .min_ms = RW_TAP_LISTENER_MIN_MS,
        .max_ms = RW_TAP_LISTENER_MAX_MS,
        .initial_ms = RW_TAP_LISTENER_INITIAL_MS,
    };
    int error = create(tap_id, codec, &delay, tap);
    if (!error) (*tap)->listener = rw_listener_retain(listener);
    return error;
}

int rw_tap_create_speaking(uint64_t tap_id, const rw_codec *codec, rw_live *live, rw_tap **tap) {
    const rw_jitter_config delay = {
        .min_ms = RW_TAP_LISTENER_MIN_MS,
        .max_ms = RW_TAP_LISTENER_MAX_MS,
        .initial_ms = RW_TAP_LISTENER_INITIAL_MS,
    };
    rw_tap *self;
    int error = create(tap_id, codec, &delay, &self);
    if (error) return error;
    self->live = rw_live_retain(live);
    self->resampler = malloc(sizeof(*self->resampler));
    error = self->resampler ? rw_resampler_init(self->resampler, codec->sample_rate_hz,
                                                rw_live_sample_rate_hz(live))
                            : -ENOMEM;
    if (error)
        rw_tap_destroy(self);
    else
        *tap = self;
    return error;
}

void rw_tap_destroy(rw_tap *tap) {
    if (!tap) return;
    rw_live_release(tap->live);
    free(tap->resampler);
    rw_jitter_destroy(tap->caller);
    rw_jitter_destroy(tap->robot);
    rw_listener_release(tap->listener);
    free(tap);
}

void rw_tap_push(rw_tap **list, rw_tap *tap) {
    tap->next = *list;
    *list = tap;
}

rw_tap *rw_tap_pop(rw_tap **list) {
    rw_tap *tap = *list;
    if (tap) *list = tap->next;
    return tap;
}

const rw_tap *rw_tap_find(const rw_tap *list, uint64_t tap_id) {
    while (list && list->tap_id != tap_id)
        list = list->next;
    return list;
}

rw_tap *rw_tap_remove(rw_tap **list, uint64_t tap_id) {
    while (*list && (*list)->tap_id != tap_id)
        list = &(*list)->next;
    return rw_tap_pop(list);
}

/* --- packets ------------------------------------------------------------------------------- */

void rw_tap_put(rw_jitter *jitter, const rw_ear_media *media, const rw_rtp_packet *packet,
                rw_heard heard) {
    uint8_t type = packet->header.payload_type;
    rw_jitter_verdict verdict = RW_JITTER_EMPTY;
    if (type == media->sound)
        verdict = rw_jitter_put(jitter, packet, heard);
    else if (type == media->comfort_noise)
        verdict = rw_jitter_put_comfort_noise(jitter, packet, heard);
    /* Its place in the sequence is not to be taken for a loss. */
    if (verdict == RW_JITTER_EMPTY) rw_jitter_put_other(jitter, &packet->header, heard);
}

void rw_tap_hear(rw_tap *tap, const rw_ear_media *media, const rw_rtp_packet *packet,
                 rw_heard heard) {
    rw_tap_put(tap->caller, media, packet, heard);
}

void rw_tap_sent(rw_tap *tap, const rw_ear_media *media, const rw_rtp_packet *packet) {
    if (tap->robot) rw_tap_put(tap->robot, media, packet, RW_HEARD_NEW);
}

/* --- time ---------------------------------------------------------------------------------- */

/* Writes a piece to the recording, less what is left out at its beginning. */
static void record(rw_tap *tap, const int16_t *caller, const int16_t *robot, size_t samples) {
    size_t skip = tap->skip_samples < samples ? (size_t)tap->skip_samples : samples;
    tap->skip_samples -= skip;
    if (skip < samples)
        rw_recording_push(tap->recording, caller + skip, robot + skip, samples - skip);
}

/* What is missing within the sound is made up; what is missing behind it may be its end. */
static void speak(rw_tap *tap, const int16_t *pcm, size_t samples, rw_jitter_kind kind) {
    int16_t resampled[PIECE_SAMPLES + 1];
    bool sound = kind == RW_JITTER_SOUND;
    if (!sound && !(tap->begun && rw_jitter_waiting(tap->caller))) return;
    tap->begun = true;
    size_t made = rw_resample(tap->resampler, pcm, samples, resampled, RW_LENGTH_OF(resampled));
    rw_live_push(tap->live, resampled, made);
}

static bool take(rw_tap *tap, uint32_t ms) {
    int16_t caller[PIECE_SAMPLES], robot[PIECE_SAMPLES];
    size_t samples = ms * (tap->codec->sample_rate_hz / 1000);
    rw_jitter_kind kind = rw_jitter_take(tap->caller, caller, samples);
    if (tap->live) speak(tap, caller, samples, kind);
    if (tap->live) return false;
    if (tap->listener) return rw_listener_push(tap->listener, caller, samples);
    rw_jitter_take(tap->robot, robot, samples);
    record(tap, caller, robot, samples);
    return false;
}

bool rw_tap_advance(rw_tap *tap, uint64_t tick) {
    bool tell = false;
    while (tap->heard_tick < tick) {
        uint64_t ms = tick - tap->heard_tick;
        if (ms > PIECE_MS) ms = PIECE_MS;
        tell |= take(tap, (uint32_t)ms);
        tap->heard_tick += ms;
    }
    return tell;
}

static void finish_speaking(rw_tap *tap) {
    uint32_t left_ms = RW_TAP_LISTENER_MAX_MS + RW_CODEC_MAX_PACKET_MS;
    for (; left_ms && rw_jitter_waiting(tap->caller); left_ms -= PIECE_MS)
        take(tap, PIECE_MS);
    rw_live_finish(tap->live);
}

void rw_tap_finish(rw_tap *tap) {
    if (tap->live) finish_speaking(tap);
    if (!tap->recording) return;
    for (uint32_t left_ms = RW_TAP_RECORDING_DELAY_MS; left_ms; left_ms -= PIECE_MS)
        take(tap, PIECE_MS);
}
