#include "backend/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "udp/udp.h"

struct rw_receive_batch {
    int count; /* of the last read */
    struct mmsghdr messages[RW_RECEIVE_BATCH];
    struct iovec vectors[RW_RECEIVE_BATCH];
    rw_address sources[RW_RECEIVE_BATCH];
    uint8_t bytes[RW_RECEIVE_BATCH][RW_RECEIVE_BYTES];
};

const rw_backend_ops *rw_backend_find(const char *name) {
    static const rw_backend_ops *const all[] = {&rw_backend_per_leg, &rw_backend_shared};
    for (size_t i = 0; i < RW_LENGTH_OF(all); i++)
        if (strcmp(all[i]->name, name) == 0) return all[i];
    return NULL;
}

rw_counter rw_backend_send_counter(int error) {
    switch (error) {
    case ECONNREFUSED:
        return RW_SEND_REFUSED;
    case EAGAIN:
    case ENOBUFS:
        return RW_SEND_BUFFER_FULL;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENODEV:
    case EADDRNOTAVAIL:
        return RW_SEND_UNREACHABLE;
    default:
        return RW_SEND_FAILED;
    }
}

rw_receive_batch *rw_receive_batch_create(void) {
    rw_receive_batch *batch = calloc(1, sizeof(*batch));
    if (!batch) return NULL;
    batch->count = RW_RECEIVE_BATCH;
    for (size_t i = 0; i < RW_RECEIVE_BATCH; i++) {
        batch->vectors[i] = (struct iovec){batch->bytes[i], RW_RECEIVE_BYTES};
        batch->messages[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
        batch->messages[i].msg_hdr.msg_name = &batch->sources[i];
    }
    return batch;
}

void rw_receive_batch_destroy(rw_receive_batch *batch) {
    free(batch);
}

size_t rw_receive_batch_read(rw_receive_batch *batch, int fd, size_t max,
                             const rw_backend_host *host) {
    unsigned room = max < RW_RECEIVE_BATCH ? (unsigned)max : RW_RECEIVE_BATCH;
    /* The kernel has shortened the lengths of those that it filled. */
    for (int i = 0; i < batch->count; i++)
        batch->messages[i].msg_hdr.msg_namelen = sizeof(rw_address);
    batch->count = 0;
    /* A pending ICMP error is reported once, in place of a datagram: one more try reads on. */
    for (int attempt = 0; attempt < 2; attempt++) {
        int count = recvmmsg(fd, batch->messages, room, MSG_DONTWAIT, NULL);
        if (count >= 0) return (size_t)(batch->count = count);
        if (errno == EAGAIN) return 0;
        rw_count(&(*host->counters)[RW_RECEIVE_FAILED], 1);
    }
    return 0;
}

const uint8_t *rw_receive_batch_datagram(const rw_receive_batch *batch, size_t index, size_t *bytes,
                                         const rw_backend_host *host) {
    const struct mmsghdr *message = &batch->messages[index];
    *bytes = message->msg_len;
    if (!(message->msg_hdr.msg_flags & MSG_TRUNC)) return batch->bytes[index];
    rw_count(&(*host->counters)[RW_RECEIVED_TRUNCATED], 1);
    return NULL;
}

const rw_address *rw_receive_batch_source(const rw_receive_batch *batch, size_t index) {
    return &batch->sources[index];
}

void rw_backend_count_overflow(const rw_backend_host *host, int fd, uint32_t *known) {
    uint32_t dropped = rw_udp_dropped(fd);
    rw_count(&(*host->counters)[RW_RECEIVE_OVERFLOW], dropped - *known);
    *known = dropped;
}

static int listen_by(const rw_backend_host *host, int how, int fd, uint64_t data) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = data};
    return epoll_ctl(host->epoll_fd, how, fd, &event);
}

void rw_backend_listen_first(const rw_backend_host *host, int fd, uint64_t data) {
    /* It is known if it is a number of a socket that has others: of a leg that took over. */
    if (listen_by(host, EPOLL_CTL_ADD, fd, data) < 0) listen_by(host, EPOLL_CTL_MOD, fd, data);
}

void rw_backend_listen_once(const rw_backend_host *host, int fd, uint64_t data) {
    listen_by(host, EPOLL_CTL_MOD, fd, data);
}
