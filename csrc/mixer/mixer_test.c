#include "mixer/mixer.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "test/check.h"

#define BLOCK_MS 20
#define BLOCK (BLOCK_MS * 8)

static rw_mixer *room;
static int16_t heard[60 * 48];

static void open_room(uint32_t sample_rate_hz, uint32_t members) {
    rw_mixer_config config = {sample_rate_hz, members, BLOCK_MS};
    CHECK_EQUAL(rw_mixer_create(&config, &room), 0);
    for (uint32_t i = 0; i < members; i++)
        CHECK_EQUAL(rw_mixer_join(room, sample_rate_hz), i);
}

/* Gives a block of one value, at 8 kHz. */
static rw_mixer_verdict say(uint32_t member, uint64_t tick, int16_t value) {
    int16_t block[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        block[i] = value;
    return rw_mixer_put(room, member, tick, block, BLOCK);
}

static void say_well(uint32_t member, uint64_t tick, int16_t value) {
    CHECK_EQUAL(say(member, tick, value), RW_MIXER_OK);
}

static rw_mixer_verdict hear(uint32_t member, uint64_t tick) {
    memset(heard, 0x55, sizeof(heard));
    return rw_mixer_take(room, member, tick, heard, BLOCK);
}

static void check_range(size_t from, size_t to, int16_t value) {
    for (size_t i = from; i < to; i++)
        CHECK_EQUAL(heard[i], value);
}

static void check_hears(uint32_t member, uint64_t tick, int16_t value) {
    CHECK_EQUAL(hear(member, tick), RW_MIXER_OK);
    check_range(0, BLOCK, value);
}

static void test_everybody_hears_the_others_without_itself(void) {
    open_room(8000, 4);
    for (uint64_t tick = 0; tick < 1000; tick += BLOCK_MS) {
        for (uint32_t i = 0; i < 3; i++) {
            if (tick) check_hears(i, tick, (int16_t)(273 - (1 << 4 * i)));
            say_well(i, tick, (int16_t)(1 << 4 * i));
        }
        if (tick) check_hears(3, tick, 273);
    }
    rw_mixer_destroy(room);
}

/* What is given at one tick is heard from there on, in the slots of another phase. */
static void test_phases_keep_their_distance_in_time(void) {
    open_room(8000, 2);
    check_hears(1, 7, 0);
    for (int16_t n = 0; n < 50; n++) {
        uint64_t tick = 10 + (uint64_t)n * BLOCK_MS;
        say_well(0, tick, n);
        CHECK_EQUAL(hear(1, tick + 17), RW_MIXER_OK);
        check_range(0, 24, n ? (int16_t)(n - 1) : 0);
        check_range(24, BLOCK, n);
    }
    rw_mixer_destroy(room);
}

static void test_blocks_of_any_whole_milliseconds_go_together(void) {
    rw_mixer_config config = {8000, 2, 60};
    int16_t sent[6000];
    size_t given = 0, taken = 0;
    CHECK_EQUAL(rw_mixer_create(&config, &room), 0);
    CHECK_EQUAL(rw_mixer_join(room, 8000), 0);
    CHECK_EQUAL(rw_mixer_join(room, 8000), 1);
    for (size_t i = 0; i < RW_LENGTH_OF(sent); i++)
        sent[i] = (int16_t)i;
    for (uint64_t tick = 0; tick <= 600; tick++) {
        if (tick && tick % 10 == 0) {
            CHECK_EQUAL(rw_mixer_take(room, 1, tick, heard, 80), RW_MIXER_OK);
            CHECK(!memcmp(heard, sent + taken, 160));
            taken += 80;
        }
        if (tick % 60 == 0) {
            CHECK_EQUAL(rw_mixer_put(room, 0, tick, sent + given, 480), RW_MIXER_OK);
            given += 480;
        }
    }
    rw_mixer_destroy(room);
}

static void test_a_listener_hears_and_is_not_heard(void) {
    open_room(8000, 3);
    CHECK_EQUAL(rw_mixer_set_role(room, 2, RW_MIXER_LISTENER, 0), 0);
    say_well(0, 0, 100);
    say_well(1, 0, 20);
    say_well(2, 0, 3);
    check_hears(0, 20, 20);
    check_hears(1, 20, 100);
    check_hears(2, 20, 120);
    rw_mixer_destroy(room);
}

static void test_a_whisper_is_heard_by_one_alone(void) {
    open_room(8000, 4);
    CHECK_EQUAL(rw_mixer_set_role(room, 2, RW_MIXER_WHISPERER, 1), 0);
    CHECK_EQUAL(rw_mixer_set_role(room, 3, RW_MIXER_WHISPERER, 1), 0);
    say_well(0, 0, 100);
    say_well(1, 0, 20);
    say_well(2, 0, 3);
    say_well(3, 0, 4);
    check_hears(0, 20, 20);
    check_hears(1, 20, 107);
    check_hears(2, 20, 120);
    check_hears(3, 20, 120);
    rw_mixer_destroy(room);
}

/* What was whispered stays so when its speaker goes on aloud, and the other way round. */
static void test_a_new_role_is_for_what_is_said_from_then_on(void) {
    open_room(8000, 3);
    CHECK_EQUAL(rw_mixer_set_role(room, 2, RW_MIXER_WHISPERER, 1), 0);
    say_well(2, 0, 1);
    CHECK_EQUAL(rw_mixer_set_role(room, 2, RW_MIXER_TALKER, 0), 0);
    check_hears(0, 20, 0);
    check_hears(1, 20, 1);
    check_hears(2, 20, 0);
    say_well(2, 20, 2);
    CHECK_EQUAL(rw_mixer_set_role(room, 2, RW_MIXER_WHISPERER, 0), 0);
    check_hears(0, 40, 2);
    check_hears(1, 40, 2);
    check_hears(2, 40, 0);
    say_well(2, 40, 3);
    CHECK_EQUAL(rw_mixer_set_role(room, 2, RW_MIXER_LISTENER, 0), 0);
    check_hears(0, 60, 3);
    check_hears(1, 60, 0);
    say_well(2, 60, 4);
    check_hears(0, 80, 0);
    rw_mixer_destroy(room);
}

static void say_all(uint64_t tick) {
    say_well(1, tick, 20);
    say_well(2, tick, 3);
    say_well(3, tick, 4);
}

static void test_who_shall_not_hear_somebody_does_not(void) {
    open_room(8000, 4);
    CHECK_EQUAL(rw_mixer_set_hears(room, 0, 1, false), 0);
    CHECK_EQUAL(rw_mixer_set_hears(room, 0, 3, false), 0);
    CHECK_EQUAL(rw_mixer_set_role(room, 3, RW_MIXER_WHISPERER, 0), 0);
    say_all(0);
    check_hears(0, 20, 3);
    check_hears(2, 20, 20);
    say_all(20);
    CHECK_EQUAL(rw_mixer_set_hears(room, 0, 1, true), 0);
    check_hears(0, 40, 23);
    CHECK_EQUAL(rw_mixer_set_hears(room, 0, 3, true), 0);
    say_all(40);
    check_hears(0, 60, 27);
    rw_mixer_destroy(room);
}

static void test_what_is_too_loud_is_clipped_and_counted(void) {
    open_room(8000, RW_MIXER_MAX_MEMBERS);
    for (uint32_t i = 0; i < RW_MIXER_MAX_MEMBERS; i++)
        say_well(i, 0, INT16_MAX);
    for (uint32_t i = 0; i < RW_MIXER_MAX_MEMBERS; i++)
        say_well(i, 20, INT16_MIN);
    check_hears(5, 20, INT16_MAX);
    check_hears(5, 40, INT16_MIN);
    CHECK_EQUAL(rw_mixer_member_stats(room, 5)->clipped_samples, 2 * BLOCK);
    CHECK_EQUAL(rw_mixer_member_stats(room, 6)->clipped_samples, 0);
    rw_mixer_destroy(room);
    open_room(8000, 3);
    say_well(0, 0, INT16_MAX);
    say_well(1, 0, 1);
    check_hears(1, 20, INT16_MAX);
    CHECK_EQUAL(rw_mixer_member_stats(room, 1)->clipped_samples, 0);
    check_hears(2, 20, INT16_MAX);
    CHECK_EQUAL(rw_mixer_member_stats(room, 2)->clipped_samples, BLOCK);
    rw_mixer_destroy(room);
}

static void test_who_gives_nothing_is_silent_however_long(void) {
    open_room(8000, 2);
    say_well(0, 0, 9);
    check_hears(1, 20, 9);
    for (uint64_t tick = 40; tick <= 400; tick += 20)
        check_hears(1, tick, 0);
    say_well(0, 410, 8);
    CHECK_EQUAL(hear(1, 420), RW_MIXER_OK);
    check_range(0, 80, 0);
    check_range(80, BLOCK, 8);
    CHECK_EQUAL(rw_mixer_member_stats(room, 0)->missing_ms, 390);
    say_well(0, 1000000, 7);
    check_hears(1, 1000020, 7);
    CHECK_EQUAL(rw_mixer_member_stats(room, 0)->missing_ms, 390 + 999570);
    rw_mixer_destroy(room);
}

static void test_late_and_double_blocks_are_refused_and_counted(void) {
    open_room(8000, 3);
    say_well(0, 100, 5);
    CHECK_EQUAL(say(0, 100, 50), RW_MIXER_TWICE);
    CHECK_EQUAL(say(0, 119, 50), RW_MIXER_TWICE);
    check_hears(1, 120, 5);
    CHECK_EQUAL(hear(1, 120), RW_MIXER_TWICE);
    check_range(0, BLOCK, 0);
    CHECK_EQUAL(hear(1, 139), RW_MIXER_TWICE);
    check_hears(1, 159, 0);
    CHECK_EQUAL(say(2, 139, 50), RW_MIXER_LATE);
    CHECK_EQUAL(hear(0, 139), RW_MIXER_LATE);
    check_range(0, BLOCK, 0);
    const rw_mixer_stats *first = rw_mixer_member_stats(room, 0);
    const rw_mixer_stats *second = rw_mixer_member_stats(room, 1);
    CHECK_EQUAL(first->given[RW_MIXER_OK], 1);
    CHECK_EQUAL(first->given[RW_MIXER_TWICE], 2);
    CHECK_EQUAL(first->taken[RW_MIXER_LATE], 1);
    CHECK_EQUAL(second->taken[RW_MIXER_OK], 2);
    CHECK_EQUAL(second->taken[RW_MIXER_TWICE], 2);
    CHECK_EQUAL(rw_mixer_member_stats(room, 2)->given[RW_MIXER_LATE], 1);
    rw_mixer_destroy(room);
}

/* A slot that is served late reaches those who have not taken its time yet. */
static void test_a_little_late_is_in_time_for_the_others(void) {
    open_room(8000, 3);
    check_hears(1, 20, 0);
    say_well(0, 1, 5);
    CHECK_EQUAL(rw_mixer_member_stats(room, 0)->overtaken, 1);
    CHECK_EQUAL(hear(2, 20), RW_MIXER_OK);
    check_range(0, 8, 0);
    check_range(8, BLOCK, 5);
    say_well(0, 21, 5);
    CHECK_EQUAL(rw_mixer_member_stats(room, 0)->overtaken, 1);
    CHECK_EQUAL(hear(1, 40), RW_MIXER_OK);
    check_range(0, BLOCK, 5);
    rw_mixer_destroy(room);
}

static void test_blocks_of_no_length_are_refused(void) {
    static const size_t lengths[] = {0, 1, 7, 9, 159, 161, 168, 100000};
    static int16_t any[100000];
    open_room(8000, 2);
    memset(any, 1, sizeof(any));
    for (size_t i = 0; i < RW_LENGTH_OF(lengths); i++) {
        CHECK_EQUAL(rw_mixer_put(room, 0, 20, any, lengths[i]), RW_MIXER_BAD_LENGTH);
        CHECK_EQUAL(rw_mixer_take(room, 1, 20, any, lengths[i]), RW_MIXER_BAD_LENGTH);
        CHECK(!lengths[i] || !any[lengths[i] - 1]);
    }
    CHECK_EQUAL(rw_mixer_member_stats(room, 0)->given[RW_MIXER_BAD_LENGTH], 8);
    CHECK_EQUAL(rw_mixer_member_stats(room, 1)->taken[RW_MIXER_BAD_LENGTH], 8);
    check_hears(1, 40, 0);
    rw_mixer_destroy(room);
}

static void test_who_leaves_is_not_heard_any_more(void) {
    open_room(8000, 3);
    say_well(0, 0, 100);
    say_well(1, 0, 20);
    CHECK_EQUAL(hear(1, 10), RW_MIXER_OK);
    check_range(80, BLOCK, 100);
    CHECK_EQUAL(rw_mixer_leave(room, 0), 0);
    CHECK_EQUAL(hear(1, 30), RW_MIXER_OK);
    check_range(0, BLOCK, 0);
    check_hears(2, 20, 20);
    CHECK_EQUAL(say(0, 20, 1), RW_MIXER_NOT_A_MEMBER);
    CHECK_EQUAL(hear(0, 20), RW_MIXER_NOT_A_MEMBER);
    check_range(0, BLOCK, 0);
    CHECK_EQUAL(rw_mixer_leave(room, 0), -ENOENT);
    rw_mixer_destroy(room);
}

/* Nothing that was said for, by or against a member sticks to the one who gets its number. */
static void test_a_number_that_is_given_again_begins_anew(void) {
    open_room(8000, 3);
    CHECK_EQUAL(rw_mixer_set_role(room, 1, RW_MIXER_WHISPERER, 2), 0);
    CHECK_EQUAL(rw_mixer_set_role(room, 2, RW_MIXER_LISTENER, 0), 0);
    CHECK_EQUAL(rw_mixer_set_hears(room, 0, 2, false), 0);
    CHECK_EQUAL(rw_mixer_set_hears(room, 2, 0, false), 0);
    say_well(1, 0, 20);
    say_well(2, 0, 3);
    CHECK_EQUAL(rw_mixer_leave(room, 2), 0);
    CHECK_EQUAL(rw_mixer_join(room, 8000), 2);
    CHECK_EQUAL(rw_mixer_member_stats(room, 2)->given[RW_MIXER_OK], 0);
    check_hears(2, 20, 0);
    say_well(0, 20, 100);
    say_well(1, 20, 20);
    say_well(2, 20, 3);
    check_hears(0, 40, 3);
    check_hears(1, 40, 103);
    check_hears(2, 40, 100);
    rw_mixer_destroy(room);
}

static void test_figures_of_all_outlive_the_members(void) {
    rw_mixer_stats total;
    open_room(8000, 3);
    say_well(0, 0, 30000);
    say_well(1, 0, 30000);
    say_well(0, 30, 1);
    check_hears(2, 20, 32767);
    say(7, 0, 1);
    CHECK_EQUAL(rw_mixer_leave(room, 2), 0);
    CHECK_EQUAL(rw_mixer_leave(room, 0), 0);
    CHECK(!rw_mixer_member_stats(room, 0));
    rw_mixer_total_stats(room, &total);
    CHECK_EQUAL(total.clipped_samples, BLOCK);
    CHECK_EQUAL(total.missing_ms, 10);
    CHECK_EQUAL(total.given[RW_MIXER_OK], 3);
    CHECK_EQUAL(total.given[RW_MIXER_NOT_A_MEMBER], 1);
    CHECK_EQUAL(total.taken[RW_MIXER_OK], 1);
    rw_mixer_destroy(room);
}

/* Loudness of a tone, from one member's rate over the room's to another's. */
static double heard_through(uint32_t from_hz, uint32_t room_hz, uint32_t to_hz) {
    rw_mixer_config config = {room_hz, 2, BLOCK_MS};
    int16_t sent[BLOCK_MS * 48];
    size_t given = BLOCK_MS * from_hz / 1000, taken = BLOCK_MS * to_hz / 1000;
    double power = 0;
    CHECK_EQUAL(rw_mixer_create(&config, &room), 0);
    CHECK_EQUAL(rw_mixer_join(room, from_hz), 0);
    CHECK_EQUAL(rw_mixer_join(room, to_hz), 1);
    for (uint64_t frame = 0; frame < 20; frame++) {
        for (size_t i = 0; i < given; i++)
            sent[i] = (int16_t)(8000 * sin(2 * M_PI * 500 * (double)i / from_hz));
        CHECK_EQUAL(rw_mixer_put(room, 0, frame * BLOCK_MS, sent, given), RW_MIXER_OK);
        CHECK_EQUAL(rw_mixer_take(room, 1, (frame + 1) * BLOCK_MS, heard, taken), RW_MIXER_OK);
        for (size_t i = 0; frame >= 2 && i < taken; i++)
            power += (double)heard[i] * heard[i] / (18 * (double)taken);
    }
    rw_mixer_destroy(room);
    return sqrt(2 * power);
}

static void test_members_of_other_rates_are_resampled(void) {
    static const uint32_t rates_hz[] = {8000, 16000, 24000, 48000};
    for (size_t from = 0; from < 4; from++)
        for (size_t middle = 0; middle < 4; middle++)
            for (size_t to = 0; to < 4; to++)
                CHECK(fabs(heard_through(rates_hz[from], rates_hz[middle], rates_hz[to]) - 8000) <
                      160);
}

static void test_a_room_is_full_at_some_time(void) {
    open_room(8000, 3);
    CHECK_EQUAL(rw_mixer_join(room, 8000), -ENOSPC);
    CHECK_EQUAL(rw_mixer_leave(room, 1), 0);
    CHECK_EQUAL(rw_mixer_join(room, 44100), -EINVAL);
    CHECK_EQUAL(rw_mixer_join(room, 8000), 1);
    CHECK_EQUAL(rw_mixer_join(room, 8000), -ENOSPC);
    rw_mixer_destroy(room);
}

static void test_what_cannot_be_is_refused(void) {
    static const rw_mixer_config bad[] = {
        {44100, 3, 20}, {0, 3, 20}, {8000, 0, 20}, {8000, 65, 20}, {8000, 3, 0}, {8000, 3, 61},
    };
    for (size_t i = 0; i < RW_LENGTH_OF(bad); i++)
        CHECK_EQUAL(rw_mixer_create(&bad[i], &room), -EINVAL);
    rw_mixer_destroy(NULL);
    open_room(8000, 2);
    CHECK_EQUAL(rw_mixer_set_role(room, 0, RW_MIXER_ROLES, 1), -EINVAL);
    CHECK_EQUAL(rw_mixer_set_role(room, 0, RW_MIXER_WHISPERER, 0), -EINVAL);
    CHECK_EQUAL(rw_mixer_set_role(room, 0, RW_MIXER_WHISPERER, 2), -ENOENT);
    CHECK_EQUAL(rw_mixer_set_role(room, 64, RW_MIXER_TALKER, 0), -ENOENT);
    CHECK_EQUAL(rw_mixer_set_hears(room, 0, 0, false), -EINVAL);
    CHECK_EQUAL(rw_mixer_set_hears(room, 0, 64, false), -ENOENT);
    CHECK_EQUAL(rw_mixer_set_hears(room, UINT32_MAX, 0, false), -ENOENT);
    CHECK_EQUAL(rw_mixer_leave(room, 64), -ENOENT);
    CHECK(!rw_mixer_member_stats(room, 2));
    rw_mixer_destroy(room);
}

/* What a wild caller may pass: near the room's time mostly, and anything at all now and then. */
static uint64_t random_tick(unsigned long long *random, uint64_t tick) {
    uint64_t any = check_random(random);
    if (any % 512) return tick + (any >> 20) % 50;
    return any >> (any >> 9) % 64;
}

static void call_at_random(unsigned long long *random, uint64_t tick) {
    static int16_t block[60 * 48];
    uint64_t any = check_random(random);
    uint32_t member = (any >> 8) % 10, other = (any >> 16) % 10;
    size_t samples = (any >> 24) % 62 * 48;
    if (samples > RW_LENGTH_OF(block)) samples = RW_LENGTH_OF(block) - 1;
    tick = random_tick(random, tick);
    switch (any % 16) {
    case 0:
        rw_mixer_join(room, 8000u << (any >> 24) % 3);
        break;
    case 1:
        if ((any >> 24) % 4 == 0) rw_mixer_leave(room, member);
        break;
    case 2:
        rw_mixer_set_role(room, member, (rw_mixer_role)((any >> 24) % 4), other);
        break;
    case 3:
        rw_mixer_set_hears(room, member, other, any >> 24 & 1);
        break;
    default:
        if (any % 2)
            rw_mixer_put(room, member, tick, block, samples);
        else
            rw_mixer_take(room, member, tick, heard, samples);
        block[any >> 32 & 0xff] = (int16_t)(any >> 48);
    }
}

static void test_no_order_of_calls_does_harm(void) {
    unsigned long long random = 3550;
    for (int round = 0; round < 50; round++) {
        rw_mixer_config config = {round % 2 ? 8000 : 48000, 8, 1 + (uint32_t)round};
        CHECK_EQUAL(rw_mixer_create(&config, &room), 0);
        for (uint64_t n = 0; n < 2000; n++)
            call_at_random(&random, n * 2);
        rw_mixer_destroy(room);
    }
}

int main(void) {
    test_everybody_hears_the_others_without_itself();
    test_phases_keep_their_distance_in_time();
    test_blocks_of_any_whole_milliseconds_go_together();
    test_a_listener_hears_and_is_not_heard();
    test_a_whisper_is_heard_by_one_alone();
    test_a_new_role_is_for_what_is_said_from_then_on();
    test_who_shall_not_hear_somebody_does_not();
    test_what_is_too_loud_is_clipped_and_counted();
    test_who_gives_nothing_is_silent_however_long();
    test_late_and_double_blocks_are_refused_and_counted();
    test_a_little_late_is_in_time_for_the_others();
    test_blocks_of_no_length_are_refused();
    test_who_leaves_is_not_heard_any_more();
    test_a_number_that_is_given_again_begins_anew();
    test_figures_of_all_outlive_the_members();
    test_members_of_other_rates_are_resampled();
    test_a_room_is_full_at_some_time();
    test_what_cannot_be_is_refused();
    test_no_order_of_calls_does_harm();
    return 0;
}
