#include "reception/reception.h"

#include <string.h>

#define US_PER_S 1000000

/* Bits of the window: one more than are of use, so that a late packet's older neighbour is known.
 */
#define WINDOW_PACKETS 64
_Static_assert(RW_MAX_LATE_PACKETS < WINDOW_PACKETS, "the oldest late packet has a neighbour");

/* A step of transit time beyond this is no jitter but another timeline: a sender that let its
 * timestamp stand still during a pause, or chose a new one without telling. */
#define MAX_TRANSIT_STEP_S 1

void rw_reception_init(rw_reception *reception, uint32_t clock_rate_hz) {
    memset(reception, 0, sizeof(*reception));
    reception->clock_rate_hz = clock_rate_hz;
}

static uint32_t rescale(uint32_t value, uint32_t from_hz, uint32_t to_hz) {
    uint64_t scaled = (uint64_t)value * to_hz / from_hz;
    return scaled > UINT32_MAX ? UINT32_MAX : (uint32_t)scaled;
}

void rw_reception_set_clock(rw_reception *reception, uint32_t clock_rate_hz) {
    uint32_t before_hz = reception->clock_rate_hz;
    if (clock_rate_hz == before_hz) return;
    reception->jitter_q4 = rescale(reception->jitter_q4, before_hz, clock_rate_hz);
    reception->max_jitter_q4 = rescale(reception->max_jitter_q4, before_hz, clock_rate_hz);
    reception->clock_rate_hz = clock_rate_hz;
    reception->timed = false;
}

/* --- sequence ----------------------------------------------------------------------------- */

static uint32_t expected_of_source(const rw_reception *reception) {
    return reception->sources ? reception->highest - reception->base + 1 : 0;
}

static void begin_source(rw_reception *reception, const rw_rtp_header *header) {
    reception->earlier_expected += expected_of_source(reception);
    reception->earlier_distinct += reception->distinct;
    reception->ssrc = header->ssrc;
    reception->base = reception->highest = header->sequence;
    reception->window = 1;
    reception->received = reception->distinct = 0;
    reception->expected_prior = reception->received_prior = 0;
    reception->timed = false;
}

static void take_new_source(rw_reception *reception, const rw_rtp_header *header) {
    begin_source(reception, header);
    reception->sources++;
    reception->sender_report_middle = 0;
    reception->jitter_q4 = 0; /* that of the network is found again within a second */
}

/* A packet that does not belong to the present stream: two in sequence make a new one. */
static rw_heard prove(rw_reception *reception, const rw_rtp_header *header) {
    bool same_source = header->ssrc == reception->ssrc;
    if (reception->proving && header->ssrc == reception->candidate_ssrc &&
        header->sequence == reception->candidate_sequence) {
        if (same_source) {
            begin_source(reception, header);
            reception->restarts++;
            return RW_HEARD_RESTART;
        }
        take_new_source(reception, header);
        return RW_HEARD_NEW_SOURCE;
    }
    reception->proving = true;
    reception->candidate_ssrc = header->ssrc;
    reception->candidate_sequence = (uint16_t)(header->sequence + 1);
    reception->refused++;
    return same_source ? RW_HEARD_JUMP : RW_HEARD_STRANGER;
}

static rw_heard take_ahead(rw_reception *reception, uint32_t ahead) {
    reception->highest += ahead;
    reception->window = ahead < WINDOW_PACKETS ? reception->window << ahead | 1 : 1;
    if (ahead > 1) reception->gaps++;
    return RW_HEARD_NEW;
}

/* False if the packet `age` before the highest (within the window) is missing. */
static bool is_present(const rw_reception *reception, uint32_t age) {
    if (age > reception->highest - reception->base) return true; /* from before the beginning */
    return reception->window >> age & 1;
}

/* A packet that is missed splits its gap, or makes it shorter, or closes it. One from before the
 * first that was heard moves the beginning, and may leave a gap behind it. */
static void fill_gap(rw_reception *reception, uint32_t age) {
    uint32_t span = reception->highest - reception->base;
    if (age > span) {
        reception->base = reception->highest - age;
        reception->gaps += age > span + 1;
        return;
    }
    reception->gaps += 1u - is_present(reception, age - 1) - is_present(reception, age + 1);
}

static rw_heard take_behind(rw_reception *reception, uint32_t age) {
    if (age >= RW_MAX_LATE_PACKETS) {
        reception->stale++;
        return RW_HEARD_STALE;
    }
    if (reception->window >> age & 1) {
        reception->duplicates++;
        return RW_HEARD_DUPLICATE;
    }
    fill_gap(reception, age);
    reception->window |= 1ull << age;
    reception->reordered++;
    return RW_HEARD_LATE;
}

/* RFC 3550 A.1, update_seq */
static rw_heard place(rw_reception *reception, const rw_rtp_header *header) {
    if (reception->sources == 0) {
        take_new_source(reception, header);
        return RW_HEARD_NEW_SOURCE;
    }
    if (header->ssrc != reception->ssrc) return prove(reception, header);
    uint16_t ahead = (uint16_t)(header->sequence - (uint16_t)reception->highest);
    uint16_t age = (uint16_t)-ahead;
    if (ahead == 0 || age < RW_MAX_MISORDER) return take_behind(reception, age);
    if (ahead >= RW_MAX_DROPOUT) return prove(reception, header);
    return take_ahead(reception, ahead);
}

/* --- jitter ------------------------------------------------------------------------------- */

/* The moment in timestamp units; it wraps as timestamps do. */
static uint32_t in_timestamp_units(uint64_t us, uint32_t clock_rate_hz) {
    return (uint32_t)(us / US_PER_S * clock_rate_hz + us % US_PER_S * clock_rate_hz / US_PER_S);
}

static uint32_t magnitude(uint32_t difference) {
    return difference >> 31 ? 0 - difference : difference;
}

/* RFC 3550 A.8. Packets that share a timestamp count once: those of a telephone event all have that
 * of its beginning (RFC 4733 section 2.1), however long it lasts. */
static void measure_jitter(rw_reception *reception, uint32_t timestamp, uint64_t arrival_us) {
    if (reception->timed && timestamp == reception->timestamp) return;
    uint32_t transit = in_timestamp_units(arrival_us, reception->clock_rate_hz) - timestamp;
    uint32_t step = magnitude(transit - reception->transit_ts);
    bool was_timed = reception->timed;
    reception->timed = true;
    reception->timestamp = timestamp;
    reception->transit_ts = transit;
    if (!was_timed) return;
    if (step > MAX_TRANSIT_STEP_S * reception->clock_rate_hz) {
        reception->timestamp_steps++;
        return;
    }
    reception->jitter_q4 += step - ((reception->jitter_q4 + 8) >> 4);
    if (reception->jitter_q4 > reception->max_jitter_q4)
        reception->max_jitter_q4 = reception->jitter_q4;
}

rw_heard rw_reception_hear(rw_reception *reception, const rw_rtp_header *header,
                           uint64_t arrival_us) {
    rw_heard heard = place(reception, header);
    if (heard == RW_HEARD_JUMP || heard == RW_HEARD_STRANGER) return heard;
    reception->received++;
    if (!rw_heard_is_taken(heard)) return heard;
    reception->distinct++;
    reception->last_heard_us = arrival_us;
    if (heard != RW_HEARD_LATE) reception->proving = false;
    measure_jitter(reception, header->timestamp, arrival_us);
    return heard;
}

/* --- figures ------------------------------------------------------------------------------ */

uint64_t rw_reception_expected(const rw_reception *reception) {
    return reception->earlier_expected + expected_of_source(reception);
}

uint64_t rw_reception_received(const rw_reception *reception) {
    return reception->earlier_distinct + reception->distinct;
}

uint64_t rw_reception_lost(const rw_reception *reception) {
    return rw_reception_expected(reception) - rw_reception_received(reception);
}

uint32_t rw_reception_jitter_ts(const rw_reception *reception) {
    return reception->jitter_q4 >> 4;
}

static uint32_t jitter_us(const rw_reception *reception, uint32_t jitter_q4) {
    return rescale(jitter_q4, 16 * reception->clock_rate_hz, US_PER_S);
}

uint32_t rw_reception_jitter_us(const rw_reception *reception) {
    return jitter_us(reception, reception->jitter_q4);
}

uint32_t rw_reception_max_jitter_us(const rw_reception *reception) {
    return jitter_us(reception, reception->max_jitter_q4);
}

/* --- RTCP --------------------------------------------------------------------------------- */

void rw_reception_hear_sender_report(rw_reception *reception, uint32_t ssrc, uint64_t ntp,
                                     uint64_t now_us) {
    if (reception->sources == 0 || ssrc != reception->ssrc) return;
    reception->sender_report_middle = rw_rtcp_ntp_middle(ntp);
    reception->sender_report_us = now_us;
}

/* RFC 3550 A.3: lost of the interval, in 1/256. */
static uint8_t fraction_lost(const rw_reception *reception) {
    uint32_t expected = expected_of_source(reception) - reception->expected_prior;
    uint32_t received = reception->received - reception->received_prior;
    if (expected == 0 || received >= expected) return 0;
    return (uint8_t)(((uint64_t)(expected - received) << 8) / expected);
}

/* 24 bits with a sign, held at its ends (section 6.4.1). */
static int32_t cumulative_lost(const rw_reception *reception) {
    int64_t lost = (int64_t)expected_of_source(reception) - reception->received;
    if (lost > 0x7fffff) return 0x7fffff;
    return lost < -0x800000 ? -0x800000 : (int32_t)lost;
}

static uint32_t since_sender_report(const rw_reception *reception, uint64_t now_us) {
    if (reception->sender_report_middle == 0 || now_us < reception->sender_report_us) return 0;
    uint64_t since_us = now_us - reception->sender_report_us;
    if (since_us >= 65536ull * US_PER_S) return UINT32_MAX;
    return (uint32_t)(since_us * 65536 / US_PER_S);
}

bool rw_reception_report(rw_reception *reception, uint64_t now_us, rw_report_block *block) {
    if (reception->received == reception->received_prior) return false;
    *block = (rw_report_block){
        .ssrc = reception->ssrc,
        .fraction_lost = fraction_lost(reception),
        .cumulative_lost = cumulative_lost(reception),
        .highest_sequence = reception->highest,
        .jitter_ts = rw_reception_jitter_ts(reception),
        .lsr = reception->sender_report_middle,
        .dlsr = since_sender_report(reception, now_us),
    };
    reception->expected_prior = expected_of_source(reception);
    reception->received_prior = reception->received;
    return true;
}
