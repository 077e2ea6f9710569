/* libFuzzer target: a stream of packets to one decoder; the first byte says which, and each packet
 * has its length before it. */
#include "codec/codec.h"

#define ROOM_SAMPLES (48 * RW_CODEC_MAX_PACKET_MS)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int16_t pcm[ROOM_SAMPLES];
    void *state;
    if (size == 0) return 0;
    const rw_codec *codec = rw_codec_at(data[0] % rw_codec_count());
    if (rw_codec_create_decoder(codec, &state) < 0) return 0;
    for (size_t at = 1; at < size;) {
        size_t bytes = data[at++];
        bytes = bytes < size - at ? bytes : size - at;
        if (codec->decode(state, data + at, bytes, pcm, ROOM_SAMPLES) > ROOM_SAMPLES)
            __builtin_trap();
        at += bytes;
    }
    rw_codec_destroy_state(state);
    return 0;
}
