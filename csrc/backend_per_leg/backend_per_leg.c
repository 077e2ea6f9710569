/*
 * One connected socket per leg, plain sends: works everywhere, and lets any number of legs share a
 * remote address. Connected, because a connected send is the cheapest, and the kernel then keeps
 * strangers' datagrams out; only while a leg's remote address may still move is its socket open to
 * all.
 *
 * Legs whose sound is waited for are in an epoll set of their own, which tells in one system call
 * for which of them something came: that is cheaper, and sooner, than looking at each. The set is
 * level-triggered, so that what a bound has left unread is told of again. To the shard's epoll it
 * is one file, like the socket that legs share, and listened to from the beginning: so a leg costs
 * one more system call where it enters, and two where it leaves.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/backend.h"

/* Expected legs that are asked for at once, and datagrams read of one before the next has its
 * turn. */
#define SWEEP 256
#define EXPECTED_DATAGRAMS 8

typedef struct per_leg {
    rw_backend base;
    rw_receive_batch *batch;
    int expected_fd; /* the epoll set of the legs that are expected */
    uint8_t packet[RW_MAX_PACKET_BYTES];
} per_leg;

static void per_leg_close(rw_backend *backend) {
    per_leg *self = (per_leg *)backend;
    if (self->expected_fd >= 0) close(self->expected_fd);
    rw_receive_batch_destroy(self->batch);
    free(self);
}

static int per_leg_open(const rw_backend_host *host, int fd, rw_backend **backend) {
    if (fd >= 0) return -EINVAL;
    per_leg *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->base = (rw_backend){&rw_backend_per_leg, host};
    self->expected_fd = epoll_create1(EPOLL_CLOEXEC);
    int error = self->expected_fd < 0 ? -errno : 0;
    self->batch = rw_receive_batch_create();
    if (!self->batch) error = -ENOMEM;
    if (error) {
        per_leg_close(&self->base);
        return error;
    }
    rw_backend_listen_first(host, self->expected_fd, RW_BACKEND_EVENT);
    *backend = &self->base;
    return 0;
}

static int per_leg_retarget(rw_backend *backend, rw_leg *leg, const rw_address *remote) {
    /* Disconnects (connect(2)); the socket keeps its port if it was bound to that one by number. */
    static const rw_address all = {.any = {.sa_family = AF_UNSPEC}};
    (void)backend;
    const rw_address *to = leg->unsettled ? &all : remote;
    socklen_t bytes = leg->unsettled ? sizeof(to->any) : rw_address_bytes(to);
    return connect(leg->fd, &to->any, bytes) < 0 ? -errno : 0;
}

static int per_leg_attach(rw_backend *backend, rw_leg *leg) {
    if (leg->fd < 0) return -EBADF;
    int error = leg->unsettled ? 0 : per_leg_retarget(backend, leg, &leg->media.remote);
    if (error) return error;
    rw_backend_listen_first(backend->host, leg->fd, rw_read(&leg->id));
    return 0;
}

static void per_leg_detach(rw_backend *backend, rw_leg *leg) {
    if (leg->fd < 0) return;
    rw_backend_count_overflow(backend->host, leg->fd, &leg->overflow);
    /* Closing takes it out of epoll only where the socket has no double, and this set names the leg
     * itself, not an id that is stale now. */
    int expected_fd = ((per_leg *)backend)->expected_fd;
    if (leg->expected) epoll_ctl(expected_fd, EPOLL_CTL_DEL, leg->fd, NULL);
    close(leg->fd);
    leg->fd = -1;
}

static uint8_t *per_leg_room(rw_backend *backend) {
    return ((per_leg *)backend)->packet;
}

static ssize_t send_datagram(const rw_leg *leg, const uint8_t *packet, size_t bytes) {
    const rw_address *to = &leg->latch.remote;
    if (!leg->unsettled) return send(leg->fd, packet, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sendto(leg->fd, packet, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, &to->any,
                  rw_address_bytes(to));
}

static void per_leg_send(rw_backend *backend, rw_leg *leg, size_t bytes) {
    per_leg *self = (per_leg *)backend;
    /* An ICMP answer to an earlier packet is reported in place of sending this one: send again. */
    for (int attempt = 0; attempt < 2; attempt++) {
        if (send_datagram(leg, self->packet, bytes) >= 0) {
            rw_count(&(*backend->host->counters)[RW_PACKETS_SENT], 1);
            rw_count(&(*backend->host->counters)[RW_BYTES_SENT], bytes);
            rw_count(&leg->stats.packets_sent, 1);
            return;
        }
        rw_count(&(*backend->host->counters)[rw_backend_send_counter(errno)], 1);
        rw_count(&leg->stats.send_errors, 1);
        if (errno != ECONNREFUSED) return;
    }
}

static void per_leg_flush(rw_backend *backend) {
    (void)backend;
}

static int per_leg_send_control(rw_backend *backend, rw_leg *leg, const uint8_t *packet,
                                size_t bytes) {
    (void)backend;
    return send_datagram(leg, packet, bytes) < 0 ? -errno : 0;
}

static void deliver(per_leg *self, rw_leg *leg, size_t index) {
    const rw_backend_host *host = self->base.host;
    size_t bytes;
    const uint8_t *datagram = rw_receive_batch_datagram(self->batch, index, &bytes, host);
    const rw_address *source = rw_receive_batch_source(self->batch, index);
    if (datagram) host->deliver(host->context, leg, source, datagram, bytes);
}

static size_t read_socket(per_leg *self, rw_leg *leg, size_t max) {
    const rw_backend_host *host = self->base.host;
    size_t total = 0, count = RW_RECEIVE_BATCH;
    while (total < max && count == RW_RECEIVE_BATCH) {
        count = rw_receive_batch_read(self->batch, leg->fd, max - total, host);
        total += count;
        for (size_t index = 0; index < count; index++)
            deliver(self, leg, index);
    }
    if (total > RW_RECEIVE_BATCH) /* a flood: the buffer may have been full */
        rw_backend_count_overflow(host, leg->fd, &leg->overflow);
    return total;
}

/* Asks once; `asked` becomes how many legs were told of. What a bound leaves unread is told of
 * again, behind the others. */
static size_t sweep_expected(per_leg *self, int *asked) {
    struct epoll_event events[SWEEP];
    size_t total = 0;
    *asked = epoll_wait(self->expected_fd, events, SWEEP, 0);
    for (int i = 0; i < *asked; i++) {
        rw_leg *leg = events[i].data.ptr;
        size_t count = read_socket(self, leg, EXPECTED_DATAGRAMS);
        if (count == EXPECTED_DATAGRAMS)
            rw_backend_count_overflow(self->base.host, leg->fd, &leg->overflow);
        total += count;
    }
    return total;
}

static size_t read_expected(per_leg *self, size_t max) {
    size_t total = 0, count;
    int asked;
    do {
        count = sweep_expected(self, &asked);
        total += count;
    } while (count && asked == SWEEP && total < max);
    return total;
}

static size_t per_leg_receive(rw_backend *backend, rw_leg *leg, size_t max) {
    per_leg *self = (per_leg *)backend;
    return leg ? read_socket(self, leg, max) : read_expected(self, max);
}

static void per_leg_listen(rw_backend *backend, rw_leg *leg) {
    if (leg)
        rw_backend_listen_once(backend->host, leg->fd, rw_read(&leg->id));
    else
        rw_backend_listen_once(backend->host, ((per_leg *)backend)->expected_fd, RW_BACKEND_EVENT);
}

static int per_leg_expect(rw_backend *backend, rw_leg *leg, bool expected) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = leg};
    int change = expected ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
    if (epoll_ctl(((per_leg *)backend)->expected_fd, change, leg->fd, &event) < 0) return -errno;
    if (!expected) per_leg_listen(backend, leg);
    return 0;
}

const rw_backend_ops rw_backend_per_leg = {
    .name = "per-leg",
    .open = per_leg_open,
    .close = per_leg_close,
    .attach = per_leg_attach,
    .retarget = per_leg_retarget,
    .detach = per_leg_detach,
    .room = per_leg_room,
    .send = per_leg_send,
    .flush = per_leg_flush,
    .send_control = per_leg_send_control,
    .receive = per_leg_receive,
    .listen = per_leg_listen,
    .expect = per_leg_expect,
    .socket_per_leg = true,
};
