#include "srtp/suites.h"

#include <string.h>

#include "base/base.h"

static const rw_srtp_suite_facts facts[RW_SRTP_SUITES] = {
    [RW_SRTP_AES_CM_128_HMAC_SHA1_80] = {"AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10},
    [RW_SRTP_AES_CM_128_HMAC_SHA1_32] = {"AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10},
    [RW_SRTP_AEAD_AES_128_GCM] = {"AEAD_AES_128_GCM", 16, 12, 16, 16},
    [RW_SRTP_AEAD_AES_256_GCM] = {"AEAD_AES_256_GCM", 32, 12, 16, 16},
};

const rw_srtp_suite_facts *rw_srtp_suite_find(rw_srtp_suite suite) {
    return (unsigned)suite < RW_LENGTH_OF(facts) ? &facts[suite] : NULL;
}

const char *rw_srtp_suite_name(rw_srtp_suite suite) {
    const rw_srtp_suite_facts *found = rw_srtp_suite_find(suite);
    return found ? found->name : NULL;
}

size_t rw_srtp_key_bytes(rw_srtp_suite suite) {
    const rw_srtp_suite_facts *found = rw_srtp_suite_find(suite);
    return found ? (size_t)found->key_bytes + found->salt_bytes : 0;
}

bool rw_srtp_same_key(const rw_srtp_key *a, const rw_srtp_key *b) {
    return a->key_bytes == b->key_bytes && a->mki_bytes == b->mki_bytes &&
           memcmp(a->bytes, b->bytes, a->key_bytes) == 0 &&
           memcmp(a->mki, b->mki, a->mki_bytes) == 0;
}

bool rw_srtp_same_figures(const rw_srtp_config *a, const rw_srtp_config *b) {
    return a->suite == b->suite && a->window_packets == b->window_packets;
}

bool rw_srtp_same_config(const rw_srtp_config *a, const rw_srtp_config *b) {
    return rw_srtp_same_figures(a, b) && rw_srtp_same_key(&a->local, &b->local) &&
           rw_srtp_same_key(&a->remote, &b->remote);
}
