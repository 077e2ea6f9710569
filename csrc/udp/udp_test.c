#include "udp/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "test/check.h"

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int bound_socket(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    *address = loopback(0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)address, length) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)address, &length) == 0);
    return fd;
}

static void send_to(int fd, const struct sockaddr_in *to, const void *data, size_t length) {
    CHECK(sendto(fd, data, length, 0, (const struct sockaddr *)to, sizeof *to) == (ssize_t)length);
}

static void test_receives_in_batches(void) {
    struct sockaddr_in to, from;
    int receiver = bound_socket(&to), sender = bound_socket(&from);
    rw_udp_batch *batch = rw_udp_batch_new(4);
    static uint8_t big[65507];
    memset(big, 'x', sizeof big);
    CHECK_EQUAL(rw_udp_receive(batch, receiver, 4), 0);
    for (int i = 0; i < 5; i++)
        send_to(sender, &to, "hello", (size_t)i);
    send_to(sender, &to, big, sizeof big);
    CHECK_EQUAL(rw_udp_receive(batch, receiver, 2), 2);
    CHECK_EQUAL(rw_udp_receive(batch, receiver, 100), 4);
    rw_udp_datagram third = rw_udp_at(batch, 2), last = rw_udp_at(batch, 3);
    CHECK(third.length == 4 && !memcmp(third.data, "hell", 4));
    CHECK(last.length == sizeof big && !memcmp(last.data, big, sizeof big));
    char host[RW_UDP_HOST_BYTES];
    CHECK_EQUAL(rw_udp_host(last.from, host), ntohs(from.sin_port));
    CHECK(!strcmp(host, "127.0.0.1"));
    CHECK_EQUAL(rw_udp_counts_of(batch)->datagrams, 6);
    rw_udp_batch_free(batch);
    close(receiver);
    close(sender);
}

static void test_icmp_errors_are_counted(void) {
    struct sockaddr_in gone, own;
    int closed = bound_socket(&gone), fd = bound_socket(&own);
    rw_udp_batch *batch = rw_udp_batch_new(4);
    close(closed);
    CHECK(connect(fd, (struct sockaddr *)&gone, sizeof gone) == 0);
    CHECK(send(fd, "x", 1, 0) == 1);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK_EQUAL(poll(&ready, 1, 5000), 1);
    CHECK_EQUAL(rw_udp_receive(batch, fd, 4), 0);
    CHECK_EQUAL(rw_udp_counts_of(batch)->icmp_errors, 1);
    rw_udp_batch_free(batch);
    close(fd);
}

static void test_opens_for_rtp(void) {
    struct sockaddr_in own = loopback(0);
    int traffic_class = 0;
    socklen_t own_bytes = sizeof own, class_bytes = sizeof traffic_class;
    int fd = rw_udp_open((struct sockaddr *)&own, own_bytes, 0xb8);
    CHECK(fd >= 0 && getsockname(fd, (struct sockaddr *)&own, &own_bytes) == 0);
    CHECK(getsockopt(fd, IPPROTO_IP, IP_TOS, &traffic_class, &class_bytes) == 0);
    CHECK_EQUAL(traffic_class, 0xb8);
    CHECK(recv(fd, &traffic_class, 1, 0) < 0 && errno == EAGAIN);
    CHECK_EQUAL(rw_udp_open((struct sockaddr *)&own, own_bytes, 0xb8), -EADDRINUSE);
    close(fd);
}

static void test_opens_ipv6_only(void) {
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    socklen_t bytes = sizeof any, int_bytes = sizeof(int);
    int only = 0, fd = rw_udp_open((struct sockaddr *)&any, bytes, 0xb8);
    if (fd == -EAFNOSUPPORT) return;
    CHECK(fd >= 0 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &int_bytes) == 0);
    CHECK_EQUAL(only, 1);
    close(fd);
}

static void check_next(int family, int level, int option) {
    struct sockaddr_storage own = {.ss_family = (sa_family_t)family};
    struct sockaddr_in6 *any = (struct sockaddr_in6 *)&own; /* the ports coincide */
    socklen_t bytes = family == AF_INET6 ? sizeof *any : sizeof(struct sockaddr_in);
    int fd = -1, next = -1, traffic_class = 0;
    socklen_t class_bytes = sizeof traffic_class;
    for (uint16_t port = 13000; next < 0; port += 2) {
        CHECK(port < 32000);
        any->sin6_port = htons(port);
        fd = rw_udp_open((struct sockaddr *)&own, bytes, 0xb8);
        if (fd == -EAFNOSUPPORT) return;
        if (fd >= 0) next = rw_udp_open_next(fd);
        if (fd >= 0 && next < 0) close(fd);
    }
    uint16_t port = ntohs(any->sin6_port);
    CHECK_EQUAL(rw_udp_open_next(fd), -EADDRINUSE);
    CHECK(getsockname(next, (struct sockaddr *)&own, &bytes) == 0 && own.ss_family == family);
    CHECK_EQUAL(ntohs(any->sin6_port), port + 1);
    CHECK(getsockopt(next, level, option, &traffic_class, &class_bytes) == 0);
    CHECK_EQUAL(traffic_class, 0xb8);
    close(fd);
    close(next);
}

static void test_opens_the_neighbour_of_a_socket(void) {
    check_next(AF_INET, IPPROTO_IP, IP_TOS);
    check_next(AF_INET6, IPPROTO_IPV6, IPV6_TCLASS);
    CHECK_EQUAL(rw_udp_open_next(-1), -EBADF);
}

static void test_wrong_descriptor(void) {
    rw_udp_batch *batch = rw_udp_batch_new(1);
    CHECK_EQUAL(rw_udp_receive(batch, -1, 1), -EBADF);
    rw_udp_batch_free(batch);
}

static void check_host6(const char *address, uint32_t scope, const char *expected) {
    struct sockaddr_storage storage = {0};
    struct sockaddr_in6 *from = (struct sockaddr_in6 *)&storage;
    char host[RW_UDP_HOST_BYTES];
    *from = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(5062), .sin6_scope_id = scope};
    CHECK_EQUAL(inet_pton(AF_INET6, address, &from->sin6_addr), 1);
    CHECK_EQUAL(rw_udp_host(&storage, host), 5062);
    CHECK(!strcmp(host, expected));
}

static void test_hosts(void) {
    struct sockaddr_storage unknown = {.ss_family = AF_UNIX};
    char host[RW_UDP_HOST_BYTES];
    check_host6("2001:db8:0:0::1", 0, "2001:db8::1");
    check_host6("::ffff:192.0.2.7", 0, "192.0.2.7");
    check_host6("fe80::1", 3, "fe80::1%3");
    CHECK_EQUAL(rw_udp_host(&unknown, host), -EAFNOSUPPORT);
}

int main(void) {
    test_receives_in_batches();
    test_icmp_errors_are_counted();
    test_opens_for_rtp();
    test_opens_ipv6_only();
    test_opens_the_neighbour_of_a_socket();
    test_wrong_descriptor();
    test_hosts();
    return 0;
}
