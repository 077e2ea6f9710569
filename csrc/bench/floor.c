#include "bench/floor.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/clock.h"
#include "sip/sip.h"

#define DATAGRAM_BYTES 65536

static const char SESSION[] = "Contact: <sip:floor@127.0.0.1>\r\n"
                              "Content-Type: application/sdp\r\n"
                              "Content-Length: 118\r\n\r\n"
                              "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n"
                              "c=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                              "m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
                              "a=sendrecv\r\n";
static const char NO_SESSION[] = "Content-Length: 0\r\n\r\n";
static const char TAG[] = ";tag=floor";
static const char START[] = "SIP/2.0 200 OK\r\n";

typedef struct writer {
    uint8_t *to;
    size_t used; /* past RW_FLOOR_BYTES once something did not fit */
} writer;

static void write(writer *out, const void *data, size_t bytes) {
    if (out->used + bytes <= RW_FLOOR_BYTES) memcpy(out->to + out->used, data, bytes);
    out->used += bytes;
}

/* What an answer copies (RFC 3261 sections 8.2.6.2 and 12.1.1). */
static bool is_copied(uint8_t id) {
    return id == RW_SIP_H_VIA || id == RW_SIP_H_FROM || id == RW_SIP_H_TO ||
           id == RW_SIP_H_CALL_ID || id == RW_SIP_H_CSEQ || id == RW_SIP_H_RECORD_ROUTE;
}

static void copy_headers(writer *out, const uint8_t *request, const rw_sip_message *message) {
    for (unsigned i = 0; i < message->header_count; i++) {
        const rw_sip_header *header = &message->headers[i];
        if (!is_copied(header->id)) continue;
        write(out, request + header->name.at, header->name.length);
        write(out, ": ", 2);
        write(out, request + header->value.at, header->value.length);
        if (header->id == RW_SIP_H_TO && !message->to_tag.length) write(out, TAG, sizeof TAG - 1);
        write(out, "\r\n", 2);
    }
}

static bool has_method(const uint8_t *request, const rw_sip_message *message, const char *method) {
    return message->method.length == strlen(method) &&
           !memcmp(request + message->method.at, method, message->method.length);
}

size_t rw_floor_answer(const uint8_t *request, size_t bytes, uint8_t *answer) {
    rw_sip_message message;
    if (rw_sip_scan(request, bytes, &message) || !message.is_request) return 0;
    if (has_method(request, &message, "ACK")) return 0;
    writer out = {answer, 0};
    write(&out, START, sizeof START - 1);
    copy_headers(&out, request, &message);
    if (has_method(request, &message, "INVITE"))
        write(&out, SESSION, sizeof SESSION - 1);
    else
        write(&out, NO_SESSION, sizeof NO_SESSION - 1);
    return out.used <= RW_FLOOR_BYTES ? out.used : 0;
}

static void serve_one(int fd, rw_floor_counts *counts) {
    static uint8_t request[DATAGRAM_BYTES];
    uint8_t answer[RW_FLOOR_BYTES];
    struct sockaddr_storage from;
    socklen_t from_bytes = sizeof from;
    ssize_t bytes =
        recvfrom(fd, request, sizeof request, MSG_DONTWAIT, (struct sockaddr *)&from, &from_bytes);
    if (bytes <= 0) return;
    counts->requests++;
    size_t length = rw_floor_answer(request, (size_t)bytes, answer);
    if (!length) return;
    if (request[0] == 'I') counts->calls++;
    if (sendto(fd, answer, length, MSG_DONTWAIT, (struct sockaddr *)&from, from_bytes) < 0)
        counts->dropped++;
}

int rw_floor_run(int fd, uint64_t duration_us, rw_floor_counts *counts) {
    uint64_t end_us = rw_clock_us(CLOCK_MONOTONIC) + duration_us, now_us;
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    while ((now_us = rw_clock_us(CLOCK_MONOTONIC)) < end_us) {
        int ready = poll(&waiting, 1, (int)((end_us - now_us + 999) / 1000));
        if (ready < 0 && errno != EINTR) return -errno;
        if (ready > 0 && waiting.revents & POLLNVAL) return -EBADF;
        if (ready > 0) serve_one(fd, counts);
    }
    return 0;
}
