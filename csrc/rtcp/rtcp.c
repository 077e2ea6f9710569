#include "rtcp/rtcp.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"

#define VERSION_2 0x80
#define VERSION_MASK 0xc0
#define PADDING_BIT 0x20
#define COUNT_MASK 0x1f

#define SENDER_REPORT 200
#define RECEIVER_REPORT 201
#define SOURCE_DESCRIPTION 202
#define GOODBYE 203
#define FIRST_TYPE 192
#define LAST_TYPE 223

#define CNAME_ITEM 1

#define HEADER_BYTES 4
#define SSRC_BYTES 4
#define SENDER_BYTES 20
#define BLOCK_BYTES 24

#define NTP_OF_1970_S 2208988800u
#define US_PER_S 1000000

/* --- composing ---------------------------------------------------------------------------- */

static size_t report_bytes(const rw_rtcp_report *report) {
    return HEADER_BYTES + SSRC_BYTES + (report->sender ? SENDER_BYTES : 0) +
           (report->block ? BLOCK_BYTES : 0);
}

/* One chunk: the SSRC, the item, and one to four zeros up to the next word (section 6.5). */
static size_t description_bytes(const rw_rtcp_report *report) {
    return HEADER_BYTES + SSRC_BYTES + ((2 + report->cname_bytes) / 4 + 1) * 4;
}

static size_t goodbye_bytes(const rw_rtcp_report *report) {
    return report->bye ? HEADER_BYTES + SSRC_BYTES : 0;
}

static uint8_t *write_head(uint8_t *to, size_t bytes, uint8_t type, unsigned count, uint32_t ssrc) {
    to[0] = (uint8_t)(VERSION_2 | count);
    to[1] = type;
    rw_store_be16(to + 2, (uint16_t)(bytes / 4 - 1));
    rw_store_be32(to + HEADER_BYTES, ssrc);
    return to + HEADER_BYTES + SSRC_BYTES;
}

static uint8_t *write_sender(uint8_t *to, const rw_sender_info *sender) {
    rw_store_be32(to, (uint32_t)(sender->ntp >> 32));
    rw_store_be32(to + 4, (uint32_t)sender->ntp);
    rw_store_be32(to + 8, sender->timestamp);
    rw_store_be32(to + 12, sender->packets);
    rw_store_be32(to + 16, sender->bytes);
    return to + SENDER_BYTES;
}

static uint8_t *write_block(uint8_t *to, const rw_report_block *block) {
    rw_store_be32(to, block->ssrc);
    rw_store_be32(to + 4, ((uint32_t)block->cumulative_lost & 0xffffff) |
                              (uint32_t)block->fraction_lost << 24);
    rw_store_be32(to + 8, block->highest_sequence);
    rw_store_be32(to + 12, block->jitter_ts);
    rw_store_be32(to + 16, block->lsr);
    rw_store_be32(to + 20, block->dlsr);
    return to + BLOCK_BYTES;
}

static uint8_t *write_report(uint8_t *to, const rw_rtcp_report *report) {
    uint8_t type = report->sender ? SENDER_REPORT : RECEIVER_REPORT;
    to = write_head(to, report_bytes(report), type, report->block != NULL, report->ssrc);
    if (report->sender) to = write_sender(to, report->sender);
    return report->block ? write_block(to, report->block) : to;
}

static uint8_t *write_description(uint8_t *to, const rw_rtcp_report *report) {
    size_t bytes = description_bytes(report);
    uint8_t *end = to + bytes;
    to = write_head(to, bytes, SOURCE_DESCRIPTION, 1, report->ssrc);
    to[0] = CNAME_ITEM;
    to[1] = (uint8_t)report->cname_bytes;
    memcpy(to + 2, report->cname, report->cname_bytes);
    to += 2 + report->cname_bytes;
    memset(to, 0, (size_t)(end - to));
    return end;
}

int rw_rtcp_compose(uint8_t *to, size_t room, const rw_rtcp_report *report) {
    if (report->cname_bytes == 0 || report->cname_bytes > RW_RTCP_MAX_CNAME_BYTES) return -EINVAL;
    size_t bytes = report_bytes(report) + description_bytes(report) + goodbye_bytes(report);
    if (bytes > room) return -ENOSPC;
    to = write_report(to, report);
    to = write_description(to, report);
    if (report->bye) write_head(to, goodbye_bytes(report), GOODBYE, 1, report->ssrc);
    return (int)bytes;
}

/* --- reading ------------------------------------------------------------------------------ */

/* One packet of a compound, without its padding. */
typedef struct packet_view {
    const uint8_t *body; /* behind the header */
    size_t body_bytes;
    uint8_t type;
    uint8_t count;
} packet_view;

bool rw_rtcp_is(const uint8_t *datagram, size_t bytes) {
    return bytes >= 2 && (datagram[0] & VERSION_MASK) == VERSION_2 && datagram[1] >= FIRST_TYPE &&
           datagram[1] <= LAST_TYPE;
}

/* Takes the padding off the last packet: whole words that it counts in its last byte. */
static rw_rtcp_reject strip_padding(packet_view *packet, bool last) {
    if (!last || packet->body_bytes == 0) return RW_RTCP_BAD_PADDING;
    size_t padding_bytes = packet->body[packet->body_bytes - 1];
    if (padding_bytes == 0 || padding_bytes % 4 || padding_bytes > packet->body_bytes)
        return RW_RTCP_BAD_PADDING;
    packet->body_bytes -= padding_bytes;
    return RW_RTCP_OK;
}

/* Cuts the packet at `*offset` out of the datagram, and moves on. */
static rw_rtcp_reject next_packet(const uint8_t *datagram, size_t bytes, size_t *offset,
                                  packet_view *packet) {
    const uint8_t *head = datagram + *offset;
    size_t left = bytes - *offset;
    if (left < HEADER_BYTES) return RW_RTCP_TOO_SHORT;
    if ((head[0] & VERSION_MASK) != VERSION_2) return RW_RTCP_BAD_VERSION;
    if (head[1] < FIRST_TYPE || head[1] > LAST_TYPE) return RW_RTCP_BAD_TYPE;
    size_t packet_bytes = 4 * ((size_t)rw_load_be16(head + 2) + 1);
    if (packet_bytes > left) return RW_RTCP_BAD_LENGTH;
    *offset += packet_bytes;
    *packet = (packet_view){head + HEADER_BYTES, packet_bytes - HEADER_BYTES, head[1],
                            head[0] & COUNT_MASK};
    return head[0] & PADDING_BIT ? strip_padding(packet, *offset == bytes) : RW_RTCP_OK;
}

static void read_sender(const uint8_t *from, rw_sender_info *sender) {
    sender->ntp = (uint64_t)rw_load_be32(from) << 32 | rw_load_be32(from + 4);
    sender->timestamp = rw_load_be32(from + 8);
    sender->packets = rw_load_be32(from + 12);
    sender->bytes = rw_load_be32(from + 16);
}

/* 24 bits with a sign. */
static int32_t signed_24(uint32_t value) {
    value &= 0xffffff;
    return value & 0x800000 ? (int32_t)value - 0x1000000 : (int32_t)value;
}

static void read_block(const uint8_t *from, rw_report_block *block) {
    block->ssrc = rw_load_be32(from);
    block->fraction_lost = from[4];
    block->cumulative_lost = signed_24(rw_load_be32(from + 4));
    block->highest_sequence = rw_load_be32(from + 8);
    block->jitter_ts = rw_load_be32(from + 12);
    block->lsr = rw_load_be32(from + 16);
    block->dlsr = rw_load_be32(from + 20);
}

static void read_blocks(const uint8_t *from, unsigned count, uint32_t own_ssrc, uint32_t reporter,
                        rw_rtcp_heard *heard) {
    for (; count; count--, from += BLOCK_BYTES) {
        if (rw_load_be32(from) != own_ssrc) continue;
        heard->has_block = true;
        heard->block_from = reporter;
        read_block(from, &heard->block);
    }
}

/* SR or RR; what may follow the blocks is a profile's and left alone (section 6.4.3). */
static rw_rtcp_reject read_report(const packet_view *packet, uint32_t own_ssrc,
                                  rw_rtcp_heard *heard) {
    bool has_sender = packet->type == SENDER_REPORT;
    size_t fixed_bytes = SSRC_BYTES + (has_sender ? SENDER_BYTES : 0);
    if (packet->body_bytes < fixed_bytes + (size_t)packet->count * BLOCK_BYTES)
        return RW_RTCP_BAD_REPORT;
    uint32_t reporter = rw_load_be32(packet->body);
    if (has_sender) {
        heard->has_sender = true;
        heard->sender_ssrc = reporter;
        read_sender(packet->body + SSRC_BYTES, &heard->sender);
    }
    read_blocks(packet->body + fixed_bytes, packet->count, own_ssrc, reporter, heard);
    return RW_RTCP_OK;
}

static rw_rtcp_reject read_goodbye(const packet_view *packet, uint32_t peer_ssrc,
                                   rw_rtcp_heard *heard) {
    if (packet->body_bytes < (size_t)packet->count * SSRC_BYTES) return RW_RTCP_BAD_BYE;
    for (unsigned i = 0; i < packet->count; i++)
        if (rw_load_be32(packet->body + (size_t)i * SSRC_BYTES) == peer_ssrc) heard->bye = true;
    return RW_RTCP_OK;
}

static rw_rtcp_reject read_packet(const packet_view *packet, uint32_t own_ssrc, uint32_t peer_ssrc,
                                  rw_rtcp_heard *heard) {
    switch (packet->type) {
    case SENDER_REPORT:
    case RECEIVER_REPORT:
        return read_report(packet, own_ssrc, heard);
    case GOODBYE:
        return read_goodbye(packet, peer_ssrc, heard);
    default:
        if (heard->skipped < UINT8_MAX) heard->skipped++;
        return RW_RTCP_OK;
    }
}

rw_rtcp_reject rw_rtcp_parse(const uint8_t *datagram, size_t bytes, uint32_t own_ssrc,
                             uint32_t peer_ssrc, rw_rtcp_heard *heard) {
    if (bytes < HEADER_BYTES || bytes % 4) return RW_RTCP_TOO_SHORT;
    rw_rtcp_heard found = {0};
    for (size_t offset = 0; offset < bytes;) {
        packet_view packet;
        rw_rtcp_reject reject = next_packet(datagram, bytes, &offset, &packet);
        if (!reject) reject = read_packet(&packet, own_ssrc, peer_ssrc, &found);
        if (reject) return reject;
    }
    *heard = found;
    return RW_RTCP_OK;
}

/* --- times -------------------------------------------------------------------------------- */

uint64_t rw_rtcp_ntp_of(uint64_t unix_us) {
    uint64_t fraction = (unix_us % US_PER_S << 32) / US_PER_S;
    return (unix_us / US_PER_S + NTP_OF_1970_S) << 32 | fraction;
}

uint32_t rw_rtcp_ntp_middle(uint64_t ntp) {
    return (uint32_t)(ntp >> 16);
}

/* Clocks are read and rounded in four places, so a round trip of nearly nothing may come out as
 * less than that: up to a millisecond is forgiven. */
#define FORGIVEN_UNITS (-66)

int64_t rw_rtcp_rtt_us(const rw_report_block *block, uint64_t now_ntp) {
    if (block->lsr == 0) return -ENODATA;
    /* Section 6.4.1: A - LSR - DLSR. Both steps are checked, as their sum may wrap. */
    uint32_t since_lsr = rw_rtcp_ntp_middle(now_ntp) - block->lsr;
    int64_t units = (int64_t)since_lsr - block->dlsr;
    if (units < FORGIVEN_UNITS) return -ERANGE;
    int64_t rtt_us = units < 0 ? 0 : units * US_PER_S / 65536;
    return rtt_us > RW_RTCP_MAX_RTT_US ? -ERANGE : rtt_us;
}

/* IPv6 and UDP headers: section 6.2 counts what the network below carries. */
#define LOWER_BYTES 48
/* What a first report is likely to have: SR, one block and a CNAME of a dozen characters. */
#define LIKELY_BYTES (84 + LOWER_BYTES)

#define MIN_INTERVAL_US 5e6
#define RTCP_SHARE 0.05
/* e - 3/2: what timer reconsideration would lose is given back (section 6.3.1). */
#define COMPENSATION 1.2182818284590452

void rw_rtcp_timing_init(rw_rtcp_timing *timing, uint32_t bandwidth_bps) {
    *timing = (rw_rtcp_timing){bandwidth_bps, 16 * LIKELY_BYTES, true};
}

void rw_rtcp_timing_note(rw_rtcp_timing *timing, size_t datagram_bytes) {
    /* avg = size / 16 + avg * 15 / 16, kept in sixteenths; a datagram is below 64 KB */
    timing->average_bytes_q4 -= timing->average_bytes_q4 / 16;
    timing->average_bytes_q4 += (uint32_t)(datagram_bytes & 0xffff) + LOWER_BYTES;
}

/* Td of section 6.3.1. With one sender or two of two members, senders are over a quarter, and all
 * share the whole; with none, the quarter that is set aside for senders lies fallow. */
static double deterministic_us(const rw_rtcp_timing *timing, unsigned senders) {
    double minimum_us = timing->initial ? MIN_INTERVAL_US / 2 : MIN_INTERVAL_US;
    double bytes_per_us = timing->bandwidth_bps * RTCP_SHARE / 8 / 1e6;
    if (senders == 0) bytes_per_us *= 0.75;
    double members_bytes = 2 * timing->average_bytes_q4 / 16.0;
    if (members_bytes <= minimum_us * bytes_per_us) return minimum_us;
    return bytes_per_us > 0 ? members_bytes / bytes_per_us : minimum_us;
}

uint64_t rw_rtcp_next_us(rw_rtcp_timing *timing, unsigned senders, uint32_t dice) {
    double factor = 0.5 + dice / 4294967296.0;
    double wait_us = deterministic_us(timing, senders) * factor / COMPENSATION;
    timing->initial = false;
    return (uint64_t)wait_us;
}
