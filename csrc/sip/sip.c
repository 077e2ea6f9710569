#include "sip/sip.h"

#include <string.h>

#include "base/base.h"

enum { TOKEN = 1, LWS = 2, HOST = 4, DIGIT = 8, VALUE = 16, URI = 32 };

/* Classes of characters (RFC 3261 section 25.1). LWS includes CR and LF, which occur within a
 * header value in folds only: line ends have been checked before. VALUE is more than token or host,
 * since peers write addresses there; URI is what may stand in a Request-URI. */
static const uint8_t classes[256] = {
    ['\t'] = LWS,
    ['\n'] = LWS,
    ['\r'] = LWS,
    [' '] = LWS,
    ['!'] = TOKEN | VALUE | URI,
    ['#' ... '$'] = VALUE | URI,
    ['%'] = TOKEN | VALUE | URI,
    ['&'] = VALUE | URI,
    ['\''] = TOKEN | VALUE | URI,
    ['(' ... ')'] = VALUE | URI,
    ['*' ... '+'] = TOKEN | VALUE | URI,
    [','] = URI,
    ['-' ... '.'] = TOKEN | HOST | VALUE | URI,
    ['/'] = VALUE | URI,
    ['0' ... '9'] = TOKEN | HOST | DIGIT | VALUE | URI,
    [':'] = VALUE | URI,
    [';'] = URI,
    ['='] = VALUE | URI,
    ['?' ... '@'] = VALUE | URI,
    ['A' ... 'Z'] = TOKEN | HOST | VALUE | URI,
    ['[' ... '^'] = VALUE | URI,
    ['_'] = TOKEN | HOST | VALUE | URI, /* no host character, but found in names of containers */
    ['`'] = TOKEN | VALUE | URI,
    ['a' ... 'z'] = TOKEN | HOST | VALUE | URI,
    ['{' ... '}'] = VALUE | URI,
    ['~'] = TOKEN | VALUE | URI,
    [0x80 ... 0xff] = VALUE,
};

static const char *const reject_names[] = {
#define NAME(id, name) name,
    RW_SIP_REJECTS(NAME)
#undef NAME
};

static const struct known_header {
    const char *name;
    uint8_t length;
    char compact;
} known_headers[] = {{"", 0, 0},
#define KNOWN(id, name, compact) {name, sizeof(name) - 1, compact},
                     RW_SIP_HEADERS(KNOWN)
#undef KNOWN
};

/* A reader over part of the data; at <= end always holds between calls. */
typedef struct cursor {
    const uint8_t *data;
    uint32_t at, end;
} cursor;

static uint8_t lower(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static bool equals_any_case(const uint8_t *data, const char *word, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (lower(data[i]) != lower((uint8_t)word[i])) return false;
    return true;
}

static bool span_is(const uint8_t *data, rw_sip_span span, const char *word) {
    return span.length == strlen(word) && equals_any_case(data + span.at, word, span.length);
}

static bool span_has(const uint8_t *data, rw_sip_span span, uint8_t byte) {
    return memchr(data + span.at, byte, span.length) != NULL;
}

static bool span_is_all(const uint8_t *data, rw_sip_span span, uint8_t class) {
    for (uint32_t i = 0; i < span.length; i++)
        if (!(classes[data[span.at + i]] & class)) return false;
    return true;
}

static rw_sip_span trim(const uint8_t *data, uint32_t at, uint32_t end) {
    while (at < end && classes[data[at]] & LWS)
        at++;
    while (at < end && classes[data[end - 1]] & LWS)
        end--;
    return (rw_sip_span){at, end - at};
}

static cursor over(const uint8_t *data, rw_sip_span span) {
    return (cursor){data, span.at, span.at + span.length};
}

static bool at_end(const cursor *c) {
    return c->at == c->end;
}

static uint8_t peek(const cursor *c) {
    return c->at < c->end ? c->data[c->at] : 0;
}

static rw_sip_span take_while(cursor *c, uint8_t class) {
    uint32_t from = c->at;
    while (c->at < c->end && classes[c->data[c->at]] & class)
        c->at++;
    return (rw_sip_span){from, c->at - from};
}

static void skip_lws(cursor *c) {
    take_while(c, LWS);
}

/* Takes `byte` with white space on both sides; false, and only the space taken, if it is another.
 */
static bool take_separator(cursor *c, uint8_t byte) {
    skip_lws(c);
    if (at_end(c) || c->data[c->at] != byte) return false;
    c->at++;
    skip_lws(c);
    return true;
}

/* Takes a quoted string whose opening quote is next; false if it never ends. */
static bool take_quoted(cursor *c) {
    for (c->at++; c->at < c->end; c->at++) {
        if (c->data[c->at] == '"') {
            c->at++;
            return true;
        }
        if (c->data[c->at] == '\\') c->at++;
    }
    c->at = c->end;
    return false;
}

/* Takes digits; false if there are none or the number is above `most`. */
static bool take_number(cursor *c, uint32_t most, uint32_t *number) {
    rw_sip_span digits = take_while(c, DIGIT);
    uint64_t value = 0;
    for (uint32_t i = 0; i < digits.length; i++) {
        value = value * 10 + (c->data[digits.at + i] - '0');
        if (value > most) return false;
    }
    *number = (uint32_t)value;
    return digits.length > 0;
}

static bool read_number(const uint8_t *data, rw_sip_span span, uint32_t most, uint32_t *number) {
    cursor c = over(data, span);
    return take_number(&c, most, number) && at_end(&c);
}

typedef struct parameter {
    rw_sip_span whole; /* from the semicolon on */
    rw_sip_span name, value;
} parameter;

/* The value of a parameter, behind the equals sign. */
static int take_parameter_value(cursor *c, parameter *p) {
    uint32_t from = c->at;
    if (peek(c) != '"') {
        p->value = take_while(c, VALUE);
        return p->value.length ? 0 : -RW_SIP_PARAMETER;
    }
    if (!take_quoted(c)) return -RW_SIP_QUOTE;
    p->value = (rw_sip_span){from, c->at - from};
    return 0;
}

/* Takes the next `;name[=value]`: 1, or 0 at a comma or the end, or a negative reject. */
static int take_parameter(cursor *c, parameter *p) {
    skip_lws(c);
    if (at_end(c) || c->data[c->at] == ',') return 0;
    uint32_t from = c->at;
    if (!take_separator(c, ';')) return -RW_SIP_PARAMETER;
    p->name = take_while(c, TOKEN);
    p->value = (rw_sip_span){0};
    if (!p->name.length) return -RW_SIP_PARAMETER;
    uint32_t end = c->at;
    if (take_separator(c, '=')) {
        int failed = take_parameter_value(c, p);
        if (failed) return failed;
        end = c->at;
    }
    p->whole = (rw_sip_span){from, end - from};
    return 1;
}

/* A parameter that stands twice has two readers who disagree: refused. */
static int set_once(rw_sip_span *field, rw_sip_span span) {
    if (field->length) return -RW_SIP_PARAMETER;
    *field = span;
    return 0;
}

/* `sip:...` or any other scheme: something, a colon, no white space or brackets within. */
static int check_address_uri(const uint8_t *data, rw_sip_span uri) {
    for (uint32_t i = 0; i < uri.length; i++) {
        uint8_t byte = data[uri.at + i];
        if (byte <= ' ' || byte == '<' || byte == '"' || byte == 0x7f) return -RW_SIP_ADDRESS;
    }
    const uint8_t *colon = memchr(data + uri.at, ':', uri.length);
    return colon && colon != data + uri.at ? 0 : -RW_SIP_ADDRESS;
}

static int take_bracketed(cursor *c) {
    const uint8_t *from = c->data + c->at;
    const uint8_t *close = memchr(from, '>', c->end - c->at);
    if (!close) return -RW_SIP_BRACKET;
    rw_sip_span uri = trim(c->data, c->at + 1, (uint32_t)(close - c->data));
    c->at = (uint32_t)(close - c->data) + 1;
    return check_address_uri(c->data, uri);
}

/* An addr-spec without brackets, or `*` (Contact of a REGISTER): ends at its parameters. RFC 3261
 * section 20: with a comma, question mark or semicolon in the URI, brackets are a must. */
static int check_bare_address(const uint8_t *data, rw_sip_span uri, bool list) {
    if (list && span_is(data, uri, "*")) return 0;
    if (span_has(data, uri, ',')) return -RW_SIP_ADDRESS;
    return check_address_uri(data, uri);
}

/* The URI of an address and the display name before it (RFC 3261 section 25.1, name-addr). An
 * unquoted display name may hold any text (RFC 4475 section 3.1.2.15 leaves that open). */
static int take_address_uri(cursor *c, bool list) {
    skip_lws(c);
    if (peek(c) == '"') {
        if (!take_quoted(c)) return -RW_SIP_QUOTE;
        skip_lws(c);
        return peek(c) == '<' ? take_bracketed(c) : -RW_SIP_ADDRESS;
    }
    for (uint32_t from = c->at;; c->at++) {
        uint8_t byte = peek(c);
        if (byte == '<') return take_bracketed(c);
        if (byte == '"') return -RW_SIP_QUOTE;
        if (byte == '?') return -RW_SIP_ADDRESS;
        if (at_end(c) || byte == ';' || (list && byte == ','))
            return check_bare_address(c->data, trim(c->data, from, c->at), list);
    }
}

/* One address with its parameters; `tag` (may be NULL) is set where there is one. */
static int take_address(cursor *c, bool list, rw_sip_span *tag) {
    parameter p;
    int found = take_address_uri(c, list);
    if (found) return found;
    while ((found = take_parameter(c, &p)) > 0) {
        if (!tag || !span_is(c->data, p.name, "tag")) continue;
        if (!p.value.length || set_once(tag, p.value)) return -RW_SIP_PARAMETER;
    }
    return found;
}

static int scan_address(const uint8_t *data, rw_sip_span value, rw_sip_span *tag) {
    cursor c = over(data, value);
    int failed = take_address(&c, false, tag);
    if (failed) return failed;
    return at_end(&c) ? 0 : -RW_SIP_ADDRESS;
}

static int scan_address_list(const uint8_t *data, rw_sip_span value) {
    cursor c = over(data, value);
    do {
        int failed = take_address(&c, true, NULL);
        if (failed) return failed;
    } while (take_separator(&c, ','));
    return 0;
}

/* SIP/2.0/TRANSPORT, white space allowed around the slashes. */
static int take_via_protocol(cursor *c, rw_sip_via *via) {
    rw_sip_span protocol = take_while(c, TOKEN);
    if (!take_separator(c, '/')) return -RW_SIP_VIA;
    rw_sip_span version = take_while(c, TOKEN);
    if (!take_separator(c, '/')) return -RW_SIP_VIA;
    via->transport = take_while(c, TOKEN);
    if (!via->transport.length || !(classes[peek(c)] & LWS)) return -RW_SIP_VIA;
    bool ours = span_is(c->data, protocol, "SIP") && span_is(c->data, version, "2.0");
    return ours ? 0 : -RW_SIP_VIA;
}

static bool take_ipv6_host(cursor *c, rw_sip_via *via) {
    const uint8_t *close = memchr(c->data + c->at, ']', c->end - c->at);
    if (!close) return false;
    via->host = (rw_sip_span){c->at + 1, (uint32_t)(close - c->data) - c->at - 1};
    via->ipv6 = true;
    for (uint32_t i = 0; i < via->host.length; i++) {
        uint8_t byte = lower(c->data[via->host.at + i]);
        bool hex = classes[byte] & DIGIT || (byte >= 'a' && byte <= 'f');
        if (!hex && byte != ':' && byte != '.') return false;
    }
    c->at = (uint32_t)(close - c->data) + 1;
    return true;
}

/* The sent-by; on failure the host is left empty, so that nothing is answered to it. */
static int take_sent_by(cursor *c, rw_sip_via *via) {
    uint32_t port = 0;
    skip_lws(c);
    bool good = true;
    if (peek(c) == '[')
        good = take_ipv6_host(c, via);
    else
        via->host = take_while(c, HOST);
    if (good && take_separator(c, ':')) good = take_number(c, 65535, &port) && port > 0;
    if (!good || via->host.length > RW_SIP_MAX_HOST_BYTES) via->host.length = 0;
    via->port = (uint16_t)port;
    return via->host.length ? 0 : -RW_SIP_VIA;
}

static int note_via_parameter(const uint8_t *data, const parameter *p, rw_sip_via *via) {
    if (span_is(data, p->name, "branch")) return set_once(&via->branch, p->value);
    if (span_is(data, p->name, "maddr")) return set_once(&via->maddr, p->value);
    if (span_is(data, p->name, "received")) {
        via->received = p->value;
        return set_once(&via->received_param, p->whole);
    }
    if (span_is(data, p->name, "rport")) return set_once(&via->rport_param, p->whole);
    return 0;
}

static int take_via(cursor *c, rw_sip_via *via) {
    uint32_t from = c->at;
    parameter p;
    int bad_protocol = take_via_protocol(c, via);
    int bad = take_sent_by(c, via);
    while (!bad && (bad = take_parameter(c, &p)) > 0)
        bad = note_via_parameter(c->data, &p, via);
    via->whole = trim(c->data, from, c->at);
    return bad_protocol ? bad_protocol : bad;
}

int rw_sip_scan_via(const uint8_t *data, size_t length, rw_sip_via *via) {
    *via = (rw_sip_via){0};
    if (length > RW_SIP_MAX_BYTES) return -RW_SIP_TOO_LONG;
    cursor c = {data, 0, (uint32_t)length};
    skip_lws(&c);
    return take_via(&c, via);
}

/* The first fault counts; faults found later are often its consequences. */
static void refuse(rw_sip_message *m, int reject) {
    if (reject < 0 && !m->reject) m->reject = (rw_sip_reject)-reject;
}

static bool seen(const rw_sip_message *m, rw_sip_header_id id) {
    return m->seen >> id & 1;
}

static int scan_cseq(const uint8_t *data, rw_sip_span value, rw_sip_message *m) {
    cursor c = over(data, value);
    /* RFC 3261 section 8.1.1.5: less than 2**31. */
    if (!take_number(&c, INT32_MAX, &m->cseq) || !(classes[peek(&c)] & LWS)) return -RW_SIP_CSEQ;
    skip_lws(&c);
    m->cseq_method = take_while(&c, TOKEN);
    return m->cseq_method.length && at_end(&c) ? 0 : -RW_SIP_CSEQ;
}

static int scan_call_id(const uint8_t *data, rw_sip_span value, rw_sip_message *m) {
    m->call_id = value;
    for (uint32_t i = 0; i < value.length; i++)
        if (classes[data[value.at + i]] & LWS) return -RW_SIP_CALL_ID;
    return value.length ? 0 : -RW_SIP_CALL_ID;
}

static int scan_topmost_via(const uint8_t *data, rw_sip_span value, rw_sip_message *m) {
    cursor c = over(data, value);
    return seen(m, RW_SIP_H_VIA) ? 0 : take_via(&c, &m->via);
}

/* Checks the value of a header that this layer reads, and notes its fields. */
static int scan_value(const uint8_t *data, const rw_sip_header *h, rw_sip_message *m) {
    uint32_t number;
    switch (h->id) {
    case RW_SIP_H_VIA:
        return scan_topmost_via(data, h->value, m);
    case RW_SIP_H_FROM:
        return scan_address(data, h->value, &m->from_tag);
    case RW_SIP_H_TO:
        return scan_address(data, h->value, &m->to_tag);
    case RW_SIP_H_CALL_ID:
        return scan_call_id(data, h->value, m);
    case RW_SIP_H_CSEQ:
        return scan_cseq(data, h->value, m);
    case RW_SIP_H_CONTENT_LENGTH:
        return read_number(data, h->value, UINT32_MAX, &m->content_length) ? 0
                                                                           : -RW_SIP_CONTENT_LENGTH;
    case RW_SIP_H_MAX_FORWARDS:
        return read_number(data, h->value, 255, &number) ? 0 : -RW_SIP_NUMBER;
    case RW_SIP_H_EXPIRES:
        return read_number(data, h->value, UINT32_MAX, &number) ? 0 : -RW_SIP_NUMBER;
    case RW_SIP_H_CONTACT:
    case RW_SIP_H_ROUTE:
    case RW_SIP_H_RECORD_ROUTE:
        return scan_address_list(data, h->value);
    default:
        return 0;
    }
}

/* Headers that may stand once only (RFC 3261 section 7.3.1): a second one is an attack or a bug. */
static const uint32_t single_headers = 1u << RW_SIP_H_FROM | 1u << RW_SIP_H_TO |
                                       1u << RW_SIP_H_CALL_ID | 1u << RW_SIP_H_CSEQ |
                                       1u << RW_SIP_H_CONTENT_LENGTH | 1u << RW_SIP_H_CONTENT_TYPE |
                                       1u << RW_SIP_H_MAX_FORWARDS | 1u << RW_SIP_H_EXPIRES;

static void note_header(const uint8_t *data, const rw_sip_header *h, rw_sip_message *m) {
    uint32_t bit = h->id < 32 ? 1u << h->id : 0;
    if (m->seen & bit & single_headers)
        refuse(m, -RW_SIP_DUPLICATE);
    else
        refuse(m, scan_value(data, h, m));
    m->seen |= bit;
}

rw_sip_header_id rw_sip_header_lookup(const uint8_t *name, size_t length) {
    for (unsigned id = 1; id < RW_SIP_H_COUNT; id++) {
        const struct known_header *known = &known_headers[id];
        if (length == 1 && known->compact == (char)lower(name[0])) return id;
        if (length == known->length && equals_any_case(name, known->name, length)) return id;
    }
    return RW_SIP_H_UNKNOWN;
}

/* One header line, all its folds included, without the last CRLF. */
static int scan_header_line(const uint8_t *data, uint32_t at, uint32_t end, bool folded,
                            rw_sip_message *m) {
    cursor c = {data, at, end};
    rw_sip_span name = take_while(&c, TOKEN);
    take_while(&c, LWS); /* HCOLON: white space before the colon too */
    if (!name.length || peek(&c) != ':') {
        refuse(m, -RW_SIP_HEADER_NAME);
        return 0;
    }
    if (m->header_count == RW_SIP_MAX_HEADERS) return -RW_SIP_HEADER_COUNT;
    rw_sip_header *h = &m->headers[m->header_count++];
    h->name = name;
    h->id = (uint8_t)rw_sip_header_lookup(data + name.at, name.length);
    h->value = trim(data, c.at + 1, end);
    h->folded = folded && memchr(data + h->value.at, '\r', h->value.length);
    note_header(data, h, m);
    return 0;
}

/* Finds the CRLF that ends the line at `at`. CR and LF occur in that pair only. */
static int find_line_end(const uint8_t *data, uint32_t at, uint32_t length, uint32_t *end) {
    const uint8_t *feed = memchr(data + at, '\n', length - at);
    if (!feed) return -RW_SIP_HEADER_END;
    uint32_t size = (uint32_t)(feed - data) - at;
    const uint8_t *carriage = memchr(data + at, '\r', size);
    if (!size || carriage != feed - 1) return -RW_SIP_LINE_END;
    *end = at + size - 1;
    return 0;
}

static bool continues(const uint8_t *data, uint32_t at, uint32_t length) {
    return at < length && (data[at] == ' ' || data[at] == '\t');
}

/* Scans header lines from `*at` to behind the empty line. */
static int scan_headers(const uint8_t *data, uint32_t length, uint32_t *at, rw_sip_message *m) {
    for (;;) {
        uint32_t from = *at, end = 0;
        if (from == length) {
            refuse(m, -RW_SIP_HEADER_END);
            return 0;
        }
        int failed = find_line_end(data, from, length, &end);
        if (failed) return failed;
        *at = end + 2;
        if (end == from) return 0;
        bool folded = false;
        while (continues(data, *at, length)) {
            if ((failed = find_line_end(data, *at, length, &end))) return failed;
            folded = true;
            *at = end + 2;
        }
        if ((failed = scan_header_line(data, from, end, folded, m))) return failed;
    }
}

/* SIP/2.0, or another version, or something that is no version. */
static int check_version(const uint8_t *data, rw_sip_span version) {
    cursor c = over(data, version);
    uint32_t major, minor;
    if (version.length < 4 || !equals_any_case(data + version.at, "SIP/", 4))
        return -RW_SIP_START_LINE;
    c.at += 4;
    if (!take_number(&c, UINT32_MAX, &major) || peek(&c) != '.') return -RW_SIP_START_LINE;
    c.at++;
    if (!take_number(&c, UINT32_MAX, &minor) || !at_end(&c)) return -RW_SIP_START_LINE;
    return major == 2 && minor == 0 ? 0 : -RW_SIP_VERSION;
}

/* RFC 3261 sections 7.1 and 19.1.1: no white space, no brackets, no headers in a Request-URI. */
static int check_request_uri(const uint8_t *data, rw_sip_span uri) {
    if (!span_is_all(data, uri, URI)) return -RW_SIP_URI;
    const uint8_t *from = data + uri.at;
    const uint8_t *colon = memchr(from, ':', uri.length);
    if (!colon || colon == from) return -RW_SIP_URI;
    rw_sip_span scheme = {uri.at, (uint32_t)(colon - from)};
    if (!span_is(data, scheme, "sip") && !span_is(data, scheme, "sips")) return 0;
    /* A user part may hold a question mark, the rest of a Request-URI may not. */
    const uint8_t *at_sign = memrchr(from, '@', uri.length);
    const uint8_t *host = at_sign ? at_sign + 1 : colon + 1;
    bool headers = memchr(host, '?', uri.length - (size_t)(host - from)) != NULL;
    return headers || host == from + uri.length ? -RW_SIP_URI : 0;
}

/* METHOD SP URI SP VERSION. What stands between the first and the last space is the URI, so that
 * white space within it is seen as such. Space behind the version is dropped (RFC 4475 3.1.2.10).
 */
static int scan_request_line(const uint8_t *data, rw_sip_span line, rw_sip_message *m) {
    cursor c = over(data, trim(data, line.at, line.at + line.length));
    m->is_request = true;
    m->method = take_while(&c, TOKEN);
    const uint8_t *last = memrchr(data + c.at, ' ', c.end - c.at);
    if (!m->method.length || peek(&c) != ' ' || !last) return -RW_SIP_START_LINE;
    uint32_t version_at = (uint32_t)(last - data) + 1;
    int failed = check_version(data, (rw_sip_span){version_at, c.end - version_at});
    if (failed == -RW_SIP_START_LINE || version_at < c.at + 2) return -RW_SIP_START_LINE;
    m->uri = (rw_sip_span){c.at + 1, version_at - c.at - 2};
    refuse(m, failed);
    refuse(m, check_request_uri(data, m->uri));
    return 0;
}

/* SIP/2.0 SP 3DIGIT SP Reason. The space behind the status is missed by some when no reason
 * follows. */
static int scan_status_line(const uint8_t *data, rw_sip_span line, rw_sip_message *m) {
    cursor c = over(data, line);
    rw_sip_span version = take_while(&c, VALUE);
    int failed = check_version(data, version);
    if (failed) return failed;
    if (peek(&c) != ' ') return -RW_SIP_START_LINE;
    c.at++;
    uint32_t from = c.at, status = 0;
    if (!take_number(&c, 699, &status) || c.at - from != 3 || status < 100) return -RW_SIP_STATUS;
    if (!at_end(&c) && c.data[c.at] != ' ') return -RW_SIP_STATUS;
    m->status = (uint16_t)status;
    m->reason = trim(data, c.at, c.end);
    return 0;
}

static int scan_start_line(const uint8_t *data, uint32_t length, uint32_t *at, rw_sip_message *m) {
    /* RFC 3261 section 7.5: CRLFs before the start line are ignored. */
    while (length - *at >= 2 && data[*at] == '\r' && data[*at + 1] == '\n')
        *at += 2;
    if (*at == length) return -RW_SIP_EMPTY;
    uint32_t end = 0;
    int failed = find_line_end(data, *at, length, &end);
    if (failed) return failed;
    rw_sip_span line = {*at, end - *at};
    *at = end + 2;
    if (classes[data[line.at]] & LWS) return -RW_SIP_START_LINE;
    if (line.length >= 4 && equals_any_case(data + line.at, "SIP/", 4))
        return scan_status_line(data, line, m);
    return scan_request_line(data, line, m);
}

/* NUL is allowed in a quoted pair within a quoted string, nowhere else (RFC 3261 section 25.1). */
static bool has_bare_nul(const uint8_t *data, rw_sip_span value) {
    bool quoted = false;
    for (uint32_t i = 0; i < value.length; i++) {
        uint8_t byte = data[value.at + i];
        if (!byte) return true;
        if (byte == '"') quoted = !quoted;
        if (byte == '\\' && quoted) i++;
    }
    return false;
}

/* A Call-ID knows no quoted strings, though it may hold quotes. */
static int check_nul(const uint8_t *data, const rw_sip_message *m) {
    if (span_has(data, m->reason, 0)) return -RW_SIP_NUL;
    for (unsigned i = 0; i < m->header_count; i++) {
        const rw_sip_header *h = &m->headers[i];
        if (!span_has(data, h->value, 0)) continue;
        if (h->id == RW_SIP_H_CALL_ID || has_bare_nul(data, h->value)) return -RW_SIP_NUL;
    }
    return 0;
}

static void check_present(rw_sip_message *m) {
    if (!seen(m, RW_SIP_H_VIA)) refuse(m, -RW_SIP_MISSING_VIA);
    if (!seen(m, RW_SIP_H_FROM)) refuse(m, -RW_SIP_MISSING_FROM);
    if (!seen(m, RW_SIP_H_TO)) refuse(m, -RW_SIP_MISSING_TO);
    if (!seen(m, RW_SIP_H_CALL_ID)) refuse(m, -RW_SIP_MISSING_CALL_ID);
    if (!seen(m, RW_SIP_H_CSEQ)) refuse(m, -RW_SIP_MISSING_CSEQ);
}

static void check_method(const uint8_t *data, rw_sip_message *m) {
    if (!m->is_request || !m->cseq_method.length) return;
    if (m->method.length != m->cseq_method.length ||
        memcmp(data + m->method.at, data + m->cseq_method.at, m->method.length) != 0)
        refuse(m, -RW_SIP_CSEQ_METHOD);
}

/* RFC 3261 section 18.3: in a datagram, bytes behind Content-Length are dropped; without that
 * header the body is the rest. */
static void find_body(uint32_t at, uint32_t length, rw_sip_message *m) {
    uint32_t rest = length - at;
    m->body = (rw_sip_span){at, rest};
    if (!seen(m, RW_SIP_H_CONTENT_LENGTH)) return;
    if (m->content_length > rest) return refuse(m, -RW_SIP_BODY_SHORT);
    m->body.length = m->content_length;
}

static bool is_answerable(const uint8_t *data, const rw_sip_message *m) {
    return m->reject && m->is_request && m->via.host.length && !span_is(data, m->method, "ACK");
}

/* Everything but the headers' array, which would cost more than the scan. */
static void reset(rw_sip_message *m) {
    memset(m, 0, offsetof(rw_sip_message, headers));
}

/* A fault in the structure: what was found is not to be trusted, nothing is answered. */
static int refuse_outright(rw_sip_message *m, int reject) {
    m->reject = (rw_sip_reject)-reject;
    return reject;
}

int rw_sip_scan(const uint8_t *data, size_t length, rw_sip_message *m) {
    uint32_t at = 0;
    reset(m);
    if (length > RW_SIP_MAX_BYTES) return refuse_outright(m, -RW_SIP_TOO_LONG);
    int failed = scan_start_line(data, (uint32_t)length, &at, m);
    if (!failed) failed = scan_headers(data, (uint32_t)length, &at, m);
    if (!failed && memchr(data, 0, at)) failed = check_nul(data, m);
    if (failed) return refuse_outright(m, failed);
    check_present(m);
    check_method(data, m);
    find_body(at, (uint32_t)length, m);
    m->answerable = is_answerable(data, m);
    return -(int)m->reject;
}

unsigned rw_sip_answer_status(const rw_sip_message *m) {
    if (!m->answerable) return 0;
    return m->reject == RW_SIP_VERSION ? 505 : 400; /* RFC 3261 sections 21.5.6 and 21.4.1 */
}

size_t rw_sip_unfold(const uint8_t *data, rw_sip_span value, uint8_t *to) {
    uint32_t at = value.at, end = value.at + value.length;
    size_t size = 0;
    while (at < end) {
        if (data[at] != '\r') {
            to[size++] = data[at++];
            continue;
        }
        while (size && classes[to[size - 1]] & LWS)
            size--;
        while (at < end && classes[data[at]] & LWS)
            at++;
        to[size++] = ' ';
    }
    return size;
}

const char *rw_sip_header_name(unsigned id) {
    return id && id < RW_SIP_H_COUNT ? known_headers[id].name : NULL;
}

const char *rw_sip_reject_name(unsigned reject) {
    return reject < RW_SIP_REJECT_COUNT ? reject_names[reject] : NULL;
}
