/* Any bytes: the reader stays inside the datagram, and so does the payload that it reports. */
#include <stdlib.h>

#include "rtp/rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rw_rtp_packet packet;
    if (rw_rtp_parse(data, size, &packet) != RW_RTP_OK) return 0;
    if (packet.payload < data + RW_RTP_HEADER_BYTES || packet.payload > data + size) abort();
    if (packet.payload_bytes > (size_t)(data + size - packet.payload)) abort();
    unsigned sum = 0;
    for (size_t i = 0; i < packet.payload_bytes; i++)
        sum += packet.payload[i];
    return sum == 0xffffffffu ? -1 : 0;
}
