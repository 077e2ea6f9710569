/* What must hold of every scan, whatever came in: for the unit test and the fuzzer. */
#ifndef RW_SIP_CHECK_H
#define RW_SIP_CHECK_H

#include "base/base.h"
#include "sip/sip.h"
#include "test/check.h"

static inline void check_span(rw_sip_span span, size_t length) {
    CHECK(span.at <= length && span.length <= length - span.at);
}

static inline void check_via(const rw_sip_via *via, size_t length) {
    const rw_sip_span spans[] = {via->whole,          via->transport,  via->host,
                                 via->branch,         via->received,   via->maddr,
                                 via->received_param, via->rport_param};
    for (size_t i = 0; i < RW_LENGTH_OF(spans); i++)
        check_span(spans[i], length);
    CHECK(via->host.length <= RW_SIP_MAX_HOST_BYTES);
}

static inline void check_message(const rw_sip_message *m, size_t length) {
    const rw_sip_span spans[] = {m->method,  m->uri,      m->reason, m->cseq_method,
                                 m->call_id, m->from_tag, m->to_tag, m->body};
    for (size_t i = 0; i < RW_LENGTH_OF(spans); i++)
        check_span(spans[i], length);
    check_via(&m->via, length);
    CHECK(m->header_count <= RW_SIP_MAX_HEADERS);
    for (unsigned i = 0; i < m->header_count; i++) {
        check_span(m->headers[i].name, length);
        check_span(m->headers[i].value, length);
        CHECK(m->headers[i].id < RW_SIP_H_COUNT);
    }
    CHECK(m->reject < RW_SIP_REJECT_COUNT);
    CHECK(!m->answerable || (m->reject && m->is_request && m->via.host.length));
}

#endif
