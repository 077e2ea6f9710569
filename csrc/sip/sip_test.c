#include "sip/sip.h"

#include <ctype.h>
#include <string.h>

#include "sip/sip_check.h"

#define REQUEST_LINE "OPTIONS sip:user@example.com SIP/2.0\r\n"
#define VIA "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
#define FROM "From: <sip:a@example.com>;tag=1\r\n"
#define TO "To: <sip:b@example.com>\r\n"
#define CALL_ID "Call-ID: x@y\r\n"
#define CSEQ "CSeq: 7 OPTIONS\r\n"
#define REST FROM TO CALL_ID CSEQ
#define GOOD REQUEST_LINE VIA REST

static rw_sip_message message;

/* Scans from memory of exactly that length, so that ASan sees a byte too many. */
static int scan_exactly(const char *text, size_t length) {
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    memset(&message, 0xa5, sizeof message);
    int result = rw_sip_scan(copy, length, &message);
    check_message(&message, length);
    free(copy);
    return result;
}

static int scan(const char *text) {
    return scan_exactly(text, strlen(text));
}

static bool span_equals(const char *text, rw_sip_span span, const char *expected) {
    return span.length == strlen(expected) && !memcmp(text + span.at, expected, span.length);
}

static const struct refused {
    rw_sip_reject reject;
    unsigned status; /* 0: dropped */
    const char *text;
} refused[] = {
    {RW_SIP_EMPTY, 0, ""},
    {RW_SIP_EMPTY, 0, "\r\n\r\n"},
    {RW_SIP_START_LINE, 0, " " GOOD "\r\n"},
    {RW_SIP_START_LINE, 0, "OPTIONS\r\n" VIA REST "\r\n"},
    {RW_SIP_START_LINE, 0, "OPTIONS sip:user@example.com\r\n" VIA REST "\r\n"},
    {RW_SIP_START_LINE, 0, "OPT(IONS sip:user@example.com SIP/2.0\r\n" VIA REST "\r\n"},
    {RW_SIP_START_LINE, 0, "GET / HTTP/1.1\r\n" VIA REST "\r\n"},
    {RW_SIP_START_LINE, 0, "SIP/2 200 OK\r\n" VIA REST "\r\n"},
    {RW_SIP_VERSION, 505, "OPTIONS sip:user@example.com SIP/3.0\r\n" VIA REST "\r\n"},
    {RW_SIP_VERSION, 0, "SIP/3.0 200 OK\r\n" VIA REST "\r\n"},
    {RW_SIP_URI, 400, "OPTIONS user SIP/2.0\r\n" VIA REST "\r\n"},
    {RW_SIP_URI, 400, "OPTIONS  SIP/2.0\r\n" VIA REST "\r\n"},
    {RW_SIP_URI, 400, "OPTIONS sip:user@ SIP/2.0\r\n" VIA REST "\r\n"},
    {RW_SIP_URI, 400, "OPTIONS sip:example.com?a=b SIP/2.0\r\n" VIA REST "\r\n"},
    {RW_SIP_URI, 400, "OPTIONS sip:us\ter@example.com SIP/2.0\r\n" VIA REST "\r\n"},
    {RW_SIP_STATUS, 0, "SIP/2.0 99 Low\r\n" VIA REST "\r\n"},
    {RW_SIP_STATUS, 0, "SIP/2.0 099 Low\r\n" VIA REST "\r\n"},
    {RW_SIP_STATUS, 0, "SIP/2.0 700 High\r\n" VIA REST "\r\n"},
    {RW_SIP_STATUS, 0, "SIP/2.0 0200 Long\r\n" VIA REST "\r\n"},
    {RW_SIP_LINE_END, 0, GOOD "A: b\rc\r\n\r\n"},
    {RW_SIP_LINE_END, 0, GOOD "A: b\n\r\n"},
    {RW_SIP_LINE_END, 0, GOOD "\n"},
    {RW_SIP_HEADER_END, 0, "OPTIONS sip:user@example.com SIP/2.0"},
    {RW_SIP_HEADER_END, 0, GOOD "A: b"},
    {RW_SIP_HEADER_END, 400, GOOD},
    {RW_SIP_HEADER_NAME, 400, GOOD "no colon\r\n\r\n"},
    {RW_SIP_HEADER_NAME, 400, GOOD ": no name\r\n\r\n"},
    {RW_SIP_HEADER_NAME, 400, REQUEST_LINE " folded\r\n" VIA REST "\r\n"},
    {RW_SIP_DUPLICATE, 400, GOOD CALL_ID "\r\n"},
    {RW_SIP_DUPLICATE, 400, GOOD "l: 0\r\nContent-Length: 0\r\n\r\n"},
    {RW_SIP_DUPLICATE, 400, GOOD "Max-Forwards: 1\r\nmax-forwards: 1\r\n\r\n"},
    {RW_SIP_QUOTE, 400, REQUEST_LINE VIA "From: \"a <sip:a@b>;tag=1\r\n" TO CALL_ID CSEQ "\r\n"},
    {RW_SIP_QUOTE, 400, GOOD "Contact: \"a\\\" <sip:a@b>\r\n\r\n"},
    {RW_SIP_QUOTE, 400, GOOD "Contact: <sip:a@b>;x=\"\\\r\n\r\n"},
    {RW_SIP_BRACKET, 400, GOOD "Contact: <sip:a@b\r\n\r\n"},
    {RW_SIP_ADDRESS, 400, GOOD "Contact: sip:a@b?c=d\r\n\r\n"},
    {RW_SIP_ADDRESS, 400, GOOD "Contact: \"a\" sip:a@b\r\n\r\n"},
    {RW_SIP_ADDRESS, 400, GOOD "Contact: <>\r\n\r\n"},
    {RW_SIP_ADDRESS, 400, GOOD "Contact: \r\n\r\n"},
    {RW_SIP_ADDRESS, 400, GOOD "Record-Route: <sip:a;lr>,\r\n\r\n"},
    {RW_SIP_ADDRESS, 400, REQUEST_LINE VIA "From: sip:a@b, sip:c@d\r\n" TO CALL_ID CSEQ "\r\n"},
    {RW_SIP_ADDRESS, 400, REQUEST_LINE VIA "From: <sip:a@b>, <sip:c@d>\r\n" TO CALL_ID CSEQ "\r\n"},
    {RW_SIP_PARAMETER, 400, GOOD "Contact: <sip:a@b>;;\r\n\r\n"},
    {RW_SIP_PARAMETER, 400, GOOD "Contact: <sip:a@b> q\r\n\r\n"},
    {RW_SIP_PARAMETER, 400, REQUEST_LINE VIA "From: <sip:a@b>;tag=\r\n" TO CALL_ID CSEQ "\r\n"},
    {RW_SIP_PARAMETER, 400, REQUEST_LINE VIA "f: <sip:a@b>;tag=1;tag=2\r\n" TO CALL_ID CSEQ "\r\n"},
    {RW_SIP_VIA, 400, REQUEST_LINE "Via: SIP/3.0/UDP host\r\n" REST "\r\n"},
    {RW_SIP_VIA, 0, REQUEST_LINE "Via: SIP/2.0/UDP\r\n" REST "\r\n"},
    {RW_SIP_VIA, 0, REQUEST_LINE "Via: SIP/2.0/UDP ;branch=a\r\n" REST "\r\n"},
    {RW_SIP_VIA, 0, REQUEST_LINE "Via: SIP/2.0/UDP host:0\r\n" REST "\r\n"},
    {RW_SIP_VIA, 0, REQUEST_LINE "Via: SIP/2.0/UDP host:65536\r\n" REST "\r\n"},
    {RW_SIP_VIA, 0, REQUEST_LINE "Via: SIP/2.0/UDP [::1\r\n" REST "\r\n"},
    {RW_SIP_VIA, 0, REQUEST_LINE "Via: SIP/2.0/UDP [host]\r\n" REST "\r\n"},
    {RW_SIP_PARAMETER, 400, REQUEST_LINE "Via: SIP/2.0/UDP h;rport;rport\r\n" REST "\r\n"},
    {RW_SIP_PARAMETER, 400, REQUEST_LINE "Via: SIP/2.0/UDP h;branch=a;branch=b\r\n" REST "\r\n"},
    {RW_SIP_CALL_ID, 400, REQUEST_LINE VIA FROM TO "Call-ID: \r\n" CSEQ "\r\n"},
    {RW_SIP_CALL_ID, 400, REQUEST_LINE VIA FROM TO "Call-ID: a b\r\n" CSEQ "\r\n"},
    {RW_SIP_CSEQ, 400, REQUEST_LINE VIA FROM TO CALL_ID "CSeq: 2147483648 OPTIONS\r\n\r\n"},
    {RW_SIP_CSEQ, 400, REQUEST_LINE VIA FROM TO CALL_ID "CSeq: -1 OPTIONS\r\n\r\n"},
    {RW_SIP_CSEQ, 400, REQUEST_LINE VIA FROM TO CALL_ID "CSeq: 7\r\n\r\n"},
    {RW_SIP_CSEQ, 400, REQUEST_LINE VIA FROM TO CALL_ID "CSeq: 7OPTIONS\r\n\r\n"},
    {RW_SIP_CSEQ_METHOD, 400, REQUEST_LINE VIA FROM TO CALL_ID "CSeq: 7 options\r\n\r\n"},
    {RW_SIP_NUMBER, 400, GOOD "Max-Forwards: 256\r\n\r\n"},
    {RW_SIP_NUMBER, 400, GOOD "Expires: 4294967296\r\n\r\n"},
    {RW_SIP_CONTENT_LENGTH, 400, GOOD "Content-Length: -1\r\n\r\n"},
    {RW_SIP_CONTENT_LENGTH, 400, GOOD "Content-Length: 0x1\r\n\r\n"},
    {RW_SIP_CONTENT_LENGTH, 400, GOOD "Content-Length: 99999999999999999999\r\n\r\n"},
    {RW_SIP_BODY_SHORT, 400, GOOD "Content-Length: 5\r\n\r\n1234"},
    {RW_SIP_MISSING_VIA, 0, REQUEST_LINE REST "\r\n"},
    {RW_SIP_MISSING_FROM, 400, REQUEST_LINE VIA TO CALL_ID CSEQ "\r\n"},
    {RW_SIP_MISSING_TO, 400, REQUEST_LINE VIA FROM CALL_ID CSEQ "\r\n"},
    {RW_SIP_MISSING_CALL_ID, 400, REQUEST_LINE VIA FROM TO CSEQ "\r\n"},
    {RW_SIP_MISSING_CSEQ, 400, REQUEST_LINE VIA FROM TO CALL_ID "\r\n"},
    /* An ACK is never answered (RFC 3261 section 17.1.1.3). */
    {RW_SIP_MISSING_TO, 0, "ACK sip:a@b SIP/2.0\r\n" VIA FROM CALL_ID "CSeq: 7 ACK\r\n\r\n"},
};

static void test_refuses(void) {
    for (size_t i = 0; i < RW_LENGTH_OF(refused); i++) {
        int result = scan(refused[i].text);
        if (result != -(int)refused[i].reject)
            fprintf(stderr, "%s\n-> %s\n", refused[i].text, rw_sip_reject_name((unsigned)-result));
        CHECK_EQUAL(-result, refused[i].reject);
        CHECK_EQUAL(rw_sip_answer_status(&message), refused[i].status);
    }
}

/* The text with its one '@' in the header added replaced by NUL. */
static int scan_with_nul(const char *line) {
    char text[1000];
    int length = snprintf(text, sizeof text, GOOD "%s\r\n\r\n", line);
    *strrchr(text, '@') = 0;
    return scan_exactly(text, (size_t)length);
}

static void test_nul_in_quoted_pairs_only(void) {
    CHECK_EQUAL(scan_with_nul("Subject: a@b"), -RW_SIP_NUL);
    CHECK_EQUAL(scan_with_nul("Subject: a\\@b"), -RW_SIP_NUL);
    CHECK_EQUAL(scan_with_nul("Subject: \"a@b\""), -RW_SIP_NUL);
    CHECK_EQUAL(scan_with_nul("Subject: \"a\\@b\""), 0);
    CHECK_EQUAL(scan_with_nul("Subject: \"a\\\"\\@b\""), 0);
}

static void test_every_truncation(void) {
    static const char text[] = GOOD "Contact: \"q\\\"\" <sip:c@d>;a=\"b\", <sip:e@f>\r\n"
                                    "Subject: folded\r\n  twice\r\n\t more\r\nl: 4\r\n\r\nbody";
    for (size_t length = 0; length < sizeof text - 1; length++)
        CHECK(scan_exactly(text, length) < 0);
    CHECK_EQUAL(scan_exactly(text, sizeof text - 1), 0);
}

static void test_fields_of_a_request(void) {
    static const char text[] =
        "\r\n\r\nINVITE sips:bob@example.com;a=b SIP/2.0\r\n"
        "v: SIP / 2.0 / TLS  [2001:DB8::1]:5071 ; rport; "
        "branch=z9hG4bK1;received=192.0.2.9;maddr=224.0.1.75 , SIP/2.0/UDP b\r\n"
        "VIA: SIP/2.0/UDP c\r\n"
        "f: \"A, B\" <sip:a@example.com;tag=no>;x=\"tag=no\" ; TAG = f1\r\n"
        "t:sip:b@example.com;tag=t1\r\n"
        "I : c1\r\ncseq: 0012\r\n INVITE\r\nl: 2\r\n\r\nhello";
    CHECK_EQUAL(scan(text), 0);
    const rw_sip_via *via = &message.via;
    CHECK(message.is_request && span_equals(text, message.method, "INVITE"));
    CHECK(span_equals(text, message.uri, "sips:bob@example.com;a=b"));
    CHECK(span_equals(text, via->transport, "TLS") && via->port == 5071 && via->ipv6);
    CHECK(span_equals(text, via->host, "2001:DB8::1") &&
          span_equals(text, via->branch, "z9hG4bK1"));
    CHECK(span_equals(text, via->rport_param, "; rport"));
    CHECK(span_equals(text, via->received, "192.0.2.9"));
    CHECK(span_equals(text, via->received_param, ";received=192.0.2.9"));
    CHECK(span_equals(text, via->maddr, "224.0.1.75"));
    CHECK(span_equals(text, message.from_tag, "f1") && span_equals(text, message.to_tag, "t1"));
    CHECK(span_equals(text, message.call_id, "c1") && message.cseq == 12);
    CHECK(span_equals(text, message.cseq_method, "INVITE"));
    CHECK(span_equals(text, message.body, "he"));
    CHECK(message.headers[5].folded && !message.headers[4].folded);
}

static void test_fields_of_a_response(void) {
    static const char text[] = "SIP/2.0 180 Still  Ringing\r\n" VIA REST "\r\nrest";
    CHECK_EQUAL(scan(text), 0);
    CHECK(!message.is_request && message.status == 180);
    CHECK(span_equals(text, message.reason, "Still  Ringing"));
    CHECK(span_equals(text, message.body, "rest"));
    CHECK_EQUAL(scan("SIP/2.0 200\r\n" VIA REST "\r\n"), 0);
    CHECK_EQUAL(message.reason.length, 0);
}

static void test_accepts_what_is_odd_but_allowed(void) {
    CHECK_EQUAL(scan(GOOD "Contact: *\r\n\r\n"), 0);
    CHECK_EQUAL(scan(GOOD "m: sip:a@b;q=1, \"x\" <sip:c@d?e=f>;q=0.5\r\n\r\n"), 0);
    CHECK_EQUAL(scan("OPTIONS sip:a?b@example.com SIP/2.0  \r\n" VIA REST "\r\n"), 0);
    CHECK_EQUAL(scan("OPTIONS tel:+1-201-555-0123 SIP/2.0\r\n" VIA REST "\r\n"), 0);
    CHECK_EQUAL(scan(REQUEST_LINE "Via: SIP/2.0/UDP a_b:5060;x=[::1]\r\n" REST "\r\n"), 0);
    CHECK_EQUAL(scan(GOOD "X-Empty:\r\n\r\n"), 0);
    CHECK_EQUAL(scan(REQUEST_LINE VIA "f: Bell, A. <sip:a@b>;tag=1\r\n" TO CALL_ID CSEQ "\r\n"), 0);
}

static void test_bounds_of_size(void) {
    static char text[70000] = GOOD;
    size_t length = strlen(text);
    for (int i = 5; i < RW_SIP_MAX_HEADERS; i++, length += 6)
        memcpy(text + length, "A: b\r\n", 6);
    memcpy(text + length, "\r\nA: b\r\n\r\n", 10);
    CHECK_EQUAL(scan_exactly(text, length + 2), 0);
    CHECK_EQUAL(message.header_count, RW_SIP_MAX_HEADERS);
    CHECK_EQUAL(scan_exactly(text, RW_SIP_MAX_BYTES), 0);
    CHECK_EQUAL(scan_exactly(text, RW_SIP_MAX_BYTES + 1), -RW_SIP_TOO_LONG);
    memcpy(text + length, "A: b\r\n\r\n", 8);
    CHECK_EQUAL(scan_exactly(text, length + 8), -RW_SIP_HEADER_COUNT);
}

static void test_host_length_is_bounded(void) {
    char text[2000], host[RW_SIP_MAX_HOST_BYTES + 2] = {0};
    memset(host, 'a', RW_SIP_MAX_HOST_BYTES);
    snprintf(text, sizeof text, REQUEST_LINE "Via: SIP/2.0/UDP %s\r\n" REST "\r\n", host);
    CHECK_EQUAL(scan(text), 0);
    host[RW_SIP_MAX_HOST_BYTES] = 'a';
    snprintf(text, sizeof text, REQUEST_LINE "Via: SIP/2.0/UDP %s\r\n" REST "\r\n", host);
    CHECK_EQUAL(scan(text), -RW_SIP_VIA);
}

static void test_header_names_in_any_case(void) {
    for (unsigned id = 1; id < RW_SIP_H_COUNT; id++) {
        uint8_t name[64];
        size_t length = strlen(rw_sip_header_name(id));
        for (size_t i = 0; i < length; i++)
            name[i] = (uint8_t)(i % 2 ? toupper(rw_sip_header_name(id)[i])
                                      : tolower(rw_sip_header_name(id)[i]));
        CHECK_EQUAL(rw_sip_header_lookup(name, length), id);
        name[length] = 'x';
        CHECK_EQUAL(rw_sip_header_lookup(name, length + 1), RW_SIP_H_UNKNOWN);
    }
    CHECK(!rw_sip_header_name(0) && !rw_sip_header_name(RW_SIP_H_COUNT));
    CHECK(!rw_sip_reject_name(RW_SIP_REJECT_COUNT));
}

static void test_unfold(void) {
    static const char folded[] = "a  \r\n\t b\r\n  \r\n c d";
    uint8_t out[sizeof folded];
    size_t length =
        rw_sip_unfold((const uint8_t *)folded, (rw_sip_span){0, sizeof folded - 1}, out);
    CHECK(length == 7 && !memcmp(out, "a b c d", 7));
}

int main(void) {
    test_refuses();
    test_nul_in_quoted_pairs_only();
    test_every_truncation();
    test_fields_of_a_request();
    test_fields_of_a_response();
    test_accepts_what_is_odd_but_allowed();
    test_bounds_of_size();
    test_host_length_is_bounded();
    test_header_names_in_any_case();
    test_unfold();
    return 0;
}
