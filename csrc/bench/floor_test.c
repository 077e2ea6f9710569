#include "bench/floor.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sip/sip.h"
#include "test/check.h"

static uint8_t answer[RW_FLOOR_BYTES];

static size_t request_of(char *to, size_t room, const char *method, const char *to_tag) {
    return (size_t)snprintf(to, room,
                            "%s sip:a@127.0.0.1 SIP/2.0\r\n"
                            "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1\r\n"
                            "From: <sip:b@127.0.0.1>;tag=b\r\nTo: <sip:a@127.0.0.1>%s\r\n"
                            "Call-ID: c\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\n"
                            "Content-Length: 0\r\n\r\n",
                            method, to_tag, method);
}

/* The answer to a request, read back; its length is checked against Content-Length. */
static rw_sip_message answer_to(const char *method, const char *to_tag) {
    char request[1024];
    rw_sip_message message;
    size_t bytes = request_of(request, sizeof request, method, to_tag);
    size_t length = rw_floor_answer((uint8_t *)request, bytes, answer);
    CHECK(length > 0);
    CHECK_EQUAL(rw_sip_scan(answer, length, &message), 0);
    CHECK_EQUAL(message.status, 200);
    CHECK_EQUAL(message.body.at + message.body.length, length);
    return message;
}

static void test_answers_fit_their_requests(void) {
    rw_sip_message invite = answer_to("INVITE", "");
    CHECK(invite.body.length > 100 && invite.to_tag.length == 5);
    rw_sip_message bye = answer_to("BYE", ";tag=floor");
    CHECK(bye.body.length == 0 && bye.to_tag.length == 5);
    CHECK(!memcmp(answer + bye.call_id.at, "c", 1));
}

static void test_what_gets_no_answer(void) {
    char request[1024];
    size_t bytes = request_of(request, sizeof request, "ACK", ";tag=floor");
    CHECK_EQUAL(rw_floor_answer((uint8_t *)request, bytes, answer), 0);
    CHECK_EQUAL(rw_floor_answer((const uint8_t *)"nonsense", 8, answer), 0);
    static char large[RW_FLOOR_BYTES + 1024], subject[RW_FLOOR_BYTES];
    memset(subject, 'x', sizeof subject - 1);
    bytes = (size_t)snprintf(large, sizeof large,
                             "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;x=%s\r\n"
                             "From: <sip:b@b>;tag=b\r\nTo: <sip:a@b>\r\nCall-ID: c\r\n"
                             "CSeq: 1 BYE\r\nMax-Forwards: 70\r\n\r\n",
                             subject);
    CHECK(bytes < sizeof large);
    CHECK_EQUAL(rw_floor_answer((uint8_t *)large, bytes, answer), 0);
}

static void test_answers_over_a_socket(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof to;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), caller = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)&to, &bytes), 0);
    CHECK_EQUAL(connect(caller, (struct sockaddr *)&to, sizeof to), 0);
    char request[1024];
    rw_floor_counts counts = {0};
    CHECK(send(caller, request, request_of(request, sizeof request, "INVITE", ""), 0) > 0);
    CHECK(send(caller, request, request_of(request, sizeof request, "ACK", ";tag=x"), 0) > 0);
    CHECK_EQUAL(rw_floor_run(fd, 2000, &counts), 0);
    CHECK_EQUAL(counts.requests, 2);
    CHECK_EQUAL(counts.calls, 1);
    CHECK(recv(caller, answer, sizeof answer, MSG_DONTWAIT) > 0 &&
          !memcmp(answer, "SIP/2.0 200", 11));
    CHECK_EQUAL(rw_floor_run(-1, 1000, &counts), 0);
    close(caller);
    close(fd);
    CHECK_EQUAL(rw_floor_run(fd, 1000, &counts), -EBADF);
}

int main(void) {
    test_answers_fit_their_requests();
    test_what_gets_no_answer();
    test_answers_over_a_socket();
    return 0;
}
