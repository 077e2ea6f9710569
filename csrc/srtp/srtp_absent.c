/* SRTP in a build without libsrtp2: there are no contexts, and nothing is let through. */
#include <errno.h>

#include "srtp/srtp.h"

bool rw_srtp_available(void) {
    return false;
}

int rw_srtp_check_config(const rw_srtp_config *config) {
    (void)config;
    return -ENOTSUP;
}

int rw_srtp_create(const rw_srtp_config *config, rw_srtp **out) {
    *out = NULL;
    return rw_srtp_check_config(config);
}

void rw_srtp_destroy(rw_srtp *srtp) {
    (void)srtp;
}

int rw_srtp_rekey(rw_srtp *srtp, const rw_srtp_config *config) {
    (void)srtp;
    return rw_srtp_check_config(config);
}

rw_srtp_reject rw_srtp_protect(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room) {
    (void)srtp, (void)packet, (void)bytes, (void)room;
    return RW_SRTP_FAILED;
}

rw_srtp_reject rw_srtp_protect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room) {
    return rw_srtp_protect(srtp, packet, bytes, room);
}

rw_srtp_reject rw_srtp_unprotect(rw_srtp *srtp, uint8_t *packet, size_t *bytes) {
    (void)srtp, (void)packet, (void)bytes;
    return RW_SRTP_FAILED;
}

rw_srtp_reject rw_srtp_unprotect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes) {
    return rw_srtp_unprotect(srtp, packet, bytes);
}
