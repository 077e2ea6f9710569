#include "bench/stream.h"

#include <stddef.h>

#define SEEN_BITS 64
#define SEQUENCE_CYCLE 65536

static void first_packet(rw_stream *stream, const rw_rtp_header *header, uint64_t arrival_ns) {
    /* One cycle up, so that a packet older than the first does not go below zero. */
    stream->highest_sequence = SEQUENCE_CYCLE + header->sequence;
    stream->base_sequence = stream->highest_sequence;
    stream->seen = 1;
    stream->first_arrival_ns = arrival_ns;
}

static void record_interval(rw_stream *stream, uint64_t steps, uint64_t arrival_ns,
                            rw_stream_pace pace, rw_histogram *all_error_us) {
    int64_t interval_us = (int64_t)(arrival_ns - stream->last_arrival_ns) / 1000;
    int64_t error_us = interval_us - (int64_t)(steps * pace.ptime_us);
    uint64_t size_us = (uint64_t)(error_us < 0 ? -error_us : error_us);
    rw_histogram_add(&stream->interval_error_us, size_us, 1);
    if (all_error_us) rw_histogram_add(all_error_us, size_us, 1);
}

static void move_ahead(rw_stream *stream, uint64_t steps) {
    stream->highest_sequence += steps;
    stream->seen = (steps < SEEN_BITS ? stream->seen << steps : 0) | 1;
}

/* A packet not newer than the newest; `back` is how far behind it is. */
static rw_stream_verdict late_packet(rw_stream *stream, unsigned back) {
    if (back < SEEN_BITS && stream->seen >> back & 1) {
        stream->duplicates++;
        return RW_STREAM_DUPLICATE;
    }
    if (back < SEEN_BITS) stream->seen |= 1ull << back;
    stream->reordered++;
    if (stream->highest_sequence - back >= stream->base_sequence) stream->packets++;
    return RW_STREAM_REORDERED;
}

rw_stream_verdict rw_stream_packet(rw_stream *stream, const rw_rtp_header *header,
                                   uint64_t arrival_ns, rw_stream_pace pace,
                                   rw_histogram *all_error_us) {
    int16_t steps = (int16_t)(header->sequence - (uint16_t)stream->highest_sequence);
    if (!stream->highest_sequence) {
        first_packet(stream, header, arrival_ns);
    } else if (steps <= 0) {
        return late_packet(stream, (unsigned)-steps);
    } else {
        uint32_t step_ts = header->timestamp - stream->last_timestamp_ts;
        if (!header->marker) {
            record_interval(stream, (uint64_t)steps, arrival_ns, pace, all_error_us);
            if (step_ts != (uint32_t)steps * pace.ptime_ts) stream->timestamp_jumps++;
        }
        move_ahead(stream, (uint64_t)steps);
    }
    if (header->marker) stream->spurts++;
    stream->packets++;
    stream->last_timestamp_ts = header->timestamp;
    stream->last_arrival_ns = arrival_ns;
    return RW_STREAM_NEW;
}

uint64_t rw_stream_lost(const rw_stream *stream) {
    if (!stream->highest_sequence) return 0;
    uint64_t expected = stream->highest_sequence + 1 - stream->base_sequence;
    /* Copies of packets too old to be told apart count as packets: there may be too many. */
    return expected > stream->packets ? expected - stream->packets : 0;
}

void rw_stream_begin_window(rw_stream *stream) {
    stream->base_sequence = stream->highest_sequence ? stream->highest_sequence + 1 : 0;
    stream->packets = stream->duplicates = stream->reordered = 0;
    stream->timestamp_jumps = stream->spurts = 0;
    rw_histogram_clear(&stream->interval_error_us);
}
