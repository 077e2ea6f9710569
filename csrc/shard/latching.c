/* Whose packets a leg takes: its latch, and the socket that follows it. */
#include "base/base.h"
#include "shard/shard_private.h"

void rw_shard_open_source(rw_shard *shard, rw_leg *leg, const rw_address *from_sdp) {
    rw_latch_open(&leg->latch, leg->source_policy, from_sdp, shard->now_us);
    leg->unsettled = !leg->latch.settled;
}

/* Connects the socket of a leg whose remote address moves no more: the kernel then keeps strangers
 * out, and a send is cheaper. */
static void settle(rw_shard *shard, rw_leg *leg) {
    leg->unsettled = false;
    if (shard->backend->ops->retarget(shard->backend, leg, &leg->latch.remote))
        leg->unsettled = true;
}

bool rw_shard_admit(rw_shard *shard, rw_leg *leg, const rw_address *source) {
    rw_latch_verdict verdict = rw_latch_hear(&leg->latch, source, shard->now_us);
    if (verdict == RW_LATCH_MOVED) {
        rw_count(&shard->counters[RW_SOURCES_LATCHED], 1);
        rw_shard_close_control(shard, leg); /* RTCP moves with it */
    }
    if (leg->unsettled && leg->latch.settled) settle(shard, leg);
    if (verdict == RW_LATCH_ACCEPT || verdict == RW_LATCH_MOVED) return true;
    rw_counter counter = verdict == RW_LATCH_PROVING ? RW_RECEIVED_PROVING : RW_RECEIVED_STRANGER;
    rw_count(&shard->counters[counter], 1);
    rw_count(&leg->stats.packets_rejected, 1);
    return false;
}
