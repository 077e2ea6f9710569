#include "counters/counters.h"

#include <string.h>

#include "test/check.h"

static bool is_no_reason(int counter) {
    return counter == RW_RECEIVED_REJECT_0 + RW_RTP_OK ||
           counter == RW_NOT_HEARD_0 + RW_EAR_TAKEN || counter == RW_SRTP_REJECT_0 + RW_SRTP_OK ||
           counter == RW_RTCP_REJECT_0 + RW_RTCP_OK;
}

static void test_every_counter_but_the_valid_packet_has_a_name_of_its_own(void) {
    for (int i = 0; i < RW_COUNTERS; i++) {
        const char *name = rw_counter_name((rw_counter)i);
        CHECK((name == NULL) == is_no_reason(i));
        for (int j = 0; name && j < i; j++) {
            const char *other = rw_counter_name((rw_counter)j);
            CHECK(!other || strcmp(name, other) != 0);
        }
    }
    CHECK(!rw_counter_name(RW_COUNTERS));
}

int main(void) {
    test_every_counter_but_the_valid_packet_has_a_name_of_its_own();
    return 0;
}
