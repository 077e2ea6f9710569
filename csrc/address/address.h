/* An IPv4 or IPv6 address with its port, as the socket calls want it. */
#ifndef RW_ADDRESS_H
#define RW_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

typedef union rw_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} rw_address;

/* Size of the address for the socket calls; 0 for a family that is neither IPv4 nor IPv6. */
socklen_t rw_address_bytes(const rw_address *address);

/* Reads a numeric IPv4 or IPv6 address; -EINVAL if `host` is neither. */
int rw_address_parse(rw_address *address, const char *host, uint16_t port);

/* The same family, host and port. An IPv6 scope is left aside: the kernel tells it of a source, but
 * what SDP names has none. */
bool rw_address_equal(const rw_address *a, const rw_address *b);

/* As rw_address_equal(), whatever the ports are. */
bool rw_address_same_host(const rw_address *a, const rw_address *b);

/* Moves `address` to the port behind its own, where RTCP is next to RTP (RFC 3550 section 11). */
void rw_address_next_port(rw_address *address);

/* True if one host may be at the address: false for port 0, an unspecified, multicast or reserved
 * address (IPv4 also mapped into IPv6), and any other family. */
bool rw_address_is_unicast(const rw_address *address);

#endif
