/* Both backends over real sockets on loopback: what is sent, what is read, what is only counted. */
#include "backend/backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "test/check.h"
#include "test/loopback.h"

#define MAX_DATAGRAMS 64

static rw_counters counters;
static size_t delivered;
static rw_leg *delivered_to;

static void deliver(void *context, rw_leg *leg, const rw_address *source, const uint8_t *datagram,
                    size_t bytes) {
    (void)context, (void)source;
    CHECK(bytes == 0 || datagram[0] == 'x');
    delivered++;
    delivered_to = leg;
}

static rw_backend_host host = {.counters = &counters, .deliver = deliver};

static void send_packet(rw_backend *backend, rw_leg *leg, size_t bytes) {
    memset(backend->ops->room(backend), 'x', bytes);
    backend->ops->send(backend, leg, bytes);
}

static uint64_t counted(rw_counter counter) {
    return rw_read(&counters[counter]);
}

static void forget_counts(void) {
    for (int i = 0; i < RW_COUNTERS; i++)
        rw_write(&counters[i], 0);
    delivered = 0;
}

static void test_packets_reach_the_remote_address_and_answers_the_leg(const rw_backend_ops *ops) {
    rw_address peer_address, own_address;
    int peer = bound_socket(&peer_address), own = bound_socket(&own_address);
    rw_backend *backend;
    rw_leg leg = {.media.remote = peer_address, .fd = ops->socket_per_leg ? own : -1, .id = 1};
    uint8_t buffer[2000];
    forget_counts();
    CHECK_EQUAL(ops->open(&host, ops->socket_per_leg ? -1 : own, &backend), 0);
    CHECK_EQUAL(ops->attach(backend, &leg), 0);
    for (size_t i = 1; i <= 200; i++)
        send_packet(backend, &leg, 172);
    ops->flush(backend);
    for (size_t i = 1; i <= 200; i++)
        CHECK_EQUAL(recv(peer, buffer, sizeof(buffer), MSG_DONTWAIT), 172);
    CHECK_EQUAL(recv(peer, buffer, sizeof(buffer), MSG_DONTWAIT), -1);
    CHECK_EQUAL(counted(RW_PACKETS_SENT), 200);
    CHECK_EQUAL(counted(RW_BYTES_SENT), 200 * 172);
    CHECK_EQUAL(rw_read(&leg.stats.packets_sent), 200);
    CHECK_EQUAL(ops->send_control(backend, &leg, (const uint8_t *)"report", 6), 0);
    CHECK_EQUAL(recv(peer, buffer, sizeof(buffer), MSG_DONTWAIT), 6);
    CHECK_EQUAL(counted(RW_PACKETS_SENT), 200); /* it is no sound */

    memset(buffer, 'x', sizeof(buffer));
    for (int i = 0; i < 50; i++)
        sendto(peer, buffer, i % 2 ? 172 : 0, 0, &own_address.any, sizeof(own_address.v4));
    CHECK_EQUAL(ops->receive(backend, &leg, MAX_DATAGRAMS), 50);
    CHECK_EQUAL(delivered, 50);
    CHECK(delivered_to == &leg);
    CHECK_EQUAL(ops->receive(backend, &leg, MAX_DATAGRAMS), 0);
    ops->detach(backend, &leg);
    ops->close(backend);
    close(peer);
}

static void test_a_leg_that_is_not_settled_hears_all_and_sends_to_one(void) {
    const rw_backend_ops *ops = &rw_backend_per_leg;
    rw_address a, b, own_address;
    int peer_a = bound_socket(&a), peer_b = bound_socket(&b), own = bound_socket(&own_address);
    rw_backend *backend;
    rw_leg leg = {.media.remote = a, .fd = own, .id = 1, .unsettled = true, .latch.remote = b};
    uint8_t buffer[200];
    forget_counts();
    CHECK_EQUAL(ops->open(&host, -1, &backend), 0);
    CHECK_EQUAL(ops->attach(backend, &leg), 0);
    send_packet(backend, &leg, 172);
    CHECK_EQUAL(recv(peer_b, buffer, sizeof(buffer), MSG_DONTWAIT), 172);
    sendto(peer_a, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    sendto(peer_b, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    CHECK_EQUAL(ops->receive(backend, &leg, MAX_DATAGRAMS), 2);
    leg.unsettled = false;
    CHECK_EQUAL(ops->retarget(backend, &leg, &b), 0);
    send_packet(backend, &leg, 172);
    CHECK_EQUAL(recv(peer_b, buffer, sizeof(buffer), MSG_DONTWAIT), 172);
    sendto(peer_a, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    sendto(peer_b, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    CHECK_EQUAL(ops->receive(backend, &leg, MAX_DATAGRAMS), 1);
    ops->detach(backend, &leg);
    ops->close(backend);
    close(peer_a);
    close(peer_b);
}

static void test_a_closed_port_costs_a_counter(void) {
    rw_address gone, own_address;
    close(bound_socket(&gone));
    rw_backend *backend;
    rw_leg leg = {.media.remote = gone, .fd = bound_socket(&own_address), .id = 1};
    forget_counts();
    CHECK_EQUAL(rw_backend_per_leg.open(&host, -1, &backend), 0);
    CHECK_EQUAL(rw_backend_per_leg.attach(backend, &leg), 0);
    for (int i = 0; i < 5; i++)
        send_packet(backend, &leg, 172);
    CHECK_EQUAL(counted(RW_PACKETS_SENT), 5); /* each ICMP answer only delays, never replaces */
    CHECK_EQUAL(counted(RW_SEND_REFUSED), 4);
    CHECK_EQUAL(rw_read(&leg.stats.send_errors), 4);
    CHECK_EQUAL(rw_backend_per_leg.receive(backend, &leg, MAX_DATAGRAMS), 0);
    rw_backend_per_leg.detach(backend, &leg);
    rw_backend_per_leg.close(backend);
}

static void test_unreachable_remote(const rw_backend_ops *ops) {
    rw_address own_address, bad;
    int own = bound_socket(&own_address);
    rw_backend *backend;
    /* A socket bound to 127.0.0.1 has no way to a v4 address off this host. */
    bad = (rw_address){
        .v4 = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(0xf0000001)}}};
    rw_leg leg = {.media.remote = bad, .fd = ops->socket_per_leg ? own : -1, .id = 1};
    forget_counts();
    CHECK_EQUAL(ops->open(&host, ops->socket_per_leg ? -1 : own, &backend), 0);
    int error = ops->attach(backend, &leg);
    if (ops->socket_per_leg) {
        CHECK(error < 0);
    } else {
        send_packet(backend, &leg, 172);
        ops->flush(backend);
        CHECK_EQUAL(rw_read(&leg.stats.send_errors), 1);
        CHECK_EQUAL(counted(RW_PACKETS_SENT), 0);
    }
    ops->detach(backend, &leg);
    ops->close(backend);
}

static void test_shared_socket_refuses_two_legs_at_one_address(void) {
    rw_address own_address, a, b;
    int own = bound_socket(&own_address), peer_a = bound_socket(&a), peer_b = bound_socket(&b);
    rw_backend *backend;
    rw_leg first = {.media.remote = a, .fd = -1, .id = 1};
    rw_leg second = {.media.remote = a, .fd = -1, .id = 2};
    const rw_backend_ops *ops = &rw_backend_shared;
    forget_counts();
    CHECK_EQUAL(ops->open(&host, own, &backend), 0);
    CHECK_EQUAL(ops->attach(backend, &first), 0);
    CHECK_EQUAL(ops->attach(backend, &second), -EADDRINUSE);
    second.media.remote = b;
    CHECK_EQUAL(ops->attach(backend, &second), 0);
    CHECK_EQUAL(ops->retarget(backend, &second, &a), -EADDRINUSE);
    CHECK_EQUAL(ops->retarget(backend, &second, &b), 0);
    ops->detach(backend, &first);
    CHECK_EQUAL(ops->retarget(backend, &second, &a), 0);
    sendto(peer_a, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    sendto(peer_b, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    CHECK_EQUAL(ops->receive(backend, NULL, MAX_DATAGRAMS), 2);
    CHECK(delivered == 1 && delivered_to == &second);
    CHECK_EQUAL(counted(RW_RECEIVED_UNKNOWN), 1);
    ops->detach(backend, &second);
    ops->close(backend);
    close(peer_a);
    close(peer_b);
}

/* What the buffer had no room for: the leg's socket tells when it is closed, and before if it could
 * not be read to its end; the shared socket whenever much has come. */
static void test_what_the_kernel_drops_is_counted(const rw_backend_ops *ops) {
    rw_address peer_address, own_address;
    int peer = bound_socket(&peer_address), own = bound_socket(&own_address), room_bytes = 65536;
    rw_backend *backend;
    rw_leg leg = {.media.remote = peer_address, .fd = ops->socket_per_leg ? own : -1, .id = 1};
    forget_counts();
    setsockopt(own, SOL_SOCKET, SO_RCVBUF, &room_bytes, sizeof(room_bytes));
    CHECK_EQUAL(ops->open(&host, ops->socket_per_leg ? -1 : own, &backend), 0);
    CHECK_EQUAL(ops->attach(backend, &leg), 0);
    for (int i = 0; i < 2000; i++)
        sendto(peer, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    CHECK(ops->receive(backend, &leg, MAX_DATAGRAMS) >= 2 * RW_RECEIVE_BATCH);
    uint64_t overflow = counted(RW_RECEIVE_OVERFLOW);
    CHECK(overflow > 0);
    while (ops->receive(backend, &leg, MAX_DATAGRAMS))
        ;
    CHECK_EQUAL(delivered + counted(RW_RECEIVE_OVERFLOW), 2000);
    CHECK_EQUAL(counted(RW_RECEIVE_OVERFLOW), overflow);
    ops->detach(backend, &leg);
    ops->close(backend);
    CHECK_EQUAL(counted(RW_RECEIVE_OVERFLOW), overflow);
    close(peer);
}

static void test_a_closed_leg_tells_what_the_kernel_dropped(void) {
    rw_address peer_address, own_address;
    int peer = bound_socket(&peer_address), room_bytes = 1;
    rw_backend *backend;
    rw_leg leg = {.media.remote = peer_address, .fd = bound_socket(&own_address), .id = 1};
    forget_counts();
    setsockopt(leg.fd, SOL_SOCKET, SO_RCVBUF, &room_bytes, sizeof(room_bytes));
    CHECK_EQUAL(rw_backend_per_leg.open(&host, -1, &backend), 0);
    CHECK_EQUAL(rw_backend_per_leg.attach(backend, &leg), 0);
    for (int i = 0; i < 30; i++)
        sendto(peer, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    size_t read = rw_backend_per_leg.receive(backend, &leg, MAX_DATAGRAMS);
    CHECK(read < 30);
    CHECK_EQUAL(counted(RW_RECEIVE_OVERFLOW), 0);
    rw_backend_per_leg.detach(backend, &leg);
    CHECK_EQUAL(counted(RW_RECEIVE_OVERFLOW), 30 - read);
    rw_backend_per_leg.close(backend);
    close(peer);
}

static void test_oversized_datagram_is_counted(void) {
    rw_address own_address, peer_address;
    int peer = bound_socket(&peer_address);
    static uint8_t large[RW_RECEIVE_BYTES + 1];
    rw_backend *backend;
    rw_leg leg = {.media.remote = peer_address, .fd = bound_socket(&own_address), .id = 1};
    forget_counts();
    CHECK_EQUAL(rw_backend_per_leg.open(&host, -1, &backend), 0);
    CHECK_EQUAL(rw_backend_per_leg.attach(backend, &leg), 0);
    sendto(peer, large, sizeof(large), 0, &own_address.any, sizeof(own_address.v4));
    CHECK_EQUAL(rw_backend_per_leg.receive(backend, &leg, MAX_DATAGRAMS), 1);
    CHECK_EQUAL(delivered, 0);
    CHECK_EQUAL(counted(RW_RECEIVED_TRUNCATED), 1);
    rw_backend_per_leg.detach(backend, &leg);
    rw_backend_per_leg.close(backend);
    close(peer);
}

/* Who is expected is read without being named, a bound at a time, and told of until all is read. */
static void test_expected_legs_are_read_together(void) {
    enum { LEGS = 3, DATAGRAMS = 50 };
    static rw_leg legs[LEGS];
    rw_address peer_address, own_address;
    int peer = bound_socket(&peer_address);
    rw_backend *backend;
    forget_counts();
    CHECK_EQUAL(rw_backend_per_leg.open(&host, -1, &backend), 0);
    for (uint64_t i = 0; i < LEGS; i++) {
        legs[i] =
            (rw_leg){.media.remote = peer_address, .fd = bound_socket(&own_address), .id = i + 1};
        CHECK_EQUAL(rw_backend_per_leg.attach(backend, &legs[i]), 0);
        if (i) CHECK_EQUAL(rw_backend_per_leg.expect(backend, &legs[i], true), 0);
        for (int datagram = 0; datagram < DATAGRAMS; datagram++)
            sendto(peer, "x", 1, 0, &own_address.any, sizeof(own_address.v4));
    }
    size_t total = rw_backend_per_leg.receive(backend, NULL, 1000), count;
    CHECK(total > 0 && total < 2 * DATAGRAMS);
    while ((count = rw_backend_per_leg.receive(backend, NULL, 1000)))
        total += count;
    CHECK_EQUAL(total, 2 * DATAGRAMS);
    CHECK_EQUAL(rw_backend_per_leg.receive(backend, &legs[0], 1000), DATAGRAMS);
    CHECK_EQUAL(rw_backend_per_leg.expect(backend, &legs[1], true), -EEXIST);
    CHECK_EQUAL(rw_backend_per_leg.expect(backend, &legs[1], false), 0);
    CHECK_EQUAL(rw_backend_per_leg.expect(backend, &legs[1], false), -ENOENT);
    for (int i = 0; i < LEGS; i++)
        rw_backend_per_leg.detach(backend, &legs[i]);
    CHECK_EQUAL(rw_backend_per_leg.receive(backend, NULL, 1000), 0);
    rw_backend_per_leg.close(backend);
    close(peer);
}

int main(void) {
    host.epoll_fd = epoll_create1(0);
    CHECK(rw_backend_find("per-leg") == &rw_backend_per_leg);
    CHECK(rw_backend_find("shared") == &rw_backend_shared);
    CHECK(!rw_backend_find("carrier-pigeon"));
    test_packets_reach_the_remote_address_and_answers_the_leg(&rw_backend_per_leg);
    test_packets_reach_the_remote_address_and_answers_the_leg(&rw_backend_shared);
    test_a_leg_that_is_not_settled_hears_all_and_sends_to_one();
    test_a_closed_port_costs_a_counter();
    test_unreachable_remote(&rw_backend_per_leg);
    test_unreachable_remote(&rw_backend_shared);
    test_shared_socket_refuses_two_legs_at_one_address();
    test_oversized_datagram_is_counted();
    test_what_the_kernel_drops_is_counted(&rw_backend_per_leg);
    test_what_the_kernel_drops_is_counted(&rw_backend_shared);
    test_a_closed_leg_tells_what_the_kernel_dropped();
    test_expected_legs_are_read_together();
    close(host.epoll_fd);
    return 0;
}
