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
#define DRAIN_TICKS 5 /* the receiver's buffers hold far more than this brings */
#define CONTROL_BYTES CMSG_SPACE(sizeof(struct in_pktinfo))

typedef struct talker_sound {
    uint8_t payload_type;
    uint16_t ptime_ts;
    uint32_t frame_count;
    struct iovec *frames; /* of the payload, */
    uint8_t *payload;     /* which is a copy */
} talker_sound;

typedef struct talker_leg {
    rw_rtp_header header;
    struct sockaddr_in to;
    const talker_sound *sound;
    uint32_t socket;                                         /* index of the receiver's */
    uint32_t first_frame;                                    /* of the sound */
    uint32_t packets;                                        /* composed so far */
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES]; /* the source address */
    uint64_t sent_ns[RW_TALKER_MEMORY];                      /* by packet number */
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
    talker_sound *sounds;
    uint32_t leg_count;
    uint32_t sound_count;
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

static uint32_t frame_of(const talker_leg *leg, uint32_t number) {
    return (uint32_t)(((uint64_t)leg->first_frame + number) % leg->sound->frame_count);
}

static void add_packet(rw_talker *talker, talker_leg *leg) {
    talker_batch *batch = &talker->batch;
    uint32_t index = batch->count++;
    rw_rtp_write_header(batch->headers[index], &leg->header);
    batch->slices[index][1] = leg->sound->frames[frame_of(leg, leg->packets)];
    struct msghdr *message = &batch->messages[index].msg_hdr;
    message->msg_name = &leg->to;
    message->msg_control = leg->control;
    leg->sent_ns[leg->packets++ % RW_TALKER_MEMORY] = rw_clock_ns(CLOCK_REALTIME);
    leg->header.sequence++;
    leg->header.timestamp += leg->sound->ptime_ts;
    leg->header.marker = false;
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

bool rw_talker_recall(const rw_talker *talker, uint32_t leg, uint32_t number,
                      rw_talker_packet *packet) {
    if (leg >= talker->leg_count) return false;
    const talker_leg *to = &talker->legs[leg];
    if (number >= to->packets || to->packets - number > RW_TALKER_MEMORY) return false;
    uint32_t frame = frame_of(to, number);
    *packet = (rw_talker_packet){.frame = frame,
                                 .payload = to->sound->frames[frame].iov_base,
                                 .payload_bytes = to->sound->frames[frame].iov_len,
                                 .sent_ns = to->sent_ns[number % RW_TALKER_MEMORY]};
    return true;
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
    for (uint32_t i = 0; i < config->legs; i++) {
        talker_leg *leg = &talker->legs[i];
        leg->sound = &talker->sounds[i % talker->sound_count];
        leg->header = (rw_rtp_header){.marker = true,
                                      .payload_type = leg->sound->payload_type,
                                      .ssrc = salt + i,
                                      .timestamp = i * 31};
        leg->to = config->to[i];
        leg->first_frame = (uint32_t)(i * 7ull % leg->sound->frame_count);
        write_source(leg, config->from[i].sin_addr);
        if (find_socket(talker->receiver, ntohs(config->from[i].sin_port), &leg->socket))
            return -EINVAL;
    }
    return 0;
}

static void set_up_batch(talker_batch *batch) {
    for (uint32_t i = 0; i < BATCH; i++) {
        batch->slices[i][0] = (struct iovec){batch->headers[i], RW_RTP_HEADER_BYTES};
        batch->messages[i].msg_hdr = (struct msghdr){.msg_namelen = sizeof(struct sockaddr_in),
                                                     .msg_iov = batch->slices[i],
                                                     .msg_iovlen = 2,
                                                     .msg_controllen = CONTROL_BYTES};
    }
}

static size_t payload_bytes_of(const rw_talker_sound *sound) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < sound->frames; i++)
        bytes += sound->frame_bytes[i];
    return bytes;
}

static int set_up_sound(talker_sound *sound, const rw_talker_sound *config) {
    size_t bytes = payload_bytes_of(config);
    if (!bytes) return -EINVAL;
    *sound = (talker_sound){.payload_type = config->payload_type,
                            .ptime_ts = config->ptime_ts,
                            .frame_count = config->frames,
                            .frames = calloc(config->frames, sizeof *sound->frames),
                            .payload = malloc(bytes)};
    if (!sound->payload || !sound->frames) return -ENOMEM;
    memcpy(sound->payload, config->payload, bytes);
    uint8_t *next = sound->payload;
    for (uint32_t i = 0; i < config->frames; i++) {
        sound->frames[i] = (struct iovec){next, config->frame_bytes[i]};
        next += config->frame_bytes[i];
    }
    return 0;
}

static int set_up_sounds(rw_talker *talker, const rw_talker_config *config) {
    talker->sounds = calloc(config->sound_count, sizeof *talker->sounds);
    if (!talker->sounds) return -ENOMEM;
    talker->sound_count = config->sound_count;
    int error = 0;
    for (uint32_t i = 0; i < config->sound_count && !error; i++)
        error = set_up_sound(&talker->sounds[i], &config->sounds[i]);
    return error;
}

static int set_up(rw_talker *talker, const rw_talker_config *config) {
    int error = set_up_sounds(talker, config);
    if (error) return error;
    talker->legs = calloc(config->legs, sizeof *talker->legs);
    if (!talker->legs) return -ENOMEM;
    talker->leg_count = config->legs;
    set_up_batch(&talker->batch);
    return set_up_legs(talker, config);
}

int rw_talker_open(rw_talker **talker, rw_receiver *receiver, const rw_talker_config *config) {
    if (!config->legs || !config->sound_count) return -EINVAL;
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
    for (uint32_t i = 0; i < talker->sound_count; i++) {
        free(talker->sounds[i].payload);
        free(talker->sounds[i].frames);
    }
    free(talker->sounds);
    free(talker->legs);
    free(talker);
}
