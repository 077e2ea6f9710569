#include "opus_codec/opus_codec.h"

#include <opus.h>
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

void *rw_opus_create_decoder(void) {
    OpusDecoder *decoder = malloc((size_t)opus_decoder_get_size(CHANNELS));
    if (!decoder) return NULL;
    opus_decoder_init(decoder, RW_OPUS_SAMPLE_RATE_HZ, CHANNELS);
    return decoder;
}

void *rw_opus_create_encoder(void) {
    OpusEncoder *encoder = malloc((size_t)opus_encoder_get_size(CHANNELS));
    if (!encoder) return NULL;
    /* Not OPUS_APPLICATION_VOIP: its high-pass turns the phase of voices, and what is transcoded or
     * recognized is to be what was said. */
    opus_encoder_init(encoder, RW_OPUS_SAMPLE_RATE_HZ, CHANNELS, OPUS_APPLICATION_AUDIO);
    opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(BITRATE));
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(COMPLEXITY));
    opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(1));
    opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(EXPECTED_LOSS_PERCENT));
    return encoder;
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

size_t rw_opus_encode(void *state, const int16_t *pcm, size_t samples, uint8_t *payload,
                      size_t room) {
    if (samples > MAX_SAMPLES || room == 0) return 0;
    return count_or_none(
        opus_encode(state, pcm, (int)samples, payload, at_most(room, MAX_PAYLOAD_BYTES)));
}

size_t rw_opus_conceal(void *state, int16_t *pcm, size_t samples) {
    int whole = at_most(samples, MAX_SAMPLES) / STEP_SAMPLES * STEP_SAMPLES;
    return whole ? count_or_none(opus_decode(state, NULL, 0, pcm, whole, 0)) : 0;
}

const char *rw_opus_version(void) {
    return opus_get_version_string();
}
