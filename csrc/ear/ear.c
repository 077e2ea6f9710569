#include "ear/ear.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_SAMPLES (RW_CODEC_MAX_PACKET_MS * 48)
#define PIECE_MS 20

/* A hole in the timestamps that is longer than this says nothing about time. */
#define MAX_GAP_MS 10000

struct rw_ear {
    rw_reception reception;
    rw_event_receiver events;
    rw_vad vad;
    rw_dtmf_detector tones;
    rw_ear_config config;
    rw_ear_media media;
    const rw_codec *codec;
    void *decoder;
    uint64_t sound_us;  /* when sound was heard last */
    uint64_t even_us;   /* when time will have caught up with the sound that was heard */
    uint32_t next_ts;   /* timestamp of the sound that would follow without a gap */
    uint32_t passed_ms; /* of the silence since then, told to the detectors already */
    bool follows;       /* `next_ts` holds */
    bool timed_out;
    rw_heard heard;
    bool listening_for_tones;
};

int rw_ear_create(const rw_ear_config *config, const rw_codec *codec, rw_ear **ear) {
    rw_ear *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->config = *config;
    self->codec = codec;
    rw_vad_config vad = {codec->sample_rate_hz, config->hangover_ms, config->sensitivity};
    int error = rw_codec_create_decoder(codec, &self->decoder);
    if (!error && config->speech) error = rw_vad_init(&self->vad, &vad);
    if (!error && config->tones) error = rw_dtmf_detector_init(&self->tones, codec->sample_rate_hz);
    if (error) {
        rw_ear_destroy(self);
        return error;
    }
    rw_reception_init(&self->reception, codec->clock_rate_hz);
    *ear = self;
    return 0;
}

void rw_ear_destroy(rw_ear *ear) {
    if (!ear) return;
    rw_codec_destroy_state(ear->decoder);
    free(ear);
}

int rw_ear_agree(rw_ear *ear, const rw_ear_media *media) {
    bool same_events = ear->media.clock_rate_hz == media->clock_rate_hz;
    if (!same_events) {
        int error = rw_event_receiver_init(&ear->events, media->clock_rate_hz);
        if (error) return error;
        rw_reception_set_clock(&ear->reception, media->clock_rate_hz);
    }
    ear->media = *media;
    ear->listening_for_tones = ear->config.tones && media->events == RW_NO_PAYLOAD_TYPE;
    return 0;
}

/* --- what is told -------------------------------------------------------------------------- */

static void tell_digits(rw_ear_report *report, const rw_digit *digits, size_t count, bool tone) {
    for (size_t i = 0; i < count && report->count < RW_EAR_ROOM; i++)
        report->news[report->count++] =
            (rw_ear_news){.kind = RW_EAR_DIGIT, .tone = tone, .digit = digits[i]};
}

static void tell_speech(rw_ear_report *report, const rw_vad_event *event) {
    if (event->kind != RW_VAD_NONE && report->count < RW_EAR_ROOM)
        report->news[report->count++] = (rw_ear_news){.kind = RW_EAR_SPEECH, .speech = *event};
}

/* --- sound --------------------------------------------------------------------------------- */

static void pass_silence(rw_ear *ear, uint32_t ms, rw_ear_report *report) {
    if (!ms) return;
    if (ear->config.speech) {
        rw_vad_event event;
        rw_vad_gap(&ear->vad, ms, &event);
        tell_speech(report, &event);
    }
    if (ear->listening_for_tones) {
        rw_digit ended;
        size_t samples = (size_t)ms * (ear->codec->sample_rate_hz / 1000);
        if (rw_dtmf_detector_gap(&ear->tones, samples, &ended))
            tell_digits(report, &ended, 1, true);
    }
}

/* What the timestamps leave out before this packet, less what has passed by the clock already. */
static void pass_gap(rw_ear *ear, uint32_t timestamp, rw_ear_report *report) {
    uint32_t missing_ms = (timestamp - ear->next_ts) / (ear->media.clock_rate_hz / 1000);
    bool ahead = (int32_t)(timestamp - ear->next_ts) > 0 && missing_ms <= MAX_GAP_MS;
    if (ear->follows && ahead && missing_ms > ear->passed_ms)
        pass_silence(ear, missing_ms - ear->passed_ms, report);
    ear->passed_ms = 0;
}

static void detect_speech(rw_ear *ear, const int16_t *pcm, size_t samples, rw_ear_report *report) {
    size_t per_ms = ear->codec->sample_rate_hz / 1000, piece = PIECE_MS * per_ms;
    rw_vad_event event;
    while (samples) {
        /* The last piece takes what would be too short for one of its own. */
        size_t take = samples < 2 * piece ? samples : piece;
        if (rw_vad_hear(&ear->vad, pcm, take, &event))
            rw_vad_gap(&ear->vad, (uint32_t)(take / per_ms), &event);
        tell_speech(report, &event);
        pcm += take;
        samples -= take;
    }
}

static void detect_tones(rw_ear *ear, const int16_t *pcm, size_t samples, rw_ear_report *report) {
    rw_digit digits[RW_EAR_ROOM];
    size_t count = rw_dtmf_detector_hear(&ear->tones, pcm, samples, digits, RW_EAR_ROOM);
    tell_digits(report, digits, count, true);
}

/* False if sound comes too fast to be heard. */
static bool keeps_pace(rw_ear *ear, uint64_t now_us) {
    if (ear->even_us < now_us) ear->even_us = now_us;
    if (ear->even_us > now_us + RW_EAR_MAX_AHEAD_US) return false;
    ear->even_us += RW_EAR_MIN_PACKET_US / RW_EAR_MAX_PACE;
    return true;
}

/* What a packet holds beyond the least that each is taken for. */
static void account_for(rw_ear *ear, size_t samples) {
    uint64_t length_us = (uint64_t)samples * 1000000 / ear->codec->sample_rate_hz;
    if (length_us > RW_EAR_MIN_PACKET_US)
        ear->even_us += (length_us - RW_EAR_MIN_PACKET_US) / RW_EAR_MAX_PACE;
}

static rw_ear_reject hear_sound(rw_ear *ear, const rw_rtp_packet *packet, uint64_t now_us,
                                rw_ear_report *report) {
    rw_heard heard = ear->heard;
    ear->sound_us = now_us;
    bool detecting = ear->config.speech || ear->listening_for_tones;
    /* Detectors go by time: what comes too late for its place is left out. */
    if (!detecting || heard == RW_HEARD_LATE) return RW_EAR_TAKEN;
    if (heard == RW_HEARD_NEW_SOURCE || heard == RW_HEARD_RESTART) ear->follows = false;
    int16_t pcm[MAX_SAMPLES];
    size_t samples = ear->codec->decode(ear->decoder, packet->payload, packet->payload_bytes, pcm,
                                        RW_CODEC_MAX_PACKET_MS * ear->codec->sample_rate_hz / 1000);
    if (!samples) return RW_EAR_EMPTY;
    account_for(ear, samples);
    pass_gap(ear, packet->header.timestamp, report);
    if (ear->config.speech) detect_speech(ear, pcm, samples, report);
    if (ear->listening_for_tones) detect_tones(ear, pcm, samples, report);
    uint64_t length_ts = (uint64_t)samples * ear->media.clock_rate_hz / ear->codec->sample_rate_hz;
    ear->next_ts = packet->header.timestamp + (uint32_t)length_ts;
    ear->follows = true;
    return RW_EAR_TAKEN;
}

/* --- events -------------------------------------------------------------------------------- */

static rw_ear_reject hear_event(rw_ear *ear, const rw_rtp_packet *packet, uint64_t now_us,
                                rw_ear_report *report) {
    rw_event_news news = {.count = 0};
    rw_event_verdict verdict = rw_event_receiver_hear(
        &ear->events, now_us, &packet->header, packet->payload, packet->payload_bytes, &news);
    tell_digits(report, news.digits, news.count, false);
    switch (verdict) {
    case RW_EVENT_BAD_LENGTH:
        return RW_EAR_BAD_EVENT;
    case RW_EVENT_NOT_A_DIGIT:
        return RW_EAR_NOT_A_DIGIT;
    case RW_EVENT_STORM:
        return RW_EAR_DIGIT_STORM;
    default:
        return RW_EAR_TAKEN;
    }
}

/* --- packets and time ----------------------------------------------------------------------- */

static rw_ear_reject reject_of(rw_heard heard) {
    switch (heard) {
    case RW_HEARD_DUPLICATE:
        return RW_EAR_DUPLICATE;
    case RW_HEARD_STALE:
        return RW_EAR_STALE;
    case RW_HEARD_JUMP:
        return RW_EAR_JUMP;
    case RW_HEARD_STRANGER:
        return RW_EAR_STRANGER;
    default:
        return RW_EAR_TAKEN;
    }
}

rw_ear_reject rw_ear_note(rw_ear *ear, const rw_rtp_packet *packet, uint64_t now_us) {
    uint8_t type = packet->header.payload_type;
    bool sound = type == ear->media.sound, event = type == ear->media.events;
    if (!sound && !event && type != ear->media.comfort_noise) return RW_EAR_UNKNOWN_TYPE;
    rw_heard heard = rw_reception_hear(&ear->reception, &packet->header, now_us);
    rw_ear_reject reject = reject_of(heard);
    if (reject) return reject;
    ear->heard = heard;
    ear->timed_out = false;
    return sound && !keeps_pace(ear, now_us) ? RW_EAR_TOO_FAST : RW_EAR_TAKEN;
}

rw_ear_reject rw_ear_hear(rw_ear *ear, const rw_rtp_packet *packet, uint64_t now_us,
                          rw_ear_report *report) {
    rw_ear_reject reject = rw_ear_note(ear, packet, now_us);
    if (reject) return reject;
    uint8_t type = packet->header.payload_type;
    if (type == ear->media.events) return hear_event(ear, packet, now_us, report);
    return type == ear->media.sound ? hear_sound(ear, packet, now_us, report) : RW_EAR_TAKEN;
}

void rw_ear_pass(rw_ear *ear, uint64_t now_us, rw_ear_report *report) {
    rw_digit ended;
    if (rw_event_receiver_expire(&ear->events, now_us, &ended))
        tell_digits(report, &ended, 1, false);
    if (!ear->follows || now_us < ear->sound_us + RW_EAR_SILENT_US) return;
    uint64_t silent_ms = (now_us - ear->sound_us) / 1000;
    if (silent_ms > MAX_GAP_MS) silent_ms = MAX_GAP_MS;
    uint32_t passed_ms = (uint32_t)silent_ms - ear->passed_ms;
    ear->passed_ms = (uint32_t)silent_ms;
    pass_silence(ear, passed_ms, report);
}

bool rw_ear_waits(const rw_ear *ear) {
    return ear->events.phase == RW_EVENT_SOUNDING ||
           (ear->config.speech && rw_vad_speaking(&ear->vad)) ||
           (ear->listening_for_tones && ear->tones.sounding);
}

void rw_ear_sent(rw_ear *ear, int level_dbov) {
    if (ear->config.speech) rw_vad_sent(&ear->vad, level_dbov);
}

bool rw_ear_timed_out(rw_ear *ear, uint64_t since_us, uint64_t now_us, uint64_t *next_us) {
    uint64_t timeout_us = (uint64_t)ear->config.media_timeout_ms * 1000;
    uint64_t heard_us = ear->reception.last_heard_us;
    uint64_t due_us = (heard_us > since_us ? heard_us : since_us) + timeout_us;
    *next_us = 0;
    if (!timeout_us) return false;
    *next_us = due_us > now_us ? due_us : now_us + timeout_us;
    if (now_us < due_us || ear->timed_out) return false;
    ear->timed_out = true;
    return true;
}

void rw_ear_hear_sender_report(rw_ear *ear, uint32_t ssrc, uint64_t ntp, uint64_t now_us) {
    rw_reception_hear_sender_report(&ear->reception, ssrc, ntp, now_us);
}

bool rw_ear_report_block(rw_ear *ear, uint64_t now_us, rw_report_block *block) {
    return rw_reception_report(&ear->reception, now_us, block);
}

rw_heard rw_ear_heard(const rw_ear *ear) {
    return ear->heard;
}

const rw_reception *rw_ear_reception(const rw_ear *ear) {
    return &ear->reception;
}
