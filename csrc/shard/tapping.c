/* Continuous sound of a leg, for recordings and for programs that listen. */
#include "base/base.h"
#include "shard/shard_private.h"

void rw_shard_add_tap(rw_shard *shard, rw_leg *leg, rw_tap *tap) {
    rw_shard_schedule(shard, leg);
    tap->heard_tick = leg->due_tick;
    rw_tap_push(&leg->taps, tap);
}

static void give_back(rw_shard *shard, rw_tap *tap) {
    rw_tap_finish(tap);
    rw_tap_push(&shard->spent_taps, tap);
}

void rw_shard_remove_tap(rw_shard *shard, rw_leg *leg, uint64_t tap_id) {
    rw_tap *tap = rw_tap_remove(&leg->taps, tap_id);
    if (tap) give_back(shard, tap);
}

void rw_shard_remove_taps(rw_shard *shard, rw_leg *leg) {
    while (leg->taps)
        give_back(shard, rw_tap_pop(&leg->taps));
}

void rw_shard_tap_heard(const rw_leg *leg, const rw_rtp_packet *packet) {
    rw_ear_media media = rw_leg_ear_media(leg);
    for (rw_tap *tap = leg->taps; tap; tap = tap->next)
        rw_tap_hear(tap, &media, packet, rw_ear_heard(leg->ear));
}

void rw_shard_tap_sent(const rw_leg *leg, const uint8_t *datagram, size_t bytes) {
    rw_rtp_packet packet;
    rw_ear_media media = rw_leg_ear_media(leg);
    if (rw_rtp_parse(datagram, bytes, &packet)) return;
    for (rw_tap *tap = leg->taps; tap; tap = tap->next)
        rw_tap_sent(tap, &media, &packet);
}

static void tell_sound(rw_shard *shard, const rw_leg *leg, const rw_tap *tap) {
    rw_event event = {.kind = RW_EVENT_SOUND, .leg_id = rw_read(&leg->id), .tap_id = tap->tap_id};
    if (!rw_shard_keep_news(shard, &event)) rw_listener_untold(tap->listener);
}

void rw_shard_advance_taps(rw_shard *shard, rw_leg *leg) {
    for (rw_tap *tap = leg->taps; tap; tap = tap->next)
        if (rw_tap_advance(tap, leg->due_tick)) tell_sound(shard, leg, tap);
}
