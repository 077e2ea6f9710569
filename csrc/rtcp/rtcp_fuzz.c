/* Any bytes: the reader stays inside the datagram, tells nothing of what it rejects, and what it
 * reports can be composed again to the same. */
#include <stdlib.h>
#include <string.h>

#include "rtcp/rtcp.h"

#define OWN 0x11111111
#define PEER 0x22222222

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compose_again(const rw_rtcp_heard *heard) {
    uint8_t datagram[RW_RTCP_MAX_BYTES];
    rw_rtcp_heard again;
    rw_rtcp_report report = {
        PEER, heard->has_sender ? &heard->sender : NULL, &heard->block, "x", 1, heard->bye};
    int bytes = rw_rtcp_compose(datagram, sizeof(datagram), &report);
    if (bytes < 0 || rw_rtcp_parse(datagram, (size_t)bytes, OWN, PEER, &again)) abort();
    if (again.bye != heard->bye || again.has_sender != heard->has_sender) abort();
    if (memcmp(&again.block, &heard->block, sizeof(again.block)) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rw_rtcp_heard heard, before;
    memset(&heard, 0xa5, sizeof(heard));
    memcpy(&before, &heard, sizeof(heard));
    if (rw_rtcp_parse(data, size, OWN, PEER, &heard)) {
        if (memcmp(&heard, &before, sizeof(heard)) != 0) abort();
        return 0;
    }
    if (!rw_rtcp_is(data, size)) abort();
    if (!heard.has_block) return 0;
    if (heard.block.ssrc != OWN) abort();
    int64_t rtt_us = rw_rtcp_rtt_us(&heard.block, heard.sender.ntp);
    if (rtt_us > RW_RTCP_MAX_RTT_US) abort();
    compose_again(&heard);
    return 0;
}
