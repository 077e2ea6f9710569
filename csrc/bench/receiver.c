#include "bench/receiver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/clock.h"
#include "udp/udp.h"

#define BATCH 64
#define DATAGRAM_BYTES 1536
#define CONTROL_BYTES CMSG_SPACE(sizeof(struct timespec))
#define SOCKET_BUFFER_BYTES (8 << 20)
/* A pass over a socket with nothing in it costs well under a microsecond: sleep long enough that
 * looking stays cheap with thousands of sockets, short enough that no buffer fills. */
#define PASS_US 1000
#define PASS_US_PER_SOCKET 5

typedef struct rx_batch {
    struct mmsghdr messages[BATCH];
    struct iovec slices[BATCH];
    struct sockaddr_in from[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_BYTES];
    uint8_t datagrams[BATCH][DATAGRAM_BYTES];
} rx_batch;

typedef struct rx_port {
    int fd;
    uint16_t number;
    uint32_t drops_before; /* the kernel's count at the start of the window */
} rx_port;

typedef struct rx_stream {
    rw_receiver_source source;
    rw_stream stream;
    uint8_t *captured;
    size_t captured_bytes;
} rx_stream;

struct rw_receiver {
    rw_receiver_config config;
    rw_stream_pace pace;
    rx_port *ports;
    rx_stream *entries;
    uint32_t *table; /* open addressing: index into entries + 1, 0 for free */
    uint32_t table_mask;
    uint32_t streams;
    rw_receiver_totals totals;
    rw_histogram interval_error_us;
    rw_receiver_listener *listener;
    void *listener_context;
    rx_batch batch;
};

static uint32_t table_slots(uint32_t streams_max) {
    uint32_t slots = 64;
    while (slots < streams_max * 2)
        slots *= 2;
    return slots;
}

static uint32_t hash_of(const rw_receiver_source *source) {
    uint64_t mixed = (uint64_t)source->ssrc << 32 | source->from.sin_addr.s_addr;
    mixed ^= ((uint64_t)source->from.sin_port << 16 | source->socket) * 0x9e3779b97f4a7c15ull;
    mixed *= 0xd6e8feb86659fd93ull;
    return (uint32_t)(mixed >> 32);
}

static bool same_source(const rw_receiver_source *a, const rw_receiver_source *b) {
    return a->ssrc == b->ssrc && a->socket == b->socket && a->from.sin_port == b->from.sin_port &&
           a->from.sin_addr.s_addr == b->from.sin_addr.s_addr;
}

/* The stream of that source, made if there is room for another; NULL otherwise. */
static rx_stream *find_stream(rw_receiver *receiver, const rw_receiver_source *source) {
    uint32_t slot = hash_of(source) & receiver->table_mask;
    for (; receiver->table[slot]; slot = (slot + 1) & receiver->table_mask) {
        rx_stream *found = &receiver->entries[receiver->table[slot] - 1];
        if (same_source(&found->source, source)) return found;
    }
    if (receiver->streams == receiver->config.streams_max) return NULL;
    rx_stream *created = &receiver->entries[receiver->streams++];
    created->source = *source;
    receiver->table[slot] = receiver->streams;
    return created;
}

static void capture(rw_receiver *receiver, rx_stream *stream, const rw_rtp_packet *packet) {
    uint32_t every = receiver->config.capture_every;
    if (!every || (uint32_t)(stream - receiver->entries) % every) return;
    if (!stream->captured) stream->captured = malloc(receiver->config.capture_bytes);
    size_t room = receiver->config.capture_bytes - stream->captured_bytes;
    size_t bytes = packet->payload_bytes < room ? packet->payload_bytes : room;
    if (!stream->captured) return;
    memcpy(stream->captured + stream->captured_bytes, packet->payload, bytes);
    stream->captured_bytes += bytes;
}

static uint64_t arrival_ns_of(struct msghdr *message) {
    const struct cmsghdr *control = CMSG_FIRSTHDR(message);
    struct timespec at = {0};
    if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_TIMESTAMPNS)
        memcpy(&at, CMSG_DATA(control), sizeof at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void take_datagram(rw_receiver *receiver, uint32_t socket, unsigned index) {
    rx_batch *batch = &receiver->batch;
    struct mmsghdr *message = &batch->messages[index];
    rw_rtp_packet packet;
    receiver->totals.packets++;
    if (message->msg_hdr.msg_flags & MSG_TRUNC) {
        receiver->totals.oversized++;
        return;
    }
    rw_rtp_reject reject = rw_rtp_parse(batch->datagrams[index], message->msg_len, &packet);
    if (reject != RW_RTP_OK) {
        receiver->totals.rejected[reject]++;
        return;
    }
    rw_receiver_source source = {
        .socket = socket, .ssrc = packet.header.ssrc, .from = batch->from[index]};
    rx_stream *stream = find_stream(receiver, &source);
    if (!stream) {
        receiver->totals.unknown++;
        return;
    }
    uint64_t arrival_ns = arrival_ns_of(&message->msg_hdr);
    rw_stream_verdict verdict = rw_stream_packet(&stream->stream, &packet.header, arrival_ns,
                                                 receiver->pace, &receiver->interval_error_us);
    if (verdict != RW_STREAM_DUPLICATE) capture(receiver, stream, &packet);
    if (receiver->listener)
        receiver->listener(receiver->listener_context, &source, &packet, arrival_ns, verdict);
}

/* recvmmsg shortens the lengths it is given to what it has written. */
static void rearm_message(rx_batch *batch, int index) {
    batch->messages[index].msg_hdr.msg_namelen = sizeof batch->from[index];
    batch->messages[index].msg_hdr.msg_controllen = CONTROL_BYTES;
}

static int64_t drain_socket(rw_receiver *receiver, uint32_t socket) {
    rx_batch *batch = &receiver->batch;
    int64_t packets = 0;
    for (;;) {
        int got = recvmmsg(receiver->ports[socket].fd, batch->messages, BATCH, MSG_DONTWAIT, NULL);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? packets : -errno;
        for (int i = 0; i < got; i++) {
            take_datagram(receiver, socket, (unsigned)i);
            rearm_message(batch, i);
        }
        packets += got;
        if (got < BATCH) return packets;
    }
}

int64_t rw_receiver_drain(rw_receiver *receiver) {
    int64_t packets = 0;
    for (uint32_t i = 0; i < receiver->config.sockets; i++) {
        int64_t got = drain_socket(receiver, i);
        if (got < 0) return got;
        packets += got;
    }
    return packets;
}

void rw_receiver_listen(rw_receiver *receiver, rw_receiver_listener *listener, void *context) {
    receiver->listener = listener;
    receiver->listener_context = context;
}

int rw_receiver_run(rw_receiver *receiver, uint64_t duration_us) {
    uint64_t now_us = rw_clock_us(CLOCK_MONOTONIC), end_us = now_us + duration_us;
    uint64_t pass_us = PASS_US + PASS_US_PER_SOCKET * (uint64_t)receiver->config.sockets;
    while (now_us < end_us) {
        rw_sleep_until_us(now_us + pass_us < end_us ? now_us + pass_us : end_us);
        int64_t got = rw_receiver_drain(receiver);
        if (got < 0) return (int)got;
        now_us = rw_clock_us(CLOCK_MONOTONIC);
    }
    return 0;
}

void rw_receiver_begin_window(rw_receiver *receiver) {
    receiver->totals = (rw_receiver_totals){0};
    rw_histogram_clear(&receiver->interval_error_us);
    for (uint32_t i = 0; i < receiver->config.sockets; i++)
        receiver->ports[i].drops_before = rw_udp_dropped(receiver->ports[i].fd);
    for (uint32_t i = 0; i < receiver->streams; i++)
        rw_stream_begin_window(&receiver->entries[i].stream);
}

void rw_receiver_read_totals(const rw_receiver *receiver, rw_receiver_totals *totals) {
    *totals = receiver->totals;
    for (uint32_t i = 0; i < receiver->config.sockets; i++)
        totals->dropped += rw_udp_dropped(receiver->ports[i].fd) - receiver->ports[i].drops_before;
}

const rw_histogram *rw_receiver_interval_error_us(const rw_receiver *receiver) {
    return &receiver->interval_error_us;
}

uint16_t rw_receiver_port(const rw_receiver *receiver, uint32_t index) {
    return index < receiver->config.sockets ? receiver->ports[index].number : 0;
}

int rw_receiver_fd(const rw_receiver *receiver, uint32_t index) {
    return receiver->ports[index].fd;
}

uint32_t rw_receiver_streams(const rw_receiver *receiver) {
    return receiver->streams;
}

const rw_stream *rw_receiver_stream(const rw_receiver *receiver, uint32_t index,
                                    rw_receiver_source *source) {
    if (index >= receiver->streams) return NULL;
    *source = receiver->entries[index].source;
    return &receiver->entries[index].stream;
}

const uint8_t *rw_receiver_captured(const rw_receiver *receiver, uint32_t index, size_t *bytes) {
    if (index >= receiver->streams || !receiver->entries[index].captured) return NULL;
    *bytes = receiver->entries[index].captured_bytes;
    return receiver->entries[index].captured;
}

/* SO_RCVBUFFORCE passes the system's limit but needs CAP_NET_ADMIN. */
static void enlarge_buffer(int fd) {
    int bytes = SOCKET_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0) return;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static int set_up_socket(rx_port *port, bool all_loopback) {
    struct sockaddr_in local = {.sin_family = AF_INET};
    socklen_t bytes = sizeof local;
    int on = 1;
    local.sin_addr.s_addr = htonl(all_loopback ? INADDR_ANY : INADDR_LOOPBACK);
    enlarge_buffer(port->fd);
    if (setsockopt(port->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0) return -errno;
    if (all_loopback && setsockopt(port->fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
        return -errno;
    if (bind(port->fd, (struct sockaddr *)&local, sizeof local) < 0) return -errno;
    if (getsockname(port->fd, (struct sockaddr *)&local, &bytes) < 0) return -errno;
    port->number = ntohs(local.sin_port);
    return 0;
}

static int open_ports(rw_receiver *receiver) {
    for (uint32_t i = 0; i < receiver->config.sockets; i++) {
        rx_port *port = &receiver->ports[i];
        port->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (port->fd < 0) return -errno;
        int error = set_up_socket(port, receiver->config.all_loopback);
        if (error) return error;
    }
    return 0;
}

static void set_up_batch(rx_batch *batch) {
    for (int i = 0; i < BATCH; i++) {
        batch->slices[i] =
            (struct iovec){.iov_base = batch->datagrams[i], .iov_len = DATAGRAM_BYTES};
        batch->messages[i].msg_hdr = (struct msghdr){.msg_name = &batch->from[i],
                                                     .msg_iov = &batch->slices[i],
                                                     .msg_iovlen = 1,
                                                     .msg_control = batch->control[i]};
        rearm_message(batch, i);
    }
}

static int allocate(rw_receiver *receiver) {
    uint32_t slots = table_slots(receiver->config.streams_max);
    receiver->table_mask = slots - 1;
    receiver->ports = malloc(receiver->config.sockets * sizeof *receiver->ports);
    receiver->entries = calloc(receiver->config.streams_max, sizeof *receiver->entries);
    receiver->table = calloc(slots, sizeof *receiver->table);
    if (!receiver->ports || !receiver->entries || !receiver->table) return -ENOMEM;
    for (uint32_t i = 0; i < receiver->config.sockets; i++)
        receiver->ports[i] = (rx_port){.fd = -1};
    return 0;
}

int rw_receiver_open(rw_receiver **receiver, const rw_receiver_config *config) {
    if (!config->sockets || !config->streams_max || config->streams_max > 1u << 24) return -EINVAL;
    rw_receiver *opened = calloc(1, sizeof *opened);
    if (!opened) return -ENOMEM;
    opened->config = *config;
    opened->pace =
        (rw_stream_pace){.ptime_us = config->ptime_us, .ptime_ts = config->ptime_us / 1000 * 8};
    set_up_batch(&opened->batch);
    int error = allocate(opened);
    if (!error) error = open_ports(opened);
    if (error)
        rw_receiver_close(opened);
    else
        *receiver = opened;
    return error;
}

void rw_receiver_close(rw_receiver *receiver) {
    for (uint32_t i = 0; receiver->ports && i < receiver->config.sockets; i++)
        if (receiver->ports[i].fd >= 0) close(receiver->ports[i].fd);
    for (uint32_t i = 0; i < receiver->streams; i++)
        free(receiver->entries[i].captured);
    free(receiver->ports);
    free(receiver->entries);
    free(receiver->table);
    free(receiver);
}
