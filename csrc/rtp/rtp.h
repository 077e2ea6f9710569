/* RTP fixed header (RFC 3550 section 5.1): writing it, and reading it off hostile datagrams. */
#ifndef RW_RTP_H
#define RW_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_RTP_HEADER_BYTES 12

typedef struct rw_rtp_header {
    bool marker;
    uint8_t payload_type; /* 0 to 127 */
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
} rw_rtp_header;

typedef struct rw_rtp_packet {
    rw_rtp_header header;
    const uint8_t *payload; /* into the datagram */
    size_t payload_bytes;
} rw_rtp_packet;

/* Why a datagram is not a valid RTP packet. */
typedef enum rw_rtp_reject {
    RW_RTP_OK,
    RW_RTP_TOO_SHORT,
    RW_RTP_BAD_VERSION,
    RW_RTP_BAD_CSRC,      /* the CSRC list runs past the end */
    RW_RTP_BAD_EXTENSION, /* the header extension runs past the end */
    RW_RTP_BAD_PADDING,   /* the padding is zero or longer than the payload */
    RW_RTP_REJECTS
} rw_rtp_reject;

/* Writes the 12 header bytes: version 2, no padding, no extension, no CSRC. */
void rw_rtp_write_header(uint8_t *to, const rw_rtp_header *header);

/* Reads `datagram`; on RW_RTP_OK `packet` points into it. */
rw_rtp_reject rw_rtp_parse(const uint8_t *datagram, size_t bytes, rw_rtp_packet *packet);

#endif
