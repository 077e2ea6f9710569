/* libFuzzer target: whatever comes in, every span lies within it, and unfolding never grows. */
#include <stdlib.h>
#include <string.h>

#include "sip/sip.h"
#include "sip/sip_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_unfolding(const uint8_t *data, const rw_sip_message *m) {
    for (unsigned i = 0; i < m->header_count; i++) {
        rw_sip_span value = m->headers[i].value;
        if (!m->headers[i].folded) continue;
        uint8_t *to = malloc(value.length); /* exactly as much as promised: ASan sees the rest */
        size_t length = rw_sip_unfold(data, value, to);
        CHECK(length <= value.length && !memchr(to, '\r', length) && !memchr(to, '\n', length));
        free(to);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rw_sip_message message;
    rw_sip_via via;
    memset(&message, 0xa5, sizeof message); /* the scanner must not count on zeros */
    int result = rw_sip_scan(data, size, &message);
    CHECK_EQUAL(result, -(int)message.reject);
    check_message(&message, size);
    check_unfolding(data, &message);
    rw_sip_scan_via(data, size, &via);
    check_via(&via, size);
    return 0;
}
