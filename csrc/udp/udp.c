#include "udp/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "address/address.h"

static int configure(int fd, const struct sockaddr *address, int traffic_class) {
    int on = 1;
    if (address->sa_family != AF_INET6)
        return setsockopt(fd, IPPROTO_IP, IP_TOS, &traffic_class, sizeof traffic_class);
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on)) return -1;
    return setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof traffic_class);
}

int rw_udp_open(const struct sockaddr *address, socklen_t address_bytes, int traffic_class) {
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (!configure(fd, address, traffic_class) && !bind(fd, address, address_bytes)) return fd;
    int error = -errno;
    close(fd);
    return error;
}

int rw_udp_open_next(int fd) {
    rw_address address;
    int traffic_class = 0;
    socklen_t address_bytes = sizeof address, class_bytes = sizeof traffic_class;
    if (getsockname(fd, &address.any, &address_bytes)) return -errno;
    bool ipv6 = address.any.sa_family == AF_INET6;
    if (getsockopt(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_TCLASS : IP_TOS,
                   &traffic_class, &class_bytes))
        return -errno;
    rw_address_next_port(&address);
    return rw_udp_open(&address.any, address_bytes, traffic_class);
}

uint32_t rw_udp_dropped(int fd) {
    uint32_t figures[SK_MEMINFO_VARS] = {0};
    socklen_t bytes = sizeof figures;
    getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures, &bytes);
    return figures[SK_MEMINFO_DROPS];
}

struct rw_udp_batch {
    unsigned capacity;
    rw_udp_counts counts;
    uint8_t *memory; /* capacity * RW_UDP_MAX_BYTES, mapped, so that untouched pages cost nothing */
    struct mmsghdr *headers;
    struct iovec *slices;
    struct sockaddr_storage *addresses;
};

static void point_headers(rw_udp_batch *batch) {
    for (unsigned i = 0; i < batch->capacity; i++) {
        batch->slices[i].iov_base = batch->memory + (size_t)i * RW_UDP_MAX_BYTES;
        batch->slices[i].iov_len = RW_UDP_MAX_BYTES;
        batch->headers[i].msg_hdr.msg_iov = &batch->slices[i];
        batch->headers[i].msg_hdr.msg_iovlen = 1;
        batch->headers[i].msg_hdr.msg_name = &batch->addresses[i];
    }
}

rw_udp_batch *rw_udp_batch_new(unsigned capacity) {
    rw_udp_batch *batch = calloc(1, sizeof *batch);
    if (!batch) return NULL;
    batch->capacity = capacity;
    batch->headers = calloc(capacity, sizeof *batch->headers);
    batch->slices = calloc(capacity, sizeof *batch->slices);
    batch->addresses = calloc(capacity, sizeof *batch->addresses);
    void *memory = mmap(NULL, (size_t)capacity * RW_UDP_MAX_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    batch->memory = memory == MAP_FAILED ? NULL : memory;
    if (!batch->headers || !batch->slices || !batch->addresses || !batch->memory) {
        rw_udp_batch_free(batch);
        return NULL;
    }
    point_headers(batch);
    return batch;
}

void rw_udp_batch_free(rw_udp_batch *batch) {
    if (!batch) return;
    if (batch->memory) munmap(batch->memory, (size_t)batch->capacity * RW_UDP_MAX_BYTES);
    free(batch->addresses);
    free(batch->slices);
    free(batch->headers);
    free(batch);
}

/* Errors that a pending ICMP message leaves on a socket (ip(7)): a peer's doing, not ours. */
static bool is_icmp_error(int error) {
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == EHOSTDOWN || error == ENONET || error == EPROTO || error == EMSGSIZE ||
           error == ENOPROTOOPT || error == EOPNOTSUPP || error == EACCES || error == ENETDOWN;
}

int rw_udp_receive(rw_udp_batch *batch, int fd, unsigned limit) {
    if (limit > batch->capacity) limit = batch->capacity;
    for (unsigned i = 0; i < limit; i++)
        batch->headers[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_storage);
    /* Each failed call takes one pending error off the socket: bounded by the limit as well. */
    for (unsigned attempt = 0; attempt < limit; attempt++) {
        int received = recvmmsg(fd, batch->headers, limit, MSG_DONTWAIT, NULL);
        if (received >= 0) {
            batch->counts.datagrams += (unsigned)received;
            return received;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        if (is_icmp_error(errno))
            batch->counts.icmp_errors++;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

rw_udp_datagram rw_udp_at(const rw_udp_batch *batch, unsigned index) {
    const struct mmsghdr *header = &batch->headers[index];
    return (rw_udp_datagram){
        .data = header->msg_hdr.msg_iov->iov_base,
        .length = header->msg_len,
        .from = header->msg_hdr.msg_name,
    };
}

const rw_udp_counts *rw_udp_counts_of(const rw_udp_batch *batch) {
    return &batch->counts;
}

static int host_of_ipv6(const struct sockaddr_in6 *from, char *to) {
    if (IN6_IS_ADDR_V4MAPPED(&from->sin6_addr))
        inet_ntop(AF_INET, &from->sin6_addr.s6_addr[12], to, RW_UDP_HOST_BYTES);
    else
        inet_ntop(AF_INET6, &from->sin6_addr, to, RW_UDP_HOST_BYTES);
    size_t length = strlen(to);
    if (IN6_IS_ADDR_LINKLOCAL(&from->sin6_addr) && from->sin6_scope_id)
        snprintf(to + length, RW_UDP_HOST_BYTES - length, "%%%u", from->sin6_scope_id);
    return ntohs(from->sin6_port);
}

int rw_udp_host(const struct sockaddr_storage *from, char *to) {
    if (from->ss_family == AF_INET6) return host_of_ipv6((const struct sockaddr_in6 *)from, to);
    if (from->ss_family != AF_INET) return -EAFNOSUPPORT;
    const struct sockaddr_in *from4 = (const struct sockaddr_in *)from;
    inet_ntop(AF_INET, &from4->sin_addr, to, RW_UDP_HOST_BYTES);
    return ntohs(from4->sin_port);
}
