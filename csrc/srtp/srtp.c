#include "srtp/srtp.h"

#include <errno.h>
#include <pthread.h>
#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "rtp/rtp.h"
#include "srtp/suites.h"

#define VERSION_2 0x80
#define VERSION_MASK 0xc0
#define EXTENSION_BIT 0x10
#define CSRC_COUNT_MASK 0x0f
#define RTCP_HEADER_BYTES 8 /* with the sender's SSRC (RFC 3550 section 6.4.1) */
#define RTCP_INDEX_BYTES 4  /* the E bit and the SRTCP index (RFC 3711 section 3.4) */
#define MAX_DATAGRAM_BYTES 65535

/* What goes one way: a key, and the SSRCs that have been seen under it. */
typedef struct stream_group {
    srtp_t session;
    size_t trailer_bytes;
    size_t rtcp_trailer_bytes;
    bool mki;
    uint8_t ssrc_count;
    uint32_t ssrcs[RW_SRTP_MAX_SSRCS];
} stream_group;

struct rw_srtp {
    stream_group sending;
    stream_group receiving;
    rw_srtp_config config; /* tells keys that change from keys that were repeated */
};

/* One of the library's four ways to treat a packet. */
typedef srtp_err_status_t (*transform)(srtp_t session, void *packet, int *bytes, unsigned use_mki);

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static srtp_err_status_t library_status;

static void start_library(void) {
    library_status = srtp_init();
    /* Somebody else in the process has started the library: a second start finds its own debug
     * module loaded, and says so in this way. */
    if (library_status == srtp_err_status_bad_param) library_status = srtp_err_status_ok;
}

bool rw_srtp_available(void) {
    return true;
}

static int check_key(const rw_srtp_key *key, const rw_srtp_suite_facts *suite) {
    if (key->key_bytes != suite->key_bytes + suite->salt_bytes) return -EINVAL;
    if (key->mki_bytes > RW_SRTP_MAX_MKI_BYTES) return -EINVAL;
    /* libsrtp2 looks for the MKI of SRTCP in front of a tag as long as that of RTP. */
    return key->mki_bytes && suite->tag_bytes != suite->rtcp_tag_bytes ? -ENOTSUP : 0;
}

int rw_srtp_check_config(const rw_srtp_config *config) {
    const rw_srtp_suite_facts *suite = rw_srtp_suite_find(config->suite);
    if (!suite) return -EINVAL;
    if (config->window_packets < RW_SRTP_MIN_WINDOW_PACKETS) return -EINVAL;
    if (config->window_packets > RW_SRTP_MAX_WINDOW_PACKETS) return -EINVAL;
    int error = check_key(&config->local, suite);
    return error ? error : check_key(&config->remote, suite);
}

static int errno_of(srtp_err_status_t status) {
    switch (status) {
    case srtp_err_status_ok:
        return 0;
    case srtp_err_status_alloc_fail:
        return -ENOMEM;
    case srtp_err_status_fail: /* the library's word for a cipher that it was built without */
    case srtp_err_status_no_such_op:
        return -ENOTSUP;
    default:
        return -EIO;
    }
}

static rw_srtp_reject reject_of(srtp_err_status_t status) {
    switch (status) {
    case srtp_err_status_ok:
        return RW_SRTP_OK;
    case srtp_err_status_bad_param:
    case srtp_err_status_parse_err:
        return RW_SRTP_MALFORMED;
    case srtp_err_status_auth_fail:
        return RW_SRTP_AUTHENTICATION_FAILED;
    case srtp_err_status_replay_fail:
        return RW_SRTP_REPLAYED;
    case srtp_err_status_replay_old:
    case srtp_err_status_pkt_idx_old:
        return RW_SRTP_TOO_OLD;
    case srtp_err_status_key_expired:
        return RW_SRTP_KEY_EXPIRED;
    case srtp_err_status_bad_mki:
        return RW_SRTP_WRONG_MKI;
    default:
        return RW_SRTP_FAILED;
    }
}

static srtp_profile_t profile_of(rw_srtp_suite suite) {
    static const srtp_profile_t profiles[RW_SRTP_SUITES] = {
        [RW_SRTP_AES_CM_128_HMAC_SHA1_80] = srtp_profile_aes128_cm_sha1_80,
        [RW_SRTP_AES_CM_128_HMAC_SHA1_32] = srtp_profile_aes128_cm_sha1_32,
        [RW_SRTP_AEAD_AES_128_GCM] = srtp_profile_aead_aes_128_gcm,
        [RW_SRTP_AEAD_AES_256_GCM] = srtp_profile_aead_aes_256_gcm,
    };
    return profiles[suite];
}

/* Opens `group` for a key, or changes it to that key if it is open. */
static int set_key(stream_group *group, const rw_srtp_config *config, const rw_srtp_key *key,
                   srtp_ssrc_type_t ssrcs) {
    const rw_srtp_suite_facts *suite = rw_srtp_suite_find(config->suite);
    rw_srtp_key copy = *key; /* the library takes no pointers to const */
    srtp_master_key_t master = {copy.bytes, copy.mki_bytes ? copy.mki : NULL, copy.mki_bytes};
    srtp_policy_t policy = {.ssrc = {.type = ssrcs},
                            .keys = (srtp_master_key_t *[]){&master},
                            .num_master_keys = 1,
                            .window_size = config->window_packets};
    srtp_profile_t profile = profile_of(config->suite);
    srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, profile);
    srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, profile);
    group->mki = key->mki_bytes != 0;
    group->trailer_bytes = (size_t)suite->tag_bytes + key->mki_bytes;
    group->rtcp_trailer_bytes = (size_t)suite->rtcp_tag_bytes + RTCP_INDEX_BYTES + key->mki_bytes;
    srtp_err_status_t status = group->session ? srtp_update(group->session, &policy)
                                              : srtp_create(&group->session, &policy);
    explicit_bzero(&copy, sizeof(copy));
    return errno_of(status);
}

static int open_groups(rw_srtp *srtp, const rw_srtp_config *config) {
    int error = set_key(&srtp->sending, config, &config->local, ssrc_any_outbound);
    return error ? error : set_key(&srtp->receiving, config, &config->remote, ssrc_any_inbound);
}

int rw_srtp_create(const rw_srtp_config *config, rw_srtp **out) {
    *out = NULL;
    int error = rw_srtp_check_config(config);
    if (error) return error;
    pthread_once(&library_once, start_library);
    if (library_status != srtp_err_status_ok) return -EIO;
    rw_srtp *srtp = calloc(1, sizeof(*srtp));
    if (!srtp) return -ENOMEM;
    srtp->config = *config;
    error = open_groups(srtp, config);
    if (error) {
        rw_srtp_destroy(srtp);
        return error;
    }
    *out = srtp;
    return 0;
}

void rw_srtp_destroy(rw_srtp *srtp) {
    if (!srtp) return;
    if (srtp->sending.session) srtp_dealloc(srtp->sending.session);
    if (srtp->receiving.session) srtp_dealloc(srtp->receiving.session);
    explicit_bzero(srtp, sizeof(*srtp));
    free(srtp);
}

int rw_srtp_rekey(rw_srtp *srtp, const rw_srtp_config *config) {
    int error = rw_srtp_check_config(config);
    if (error) return error;
    rw_srtp_config *old = &srtp->config;
    bool same = rw_srtp_same_figures(old, config);
    if (!same || !rw_srtp_same_key(&old->local, &config->local))
        error = set_key(&srtp->sending, config, &config->local, ssrc_any_outbound);
    if (!error && (!same || !rw_srtp_same_key(&old->remote, &config->remote)))
        error = set_key(&srtp->receiving, config, &config->remote, ssrc_any_inbound);
    *old = *config;
    return error;
}

/* The RTP header stays in the clear, so that it is known to end before `bytes`. */
static rw_srtp_reject check_rtp(const uint8_t *packet, size_t bytes) {
    size_t header_bytes = RW_RTP_HEADER_BYTES + 4 * (size_t)(packet[0] & CSRC_COUNT_MASK);
    if ((packet[0] & VERSION_MASK) != VERSION_2 || header_bytes > bytes) return RW_SRTP_MALFORMED;
    if (!(packet[0] & EXTENSION_BIT)) return RW_SRTP_OK;
    if (bytes - header_bytes < 4) return RW_SRTP_MALFORMED;
    size_t extension_bytes = 4 + 4 * (size_t)rw_load_be16(packet + header_bytes + 2);
    return extension_bytes > bytes - header_bytes ? RW_SRTP_MALFORMED : RW_SRTP_OK;
}

static rw_srtp_reject check_rtcp(const uint8_t *packet) {
    return (packet[0] & VERSION_MASK) == VERSION_2 ? RW_SRTP_OK : RW_SRTP_MALFORMED;
}

static bool knows(const stream_group *group, uint32_t ssrc) {
    for (size_t i = 0; i < group->ssrc_count; i++)
        if (group->ssrcs[i] == ssrc) return true;
    return false;
}

/* Has the library treat a packet whose lengths have been checked; a new SSRC counts if it agrees.
 */
static rw_srtp_reject treat(stream_group *group, transform treat_packet, uint8_t *packet,
                            size_t *bytes, uint32_t ssrc) {
    bool known = knows(group, ssrc);
    if (!known && group->ssrc_count == RW_SRTP_MAX_SSRCS) return RW_SRTP_TOO_MANY_SSRCS;
    int library_bytes = (int)*bytes;
    srtp_err_status_t status = treat_packet(group->session, packet, &library_bytes, group->mki);
    if (status != srtp_err_status_ok) return reject_of(status);
    if (!known) group->ssrcs[group->ssrc_count++] = ssrc;
    *bytes = (size_t)library_bytes;
    return RW_SRTP_OK;
}

static srtp_err_status_t protect_rtp(srtp_t session, void *packet, int *bytes, unsigned use_mki) {
    return srtp_protect_mki(session, packet, bytes, use_mki, 0);
}

static srtp_err_status_t protect_rtcp(srtp_t session, void *packet, int *bytes, unsigned use_mki) {
    return srtp_protect_rtcp_mki(session, packet, bytes, use_mki, 0);
}

rw_srtp_reject rw_srtp_protect(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room) {
    stream_group *group = &srtp->sending;
    if (*bytes < RW_RTP_HEADER_BYTES) return RW_SRTP_TOO_SHORT;
    if (*bytes > MAX_DATAGRAM_BYTES || *bytes + group->trailer_bytes > room) return RW_SRTP_NO_ROOM;
    rw_srtp_reject reject = check_rtp(packet, *bytes);
    return reject ? reject : treat(group, protect_rtp, packet, bytes, rw_load_be32(packet + 8));
}

rw_srtp_reject rw_srtp_protect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room) {
    stream_group *group = &srtp->sending;
    if (*bytes < RTCP_HEADER_BYTES) return RW_SRTP_TOO_SHORT;
    if (*bytes > MAX_DATAGRAM_BYTES || *bytes + group->rtcp_trailer_bytes > room)
        return RW_SRTP_NO_ROOM;
    rw_srtp_reject reject = check_rtcp(packet);
    return reject ? reject : treat(group, protect_rtcp, packet, bytes, rw_load_be32(packet + 4));
}

rw_srtp_reject rw_srtp_unprotect(rw_srtp *srtp, uint8_t *packet, size_t *bytes) {
    stream_group *group = &srtp->receiving;
    if (*bytes < RW_RTP_HEADER_BYTES + group->trailer_bytes) return RW_SRTP_TOO_SHORT;
    if (*bytes > MAX_DATAGRAM_BYTES) return RW_SRTP_MALFORMED;
    rw_srtp_reject reject = check_rtp(packet, *bytes - group->trailer_bytes);
    if (reject) return reject;
    return treat(group, srtp_unprotect_mki, packet, bytes, rw_load_be32(packet + 8));
}

rw_srtp_reject rw_srtp_unprotect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes) {
    stream_group *group = &srtp->receiving;
    if (*bytes < RTCP_HEADER_BYTES + group->rtcp_trailer_bytes) return RW_SRTP_TOO_SHORT;
    if (*bytes > MAX_DATAGRAM_BYTES) return RW_SRTP_MALFORMED;
    rw_srtp_reject reject = check_rtcp(packet);
    if (reject) return reject;
    return treat(group, srtp_unprotect_rtcp_mki, packet, bytes, rw_load_be32(packet + 4));
}
