/* What a scan costs: nanoseconds per message, the best of several rounds. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sip/sip.h"
#include "test/check.h"

#define ROUNDS 20
#define SCANS 20000

static const char invite[] = "INVITE sip:robot@192.0.2.10:5060 SIP/2.0\r\n"
                             "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKPj0a1b2c3d4e\r\n"
                             "Max-Forwards: 70\r\n"
                             "From: \"Alice\" <sip:alice@example.com>;tag=9fxced76sl\r\n"
                             "To: <sip:robot@example.com>\r\n"
                             "Contact: <sip:alice@192.0.2.1:5060;ob>\r\n"
                             "Call-ID: 3848276298220188511@192.0.2.1\r\n"
                             "CSeq: 4711 INVITE\r\n"
                             "Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, REFER\r\n"
                             "Supported: replaces, 100rel, timer, norefersub\r\n"
                             "User-Agent: Benchmark 1.0\r\n"
                             "Content-Type: application/sdp\r\n"
                             "Content-Length: 112\r\n"
                             "\r\n"
                             "v=0\r\n"
                             "o=- 1 1 IN IP4 192.0.2.1\r\n"
                             "s=-\r\n"
                             "c=IN IP4 192.0.2.1\r\n"
                             "t=0 0\r\n"
                             "m=audio 49170 RTP/AVP 0 8\r\n"
                             "a=rtpmap:0 PCMU/8000\r\n";

static const char bye[] = "BYE sip:robot@192.0.2.10:5060 SIP/2.0\r\n"
                          "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKPj5f6a7b8c9d\r\n"
                          "Max-Forwards: 70\r\n"
                          "From: \"Alice\" <sip:alice@example.com>;tag=9fxced76sl\r\n"
                          "To: <sip:robot@example.com>;tag=314159\r\n"
                          "Call-ID: 3848276298220188511@192.0.2.1\r\n"
                          "CSeq: 4712 BYE\r\n"
                          "Content-Length: 0\r\n"
                          "\r\n";

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void measure(const char *name, const char *text, size_t length) {
    static rw_sip_message message;
    double best_ns = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double from_ns = cpu_ns();
        for (int i = 0; i < SCANS; i++) {
            int result = rw_sip_scan((const uint8_t *)text, length, &message);
            CHECK_EQUAL(result, 0);
        }
        double took_ns = (cpu_ns() - from_ns) / SCANS;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    printf("%s: %zu bytes, %u headers, %.0f ns\n", name, length, message.header_count, best_ns);
}

int main(void) {
    measure("INVITE", invite, sizeof invite - 1);
    measure("BYE", bye, sizeof bye - 1);
    return 0;
}
