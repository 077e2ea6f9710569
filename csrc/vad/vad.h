/*
 * Voice activity: when a caller starts and stops to speak, from linear sound at 8 or 16 kHz.
 *
 * Each block is looked at in sub-frames of about 10 ms: the energy of four bands against a floor
 * that follows the noise of the line, and the period of a voice below 1 kHz. Sound that is loud but
 * has no such period (noise, a cough, a click) or is a single tone (DTMF) starts no speech. A sound
 * that goes on without a break becomes the floor within two seconds.
 *
 * Echo guard: tell by rw_vad_sent what is sent to the caller, and sound counts only if it is louder
 * than what may come back of it. How much comes back is learned while the caller is silent.
 *
 * No allocation, no clock: time is what was heard, and what was passed to rw_vad_gap. The state is
 * the caller's, embedded where it is needed; nothing here keeps a pointer.
 */
#ifndef RW_VAD_H
#define RW_VAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_VAD_FRAME_MIN_MS 10
#define RW_VAD_FRAME_MAX_MS 60
#define RW_VAD_HANGOVER_MIN_MS 100
#define RW_VAD_HANGOVER_MAX_MS 10000
#define RW_VAD_HANGOVER_DEFAULT_MS 500

/* Levels are in dBov (RFC 6465): whole decibels below a square wave at full scale. */
#define RW_VAD_SILENCE_DBOV (-127)

#define RW_VAD_BANDS 4
#define RW_VAD_LOW_SAMPLES 66  /* 33 ms of what is below 1 kHz, at 2 kHz */
#define RW_VAD_SENT_SLOTS 14   /* of 40 ms: the last half second of what was sent */
#define RW_VAD_FLOOR_WINDOWS 3 /* of 0.6 s */

typedef enum { RW_VAD_LOW, RW_VAD_MEDIUM, RW_VAD_HIGH } rw_vad_sensitivity;

typedef struct rw_vad_config {
    uint32_t sample_rate_hz; /* 8000 or 16000 */
    uint32_t hangover_ms;    /* silence that ends speech */
    rw_vad_sensitivity sensitivity;
} rw_vad_config;

typedef enum { RW_VAD_NONE, RW_VAD_START, RW_VAD_END } rw_vad_kind;

typedef struct rw_vad_event {
    rw_vad_kind kind;
    uint32_t duration_ms; /* from first to last sound of speech; at a start, what has been heard */
    int8_t level_dbov;    /* mean of that */
    int8_t noise_dbov;    /* the floor of the line */
} rw_vad_event;

typedef struct rw_vad {
    float split[3][2]; /* all-pass sections of the band splitter */
    float rumble[2];   /* high-pass section */
    float energy[RW_VAD_BANDS];
    float power;                                            /* sum of power x ms of speech */
    uint32_t power_ms;                                      /* what it is the sum over */
    uint32_t span_ms;                                       /* since speech, or its hint, began */
    int16_t low[RW_VAD_LOW_SAMPLES];                        /* oldest first */
    int16_t minima_cdb[RW_VAD_FLOOR_WINDOWS][RW_VAD_BANDS]; /* newest first, dBov / 100 */
    uint16_t hangover_ms, silent_ms, voiceless_ms;          /* since sound, since voice */
    uint16_t window_ms;                                     /* of minima_cdb[0] */
    uint16_t playing_ms, learn_ms;                          /* of what is sent; of learning */
    uint8_t evidence_ms, voiced_ms, slot_ms;
    uint8_t return_loss_db, least_loss_db;
    int8_t sent_dbov[RW_VAD_SENT_SLOTS], sent_peak_dbov;
    uint8_t sensitivity : 2, wide : 1, speaking : 1, heard : 1;
} rw_vad;

/* 0; -EINVAL for a rate, hangover or sensitivity that is none. */
int rw_vad_init(rw_vad *vad, const rw_vad_config *config);

/* Hears a block of 10 to 60 whole milliseconds and writes to *event what it has changed, if only
 * RW_VAD_NONE. 0; -EINVAL for another length, and nothing is changed. */
int rw_vad_hear(rw_vad *vad, const int16_t *pcm, size_t samples, rw_vad_event *event);

/* The same for `ms` of which nothing came, lost or not sent: silence, of which the floor learns
 * nothing. Any length; one event at most, as speech can only end. */
void rw_vad_gap(rw_vad *vad, uint32_t ms, rw_vad_event *event);

/* A packet of this level is sent to the caller now. */
void rw_vad_sent(rw_vad *vad, int level_dbov);

static inline bool rw_vad_speaking(const rw_vad *vad) {
    return vad->speaking;
}

/* The level of a block in dBov, RW_VAD_SILENCE_DBOV to 0. A prompt's can be taken once, ahead. */
int8_t rw_vad_level(const int16_t *pcm, size_t samples);
int8_t rw_vad_level_ulaw(const uint8_t *codes, size_t count);
int8_t rw_vad_level_alaw(const uint8_t *codes, size_t count);

#endif
