/* A network in virtual time: packets of PCMU come when they are told to, and every 20 ms those that
 * have come are put and a slot is taken. */
#ifndef RW_JITTER_CHECK_H
#define RW_JITTER_CHECK_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "g711/g711.h"
#include "jitter/jitter.h"
#include "test/check.h"

#define SLOT 160
#define MAX_PACKETS 40000
#define MAX_SAMPLES (MAX_PACKETS * SLOT)

static const rw_jitter_config CONFIG = {.min_ms = 20, .max_ms = 200, .initial_ms = 40};

typedef struct arrival {
    double at_ms;
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
    uint32_t from; /* of the sent sound, in samples */
    uint16_t samples;
    rw_heard heard;
} arrival;

static rw_jitter *jitter;
static rw_jitter_figures figures;
static arrival arrivals[MAX_PACKETS];
static size_t arrival_count, arrived;
static size_t verdicts[RW_JITTER_VERDICTS];
static int16_t sent[MAX_SAMPLES];
static int16_t heard[MAX_SAMPLES];
static size_t heard_samples;
static double now_ms;
static unsigned long long seed;

static const rw_codec *pcmu(void) {
    return rw_codec_find("PCMU", 8000);
}

/* Pulses of a voice, swelling and fading three times a second, as G.711 has them. */
static void make_voice(void) {
    double phase = 0;
    for (int i = 0; i < MAX_SAMPLES; i++) {
        phase += (110 + 4 * sin(2 * M_PI * 1.5 * i / 8000)) / 8000;
        double t = (phase - floor(phase)) * 70;
        double swell = 0.55 + 0.45 * sin(2 * M_PI * 3 * i / 8000);
        double value = 14000 * swell * exp(-t / 14) * cos(2 * M_PI * 0.08 * t);
        sent[i] = (int16_t)value;
    }
    uint8_t codes[SLOT];
    for (int i = 0; i < MAX_SAMPLES; i += SLOT) {
        rw_g711_ulaw_encode(sent + i, SLOT, codes);
        rw_g711_ulaw_decode(codes, SLOT, sent + i);
    }
}

static void begin_with(const rw_jitter_config *config) {
    CHECK_EQUAL(rw_jitter_create(pcmu(), config, &jitter), 0);
    memset(verdicts, 0, sizeof verdicts);
    memset(&figures, 0, sizeof figures);
    arrival_count = arrived = heard_samples = 0;
    now_ms = 0;
    seed = 12345;
}

static void begin(void) {
    begin_with(&CONFIG);
}

static arrival *send(double at_ms, uint16_t sequence, uint32_t timestamp, size_t from,
                     size_t samples) {
    arrival *packet = &arrivals[arrival_count++];
    *packet =
        (arrival){at_ms, sequence, timestamp, 1, (uint32_t)from, (uint16_t)samples, RW_HEARD_NEW};
    return packet;
}

/* The ordinary stream: packet n of 20 ms, which comes `late_ms` after it was sent. */
static arrival *send_nth(size_t n, double late_ms) {
    return send(20.0 * (double)n + late_ms, (uint16_t)(65000 + n),
                (uint32_t)(4294900000u + n * SLOT), n * SLOT, SLOT);
}

static void order_arrivals(void) {
    for (size_t i = 1; i < arrival_count; i++) {
        arrival packet = arrivals[i];
        size_t at = i;
        for (; at > 0 && arrivals[at - 1].at_ms > packet.at_ms; at--)
            arrivals[at] = arrivals[at - 1];
        arrivals[at] = packet;
    }
}

static rw_jitter_verdict put(const arrival *from) {
    uint8_t payload[1500];
    rw_g711_ulaw_encode(sent + from->from, from->samples, payload);
    rw_rtp_packet packet = {
        {.sequence = from->sequence, .timestamp = from->timestamp, .ssrc = from->ssrc},
        payload,
        from->samples};
    return rw_jitter_put(jitter, &packet, from->heard);
}

static void check_figures(void) {
    rw_jitter_read(jitter, &figures);
    CHECK_EQUAL(figures.played_samples + figures.concealed_samples + figures.silent_samples +
                    figures.stretched_samples,
                heard_samples);
}

static rw_jitter_kind take(void) {
    for (; arrived < arrival_count && arrivals[arrived].at_ms <= now_ms; arrived++)
        verdicts[put(&arrivals[arrived])]++;
    rw_jitter_kind kind = rw_jitter_take(jitter, heard + heard_samples, SLOT);
    heard_samples += SLOT;
    now_ms += 20;
    check_figures();
    return kind;
}

static void take_slots(size_t slots) {
    for (size_t i = 0; i < slots; i++)
        take();
}

static void end(void) {
    rw_jitter_destroy(jitter);
}

static void check_same(size_t heard_from, size_t sent_from, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        if (heard[heard_from + i] != sent[sent_from + i]) {
            fprintf(stderr, "sample %zu of %zu is %d, sent %d\n", i, samples, heard[heard_from + i],
                    sent[sent_from + i]);
            exit(1);
        }
}

static void check_silent(size_t from, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        CHECK_EQUAL(heard[from + i], 0);
}

/* How like the sound heard from a place is to that sent from another, 0 to 1. */
static double likeness(size_t heard_from, size_t sent_from, size_t samples) {
    double cross = 0, left = 1e-9, right = 1e-9;
    for (size_t i = 0; i < samples; i++) {
        double a = heard[heard_from + i], b = sent[sent_from + i];
        cross += a * b;
        left += a * a;
        right += b * b;
    }
    return cross / sqrt(left * right);
}

static double power(size_t heard_from) {
    double sum = 0;
    for (size_t i = 0; i < SLOT; i++)
        sum += (double)heard[heard_from + i] * heard[heard_from + i];
    return sum / SLOT;
}

#endif
