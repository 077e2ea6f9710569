/* What SRTP costs: nanoseconds per packet of 20 ms of PCMU, the best of several rounds; and then
 * with many contexts in turn, as a shard has them, because a library of ciphers may find its keys
 * by walking past all others. */
#include <stdio.h>
#include <time.h>

#include "srtp/srtp_check.h"

#define ROUNDS 20
#define PACKETS 2000
#define CONTEXTS 1000
#define TURNS 5
#define REKEYS 20

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void measure(rw_srtp_suite suite) {
    static uint8_t packets[PACKETS][CHECK_PACKET_BYTES + RW_SRTP_MAX_TRAILER_BYTES];
    static size_t bytes[PACKETS];
    rw_srtp_config near = check_config(suite, 1, 2), far = check_config(suite, 2, 1);
    rw_srtp *from = check_create(&near), *to = check_create(&far);
    double best_protect_ns = 1e18, best_unprotect_ns = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PACKETS; i++)
            bytes[i] = check_rtp_packet(packets[i], CHECK_SSRC, (uint16_t)(round * PACKETS + i));
        double start_ns = cpu_ns();
        for (int i = 0; i < PACKETS; i++)
            CHECK_EQUAL(rw_srtp_protect(from, packets[i], &bytes[i], sizeof packets[i]), 0);
        double middle_ns = cpu_ns();
        for (int i = 0; i < PACKETS; i++)
            CHECK_EQUAL(rw_srtp_unprotect(to, packets[i], &bytes[i]), 0);
        double protect_ns = (middle_ns - start_ns) / PACKETS;
        double unprotect_ns = (cpu_ns() - middle_ns) / PACKETS;
        if (protect_ns < best_protect_ns) best_protect_ns = protect_ns;
        if (unprotect_ns < best_unprotect_ns) best_unprotect_ns = unprotect_ns;
    }
    printf("%s: %d bytes, protect %.0f ns, unprotect %.0f ns\n", rw_srtp_suite_name(suite),
           CHECK_PACKET_BYTES, best_protect_ns, best_unprotect_ns);
    rw_srtp_destroy(from);
    rw_srtp_destroy(to);
}

static void protect_all(rw_srtp **contexts, uint16_t sequence) {
    uint8_t packet[CHECK_PACKET_BYTES + RW_SRTP_MAX_TRAILER_BYTES];
    for (int i = 0; i < CONTEXTS; i++) {
        size_t bytes = check_rtp_packet(packet, CHECK_SSRC, sequence);
        CHECK_EQUAL(rw_srtp_protect(contexts[i], packet, &bytes, sizeof packet), 0);
    }
}

static void measure_many(rw_srtp_suite suite) {
    static rw_srtp *contexts[CONTEXTS];
    rw_srtp_config first = check_config(suite, 1, 2), second = check_config(suite, 3, 4);
    for (int i = 0; i < CONTEXTS; i++)
        contexts[i] = check_create(&first);
    protect_all(contexts, 0); /* the packet of a new SSRC costs more */
    double start_ns = cpu_ns();
    for (uint16_t turn = 1; turn <= TURNS; turn++)
        protect_all(contexts, turn);
    double packets_ns = cpu_ns();
    for (int i = 0; i < REKEYS; i++)
        CHECK_EQUAL(rw_srtp_rekey(contexts[i], &second), 0);
    double rekeys_ns = cpu_ns();
    for (int i = 0; i < CONTEXTS; i++)
        rw_srtp_destroy(contexts[i]);
    printf("%s: %d contexts, protect %.0f ns, rekey %.0f us, destroy %.0f us\n",
           rw_srtp_suite_name(suite), CONTEXTS, (packets_ns - start_ns) / TURNS / CONTEXTS,
           (rekeys_ns - packets_ns) / REKEYS / 1e3, (cpu_ns() - rekeys_ns) / CONTEXTS / 1e3);
}

int main(void) {
    if (!rw_srtp_available()) puts("this build has no libsrtp2");
    for (int i = 0; rw_srtp_available() && i < RW_SRTP_SUITES; i++)
        measure((rw_srtp_suite)i);
    for (int i = 0; rw_srtp_available() && i < RW_SRTP_SUITES; i++)
        measure_many((rw_srtp_suite)i);
    return 0;
}
