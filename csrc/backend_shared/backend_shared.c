/*
 * One socket for all legs of a shard, sent with sendmmsg: the cheapest way where remote addresses
 * differ, as behind a trunk. Sound that arrives is told apart by its source, so two legs cannot
 * have the same remote address and port: the second is refused with -EADDRINUSE.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/base.h"

#define SEND_BATCH 128
#define ARENA_BYTES (64 * 1024)
#define TABLE_SLOTS 16384 /* chained, so it never fills */

typedef struct shared {
    rw_backend base;
    int fd;
    uint32_t overflow; /* of the socket, as far as it has been counted */
    rw_receive_batch *batch;
    size_t queued;
    size_t arena_used;
    rw_leg *legs[SEND_BATCH];
    struct mmsghdr messages[SEND_BATCH];
    struct iovec vectors[SEND_BATCH];
    rw_leg *table[TABLE_SLOTS];
    uint8_t arena[ARENA_BYTES];
} shared;

static uint32_t hash_of(const rw_address *address) {
    uint32_t hash = address->v4.sin_port * 0x9e3779b1u; /* sin_port and sin6_port coincide */
    if (address->any.sa_family == AF_INET)
        return hash ^ (address->v4.sin_addr.s_addr * 0x85ebca6bu);
    for (int i = 0; i < 16; i++)
        hash = (hash ^ address->v6.sin6_addr.s6_addr[i]) * 0x01000193u;
    return hash;
}

static rw_leg **bucket_of(shared *self, const rw_address *address) {
    uint32_t hash = hash_of(address);
    return &self->table[(hash ^ (hash >> 15)) % TABLE_SLOTS];
}

static rw_leg *find_leg(shared *self, const rw_address *source) {
    rw_leg *leg = *bucket_of(self, source);
    while (leg && !rw_address_equal(&leg->media.remote, source))
        leg = leg->next;
    return leg;
}

static int shared_open(const rw_backend_host *host, int fd, rw_backend **backend) {
    if (fd < 0) return -EBADF;
    shared *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->base = (rw_backend){&rw_backend_shared, host};
    self->fd = fd;
    self->batch = rw_receive_batch_create();
    if (!self->batch) {
        free(self);
        return -ENOMEM;
    }
    for (size_t i = 0; i < SEND_BATCH; i++) {
        self->messages[i].msg_hdr.msg_iov = &self->vectors[i];
        self->messages[i].msg_hdr.msg_iovlen = 1;
    }
    rw_backend_listen_first(host, fd, RW_BACKEND_EVENT);
    *backend = &self->base;
    return 0;
}

static void shared_close(rw_backend *backend) {
    shared *self = (shared *)backend;
    close(self->fd);
    rw_receive_batch_destroy(self->batch);
    free(self);
}

static int shared_attach(rw_backend *backend, rw_leg *leg) {
    shared *self = (shared *)backend;
    if (find_leg(self, &leg->media.remote)) return -EADDRINUSE;
    rw_leg **bucket = bucket_of(self, &leg->media.remote);
    leg->next = *bucket;
    *bucket = leg;
    return 0;
}

static void unlink_leg(shared *self, const rw_leg *leg) {
    rw_leg **link = bucket_of(self, &leg->media.remote);
    while (*link && *link != leg)
        link = &(*link)->next;
    if (*link) *link = leg->next;
}

/* Makes sure that no queued packet points at `leg` or its address. */
static void shared_flush(rw_backend *backend);

static void shared_detach(rw_backend *backend, rw_leg *leg) {
    shared_flush(backend);
    unlink_leg((shared *)backend, leg);
    leg->next = NULL;
}

static int shared_retarget(rw_backend *backend, rw_leg *leg, const rw_address *remote) {
    shared *self = (shared *)backend;
    const rw_leg *holder = find_leg(self, remote);
    if (holder) return holder == leg ? 0 : -EADDRINUSE;
    shared_detach(backend, leg);
    leg->media.remote = *remote;
    return shared_attach(backend, leg);
}

static uint8_t *shared_room(rw_backend *backend) {
    shared *self = (shared *)backend;
    if (self->queued == SEND_BATCH || self->arena_used + RW_MAX_PACKET_BYTES > ARENA_BYTES)
        shared_flush(backend);
    return self->arena + self->arena_used;
}

static void shared_send(rw_backend *backend, rw_leg *leg, size_t bytes) {
    shared *self = (shared *)backend;
    self->legs[self->queued] = leg;
    self->vectors[self->queued] = (struct iovec){self->arena + self->arena_used, bytes};
    struct msghdr *header = &self->messages[self->queued].msg_hdr;
    header->msg_name = &leg->media.remote;
    header->msg_namelen = rw_address_bytes(&leg->media.remote);
    self->queued++;
    self->arena_used += (bytes + 7) & ~(size_t)7;
}

static void count_sent(shared *self, size_t from, size_t to) {
    rw_counters *counters = self->base.host->counters;
    for (size_t i = from; i < to; i++) {
        rw_count(&(*counters)[RW_BYTES_SENT], self->vectors[i].iov_len);
        rw_count(&self->legs[i]->stats.packets_sent, 1);
    }
    rw_count(&(*counters)[RW_PACKETS_SENT], to - from);
}

static void shared_flush(rw_backend *backend) {
    shared *self = (shared *)backend;
    size_t done = 0;
    while (done < self->queued) {
        int sent = sendmmsg(self->fd, self->messages + done, (unsigned)(self->queued - done),
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            count_sent(self, done, done + (size_t)sent);
            done += (size_t)sent;
        } else { /* the first of them failed: it alone is given up */
            rw_count(&(*backend->host->counters)[rw_backend_send_counter(errno)], 1);
            rw_count(&self->legs[done++]->stats.send_errors, 1);
        }
    }
    self->queued = 0;
    self->arena_used = 0;
}

static int shared_send_control(rw_backend *backend, rw_leg *leg, const uint8_t *packet,
                               size_t bytes) {
    const rw_address *to = &leg->media.remote;
    ssize_t sent = sendto(((shared *)backend)->fd, packet, bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
                          &to->any, rw_address_bytes(to));
    return sent < 0 ? -errno : 0;
}

static void deliver_one(shared *self, size_t index) {
    const rw_backend_host *host = self->base.host;
    size_t bytes;
    const uint8_t *datagram = rw_receive_batch_datagram(self->batch, index, &bytes, host);
    if (!datagram) return;
    rw_leg *leg = find_leg(self, rw_receive_batch_source(self->batch, index));
    if (leg)
        host->deliver(host->context, leg, NULL, datagram, bytes);
    else
        rw_count(&(*host->counters)[RW_RECEIVED_UNKNOWN], 1);
}

static size_t shared_receive(rw_backend *backend, rw_leg *leg, size_t max) {
    (void)leg; /* one socket: whatever has come is read */
    shared *self = (shared *)backend;
    size_t total = 0, count = RW_RECEIVE_BATCH;
    while (total < max && count == RW_RECEIVE_BATCH) {
        count = rw_receive_batch_read(self->batch, self->fd, max - total, backend->host);
        for (size_t index = 0; index < count; index++)
            deliver_one(self, index);
        total += count;
    }
    if (total > RW_RECEIVE_BATCH) /* much for a tick: the buffer may have been full */
        rw_backend_count_overflow(backend->host, self->fd, &self->overflow);
    return total;
}

static void shared_listen(rw_backend *backend, rw_leg *leg) {
    (void)leg;
    rw_backend_listen_once(backend->host, ((shared *)backend)->fd, RW_BACKEND_EVENT);
}

static int shared_expect(rw_backend *backend, rw_leg *leg, bool expected) {
    (void)backend, (void)leg, (void)expected; /* nobody is read but with all others */
    return 0;
}

const rw_backend_ops rw_backend_shared = {
    .name = "shared",
    .open = shared_open,
    .close = shared_close,
    .attach = shared_attach,
    .retarget = shared_retarget,
    .detach = shared_detach,
    .room = shared_room,
    .send = shared_send,
    .flush = shared_flush,
    .send_control = shared_send_control,
    .receive = shared_receive,
    .listen = shared_listen,
    .expect = shared_expect,
    .socket_per_leg = false,
};
