#include "opus_codec/opus_codec.h"

#include <opus.h>
#include <stdbool.h>
#include <stdlib.h>

#define CHANNELS 1
#define BITRATE 24000
/* 5 of 10 costs half of what 9 does, and cannot be told from it in speech at this rate. */
#define COMPLEXITY 5
#define EXPECTED_LOSS_PERCENT 5
#define MAX_SAMPLES (RW_OPUS_SAMPLE_RATE_HZ / 1000 * 120)
#define STEP_SAMPLES (RW_OPUS_SAMPLE_RATE_HZ / 400)
/* No packet may be longer (RFC 6716 section 3.4), 48 frames of 1,275 bytes apart. */
#define MAX_PAYLOAD_BYTES 1500

typedef struct encoder_state {
    OpusEncoder *encoder;
    OpusRepacketizer *packet;
    max_align_t memory[];
} encoder_state;

void *rw_opus_create_decoder(void) {
    OpusDecoder *decoder = malloc((size_t)opus_decoder_get_size(CHANNELS));
    if (!decoder) return NULL;
    opus_decoder_init(decoder, RW_OPUS_SAMPLE_RATE_HZ, CHANNELS);
    return decoder;
}

/* Encoder and repacketizer in the one piece that free() takes. */
static encoder_state *allocate_encoder(void) {
    size_t align = _Alignof(max_align_t);
    size_t encoder_bytes = ((size_t)opus_encoder_get_size(CHANNELS) + align - 1) / align * align;
    size_t packet_bytes = (size_t)opus_repacketizer_get_size();
    encoder_state *state = malloc(sizeof(*state) + encoder_bytes + packet_bytes);
    if (!state) return NULL;
    state->encoder = (OpusEncoder *)state->memory;
    state->packet = (OpusRepacketizer *)((uint8_t *)state->memory + encoder_bytes);
    return state;
}

static void *create_encoder(bool live) {
    encoder_state *state = allocate_encoder();
    if (!state) return NULL;
    OpusEncoder *encoder = state->encoder;
    /* Not OPUS_APPLICATION_VOIP: its high-pass turns the phase of voices, and what is transcoded or
     * recognized is to be what was said. */
    opus_encoder_init(encoder, RW_OPUS_SAMPLE_RATE_HZ, CHANNELS, OPUS_APPLICATION_AUDIO);
    opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(BITRATE));
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(COMPLEXITY));
    opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(live));
    opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(live ? EXPECTED_LOSS_PERCENT : 0));
    return state;
}

void *rw_opus_create_encoder(void) {
    return create_encoder(true);
}

void *rw_opus_create_prompt_encoder(void) {
    return create_encoder(false);
}

static int at_most(size_t value, int limit) {
    return value < (size_t)limit ? (int)value : limit;
}

static size_t count_or_none(int result) {
    return result > 0 ? (size_t)result : 0;
}

/* No bytes would mean a loss to libopus; here they are a broken packet. */
size_t rw_opus_decode(void *state, const uint8_t *payload, size_t bytes, int16_t *pcm,
                      size_t room) {
    if (bytes == 0 || bytes > MAX_PAYLOAD_BYTES) return 0;
    return count_or_none(
        opus_decode(state, payload, (opus_int32)bytes, pcm, at_most(room, MAX_SAMPLES), 0));
}

/* The longest frame of which several make up `samples`, a multiple of 2.5 ms. */
static size_t frame_of(size_t samples) {
    size_t frame = 8 * STEP_SAMPLES;
    while (samples % frame)
        frame /= 2;
    return frame;
}

static bool is_frame(size_t samples) {
    size_t steps = samples / STEP_SAMPLES;
    return samples == frame_of(samples) || steps == 16 || steps == 24;
}

/* Puts the frames of one packet together; none if the encoder has changed its mode between them. */
static size_t encode_frames(encoder_state *state, const int16_t *pcm, size_t samples,
                            uint8_t *payload, size_t room) {
    uint8_t frames[MAX_PAYLOAD_BYTES];
    OpusRepacketizer *packet = opus_repacketizer_init(state->packet);
    size_t frame = frame_of(samples), used = 0;
    for (size_t at = 0; at < samples; at += frame) {
        int left = (int)(sizeof(frames) - used);
        int bytes = opus_encode(state->encoder, pcm + at, (int)frame, frames + used, left);
        if (bytes <= 0 || opus_repacketizer_cat(packet, frames + used, bytes) != OPUS_OK) return 0;
        used += (size_t)bytes;
    }
    return count_or_none(opus_repacketizer_out(packet, payload, at_most(room, MAX_PAYLOAD_BYTES)));
}

size_t rw_opus_encode(void *opaque, const int16_t *pcm, size_t samples, uint8_t *payload,
                      size_t room) {
    encoder_state *state = opaque;
    if (samples == 0 || samples > MAX_SAMPLES || samples % STEP_SAMPLES || room == 0) return 0;
    if (!is_frame(samples)) return encode_frames(state, pcm, samples, payload, room);
    return count_or_none(
        opus_encode(state->encoder, pcm, (int)samples, payload, at_most(room, MAX_PAYLOAD_BYTES)));
}

size_t rw_opus_conceal(void *state, int16_t *pcm, size_t samples) {
    int whole = at_most(samples, MAX_SAMPLES) / STEP_SAMPLES * STEP_SAMPLES;
    return whole ? count_or_none(opus_decode(state, NULL, 0, pcm, whole, 0)) : 0;
}

const char *rw_opus_version(void) {
    return opus_get_version_string();
}
