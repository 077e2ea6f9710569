#include "address/address.h"

#include <arpa/inet.h>
#include <errno.h>

#include "test/check.h"

static rw_address at(const char *host, uint16_t port) {
    rw_address address;
    CHECK_EQUAL(rw_address_parse(&address, host, port), 0);
    return address;
}

static void test_addresses_are_numeric(void) {
    rw_address address;
    CHECK_EQUAL(rw_address_parse(&address, "192.0.2.7", 5004), 0);
    CHECK_EQUAL(ntohs(address.v4.sin_port), 5004);
    CHECK_EQUAL(ntohl(address.v4.sin_addr.s_addr), 0xc0000207);
    CHECK_EQUAL(rw_address_bytes(&address), sizeof(struct sockaddr_in));
    CHECK_EQUAL(rw_address_parse(&address, "2001:db8::1", 9), 0);
    CHECK_EQUAL(address.v6.sin6_family, AF_INET6);
    CHECK_EQUAL(rw_address_bytes(&address), sizeof(struct sockaddr_in6));
    CHECK_EQUAL(rw_address_parse(&address, "example.com", 9), -EINVAL);
    CHECK_EQUAL(rw_address_parse(&address, "", 9), -EINVAL);
}

static void test_equal_are_family_host_and_port(void) {
    rw_address a = at("192.0.2.7", 5004), b = at("192.0.2.7", 5004);
    CHECK(rw_address_equal(&a, &b));
    b = at("192.0.2.7", 5006);
    CHECK(!rw_address_equal(&a, &b));
    b = at("192.0.2.8", 5004);
    CHECK(!rw_address_equal(&a, &b));
    b = at("::ffff:192.0.2.7", 5004);
    CHECK(!rw_address_equal(&a, &b));
    a = at("fe80::1", 5004);
    b = at("fe80::1", 5004);
    b.v6.sin6_scope_id = 3;
    CHECK(rw_address_equal(&a, &b));
    b = at("fe80::2", 5004);
    CHECK(!rw_address_equal(&a, &b));
}

static void test_the_next_port_is_of_the_same_host(void) {
    for (int i = 0; i < 2; i++) {
        const char *host = i ? "2001:db8::1" : "192.0.2.7";
        rw_address a = at(host, 5004), b = at(host, 5005), wrapped = at(host, 65535);
        CHECK(rw_address_same_host(&a, &b) && !rw_address_equal(&a, &b));
        rw_address_next_port(&a);
        CHECK(rw_address_equal(&a, &b));
        rw_address_next_port(&wrapped);
        CHECK(!rw_address_is_unicast(&wrapped));
        b = at(i ? "2001:db8::2" : "192.0.2.8", 5005);
        CHECK(!rw_address_same_host(&a, &b));
        b = at(i ? "192.0.2.7" : "::ffff:192.0.2.7", 5005);
        CHECK(!rw_address_same_host(&a, &b));
    }
}

static void test_one_host_or_not(void) {
    const char *hosts[] = {"192.0.2.7", "127.0.0.1",        "223.255.255.255", "1.0.0.0",
                           "::1",       "::ffff:192.0.2.7", "2001:db8::1"};
    const char *others[] = {
        "0.0.0.0", "0.1.2.3", "224.0.0.1",      "240.0.0.1",       "255.255.255.255",
        "::",      "ff02::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        rw_address host = at(hosts[i], 5004), no_port = at(hosts[i], 0);
        CHECK(rw_address_is_unicast(&host));
        CHECK(!rw_address_is_unicast(&no_port));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        rw_address other = at(others[i], 5004);
        CHECK(!rw_address_is_unicast(&other));
    }
    rw_address local = {.any = {.sa_family = AF_UNIX}};
    local.v4.sin_port = htons(5004);
    CHECK(!rw_address_is_unicast(&local));
    CHECK_EQUAL(rw_address_bytes(&local), 0);
}

int main(void) {
    test_addresses_are_numeric();
    test_equal_are_family_host_and_port();
    test_the_next_port_is_of_the_same_host();
    test_one_host_or_not();
    return 0;
}
