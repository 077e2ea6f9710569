/*
 * SRTP (RFC 3711, RFC 7714) of one leg, by libsrtp2: a key for what we send, another for what we
 * receive.
 *
 * The control side creates a context, the thread that owns the leg uses it, and whoever holds it
 * last destroys it; no two threads at once. A context allocates when it is created or keyed anew,
 * and once for each new SSRC, of which it takes RW_SRTP_MAX_SSRCS each way: a stranger cannot make
 * it grow, because an SSRC counts only once a packet of it has been authenticated. One more is
 * refused, rather than an old one forgotten, for with it its replay list would go (RFC 3711
 * section 3.3.2).
 *
 * New keys. The rollover counter of an SSRC lives on when only the key changes (RFC 3711 section
 * 3.3.1), and so does the SRTCP index (section 3.4): rw_srtp_rekey(). When an address or a port
 * changes, both sides begin at zero (RFC 4568 section 7.1.4): create a new context and swap. A
 * description that repeats the keys of before changes nothing: rw_srtp_rekey() sees that. Creating,
 * keying and destroying cost some 100 us, and a libsrtp2 over NSS needs ms among a thousand
 * contexts (srtp_bench.c measures it): create and destroy on the control side.
 *
 * Without libsrtp2 at build time, rw_srtp_available() is false and there are no contexts.
 */
#ifndef RW_SRTP_H
#define RW_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_SRTP_MAX_KEY_BYTES 44 /* AES-256, and a salt of 12 (RFC 7714 section 12) */
#define RW_SRTP_MAX_MKI_BYTES 4
/* What a packet grows by at most: a tag of 16, the SRTCP index of 4, the MKI. */
#define RW_SRTP_MAX_TRAILER_BYTES (16 + 4 + RW_SRTP_MAX_MKI_BYTES)

#define RW_SRTP_DEFAULT_WINDOW_PACKETS 128
#define RW_SRTP_MIN_WINDOW_PACKETS 64 /* RFC 3711 section 3.3.2 */
#define RW_SRTP_MAX_WINDOW_PACKETS 1024
#define RW_SRTP_MAX_SSRCS 32

/* Crypto suites, by their names in SDP (RFC 4568 section 6.2, RFC 7714 section 14.2). */
typedef enum rw_srtp_suite {
    RW_SRTP_AES_CM_128_HMAC_SHA1_80,
    RW_SRTP_AES_CM_128_HMAC_SHA1_32,
    RW_SRTP_AEAD_AES_128_GCM,
    RW_SRTP_AEAD_AES_256_GCM,
    RW_SRTP_SUITES
} rw_srtp_suite;

/* A master key and its salt in one piece, as SDP carries them (RFC 4568 section 6.1). */
typedef struct rw_srtp_key {
    uint8_t bytes[RW_SRTP_MAX_KEY_BYTES];
    uint8_t key_bytes; /* what rw_srtp_key_bytes() says of the suite */
    uint8_t mki[RW_SRTP_MAX_MKI_BYTES];
    uint8_t mki_bytes; /* 0: packets carry none */
} rw_srtp_key;

typedef struct rw_srtp_config {
    rw_srtp_suite suite;
    uint16_t window_packets; /* how far back replays are told from late packets */
    rw_srtp_key local;       /* protects what we send */
    rw_srtp_key remote;      /* protects what we receive */
} rw_srtp_config;

/* Why a packet was not protected or unprotected. */
typedef enum rw_srtp_reject {
    RW_SRTP_OK,
    RW_SRTP_TOO_SHORT,
    RW_SRTP_MALFORMED, /* the version, or a header that runs into the trailer */
    RW_SRTP_NO_ROOM,   /* the trailer does not fit; to be protected only */
    RW_SRTP_TOO_MANY_SSRCS,
    RW_SRTP_AUTHENTICATION_FAILED, /* tampered with, or another key */
    RW_SRTP_REPLAYED,
    RW_SRTP_TOO_OLD, /* behind the replay window */
    RW_SRTP_KEY_EXPIRED,
    RW_SRTP_WRONG_MKI,
    RW_SRTP_FAILED, /* the library's own: out of memory, a cipher that gave up */
    RW_SRTP_REJECTS
} rw_srtp_reject;

typedef struct rw_srtp rw_srtp;

/* True if this build has libsrtp2. */
bool rw_srtp_available(void);

/* The suite's name in SDP, and its length of key and salt; NULL and 0 if there is no such suite. */
const char *rw_srtp_suite_name(rw_srtp_suite suite);
size_t rw_srtp_key_bytes(rw_srtp_suite suite);

/* -EINVAL if no context can be made of these figures; -ENOTSUP without libsrtp2, or for an MKI with
 * AES_CM_128_HMAC_SHA1_32, which libsrtp2 gets wrong in RTCP; else 0. */
int rw_srtp_check_config(const rw_srtp_config *config);

/* True if a context of the one need not change to become one of the other. */
bool rw_srtp_same_config(const rw_srtp_config *a, const rw_srtp_config *b);

/* Sets `out` to a new context, which the caller owns; `config` is copied. What
 * rw_srtp_check_config() says, -ENOMEM, -ENOTSUP for a suite that this libsrtp2 was built without,
 * or -EIO if the library could not start. */
int rw_srtp_create(const rw_srtp_config *config, rw_srtp **out);

/* Wipes the keys and frees; NULL is nothing. */
void rw_srtp_destroy(rw_srtp *srtp);

/* Changes to the keys of `config`, which is copied; streams go on where they were, a direction with
 * the key of before is left alone. Errors as for rw_srtp_create(): what rw_srtp_check_config()
 * refuses changes nothing, after others the context is good for rw_srtp_destroy() only. */
int rw_srtp_rekey(rw_srtp *srtp, const rw_srtp_config *config);

/* Protects the RTP or RTCP packet of `*bytes`, in place; it grows by RW_SRTP_MAX_TRAILER_BYTES at
 * most, within `room`. A packet that was refused must not be sent. Where the machine wants words
 * aligned, `packet` has to be, here and below: libsrtp2 reads words. */
rw_srtp_reject rw_srtp_protect(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room);
rw_srtp_reject rw_srtp_protect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes, size_t room);

/* Checks and decrypts in place. What is left in a packet that was refused means nothing. */
rw_srtp_reject rw_srtp_unprotect(rw_srtp *srtp, uint8_t *packet, size_t *bytes);
rw_srtp_reject rw_srtp_unprotect_rtcp(rw_srtp *srtp, uint8_t *packet, size_t *bytes);

#endif
