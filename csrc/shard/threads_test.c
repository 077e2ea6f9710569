/* The shard on its thread, and the control side against it. */
#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "shard/shard_private.h"
#include "test/check.h"
#include "test/loopback.h"

static rw_shard *shard;

static void begin(uint32_t max_legs) {
    rw_shard_config config = {.backend = "per-leg", .shared_fd = -1, .max_legs = max_legs};
    CHECK_EQUAL(rw_shard_create(&config, &shard), 0);
    CHECK_EQUAL(rw_shard_start(shard), 0);
}

static void play(uint64_t leg_id, uint64_t play_id, bool replace) {
    static const uint8_t payload[400];
    rw_prompt *prompt = rw_prompt_create(payload, sizeof(payload));
    rw_playlist *playlist = rw_playlist_create(play_id, &prompt, 1, false);
    rw_prompt_release(prompt);
    CHECK_EQUAL(rw_shard_play(shard, leg_id, playlist, replace), 0);
}

static uint64_t open_and_play(int peer_port, uint64_t play_id) {
    rw_address own;
    rw_leg_config config = {
        .media = {.clock_rate_hz = 8000, .ptime_ms = 10, .bytes_per_ts = 1, .send = true},
        .silence_policy = RW_SILENCE_STOP,
        .fd = bound_socket(&own)};
    uint64_t leg_id;
    config.media.remote.v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                                  .sin_port = htons((uint16_t)peer_port),
                                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &leg_id), 0);
    play(leg_id, play_id, false);
    return leg_id;
}

/* 50 legs play 400 bytes each; every event comes, then every leg closes. */
static void test_commands_and_events_cross_threads(void) {
    enum { LEGS = 50 };
    rw_address peer_address;
    int peer = bound_socket(&peer_address);
    begin(LEGS);
    for (uint64_t i = 0; i < LEGS; i++)
        open_and_play(ntohs(peer_address.v4.sin_port), i);
    struct pollfd readable = {.fd = rw_shard_event_fd(shard), .events = POLLIN};
    size_t ended = 0, closed = 0;
    while (closed < LEGS) {
        rw_event events[8];
        CHECK_EQUAL(poll(&readable, 1, 10000), 1);
        size_t count = rw_shard_poll_events(shard, events, 8);
        for (size_t i = 0; i < count; i++) {
            if (events[i].kind == RW_EVENT_LEG_CLOSED) {
                CHECK_EQUAL(events[i].packets_sent, 5);
                closed++;
                continue;
            }
            ended++;
            CHECK_EQUAL(events[i].outcome, RW_PLAY_FINISHED);
            CHECK_EQUAL(rw_shard_close_leg(shard, events[i].leg_id), 0);
        }
        rw_histogram_quantile(rw_shard_lateness_us(shard), 0.99);
    }
    CHECK_EQUAL(ended, LEGS);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_SENT), 5 * LEGS);
    CHECK(rw_shard_cpu_ns(shard) > 0);
    rw_shard_stop(shard);
    rw_shard_destroy(shard);
    close(peer);
}

/* Whoever is told of an end frees what has ended, at once, on the other thread: for TSan. */
static void test_what_has_been_told_is_touched_no_more(void) {
    enum { PLAYS = 3000, AHEAD = 32 };
    begin(1);
    uint64_t leg_id = open_and_play(9, 0);
    for (uint64_t ended = 0, played = 1; ended < PLAYS;) {
        rw_event events[8];
        while (played < PLAYS && played - ended < AHEAD)
            play(leg_id, played++, true);
        size_t count = rw_shard_poll_events(shard, events, 8); /* without waiting: the race is on */
        for (size_t i = 0; i < count; i++)
            CHECK_EQUAL(events[i].play_id, ended++);
    }
    rw_shard_stop(shard);
    rw_shard_destroy(shard);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for the shard to have taken `count` commands for a leg that is not there. */
static void await_commands(uint64_t count, bool spin) {
    uint64_t latest_ms = now_ms() + 10000;
    while (rw_shard_counter(shard, RW_STALE_COMMANDS) < count) {
        CHECK(now_ms() < latest_ms);
        if (!spin) sched_yield();
    }
}

/* A shard without legs goes to sleep for ever behind the first command of each round, just when the
 * second comes: it must have seen that one, or be woken for it. */
static void test_no_command_is_slept_over(void) {
    const uint64_t none = 5, end_ms = now_ms() + 700;
    unsigned long long seed = 2026;
    begin(8);
    for (uint64_t taken = 0; now_ms() < end_ms; taken += 2) {
        CHECK_EQUAL(rw_shard_stop_playing(shard, none), 0);
        await_commands(taken + 1, true);
        for (uint64_t pause = check_random(&seed) % 1500; pause; pause--)
            atomic_signal_fence(memory_order_seq_cst); /* or the compiler leaves the loop out */
        CHECK_EQUAL(rw_shard_stop_playing(shard, none), 0);
        await_commands(taken + 2, false);
    }
    rw_shard_stop(shard);
    rw_shard_destroy(shard);
}

static void test_stopping_closes_every_leg(void) {
    rw_event events[64];
    begin(8);
    for (uint64_t i = 0; i < 8; i++)
        open_and_play(9, i);
    rw_shard_stop(shard);
    size_t count = rw_shard_poll_events(shard, events, 64), closed = 0;
    for (size_t i = 0; i < count; i++)
        closed += events[i].kind == RW_EVENT_LEG_CLOSED;
    CHECK_EQUAL(closed, 8);
    CHECK_EQUAL(rw_shard_legs_open(shard), 0);
    rw_shard_destroy(shard);
}

/* More ends with the shard than its event ring holds, and legs are told of last. */
static void test_all_that_ends_with_the_shard_is_told(void) {
    enum { PLAYS = 3000 }; /* the event ring holds 2048 */
    size_t ended = 0, closed = 0, count;
    begin(1);
    uint64_t leg_id = open_and_play(9, 0);
    for (uint64_t play_id = 1; play_id < PLAYS; play_id++)
        play(leg_id, play_id, false);
    rw_shard_stop(shard);
    do {
        rw_event events[100];
        count = rw_shard_poll_events(shard, events, RW_LENGTH_OF(events));
        for (size_t i = 0; i < count; i++)
            *(events[i].kind == RW_EVENT_LEG_CLOSED ? &closed : &ended) += 1;
    } while (count == 100); /* fewer: there are no more */
    CHECK_EQUAL(ended, PLAYS);
    CHECK_EQUAL(closed, 1);
    CHECK_EQUAL(rw_shard_legs_open(shard), 0);
    rw_shard_destroy(shard);
}

static pid_t thread_called(const char *name) {
    DIR *threads = opendir("/proc/self/task");
    pid_t found = 0;
    for (struct dirent *entry; !found && (entry = readdir(threads));) {
        char path[300], comm[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fgets(comm, sizeof(comm), file) && !strcmp(strtok(comm, "\n"), name))
            found = (pid_t)strtol(entry->d_name, NULL, 10);
        fclose(file);
    }
    closedir(threads);
    return found;
}

static rw_sched_attr scheduling_of(pid_t thread) {
    rw_sched_attr attributes = {0};
    CHECK_EQUAL(syscall(SYS_sched_getattr, thread, &attributes, sizeof(attributes), 0), 0);
    return attributes;
}

/* It has its own slice, and nothing else that is not its creator's. */
static void test_the_thread_asks_for_short_slices(void) {
    rw_sched_attr before = scheduling_of(0);
    begin(1);
    rw_shard_close_leg(shard, open_and_play(9, 0)); /* it runs by then, or soon */
    pid_t thread = 0;
    while (!(thread = thread_called("rw-shard")) || !rw_shard_turns(shard))
        sched_yield();
    rw_sched_attr own = scheduling_of(thread);
    CHECK(own.policy == before.policy && own.nice == before.nice);
    if (before.policy == SCHED_OTHER && before.runtime_ns) /* Linux 6.12 */
        CHECK_EQUAL(own.runtime_ns, RW_SHARD_SLICE_NS);
    rw_shard_stop(shard);
    rw_shard_destroy(shard);
}

int main(void) {
    test_commands_and_events_cross_threads();
    test_what_has_been_told_is_touched_no_more();
    test_no_command_is_slept_over();
    test_stopping_closes_every_leg();
    test_all_that_ends_with_the_shard_is_told();
    test_the_thread_asks_for_short_slices();
    return 0;
}
