#include "bench/talker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/clock.h"
#include "rtp/rtp.h"

#define BATCH 256
#define TICK_US 1000
#define TICKS_PER_PACKET 20
#define PTIME_TS 160
#define DRAIN_TICKS 5 /* the receiver's buffers hold far more than this brings */
#define CONTROL_BYTES CMSG_SPACE(sizeof(struct in_pktinfo))

typedef struct talker_leg {
    rw_rtp_header header;
    struct sockaddr_in to;
    uint32_t socket;                                         /* index of the receiver's */
    uint32_t position;                                       /* in the sound, in bytes */
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES]; /* the source address */
} talker_leg;

/* Packets that leave a socket by one system call. */
typedef struct talker_batch {
    uint32_t count;
    struct mmsghdr messages[BATCH];
    struct iovec slices[BATCH][2]; /* header and sound */
    uint8_t headers[BATCH][RW_RTP_HEADER_BYTES];
} talker_batch;

struct rw_talker {
    rw_receiver *receiver;
    talker_leg *legs;
    uint8_t *sound;
    uint32_t leg_count;
    uint32_t sound_bytes;
    uint64_t tick; /* the next one, and when it is due */
    uint64_t due_us;
    uint64_t packets;
    uint64_t failed;
    talker_batch batch;
};

/* What the kernel refuses is passed over and counted. */
static void send_batch(rw_talker *talker, uint32_t socket) {
    talker_batch *batch = &talker->batch;
    int fd = rw_receiver_fd(talker->receiver, socket);
    for (uint32_t done = 0; done < batch->count;) {
        int sent = sendmmsg(fd, batch->messages + done, batch->count - done, MSG_DONTWAIT);
        if (sent > 0)
            talker->packets += (uint32_t)sent;
        else
            talker->failed++;
        done += sent > 0 ? (uint32_t)sent : 1;
    }
    batch->count = 0;
}

static void add_packet(rw_talker *talker, talker_leg *leg) {
    talker_batch *batch = &talker->batch;
    uint32_t index = batch->count++;
    rw_rtp_write_header(batch->headers[index], &leg->header);
    batch->slices[index][1].iov_base = talker->sound + leg->position;
    struct msghdr *message = &batch->messages[index].msg_hdr;
    message->msg_name = &leg->to;
    message->msg_control = leg->control;
    leg->header.sequence++;
    leg->header.timestamp += PTIME_TS;
    leg->header.marker = false;
    leg->position = (leg->position + RW_TALKER_PAYLOAD_BYTES) % talker->sound_bytes;
}

static void talk_from(rw_talker *talker, uint32_t socket, uint32_t first, uint32_t behind) {
    for (uint32_t i = first; i < behind; i++) {
        if (talker->legs[i].socket != socket) continue;
        add_packet(talker, &talker->legs[i]);
        if (talker->batch.count == BATCH) send_batch(talker, socket);
    }
    send_batch(talker, socket);
}

static void serve_tick(rw_talker *talker) {
    uint64_t legs = talker->leg_count, phase = talker->tick++ % TICKS_PER_PACKET;
    uint32_t first = (uint32_t)(legs * phase / TICKS_PER_PACKET);
    uint32_t behind = (uint32_t)(legs * (phase + 1) / TICKS_PER_PACKET);
    for (uint32_t socket = 0; rw_receiver_port(talker->receiver, socket); socket++)
        talk_from(talker, socket, first, behind);
    talker->due_us += TICK_US;
}

int rw_talker_run(rw_talker *talker, uint64_t duration_us) {
    uint64_t end_us = rw_clock_us(CLOCK_MONOTONIC) + duration_us;
    while (talker->due_us < end_us) {
        rw_sleep_until_us(talker->due_us);
        serve_tick(talker);
        if (talker->tick % DRAIN_TICKS) continue;
        int64_t got = rw_receiver_drain(talker->receiver);
        if (got < 0) return (int)got;
    }
    return 0;
}

uint64_t rw_talker_packets(const rw_talker *talker) {
    return talker->packets;
}

uint64_t rw_talker_failed(const rw_talker *talker) {
    return talker->failed;
}

/* --- set-up -------------------------------------------------------------------------------- */

static int find_socket(const rw_receiver *receiver, uint16_t port, uint32_t *socket) {
    for (*socket = 0; rw_receiver_port(receiver, *socket); ++*socket)
        if (rw_receiver_port(receiver, *socket) == port) return 0;
    return -EINVAL;
}

/* The socket is that of many addresses: the one to send from comes with each packet (ip(7)). */
static void write_source(talker_leg *leg, struct in_addr from) {
    struct cmsghdr *control = (struct cmsghdr *)leg->control;
    struct in_pktinfo source = {.ipi_spec_dst = from};
    *control = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof source), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    memcpy(CMSG_DATA(control), &source, sizeof source);
}

static int set_up_legs(rw_talker *talker, const rw_talker_config *config) {
    uint32_t salt = (uint32_t)rw_clock_us(CLOCK_REALTIME);
    size_t frames = config->sound_bytes / RW_TALKER_PAYLOAD_BYTES;
    for (uint32_t i = 0; i < config->legs; i++) {
        talker_leg *leg = &talker->legs[i];
        leg->header = (rw_rtp_header){.marker = true, .ssrc = salt + i, .timestamp = i * 31};
        leg->to = config->to[i];
        leg->position = (uint32_t)(i * 7 % frames * RW_TALKER_PAYLOAD_BYTES);
        write_source(leg, config->from[i].sin_addr);
        if (find_socket(talker->receiver, ntohs(config->from[i].sin_port), &leg->socket))
            return -EINVAL;
    }
    return 0;
}

static void set_up_batch(talker_batch *batch) {
    for (uint32_t i = 0; i < BATCH; i++) {
        batch->slices[i][0] = (struct iovec){batch->headers[i], RW_RTP_HEADER_BYTES};
        batch->slices[i][1].iov_len = RW_TALKER_PAYLOAD_BYTES;
        batch->messages[i].msg_hdr = (struct msghdr){.msg_namelen = sizeof(struct sockaddr_in),
                                                     .msg_iov = batch->slices[i],
                                                     .msg_iovlen = 2,
                                                     .msg_controllen = CONTROL_BYTES};
    }
}

static bool is_sound(const rw_talker_config *config) {
    return config->sound_bytes && config->sound_bytes <= UINT32_MAX / 2 &&
           config->sound_bytes % RW_TALKER_PAYLOAD_BYTES == 0;
}

static int set_up(rw_talker *talker, const rw_talker_config *config) {
    talker->legs = calloc(config->legs, sizeof *talker->legs);
    talker->sound = malloc(config->sound_bytes);
    if (!talker->legs || !talker->sound) return -ENOMEM;
    memcpy(talker->sound, config->sound, config->sound_bytes);
    talker->leg_count = config->legs;
    talker->sound_bytes = (uint32_t)config->sound_bytes;
    set_up_batch(&talker->batch);
    return set_up_legs(talker, config);
}

int rw_talker_open(rw_talker **talker, rw_receiver *receiver, const rw_talker_config *config) {
    if (!config->legs || !is_sound(config)) return -EINVAL;
    rw_talker *opened = calloc(1, sizeof *opened);
    if (!opened) return -ENOMEM;
    opened->receiver = receiver;
    int error = set_up(opened, config);
    opened->due_us = rw_clock_us(CLOCK_MONOTONIC) + TICK_US;
    rw_no_timer_slack();
    if (error)
        rw_talker_close(opened);
    else
        *talker = opened;
    return error;
}

void rw_talker_close(rw_talker *talker) {
    free(talker->legs);
    free(talker->sound);
    free(talker);
}
