#include "listener/listener.h"

#include <errno.h>
#include <pthread.h>

#include "test/check.h"

static rw_listener *open_listener(uint32_t room_ms) {
    rw_listener *listener = NULL;
    CHECK_EQUAL(rw_listener_create(8000, room_ms, &listener), 0);
    return listener;
}

static void test_the_reader_is_told_once_until_it_has_read_all(void) {
    int16_t pcm[160] = {1, 2, 3}, heard[400];
    rw_listener *listener = open_listener(100);
    CHECK(rw_listener_push(listener, pcm, 160));
    CHECK(!rw_listener_push(listener, pcm, 160));
    CHECK_EQUAL(rw_listener_readable(listener), 320);
    CHECK_EQUAL(rw_listener_read(listener, heard, 160), 160); /* there may be more */
    CHECK(heard[0] == 1 && heard[2] == 3);
    CHECK(!rw_listener_push(listener, pcm, 160));
    CHECK_EQUAL(rw_listener_read(listener, heard, 400), 320);
    CHECK(rw_listener_push(listener, pcm, 160));
    rw_listener_untold(listener);
    CHECK(rw_listener_push(listener, pcm, 160));
    rw_listener_release(listener);
}

static void test_what_finds_no_room_is_counted(void) {
    int16_t pcm[160] = {0};
    rw_listener *listener = open_listener(64); /* 512 samples */
    for (int i = 0; i < 5; i++)
        rw_listener_push(listener, pcm, 160);
    CHECK_EQUAL(rw_listener_readable(listener), 480);
    CHECK_EQUAL(rw_listener_dropped(listener), 320);
    rw_listener_release(listener);
}

#define FRAMES 20000

static void *push_all(void *context) {
    rw_listener *listener = context;
    int16_t pcm[8];
    for (int frame = 0; frame < FRAMES; frame++) {
        for (int i = 0; i < 8; i++)
            pcm[i] = (int16_t)frame;
        rw_listener_push(listener, pcm, 8);
    }
    rw_listener_release(listener);
    return NULL;
}

/* Whatever the threads do, frames arrive whole and in order, and all are accounted for. */
static void test_two_threads(void) {
    rw_listener *listener = open_listener(1);
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, push_all, rw_listener_retain(listener)), 0);
    uint64_t heard = 0;
    int last = -1;
    for (bool over = false; !over;) {
        int16_t pcm[8];
        /* `dropped` first: it grows no more once all was pushed. */
        over = heard + rw_listener_dropped(listener) == 8 * FRAMES;
        if (rw_listener_readable(listener) < 8) continue;
        CHECK_EQUAL(rw_listener_read(listener, pcm, 8), 8);
        for (int i = 1; i < 8; i++)
            CHECK_EQUAL(pcm[i], pcm[0]);
        CHECK(pcm[0] > last);
        last = pcm[0];
        heard += 8;
    }
    pthread_join(thread, NULL);
    rw_listener_release(listener);
}

static void test_impossible_figures_are_refused(void) {
    rw_listener *listener = NULL;
    CHECK_EQUAL(rw_listener_create(4000, 100, &listener), -EINVAL);
    CHECK_EQUAL(rw_listener_create(8000, 0, &listener), -EINVAL);
    CHECK_EQUAL(rw_listener_create(8000, RW_LISTENER_MAX_ROOM_MS + 1, &listener), -EINVAL);
    CHECK(!listener);
}

int main(void) {
    test_the_reader_is_told_once_until_it_has_read_all();
    test_what_finds_no_room_is_counted();
    test_two_threads();
    test_impossible_figures_are_refused();
    return 0;
}
