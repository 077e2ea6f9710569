#include "bench/limit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/clock.h"
#include "phases/phases.h"
#include "rtp/rtp.h"

#define PACKET_BYTES (RW_RTP_HEADER_BYTES + RW_LIMIT_PAYLOAD_BYTES)
#define BATCH 1024 /* UIO_MAXIOV: the kernel takes no more at once */
#define TICK_US 1000
#define ROUND_US ((uint64_t)RW_PHASES * TICK_US)
#define PTIME_TS 160
#define SEND_BUFFER_BYTES (4 << 20)
#define LOOK_AT_CLOCK_EVERY 1000 /* packets, when sending flat out */
#define RECEIVE_BATCH 32         /* with the engine's room for a datagram */
#define RECEIVE_BYTES 2048

typedef struct limit_inbox {
    struct mmsghdr messages[RECEIVE_BATCH];
    struct iovec slices[RECEIVE_BATCH];
    uint8_t datagrams[RECEIVE_BATCH][RECEIVE_BYTES];
} limit_inbox;

typedef struct limit_leg {
    rw_rtp_header header;
    int fd; /* -1 when the legs share a socket */
} limit_leg;

typedef struct limit_loop {
    const rw_limit_config *config;
    rw_limit_result *result;
    limit_leg *legs;
    int shared_fd;
    struct mmsghdr *messages;
    struct iovec *slices;
    uint8_t (*packets)[PACKET_BYTES];
    limit_inbox *inbox;
} limit_loop;

static bool brings_sockets(const rw_limit_config *config) {
    return config->way == RW_LIMIT_EXCHANGE || config->way == RW_LIMIT_RELAY;
}

static void write_packet(limit_leg *leg, uint8_t *packet) {
    rw_rtp_write_header(packet, &leg->header);
    leg->header.sequence++;
    leg->header.timestamp += PTIME_TS;
    leg->header.marker = false;
}

static void send_one(limit_loop *loop, limit_leg *leg) {
    uint8_t *packet = loop->packets[0];
    write_packet(leg, packet);
    if (send(leg->fd, packet, PACKET_BYTES, 0) == PACKET_BYTES)
        loop->result->packets++;
    else
        loop->result->failed++;
}

static void send_each(limit_loop *loop, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++)
        send_one(loop, &loop->legs[i]);
}

/* Leg by leg, as a leg's slot has both. */
static void exchange_each(limit_loop *loop, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++) {
        send_one(loop, &loop->legs[i]);
        int got =
            recvmmsg(loop->legs[i].fd, loop->inbox->messages, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
        if (got > 0) loop->result->received += (uint32_t)got;
    }
}

static void relay_one(limit_loop *loop, uint32_t index) {
    limit_inbox *inbox = loop->inbox;
    int got = recvmmsg(loop->legs[index].fd, inbox->messages, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++) {
        size_t bytes = inbox->messages[i].msg_len;
        loop->result->received++;
        if (send(loop->legs[index ^ 1].fd, inbox->datagrams[i], bytes, 0) == (ssize_t)bytes)
            loop->result->packets++;
        else
            loop->result->failed++;
    }
}

static void relay_each(limit_loop *loop, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++)
        relay_one(loop, i);
}

/* At most BATCH legs. What the kernel refuses is passed over and counted. */
static void send_batch(limit_loop *loop, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        write_packet(&loop->legs[first + i], loop->packets[i]);
        loop->messages[i].msg_hdr.msg_name = (void *)(uintptr_t)&loop->config->to[first + i];
    }
    for (uint32_t done = 0; done < count;) {
        int sent = sendmmsg(loop->shared_fd, loop->messages + done, count - done, 0);
        if (sent > 0) {
            loop->result->packets += (uint32_t)sent;
            done += (uint32_t)sent;
        } else {
            loop->result->failed++;
            done++;
        }
    }
}

static void send_legs(limit_loop *loop, uint32_t first, uint32_t count) {
    switch (loop->config->way) {
    case RW_LIMIT_SEND:
        send_each(loop, first, count);
        break;
    case RW_LIMIT_EXCHANGE:
        exchange_each(loop, first, count);
        break;
    case RW_LIMIT_RELAY:
        relay_each(loop, first, count);
        break;
    case RW_LIMIT_SENDMMSG:
        for (uint32_t done = 0; done < count; done += BATCH)
            send_batch(loop, first + done, count - done < BATCH ? count - done : BATCH);
    }
}

/* How many phases a shard opens for such legs. */
static uint64_t phases_of(const rw_limit_config *config) {
    unsigned cost_us = RW_SLOT_SEND_US + (brings_sockets(config) ? RW_SLOT_HEAR_US : 0);
    unsigned burst = RW_BURST_US / cost_us;
    uint64_t phases = (config->legs + burst - 1) / burst;
    return phases < RW_PHASES ? phases : RW_PHASES;
}

/* A late tick is made up for at once, none is left out. */
static void run_paced(limit_loop *loop) {
    uint64_t legs = loop->config->legs, start_us = rw_clock_us(CLOCK_MONOTONIC) + TICK_US;
    uint64_t phases = phases_of(loop->config), rounds = loop->config->duration_us / ROUND_US;
    for (uint64_t burst = 0; burst < rounds * phases; burst++) {
        uint64_t phase = burst % phases, tick = burst / phases * RW_PHASES;
        uint64_t deadline_us = start_us + (tick + phase * RW_PHASES / phases) * TICK_US;
        uint64_t first = legs * phase / phases;
        uint64_t behind = legs * (phase + 1) / phases;
        rw_sleep_until_us(deadline_us);
        uint64_t now_us = rw_clock_us(CLOCK_MONOTONIC);
        rw_histogram_add(&loop->result->lateness_us, now_us - deadline_us, 1);
        send_legs(loop, (uint32_t)first, (uint32_t)(behind - first));
        loop->result->ticks++;
    }
}

static void run_flat_out(limit_loop *loop) {
    uint64_t end_us = rw_clock_us(CLOCK_MONOTONIC) + loop->config->duration_us;
    uint32_t next = 0;
    while (rw_clock_us(CLOCK_MONOTONIC) < end_us) {
        uint32_t left = loop->config->legs - next;
        uint32_t count = left < LOOK_AT_CLOCK_EVERY ? left : LOOK_AT_CLOCK_EVERY;
        send_legs(loop, next, count);
        next = next + count == loop->config->legs ? 0 : next + count;
    }
}

static int open_socket(const struct sockaddr_in *to) {
    int bytes = SEND_BUFFER_BYTES, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (!to || connect(fd, (const struct sockaddr *)to, sizeof *to) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int connect_given(limit_loop *loop) {
    for (uint32_t i = 0; i < loop->config->legs; i++) {
        const struct sockaddr_in *to = &loop->config->to[i];
        loop->legs[i].fd = loop->config->fds[i];
        if (connect(loop->legs[i].fd, (const struct sockaddr *)to, sizeof *to)) return -errno;
    }
    return 0;
}

static int open_sockets(limit_loop *loop) {
    if (brings_sockets(loop->config)) return connect_given(loop);
    if (loop->config->way == RW_LIMIT_SENDMMSG) {
        loop->shared_fd = open_socket(NULL);
        return loop->shared_fd < 0 ? loop->shared_fd : 0;
    }
    for (uint32_t i = 0; i < loop->config->legs; i++) {
        loop->legs[i].fd = open_socket(&loop->config->to[i]);
        if (loop->legs[i].fd < 0) return loop->legs[i].fd;
    }
    return 0;
}

static void set_up_legs(limit_loop *loop) {
    uint32_t salt = (uint32_t)rw_clock_us(CLOCK_REALTIME);
    for (uint32_t i = 0; i < loop->config->legs; i++) {
        loop->legs[i].fd = -1;
        /* Distinct for every leg, and from run to run. */
        loop->legs[i].header = (rw_rtp_header){
            .marker = true, .ssrc = salt + i, .sequence = (uint16_t)(i * 7), .timestamp = i * 31};
    }
}

static void set_up_messages(limit_loop *loop) {
    for (uint32_t i = 0; i < BATCH; i++) {
        memset(loop->packets[i], 0xff, PACKET_BYTES); /* silence, in mu-law */
        loop->slices[i] = (struct iovec){.iov_base = loop->packets[i], .iov_len = PACKET_BYTES};
        loop->messages[i].msg_hdr = (struct msghdr){
            .msg_namelen = sizeof *loop->config->to, .msg_iov = &loop->slices[i], .msg_iovlen = 1};
    }
}

static void set_up_inbox(limit_inbox *inbox) {
    for (uint32_t i = 0; i < RECEIVE_BATCH; i++) {
        inbox->slices[i] = (struct iovec){inbox->datagrams[i], RECEIVE_BYTES};
        inbox->messages[i].msg_hdr = (struct msghdr){.msg_iov = &inbox->slices[i], .msg_iovlen = 1};
    }
}

static int set_up(limit_loop *loop) {
    loop->legs = calloc(loop->config->legs, sizeof *loop->legs);
    loop->messages = calloc(BATCH, sizeof *loop->messages);
    loop->slices = calloc(BATCH, sizeof *loop->slices);
    loop->packets = calloc(BATCH, sizeof *loop->packets);
    loop->inbox = calloc(1, sizeof *loop->inbox);
    if (!loop->legs || !loop->messages || !loop->slices || !loop->packets || !loop->inbox)
        return -ENOMEM;
    set_up_legs(loop);
    set_up_messages(loop);
    set_up_inbox(loop->inbox);
    return open_sockets(loop);
}

static void tear_down(limit_loop *loop) {
    bool own = !brings_sockets(loop->config);
    for (uint32_t i = 0; own && loop->legs && i < loop->config->legs; i++)
        if (loop->legs[i].fd >= 0) close(loop->legs[i].fd);
    if (loop->shared_fd >= 0) close(loop->shared_fd);
    free(loop->legs);
    free(loop->messages);
    free(loop->slices);
    free(loop->packets);
    free(loop->inbox);
}

int rw_limit_run(const rw_limit_config *config, rw_limit_result *result) {
    if (!config->legs || (config->way == RW_LIMIT_RELAY && config->legs % 2)) return -EINVAL;
    limit_loop loop = {.config = config, .result = result, .shared_fd = -1};
    int error = set_up(&loop);
    if (!error) {
        rw_no_timer_slack();
        uint64_t cpu_us = rw_clock_us(CLOCK_PROCESS_CPUTIME_ID);
        uint64_t wall_us = rw_clock_us(CLOCK_MONOTONIC);
        if (config->paced)
            run_paced(&loop);
        else
            run_flat_out(&loop);
        result->cpu_us = rw_clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us;
        result->wall_us = rw_clock_us(CLOCK_MONOTONIC) - wall_us;
    }
    tear_down(&loop);
    return error;
}
