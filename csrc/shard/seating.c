/* Legs in conferences: who takes a seat, who leaves it, and what becomes of the sound. */
#include "base/base.h"
#include "shard/shard_private.h"

/* What the mixer made of the seat's blocks is counted when it is over: not for each packet. */
static void count_blocks(rw_shard *shard, const rw_mixer_stats *figures) {
    for (int i = 0; i < RW_MIXER_VERDICTS; i++)
        rw_count(&shard->counters[RW_MIX_BLOCKS_0 + i],
                 (uint64_t)figures->given[i] + figures->taken[i]);
    rw_count(&shard->counters[RW_MIX_OVERTAKEN], figures->overtaken);
    rw_count(&shard->counters[RW_MIX_CLIPPED_SAMPLES], figures->clipped_samples);
}

void rw_shard_leave_seat(rw_shard *shard, rw_leg *leg) {
    rw_seat *seat = leg->seat;
    if (!seat) return;
    rw_seat_leave(seat);
    count_blocks(shard, &seat->figures);
    rw_seat_push(&shard->spent_seats, seat);
    leg->seat = NULL;
}

static const rw_seat *seat_of(const rw_shard *shard, uint64_t leg_id) {
    const rw_leg *leg = rw_shard_find_leg(shard, leg_id);
    return leg && !leg->closing ? leg->seat : NULL;
}

void rw_shard_take_seat(rw_shard *shard, rw_leg *leg, const rw_seat_order *order) {
    rw_shard_leave_seat(shard, leg);
    rw_shard_schedule(shard, leg);
    if (rw_seat_take(order->seat, leg->due_tick)) {
        rw_seat_push(&shard->spent_seats, order->seat);
        return;
    }
    leg->seat = order->seat;
    rw_seat_set_role(leg->seat, order->role, seat_of(shard, order->whisper_to));
}

static bool has_seat(const rw_leg *leg, uint64_t seat_id) {
    return leg->seat && leg->seat->seat_id == seat_id;
}

void rw_shard_end_seat(rw_shard *shard, rw_leg *leg, uint64_t seat_id) {
    if (has_seat(leg, seat_id)) rw_shard_leave_seat(shard, leg);
}

void rw_shard_change_role(rw_shard *shard, rw_leg *leg, const rw_seat_order *order) {
    if (!has_seat(leg, order->seat_id)) return;
    rw_seat_set_role(leg->seat, order->role, seat_of(shard, order->whisper_to));
}
