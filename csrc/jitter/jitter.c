#include "jitter/jitter.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "comfort_noise/comfort_noise.h"
#include "jitter/queue.h"
#include "jitter/waveform.h"
#include "leg/leg.h"

/* What is worked on at once. */
#define BLOCK_MS 20
/* Periods that are added or left out: shorter ones are heard less. */
#define MAX_SCALE_MS 10
/* Played sound that is kept, a block, a packet, and what scaling needs; the rest saves moves. */
#define BUFFER_MS                                                                                  \
    (RW_WAVEFORM_HISTORY_MS + BLOCK_MS + 3 * MAX_SCALE_MS + RW_CODEC_MAX_PACKET_MS + 46)

/* The shortest packets that a peer may send all along, and bytes for codecs without a fixed rate:
 * 256 kbit/s, beyond what Opus has for speech. */
#define SHORTEST_PACKET_MS 5
#define SPARE_PACKETS 32
#define WHOLE_PACKET_BYTES_PER_MS 32
#define LEAST_PACKETS 4 /* of RW_MAX_PACKET_BYTES, for which there is always room */

/* More than reception takes for late: packets of two sources cannot meet in the order. */
#define ORDER_STEP 1024
/* What a lost packet may have held: no leg takes longer ones but Opus'. */
#define LOST_PACKET_MS 60

/* The delay is judged by what came within these windows, and not shrunk by fewer packets. */
#define WINDOWS 8
#define WINDOW_MS 1000
#define EVIDENCE_PACKETS 100
/* The least that the slowest packet shall wait when the delay shrinks. */
#define SAFETY_MS 5
/* Within sound, shrinking begins when this is too much: more than a slot, as packets that come just
 * before or just after their slot wait for that long or not at all. */
#define SHRINK_FROM_MS 25
#define SHRINK_EVERY_MS 200
/* In pauses, which it costs nothing. */
#define SHRINK_PAUSE_FROM_MS 5
/* A sound that is less like itself is not shortened for so long, if it is not quiet. */
#define SCALE_LIKENESS 0.5f
#define QUIET_POWER (200.0f * 200.0f)
#define SHRINK_OVERDUE_MS 2000
/* Concealment fades over to the sound that is back. */
#define RETURN_MS 5

typedef struct waits {
    int32_t least; /* of samples that packets have waited */
    int32_t most;
    uint32_t packets;
} waits;

/* The last packet of sound in the order of sequence. */
typedef struct latest {
    int64_t position;
    int64_t elapsed_ts; /* since the segment began */
    uint32_t timestamp;
    uint32_t length; /* in samples, a guess where the codec does not tell */
} latest;

struct rw_jitter {
    const rw_codec *codec;
    void *decoder;
    rw_jitter_figures figures;
    rw_jitter_queue queue;
    uint32_t per_ms;
    int32_t min_samples, max_samples, initial_samples, early_samples;
    bool started;   /* a packet has come */
    bool anchored;  /* the segment's timestamps have their place on the timeline */
    bool pausing;   /* the sender has told that it sends no sound */
    bool noisy;     /* and what its silence sounds like */
    bool concealed; /* some of what is being taken */

    /* What comes. */
    int64_t order; /* of the sequence number below, which is the newest */
    uint16_t sequence;
    uint32_t segment;
    int64_t segment_position;
    latest newest;
    waits windows[WINDOWS]; /* the present one first */
    uint32_t window_samples;

    /* What is played: `pending` samples at `at`, behind them `tail` on the timeline. */
    int64_t tail;
    int64_t sound_end;  /* of what was decoded last */
    int64_t last_order; /* of what was reached last */
    uint32_t last_segment;
    uint32_t last_length; /* of sound, in samples */
    uint64_t made_up;     /* samples since the last sound, while nobody knows why */
    uint64_t made_up_concealed;
    uint64_t regained;          /* of these, for which the timeline went back */
    uint32_t since_shrink;      /* samples */
    uint32_t block_filled;      /* of the block's samples, that are not the peer's */
    size_t at, pending, buffer; /* `buffer` is the room */
    rw_comfort_noise noise;
    rw_concealer concealer;
    int16_t pcm[];
};

/* --- made and unmade ---------------------------------------------------------------------- */

static size_t room_bytes(const rw_codec *codec, uint32_t max_ms) {
    size_t per_ms = codec->bytes_per_ts ? (size_t)codec->bytes_per_ts * codec->clock_rate_hz / 1000
                                        : WHOLE_PACKET_BYTES_PER_MS;
    size_t bytes = per_ms * (max_ms + RW_CODEC_MAX_PACKET_MS);
    size_t least = (size_t)LEAST_PACKETS * RW_MAX_PACKET_BYTES;
    return bytes > least ? bytes : least;
}

static bool is_valid(const rw_codec *codec, const rw_jitter_config *config) {
    return codec->sample_rate_hz % 1000 == 0 &&
           codec->sample_rate_hz <= 1000 * RW_WAVEFORM_MAX_PER_MS &&
           config->min_ms >= RW_JITTER_MIN_MS && config->max_ms <= RW_JITTER_MAX_MS &&
           config->early_ms <= RW_JITTER_MAX_MS - config->max_ms &&
           config->min_ms <= config->initial_ms && config->initial_ms <= config->max_ms;
}

static void forget_window(waits *window) {
    *window = (waits){.least = INT32_MAX, .most = INT32_MIN};
}

static void begin(rw_jitter *jitter, const rw_codec *codec, const rw_jitter_config *config) {
    jitter->codec = codec;
    jitter->per_ms = codec->sample_rate_hz / 1000;
    jitter->min_samples = (int32_t)(config->min_ms * jitter->per_ms);
    jitter->max_samples = (int32_t)(config->max_ms * jitter->per_ms);
    jitter->initial_samples = (int32_t)(config->initial_ms * jitter->per_ms);
    jitter->early_samples = (int32_t)(config->early_ms * jitter->per_ms);
    jitter->pausing = true;
    jitter->at = (size_t)RW_WAVEFORM_HISTORY_MS * jitter->per_ms;
    jitter->last_length = BLOCK_MS * jitter->per_ms;
    for (size_t i = 0; i < WINDOWS; i++)
        forget_window(&jitter->windows[i]);
    rw_comfort_noise_init(&jitter->noise, 1);
}

int rw_jitter_create(const rw_codec *codec, const rw_jitter_config *config, rw_jitter **jitter) {
    if (!is_valid(codec, config)) return -EINVAL;
    size_t buffer = (size_t)BUFFER_MS * (codec->sample_rate_hz / 1000);
    rw_jitter *self = calloc(1, sizeof(*self) + buffer * sizeof(self->pcm[0]));
    if (!self) return -ENOMEM;
    self->buffer = buffer;
    begin(self, codec, config);
    uint32_t most_ms = config->max_ms + config->early_ms;
    int error = rw_jitter_queue_init(&self->queue, most_ms / SHORTEST_PACKET_MS + SPARE_PACKETS,
                                     room_bytes(codec, most_ms));
    if (!error) error = rw_codec_create_decoder(codec, &self->decoder);
    if (error)
        rw_jitter_destroy(self);
    else
        *jitter = self;
    return error;
}

void rw_jitter_destroy(rw_jitter *jitter) {
    if (!jitter) return;
    rw_codec_destroy_state(jitter->decoder);
    rw_jitter_queue_release(&jitter->queue);
    free(jitter);
}

/* --- delay -------------------------------------------------------------------------------- */

/* What is played next. */
static int64_t head_of(const rw_jitter *jitter) {
    return jitter->tail - (int64_t)jitter->pending;
}

/* All windows as one. */
static waits waits_of(const rw_jitter *jitter) {
    waits all = jitter->windows[0];
    for (size_t i = 1; i < WINDOWS; i++) {
        const waits *one = &jitter->windows[i];
        if (one->least < all.least) all.least = one->least;
        if (one->most > all.most) all.most = one->most;
        all.packets += one->packets;
    }
    return all;
}

static int32_t within(int32_t value, int32_t least, int32_t most) {
    if (value < least) return least;
    return value > most ? most : value;
}

/* How long a packet waits which the network has brought as swiftly as any. */
static int32_t delay_of(const rw_jitter *jitter) {
    waits all = waits_of(jitter);
    if (!all.packets) return jitter->initial_samples;
    return within(all.most, 0, jitter->max_samples);
}

static int64_t most_waiting(const rw_jitter *jitter) {
    return (int64_t)jitter->max_samples + jitter->early_samples;
}

/* By how much the delay may yet grow. */
static int32_t room_to_grow(const rw_jitter *jitter) {
    if (jitter->min_samples == jitter->max_samples) return 0;
    return jitter->max_samples - delay_of(jitter);
}

/* A packet came which had `wait` samples to wait. One so late that no delay would have saved it
 * says nothing. */
static void note_wait(rw_jitter *jitter, int64_t wait) {
    if (wait < -(int64_t)room_to_grow(jitter)) return;
    if (wait > jitter->max_samples) wait = jitter->max_samples;
    waits *window = &jitter->windows[0];
    if (wait < window->least) window->least = (int32_t)wait;
    if (wait > window->most) window->most = (int32_t)wait;
    window->packets++;
    uint32_t delay_ms = (uint32_t)delay_of(jitter) / jitter->per_ms;
    if (delay_ms > jitter->figures.max_delay_ms) jitter->figures.max_delay_ms = delay_ms;
}

/* The walker has stood still for `samples`, or has leapt by them if negative. */
static void move_delay(rw_jitter *jitter, int32_t samples) {
    for (size_t i = 0; i < WINDOWS; i++) {
        if (!jitter->windows[i].packets) continue;
        jitter->windows[i].least += samples;
        jitter->windows[i].most += samples;
    }
}

/* A pause tells nothing new: what was known before it stays. */
static void pass_window(rw_jitter *jitter, size_t samples) {
    jitter->window_samples += (uint32_t)samples;
    if (jitter->window_samples < WINDOW_MS * jitter->per_ms || !jitter->windows[0].packets) return;
    jitter->window_samples = 0;
    memmove(jitter->windows + 1, jitter->windows, sizeof(waits) * (WINDOWS - 1));
    forget_window(&jitter->windows[0]);
}

/* Samples that the delay is too short by: for what came late, or for the least delay. */
static int32_t wanted_growth(const rw_jitter *jitter) {
    waits all = waits_of(jitter);
    if (!all.packets) return 0;
    int32_t wanted = all.least < 0 ? -all.least : 0;
    int32_t below = jitter->min_samples - all.most;
    if (below > wanted) wanted = below;
    return wanted < room_to_grow(jitter) ? wanted : room_to_grow(jitter);
}

/* Samples that the delay could be shorter by: every packet waits for them, and the swiftest have
 * more than `least` to wait. */
static int32_t wanted_shrinking(const rw_jitter *jitter, int32_t least) {
    waits all = waits_of(jitter);
    if (all.packets < EVIDENCE_PACKETS) return 0;
    int32_t spare = all.least - SAFETY_MS * (int32_t)jitter->per_ms;
    return spare < all.most - least ? spare : all.most - least;
}

/* --- what comes --------------------------------------------------------------------------- */

static bool begins_anew(const rw_jitter *jitter, rw_heard heard) {
    return !jitter->started || heard == RW_HEARD_NEW_SOURCE || heard == RW_HEARD_RESTART;
}

/* Finds the packet's place in the order; returns by how much it is ahead of all before it. */
static int follow_sequence(rw_jitter *jitter, uint16_t sequence, rw_heard heard,
                           rw_jitter_entry *entry) {
    int ahead = (int16_t)(sequence - jitter->sequence);
    if (begins_anew(jitter, heard)) {
        jitter->order += ORDER_STEP;
        jitter->segment++;
        jitter->sequence = (uint16_t)(sequence - 1);
        jitter->anchored = false;
        jitter->started = true;
        ahead = 1;
    }
    entry->order = jitter->order + ahead;
    if (ahead > 0) {
        jitter->order = entry->order;
        jitter->sequence = sequence;
    }
    return ahead;
}

static int64_t elapsed_ts(const rw_jitter *jitter, uint32_t timestamp) {
    return jitter->newest.elapsed_ts + (int32_t)(timestamp - jitter->newest.timestamp);
}

static int64_t position_of(const rw_jitter *jitter, uint32_t timestamp) {
    return jitter->segment_position + elapsed_ts(jitter, timestamp) *
                                          jitter->codec->sample_rate_hz /
                                          jitter->codec->clock_rate_hz;
}

static int64_t newest_end(const rw_jitter *jitter) {
    return jitter->newest.position + jitter->newest.length;
}

/* True if a timestamp belongs to another timeline than those before it: it goes back while the
 * sequence goes on, or is further ahead or behind than loss and the network could make it. */
static bool is_step(const rw_jitter *jitter, int64_t position, int ahead, uint32_t length) {
    int64_t wait = position - head_of(jitter);
    if (position <= jitter->newest.position) return true;
    if (wait > jitter->max_samples) {
        int64_t lost = (int64_t)(ahead - 1) * LOST_PACKET_MS * jitter->per_ms;
        int64_t hole = position - newest_end(jitter);
        return hole > lost || hole > most_waiting(jitter);
    }
    return wait + length + room_to_grow(jitter) <= 0;
}

/* A timeline begins: behind what is waiting, and with the delay that there was. */
static void begin_segment(rw_jitter *jitter, uint32_t timestamp) {
    int32_t delay = within(delay_of(jitter), jitter->min_samples, jitter->max_samples);
    int64_t soonest = head_of(jitter) + delay;
    jitter->segment++;
    jitter->segment_position = newest_end(jitter) > soonest ? newest_end(jitter) : soonest;
    jitter->newest = (latest){.timestamp = timestamp};
    jitter->anchored = true;
}

static void place(rw_jitter *jitter, uint32_t timestamp, int ahead, uint32_t length,
                  rw_jitter_entry *entry) {
    bool step = !jitter->anchored ||
                (ahead > 0 && is_step(jitter, position_of(jitter, timestamp), ahead, length));
    if (step) begin_segment(jitter, timestamp);
    entry->position = position_of(jitter, timestamp);
    entry->segment = jitter->segment;
    if (ahead <= 0 && !step) return;
    jitter->newest = (latest){.position = entry->position,
                              .elapsed_ts = elapsed_ts(jitter, timestamp),
                              .timestamp = timestamp,
                              .length = length};
}

/* What comes late, with nothing behind it played yet, is played all the same: the delay has grown.
 * At most as far as what was played already, and as the delay may grow. */
static void regain(rw_jitter *jitter, const rw_jitter_entry *entry) {
    if (jitter->pending || rw_jitter_queue_first(&jitter->queue) ||
        entry->order <= jitter->last_order)
        return;
    int64_t late = jitter->tail - entry->position, played = jitter->tail - jitter->sound_end;
    if (late > played) late = played;
    if (late > room_to_grow(jitter)) late = room_to_grow(jitter);
    if (late <= 0) return;
    jitter->tail -= late;
    jitter->regained += (uint64_t)late;
    move_delay(jitter, (int32_t)late);
}

static void drop_first(rw_jitter *jitter, const rw_jitter_entry *first) {
    jitter->figures.discarded_full += first->content == RW_JITTER_CONTENT_SOUND;
    rw_jitter_queue_pop(&jitter->queue, NULL);
}

/* Leaves out the next `samples` of the timeline, whatever is in them. */
static void leap(rw_jitter *jitter, int64_t samples) {
    size_t ready = jitter->pending;
    if ((int64_t)ready > samples) ready = (size_t)samples;
    jitter->at += ready;
    jitter->pending -= ready;
    jitter->tail += samples - (int64_t)ready;
    jitter->figures.shrunk_samples += (uint64_t)samples;
    move_delay(jitter, -(int32_t)samples);
    const rw_jitter_entry *first = rw_jitter_queue_first(&jitter->queue);
    while (first && first->position + jitter->last_length <= head_of(jitter)) {
        drop_first(jitter, first);
        first = rw_jitter_queue_first(&jitter->queue);
    }
}

static rw_jitter_verdict refuse_late(rw_jitter *jitter) {
    jitter->figures.discarded_late++;
    return RW_JITTER_LATE;
}

static rw_jitter_verdict keep(rw_jitter *jitter, const rw_jitter_entry *entry,
                              const uint8_t *payload) {
    switch (rw_jitter_queue_push(&jitter->queue, entry, payload)) {
    case -EEXIST:
        return RW_JITTER_REPEATED;
    case -EDOM:
        return RW_JITTER_MISPLACED;
    case -ENOBUFS:
        jitter->figures.discarded_full++;
        return RW_JITTER_NO_ROOM;
    default:
        return RW_JITTER_KEPT;
    }
}

/* The sender has paused: it has told so, or the next sequence number follows on. */
static bool is_pause(const rw_jitter *jitter, const rw_jitter_entry *next) {
    if (jitter->pausing) return true;
    return next && (next->segment != jitter->last_segment || next->order == jitter->last_order + 1);
}

/* Samples that can be left out without a loss of sound. */
static int64_t pause_ahead(const rw_jitter *jitter) {
    const rw_jitter_entry *first = rw_jitter_queue_first(&jitter->queue);
    if (jitter->pending || !first || !is_pause(jitter, first)) return 0;
    return first->position > jitter->tail ? first->position - jitter->tail : 0;
}

/* Nothing waits longer than the longest delay where a pause before it can go, and than what is
 * spared beyond it where sound has to. */
static rw_jitter_verdict admit(rw_jitter *jitter, const rw_jitter_entry *entry, int ahead,
                               const uint8_t *payload) {
    int64_t early = entry->position - head_of(jitter) - jitter->max_samples;
    int64_t too_early = early - jitter->early_samples, pause = pause_ahead(jitter);
    if (too_early > 0 && ahead <= 0) return RW_JITTER_MISPLACED;
    int64_t needless = early < pause ? early : pause;
    if (needless < too_early) needless = too_early;
    if (needless > 0) leap(jitter, needless);
    return keep(jitter, entry, payload);
}

/* The samples of a payload; where packets are whole, as many as the last one had. */
static uint32_t length_of(const rw_jitter *jitter, size_t bytes) {
    const rw_codec *codec = jitter->codec;
    if (!codec->bytes_per_ts) return jitter->last_length;
    return (uint32_t)(bytes / codec->bytes_per_ts * codec->sample_rate_hz / codec->clock_rate_hz);
}

/* Puts what is no sound: its timestamp says what is before it, and no more. All packets of an event
 * have that of its beginning (RFC 4733 section 2.1), and some senders stop the clock in silence. */
static rw_jitter_verdict put_aside(rw_jitter *jitter, const rw_rtp_header *header, rw_heard heard,
                                   rw_jitter_entry *entry, const uint8_t *payload) {
    int64_t head = head_of(jitter);
    follow_sequence(jitter, header->sequence, heard, entry);
    if (entry->order <= jitter->last_order) return RW_JITTER_LATE;
    entry->segment = jitter->segment;
    entry->position = jitter->anchored ? position_of(jitter, header->timestamp) : head;
    if (entry->position > head + most_waiting(jitter)) entry->position = head;
    return keep(jitter, entry, payload);
}

rw_jitter_verdict rw_jitter_put_other(rw_jitter *jitter, const rw_rtp_header *header,
                                      rw_heard heard) {
    if (!rw_heard_is_taken(heard)) return RW_JITTER_NOT_HEARD;
    rw_jitter_entry entry = {.content = RW_JITTER_CONTENT_OTHER};
    return put_aside(jitter, header, heard, &entry, NULL);
}

static rw_jitter_verdict refuse_sound(rw_jitter *jitter, const rw_rtp_header *header,
                                      rw_heard heard, rw_jitter_verdict verdict) {
    rw_jitter_put_other(jitter, header, heard);
    return verdict;
}

static rw_jitter_verdict put_sound(rw_jitter *jitter, const rw_rtp_packet *packet, uint32_t length,
                                   rw_heard heard) {
    rw_jitter_entry entry = {.content = RW_JITTER_CONTENT_SOUND,
                             .bytes = (uint16_t)packet->payload_bytes};
    int ahead = follow_sequence(jitter, packet->header.sequence, heard, &entry);
    place(jitter, packet->header.timestamp, ahead, length, &entry);
    regain(jitter, &entry);
    int64_t wait = entry.position - head_of(jitter);
    if (entry.order <= jitter->last_order || wait + length <= 0) {
        note_wait(jitter, wait);
        return refuse_late(jitter);
    }
    rw_jitter_verdict verdict = admit(jitter, &entry, ahead, packet->payload);
    if (verdict == RW_JITTER_KEPT) note_wait(jitter, entry.position - head_of(jitter));
    return verdict;
}

rw_jitter_verdict rw_jitter_put(rw_jitter *jitter, const rw_rtp_packet *packet, rw_heard heard) {
    size_t bytes = packet->payload_bytes;
    if (!rw_heard_is_taken(heard)) return RW_JITTER_NOT_HEARD;
    uint32_t length = length_of(jitter, bytes < RW_MAX_PACKET_BYTES ? bytes : RW_MAX_PACKET_BYTES);
    if (!bytes || !length) return refuse_sound(jitter, &packet->header, heard, RW_JITTER_EMPTY);
    if (bytes > RW_MAX_PACKET_BYTES || length > RW_CODEC_MAX_PACKET_MS * jitter->per_ms)
        return refuse_sound(jitter, &packet->header, heard, RW_JITTER_TOO_LONG);
    return put_sound(jitter, packet, length, heard);
}

rw_jitter_verdict rw_jitter_put_comfort_noise(rw_jitter *jitter, const rw_rtp_packet *packet,
                                              rw_heard heard) {
    size_t bytes = packet->payload_bytes;
    if (!rw_heard_is_taken(heard)) return RW_JITTER_NOT_HEARD;
    if (!bytes) return refuse_sound(jitter, &packet->header, heard, RW_JITTER_EMPTY);
    /* Coefficients of higher order count as zero (RFC 3389 section 3). */
    if (bytes > 1 + RW_COMFORT_NOISE_MAX_ORDER) bytes = 1 + RW_COMFORT_NOISE_MAX_ORDER;
    rw_jitter_entry entry = {.content = RW_JITTER_CONTENT_NOISE, .bytes = (uint16_t)bytes};
    return put_aside(jitter, &packet->header, heard, &entry, packet->payload);
}

/* --- what is decoded ---------------------------------------------------------------------- */

/* Makes room for `samples` behind what is pending. */
static void make_room(rw_jitter *jitter, size_t samples) {
    size_t history = (size_t)RW_WAVEFORM_HISTORY_MS * jitter->per_ms;
    if (jitter->at + jitter->pending + samples <= jitter->buffer) return;
    memmove(jitter->pcm, jitter->pcm + jitter->at - history,
            (history + jitter->pending) * sizeof(jitter->pcm[0]));
    jitter->at = history;
}

static int16_t *end_of(rw_jitter *jitter) {
    return jitter->pcm + jitter->at + jitter->pending;
}

static uint32_t conceal_samples(const rw_jitter *jitter) {
    return RW_WAVEFORM_CONCEAL_MS * jitter->per_ms;
}

/* What was made up turns out to have been a loss of so many packets, or a pause if of none. Where
 * the timeline went back, it was in place of sound that came late. */
static void settle(rw_jitter *jitter, int64_t lost) {
    uint64_t gap = jitter->made_up > jitter->regained ? jitter->made_up - jitter->regained : 0;
    uint64_t most = (uint64_t)lost * LOST_PACKET_MS * jitter->per_ms;
    uint64_t concealed = jitter->made_up - gap + (gap < most ? gap : most);
    jitter->figures.concealed_samples += concealed - jitter->made_up_concealed;
    jitter->figures.silent_samples -= concealed - jitter->made_up_concealed;
    jitter->made_up = jitter->made_up_concealed = jitter->regained = 0;
}

static bool is_concealing(const rw_jitter *jitter) {
    return jitter->made_up && jitter->made_up < conceal_samples(jitter);
}

/* A codec's own concealment is known to its decoder, which goes on from there. */
static void fade_in(rw_jitter *jitter, int16_t *pcm, size_t samples) {
    int16_t concealed[RETURN_MS * RW_WAVEFORM_MAX_PER_MS];
    size_t fade = (size_t)RETURN_MS * jitter->per_ms;
    if (jitter->codec->conceal || !is_concealing(jitter)) return;
    if (fade > samples) fade = samples;
    rw_concealer_fill(&jitter->concealer, concealed, fade);
    rw_waveform_weaken(concealed, fade, (uint32_t)jitter->made_up, jitter->per_ms);
    rw_waveform_fade(concealed, pcm, pcm, fade);
}

static void reach(rw_jitter *jitter, const rw_jitter_entry *entry) {
    int64_t lost =
        entry->segment == jitter->last_segment ? entry->order - jitter->last_order - 1 : 0;
    if (jitter->made_up) settle(jitter, lost);
    jitter->regained = 0;
    jitter->last_order = entry->order;
    jitter->last_segment = entry->segment;
}

/* Adds sound that was decoded behind what is pending, but for what the timeline has passed by
 * already. */
static void append_sound(rw_jitter *jitter, const rw_jitter_entry *entry, size_t samples) {
    int16_t *pcm = end_of(jitter);
    uint64_t passed = (uint64_t)(jitter->tail - entry->position);
    size_t skip = passed < samples ? (size_t)passed : samples, left = samples - skip;
    memmove(pcm, pcm + skip, left * sizeof(*pcm));
    fade_in(jitter, pcm, left);
    reach(jitter, entry);
    jitter->pending += left;
    jitter->tail += (int64_t)left;
    jitter->sound_end = jitter->tail;
    jitter->figures.discarded_late += !left;
}

/* False if there is no sound in it: then it is missed like one that is lost. */
static bool decode(rw_jitter *jitter, const rw_jitter_entry *entry, const uint8_t *payload) {
    size_t most = (size_t)RW_CODEC_MAX_PACKET_MS * jitter->per_ms;
    make_room(jitter, most);
    size_t samples =
        jitter->codec->decode(jitter->decoder, payload, entry->bytes, end_of(jitter), most);
    if (!samples) {
        jitter->figures.discarded_broken++;
        return false;
    }
    append_sound(jitter, entry, samples);
    jitter->last_length = (uint32_t)samples;
    jitter->pausing = false;
    return true;
}

static void begin_noise(rw_jitter *jitter, const rw_jitter_entry *entry, const uint8_t *payload) {
    if (rw_comfort_noise_read(&jitter->noise, payload, entry->bytes) != RW_COMFORT_NOISE_OK)
        jitter->figures.discarded_broken++;
    else
        jitter->noisy = true;
}

/* Goes through what the timeline has reached, up to the next sound; false if there is none. */
static bool decode_next(rw_jitter *jitter) {
    uint8_t payload[RW_MAX_PACKET_BYTES];
    const rw_jitter_entry *first;
    while ((first = rw_jitter_queue_first(&jitter->queue)) && first->position <= jitter->tail) {
        rw_jitter_entry entry = *first;
        rw_jitter_queue_pop(&jitter->queue, payload);
        if (entry.content == RW_JITTER_CONTENT_SOUND) {
            if (decode(jitter, &entry, payload)) return true;
            continue;
        }
        if (entry.content == RW_JITTER_CONTENT_NOISE) begin_noise(jitter, &entry, payload);
        reach(jitter, &entry);
        jitter->pausing = true;
    }
    return false;
}

static void decode_up_to(rw_jitter *jitter, size_t samples) {
    while (jitter->pending < samples && decode_next(jitter))
        ;
}

/* --- what is made up ---------------------------------------------------------------------- */

static void append_silence(rw_jitter *jitter, size_t samples) {
    make_room(jitter, samples);
    if (jitter->noisy && jitter->pausing)
        rw_comfort_noise_generate(&jitter->noise, end_of(jitter), samples);
    else
        memset(end_of(jitter), 0, samples * sizeof(jitter->pcm[0]));
    jitter->pending += samples;
    jitter->block_filled += (uint32_t)samples;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* A pause can be longer or shorter than the sender's, at most by half. */
static void adjust_pause(rw_jitter *jitter, size_t wanted, int64_t gap) {
    int32_t growth = wanted_growth(jitter);
    int32_t shrink = wanted_shrinking(jitter, jitter->min_samples);
    if (growth > 0) {
        size_t samples = smaller((size_t)growth, wanted);
        append_silence(jitter, samples);
        jitter->figures.stretched_samples += samples;
        move_delay(jitter, (int32_t)samples);
    } else if (shrink >= SHRINK_PAUSE_FROM_MS * (int32_t)jitter->per_ms) {
        int64_t samples = shrink < gap / 2 ? shrink : gap / 2;
        jitter->tail += samples;
        jitter->figures.shrunk_samples += (uint64_t)samples;
        move_delay(jitter, -(int32_t)samples);
    }
}

static void pause_for(rw_jitter *jitter, size_t samples) {
    append_silence(jitter, samples);
    jitter->tail += (int64_t)samples;
    jitter->figures.silent_samples += samples;
}

static void repeat(rw_jitter *jitter, int16_t *pcm, size_t samples) {
    bool anew = !jitter->made_up || jitter->codec->conceal;
    if (anew) rw_concealer_begin(&jitter->concealer, pcm, jitter->per_ms);
    rw_concealer_fill(&jitter->concealer, pcm, samples);
}

/* The codec goes on with its sound in whole steps; the rest is repeated, as all is where the codec
 * cannot. */
static void make_up(rw_jitter *jitter, int16_t *pcm, size_t samples) {
    const rw_codec *codec = jitter->codec;
    if (jitter->made_up >= conceal_samples(jitter)) {
        memset(pcm, 0, samples * sizeof(*pcm));
        return;
    }
    size_t made = codec->conceal ? codec->conceal(jitter->decoder, pcm, samples) : 0;
    if (made < samples) repeat(jitter, pcm + made, samples - made);
    rw_waveform_weaken(pcm, samples, (uint32_t)jitter->made_up, jitter->per_ms);
}

static void conceal_for(rw_jitter *jitter, size_t samples) {
    make_room(jitter, samples);
    make_up(jitter, end_of(jitter), samples);
    uint32_t all = conceal_samples(jitter);
    size_t concealed = jitter->made_up < all ? smaller(samples, all - jitter->made_up) : 0;
    jitter->concealed |= concealed > 0;
    jitter->figures.concealed_samples += concealed;
    jitter->figures.silent_samples += samples - concealed;
    jitter->made_up_concealed += concealed;
    jitter->made_up += samples;
    jitter->pending += samples;
    jitter->tail += (int64_t)samples;
    jitter->block_filled += (uint32_t)samples;
}

/* Fills up to `wanted` samples, of which no sound is there. */
static void fill(rw_jitter *jitter, size_t wanted) {
    const rw_jitter_entry *next = rw_jitter_queue_first(&jitter->queue);
    bool pause = is_pause(jitter, next) && !is_concealing(jitter);
    size_t pending = jitter->pending;
    if (pause) adjust_pause(jitter, wanted, next ? next->position - jitter->tail : 0);
    wanted -= jitter->pending - pending;
    if (next && next->position - jitter->tail < (int64_t)wanted)
        wanted = (size_t)(next->position - jitter->tail);
    if (!wanted) return;
    if (pause)
        pause_for(jitter, wanted);
    else
        conceal_for(jitter, wanted);
}

/* --- stretching and shrinking within sound -------------------------------------------------- */

/* Plays a period twice: at the joint, what comes next fades over to what was before it. */
static void stretch(rw_jitter *jitter, size_t block) {
    size_t longest = MAX_SCALE_MS * jitter->per_ms,
           shortest = RW_WAVEFORM_MIN_PERIOD_MS * jitter->per_ms;
    int32_t room = room_to_grow(jitter);
    if (block < longest || room < (int32_t)longest) return;
    make_room(jitter, longest);
    int16_t *next = jitter->pcm + jitter->at;
    float likeness;
    size_t period = rw_waveform_period(next, longest, shortest, longest, &likeness);
    memmove(next + period, next, jitter->pending * sizeof(*next));
    rw_waveform_fade(next + period, next - period, next, period);
    jitter->pending += period;
    jitter->block_filled += (uint32_t)period;
    jitter->figures.stretched_samples += period;
    move_delay(jitter, (int32_t)period);
}

/* Leaves a period out: what is next fades over to what follows it. The history moves along, so that
 * what was played stays before what is played. */
static void leave_out(rw_jitter *jitter, size_t period) {
    size_t history = (size_t)RW_WAVEFORM_HISTORY_MS * jitter->per_ms;
    int16_t *next = jitter->pcm + jitter->at;
    rw_waveform_fade(next, next + period, next + period, period);
    memmove(next + period - history, next - history, history * sizeof(*next));
    jitter->at += period;
    jitter->pending -= period;
    jitter->figures.shrunk_samples += period;
    jitter->since_shrink = 0;
    move_delay(jitter, -(int32_t)period);
}

static void shrink(rw_jitter *jitter, size_t block) {
    size_t longest = MAX_SCALE_MS * jitter->per_ms,
           shortest = RW_WAVEFORM_MIN_PERIOD_MS * jitter->per_ms;
    decode_up_to(jitter, block + 2 * longest);
    if (jitter->pending < block + 2 * longest) return;
    const int16_t *next = jitter->pcm + jitter->at;
    float likeness;
    size_t period = rw_waveform_period(next + longest, longest, shortest, longest, &likeness);
    bool quiet = rw_waveform_power(next, 2 * longest) < QUIET_POWER;
    bool overdue = jitter->since_shrink >= SHRINK_OVERDUE_MS * jitter->per_ms;
    if (quiet || likeness >= SCALE_LIKENESS || overdue) leave_out(jitter, period);
}

/* Moves the delay to where it should be, while sound is played. */
static void adjust_sound(rw_jitter *jitter, size_t block) {
    jitter->since_shrink += (uint32_t)block;
    if (wanted_growth(jitter) > 0) {
        stretch(jitter, block);
        return;
    }
    int32_t spare = wanted_shrinking(jitter, jitter->initial_samples);
    if (spare >= SHRINK_FROM_MS * (int32_t)jitter->per_ms &&
        jitter->since_shrink >= SHRINK_EVERY_MS * jitter->per_ms)
        shrink(jitter, block);
}

/* --- what is taken ------------------------------------------------------------------------ */

static void take_block(rw_jitter *jitter, int16_t *pcm, size_t samples) {
    jitter->block_filled = 0;
    decode_up_to(jitter, samples);
    if (jitter->pending >= samples) adjust_sound(jitter, samples);
    while (jitter->pending < samples)
        if (!decode_next(jitter)) fill(jitter, samples - jitter->pending);
    memcpy(pcm, jitter->pcm + jitter->at, samples * sizeof(*pcm));
    jitter->at += samples;
    jitter->pending -= samples;
    jitter->figures.played_samples += samples - jitter->block_filled;
    pass_window(jitter, samples);
}

rw_jitter_kind rw_jitter_take(rw_jitter *jitter, int16_t *pcm, size_t samples) {
    uint64_t played = jitter->figures.played_samples;
    jitter->concealed = false;
    for (size_t block = BLOCK_MS * jitter->per_ms; samples; samples -= block, pcm += block) {
        if (samples < block) block = samples;
        take_block(jitter, pcm, block);
    }
    if (jitter->figures.played_samples > played) return RW_JITTER_SOUND;
    return jitter->concealed ? RW_JITTER_CONCEALED : RW_JITTER_SILENCE;
}

bool rw_jitter_waiting(const rw_jitter *jitter) {
    return jitter->pending || rw_jitter_queue_first(&jitter->queue);
}

void rw_jitter_read(const rw_jitter *jitter, rw_jitter_figures *figures) {
    *figures = jitter->figures;
    figures->delay_ms = (uint32_t)delay_of(jitter) / jitter->per_ms;
}
