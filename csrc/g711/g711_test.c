#include "g711/g711.h"

#include "base/base.h"
#include "test/check.h"

typedef void (*encoder)(const int16_t *samples, size_t count, uint8_t *codes);
typedef void (*decoder)(const uint8_t *codes, size_t count, int16_t *samples);

static uint8_t encode_one(encoder encode, int sample) {
    int16_t in = (int16_t)sample;
    uint8_t out = 0;
    encode(&in, 1, &out);
    return out;
}

static int decode_one(decoder decode, int code) {
    uint8_t in = (uint8_t)code;
    int16_t out = 0;
    decode(&in, 1, &out);
    return out;
}

/* Pairs copied by hand from the Recommendation, tables 1a, 1b, 2a and 2b. */
static void test_values_of_the_recommendation(void) {
    static const int ulaw[][2] = {{0x80, 8031}, {0x8f, 4191}, {0x9f, 2079},  {0xaf, 1023},
                                  {0xbf, 495},  {0xcf, 231},  {0xdf, 99},    {0xef, 33},
                                  {0xfe, 2},    {0xff, 0},    {0x00, -8031}, {0x7e, -2}};
    static const int alaw[][2] = {{0xaa, 4032}, {0xa5, 2112}, {0xb5, 1056}, {0x85, 528},
                                  {0x95, 264},  {0xe5, 132},  {0xf5, 66},   {0xc5, 33},
                                  {0xd5, 1},    {0x55, -1},   {0x2a, -4032}};
    for (size_t i = 0; i < RW_LENGTH_OF(ulaw); i++)
        CHECK_EQUAL(decode_one(rw_g711_ulaw_decode, ulaw[i][0]), 4 * ulaw[i][1]);
    for (size_t i = 0; i < RW_LENGTH_OF(alaw); i++)
        CHECK_EQUAL(decode_one(rw_g711_alaw_decode, alaw[i][0]), 8 * alaw[i][1]);
}

static void test_every_code_comes_back(void) {
    for (int code = 0; code < 256; code++) {
        int ulaw = decode_one(rw_g711_ulaw_decode, code);
        int alaw = decode_one(rw_g711_alaw_decode, code);
        /* Linear samples have no negative zero: mu-law's becomes the positive one. */
        CHECK_EQUAL(encode_one(rw_g711_ulaw_encode, ulaw), code == 0x7f ? 0xff : code);
        CHECK_EQUAL(encode_one(rw_g711_alaw_encode, alaw), code);
    }
}

/* A louder sample never decodes to a quieter one, and no sample is farther from what it decodes
 * to than half of its interval. */
static void check_monotone(encoder encode, decoder decode) {
    int before = INT16_MIN;
    for (int sample = INT16_MIN; sample <= INT16_MAX; sample++) {
        int decoded = decode_one(decode, encode_one(encode, sample));
        CHECK(decoded >= before);
        CHECK(abs(decoded - sample) <= 8 + abs(sample) / 32);
        before = decoded;
    }
}

static void test_silence(void) {
    CHECK_EQUAL(encode_one(rw_g711_ulaw_encode, 0), RW_G711_ULAW_SILENCE);
    CHECK_EQUAL(encode_one(rw_g711_alaw_encode, 0), RW_G711_ALAW_SILENCE);
}

int main(void) {
    test_values_of_the_recommendation();
    test_every_code_comes_back();
    check_monotone(rw_g711_ulaw_encode, rw_g711_ulaw_decode);
    check_monotone(rw_g711_alaw_encode, rw_g711_alaw_decode);
    test_silence();
    return 0;
}
