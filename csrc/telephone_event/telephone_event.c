#include "telephone_event/telephone_event.h"

#include <errno.h>

#include "base/base.h"

#define END_BIT 0x80
#define MAX_SEGMENT_TS 0xffffu
#define END_PACKETS 3 /* RFC 4733 section 2.5.1.4 */

#define MIN_CLOCK_HZ 1000
#define MAX_CLOCK_HZ 192000

#define US_PER_DIGIT (1000000 / RW_EVENT_MAX_PER_S)

/* A packet can't be overtaken by more than this: an older timestamp after it is a new beginning. */
#define MAX_LATE_US 2000000

/* Nor does a payload tell again of events that are older than this. */
#define MAX_LATE_TS (RW_EVENT_MAX_PER_PAYLOAD * MAX_SEGMENT_TS)

/* How much less than MAX_SEGMENT_TS a segment may last, for senders that keep to their packets; and
 * how much of its end may have been lost. */
#define SEGMENT_SLACK_MS 120
#define SEGMENT_LOSS_MS 300

static bool is_clock(uint32_t clock_hz) {
    return clock_hz >= MIN_CLOCK_HZ && clock_hz <= MAX_CLOCK_HZ;
}

int rw_event_receiver_init(rw_event_receiver *receiver, uint32_t clock_hz) {
    if (!is_clock(clock_hz)) return -EINVAL;
    *receiver = (rw_event_receiver){.clock_hz = clock_hz, .phase = RW_EVENT_NONE};
    return 0;
}

/* One event of a payload. */
typedef struct event {
    uint32_t timestamp;
    uint16_t duration_ts;
    uint8_t code;
    bool end;
    bool marker;
} event;

static uint32_t ts_of_ms(const rw_event_receiver *receiver, uint32_t duration_ms) {
    return receiver->clock_hz / 1000 * duration_ms;
}

static rw_digit end_digit(rw_event_receiver *receiver, rw_event_phase phase) {
    uint64_t duration_ts = receiver->earlier_ts + receiver->duration_ts;
    uint32_t duration_ms = (uint32_t)(duration_ts * 1000 / receiver->clock_hz);
    receiver->phase = phase;
    return (rw_digit){RW_DIGIT_SYMBOLS[receiver->code], true, duration_ms};
}

static void tell(rw_event_news *news, rw_digit digit) {
    news->digits[news->count++] = digit;
}

/* A leaky bucket of RW_EVENT_MAX_BURST digits. */
static bool within_rate(rw_event_receiver *receiver, uint64_t now_us) {
    uint64_t from_us = receiver->allowed_us > now_us ? receiver->allowed_us : now_us;
    if (from_us - now_us > (RW_EVENT_MAX_BURST - 1) * US_PER_DIGIT) return false;
    receiver->allowed_us = from_us + US_PER_DIGIT;
    return true;
}

/* True if the event lies before what was heard last. A sender whose timestamps jump back is told by
 * the order of its packets. */
static bool is_late(const rw_event_receiver *receiver, uint64_t now_us, const rw_rtp_header *header,
                    const event *heard) {
    int32_t back_ts = (int32_t)(receiver->segment_ts - heard->timestamp);
    if (back_ts <= 0 || now_us - receiver->heard_us > MAX_LATE_US) return false;
    if (back_ts <= (int32_t)MAX_LATE_TS) return true;
    return (int16_t)(header->sequence - receiver->sequence) <= 0;
}

/* RFC 4733 section 2.5.1.3: a new segment begins, without a marker, where the last one was full.
 * The same digit pressed anew just then would have to lose its marker and the end before it. */
static bool continues(const rw_event_receiver *receiver, const event *heard) {
    uint32_t passed_ts = heard->timestamp - receiver->segment_ts;
    if (receiver->phase != RW_EVENT_SOUNDING && receiver->phase != RW_EVENT_EXPIRED) return false;
    if (heard->code != receiver->code || heard->marker || passed_ts > MAX_SEGMENT_TS) return false;
    return passed_ts + ts_of_ms(receiver, SEGMENT_SLACK_MS) > MAX_SEGMENT_TS &&
           receiver->duration_ts + ts_of_ms(receiver, SEGMENT_LOSS_MS) >= passed_ts;
}

static void begin_segment(rw_event_receiver *receiver, const event *heard) {
    receiver->earlier_ts += heard->timestamp - receiver->segment_ts;
    receiver->segment_ts = heard->timestamp;
    receiver->duration_ts = 0;
}

static rw_event_verdict start(rw_event_receiver *receiver, uint64_t now_us, const event *heard,
                              rw_event_news *news) {
    if (!within_rate(receiver, now_us)) return RW_EVENT_STORM;
    if (receiver->phase == RW_EVENT_SOUNDING) tell(news, end_digit(receiver, RW_EVENT_OVER));
    receiver->phase = RW_EVENT_SOUNDING;
    receiver->code = heard->code;
    receiver->segment_ts = heard->timestamp;
    receiver->duration_ts = 0;
    receiver->earlier_ts = 0;
    tell(news, (rw_digit){RW_DIGIT_SYMBOLS[heard->code], false, 0});
    return RW_EVENT_STARTED;
}

/* More of the event under way. Packets that were overtaken tell a shorter duration. */
static rw_event_verdict go_on(rw_event_receiver *receiver, const event *heard,
                              rw_event_news *news) {
    if (heard->duration_ts > receiver->duration_ts) receiver->duration_ts = heard->duration_ts;
    if (receiver->phase != RW_EVENT_SOUNDING) return RW_EVENT_REPEATED;
    if (!heard->end) return RW_EVENT_UPDATED;
    tell(news, end_digit(receiver, RW_EVENT_OVER));
    return RW_EVENT_ENDED;
}

static rw_event_verdict hear_event(rw_event_receiver *receiver, uint64_t now_us,
                                   const rw_rtp_header *header, const event *heard,
                                   rw_event_news *news) {
    if (heard->code >= RW_DIGITS) return RW_EVENT_NOT_A_DIGIT;
    bool known = receiver->phase != RW_EVENT_NONE;
    if (known && is_late(receiver, now_us, header, heard)) return RW_EVENT_REPEATED;
    bool same = known && heard->timestamp == receiver->segment_ts;
    /* A timestamp stands for one event: another code with it is a sender's mistake. */
    if (same && heard->code != receiver->code) return RW_EVENT_REPEATED;
    rw_event_verdict verdict = RW_EVENT_UPDATED;
    if (!same && known && continues(receiver, heard))
        begin_segment(receiver, heard);
    else if (!same)
        verdict = start(receiver, now_us, heard, news);
    if (verdict == RW_EVENT_STORM) return verdict;
    receiver->heard_us = now_us;
    receiver->sequence = header->sequence;
    rw_event_verdict later = go_on(receiver, heard, news);
    return verdict == RW_EVENT_STARTED ? verdict : later;
}

/* A new source has its own timestamps: what sounded is over. The rate limit stays, or a stranger
 * could get round it. */
static void follow_source(rw_event_receiver *receiver, uint32_t ssrc, rw_event_news *news) {
    if (receiver->ssrc == ssrc) return;
    if (receiver->phase == RW_EVENT_SOUNDING) tell(news, end_digit(receiver, RW_EVENT_OVER));
    receiver->phase = RW_EVENT_NONE;
    receiver->ssrc = ssrc;
}

/* What is worth more is told of a payload with several events. */
static rw_event_verdict weightier(rw_event_verdict a, rw_event_verdict b) {
    return a < b ? a : b;
}

rw_event_verdict rw_event_receiver_hear(rw_event_receiver *receiver, uint64_t now_us,
                                        const rw_rtp_header *header, const uint8_t *payload,
                                        size_t bytes, rw_event_news *news) {
    news->count = 0;
    size_t events = bytes / RW_EVENT_BYTES;
    if (!events || events > RW_EVENT_MAX_PER_PAYLOAD || bytes % RW_EVENT_BYTES)
        return RW_EVENT_BAD_LENGTH;
    follow_source(receiver, header->ssrc, news);
    rw_event_verdict verdict = news->count ? RW_EVENT_ENDED : RW_EVENT_VERDICTS;
    event heard = {.timestamp = header->timestamp, .marker = header->marker};
    for (size_t i = 0; i < events; i++, payload += RW_EVENT_BYTES) {
        heard.code = payload[0];
        heard.duration_ts = rw_load_be16(payload + 2);
        /* RFC 4733 section 2.5.1.5: each event begins where the one before it ended. */
        heard.end = payload[1] & END_BIT || i + 1 < events;
        verdict = weightier(verdict, hear_event(receiver, now_us, header, &heard, news));
        heard.timestamp += heard.duration_ts;
    }
    return verdict;
}

bool rw_event_receiver_expire(rw_event_receiver *receiver, uint64_t now_us, rw_digit *ended) {
    if (receiver->phase != RW_EVENT_SOUNDING) return false;
    if (now_us - receiver->heard_us < RW_EVENT_TIMEOUT_US) return false;
    *ended = end_digit(receiver, RW_EVENT_EXPIRED);
    return true;
}

int rw_event_sender_init(rw_event_sender *sender, uint32_t clock_hz) {
    if (!is_clock(clock_hz)) return -EINVAL;
    *sender = (rw_event_sender){.clock_hz = clock_hz};
    return 0;
}

int rw_event_sender_queue(rw_event_sender *sender, char symbol, uint16_t on_ms, uint16_t off_ms,
                          uint8_t volume) {
    int code = rw_digit_code(symbol);
    if (code < 0 || volume > RW_EVENT_MAX_VOLUME) return -EINVAL;
    if (on_ms < RW_EVENT_MIN_ON_MS || off_ms < RW_EVENT_MIN_OFF_MS) return -EINVAL;
    if (sender->queued == RW_EVENT_QUEUE) return -ENOBUFS;
    sender->queue[(sender->first + sender->queued++) % RW_EVENT_QUEUE] =
        (rw_event_order){on_ms, off_ms, (uint8_t)code, volume};
    return 0;
}

bool rw_event_sender_busy(const rw_event_sender *sender) {
    return sender->queued > 0;
}

static uint32_t duration_ts(const rw_event_sender *sender, uint16_t duration_ms) {
    return (uint32_t)((uint64_t)sender->clock_hz * duration_ms / 1000);
}

static void begin(rw_event_sender *sender, uint32_t slot_ts) {
    const rw_event_order *order = &sender->queue[sender->first];
    sender->segment_ts = slot_ts;
    sender->remaining_ts = duration_ts(sender, order->on_ms);
    sender->next_ts = slot_ts + sender->remaining_ts + duration_ts(sender, order->off_ms);
    sender->phase = RW_EVENT_SENDS_DIGIT;
    sender->marker = true;
    sender->ends_left = END_PACKETS;
}

static void write_packet(rw_event_sender *sender, uint32_t passed_ts, bool end,
                         rw_event_packet *packet) {
    const rw_event_order *order = &sender->queue[sender->first];
    packet->timestamp = sender->segment_ts;
    packet->marker = sender->marker;
    packet->payload[0] = order->code;
    packet->payload[1] = (uint8_t)((end ? END_BIT : 0) | order->volume);
    rw_store_be16(packet->payload + 2, (uint16_t)passed_ts);
    sender->marker = false;
}

/* RFC 4733 section 2.5.1.3: a full segment is told without the end bit, and the next begins where
 * it ended. */
static void end_segment(rw_event_sender *sender, rw_event_packet *packet) {
    write_packet(sender, MAX_SEGMENT_TS, false, packet);
    sender->segment_ts += MAX_SEGMENT_TS;
    sender->remaining_ts -= MAX_SEGMENT_TS;
}

static void send_digit(rw_event_sender *sender, uint32_t passed_ts, rw_event_packet *packet) {
    if (passed_ts >= MAX_SEGMENT_TS && sender->remaining_ts > MAX_SEGMENT_TS) {
        end_segment(sender, packet);
    } else if (passed_ts < sender->remaining_ts) {
        write_packet(sender, passed_ts, false, packet);
    } else {
        write_packet(sender, sender->remaining_ts, true, packet);
        if (--sender->ends_left == 0) sender->phase = RW_EVENT_SENDS_PAUSE;
    }
}

static void take_off_queue(rw_event_sender *sender) {
    sender->first = (sender->first + 1) % RW_EVENT_QUEUE;
    sender->queued--;
    sender->phase = RW_EVENT_SENDS_NOTHING;
}

bool rw_event_sender_compose(rw_event_sender *sender, uint32_t slot_ts, uint32_t frame_ts,
                             rw_event_packet *packet) {
    if (!sender->queued) return false;
    if (sender->phase == RW_EVENT_SENDS_NOTHING) begin(sender, slot_ts);
    bool sends = sender->phase == RW_EVENT_SENDS_DIGIT;
    uint32_t slot_end_ts = slot_ts + frame_ts;
    if (sends) send_digit(sender, slot_end_ts - sender->segment_ts, packet);
    bool pause_ends = (int32_t)(slot_end_ts - sender->next_ts) >= 0;
    if (sender->phase == RW_EVENT_SENDS_PAUSE && pause_ends) take_off_queue(sender);
    return sends;
}
