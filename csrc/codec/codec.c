#include "codec/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "base/base.h"
#include "g711/g711.h"
#include "g722/g722.h"
#include "l16/l16.h"
#ifdef RW_HAVE_OPUS
#include "opus_codec/opus_codec.h"
#endif

static size_t at_most(size_t value, size_t limit) {
    return value < limit ? value : limit;
}

static size_t ulaw_decode(void *state, const uint8_t *payload, size_t bytes, int16_t *pcm,
                          size_t room) {
    (void)state;
    size_t samples = at_most(bytes, room);
    rw_g711_ulaw_decode(payload, samples, pcm);
    return samples;
}

static size_t ulaw_encode(void *state, const int16_t *pcm, size_t samples, uint8_t *payload,
                          size_t room) {
    (void)state;
    if (samples > room) return 0;
    rw_g711_ulaw_encode(pcm, samples, payload);
    return samples;
}

static size_t alaw_decode(void *state, const uint8_t *payload, size_t bytes, int16_t *pcm,
                          size_t room) {
    (void)state;
    size_t samples = at_most(bytes, room);
    rw_g711_alaw_decode(payload, samples, pcm);
    return samples;
}

static size_t alaw_encode(void *state, const int16_t *pcm, size_t samples, uint8_t *payload,
                          size_t room) {
    (void)state;
    if (samples > room) return 0;
    rw_g711_alaw_encode(pcm, samples, payload);
    return samples;
}

/* Half a sample at the end of an L16 payload is left out. */
static size_t l16_decode(void *state, const uint8_t *payload, size_t bytes, int16_t *pcm,
                         size_t room) {
    (void)state;
    size_t samples = at_most(bytes / 2, room);
    rw_l16_decode(payload, samples, pcm);
    return samples;
}

static size_t l16_encode(void *state, const int16_t *pcm, size_t samples, uint8_t *payload,
                         size_t room) {
    (void)state;
    if (samples > room / 2) return 0;
    rw_l16_encode(pcm, samples, payload);
    return 2 * samples;
}

static void *g722_create(void) {
    rw_g722 *state = malloc(sizeof(*state));
    if (state) rw_g722_init(state);
    return state;
}

static size_t g722_decode(void *state, const uint8_t *payload, size_t bytes, int16_t *pcm,
                          size_t room) {
    size_t pairs = at_most(bytes, room / 2);
    rw_g722_decode(state, payload, pairs, pcm);
    return 2 * pairs;
}

static size_t g722_encode(void *state, const int16_t *pcm, size_t samples, uint8_t *payload,
                          size_t room) {
    if (samples % 2 || samples / 2 > room) return 0;
    rw_g722_encode(state, pcm, samples, payload);
    return samples / 2;
}

/* L16 has a static type at 44.1 kHz only (11), which no telephone offers. */
static const rw_codec codecs[] = {
    {.name = "PCMU",
     .label = "pcmu",
     .payload_type = 0,
     .clock_rate_hz = 8000,
     .sample_rate_hz = 8000,
     .bytes_per_ts = 1,
     .silence = RW_G711_ULAW_SILENCE,
     .decode = ulaw_decode,
     .encode = ulaw_encode},
    {.name = "PCMA",
     .label = "pcma",
     .payload_type = 8,
     .clock_rate_hz = 8000,
     .sample_rate_hz = 8000,
     .bytes_per_ts = 1,
     .silence = RW_G711_ALAW_SILENCE,
     .decode = alaw_decode,
     .encode = alaw_encode},
    {.name = "G722",
     .label = "g722",
     .payload_type = 9,
     .clock_rate_hz = 8000,
     .sample_rate_hz = 16000,
     .bytes_per_ts = 1,
     .silence = RW_G722_SILENCE,
     .create_decoder = g722_create,
     .create_encoder = g722_create,
     .decode = g722_decode,
     .encode = g722_encode},
    {.name = "L16",
     .label = "l16-8k",
     .payload_type = -1,
     .clock_rate_hz = 8000,
     .sample_rate_hz = 8000,
     .bytes_per_ts = 2,
     .decode = l16_decode,
     .encode = l16_encode},
    {.name = "L16",
     .label = "l16-16k",
     .payload_type = -1,
     .clock_rate_hz = 16000,
     .sample_rate_hz = 16000,
     .bytes_per_ts = 2,
     .decode = l16_decode,
     .encode = l16_encode},
#ifdef RW_HAVE_OPUS
    {.name = "opus",
     .label = "opus",
     .payload_type = -1,
     .clock_rate_hz = 48000,
     .sample_rate_hz = RW_OPUS_SAMPLE_RATE_HZ,
     .delay_samples = RW_OPUS_DELAY_SAMPLES,
     .create_decoder = rw_opus_create_decoder,
     .create_encoder = rw_opus_create_encoder,
     .create_prompt_encoder = rw_opus_create_prompt_encoder,
     .decode = rw_opus_decode,
     .encode = rw_opus_encode,
     .conceal = rw_opus_conceal},
#endif
};

size_t rw_codec_count(void) {
    return RW_LENGTH_OF(codecs);
}

const rw_codec *rw_codec_at(size_t index) {
    return index < RW_LENGTH_OF(codecs) ? &codecs[index] : NULL;
}

const rw_codec *rw_codec_find(const char *name, uint32_t clock_rate_hz) {
    for (size_t i = 0; i < RW_LENGTH_OF(codecs); i++)
        if (codecs[i].clock_rate_hz == clock_rate_hz && !strcasecmp(codecs[i].name, name))
            return &codecs[i];
    return NULL;
}

static int create(void *(*make)(void), void **state) {
    *state = make ? make() : NULL;
    return make && !*state ? -ENOMEM : 0;
}

int rw_codec_create_decoder(const rw_codec *codec, void **state) {
    return create(codec->create_decoder, state);
}

int rw_codec_create_encoder(const rw_codec *codec, void **state) {
    return create(codec->create_encoder, state);
}

int rw_codec_create_prompt_encoder(const rw_codec *codec, void **state) {
    if (!codec->create_prompt_encoder) return rw_codec_create_encoder(codec, state);
    return create(codec->create_prompt_encoder, state);
}

void rw_codec_destroy_state(void *state) {
    free(state);
}
