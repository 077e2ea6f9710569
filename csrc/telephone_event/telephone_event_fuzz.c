/* Any packets: what is told stays in its room, and each digit begins before it ends, once. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "telephone_event/telephone_event.h"

#define STEP_BYTES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char follow(char sounding, const rw_digit *digit) {
    if (rw_digit_code(digit->symbol) < 0) abort();
    if (digit->ended != (sounding != 0)) abort();
    if (digit->ended && digit->symbol != sounding) abort();
    return digit->ended ? 0 : digit->symbol;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rw_event_receiver receiver;
    rw_event_news news;
    rw_digit ended;
    uint64_t now_us = 0;
    char sounding = 0;
    if (rw_event_receiver_init(&receiver, size & 1 ? 8000 : 48000)) abort();
    for (; size > STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
        now_us += (uint64_t)data[0] * 1000;
        if (rw_event_receiver_expire(&receiver, now_us, &ended))
            sounding = follow(sounding, &ended);
        rw_rtp_header header = {data[1] & 1, 101, rw_load_be16(data + 2), rw_load_be32(data + 4),
                                data[1] >> 7};
        size_t bytes = size - 8 < data[1] % 24u ? size - 8 : data[1] % 24u;
        if (rw_event_receiver_hear(&receiver, now_us, &header, data + 8, bytes, &news) >=
            RW_EVENT_VERDICTS)
            abort();
        if (news.count > RW_EVENT_ROOM) abort();
        for (size_t i = 0; i < news.count; i++)
            sounding = follow(sounding, &news.digits[i]);
    }
    return 0;
}
