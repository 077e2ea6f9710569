/*
 * Backend: how a shard's packets reach the network, behind one method table.
 *
 * The shard composes each packet in the room that `room` gives and passes it on with `send`, which
 * may send at once or keep it until `flush`. Sound that arrives is read with `receive`, and given
 * to the host's `deliver`. A backend that finds nothing more to read is told to `listen`: it then
 * wakes the shard once, through epoll, when the next datagram comes; between, the shard reads in
 * its ticks. Legs whose sound is waited for are read together, those for which something came.
 *
 * No error stops a backend: each is counted in the host's counters and in the leg's `send_errors`.
 */
#ifndef RW_BACKEND_H
#define RW_BACKEND_H

#include "counters/counters.h"
#include "leg/leg.h"

/* What a shard offers its backend. */
typedef struct rw_backend_host {
    rw_counters *counters;
    int epoll_fd; /* events carry the leg's id, or RW_BACKEND_EVENT for the backend as a whole */
    /* `source` is NULL where it is known to be the leg's remote address. */
    void (*deliver)(void *context, rw_leg *leg, const rw_address *source, const uint8_t *datagram,
                    size_t bytes);
    void *context;
} rw_backend_host;

#define RW_BACKEND_EVENT UINT64_MAX

typedef struct rw_backend rw_backend;

typedef struct rw_backend_ops {
    const char *name;

    /* Opens a backend. `fd`: the shared socket, already bound and owned by the backend from here
     * on, or -1 where each leg brings its own. `host` outlives the backend. */
    int (*open)(const rw_backend_host *host, int fd, rw_backend **backend);
    void (*close)(rw_backend *backend);

    /* Takes `leg` in, with its socket and `leg->media.remote`; 0 or a negative errno. Whatever it
     * answers, `leg->fd` is closed by `detach` and by nobody else. */
    int (*attach)(rw_backend *backend, rw_leg *leg);
    /* Points an attached leg at `remote`; on error the leg stays where it was. */
    int (*retarget)(rw_backend *backend, rw_leg *leg, const rw_address *remote);
    void (*detach)(rw_backend *backend, rw_leg *leg);

    /* Room for the next packet, RW_MAX_PACKET_BYTES of it, good until `send` or the next `room`. */
    uint8_t *(*room)(rw_backend *backend);
    void (*send)(rw_backend *backend, rw_leg *leg, size_t bytes);
    void (*flush)(rw_backend *backend);
    /* Sends RTCP from the leg's RTP socket, at once (RFC 5761); 0 or a negative errno. */
    int (*send_control)(rw_backend *backend, rw_leg *leg, const uint8_t *packet, size_t bytes);

    /* Reads what has come for `leg`; returns how many datagrams there were, `max` at most. NULL:
     * for all legs that share a socket, or all that are `expected`, of which the last may bring
     * some more. */
    size_t (*receive)(rw_backend *backend, rw_leg *leg, size_t max);
    /* Takes an attached leg among those that are read without being named, or, `expected` being
     * false, back among those that are listened to each for itself. 0 or a negative errno: then the
     * leg stays where it was. */
    int (*expect)(rw_backend *backend, rw_leg *leg, bool expected);
    void (*listen)(rw_backend *backend, rw_leg *leg);

    /* True if legs have sockets of their own, read leg by leg. */
    bool socket_per_leg;
} rw_backend_ops;

struct rw_backend {
    const rw_backend_ops *ops;
    const rw_backend_host *host;
};

extern const rw_backend_ops rw_backend_per_leg;
extern const rw_backend_ops rw_backend_shared;

/* The backend called `name`, or NULL. */
const rw_backend_ops *rw_backend_find(const char *name);

/* The counter that stands for a failed send. */
rw_counter rw_backend_send_counter(int error);

/* Datagrams read in one call, and how large one may be; longer ones are counted and dropped. */
#define RW_RECEIVE_BATCH 32
#define RW_RECEIVE_BYTES 2048

typedef struct rw_receive_batch rw_receive_batch;

rw_receive_batch *rw_receive_batch_create(void);
void rw_receive_batch_destroy(rw_receive_batch *batch);

/* Reads one batch from `fd` without waiting, `max` at most; the number of datagrams, 0 if there
 * were none. Errors that the kernel reports for earlier packets (ICMP) are counted and read over.
 */
size_t rw_receive_batch_read(rw_receive_batch *batch, int fd, size_t max,
                             const rw_backend_host *host);

/* Datagram `index` of the last read: its bytes, or NULL if it was too long (counted). */
const uint8_t *rw_receive_batch_datagram(const rw_receive_batch *batch, size_t index, size_t *bytes,
                                         const rw_backend_host *host);
const rw_address *rw_receive_batch_source(const rw_receive_batch *batch, size_t index);

/* Counts what the kernel has dropped at `fd` beyond the `known`, and notes it there. It costs a
 * system call: for a socket that was not read to its end, and for one that is to be closed. */
void rw_backend_count_overflow(const rw_backend_host *host, int fd, uint32_t *known);

/* Makes epoll report `fd` once, with `data`: the first time, and again. */
void rw_backend_listen_first(const rw_backend_host *host, int fd, uint64_t data);
void rw_backend_listen_once(const rw_backend_host *host, int fd, uint64_t data);

#endif
