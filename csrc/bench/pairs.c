#include "bench/pairs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PORTS 65536

typedef struct pairs_leg {
    bool heard;
    uint16_t first_sequence;
    uint32_t first_timestamp;
    uint32_t number; /* of the last packet, extended to 32 bits */
    rw_pairs_kept *kept;
    uint32_t kept_count;
} pairs_leg;

struct rw_pairs {
    rw_pairs_config config;
    rw_receiver *receiver;
    const rw_talker *talker;
    pairs_leg *legs;
    uint32_t leg_of_port[PORTS]; /* and 1; 0: of none */
    uint64_t counts[RW_PAIRS_VERDICTS];
    rw_histogram delay_us;
};

static bool same_codec(const rw_pairs *pairs) {
    return pairs->config.payload_types[0] == pairs->config.payload_types[1];
}

static void begin_stream(pairs_leg *leg, const rw_rtp_header *header) {
    leg->heard = true;
    leg->first_sequence = header->sequence;
    leg->first_timestamp = header->timestamp;
}

/* The packet's number from 0 on, the nearest to that of the packet before. */
static uint32_t number_of(const pairs_leg *leg, const rw_rtp_header *header) {
    uint16_t low = (uint16_t)(header->sequence - leg->first_sequence);
    return leg->number + (uint32_t)(int16_t)(low - (uint16_t)leg->number);
}

static void keep(pairs_leg *leg, uint32_t room, uint32_t frame, const rw_rtp_packet *packet) {
    if (!leg->kept || leg->kept_count == room || packet->payload_bytes > RW_PAIRS_KEPT_BYTES)
        return;
    rw_pairs_kept *kept = &leg->kept[leg->kept_count++];
    kept->frame = frame;
    kept->bytes = (uint16_t)packet->payload_bytes;
    memcpy(kept->payload, packet->payload, packet->payload_bytes);
}

static bool is_what_was_said(const rw_talker_packet *said, const rw_rtp_packet *packet) {
    return packet->payload_bytes == said->payload_bytes &&
           memcmp(packet->payload, said->payload, said->payload_bytes) == 0;
}

static void measure(rw_pairs *pairs, uint64_t sent_ns, uint64_t arrival_ns) {
    rw_histogram_add(&pairs->delay_us, arrival_ns > sent_ns ? (arrival_ns - sent_ns) / 1000 : 0, 1);
}

static rw_pairs_verdict judge_next(rw_pairs *pairs, uint32_t index, const rw_rtp_packet *packet,
                                   uint64_t arrival_ns) {
    pairs_leg *leg = &pairs->legs[index];
    const rw_pairs_config *config = &pairs->config;
    rw_talker_packet said;
    if (!leg->heard) begin_stream(leg, &packet->header);
    leg->number = number_of(leg, &packet->header);
    if (!rw_talker_recall(pairs->talker, index ^ 1, leg->number, &said)) return RW_PAIRS_NOT_SAID;
    if (packet->header.payload_type != config->payload_types[index % 2]) return RW_PAIRS_MISTYPED;
    uint32_t since_ts = leg->number * config->ptime_ts[index % 2];
    if (packet->header.timestamp != leg->first_timestamp + since_ts) return RW_PAIRS_MISTIMED;
    if (same_codec(pairs) && !is_what_was_said(&said, packet)) return RW_PAIRS_ALTERED;
    measure(pairs, said.sent_ns, arrival_ns);
    keep(leg, config->keep_packets, said.frame, packet);
    return RW_PAIRS_RIGHT;
}

static rw_pairs_verdict judge(rw_pairs *pairs, uint32_t leg_and_1, const rw_rtp_packet *packet,
                              uint64_t arrival_ns, rw_stream_verdict verdict) {
    if (!leg_and_1) return RW_PAIRS_STRANGER;
    if (verdict == RW_STREAM_DUPLICATE) return RW_PAIRS_REPEATED;
    if (verdict == RW_STREAM_REORDERED) return RW_PAIRS_DISORDERED;
    return judge_next(pairs, leg_and_1 - 1, packet, arrival_ns);
}

static void on_packet(void *context, const rw_receiver_source *source, const rw_rtp_packet *packet,
                      uint64_t arrival_ns, rw_stream_verdict verdict) {
    rw_pairs *pairs = context;
    uint32_t leg_and_1 = pairs->leg_of_port[ntohs(source->from.sin_port)];
    pairs->counts[judge(pairs, leg_and_1, packet, arrival_ns, verdict)]++;
}

uint64_t rw_pairs_count(const rw_pairs *pairs, rw_pairs_verdict verdict) {
    return pairs->counts[verdict];
}

const rw_histogram *rw_pairs_delay_us(const rw_pairs *pairs) {
    return &pairs->delay_us;
}

void rw_pairs_begin_window(rw_pairs *pairs) {
    rw_histogram_clear(&pairs->delay_us);
}

const rw_pairs_kept *rw_pairs_kept_of(const rw_pairs *pairs, uint32_t leg, uint32_t *count) {
    *count = leg < pairs->config.legs ? pairs->legs[leg].kept_count : 0;
    return *count ? pairs->legs[leg].kept : NULL;
}

/* --- set-up -------------------------------------------------------------------------------- */

static int set_up(rw_pairs *pairs) {
    const rw_pairs_config *config = &pairs->config;
    pairs->legs = calloc(config->legs, sizeof *pairs->legs);
    if (!pairs->legs) return -ENOMEM;
    for (uint32_t i = 0; i < config->legs; i++) {
        pairs->leg_of_port[config->ports[i]] = i + 1;
        if (!config->keep_every || i / 2 % config->keep_every) continue;
        pairs->legs[i].kept = calloc(config->keep_packets, sizeof *pairs->legs[i].kept);
        if (!pairs->legs[i].kept) return -ENOMEM;
    }
    return 0;
}

int rw_pairs_open(rw_pairs **pairs, rw_receiver *receiver, const rw_talker *talker,
                  const rw_pairs_config *config) {
    if (!config->legs || config->legs % 2) return -EINVAL;
    rw_pairs *opened = calloc(1, sizeof *opened);
    if (!opened) return -ENOMEM;
    opened->config = *config;
    opened->receiver = receiver;
    opened->talker = talker;
    int error = set_up(opened);
    if (error) {
        rw_pairs_close(opened);
        return error;
    }
    rw_receiver_listen(receiver, on_packet, opened);
    *pairs = opened;
    return 0;
}

void rw_pairs_close(rw_pairs *pairs) {
    rw_receiver_listen(pairs->receiver, NULL, NULL);
    for (uint32_t i = 0; pairs->legs && i < pairs->config.legs; i++)
        free(pairs->legs[i].kept);
    free(pairs->legs);
    free(pairs);
}
