/* Any packets in any order, whatever reception said of them, and slots of any length: each sample
 * is counted once, the delay keeps its bound, and nothing is read or written beyond its end. */
#include <stdlib.h>

#include "base/base.h"
#include "jitter/jitter.h"

#define STEP_BYTES 12
#define MAX_SAMPLES 1024

static const rw_jitter_config CONFIGS[] = {
    {20, 200, 40, 0}, {10, 10, 10, 0}, {10, 1000, 500, 0}, {200, 200, 200, 200}};
static const uint8_t PAYLOAD[1600] = {0x78, 1, 2, 3};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(rw_jitter *jitter, const uint8_t *data, size_t size) {
    rw_rtp_packet packet = {{data[1] & 1, 0, rw_load_be16(data + 2), rw_load_be32(data + 4), 1},
                            data,
                            size < 200 ? size : 200};
    rw_heard heard = data[1] >> 1 & 7;
    rw_jitter_verdict verdict;
    if (data[0] & 0x20) {
        packet.payload = PAYLOAD;
        packet.payload_bytes = rw_load_be16(data + 8) % sizeof PAYLOAD;
    }
    if ((data[0] & 0x1f) == 1)
        verdict = rw_jitter_put_comfort_noise(jitter, &packet, heard);
    else if ((data[0] & 0x1f) == 2)
        verdict = rw_jitter_put_other(jitter, &packet.header, heard);
    else
        verdict = rw_jitter_put(jitter, &packet, heard);
    if (verdict >= RW_JITTER_VERDICTS) abort();
}

static void check(const rw_jitter *jitter, uint64_t taken, uint32_t max_ms) {
    rw_jitter_figures figures;
    rw_jitter_read(jitter, &figures);
    if (figures.played_samples + figures.concealed_samples + figures.silent_samples +
            figures.stretched_samples !=
        taken)
        abort();
    if (figures.delay_ms > max_ms || figures.max_delay_ms > max_ms) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int16_t pcm[MAX_SAMPLES];
    rw_jitter *jitter;
    uint64_t taken = 0;
    if (size < 2) return 0;
    const rw_jitter_config *config = &CONFIGS[data[1] % RW_LENGTH_OF(CONFIGS)];
    if (rw_jitter_create(rw_codec_at(data[0] % rw_codec_count()), config, &jitter)) return 0;
    for (data += 2, size -= 2; size > STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
        if (data[0] & 0x40) {
            put(jitter, data, size);
            continue;
        }
        size_t samples = data[0] & 0x80 ? 160 : rw_load_be16(data + 1) % (MAX_SAMPLES + 1);
        rw_jitter_take(jitter, pcm, samples);
        taken += samples;
        check(jitter, taken, config->max_ms);
    }
    rw_jitter_destroy(jitter);
    return 0;
}
