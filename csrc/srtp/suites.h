/* What every build knows of the suites, with libsrtp2 and without. */
#ifndef RW_SRTP_SUITES_H
#define RW_SRTP_SUITES_H

#include "srtp/srtp.h"

typedef struct rw_srtp_suite_facts {
    const char *name;
    uint8_t key_bytes; /* of the master key alone */
    uint8_t salt_bytes;
    uint8_t tag_bytes;
    uint8_t rtcp_tag_bytes; /* 80 bits beside RTP's 32, too (RFC 4568 section 6.2.2) */
} rw_srtp_suite_facts;

/* NULL if there is no such suite. */
const rw_srtp_suite_facts *rw_srtp_suite_find(rw_srtp_suite suite);

/* A key that means nothing different: the same bytes, the same MKI. */
bool rw_srtp_same_key(const rw_srtp_key *a, const rw_srtp_key *b);

/* The same suite and window, whatever the keys. */
bool rw_srtp_same_figures(const rw_srtp_config *a, const rw_srtp_config *b);

#endif
