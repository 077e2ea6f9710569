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
    [RW_NOT_HEARD_0 + RW_EAR_DUPLICATE] = "received_duplicate",
    [RW_NOT_HEARD_0 + RW_EAR_STALE] = "received_stale",
    [RW_NOT_HEARD_0 + RW_EAR_JUMP] = "received_sequence_jump",
    [RW_NOT_HEARD_0 + RW_EAR_STRANGER] = "received_unproved_source",
    [RW_NOT_HEARD_0 + RW_EAR_UNKNOWN_TYPE] = "received_unknown_payload_type",
    [RW_NOT_HEARD_0 + RW_EAR_EMPTY] = "received_bad_payload",
    [RW_NOT_HEARD_0 + RW_EAR_BAD_EVENT] = "received_bad_event",
    [RW_NOT_HEARD_0 + RW_EAR_NOT_A_DIGIT] = "received_no_digit",
    [RW_NOT_HEARD_0 + RW_EAR_DIGIT_STORM] = "received_digit_storm",
    [RW_DIGITS_HEARD] = "digits_heard",
    [RW_SPEECH_STARTS] = "speech_starts",
    [RW_MEDIA_TIMEOUTS] = "media_timeouts",
    [RW_STALE_COMMANDS] = "stale_commands",
    [RW_EVENTS_DEFERRED] = "events_deferred",
    [RW_EVENTS_DROPPED] = "events_dropped",
    [RW_LEGS_OPENED] = "legs_opened",
    [RW_LEGS_CLOSED] = "legs_closed",
    [RW_TICKS] = "ticks",
};

const char *rw_counter_name(rw_counter counter) {
    return counter < RW_COUNTERS ? names[counter] : NULL;
}
