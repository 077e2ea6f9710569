#include "counters/counters.h"

static const char *const names[RW_COUNTERS] = {
    [RW_PACKETS_SENT] = "packets_sent",
    [RW_BYTES_SENT] = "bytes_sent",
    [RW_PACKETS_SKIPPED] = "packets_skipped",
    [RW_PACKETS_CAUGHT_UP] = "packets_caught_up",
    [RW_SEND_REFUSED] = "send_refused",
    [RW_SEND_BUFFER_FULL] = "send_buffer_full",
    [RW_SEND_UNREACHABLE] = "send_unreachable",
    [RW_SEND_FAILED] = "send_failed",
    [RW_PACKETS_RECEIVED] = "packets_received",
    [RW_BYTES_RECEIVED] = "bytes_received",
    [RW_RECEIVED_UNKNOWN] = "received_unknown_source",
    [RW_RECEIVED_TRUNCATED] = "received_truncated",
    [RW_RECEIVE_FAILED] = "receive_failed",
    [RW_RECEIVED_REJECT_0 + RW_RTP_TOO_SHORT] = "received_too_short",
    [RW_RECEIVED_REJECT_0 + RW_RTP_BAD_VERSION] = "received_bad_version",
    [RW_RECEIVED_REJECT_0 + RW_RTP_BAD_CSRC] = "received_bad_csrc",
    [RW_RECEIVED_REJECT_0 + RW_RTP_BAD_EXTENSION] = "received_bad_extension",
    [RW_RECEIVED_REJECT_0 + RW_RTP_BAD_PADDING] = "received_bad_padding",
    [RW_STALE_COMMANDS] = "stale_commands",
    [RW_EVENTS_DEFERRED] = "events_deferred",
    [RW_LEGS_OPENED] = "legs_opened",
    [RW_LEGS_CLOSED] = "legs_closed",
    [RW_TICKS] = "ticks",
};

const char *rw_counter_name(rw_counter counter) {
    return counter < RW_COUNTERS ? names[counter] : NULL;
}
