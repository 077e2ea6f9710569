#include "address/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

socklen_t rw_address_bytes(const rw_address *address) {
    if (address->any.sa_family == AF_INET) return sizeof(address->v4);
    if (address->any.sa_family == AF_INET6) return sizeof(address->v6);
    return 0;
}

int rw_address_parse(rw_address *address, const char *host, uint16_t port) {
    *address = (rw_address){.v6 = {.sin6_port = htons(port)}};
    address->any.sa_family = strchr(host, ':') ? AF_INET6 : AF_INET;
    void *binary = address->any.sa_family == AF_INET6 ? (void *)&address->v6.sin6_addr
                                                      : (void *)&address->v4.sin_addr;
    return inet_pton(address->any.sa_family, host, binary) == 1 ? 0 : -EINVAL;
}

bool rw_address_same_host(const rw_address *a, const rw_address *b) {
    if (a->any.sa_family != b->any.sa_family) return false;
    if (a->any.sa_family == AF_INET) return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

bool rw_address_equal(const rw_address *a, const rw_address *b) {
    /* sin_port and sin6_port coincide */
    return a->v4.sin_port == b->v4.sin_port && rw_address_same_host(a, b);
}

void rw_address_next_port(rw_address *address) {
    address->v4.sin_port = htons((uint16_t)(ntohs(address->v4.sin_port) + 1));
}

/* 0.0.0.0/8 is "this network", 224.0.0.0/4 multicast, 240.0.0.0/4 reserved, with the broadcast
 * address as its last (RFC 6890 section 2.2.2). */
static bool is_unicast_v4(uint32_t host) {
    return host >> 24 != 0 && host >> 24 < 224;
}

static bool is_unicast_v6(const struct in6_addr *host) {
    if (IN6_IS_ADDR_V4MAPPED(host)) {
        uint32_t mapped;
        memcpy(&mapped, host->s6_addr + 12, sizeof(mapped));
        return is_unicast_v4(ntohl(mapped));
    }
    return !IN6_IS_ADDR_UNSPECIFIED(host) && !IN6_IS_ADDR_MULTICAST(host);
}

bool rw_address_is_unicast(const rw_address *address) {
    if (!rw_address_bytes(address) || address->v4.sin_port == 0) return false;
    if (address->any.sa_family == AF_INET) return is_unicast_v4(ntohl(address->v4.sin_addr.s_addr));
    return is_unicast_v6(&address->v6.sin6_addr);
}
