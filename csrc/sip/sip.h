/*
 * SIP scanner: finds the parts of one SIP message (RFC 3261 section 7) in a datagram, copying
 * nothing. It is strict where RFC 4475 section 3.1.2 wants a refusal, lenient where it leaves room.
 *
 * A message with a fault is scanned to the end of its headers all the same, so that what an error
 * response needs (Via, From, To, Call-ID, CSeq) is found wherever it stands; the first fault is the
 * reason. Only faults that make the line structure itself doubtful end the scan at once.
 *
 * All spans count from the start of the data passed in and lie within it.
 */
#ifndef RW_SIP_H
#define RW_SIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_SIP_MAX_BYTES 65535
#define RW_SIP_MAX_HEADERS 256
#define RW_SIP_MAX_HOST_BYTES 255 /* RFC 1035 section 2.3.4 */

/* Why a message is refused: name of the enumerator, and name for logs and metrics. The value is
 * also the index of a counter. */
#define RW_SIP_REJECTS(X)                                                                          \
    X(NONE, "none")                                                                                \
    X(EMPTY, "empty")                   /* nothing but CRLF: a keep-alive, RFC 5626 3.5.1 */       \
    X(TOO_LONG, "too_long")             /* longer than any datagram */                             \
    X(START_LINE, "start_line")         /* neither a request line nor a status line */             \
    X(VERSION, "version")               /* SIP, but not 2.0 */                                     \
    X(URI, "uri")                       /* Request-URI: white space, brackets, headers */          \
    X(STATUS, "status")                 /* not three digits from 100 to 699 */                     \
    X(LINE_END, "line_end")             /* CR without LF, or LF without CR */                      \
    X(HEADER_END, "header_end")         /* no empty line after the headers */                      \
    X(HEADER_NAME, "header_name")       /* a line without a name and a colon */                    \
    X(HEADER_COUNT, "header_count")     /* more than RW_SIP_MAX_HEADERS lines */                   \
    X(NUL, "nul")                       /* NUL outside a quoted pair */                            \
    X(DUPLICATE, "duplicate")           /* a single-instance header twice */                       \
    X(QUOTE, "quote")                   /* a quoted string without its end */                      \
    X(BRACKET, "bracket")               /* '<' without '>' */                                      \
    X(ADDRESS, "address")               /* neither a name-addr nor an addr-spec */                 \
    X(PARAMETER, "parameter")           /* header parameter without name or value */               \
    X(VIA, "via")                       /* topmost Via: protocol, host or port */                  \
    X(CALL_ID, "call_id")               /* empty, or white space within */                         \
    X(CSEQ, "cseq")                     /* not a number below 2**31 and a method */                \
    X(CSEQ_METHOD, "cseq_method")       /* not the method of the request line */                   \
    X(NUMBER, "number")                 /* Max-Forwards or Expires out of range */                 \
    X(CONTENT_LENGTH, "content_length") /* not a number */                                         \
    X(BODY_SHORT, "body_short")         /* Content-Length says more than there is */               \
    X(MISSING_VIA, "missing_via")                                                                  \
    X(MISSING_FROM, "missing_from")                                                                \
    X(MISSING_TO, "missing_to")                                                                    \
    X(MISSING_CALL_ID, "missing_call_id")                                                          \
    X(MISSING_CSEQ, "missing_cseq")

typedef enum rw_sip_reject {
#define RW_SIP_ENUMERATE(id, name) RW_SIP_##id,
    RW_SIP_REJECTS(RW_SIP_ENUMERATE)
#undef RW_SIP_ENUMERATE
        RW_SIP_REJECT_COUNT
} rw_sip_reject;

/* Known headers, commonest first: enumerator, canonical name, compact form (IANA registry). */
#define RW_SIP_HEADERS(X)                                                                          \
    X(VIA, "Via", 'v')                                                                             \
    X(FROM, "From", 'f')                                                                           \
    X(TO, "To", 't')                                                                               \
    X(CALL_ID, "Call-ID", 'i')                                                                     \
    X(CSEQ, "CSeq", 0)                                                                             \
    X(CONTENT_LENGTH, "Content-Length", 'l')                                                       \
    X(MAX_FORWARDS, "Max-Forwards", 0)                                                             \
    X(CONTENT_TYPE, "Content-Type", 'c')                                                           \
    X(EXPIRES, "Expires", 0)                                                                       \
    X(CONTACT, "Contact", 'm')                                                                     \
    X(ROUTE, "Route", 0)                                                                           \
    X(RECORD_ROUTE, "Record-Route", 0)                                                             \
    X(USER_AGENT, "User-Agent", 0)                                                                 \
    X(ALLOW, "Allow", 0)                                                                           \
    X(SUPPORTED, "Supported", 'k')                                                                 \
    X(SUBJECT, "Subject", 's')                                                                     \
    X(ACCEPT, "Accept", 0)                                                                         \
    X(REQUIRE, "Require", 0)                                                                       \
    X(PROXY_REQUIRE, "Proxy-Require", 0)                                                           \
    X(SERVER, "Server", 0)                                                                         \
    X(SESSION_EXPIRES, "Session-Expires", 'x')                                                     \
    X(MIN_SE, "Min-SE", 0)                                                                         \
    X(P_ASSERTED_IDENTITY, "P-Asserted-Identity", 0)                                               \
    X(REASON, "Reason", 0)                                                                         \
    X(DATE, "Date", 0)                                                                             \
    X(AUTHORIZATION, "Authorization", 0)                                                           \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization", 0)                                               \
    X(WWW_AUTHENTICATE, "WWW-Authenticate", 0)                                                     \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate", 0)                                                 \
    X(AUTHENTICATION_INFO, "Authentication-Info", 0)                                               \
    X(RACK, "RAck", 0)                                                                             \
    X(RSEQ, "RSeq", 0)                                                                             \
    X(REFER_TO, "Refer-To", 'r')                                                                   \
    X(REFERRED_BY, "Referred-By", 'b')                                                             \
    X(REPLACES, "Replaces", 0)                                                                     \
    X(EVENT, "Event", 'o')                                                                         \
    X(ALLOW_EVENTS, "Allow-Events", 'u')                                                           \
    X(SUBSCRIPTION_STATE, "Subscription-State", 0)                                                 \
    X(RETRY_AFTER, "Retry-After", 0)                                                               \
    X(WARNING, "Warning", 0)                                                                       \
    X(UNSUPPORTED, "Unsupported", 0)                                                               \
    X(ACCEPT_ENCODING, "Accept-Encoding", 0)                                                       \
    X(ACCEPT_LANGUAGE, "Accept-Language", 0)                                                       \
    X(ACCEPT_CONTACT, "Accept-Contact", 'a')                                                       \
    X(REJECT_CONTACT, "Reject-Contact", 'j')                                                       \
    X(REQUEST_DISPOSITION, "Request-Disposition", 'd')                                             \
    X(ALERT_INFO, "Alert-Info", 0)                                                                 \
    X(CALL_INFO, "Call-Info", 0)                                                                   \
    X(ERROR_INFO, "Error-Info", 0)                                                                 \
    X(CONTENT_DISPOSITION, "Content-Disposition", 0)                                               \
    X(CONTENT_ENCODING, "Content-Encoding", 'e')                                                   \
    X(CONTENT_LANGUAGE, "Content-Language", 0)                                                     \
    X(IN_REPLY_TO, "In-Reply-To", 0)                                                               \
    X(MIN_EXPIRES, "Min-Expires", 0)                                                               \
    X(MIME_VERSION, "MIME-Version", 0)                                                             \
    X(ORGANIZATION, "Organization", 0)                                                             \
    X(P_PREFERRED_IDENTITY, "P-Preferred-Identity", 0)                                             \
    X(P_CHARGING_VECTOR, "P-Charging-Vector", 0)                                                   \
    X(REMOTE_PARTY_ID, "Remote-Party-ID", 0)                                                       \
    X(PRIORITY, "Priority", 0)                                                                     \
    X(PRIVACY, "Privacy", 0)                                                                       \
    X(REPLY_TO, "Reply-To", 0)                                                                     \
    X(SESSION_ID, "Session-ID", 0)                                                                 \
    X(SIP_ETAG, "SIP-ETag", 0)                                                                     \
    X(SIP_IF_MATCH, "SIP-If-Match", 0)                                                             \
    X(TIMESTAMP, "Timestamp", 0)                                                                   \
    X(USER_TO_USER, "User-to-User", 0)                                                             \
    X(DIVERSION, "Diversion", 0)                                                                   \
    X(HISTORY_INFO, "History-Info", 0)                                                             \
    X(IDENTITY, "Identity", 'y')                                                                   \
    X(PATH, "Path", 0)                                                                             \
    X(SERVICE_ROUTE, "Service-Route", 0)                                                           \
    X(GEOLOCATION, "Geolocation", 0)                                                               \
    X(TARGET_DIALOG, "Target-Dialog", 0)                                                           \
    X(ANSWER_MODE, "Answer-Mode", 0)                                                               \
    X(MAX_BREADTH, "Max-Breadth", 0)

typedef enum rw_sip_header_id {
    RW_SIP_H_UNKNOWN,
#define RW_SIP_ENUMERATE(id, name, compact) RW_SIP_H_##id,
    RW_SIP_HEADERS(RW_SIP_ENUMERATE)
#undef RW_SIP_ENUMERATE
        RW_SIP_H_COUNT
} rw_sip_header_id;

/* A piece of the message. Length 0: absent (where an empty piece would be a fault). */
typedef struct rw_sip_span {
    uint32_t at, length;
} rw_sip_span;

typedef struct rw_sip_header {
    rw_sip_span name;
    rw_sip_span value; /* trimmed; CRLF within where `folded` */
    uint8_t id;        /* rw_sip_header_id */
    bool folded;
} rw_sip_header;

/* The first value of a Via line (RFC 3261 section 20.42). */
typedef struct rw_sip_via {
    rw_sip_span whole;     /* up to the comma or the end of the line */
    rw_sip_span transport; /* UDP, TCP, TLS ... as written */
    rw_sip_span host;      /* sent-by host; an IPv6 address without its brackets */
    uint16_t port;         /* sent-by port; 0: none given */
    rw_sip_span branch, received, maddr;
    rw_sip_span received_param; /* from the semicolon to the end of the parameter */
    rw_sip_span rport_param;    /* the same: RFC 3581, with or without a value */
    bool ipv6;                  /* the host stood in brackets */
} rw_sip_via;

typedef struct rw_sip_message {
    bool is_request;
    bool answerable; /* refused, and an error response can be formed */
    rw_sip_reject reject;
    rw_sip_span method, uri; /* requests */
    uint16_t status;         /* responses: 100 to 699 */
    rw_sip_span reason;      /* responses: may be empty */
    uint32_t cseq;
    rw_sip_span cseq_method, call_id, from_tag, to_tag;
    rw_sip_via via; /* topmost */
    rw_sip_span body;
    uint32_t content_length;
    uint32_t seen; /* bit per header id below 32 */
    unsigned header_count;
    rw_sip_header headers[RW_SIP_MAX_HEADERS];
} rw_sip_message;

/* Scans one datagram. `data` and `message` stay the caller's; `message` needs no preparation.
 * Returns 0, or a negative rw_sip_reject, with what was found in `message` in both cases. */
int rw_sip_scan(const uint8_t *data, size_t length, rw_sip_message *message);

/* Scans the first value of a Via line; spans count from `data`, which stays the caller's.
 * Returns 0 or a negative rw_sip_reject. */
int rw_sip_scan_via(const uint8_t *data, size_t length, rw_sip_via *via);

/* The status to answer a refused message with, or 0 if it must be dropped. */
unsigned rw_sip_answer_status(const rw_sip_message *message);

/* Copies `value` with each fold (RFC 3261 section 7.3.1) turned into one space. `to`, the caller's,
 * has room for value.length bytes. Returns the bytes written. */
size_t rw_sip_unfold(const uint8_t *data, rw_sip_span value, uint8_t *to);

/* The id of a header name in any case or in compact form; RW_SIP_H_UNKNOWN if it is none of ours.
 */
rw_sip_header_id rw_sip_header_lookup(const uint8_t *name, size_t length);

/* The canonical name of a known header, or the name of a reject; static; NULL out of range. */
const char *rw_sip_header_name(unsigned id);
const char *rw_sip_reject_name(unsigned reject);

#endif
