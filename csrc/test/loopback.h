/* UDP sockets of the other side in C tests. */
#ifndef RW_TEST_LOOPBACK_H
#define RW_TEST_LOOPBACK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "address/address.h"
#include "test/check.h"

/* A socket on a free port of 127.0.0.1; `address` is where it is reached. */
static inline int bound_socket(rw_address *address) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t size = sizeof(address->v4);
    *address = (rw_address){.v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    CHECK_EQUAL(bind(fd, &address->any, size), 0);
    CHECK_EQUAL(getsockname(fd, &address->any, &size), 0);
    return fd;
}

#endif
