/* What a shard counts. Written by the shard's thread, readable by any. */
#ifndef RW_COUNTERS_H
#define RW_COUNTERS_H

#include "base/atomic.h"
#include "ear/ear.h"
#include "mixer/mixer.h"
#include "rtcp/rtcp.h"
#include "rtp/rtp.h"
#include "srtp/srtp.h"

typedef enum rw_counter {
    RW_PACKETS_SENT,
    RW_BYTES_SENT,        /* RTP header and payload */
    RW_PACKETS_SKIPPED,   /* slots left out because the shard came over 100 ms late */
    RW_PACKETS_CAUGHT_UP, /* packets sent after their slot's successor was already due */
    RW_SEND_REFUSED,      /* ICMP said that the peer's port is closed */
    RW_SEND_BUFFER_FULL,  /* packet dropped: the socket's send buffer had no room */
    RW_SEND_UNREACHABLE,  /* packet dropped: no route, or the interface is gone */
    RW_SEND_FAILED,       /* packet dropped for any other reason */
    RW_PACKETS_RECEIVED,  /* valid RTP */
    RW_BYTES_RECEIVED,
    RW_RECEIVED_UNKNOWN,   /* shared sockets: no leg has that remote address */
    RW_RECEIVED_TRUNCATED, /* longer than any RTP packet that we take */
    RW_RECEIVE_FAILED,
    RW_RECEIVE_OVERFLOW,  /* dropped by the kernel: they came faster than we read */
    RW_RECEIVED_REJECT_0, /* + rw_rtp_reject: not RTP, by reason */
    RW_RECEIVED_REJECT_LAST = RW_RECEIVED_REJECT_0 + RW_RTP_REJECTS - 1,
    RW_NOT_HEARD_0, /* + rw_ear_reject: RTP that the leg does not hear, by reason */
    RW_NOT_HEARD_LAST = RW_NOT_HEARD_0 + RW_EAR_REJECTS - 1,
    RW_SRTP_REJECT_0, /* + rw_srtp_reject: what could not be protected or unprotected, by reason */
    RW_SRTP_REJECT_LAST = RW_SRTP_REJECT_0 + RW_SRTP_REJECTS - 1,
    RW_SRTP_REKEYS_FAILED,
    RW_RECEIVED_STRANGER, /* RTP or RTCP from an address that is not the peer's */
    RW_RECEIVED_PROVING,  /* the same, from one that may become the peer's if it goes on */
    RW_SOURCES_LATCHED,   /* addresses that took the place of the one in the SDP */
    RW_RTCP_SENT,
    RW_RTCP_RECEIVED,
    RW_RTCP_REJECT_0, /* + rw_rtcp_reject: not RTCP, by reason */
    RW_RTCP_REJECT_LAST = RW_RTCP_REJECT_0 + RW_RTCP_REJECTS - 1,
    RW_RTCP_UNTRUE,         /* reports about us that cannot be true, and were not believed */
    RW_RTCP_BYES,           /* goodbyes heard */
    RW_RTCP_SEND_FAILED,    /* reports that did not leave, or found the peer's port closed */
    RW_RTCP_SOCKETS_DENIED, /* reports left out: no socket was to be had */
    RW_DIGITS_HEARD,
    RW_SPEECH_STARTS,
    RW_MEDIA_TIMEOUTS,
    RW_PACKETS_RELAYED,
    RW_PACKETS_NOT_RELAYED, /* the other leg is gone or holds, or has no such payload */
    RW_PACKETS_MIXED,       /* sent to members of conferences: what the others said */
    RW_MIX_BLOCKS_0,        /* + rw_mixer_verdict: blocks given to and taken from conferences, by
                               what became of them; counted when their member leaves */
    RW_MIX_BLOCKS_LAST = RW_MIX_BLOCKS_0 + RW_MIXER_VERDICTS - 1,
    RW_MIX_OVERTAKEN,       /* blocks given after somebody had taken that time */
    RW_MIX_CLIPPED_SAMPLES, /* mixes that were too loud */
    RW_STALE_COMMANDS,      /* commands for a leg that was closed meanwhile */
    RW_EVENTS_DEFERRED,     /* events kept for a later tick because the event ring was full */
    RW_EVENTS_DROPPED,      /* what was heard while even the room to keep it was full */
    RW_LEGS_OPENED,
    RW_LEGS_CLOSED,
    RW_TICKS, /* ticks in which some leg was due */
    RW_COUNTERS
} rw_counter;

typedef _Atomic uint64_t rw_counters[RW_COUNTERS];

/* Name of a counter as it appears in metrics ("packets_sent"); NULL for an unused index. */
const char *rw_counter_name(rw_counter counter);

#endif
