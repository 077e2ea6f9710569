#include "mixer/mixer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "resample/resample.h"

#define MAX_SAMPLES (RW_MIXER_MAX_BLOCK_MS * 48)

/* Blocks in a ring: one that is given, one that is taken, one by which either may be late. */
#define RING_BLOCKS 3

/* Sound by time, in a ring: of the last `ring_samples` before `end`. Behind that it is silent. */
typedef struct rw_track {
    int32_t *samples;
    uint64_t end;
} rw_track;

typedef struct rw_member {
    rw_track own;        /* its part of the room's sum */
    rw_track aside;      /* what is whispered to it */
    uint64_t given_tick; /* up to here; 0: nothing yet */
    uint64_t taken_tick;
    uint64_t deaf_to; /* a bit for each member whom it does not hear */
    uint32_t samples_per_ms;
    uint32_t whisper_to;
    rw_mixer_role role;
    rw_mixer_stats stats;
    rw_resampler in;
    rw_resampler out;
} rw_member;

struct rw_mixer {
    rw_track sum;      /* of all talkers */
    uint64_t now_tick; /* the newest that anybody came with */
    uint64_t taken_tick;
    uint64_t joined; /* a bit for each number that is a member */
    uint32_t sample_rate_hz;
    uint32_t max_members;
    uint32_t max_block_ms;
    uint32_t ring_samples;
    rw_mixer_stats gone; /* figures of whoever is no member any more, or never was */
    int32_t *samples;    /* of all tracks */
    rw_member members[];
};

static bool can_be(const rw_mixer_config *config) {
    rw_resampler none;
    return rw_resampler_init(&none, config->sample_rate_hz, config->sample_rate_hz) == 0 &&
           config->max_members >= 1 && config->max_members <= RW_MIXER_MAX_MEMBERS &&
           config->max_block_ms >= 1 && config->max_block_ms <= RW_MIXER_MAX_BLOCK_MS;
}

static void share_out(rw_mixer *mixer) {
    int32_t *samples = mixer->samples;
    mixer->sum.samples = samples;
    for (uint32_t i = 0; i < mixer->max_members; i++) {
        mixer->members[i].own.samples = samples += mixer->ring_samples;
        mixer->members[i].aside.samples = samples += mixer->ring_samples;
    }
}

int rw_mixer_create(const rw_mixer_config *config, rw_mixer **mixer) {
    if (!can_be(config)) return -EINVAL;
    rw_mixer *self = calloc(1, sizeof(*self) + config->max_members * sizeof(*self->members));
    if (!self) return -ENOMEM;
    self->sample_rate_hz = config->sample_rate_hz;
    self->max_members = config->max_members;
    self->max_block_ms = config->max_block_ms;
    self->ring_samples = RING_BLOCKS * config->max_block_ms * (config->sample_rate_hz / 1000);
    size_t tracks = 1 + 2 * (size_t)config->max_members;
    self->samples = calloc(tracks * self->ring_samples, sizeof(*self->samples));
    if (!self->samples) {
        free(self);
        return -ENOMEM;
    }
    share_out(self);
    *mixer = self;
    return 0;
}

void rw_mixer_destroy(rw_mixer *mixer) {
    if (!mixer) return;
    free(mixer->samples);
    free(mixer);
}

/* --- tracks -------------------------------------------------------------------------------- */

/* Where the sample `at` lies, and how many from there to `to` lie in one piece. */
static size_t piece_of(const rw_mixer *mixer, uint64_t at, uint64_t to, size_t *samples) {
    size_t place = at % mixer->ring_samples, rest = mixer->ring_samples - place;
    *samples = to - at < rest ? to - at : rest;
    return place;
}

/* Moves the end on, over silence. */
static void extend(const rw_mixer *mixer, rw_track *track, uint64_t end) {
    if (end <= track->end) return;
    uint64_t at = end > mixer->ring_samples ? end - mixer->ring_samples : 0;
    if (at < track->end) at = track->end;
    track->end = end;
    for (size_t samples; at < end; at += samples) {
        size_t place = piece_of(mixer, at, end, &samples);
        memset(track->samples + place, 0, samples * sizeof(*track->samples));
    }
}

static void add(const rw_mixer *mixer, rw_track *track, uint64_t at, const int16_t *pcm,
                size_t count) {
    uint64_t end = at + count;
    extend(mixer, track, end);
    for (size_t samples; at < end; at += samples, pcm += samples) {
        int32_t *to = track->samples + piece_of(mixer, at, end, &samples);
        for (size_t i = 0; i < samples; i++)
            to[i] += pcm[i];
    }
}

/* Takes out of the sum what is still there of a member. */
static void withdraw(const rw_mixer *mixer, const rw_member *member) {
    const rw_track *sum = &mixer->sum;
    uint64_t at = sum->end > mixer->ring_samples ? sum->end - mixer->ring_samples : 0;
    for (size_t samples; at < member->own.end; at += samples) {
        size_t place = piece_of(mixer, at, member->own.end, &samples);
        for (size_t i = 0; i < samples; i++)
            sum->samples[place + i] -= member->own.samples[place + i];
    }
}

/* Adds what a track has from `at` on to `count` samples. */
static void collect(const rw_mixer *mixer, const rw_track *track, uint64_t at, int32_t *to,
                    size_t count) {
    uint64_t end = at + count < track->end ? at + count : track->end;
    for (size_t samples; at < end; at += samples, to += samples) {
        const int32_t *from = track->samples + piece_of(mixer, at, end, &samples);
        for (size_t i = 0; i < samples; i++)
            to[i] += from[i];
    }
}

/* --- members ------------------------------------------------------------------------------- */

static uint64_t bit(uint32_t number) {
    return UINT64_C(1) << number;
}

static bool is_member(const rw_mixer *mixer, uint32_t number) {
    return number < mixer->max_members && mixer->joined & bit(number);
}

static rw_member *member_at(rw_mixer *mixer, uint32_t number) {
    return is_member(mixer, number) ? &mixer->members[number] : NULL;
}

int rw_mixer_join(rw_mixer *mixer, uint32_t sample_rate_hz) {
    uint32_t number = 0;
    while (is_member(mixer, number))
        number++;
    if (number == mixer->max_members) return -ENOSPC;
    rw_member *member = &mixer->members[number];
    int error = rw_resampler_init(&member->in, sample_rate_hz, mixer->sample_rate_hz);
    if (error) return error;
    rw_resampler_init(&member->out, mixer->sample_rate_hz, sample_rate_hz);
    member->own.end = member->aside.end = 0;
    member->given_tick = member->taken_tick = 0;
    member->deaf_to = 0;
    member->samples_per_ms = sample_rate_hz / 1000;
    member->role = RW_MIXER_TALKER;
    memset(&member->stats, 0, sizeof(member->stats));
    mixer->joined |= bit(number);
    return (int)number;
}

static void add_stats(rw_mixer_stats *to, const rw_mixer_stats *stats) {
    to->missing_ms += stats->missing_ms;
    to->clipped_samples += stats->clipped_samples;
    to->overtaken += stats->overtaken;
    for (int i = 0; i < RW_MIXER_VERDICTS; i++) {
        to->given[i] += stats->given[i];
        to->taken[i] += stats->taken[i];
    }
}

int rw_mixer_leave(rw_mixer *mixer, uint32_t number) {
    rw_member *gone = member_at(mixer, number);
    if (!gone) return -ENOENT;
    withdraw(mixer, gone);
    add_stats(&mixer->gone, &gone->stats);
    mixer->joined &= ~bit(number);
    for (uint32_t i = 0; i < mixer->max_members; i++) {
        rw_member *other = &mixer->members[i];
        other->deaf_to &= ~bit(number);
        if (other->role == RW_MIXER_WHISPERER && other->whisper_to == number)
            other->role = RW_MIXER_LISTENER;
    }
    return 0;
}

int rw_mixer_set_role(rw_mixer *mixer, uint32_t number, rw_mixer_role role, uint32_t whisper_to) {
    rw_member *member = member_at(mixer, number);
    bool whispers = role == RW_MIXER_WHISPERER;
    if ((unsigned)role >= RW_MIXER_ROLES || (whispers && whisper_to == number)) return -EINVAL;
    if (!member || (whispers && !is_member(mixer, whisper_to))) return -ENOENT;
    member->role = role;
    member->whisper_to = whisper_to;
    return 0;
}

int rw_mixer_set_hears(rw_mixer *mixer, uint32_t listener, uint32_t talker, bool hears) {
    rw_member *member = member_at(mixer, listener);
    if (listener == talker) return -EINVAL;
    if (!member || !is_member(mixer, talker)) return -ENOENT;
    if (hears)
        member->deaf_to &= ~bit(talker);
    else
        member->deaf_to |= bit(talker);
    return 0;
}

const rw_mixer_stats *rw_mixer_member_stats(const rw_mixer *mixer, uint32_t number) {
    return is_member(mixer, number) ? &mixer->members[number].stats : NULL;
}

void rw_mixer_total_stats(const rw_mixer *mixer, rw_mixer_stats *total) {
    *total = mixer->gone;
    for (uint32_t i = 0; i < mixer->max_members; i++)
        if (is_member(mixer, i)) add_stats(total, &mixer->members[i].stats);
}

/* --- blocks -------------------------------------------------------------------------------- */

/* Lets time go on, and tells the tick by the room's own count, which is a block ahead: so the first
 * block that is taken has a past too. */
static uint64_t enter(rw_mixer *mixer, uint64_t tick) {
    tick += mixer->max_block_ms;
    if (tick > mixer->now_tick) mixer->now_tick = tick;
    return tick;
}

/* 0: no length for a block. */
static uint32_t length_ms(const rw_mixer *mixer, const rw_member *member, size_t samples) {
    size_t ms = samples / member->samples_per_ms;
    return samples % member->samples_per_ms || ms > mixer->max_block_ms ? 0 : (uint32_t)ms;
}

/* Of a block in the slot at `tick` that begins at `from_tick`, when all is done to `done_tick`. */
static rw_mixer_verdict judge(const rw_mixer *mixer, uint64_t tick, uint32_t ms, uint64_t from_tick,
                              uint64_t done_tick) {
    if (!ms) return RW_MIXER_BAD_LENGTH;
    if (mixer->now_tick - tick >= mixer->max_block_ms) return RW_MIXER_LATE;
    return from_tick < done_tick ? RW_MIXER_TWICE : RW_MIXER_OK;
}

static void note_given(rw_mixer *mixer, rw_member *member, uint64_t tick, uint32_t ms) {
    if (member->given_tick) member->stats.missing_ms += tick - member->given_tick;
    if (tick < mixer->taken_tick) member->stats.overtaken++;
    member->given_tick = tick + ms;
}

static void talk(rw_mixer *mixer, rw_member *member, uint64_t at, const int16_t *pcm,
                 size_t samples) {
    add(mixer, &member->own, at, pcm, samples);
    add(mixer, &mixer->sum, at, pcm, samples);
}

static void whisper(rw_mixer *mixer, const rw_member *from, uint64_t at, const int16_t *pcm,
                    size_t samples) {
    rw_member *to = &mixer->members[from->whisper_to];
    if (to->deaf_to & bit((uint32_t)(from - mixer->members))) return;
    add(mixer, &to->aside, at, pcm, samples);
}

static void give(rw_mixer *mixer, rw_member *member, uint64_t tick, const int16_t *pcm,
                 size_t samples) {
    if (member->role == RW_MIXER_LISTENER) return;
    int16_t sound[MAX_SAMPLES];
    uint64_t at = tick * (mixer->sample_rate_hz / 1000);
    samples = rw_resample(&member->in, pcm, samples, sound, MAX_SAMPLES);
    if (member->role == RW_MIXER_TALKER)
        talk(mixer, member, at, sound, samples);
    else
        whisper(mixer, member, at, sound, samples);
}

rw_mixer_verdict rw_mixer_put(rw_mixer *mixer, uint32_t number, uint64_t tick, const int16_t *pcm,
                              size_t samples) {
    rw_member *member = member_at(mixer, number);
    if (!member) {
        mixer->gone.given[RW_MIXER_NOT_A_MEMBER]++;
        return RW_MIXER_NOT_A_MEMBER;
    }
    tick = enter(mixer, tick);
    uint32_t ms = length_ms(mixer, member, samples);
    rw_mixer_verdict verdict = judge(mixer, tick, ms, tick, member->given_tick);
    member->stats.given[verdict]++;
    if (verdict == RW_MIXER_OK) {
        note_given(mixer, member, tick, ms);
        give(mixer, member, tick, pcm, samples);
    }
    return verdict;
}

/* What a talker may not hear of the sum: itself, and those whom it is deaf to. */
static void collect_unheard(const rw_mixer *mixer, const rw_member *member, uint64_t at,
                            int32_t *to, size_t samples) {
    collect(mixer, &member->own, at, to, samples);
    for (uint64_t left = member->deaf_to; left; left &= left - 1)
        collect(mixer, &mixer->members[__builtin_ctzll(left)].own, at, to, samples);
}

/* Returns how many samples were too loud. */
static uint32_t clip_difference(const int32_t *heard, const int32_t *unheard, int16_t *pcm,
                                size_t samples) {
    uint32_t clipped = 0;
    for (size_t i = 0; i < samples; i++) {
        int32_t exact = heard[i] - unheard[i];
        int32_t sample = exact > INT16_MAX ? INT16_MAX : exact < INT16_MIN ? INT16_MIN : exact;
        clipped += sample != exact;
        pcm[i] = (int16_t)sample;
    }
    return clipped;
}

static void mix(const rw_mixer *mixer, rw_member *member, uint64_t from_tick, uint32_t ms,
                int16_t *pcm, size_t room) {
    int32_t heard[MAX_SAMPLES], unheard[MAX_SAMPLES];
    int16_t sound[MAX_SAMPLES];
    size_t per_ms = mixer->sample_rate_hz / 1000, samples = ms * per_ms;
    uint64_t at = from_tick * per_ms;
    memset(heard, 0, samples * sizeof(*heard));
    memset(unheard, 0, samples * sizeof(*unheard));
    collect(mixer, &mixer->sum, at, heard, samples);
    collect(mixer, &member->aside, at, heard, samples);
    collect_unheard(mixer, member, at, unheard, samples);
    member->stats.clipped_samples += clip_difference(heard, unheard, sound, samples);
    rw_resample(&member->out, sound, samples, pcm, room);
}

static rw_mixer_verdict take(rw_mixer *mixer, rw_member *member, uint64_t tick, int16_t *pcm,
                             size_t samples) {
    tick = enter(mixer, tick);
    uint32_t ms = length_ms(mixer, member, samples);
    rw_mixer_verdict verdict = judge(mixer, tick, ms, tick - ms, member->taken_tick);
    member->stats.taken[verdict]++;
    if (verdict == RW_MIXER_OK) {
        member->taken_tick = tick;
        if (tick > mixer->taken_tick) mixer->taken_tick = tick;
        mix(mixer, member, tick - ms, ms, pcm, samples);
    }
    return verdict;
}

rw_mixer_verdict rw_mixer_take(rw_mixer *mixer, uint32_t number, uint64_t tick, int16_t *pcm,
                               size_t samples) {
    rw_member *member = member_at(mixer, number);
    rw_mixer_verdict verdict = RW_MIXER_NOT_A_MEMBER;
    if (member)
        verdict = take(mixer, member, tick, pcm, samples);
    else
        mixer->gone.taken[verdict]++;
    if (verdict != RW_MIXER_OK) memset(pcm, 0, samples * sizeof(*pcm));
    return verdict;
}
