#include "conference/conference.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "resample/resample.h"
#include "tap/tap.h"
#include "vad/vad.h"

/* Legs have packets of this length at most, and sound is given in such pieces. */
#define MAX_BLOCK_MS RW_MIXER_MAX_BLOCK_MS
#define MAX_SAMPLES (MAX_BLOCK_MS * 48)

struct rw_conference {
    _Atomic uint32_t references;
    uint32_t sample_rate_hz;
    rw_mixer *mixer; /* the shard's */
};

int rw_conference_create(uint32_t sample_rate_hz, uint32_t max_members,
                         rw_conference **conference) {
    const rw_mixer_config config = {sample_rate_hz, max_members, MAX_BLOCK_MS};
    rw_conference *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    atomic_init(&self->references, 1);
    self->sample_rate_hz = sample_rate_hz;
    int error = rw_mixer_create(&config, &self->mixer);
    if (error)
        rw_conference_release(self);
    else
        *conference = self;
    return error;
}

rw_conference *rw_conference_retain(rw_conference *conference) {
    atomic_fetch_add_explicit(&conference->references, 1, memory_order_relaxed);
    return conference;
}

void rw_conference_release(rw_conference *conference) {
    if (!conference) return;
    if (atomic_fetch_sub_explicit(&conference->references, 1, memory_order_acq_rel) > 1) return;
    rw_mixer_destroy(conference->mixer);
    free(conference);
}

/* --- seats --------------------------------------------------------------------------------- */

/* What a member hears through: as long a wait as a program has that listens. */
static int create_ways(rw_seat *seat) {
    const rw_jitter_config delay = {
        .min_ms = RW_TAP_LISTENER_MIN_MS,
        .max_ms = RW_TAP_LISTENER_MAX_MS,
        .initial_ms = RW_TAP_LISTENER_INITIAL_MS,
    };
    rw_resampler probe;
    int error =
        rw_resampler_init(&probe, seat->codec->sample_rate_hz, seat->conference->sample_rate_hz);
    if (!error) error = rw_jitter_create(seat->codec, &delay, &seat->jitter);
    return error ? error : rw_codec_create_encoder(seat->codec, &seat->encoder);
}

int rw_seat_create(uint64_t seat_id, rw_conference *conference, const rw_codec *codec,
                   rw_seat **seat) {
    rw_seat *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->seat_id = seat_id;
    self->conference = rw_conference_retain(conference);
    self->codec = codec;
    int error = create_ways(self);
    if (error)
        rw_seat_destroy(self);
    else
        *seat = self;
    return error;
}

void rw_seat_destroy(rw_seat *seat) {
    if (!seat) return;
    rw_jitter_destroy(seat->jitter);
    rw_codec_destroy_state(seat->encoder);
    rw_conference_release(seat->conference);
    free(seat);
}

void rw_seat_push(rw_seat **list, rw_seat *seat) {
    seat->next = *list;
    *list = seat;
}

rw_seat *rw_seat_pop(rw_seat **list) {
    rw_seat *seat = *list;
    if (seat) *list = seat->next;
    return seat;
}

/* --- membership ---------------------------------------------------------------------------- */

static rw_mixer *mixer_of(const rw_seat *seat) {
    return seat->conference->mixer;
}

int rw_seat_take(rw_seat *seat, uint64_t tick) {
    int member = rw_mixer_join(mixer_of(seat), seat->codec->sample_rate_hz);
    seat->heard_tick = tick;
    seat->taken = member >= 0;
    seat->status = seat->taken ? 0 : member;
    if (!seat->taken) return member;
    seat->member = (uint32_t)member;
    rw_seat_set_role(seat, RW_MIXER_LISTENER, NULL);
    return 0;
}

void rw_seat_leave(rw_seat *seat) {
    if (!seat->taken) return;
    seat->figures = *rw_mixer_member_stats(mixer_of(seat), seat->member);
    rw_mixer_leave(mixer_of(seat), seat->member);
    seat->taken = false;
}

static bool can_whisper(const rw_seat *seat, const rw_seat *to) {
    return to && to != seat && to->taken && to->conference == seat->conference;
}

void rw_seat_set_role(rw_seat *seat, rw_mixer_role role, const rw_seat *whisper_to) {
    if (role == RW_MIXER_WHISPERER && !can_whisper(seat, whisper_to)) role = RW_MIXER_LISTENER;
    uint32_t to = role == RW_MIXER_WHISPERER ? whisper_to->member : 0;
    rw_mixer_set_role(mixer_of(seat), seat->member, role, to);
}

/* --- sound --------------------------------------------------------------------------------- */

void rw_seat_hear(rw_seat *seat, const rw_ear_media *media, const rw_rtp_packet *packet,
                  rw_heard heard) {
    rw_tap_put(seat->jitter, media, packet, heard);
}

void rw_seat_note(rw_seat *seat, const rw_rtp_packet *packet, rw_heard heard) {
    rw_jitter_put_other(seat->jitter, &packet->header, heard);
}

void rw_seat_advance(rw_seat *seat, uint64_t tick) {
    int16_t pcm[MAX_SAMPLES];
    while (seat->heard_tick < tick) {
        uint64_t ms = tick - seat->heard_tick;
        if (ms > MAX_BLOCK_MS) ms = MAX_BLOCK_MS;
        size_t samples = ms * (seat->codec->sample_rate_hz / 1000);
        rw_jitter_take(seat->jitter, pcm, samples);
        uint64_t sounds_at = seat->heard_tick + RW_SEAT_AHEAD_MS;
        rw_mixer_put(mixer_of(seat), seat->member, sounds_at, pcm, samples);
        seat->heard_tick += ms;
    }
}

size_t rw_seat_mix(rw_seat *seat, uint64_t tick, uint32_t ms, uint8_t *payload, size_t room,
                   int8_t *level_dbov) {
    int16_t pcm[MAX_SAMPLES];
    size_t samples = ms * (seat->codec->sample_rate_hz / 1000);
    rw_mixer_take(mixer_of(seat), seat->member, tick, pcm, samples);
    *level_dbov = rw_vad_level(pcm, samples);
    return seat->codec->encode(seat->encoder, pcm, samples, payload, room);
}
