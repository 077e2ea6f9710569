/*
 * UDP sockets: opening one for RTP, and receiving in batches.
 *
 * A batch is many datagrams in one system call (recvmmsg), into buffers that are allocated once
 * and used again. Memory of a buffer is touched only by datagrams that reach it. One thread uses a
 * batch at a time.
 */
#ifndef RW_UDP_H
#define RW_UDP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A non-blocking UDP socket bound to `address`, its packets marked with `traffic_class` in the IP
 * header; for IPv6 only, if the address is. The caller owns it. A negative errno: cannot be had. */
int rw_udp_open(const struct sockaddr *address, socklen_t address_bytes, int traffic_class);

/* A socket as `fd` is, bound to the port behind its own. The caller owns it. A negative errno:
 * cannot be had. */
int rw_udp_open_next(int fd);

/* Datagrams to the socket that the kernel has dropped since it was opened, mostly because its
 * buffer was full; it wraps. */
uint32_t rw_udp_dropped(int fd);

#define RW_UDP_MAX_BYTES 65536 /* above any UDP payload (65,527), so that nothing is cut off */

typedef struct rw_udp_batch rw_udp_batch;

/* One datagram received; it stays the batch's, and valid until the next receive. */
typedef struct rw_udp_datagram {
    const uint8_t *data;
    size_t length;
    const struct sockaddr_storage *from;
} rw_udp_datagram;

typedef struct rw_udp_counts {
    uint64_t datagrams;
    uint64_t icmp_errors; /* a peer or a router refused something we sent: ECONNREFUSED and kin */
} rw_udp_counts;

/* A batch of up to `capacity` datagrams (at least 1); NULL if memory is short. The caller owns it.
 */
rw_udp_batch *rw_udp_batch_new(unsigned capacity);
void rw_udp_batch_free(rw_udp_batch *batch);

/* Receives what is there, up to `limit` and the capacity, without blocking. Returns how many (0:
 * nothing), or a negative errno for what is no peer's doing (EBADF, ENOTSOCK, ENOMEM). */
int rw_udp_receive(rw_udp_batch *batch, int fd, unsigned limit);

/* Datagram `index` of the last receive. */
rw_udp_datagram rw_udp_at(const rw_udp_batch *batch, unsigned index);

const rw_udp_counts *rw_udp_counts_of(const rw_udp_batch *batch);

/* The numeric host of an address, without brackets; an IPv4-mapped address (RFC 4291 section
 * 2.5.5.2) as IPv4, a link-local one with its %scope. `to` is the caller's, RW_UDP_HOST_BYTES long.
 * Returns the port, or -EAFNOSUPPORT. */
#define RW_UDP_HOST_BYTES 64
int rw_udp_host(const struct sockaddr_storage *from, char *to);

#endif
