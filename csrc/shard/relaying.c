/* The way of a packet from one leg of a shard to another. */
#include "base/base.h"
#include "shard/shard_private.h"

static rw_leg *target_of(const rw_shard *shard, const rw_leg *leg) {
    rw_leg *target = rw_shard_find_leg(shard, leg->relay_to);
    return target && !target->closing ? target : NULL;
}

void rw_shard_stop_relay(rw_shard *shard, rw_leg *leg) {
    if (!leg->relay) return;
    rw_leg *target = target_of(shard, leg);
    if (target) {
        target->relayed = false;
        target->marker = true; /* of what it plays from now on */
        if (rw_leg_needs_slots(target)) rw_shard_schedule(shard, target);
    }
    rw_relay_push(&shard->spent, leg->relay);
    leg->relay = NULL;
}

void rw_shard_start_relay(rw_shard *shard, rw_leg *leg, rw_relay *relay, uint64_t to) {
    rw_shard_stop_relay(shard, leg);
    leg->relay = relay;
    leg->relay_to = to;
    rw_leg *target = target_of(shard, leg);
    if (target) target->relayed = true;
}

static size_t compose(rw_shard *shard, rw_leg *leg, rw_leg *target, const rw_rtp_packet *packet,
                      uint8_t *to) {
    rw_ear_media media = rw_leg_ear_media(leg);
    /* Its slots stand still: their timestamp goes on all the same. */
    rw_leg_skip_to(target, shard->wheel.now_tick);
    rw_relay_target side = {.media = rw_leg_ear_media(target),
                            .ssrc = target->ssrc,
                            .timestamp = target->timestamp,
                            .sequence = target->sequence};
    size_t bytes = rw_relay_pass(leg->relay, &media, packet, rw_ear_heard(leg->ear), &side, to,
                                 RW_MAX_PACKET_BYTES - RW_SRTP_MAX_TRAILER_BYTES);
    target->sequence = side.sequence;
    return bytes;
}

/* On hold a leg takes nothing from a relay. */
static bool takes_relay(const rw_leg *target) {
    return target && target->send && !target->music.first;
}

void rw_shard_relay_packet(rw_shard *shard, rw_leg *leg, const rw_rtp_packet *packet) {
    rw_leg *target = target_of(shard, leg);
    uint8_t *to = shard->backend->ops->room(shard->backend);
    size_t bytes = 0;
    if (takes_relay(target))
        bytes = compose(shard, leg, target, packet, to);
    else
        rw_relay_untie(leg->relay);
    rw_count(&shard->counters[bytes ? RW_PACKETS_RELAYED : RW_PACKETS_NOT_RELAYED], 1);
    if (bytes) rw_shard_send(shard, target, to, bytes);
}
