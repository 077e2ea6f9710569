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

int main(void) {
    test_borders_leave_no_gap();
    test_end_is_known_with_the_last_byte();
    test_loop_goes_round_within_a_packet();
    test_empty_list_has_ended();
    return 0;
}
