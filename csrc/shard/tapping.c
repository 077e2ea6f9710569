/* Continuous sound of a leg, for recordings, for programs that listen, and for other legs. */
#include "base/base.h"
#include "shard/shard_private.h"

/* More than come between two slots of a leg. */
#define MAX_DATAGRAMS 64

/* What another leg plays is what was sent after it was asked for, up to when it is complete: so
 * what waits to be read is read before it begins and before it ends. */
static void catch_up(rw_shard *shard, rw_leg *leg) {
    const rw_backend_ops *ops = shard->backend->ops;
    ops->receive(shard->backend, leg, MAX_DATAGRAMS);
    ops->flush(shard->backend);
}

static bool tell_sound(rw_shard *shard, const rw_leg *leg, const rw_tap *tap) {
    rw_event event = {.kind = RW_EVENT_SOUND, .leg_id = rw_read(&leg->id), .tap_id = tap->tap_id};
    return rw_shard_keep_news(shard, &event);
}

void rw_shard_add_tap(rw_shard *shard, rw_leg *leg, rw_tap *tap) {
    if (tap->live) catch_up(shard, leg);
    rw_shard_schedule(shard, leg);
    tap->heard_tick = leg->due_tick;
    rw_tap_push(&leg->taps, tap);
    if (tap->live) tell_sound(shard, leg, tap);
}

static void give_back(rw_shard *shard, rw_tap *tap) {
    rw_tap_finish(tap);
    rw_tap_push(&shard->spent_taps, tap);
}

void rw_shard_remove_tap(rw_shard *shard, rw_leg *leg, uint64_t tap_id) {
    const rw_tap *wanted = rw_tap_find(leg->taps, tap_id);
    if (wanted && wanted->live) catch_up(shard, leg);
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

void rw_shard_advance_taps(rw_shard *shard, rw_leg *leg) {
    for (rw_tap *tap = leg->taps; tap; tap = tap->next)
        if (rw_tap_advance(tap, leg->due_tick) && !tell_sound(shard, leg, tap))
            rw_listener_untold(tap->listener);
}
