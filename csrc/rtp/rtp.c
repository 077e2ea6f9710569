#include "rtp/rtp.h"

#include "base/base.h"

#define VERSION_2 0x80
#define VERSION_MASK 0xc0
#define PADDING_BIT 0x20
#define EXTENSION_BIT 0x10
#define CSRC_COUNT_MASK 0x0f
#define MARKER_BIT 0x80

void rw_rtp_write_header(uint8_t *to, const rw_rtp_header *header) {
    to[0] = VERSION_2;
    to[1] = (uint8_t)((header->marker ? MARKER_BIT : 0) | (header->payload_type & 0x7f));
    rw_store_be16(to + 2, header->sequence);
    rw_store_be32(to + 4, header->timestamp);
    rw_store_be32(to + 8, header->ssrc);
}

/* Skips the header extension (RFC 3550 section 5.3.1) at `*offset`. */
static rw_rtp_reject skip_extension(const uint8_t *datagram, size_t bytes, size_t *offset) {
    if (bytes - *offset < 4) return RW_RTP_BAD_EXTENSION;
    size_t extension_bytes = 4 + 4 * (size_t)rw_load_be16(datagram + *offset + 2);
    if (bytes - *offset < extension_bytes) return RW_RTP_BAD_EXTENSION;
    *offset += extension_bytes;
    return RW_RTP_OK;
}

rw_rtp_reject rw_rtp_parse(const uint8_t *datagram, size_t bytes, rw_rtp_packet *packet) {
    if (bytes < RW_RTP_HEADER_BYTES) return RW_RTP_TOO_SHORT;
    if ((datagram[0] & VERSION_MASK) != VERSION_2) return RW_RTP_BAD_VERSION;
    size_t offset = RW_RTP_HEADER_BYTES + 4 * (size_t)(datagram[0] & CSRC_COUNT_MASK);
    if (offset > bytes) return RW_RTP_BAD_CSRC;
    if (datagram[0] & EXTENSION_BIT && skip_extension(datagram, bytes, &offset))
        return RW_RTP_BAD_EXTENSION;
    size_t padding_bytes = 0;
    if (datagram[0] & PADDING_BIT) {
        padding_bytes = datagram[bytes - 1];
        if (padding_bytes == 0 || padding_bytes > bytes - offset) return RW_RTP_BAD_PADDING;
    }
    packet->header.marker = datagram[1] & MARKER_BIT;
    packet->header.payload_type = datagram[1] & 0x7f;
    packet->header.sequence = rw_load_be16(datagram + 2);
    packet->header.timestamp = rw_load_be32(datagram + 4);
    packet->header.ssrc = rw_load_be32(datagram + 8);
    packet->payload = datagram + offset;
    packet->payload_bytes = bytes - offset - padding_bytes;
    return RW_RTP_OK;
}
