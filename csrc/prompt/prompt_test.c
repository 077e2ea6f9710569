#include "prompt/prompt.h"

#include <string.h>

#include "test/check.h"

static rw_prompt *prompt_of(const char *text) {
    return rw_prompt_create((const uint8_t *)text, strlen(text));
}

static void check_read(rw_playlist *playlist, size_t ask, const char *expected) {
    uint8_t buffer[64];
    CHECK_EQUAL(rw_playlist_read(playlist, buffer, ask), strlen(expected));
    CHECK(memcmp(buffer, expected, strlen(expected)) == 0);
}

static void test_borders_leave_no_gap(void) {
    rw_prompt *prompts[] = {prompt_of("abcde"), prompt_of(""), prompt_of("f"), prompt_of("ghij")};
    rw_playlist *playlist = rw_playlist_create(7, prompts, 4, false);
    for (int i = 0; i < 4; i++)
        rw_prompt_release(prompts[i]);
    check_read(playlist, 4, "abcd");
    CHECK(!rw_playlist_ended(playlist));
    check_read(playlist, 4, "efgh");
    check_read(playlist, 4, "ij");
    CHECK(rw_playlist_ended(playlist));
    check_read(playlist, 4, "");
    CHECK_EQUAL(playlist->played_bytes, 10);
    rw_playlist_destroy(playlist);
}

static void test_end_is_known_with_the_last_byte(void) {
    rw_prompt *prompts[] = {prompt_of("abcd"), prompt_of("")};
    rw_playlist *playlist = rw_playlist_create(1, prompts, 2, false);
    check_read(playlist, 4, "abcd");
    CHECK(rw_playlist_ended(playlist));
    rw_playlist_destroy(playlist);
    for (int i = 0; i < 2; i++)
        rw_prompt_release(prompts[i]);
}

static void test_loop_goes_round_within_a_packet(void) {
    rw_prompt *prompts[] = {prompt_of("abc"), prompt_of("")};
    rw_playlist *playlist = rw_playlist_create(1, prompts, 2, true);
    check_read(playlist, 8, "abcabcab");
    check_read(playlist, 2, "ca");
    rw_playlist_destroy(playlist);
    CHECK(!rw_playlist_create(1, prompts + 1, 1, true)); /* silence for ever would never return */
    for (int i = 0; i < 2; i++)
        rw_prompt_release(prompts[i]);
}

static void test_empty_list_has_ended(void) {
    rw_playlist *playlist = rw_playlist_create(1, NULL, 0, false);
    CHECK(rw_playlist_ended(playlist));
    rw_playlist_destroy(playlist);
}

static rw_prompt *packets_of(const char *text, const uint16_t *packet_bytes, size_t count) {
    static const int8_t levels_dbov[] = {-30, -20, -40};
    return rw_prompt_create_of_packets((const uint8_t *)text, packet_bytes, levels_dbov, count);
}

static void check_packet(rw_playlist *playlist, const char *expected, int level_dbov) {
    uint8_t buffer[RW_PROMPT_MAX_PACKET_BYTES];
    CHECK_EQUAL(rw_playlist_read_packet(playlist, buffer), strlen(expected));
    CHECK(memcmp(buffer, expected, strlen(expected)) == 0);
    CHECK_EQUAL(playlist->level_dbov, level_dbov);
}

static void test_packets_stay_whole(void) {
    rw_prompt *prompts[] = {packets_of("aabccc", (uint16_t[]){2, 1, 3}, 3), packets_of("", NULL, 0),
                            packets_of("dddd", (uint16_t[]){4}, 1)};
    rw_playlist *playlist = rw_playlist_create(1, prompts, 3, false);
    check_packet(playlist, "aa", -30);
    check_packet(playlist, "b", -20);
    check_packet(playlist, "ccc", -40);
    CHECK(!rw_playlist_ended(playlist));
    check_packet(playlist, "dddd", -30);
    CHECK(rw_playlist_ended(playlist));
    check_packet(playlist, "", INT8_MIN);
    CHECK_EQUAL(playlist->played_packets, 4);
    CHECK_EQUAL(playlist->played_bytes, 10);
    rw_playlist_destroy(playlist);
    for (int i = 0; i < 3; i++)
        rw_prompt_release(prompts[i]);
}

static void test_packets_go_round(void) {
    rw_prompt *prompt = packets_of("aab", (uint16_t[]){2, 1}, 2);
    rw_playlist *playlist = rw_playlist_create(1, &prompt, 1, true);
    rw_prompt_release(prompt);
    for (int round = 0; round < 3; round++) {
        check_packet(playlist, "aa", -30);
        check_packet(playlist, "b", -20);
    }
    rw_playlist_destroy(playlist);
}

static void test_packets_of_no_length_or_too_long(void) {
    uint8_t payload[RW_PROMPT_MAX_PACKET_BYTES + 1] = {0};
    int8_t level_dbov = -30;
    uint16_t lengths[] = {0, RW_PROMPT_MAX_PACKET_BYTES + 1, RW_PROMPT_MAX_PACKET_BYTES};
    CHECK(!rw_prompt_create_of_packets(payload, &lengths[0], &level_dbov, 1));
    CHECK(!rw_prompt_create_of_packets(payload, &lengths[1], &level_dbov, 1));
    rw_prompt *longest = rw_prompt_create_of_packets(payload, &lengths[2], &level_dbov, 1);
    CHECK_EQUAL(rw_prompt_bytes(longest), RW_PROMPT_MAX_PACKET_BYTES);
    rw_prompt_release(longest);
}

/* A mistake of the control side: it sounds wrong, and harms nothing. */
static void test_a_prompt_of_the_other_kind(void) {
    uint8_t payload[RW_PROMPT_MAX_PACKET_BYTES + 100] = {0}, room[RW_PROMPT_MAX_PACKET_BYTES];
    rw_prompt *prompts[] = {rw_prompt_create(payload, sizeof(payload)),
                            packets_of("aab", (uint16_t[]){2, 1}, 2)};
    rw_playlist *playlist = rw_playlist_create(1, prompts, 2, false);
    CHECK_EQUAL(rw_playlist_read_packet(playlist, room), RW_PROMPT_MAX_PACKET_BYTES);
    CHECK_EQUAL(rw_playlist_read_packet(playlist, room), 100);
    check_read(playlist, 10, "aab");
    CHECK(rw_playlist_ended(playlist));
    rw_playlist_destroy(playlist);
    for (int i = 0; i < 2; i++)
        rw_prompt_release(prompts[i]);
}

/* Nor does one that is cut and then to be whole again: it ends, as no packet begins at the cursor.
 */
static void test_packets_that_were_cut_are_not_whole_again(void) {
    rw_prompt *prompts[] = {packets_of("aabbcc", (uint16_t[]){2, 2, 2}, 3),
                            packets_of("dd", (uint16_t[]){2}, 1)};
    for (size_t cut = 1; cut < 6; cut++) {
        uint8_t room[RW_PROMPT_MAX_PACKET_BYTES];
        rw_playlist *playlist = rw_playlist_create(1, prompts, 2, true);
        CHECK_EQUAL(rw_playlist_read(playlist, room, cut), cut);
        check_packet(playlist, "", INT8_MIN);
        CHECK(rw_playlist_ended(playlist));
        rw_playlist_destroy(playlist);
    }
    rw_playlist *playlist = rw_playlist_create(1, prompts, 2, false);
    check_packet(playlist, "aa", -30);
    check_read(playlist, 4, "bbcc");
    check_packet(playlist, "dd", -30); /* the next one begins anew */
    CHECK(rw_playlist_ended(playlist));
    rw_playlist_destroy(playlist);
    for (int i = 0; i < 2; i++)
        rw_prompt_release(prompts[i]);
}

int main(void) {
    test_borders_leave_no_gap();
    test_end_is_known_with_the_last_byte();
    test_loop_goes_round_within_a_packet();
    test_empty_list_has_ended();
    test_packets_stay_whole();
    test_packets_go_round();
    test_packets_of_no_length_or_too_long();
    test_a_prompt_of_the_other_kind();
    test_packets_that_were_cut_are_not_whole_again();
    return 0;
}
