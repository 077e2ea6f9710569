#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "resample/resample.h"

#define MAX_RATE_HZ 48000
#define MAX_SAMPLES (RW_CODEC_MAX_PACKET_MS * (MAX_RATE_HZ / 1000))

struct rw_relay {
    struct rw_relay *next;
    const rw_codec *from;
    const rw_codec *to;
    void *decoder;
    void *encoder;
    rw_resampler resampler;
    uint32_t from_ts; /* of the packet at which both streams were tied to each other */
    uint32_t to_ts;
    uint16_t offset;        /* from a sequence number to the other side's */
    uint16_t next_sequence; /* of the other side, if nobody else sends to it */
    bool tied;
    int16_t decoded[MAX_SAMPLES];
    int16_t resampled[MAX_SAMPLES + 1];
};

int rw_relay_create(const rw_codec *from, const rw_codec *to, rw_relay **relay) {
    rw_relay *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->from = from;
    self->to = to;
    int error = 0;
    if (from != to) {
        error = rw_resampler_init(&self->resampler, from->sample_rate_hz, to->sample_rate_hz);
        if (!error) error = rw_codec_create_decoder(from, &self->decoder);
        if (!error) error = rw_codec_create_encoder(to, &self->encoder);
    }
    if (error)
        rw_relay_destroy(self);
    else
        *relay = self;
    return error;
}

void rw_relay_destroy(rw_relay *relay) {
    if (!relay) return;
    rw_codec_destroy_state(relay->decoder);
    rw_codec_destroy_state(relay->encoder);
    free(relay);
}

void rw_relay_push(rw_relay **list, rw_relay *relay) {
    relay->next = *list;
    *list = relay;
}

rw_relay *rw_relay_pop(rw_relay **list) {
    rw_relay *relay = *list;
    if (relay) *list = relay->next;
    return relay;
}

rw_relay *rw_relay_next(const rw_relay *relay) {
    return relay->next;
}

/* False at the first packet, where the source begins anew, and when the other side has sent
 * something of its own. */
static bool is_tied(const rw_relay *relay, rw_heard heard, const rw_relay_target *target) {
    return relay->tied && heard != RW_HEARD_NEW_SOURCE && heard != RW_HEARD_RESTART &&
           target->sequence == relay->next_sequence;
}

static void tie(rw_relay *relay, const rw_rtp_header *header, const rw_relay_target *target) {
    relay->tied = true;
    relay->from_ts = header->timestamp;
    relay->to_ts = target->timestamp;
    relay->offset = (uint16_t)(target->sequence - header->sequence);
    relay->next_sequence = target->sequence;
}

void rw_relay_untie(rw_relay *relay) {
    relay->tied = false;
}

static uint32_t timestamp_of(const rw_relay *relay, uint32_t timestamp, uint32_t from_hz,
                             uint32_t to_hz) {
    int64_t since_ts = (int32_t)(timestamp - relay->from_ts);
    return relay->to_ts + (uint32_t)(since_ts * to_hz / from_hz);
}

/* The other side's payload type for one of this side's. */
static uint8_t type_of(const rw_ear_media *from, const rw_ear_media *to, uint8_t type) {
    if (type == from->sound) return to->sound;
    return type == from->events ? to->events : to->comfort_noise;
}

static size_t transcode(rw_relay *relay, const rw_rtp_packet *packet, uint8_t *to, size_t room) {
    const rw_codec *codec = relay->from;
    size_t most = RW_CODEC_MAX_PACKET_MS * (size_t)codec->sample_rate_hz / 1000;
    size_t count =
        codec->decode(relay->decoder, packet->payload, packet->payload_bytes, relay->decoded, most);
    count = rw_resample(&relay->resampler, relay->decoded, count, relay->resampled, MAX_SAMPLES);
    return relay->to->encode(relay->encoder, relay->resampled, count, to, room);
}

/* Durations of events count in RTP timestamps (RFC 4733 section 2.3.5). */
static void scale_events(uint8_t *payload, size_t bytes, uint32_t from_hz, uint32_t to_hz) {
    for (size_t at = 0; at + RW_EVENT_BYTES <= bytes; at += RW_EVENT_BYTES) {
        uint64_t duration_ts = (uint64_t)rw_load_be16(payload + at + 2) * to_hz / from_hz;
        rw_store_be16(payload + at + 2, duration_ts > 0xffff ? 0xffff : (uint16_t)duration_ts);
    }
}

static size_t copy(const rw_rtp_packet *packet, uint8_t *to, size_t room) {
    if (packet->payload_bytes > room) return 0;
    memcpy(to, packet->payload, packet->payload_bytes);
    return packet->payload_bytes;
}

static void advance(rw_relay *relay, rw_relay_target *target, uint16_t sequence) {
    if ((int16_t)(sequence - target->sequence) >= 0) target->sequence = (uint16_t)(sequence + 1);
    relay->next_sequence = target->sequence;
}

size_t rw_relay_pass(rw_relay *relay, const rw_ear_media *from, const rw_rtp_packet *packet,
                     rw_heard heard, rw_relay_target *target, uint8_t *to, size_t room) {
    const rw_ear_media *media = &target->media;
    bool sound = packet->header.payload_type == from->sound;
    bool coded_anew = sound && relay->from != relay->to;
    bool tied = is_tied(relay, heard, target);
    /* A codec's state goes by order: what comes late has no place any more. Nor has it in a stream
     * that goes on behind it. */
    if (room < RW_RTP_HEADER_BYTES || ((coded_anew || !tied) && heard == RW_HEARD_LATE)) return 0;
    rw_rtp_header header = {
        .marker = packet->header.marker,
        .payload_type = type_of(from, media, packet->header.payload_type),
        .ssrc = target->ssrc,
    };
    if (header.payload_type == RW_NO_PAYLOAD_TYPE) return 0;
    if (!tied) {
        tie(relay, &packet->header, target);
        header.marker = true;
    }
    header.sequence = (uint16_t)(packet->header.sequence + relay->offset);
    header.timestamp =
        timestamp_of(relay, packet->header.timestamp, from->clock_rate_hz, media->clock_rate_hz);
    uint8_t *payload = to + RW_RTP_HEADER_BYTES;
    room -= RW_RTP_HEADER_BYTES;
    size_t bytes =
        coded_anew ? transcode(relay, packet, payload, room) : copy(packet, payload, room);
    if (!bytes) return 0;
    if (packet->header.payload_type == from->events && from->clock_rate_hz != media->clock_rate_hz)
        scale_events(payload, bytes, from->clock_rate_hz, media->clock_rate_hz);
    rw_rtp_write_header(to, &header);
    advance(relay, target, header.sequence);
    return RW_RTP_HEADER_BYTES + bytes;
}
