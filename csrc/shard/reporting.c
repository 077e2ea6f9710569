/* A leg's reports (RTCP): when they leave and from which socket, what they say, and what the peer's
 * say of us.
 *
 * Where both sides agreed to share RTP's port (RFC 5761), reports take the way of RTP. Else they
 * have a socket of their own, on the port behind RTP's. The shard opens it when the first report is
 * due: most of what a short call would pay for it is saved, and the control side pays nothing. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "shard/shard_private.h"
#include "udp/udp.h"

#define US_PER_S 1000000

/* Datagrams read from one socket at once, and the rest before it is read again: what a flood of
 * RTCP can cost. */
#define MAX_CONTROL_DATAGRAMS 8
#define CONTROL_PAUSE_US 100000

/* A peer that tells of more jitter than this lies. */
#define MAX_JITTER_US 60000000

/* IPv4 and UDP headers, which RTCP's share of the bandwidth is counted with (RFC 3550 6.2). */
#define LOWER_BYTES 28

#define CNAME_CHARS (RW_CNAME_BITS / 6)

static void count(rw_shard *shard, rw_counter counter) {
    rw_count(&shard->counters[counter], 1);
}

static uint64_t ntp_of_now(const rw_shard *shard) {
    return rw_rtcp_ntp_of(shard->now_us + shard->unix_offset_us);
}

/* --- the socket ---------------------------------------------------------------------------- */

static bool is_behind_nat(const rw_leg *leg) {
    return !rw_address_equal(&leg->latch.remote, &leg->latch.sdp);
}

/* Where the peer takes RTCP. Behind a NAT that is a guess, until its own comes from there. */
static rw_address control_address(const rw_leg *leg) {
    if (!is_behind_nat(leg)) return leg->media.rtcp;
    rw_address next = leg->latch.remote;
    rw_address_next_port(&next);
    return next;
}

static int open_control(rw_shard *shard, rw_leg *leg) {
    rw_leg_reports *reports = &leg->reports;
    rw_address to = control_address(leg);
    if (shard->control_sockets == shard->max_control_sockets) return -EMFILE;
    int fd = rw_udp_open_next(leg->fd);
    if (fd < 0) return fd;
    reports->anywhere = is_behind_nat(leg);
    if (!reports->anywhere && connect(fd, &to.any, rw_address_bytes(&to)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    reports->fd = fd;
    shard->control_sockets++;
    rw_backend_listen_first(&shard->host, fd, rw_read(&leg->id) | RW_CONTROL_EVENT);
    return 0;
}

void rw_shard_close_control(rw_shard *shard, rw_leg *leg) {
    if (leg->reports.fd < 0) return;
    close(leg->reports.fd); /* which takes it out of epoll as well */
    leg->reports.fd = -1;
    leg->reports.listen_us = 0;
    shard->control_sockets--;
}

/* True if reports can leave. */
static bool has_way(rw_shard *shard, rw_leg *leg) {
    if (leg->media.rtcp_mux || leg->reports.fd >= 0) return true;
    if (!leg->media.rtcp.any.sa_family || !shard->backend->ops->socket_per_leg) return false;
    if (!open_control(shard, leg)) return true;
    count(shard, RW_RTCP_SOCKETS_DENIED);
    return false;
}

static int send_packet(rw_shard *shard, rw_leg *leg, const uint8_t *packet, size_t bytes) {
    const rw_backend_ops *ops = shard->backend->ops;
    if (leg->media.rtcp_mux) return ops->send_control(shard->backend, leg, packet, bytes);
    rw_address to = control_address(leg);
    const struct sockaddr *name = leg->reports.anywhere ? &to.any : NULL;
    ssize_t sent = sendto(leg->reports.fd, packet, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, name,
                          name ? rw_address_bytes(&to) : 0);
    return sent < 0 ? -errno : 0;
}

/* --- what we say --------------------------------------------------------------------------- */

/* 96 random bits in Base64 (RFC 7022 section 4.2, RFC 4648 section 4). */
static void write_cname(const uint8_t *random, char *cname) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned i = 0; i < CNAME_CHARS; i++) {
        unsigned at = 6 * i / 8, shift = 10 - 6 * i % 8;
        unsigned next = at + 1 < RW_CNAME_BITS / 8 ? random[at + 1] : 0;
        cname[i] = digits[((unsigned)random[at] << 8 | next) >> shift & 0x3f];
    }
}

/* The RTP timestamp of this moment, on the grid that packets leave on. */
static uint32_t timestamp_of_now(const rw_shard *shard, const rw_leg *leg) {
    int64_t since_us = (int64_t)(shard->now_us - leg->due_tick * TICK_US);
    return leg->timestamp + (uint32_t)(since_us * leg->media.clock_rate_hz / US_PER_S);
}

/* RFC 3550 section 6.3.8: since the second last report. */
static bool has_sent_lately(const rw_leg *leg) {
    return leg->sound_packets != leg->reports.packets_at[1];
}

/* Composes SR or RR, SDES and perhaps BYE; tells whether the peer sent anything lately. */
static size_t compose(rw_shard *shard, rw_leg *leg, bool bye, uint8_t *packet, bool *heard) {
    char cname[CNAME_CHARS];
    rw_report_block block;
    rw_sender_info sender = {.ntp = ntp_of_now(shard),
                             .timestamp = timestamp_of_now(shard, leg),
                             .packets = leg->sound_packets,
                             .bytes = leg->sound_bytes};
    *heard = rw_ear_report_block(leg->ear, shard->now_us, &block);
    rw_rtcp_report report = {.ssrc = leg->ssrc,
                             .sender = has_sent_lately(leg) ? &sender : NULL,
                             .block = *heard ? &block : NULL,
                             .cname = cname,
                             .cname_bytes = CNAME_CHARS,
                             .bye = bye};
    write_cname(leg->reports.seed.cname, cname);
    return (size_t)rw_rtcp_compose(packet, RW_RTCP_MAX_BYTES, &report); /* which has that room */
}

static void send_protected(rw_shard *shard, rw_leg *leg, uint8_t *packet, size_t bytes,
                           size_t room) {
    if (leg->srtp) {
        rw_srtp_reject reject = rw_srtp_protect_rtcp(leg->srtp, packet, &bytes, room);
        if (reject) {
            count(shard, (rw_counter)(RW_SRTP_REJECT_0 + (int)reject));
            return;
        }
    }
    int error = send_packet(shard, leg, packet, bytes);
    /* The ICMP answer to an earlier one, in the place of this one. */
    if (error == -ECONNREFUSED) error = send_packet(shard, leg, packet, bytes);
    count(shard, error ? RW_RTCP_SEND_FAILED : RW_RTCP_SENT);
    rw_rtcp_timing_note(&leg->reports.timing, bytes);
}

/* Sends a report; returns how many of the two parties sent sound lately. */
static unsigned report(rw_shard *shard, rw_leg *leg, bool bye) {
    _Alignas(uint64_t) uint8_t packet[RW_RTCP_MAX_BYTES + RW_SRTP_MAX_TRAILER_BYTES];
    rw_leg_reports *reports = &leg->reports;
    bool heard, sent = has_sent_lately(leg);
    size_t bytes = compose(shard, leg, bye, packet, &heard);
    send_protected(shard, leg, packet, bytes, sizeof(packet));
    reports->started = true;
    reports->packets_at[1] = reports->packets_at[0];
    reports->packets_at[0] = leg->sound_packets;
    return (unsigned)sent + heard;
}

/* --- what the peer says -------------------------------------------------------------------- */

/* How many sequence numbers our stream has used: those of packets that a relay missed, too. Called
 * more often than they wrap. */
static uint32_t used_sequences(rw_leg *leg) {
    rw_leg_reports *reports = &leg->reports;
    reports->sequences += (uint16_t)(leg->sequence - reports->sequence);
    reports->sequence = leg->sequence;
    return reports->sequences;
}

static uint64_t jitter_us_of(const rw_leg *leg, const rw_report_block *block) {
    return (uint64_t)block->jitter_ts * US_PER_S / leg->media.clock_rate_hz;
}

static void take_round_trip(rw_shard *shard, rw_leg *leg, const rw_report_block *block) {
    int64_t rtt_us = rw_rtcp_rtt_us(block, ntp_of_now(shard));
    if (rtt_us == -ERANGE) count(shard, RW_RTCP_UNTRUE);
    if (rtt_us < 0) return;
    rw_count(&leg->told.rtts, 1);
    rw_write(&leg->told.rtt_us, (uint64_t)rtt_us);
}

/* Takes over what the peer says of our stream, if it can be true. */
static void take_block(rw_shard *shard, rw_leg *leg, const rw_report_block *block) {
    rw_leg_told *told = &leg->told;
    uint32_t used = used_sequences(leg);
    uint64_t jitter_us = jitter_us_of(leg, block);
    if (block->cumulative_lost > (int64_t)used || jitter_us > MAX_JITTER_US) {
        count(shard, RW_RTCP_UNTRUE);
        return;
    }
    rw_count(&told->reports, 1);
    rw_write(&told->expected, used);
    /* Duplicates make it negative (RFC 3550 section 6.4.1). */
    rw_write(&told->lost, block->cumulative_lost > 0 ? (uint64_t)block->cumulative_lost : 0);
    rw_write(&told->fraction_lost, block->fraction_lost);
    rw_write(&told->jitter_us, jitter_us);
    if (jitter_us > rw_read(&told->max_jitter_us)) rw_write(&told->max_jitter_us, jitter_us);
    take_round_trip(shard, leg, block);
}

/* Counts a datagram that is dropped; false. */
static bool refuse(rw_shard *shard, rw_leg *leg, int counter) {
    count(shard, (rw_counter)counter);
    rw_count(&leg->stats.packets_rejected, 1);
    return false;
}

/* Reads a datagram that came from the peer, in place; false if it is none of RTCP. */
static bool take_control(rw_shard *shard, rw_leg *leg, uint8_t *packet, size_t bytes) {
    rw_rtcp_heard heard;
    if (leg->srtp) {
        rw_srtp_reject reject = rw_srtp_unprotect_rtcp(leg->srtp, packet, &bytes);
        if (reject) return refuse(shard, leg, RW_SRTP_REJECT_0 + (int)reject);
    }
    uint32_t peer_ssrc = rw_ear_reception(leg->ear)->ssrc;
    rw_rtcp_reject reject = rw_rtcp_parse(packet, bytes, leg->ssrc, peer_ssrc, &heard);
    if (reject) return refuse(shard, leg, RW_RTCP_REJECT_0 + (int)reject);
    count(shard, RW_RTCP_RECEIVED);
    rw_rtcp_timing_note(&leg->reports.timing, bytes);
    if (heard.has_sender)
        rw_ear_hear_sender_report(leg->ear, heard.sender_ssrc, heard.sender.ntp, shard->now_us);
    if (heard.has_block) take_block(shard, leg, &heard.block);
    if (heard.bye) count(shard, RW_RTCP_BYES);
    return true;
}

void rw_shard_hear_control(rw_shard *shard, rw_leg *leg, const rw_address *source,
                           const uint8_t *datagram, size_t bytes) {
    _Alignas(uint64_t) uint8_t packet[RW_RECEIVE_BYTES];
    if (source && !rw_address_equal(source, &leg->latch.remote)) {
        refuse(shard, leg, RW_RECEIVED_STRANGER);
        return;
    }
    memcpy(packet, datagram, bytes);
    take_control(shard, leg, packet, bytes);
}

/* The first report from behind a NAT tells where ours have to go. */
static void settle_control(rw_leg *leg, const rw_address *source) {
    if (connect(leg->reports.fd, &source->any, rw_address_bytes(source)) == 0)
        leg->reports.anywhere = false;
}

/* Reads one datagram off the leg's socket for RTCP; false if there was none. */
static bool read_datagram(rw_shard *shard, rw_leg *leg) {
    _Alignas(uint64_t) uint8_t packet[RW_RECEIVE_BYTES];
    rw_leg_reports *reports = &leg->reports;
    rw_address source;
    socklen_t source_bytes = sizeof(source);
    ssize_t bytes = recvfrom(reports->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC,
                             &source.any, &source_bytes);
    if (bytes < 0 && errno == EAGAIN) return false;
    if (bytes < 0)
        count(shard, RW_RTCP_SEND_FAILED); /* the ICMP answer to a report */
    else if ((size_t)bytes > sizeof(packet))
        count(shard, RW_RECEIVED_TRUNCATED);
    else if (reports->anywhere && !rw_address_same_host(&source, &leg->latch.remote))
        refuse(shard, leg, RW_RECEIVED_STRANGER);
    else if (take_control(shard, leg, packet, (size_t)bytes) && reports->anywhere)
        settle_control(leg, &source);
    return true;
}

void rw_shard_read_control(rw_shard *shard, rw_leg *leg) {
    if (leg->reports.fd < 0) return;
    for (int i = 0; i < MAX_CONTROL_DATAGRAMS && read_datagram(shard, leg);)
        i++;
    leg->reports.listen_us = shard->now_us + CONTROL_PAUSE_US;
}

/* --- when ---------------------------------------------------------------------------------- */

/* Makes what the ear knows readable for other threads. */
static void publish(rw_leg *leg) {
    const rw_reception *reception = rw_ear_reception(leg->ear);
    rw_write(&leg->heard.expected, rw_reception_expected(reception));
    rw_write(&leg->heard.lost, rw_reception_lost(reception));
    rw_write(&leg->heard.reordered, reception->reordered);
    rw_write(&leg->heard.duplicates, reception->duplicates);
    rw_write(&leg->heard.gaps, reception->gaps);
    rw_write(&leg->heard.sources, reception->sources);
    rw_write(&leg->heard.jitter_us, rw_reception_jitter_us(reception));
    rw_write(&leg->heard.max_jitter_us, rw_reception_max_jitter_us(reception));
}

static void set_next(rw_shard *shard, rw_leg *leg, unsigned senders) {
    rw_leg_reports *reports = &leg->reports;
    /* A linear congruential generator: its high bits spread reports well enough. */
    reports->seed.dice = reports->seed.dice * 1664525 + 1013904223;
    reports->next_us =
        shard->now_us + rw_rtcp_next_us(&reports->timing, senders, reports->seed.dice);
}

void rw_shard_begin_reports(rw_shard *shard, rw_leg *leg) {
    if (!leg->ear) return;
    uint32_t packet_bytes = leg->frame_bytes + RW_RTP_HEADER_BYTES + LOWER_BYTES;
    rw_rtcp_timing_init(&leg->reports.timing, packet_bytes * 8 * 1000 / leg->ptime_ms);
    leg->reports.sequence = leg->sequence;
    set_next(shard, leg, 0);
}

uint64_t rw_shard_keep_reports(rw_shard *shard, rw_leg *leg) {
    rw_leg_reports *reports = &leg->reports;
    if (reports->listen_us && shard->now_us >= reports->listen_us) {
        reports->listen_us = 0;
        rw_backend_listen_once(&shard->host, reports->fd, rw_read(&leg->id) | RW_CONTROL_EVENT);
    }
    if (shard->now_us >= reports->next_us) {
        publish(leg);
        used_sequences(leg);
        set_next(shard, leg, has_way(shard, leg) ? report(shard, leg, false) : 0);
    }
    bool rests = reports->listen_us && reports->listen_us < reports->next_us;
    return rests ? reports->listen_us : reports->next_us;
}

void rw_shard_move_reports(rw_shard *shard, rw_leg *leg, const rw_leg_media *media) {
    const rw_leg_media *old = &leg->media;
    if (media->rtcp_mux != old->rtcp_mux || !rw_address_equal(&media->rtcp, &old->rtcp))
        rw_shard_close_control(shard, leg);
}

void rw_shard_end_reports(rw_shard *shard, rw_leg *leg) {
    if (!leg->ear) return;
    publish(leg);
    if (leg->reports.started && (leg->media.rtcp_mux || leg->reports.fd >= 0))
        report(shard, leg, true);
    rw_shard_close_control(shard, leg);
}
