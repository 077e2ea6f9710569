/* The shard in virtual time over real sockets: what it reports by RTCP, what it takes from the
 * reports of others, and whose packets it takes at all. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "rtp/rtp.h"
#include "shard/shard_private.h"
#include "test/check.h"

#define START_MS 5000
#define OFFSET_US 1700000000000000 /* the time since 1970 at which the shard's clock began */
#define OWN_SSRC 0x11223344
#define PEER_SSRC 0x55667788
#define LATEST_FIRST_MS 3100 /* of a first report: 2.5 s, half as much again, and over 1.218 */
#define LATEST_NEXT_MS 6200

/* --- help ---------------------------------------------------------------------------------- */

typedef struct party {
    int fd;
    rw_address address;
} party;

static party at_port(uint16_t port) {
    party made = {.fd = socket(AF_INET, SOCK_DGRAM, 0)};
    socklen_t size = sizeof(made.address.v4);
    made.address.v4 = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (bind(made.fd, &made.address.any, size) < 0) {
        close(made.fd);
        made.fd = -1;
        return made;
    }
    CHECK_EQUAL(getsockname(made.fd, &made.address.any, &size), 0);
    return made;
}

/* Two neighbours, bound by their numbers. */
static void make_pair(party pair[2]) {
    static uint16_t port = 12000;
    for (pair[1].fd = -1; pair[1].fd < 0; port += 2) {
        CHECK(port < 32000);
        pair[0] = at_port(port);
        if (pair[0].fd >= 0) pair[1] = at_port(port + 1);
        if (pair[0].fd >= 0 && pair[1].fd < 0) close(pair[0].fd);
    }
}

static rw_shard *shard;
static uint64_t now_us;
static uint64_t leg_id;
static party own;     /* the address of the leg */
static party peer[2]; /* RTP, RTCP */
static party other;   /* who is neither */
static uint32_t media_timeout_ms;

static void run_ms(uint64_t ms) {
    for (uint64_t i = 0; i < ms; i++) {
        now_us += 1000;
        rw_shard_turn(shard, now_us);
    }
}

static rw_leg_media media_of(bool mux) {
    return (rw_leg_media){.remote = peer[0].address,
                          .clock_rate_hz = 8000,
                          .ptime_ms = 20,
                          .bytes_per_ts = 1,
                          .silence = 0xff,
                          .send = true,
                          .receive = true,
                          .event_payload_type = RW_NO_PAYLOAD_TYPE,
                          .comfort_noise_payload_type = RW_NO_PAYLOAD_TYPE,
                          .rtcp = peer[1].address,
                          .rtcp_mux = mux};
}

static rw_ear *make_ear(void) {
    rw_ear *ear;
    const rw_ear_config config = {.media_timeout_ms = media_timeout_ms};
    CHECK_EQUAL(rw_ear_create(&config, rw_codec_find("PCMU", 8000), &ear), 0);
    return ear;
}

static void open_leg(rw_silence_policy silence, rw_latch_policy source, bool mux) {
    party pair[2];
    make_pair(pair);
    close(pair[1].fd);
    own = pair[0];
    rw_leg_config config = {.media = media_of(mux),
                            .silence_policy = silence,
                            .fd = own.fd,
                            .ear = make_ear(),
                            .source_policy = source,
                            .ssrc = OWN_SSRC,
                            .first_timestamp = 0xffffff00,
                            .first_sequence = 65530};
    for (unsigned i = 0; i < sizeof(config.rtcp_seed.cname); i++)
        config.rtcp_seed.cname[i] = (uint8_t)(0x10 * i + i);
    config.rtcp_seed.dice = 12345;
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &leg_id), 0);
    run_ms(1);
}

static void begin(uint32_t max_control_sockets) {
    rw_shard_config config = {
        .shared_fd = -1, .max_legs = 1, .max_control_sockets = max_control_sockets};
    now_us = START_MS * 1000;
    CHECK_EQUAL(rw_shard_create_at(&config, &rw_backend_per_leg, START_MS, &shard), 0);
    shard->unix_offset_us = OFFSET_US;
    make_pair(peer);
    other = at_port(0);
}

static void end(void) {
    rw_shard_destroy(shard);
    close(peer[0].fd);
    close(peer[1].fd);
    close(other.fd);
}

static uint64_t counted(rw_counter counter) {
    return rw_shard_counter(shard, counter);
}

static rw_event figures(void) {
    rw_event event;
    CHECK_EQUAL(rw_shard_leg_stats(shard, leg_id, &event), 0);
    return event;
}

/* The next datagram of a socket; 0 if there is none. */
static size_t take(party from, uint8_t *datagram, rw_address *source) {
    socklen_t size = sizeof(*source);
    ssize_t bytes =
        recvfrom(from.fd, datagram, RW_RECEIVE_BYTES, MSG_DONTWAIT, &source->any, &size);
    return bytes > 0 ? (size_t)bytes : 0;
}

/* Reads away what came; how many datagrams, and the last of them. */
static size_t drain(party from, rw_rtp_header *last) {
    uint8_t datagram[RW_RECEIVE_BYTES];
    rw_address source;
    rw_rtp_packet packet;
    size_t count = 0;
    for (size_t bytes; (bytes = take(from, datagram, &source)); count++)
        if (last && rw_rtp_parse(datagram, bytes, &packet) == RW_RTP_OK) *last = packet.header;
    return count;
}

/* A report that came, and what it said about PEER_SSRC. */
typedef struct said {
    rw_rtcp_heard heard;
    rw_address source;
    uint8_t datagram[RW_RECEIVE_BYTES];
    size_t bytes;
} said;

/* Runs until a report comes to `to`. */
static said next_report(party to, uint64_t latest_ms) {
    said report = {.bytes = 0};
    for (uint64_t ms = 0; !report.bytes; ms++) {
        if (ms) run_ms(1);
        CHECK(ms <= latest_ms);
        report.bytes = take(to, report.datagram, &report.source);
        if (report.bytes && !rw_rtcp_is(report.datagram, report.bytes)) report.bytes = 0;
    }
    CHECK_EQUAL(rw_rtcp_parse(report.datagram, report.bytes, PEER_SSRC, OWN_SSRC, &report.heard),
                RW_RTCP_OK);
    return report;
}

static void send_to(party from, rw_address to, const uint8_t *datagram, size_t bytes) {
    CHECK_EQUAL(sendto(from.fd, datagram, bytes, 0, &to.any, sizeof(to.v4)), bytes);
}

static void send_sound(party from, uint16_t sequence) {
    uint8_t packet[RW_RTP_HEADER_BYTES + 160] = {0};
    rw_rtp_write_header(
        packet,
        &(rw_rtp_header){.sequence = sequence, .timestamp = 160u * sequence, .ssrc = PEER_SSRC});
    send_to(from, own.address, packet, sizeof(packet));
    rw_shard_readable(shard, leg_id);
    run_ms(20);
}

static rw_address control_of_leg(void) {
    rw_address next = own.address;
    rw_address_next_port(&next);
    return next;
}

/* A report of the peer about our stream. */
static void send_block(party from, rw_address to, const rw_report_block *block, bool bye) {
    uint8_t packet[RW_RTCP_MAX_BYTES];
    rw_rtcp_report report = {
        .ssrc = PEER_SSRC, .block = block, .cname = "peer", .cname_bytes = 4, .bye = bye};
    int bytes = rw_rtcp_compose(packet, sizeof(packet), &report);
    send_to(from, to, packet, (size_t)bytes);
    bool mux = rw_address_equal(&to, &own.address);
    rw_shard_readable(shard, mux ? leg_id : leg_id | RW_CONTROL_EVENT);
    if (mux) run_ms(20);
}

/* --- what we say --------------------------------------------------------------------------- */

static void check_sender_info(const said *report, size_t packets, rw_rtp_header last) {
    const rw_sender_info *sender = &report->heard.sender;
    CHECK(report->heard.has_sender && report->heard.sender_ssrc == OWN_SSRC);
    CHECK_EQUAL(sender->packets, packets);
    CHECK_EQUAL(sender->bytes, 160 * packets);
    CHECK(sender->ntp == rw_rtcp_ntp_of(now_us + OFFSET_US));
    /* The packet left in this tick or up to 20 ms before, so many units ago. */
    CHECK((sender->timestamp - last.timestamp) % 8 == 0);
    CHECK(sender->timestamp - last.timestamp <= 160);
}

static void test_sender_reports_say_what_was_sent(bool mux) {
    rw_rtp_header last = {0};
    begin(1);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, mux);
    said report = {.bytes = 0};
    size_t packets = 0;
    if (mux) {
        rw_rtp_packet packet;
        while (!report.bytes) {
            run_ms(1);
            size_t bytes = take(peer[0], report.datagram, &report.source);
            if (rw_rtcp_is(report.datagram, bytes))
                report.bytes = bytes;
            else if (bytes && ++packets)
                CHECK_EQUAL(rw_rtp_parse(report.datagram, bytes, &packet), RW_RTP_OK);
            if (bytes && !report.bytes) last = packet.header;
        }
        CHECK_EQUAL(
            rw_rtcp_parse(report.datagram, report.bytes, PEER_SSRC, OWN_SSRC, &report.heard),
            RW_RTCP_OK);
        CHECK(rw_address_equal(&report.source, &own.address));
    } else {
        report = next_report(peer[1], LATEST_FIRST_MS);
        packets = drain(peer[0], &last);
        rw_address from = control_of_leg();
        CHECK(rw_address_equal(&report.source, &from));
    }
    CHECK_EQUAL(shard->control_sockets, mux ? 0 : 1);
    /* What left in the same tick left behind the report. */
    check_sender_info(&report, mux ? packets : packets - 1, last);
    CHECK(!report.heard.has_block && !report.heard.bye);
    CHECK(memmem(report.datagram, report.bytes, "\1\20ABEiM0RVZneImaq7", 18));

    run_ms(100);
    rw_shard_close_leg(shard, leg_id);
    run_ms(1);
    packets += drain(peer[0], &last) - mux; /* the report is no sound */
    CHECK_EQUAL(counted(RW_RTCP_SENT), 2);
    CHECK_EQUAL(counted(RW_PACKETS_SENT), packets);
    if (!mux) {
        report = next_report(peer[1], 0);
        CHECK(report.heard.bye);
        check_sender_info(&report, packets, last);
    }
    CHECK_EQUAL(shard->control_sockets, 0);
    end();
}

static void test_receiver_reports_say_what_is_missing(void) {
    begin(1);
    open_leg(RW_SILENCE_STOP, RW_LATCH_POLICY_SDP, false);
    for (uint16_t i = 0; i < 25; i++)
        if (i != 3 && i != 4 && i != 11 && i != 12 && i != 13) send_sound(peer[0], 100 + i);
    rw_report_block block = next_report(peer[1], LATEST_FIRST_MS).heard.block;
    CHECK_EQUAL(block.ssrc, PEER_SSRC);
    CHECK_EQUAL(block.cumulative_lost, 5);
    CHECK_EQUAL(block.fraction_lost, 5 * 256 / 25);
    CHECK_EQUAL(block.highest_sequence, 124);
    CHECK(block.lsr == 0 && block.dlsr == 0);
    rw_hearing hearing = figures().hearing;
    CHECK(hearing.expected == 25 && hearing.lost == 5 && hearing.gaps == 2);
    said silent = next_report(peer[1], LATEST_NEXT_MS);
    CHECK(!silent.heard.has_sender && !silent.heard.has_block);
    end();
}

static void test_the_peers_report_is_named_with_its_age(void) {
    begin(1);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, true);
    send_sound(peer[0], 1);
    uint8_t packet[RW_RTCP_MAX_BYTES];
    rw_sender_info sender = {.ntp = 0x1234567890abcdef};
    rw_rtcp_report theirs = {
        .ssrc = PEER_SSRC, .sender = &sender, .cname = "peer", .cname_bytes = 4};
    int bytes = rw_rtcp_compose(packet, sizeof(packet), &theirs);
    send_to(peer[0], own.address, packet, (size_t)bytes);
    run_ms(20); /* it is read in one of these */
    uint64_t heard_us = now_us;
    said report = next_report(peer[0], LATEST_FIRST_MS);
    CHECK_EQUAL(report.heard.block.lsr, 0x567890ab);
    int64_t least = (int64_t)(now_us - heard_us) * 65536 / 1000000; /* DLSR: 1/65536 s */
    CHECK(report.heard.block.dlsr >= least && report.heard.block.dlsr <= least + 20 * 65536 / 1000);
    end();
}

static void test_short_calls_pay_nothing(void) {
    begin(1);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, false);
    run_ms(1000); /* the first report comes after 2.5 s / 2 / 1.218 at the earliest */
    CHECK_EQUAL(shard->control_sockets, 0);
    rw_shard_close_leg(shard, leg_id);
    run_ms(1);
    CHECK_EQUAL(drain(peer[1], NULL), 0);
    CHECK_EQUAL(shard->wheel.armed, 0);
    end();
}

static void test_a_call_goes_on_where_no_socket_is_to_be_had(void) {
    begin(0);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, false);
    run_ms(LATEST_FIRST_MS);
    CHECK_EQUAL(counted(RW_RTCP_SOCKETS_DENIED), 1);
    shard->max_control_sockets = 1;
    party squatter = at_port(ntohs(control_of_leg().v4.sin_port));
    run_ms(LATEST_NEXT_MS);
    CHECK(counted(RW_RTCP_SOCKETS_DENIED) >= 2);
    CHECK_EQUAL(counted(RW_RTCP_SENT), 0);
    close(squatter.fd);
    next_report(peer[1], LATEST_NEXT_MS);
    CHECK(counted(RW_PACKETS_SENT) > 400);
    end();
}

static void test_reports_follow_a_new_agreement(void) {
    begin(1);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, false);
    next_report(peer[1], LATEST_FIRST_MS);
    rw_leg_media media = media_of(false);
    media.rtcp = other.address;
    media.send = false;
    CHECK_EQUAL(rw_shard_update_leg(shard, leg_id, &media), 0);
    next_report(other, LATEST_NEXT_MS);
    media.rtcp_mux = true;
    CHECK_EQUAL(rw_shard_update_leg(shard, leg_id, &media), 0);
    drain(peer[0], NULL);
    next_report(peer[0], LATEST_NEXT_MS);
    CHECK_EQUAL(shard->control_sockets, 0);
    end();
}

static void agree_on_ways(bool send, bool receive) {
    rw_leg_media media = media_of(true);
    media.send = send;
    media.receive = receive;
    CHECK_EQUAL(rw_shard_update_leg(shard, leg_id, &media), 0);
}

static void test_nobody_is_missed_on_hold(void) {
    begin(1);
    media_timeout_ms = 1000;
    open_leg(RW_SILENCE_STOP, RW_LATCH_POLICY_SDP, true);
    run_ms(900);
    agree_on_ways(false, true);
    run_ms(5000);
    agree_on_ways(true, false);
    run_ms(5000);
    agree_on_ways(true, true);
    run_ms(990);
    CHECK_EQUAL(counted(RW_MEDIA_TIMEOUTS), 0);
    run_ms(40); /* in the leg's next slot */
    CHECK_EQUAL(counted(RW_MEDIA_TIMEOUTS), 1);
    media_timeout_ms = 0;
    end();
}

static void test_no_address_is_no_report(void) {
    begin(1);
    peer[1].address.any.sa_family = 0;
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, false);
    run_ms(10000);
    CHECK_EQUAL(counted(RW_RTCP_SENT) + counted(RW_RTCP_SOCKETS_DENIED), 0);
    end();
}

/* --- what the peer says -------------------------------------------------------------------- */

static rw_report_block block_about_us(const said *report) {
    return (rw_report_block){.ssrc = OWN_SSRC,
                             .fraction_lost = 64,
                             .cumulative_lost = 3,
                             .jitter_ts = 80,
                             .lsr = rw_rtcp_ntp_middle(report->heard.sender.ntp),
                             .dlsr = 65536 / 100};
}

static void test_round_trip_and_what_the_peer_hears(bool mux) {
    begin(1);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, mux);
    send_sound(peer[0], 1); /* its goodbye is of this stream */
    said report = next_report(peer[!mux], LATEST_FIRST_MS);
    rw_report_block block = block_about_us(&report);
    uint64_t sent_us = now_us;
    CHECK_EQUAL(figures().told.reports, 0);
    run_ms(40);
    send_block(peer[!mux], mux ? own.address : control_of_leg(), &block, false);
    rw_told told = figures().told;
    CHECK(told.reports == 1 && told.rtts == 1);
    CHECK(told.lost == 3 && told.fraction_lost == 64);
    CHECK_EQUAL(told.jitter_us, 10000);
    int64_t error_us = (int64_t)told.rtt_us - (int64_t)(now_us - sent_us - 10000);
    if (!mux) CHECK(error_us >= -50 && error_us <= 50); /* made of figures in units of 15 us */
    CHECK(told.rtt_us >= 29900 && told.rtt_us < 50100);
    CHECK_EQUAL(told.expected, counted(RW_PACKETS_SENT));
    block.jitter_ts = 40;
    block.cumulative_lost = -2; /* duplicates */
    run_ms(100);
    send_block(peer[!mux], mux ? own.address : control_of_leg(), &block, true);
    told = figures().told;
    CHECK(told.reports == 2 && told.lost == 0);
    CHECK(told.jitter_us == 5000 && told.max_jitter_us == 10000);
    CHECK_EQUAL(counted(RW_RTCP_BYES), 1);
    CHECK_EQUAL(counted(RW_RTCP_RECEIVED), 2);
    end();
}

/* Sends a lie, when the socket is listened to again. */
static void lie(const rw_report_block *block) {
    send_block(peer[1], control_of_leg(), block, false);
    run_ms(150);
}

static void test_lies_are_counted_and_not_believed(void) {
    begin(1);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_SDP, false);
    said report = next_report(peer[1], LATEST_FIRST_MS);
    rw_report_block good = block_about_us(&report), block = good;
    block.cumulative_lost = (int32_t)counted(RW_PACKETS_SENT) + 100;
    lie(&block);
    block = good;
    block.jitter_ts = UINT32_MAX;
    lie(&block);
    CHECK_EQUAL(figures().told.reports, 0);
    block = good;
    block.dlsr = 65536 * 60; /* held longer than it has been there */
    lie(&block);
    CHECK_EQUAL(counted(RW_RTCP_UNTRUE), 3);
    CHECK(figures().told.reports == 1 && figures().told.rtts == 0);
    block = good;
    block.ssrc++; /* about somebody else */
    lie(&block);
    CHECK_EQUAL(figures().told.reports, 1);
    static const uint8_t junk[][8] = {{0x80, 200, 0, 1}, {0x80, 201}, {0x40, 201, 0, 1}, {0x80, 9}};
    for (size_t i = 0; i < RW_LENGTH_OF(junk); i++)
        send_to(peer[1], control_of_leg(), junk[i], 8);
    rw_shard_readable(shard, leg_id | RW_CONTROL_EVENT);
    CHECK_EQUAL(counted(RW_RTCP_REJECT_0 + RW_RTCP_BAD_REPORT), 2);
    CHECK_EQUAL(counted(RW_RTCP_REJECT_0 + RW_RTCP_BAD_VERSION), 1);
    CHECK_EQUAL(counted(RW_RTCP_REJECT_0 + RW_RTCP_BAD_TYPE), 1);
    CHECK_EQUAL(figures().packets_rejected, 4);
    end();
}

/* Changes some bytes of a report about us, and its length; the same each run. */
static size_t mutate_report(uint8_t *packet, unsigned long long *seed) {
    rw_sender_info sender = {.ntp = check_random(seed)};
    rw_report_block block = {.ssrc = OWN_SSRC,
                             .cumulative_lost = (int32_t)(check_random(seed) % 200) - 100,
                             .jitter_ts = (uint32_t)check_random(seed) >> check_random(seed) % 32,
                             .lsr = (uint32_t)check_random(seed),
                             .dlsr = (uint32_t)check_random(seed)};
    rw_rtcp_report report = {.ssrc = PEER_SSRC,
                             .sender = check_random(seed) % 2 ? &sender : NULL,
                             .block = &block,
                             .cname = "peer",
                             .cname_bytes = 4,
                             .bye = check_random(seed) % 2};
    size_t bytes = (size_t)rw_rtcp_compose(packet, RW_RTCP_MAX_BYTES, &report);
    for (uint64_t flips = check_random(seed) % 4; flips > 0; flips--)
        packet[check_random(seed) % 40] = (uint8_t)check_random(seed);
    return check_random(seed) % 8 ? bytes : check_random(seed) % (bytes + 1);
}

static void test_mutated_reports_are_all_counted_and_figures_stay_possible(void) {
    enum { REPORTS = 100000 };
    unsigned long long seed = 2026;
    uint8_t packet[RW_RTCP_MAX_BYTES];
    begin(1);
    open_leg(RW_SILENCE_STOP, RW_LATCH_POLICY_SDP, true);
    rw_leg *leg = rw_shard_find_leg(shard, leg_id);
    leg->sequence += 1000;
    for (int i = 0; i < REPORTS; i++)
        rw_shard_hear_control(shard, leg, NULL, packet, mutate_report(packet, &seed));
    uint64_t heard = counted(RW_RTCP_RECEIVED), rejected = 0;
    for (int reason = 1; reason < RW_RTCP_REJECTS; reason++)
        rejected += counted((rw_counter)(RW_RTCP_REJECT_0 + reason));
    CHECK_EQUAL(heard + rejected, REPORTS);
    CHECK(heard > REPORTS / 4 && rejected > REPORTS / 4 && counted(RW_RTCP_UNTRUE) > 0);
    rw_told told = figures().told;
    CHECK(told.reports > 0 && told.lost <= told.expected && told.expected == 1000);
    CHECK(told.max_jitter_us <= 60000000 && told.rtt_us <= RW_RTCP_MAX_RTT_US);
    end();
}

static void test_a_flood_of_reports_is_read_a_little_at_a_time(void) {
    begin(1);
    open_leg(RW_SILENCE_STOP, RW_LATCH_POLICY_SDP, false);
    next_report(peer[1], LATEST_FIRST_MS);
    for (int i = 0; i < 50; i++)
        send_to(peer[1], control_of_leg(), (const uint8_t[]){0x80, 202, 0, 0}, 4);
    rw_shard_readable(shard, leg_id | RW_CONTROL_EVENT);
    CHECK_EQUAL(counted(RW_RTCP_RECEIVED), 8);
    run_ms(99); /* not listened to */
    CHECK(rw_shard_find_leg(shard, leg_id)->reports.listen_us);
    run_ms(1 + 20); /* from the leg's next slot on */
    CHECK(!rw_shard_find_leg(shard, leg_id)->reports.listen_us);
    end();
}

/* --- whose packets are taken --------------------------------------------------------------- */

static void test_a_stranger_that_was_there_before_the_leg_is_not_heard(void) {
    begin(1);
    party pair[2];
    make_pair(pair);
    own = pair[0];
    uint8_t packet[RW_RTP_HEADER_BYTES + 160] = {0x80};
    send_to(other, own.address, packet, sizeof(packet));
    rw_leg_config config = {.media = media_of(false), .fd = own.fd, .ear = make_ear()};
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &leg_id), 0);
    run_ms(1);
    rw_shard_readable(shard, leg_id);
    run_ms(20);
    CHECK_EQUAL(counted(RW_RECEIVED_STRANGER), 1);
    CHECK_EQUAL(counted(RW_PACKETS_RECEIVED), 0);
    send_sound(peer[0], 1);
    CHECK_EQUAL(counted(RW_PACKETS_RECEIVED), 1);
    close(pair[1].fd);
    end();
}

static void test_a_caller_behind_a_nat_is_latched_on_and_cannot_be_robbed(void) {
    begin(1);
    open_leg(RW_SILENCE_SEND, RW_LATCH_POLICY_LATCH, false);
    run_ms(40);
    CHECK(drain(peer[0], NULL) > 0); /* as the SDP says */
    party nat[2], robber = at_port(0);
    make_pair(nat);
    for (uint16_t i = 0; i < 3; i++)
        send_sound(nat[0], i);
    CHECK_EQUAL(counted(RW_SOURCES_LATCHED), 1);
    CHECK_EQUAL(counted(RW_RECEIVED_PROVING), 2);
    drain(peer[0], NULL);
    run_ms(40);
    CHECK(drain(nat[0], NULL) > 0);
    CHECK_EQUAL(drain(peer[0], NULL), 0);
    for (uint16_t i = 0; i < 5; i++) {
        send_sound(robber, 700 + i);
        send_sound(nat[0], 3 + i);
    }
    CHECK_EQUAL(counted(RW_RECEIVED_STRANGER), 5);
    CHECK_EQUAL(counted(RW_PACKETS_RECEIVED), 6);
    /* Settled: the kernel keeps them out, and nothing is unconnected any more. */
    CHECK(!rw_shard_find_leg(shard, leg_id)->unsettled);
    for (uint16_t i = 0; i < 5; i++)
        send_sound(robber, 800 + i);
    CHECK_EQUAL(counted(RW_RECEIVED_STRANGER), 5);
    drain(nat[0], NULL);
    run_ms(40);
    CHECK_EQUAL(drain(nat[0], NULL), 2);
    CHECK_EQUAL(drain(robber, NULL), 0);

    /* Reports go to the port behind, until the peer's come from another. */
    said report = next_report(nat[1], LATEST_FIRST_MS);
    CHECK_EQUAL(report.heard.block.ssrc, PEER_SSRC);
    rw_report_block block = block_about_us(&report);
    send_block(other, control_of_leg(), &block, false);
    CHECK_EQUAL(figures().told.reports, 1);
    next_report(other, LATEST_NEXT_MS);
    close(nat[0].fd);
    close(nat[1].fd);
    close(robber.fd);
    end();
}

static void test_a_new_agreement_opens_the_window_again(void) {
    begin(1);
    open_leg(RW_SILENCE_STOP, RW_LATCH_POLICY_LATCH, true);
    for (uint16_t i = 0; i < 9; i++)
        send_sound(peer[0], i);
    send_sound(other, 1);
    CHECK_EQUAL(counted(RW_PACKETS_RECEIVED), 9);
    rw_leg_media media = media_of(true);
    CHECK_EQUAL(rw_shard_update_leg(shard, leg_id, &media), 0);
    run_ms(1);
    for (uint16_t i = 0; i < 3; i++)
        send_sound(other, 1000 + i);
    CHECK_EQUAL(counted(RW_SOURCES_LATCHED), 1);
    /* Reports of the one that was latched on count, those of the other no more. */
    rw_report_block block = {.ssrc = OWN_SSRC};
    send_block(other, own.address, &block, false);
    send_block(at_port(0), own.address, &block, false);
    CHECK_EQUAL(counted(RW_RTCP_RECEIVED), 1);
    CHECK_EQUAL(counted(RW_RECEIVED_STRANGER), 1);
    end();
}

int main(void) {
    test_sender_reports_say_what_was_sent(false);
    test_sender_reports_say_what_was_sent(true);
    test_receiver_reports_say_what_is_missing();
    test_the_peers_report_is_named_with_its_age();
    test_short_calls_pay_nothing();
    test_a_call_goes_on_where_no_socket_is_to_be_had();
    test_reports_follow_a_new_agreement();
    test_nobody_is_missed_on_hold();
    test_no_address_is_no_report();
    test_round_trip_and_what_the_peer_hears(false);
    test_round_trip_and_what_the_peer_hears(true);
    test_lies_are_counted_and_not_believed();
    test_mutated_reports_are_all_counted_and_figures_stay_possible();
    test_a_flood_of_reports_is_read_a_little_at_a_time();
    test_a_stranger_that_was_there_before_the_leg_is_not_heard();
    test_a_caller_behind_a_nat_is_latched_on_and_cannot_be_robbed();
    test_a_new_agreement_opens_the_window_again();
    return 0;
}
