#include "codec/codec.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define MAX_SAMPLES (48 * RW_CODEC_MAX_PACKET_MS)
#define PACKET_MS 20

static int16_t said[MAX_SAMPLES], heard[MAX_SAMPLES];
static uint8_t payload[2 * MAX_SAMPLES];

static void test_names(void) {
    CHECK(rw_codec_count() >= 5);
    CHECK(!rw_codec_at(rw_codec_count()));
    CHECK(rw_codec_find("pcmu", 8000) == rw_codec_at(0));
    CHECK_EQUAL(rw_codec_find("G722", 8000)->sample_rate_hz, 16000);
    CHECK_EQUAL(rw_codec_find("l16", 16000)->bytes_per_ts, 2);
    CHECK(rw_codec_find("L16", 8000) != rw_codec_find("L16", 16000));
    CHECK(!rw_codec_find("L16", 44100));
    CHECK(!rw_codec_find("", 8000));
    for (size_t i = 0; i < rw_codec_count(); i++) {
        const rw_codec *codec = rw_codec_at(i);
        CHECK(rw_codec_find(codec->name, codec->clock_rate_hz) == codec);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(codec->label, rw_codec_at(j)->label));
    }
}

/* A tone, a packet at a time; the figures of the table tell the packet's length. */
static void check_round_trip(const rw_codec *codec) {
    void *encoder, *decoder;
    size_t packet = codec->sample_rate_hz / 1000 * PACKET_MS;
    double said_power = 0, heard_power = 0;
    CHECK_EQUAL(rw_codec_create_encoder(codec, &encoder), 0);
    CHECK_EQUAL(rw_codec_create_decoder(codec, &decoder), 0);
    for (size_t n = 0; n < 20; n++) {
        for (size_t i = 0; i < packet; i++)
            said[i] = (int16_t)(9000 * sin((double)(n * packet + i) * 2 * M_PI * 500 /
                                           codec->sample_rate_hz));
        size_t bytes = codec->encode(encoder, said, packet, payload, sizeof(payload));
        CHECK(bytes > 0);
        if (codec->bytes_per_ts)
            CHECK_EQUAL(bytes, codec->clock_rate_hz / 1000 * PACKET_MS * codec->bytes_per_ts);
        CHECK_EQUAL(codec->decode(decoder, payload, bytes, heard, MAX_SAMPLES), packet);
        for (size_t i = 0; n >= 5 && i < packet; i++) {
            said_power += pow(said[i], 2);
            heard_power += pow(heard[i], 2);
        }
    }
    CHECK(fabs(10 * log10(heard_power / said_power)) < 1);
    rw_codec_destroy_state(encoder);
    rw_codec_destroy_state(decoder);
}

static void test_the_silence_byte_is_silent(const rw_codec *codec) {
    void *decoder;
    if (!codec->bytes_per_ts) return;
    CHECK_EQUAL(rw_codec_create_decoder(codec, &decoder), 0);
    memset(payload, codec->silence, 160);
    size_t samples = codec->decode(decoder, payload, 160, heard, MAX_SAMPLES);
    for (size_t i = 0; i < samples; i++)
        CHECK(abs(heard[i]) <= 8);
    rw_codec_destroy_state(decoder);
}

/* Every length of payload and room, from copies to the byte, so that ASan sees a step beyond. */
static void check_bounds(const rw_codec *codec) {
    static const size_t sizes[] = {0, 1, 2, 3, 159, 160, 161, 320, 640, 1460};
    unsigned long long random = 1;
    void *encoder, *decoder;
    CHECK_EQUAL(rw_codec_create_encoder(codec, &encoder), 0);
    CHECK_EQUAL(rw_codec_create_decoder(codec, &decoder), 0);
    for (size_t i = 0; i < RW_LENGTH_OF(sizes); i++)
        for (size_t j = 0; j < RW_LENGTH_OF(sizes); j++) {
            size_t bytes = sizes[i], samples = sizes[j];
            uint8_t *wire = malloc(bytes + !bytes);
            int16_t *pcm = calloc(samples + !samples, sizeof(*pcm));
            for (size_t k = 0; k < bytes; k++)
                wire[k] = (uint8_t)(check_random(&random) >> 32);
            CHECK(codec->decode(decoder, wire, bytes, pcm, samples) <= samples);
            CHECK(codec->encode(encoder, pcm, samples, wire, bytes) <= bytes);
            if (codec->conceal) CHECK(codec->conceal(decoder, pcm, samples) <= samples);
            free(wire);
            free(pcm);
        }
    rw_codec_destroy_state(encoder);
    rw_codec_destroy_state(decoder);
}

int main(void) {
    test_names();
    for (size_t i = 0; i < rw_codec_count(); i++) {
        check_round_trip(rw_codec_at(i));
        test_the_silence_byte_is_silent(rw_codec_at(i));
        check_bounds(rw_codec_at(i));
    }
    return 0;
}
