/*
 * What a receiver can say about one RTP stream: gaps, duplicates, reordering, jumps of the
 * timestamp, and how far each arrival interval is from the packet time. Pure: time is passed in.
 *
 * Counts are those of a measuring window; a window ends and the next begins with
 * rw_stream_begin_window, and the interval across the border belongs to the new one.
 */
#ifndef RW_BENCH_STREAM_H
#define RW_BENCH_STREAM_H

#include <stdint.h>

#include "histogram/histogram.h"
#include "rtp/rtp.h"

/* Zeroed memory is a stream that nothing has been heard of. */
typedef struct rw_stream {
    uint64_t
        highest_sequence;   /* extended to 64 bits (RFC 3550 section 6.4.1); 0 before the first */
    uint64_t base_sequence; /* first sequence number that belongs to the window */
    uint64_t seen;          /* bit i: highest_sequence - i has arrived */
    uint64_t first_arrival_ns; /* of the whole stream, not of the window */
    uint64_t last_arrival_ns;
    uint32_t last_timestamp_ts;
    uint64_t packets;
    uint64_t duplicates;
    uint64_t reordered;
    uint64_t timestamp_jumps; /* steps that do not fit the sequence step, without a marker */
    uint64_t spurts;          /* packets with the marker: a new talk spurt (RFC 3551 section 4.1) */
    rw_histogram interval_error_us;
} rw_stream;

/* What one packet was to its stream. */
typedef enum rw_stream_verdict {
    RW_STREAM_NEW,       /* ahead of all others */
    RW_STREAM_REORDERED, /* fills a gap, or is too old to tell */
    RW_STREAM_DUPLICATE,
} rw_stream_verdict;

/* The packet time that a stream should keep. */
typedef struct rw_stream_pace {
    uint32_t ptime_us;
    uint32_t ptime_ts;
} rw_stream_pace;

/* Counts one packet; its interval error goes to `all_error_us` as well, which may be NULL. The
 * first packet of a spurt gives none: it follows a pause. */
rw_stream_verdict rw_stream_packet(rw_stream *stream, const rw_rtp_header *header,
                                   uint64_t arrival_ns, rw_stream_pace pace,
                                   rw_histogram *all_error_us);

/* Sequence numbers of the window that have not arrived. */
uint64_t rw_stream_lost(const rw_stream *stream);

void rw_stream_begin_window(rw_stream *stream);

#endif
