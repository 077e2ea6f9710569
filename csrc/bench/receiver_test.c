#include "bench/receiver.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "test/check.h"

static rw_receiver_config config = {
    .sockets = 2, .streams_max = 3, .ptime_us = 20000, .capture_every = 2, .capture_bytes = 10};

static int socket_to(uint16_t port) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQUAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void send_packet(int fd, uint32_t ssrc, uint16_t sequence, const char *payload) {
    uint8_t packet[64];
    size_t bytes = strlen(payload);
    rw_rtp_header header = {.ssrc = ssrc, .sequence = sequence, .timestamp = sequence * 160u};
    rw_rtp_write_header(packet, &header);
    memcpy(packet + RW_RTP_HEADER_BYTES, payload, bytes);
    CHECK(send(fd, packet, RW_RTP_HEADER_BYTES + bytes, 0) > 0);
}

static void test_streams_are_told_apart(void) {
    rw_receiver *receiver;
    CHECK_EQUAL(rw_receiver_open(&receiver, &config), 0);
    int first = socket_to(rw_receiver_port(receiver, 0));
    int second = socket_to(rw_receiver_port(receiver, 1));
    send_packet(first, 7, 1, "a");
    send_packet(first, 8, 1, "b");
    send_packet(second, 7, 1, "c");
    CHECK_EQUAL(rw_receiver_drain(receiver), 3);
    CHECK_EQUAL(rw_receiver_streams(receiver), 3);
    send_packet(second, 9, 1, "a fourth stream is one too many");
    send_packet(first, 7, 2, "of a known stream");
    rw_receiver_source source;
    rw_receiver_totals totals;
    CHECK_EQUAL(rw_receiver_drain(receiver), 2);
    CHECK_EQUAL(rw_receiver_stream(receiver, 0, &source)->packets, 2);
    CHECK_EQUAL(source.ssrc, 7);
    CHECK(!rw_receiver_stream(receiver, 3, &source));
    rw_receiver_read_totals(receiver, &totals);
    CHECK_EQUAL(totals.packets, 5);
    CHECK_EQUAL(totals.unknown, 1);
    close(first);
    close(second);
    rw_receiver_close(receiver);
}

static void test_garbage_is_counted_by_reason(void) {
    static const uint8_t zeros[2000];
    rw_receiver *receiver;
    rw_receiver_totals totals;
    CHECK_EQUAL(rw_receiver_open(&receiver, &config), 0);
    int fd = socket_to(rw_receiver_port(receiver, 0));
    CHECK(send(fd, zeros, 11, 0) > 0);
    CHECK(send(fd, zeros, 12, 0) > 0);
    CHECK(send(fd, zeros, sizeof zeros, 0) > 0);
    CHECK(send(fd, zeros, 0, 0) == 0);
    CHECK_EQUAL(rw_receiver_drain(receiver), 4);
    rw_receiver_read_totals(receiver, &totals);
    CHECK_EQUAL(totals.rejected[RW_RTP_TOO_SHORT], 2);
    CHECK_EQUAL(totals.rejected[RW_RTP_BAD_VERSION], 1);
    CHECK_EQUAL(totals.oversized, 1);
    CHECK_EQUAL(rw_receiver_streams(receiver), 0);
    close(fd);
    rw_receiver_close(receiver);
}

static void test_capture_is_bounded_and_skips_duplicates(void) {
    rw_receiver *receiver;
    size_t bytes = 0;
    CHECK_EQUAL(rw_receiver_open(&receiver, &config), 0);
    int fd = socket_to(rw_receiver_port(receiver, 0));
    send_packet(fd, 1, 65535, "ring");
    send_packet(fd, 1, 65535, "ring");
    send_packet(fd, 1, 0, "wheel");
    send_packet(fd, 1, 1, "turns");
    send_packet(fd, 2, 1, "not among the captured");
    CHECK_EQUAL(rw_receiver_drain(receiver), 5);
    const uint8_t *captured = rw_receiver_captured(receiver, 0, &bytes);
    CHECK_EQUAL(bytes, config.capture_bytes);
    CHECK(memcmp(captured, "ringwheelt", bytes) == 0);
    CHECK(!rw_receiver_captured(receiver, 1, &bytes));
    close(fd);
    rw_receiver_close(receiver);
}

static void test_window(void) {
    rw_receiver *receiver;
    rw_receiver_totals totals;
    rw_receiver_source source;
    CHECK_EQUAL(rw_receiver_open(&receiver, &config), 0);
    int fd = socket_to(rw_receiver_port(receiver, 0));
    send_packet(fd, 1, 1, "before");
    CHECK_EQUAL(rw_receiver_drain(receiver), 1);
    rw_receiver_begin_window(receiver);
    send_packet(fd, 1, 2, "within");
    CHECK_EQUAL(rw_receiver_run(receiver, 1), 0);
    rw_receiver_read_totals(receiver, &totals);
    CHECK_EQUAL(totals.packets, 1);
    CHECK_EQUAL(totals.dropped, 0);
    CHECK_EQUAL(rw_receiver_stream(receiver, 0, &source)->packets, 1);
    CHECK_EQUAL(rw_histogram_total(rw_receiver_interval_error_us(receiver)), 1);
    close(fd);
    rw_receiver_close(receiver);
}

static void test_refuses_nonsense(void) {
    rw_receiver *receiver;
    rw_receiver_config none = {.streams_max = 1, .ptime_us = 20000};
    CHECK_EQUAL(rw_receiver_open(&receiver, &none), -EINVAL);
}

int main(void) {
    test_streams_are_told_apart();
    test_garbage_is_counted_by_reason();
    test_capture_is_bounded_and_skips_duplicates();
    test_window();
    test_refuses_nonsense();
    return 0;
}
