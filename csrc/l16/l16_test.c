#include "l16/l16.h"

#include <string.h>

#include "base/base.h"
#include "test/check.h"

static void test_high_byte_first(void) {
    static const int16_t pcm[] = {0, 1, -1, 0x1234, INT16_MIN, INT16_MAX};
    static const uint8_t wire[] = {0, 0, 0, 1, 0xff, 0xff, 0x12, 0x34, 0x80, 0, 0x7f, 0xff};
    uint8_t payload[sizeof(wire) + 1];
    int16_t back[RW_LENGTH_OF(pcm)];
    rw_l16_encode(pcm, RW_LENGTH_OF(pcm), payload + 1);
    CHECK(memcmp(payload + 1, wire, sizeof(wire)) == 0);
    rw_l16_decode(payload + 1, RW_LENGTH_OF(pcm), back);
    CHECK(memcmp(back, pcm, sizeof(pcm)) == 0);
}

int main(void) {
    test_high_byte_first();
    return 0;
}
