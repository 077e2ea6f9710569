#include "jitter/jitter.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "jitter/jitter_check.h"

/* --- settings ----------------------------------------------------------------------------- */

static void test_settings_that_are_none(void) {
    static const rw_jitter_config BAD[] = {{0, 200, 40, 0},  {20, 2000, 40, 0},
                                           {20, 200, 10, 0}, {20, 200, 201, 0},
                                           {9, 200, 40, 0},  {20, 200, 40, 801}};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        CHECK_EQUAL(rw_jitter_create(pcmu(), &BAD[i], &jitter), -EINVAL);
    rw_codec fast = *pcmu();
    fast.sample_rate_hz = 48000;
    CHECK_EQUAL(rw_jitter_create(&fast, &CONFIG, &jitter), -EINVAL);
    rw_jitter_destroy(NULL);
}

/* --- a delay that stays the same ----------------------------------------------------------- */

static const rw_jitter_config FIXED = {100, 100, 100, .early_ms = 100};

static void test_a_first_packet_that_is_late_delays_no_other(void) {
    begin_with(&FIXED);
    for (size_t n = 0; n < 500; n++)
        send_nth(n, n ? 0 : 90);
    order_arrivals();
    take_slots(510);
    check_silent(0, 5 * SLOT);
    check_same(5 * SLOT, 0, 500 * SLOT);
    CHECK_EQUAL(figures.max_delay_ms, 100);
    end();
}

static void test_a_network_that_gets_swifter_or_slower_changes_no_sound(void) {
    begin_with(&FIXED);
    for (size_t n = 0; n < 1500; n++)
        send_nth(n, n < 300 ? 60 : n < 600 ? 0 : 90);
    order_arrivals();
    take_slots(1508);
    check_same(8 * SLOT, 0, 1500 * SLOT);
    CHECK_EQUAL(figures.concealed_samples + figures.stretched_samples + figures.shrunk_samples, 0);
    end();
}

static void test_more_than_what_may_be_early_costs_sound(void) {
    begin_with(&FIXED);
    for (size_t n = 0; n < 300; n++)
        send_nth(n, n < 100 ? 160 : 0);
    order_arrivals();
    take_slots(305);
    check_same(heard_samples - 5 * SLOT, 290 * SLOT, 5 * SLOT);
    CHECK_EQUAL(figures.shrunk_samples, 3 * SLOT);
    end();
}

/* --- a good network ----------------------------------------------------------------------- */

static void test_sound_is_the_senders_sample_for_sample(void) {
    begin();
    for (size_t n = 0; n < 3000; n++) /* past the wrap of sequence and timestamp */
        send_nth(n, 0);
    CHECK_EQUAL(take(), RW_JITTER_SILENCE);
    CHECK_EQUAL(take(), RW_JITTER_SILENCE);
    CHECK_EQUAL(take(), RW_JITTER_SOUND);
    take_slots(2999);
    check_silent(0, 2 * SLOT);
    check_same(2 * SLOT, 0, 3000 * SLOT);
    CHECK_EQUAL(figures.silent_samples, 2 * SLOT);
    CHECK_EQUAL(figures.delay_ms, 40);
    CHECK_EQUAL(figures.max_delay_ms, 40);
    end();
}

static void test_jitter_within_the_delay_is_not_heard(void) {
    begin();
    for (size_t n = 0; n < 3000; n++)
        send_nth(n, n ? (double)(check_random(&seed) % 40) : 0);
    order_arrivals();
    take_slots(3002);
    check_same(2 * SLOT, 0, 3000 * SLOT);
    CHECK_EQUAL(figures.concealed_samples + figures.stretched_samples, 0);
    CHECK_EQUAL(verdicts[RW_JITTER_KEPT], 3000);
    end();
}

static void test_packets_of_all_lengths_in_one_call(void) {
    static const size_t LENGTHS_MS[] = {10, 60, 20, 30, 40, 20, 10, 50};
    begin_with(&(rw_jitter_config){20, 200, 100, 0}); /* a long packet waits for its end */
    size_t from = 0;
    for (size_t n = 0; n < 1000; n++) {
        size_t samples = 8 * LENGTHS_MS[n % 8];
        /* A packet is sent when its last sample has been spoken. */
        send((double)(from + samples) / 8, (uint16_t)n, (uint32_t)from, from, samples);
        from += samples;
    }
    take_slots(1400);
    size_t begins = 0;
    while (!heard[begins])
        begins++;
    check_same(begins, 0, 1380 * SLOT - begins);
    CHECK_EQUAL(figures.concealed_samples + figures.stretched_samples + figures.shrunk_samples, 0);
    end();
}

static void test_any_number_of_samples_can_be_taken(void) {
    begin();
    for (size_t n = 0; n < 3; n++) {
        send_nth(n, 0);
        put(&arrivals[n]);
    }
    rw_jitter_take(jitter, heard, 0);
    size_t at = 0;
    for (size_t count = 1; at + count <= 800; at += count++)
        rw_jitter_take(jitter, heard + at, count);
    rw_jitter_take(jitter, heard + at, 800 - at);
    check_same(320, 0, 480);
    heard_samples = 800;
    check_figures();
    end();
}

/* --- loss and lateness -------------------------------------------------------------------- */

static void test_loss_is_concealed_and_counted(void) {
    begin();
    size_t lost = 0;
    for (size_t n = 0; n < 3000; n++) {
        bool last = n == 2999, missing = n && !last && check_random(&seed) % 20 == 0;
        lost += missing;
        if (!missing) send_nth(n, 0);
    }
    take_slots(3002);
    CHECK_EQUAL(figures.concealed_samples, lost * SLOT);
    CHECK_EQUAL(figures.silent_samples, 2 * SLOT);
    CHECK_EQUAL(figures.played_samples, (3000 - lost) * SLOT);
    CHECK_EQUAL(figures.discarded_late, 0);
    end();
}

static void test_concealment_goes_on_with_the_voice_and_fades(void) {
    begin();
    size_t lost = 20;
    for (size_t n = 0; n < lost; n++)
        send_nth(n, 0);
    take_slots(lost + 2);
    CHECK_EQUAL(take(), RW_JITTER_CONCEALED);
    size_t at = (lost + 2) * SLOT;
    CHECK(likeness(at, lost * SLOT, 80) > 0.8);
    take_slots(2);
    CHECK(power(at + 2 * SLOT) < power(at) / 4);
    CHECK_EQUAL(take(), RW_JITTER_SILENCE);
    check_silent(at + 3 * SLOT, SLOT);
    /* No click at the border: not a larger step than the voice makes itself. */
    int largest = 0;
    for (size_t i = 1; i < lost * SLOT; i++)
        largest = abs(sent[i] - sent[i - 1]) > largest ? abs(sent[i] - sent[i - 1]) : largest;
    CHECK(abs(heard[at] - heard[at - 1]) <= largest);
    end();
}

static void test_reordered_packets_come_out_in_order(void) {
    begin();
    for (size_t n = 0; n < 1000; n++)
        send_nth(n, n && n % 3 == 1 ? 30 : 0)->heard = n % 3 == 1 ? RW_HEARD_LATE : RW_HEARD_NEW;
    order_arrivals();
    take_slots(1000);
    check_same(2 * SLOT, 0, 998 * SLOT);
    CHECK_EQUAL(figures.concealed_samples, 0);
    end();
}

static void test_duplicates_and_strangers_change_nothing(void) {
    static const rw_heard DROPPED[] = {RW_HEARD_DUPLICATE, RW_HEARD_STALE, RW_HEARD_JUMP,
                                       RW_HEARD_STRANGER};
    begin();
    for (size_t n = 0; n < 400; n++) {
        send_nth(n, 0);
        send_nth(n, 0)->heard = DROPPED[n % 4];
        send_nth(n, 0); /* as if reception had not seen it */
    }
    take_slots(400);
    check_same(2 * SLOT, 0, 398 * SLOT);
    CHECK_EQUAL(verdicts[RW_JITTER_NOT_HEARD], 400);
    CHECK_EQUAL(verdicts[RW_JITTER_REPEATED], 400);
    end();
}

static void check_jitter(size_t jitter_ms) {
    begin();
    size_t jittery = 3000, calm = 3000;
    for (size_t n = 0; n < jittery + calm; n++) {
        double late_ms =
            n && n < jittery ? (double)(check_random(&seed) % (100 * jitter_ms)) / 100 : 0;
        if (check_random(&seed) % 20 || !n) send_nth(n, late_ms);
    }
    order_arrivals();
    take_slots(250);
    uint64_t late = figures.discarded_late, concealed = figures.concealed_samples;
    size_t kept = verdicts[RW_JITTER_KEPT];
    take_slots(jittery - 250);
    late = figures.discarded_late - late;
    kept = verdicts[RW_JITTER_KEPT] - kept;
    CHECK(late * 200 <= kept); /* half a percent */
    /* Of loss (5 %), and no more than half a percent of late ones. */
    CHECK(figures.concealed_samples - concealed < (jittery - 250) * SLOT * 6 / 100);
    /* A slot of the jitter goes into waiting for the slot. */
    CHECK(figures.delay_ms + 20 >= jitter_ms && figures.delay_ms <= jitter_ms + 20);
    for (size_t n = 0; n < calm; n += 9) {
        uint64_t shrunk = figures.shrunk_samples;
        take_slots(9);
        CHECK(figures.shrunk_samples - shrunk <= 10 * 8); /* one period */
    }
    CHECK(figures.delay_ms <= CONFIG.initial_ms + 25);
    CHECK(figures.delay_ms >= CONFIG.initial_ms);
    CHECK(figures.stretched_samples <= jitter_ms * 8);
    end();
}

static void test_the_delay_follows_jitter_and_comes_back(void) {
    check_jitter(60);
    check_jitter(120);
    CHECK(figures.stretched_samples > 0);
    CHECK(figures.shrunk_samples > 0);
}

/* The network becomes swifter by 60 ms: slots from the first period that is left out to the next.
 */
static size_t slots_between_periods(size_t from) {
    begin();
    for (size_t n = 0; n < 1000; n++)
        send_nth(n, n < 10 ? 60 : 0)->from = (uint32_t)(from + n * SLOT);
    order_arrivals();
    while (!figures.shrunk_samples)
        take();
    CHECK_EQUAL(figures.delay_ms, (100 * 8 - figures.shrunk_samples) / 8);
    size_t slots = 0;
    for (uint64_t shrunk = figures.shrunk_samples; shrunk == figures.shrunk_samples; slots++)
        take();
    CHECK_EQUAL(figures.concealed_samples + figures.discarded_late, 0);
    end();
    return slots;
}

static void test_what_is_not_like_itself_is_hardly_shortened(void) {
    size_t noise = MAX_SAMPLES - 1000 * SLOT;
    for (size_t i = 0; i < 1000 * SLOT; i++)
        sent[noise + i] = (int16_t)((int)(check_random(&seed) >> 50) - 8192);
    CHECK_EQUAL(slots_between_periods(0), 10);
    CHECK_EQUAL(slots_between_periods(noise), 100);
}

static void test_a_late_packet_is_played_late(void) {
    begin();
    for (size_t n = 0; n < 400; n++)
        send_nth(n, n < 100 ? 0 : 100); /* another way through the network */
    take_slots(400);
    CHECK_EQUAL(figures.discarded_late, 0);
    CHECK_EQUAL(figures.concealed_samples, 60 * 8);
    size_t at = 102 * SLOT;
    check_same(2 * SLOT, 0, 100 * SLOT);
    check_same(at + 3 * SLOT + 40, 100 * SLOT + 40, 290 * SLOT);
    CHECK_EQUAL(figures.max_delay_ms, 100);
    end();
}

static void test_sound_comes_back_without_a_click(void) {
    begin();
    size_t high = MAX_SAMPLES - 2 * SLOT, low = MAX_SAMPLES - SLOT;
    for (size_t i = 0; i < SLOT; i++) {
        sent[high + i] = 8000;
        sent[low + i] = -8000;
    }
    for (size_t n = 0; n < 20; n++)
        if (n != 10) send_nth(n, 0)->from = (uint32_t)(n < 10 ? high : low);
    take_slots(20);
    size_t back = 13 * SLOT;
    CHECK(heard[back - 1] > 2000 && heard[back + 60] < -7000);
    for (size_t i = 0; i < SLOT; i++)
        CHECK(abs(heard[back + i] - heard[back + i - 1]) < 1000);
    end();
}

static void test_a_straggler_beyond_help_does_not_change_the_delay(void) {
    begin();
    for (size_t n = 0; n < 200; n++)
        send_nth(n, n == 100 ? 1000 : 0);
    order_arrivals();
    take_slots(200);
    CHECK_EQUAL(figures.discarded_late, 1);
    CHECK_EQUAL(figures.concealed_samples, SLOT);
    CHECK_EQUAL(figures.stretched_samples, 0);
    CHECK_EQUAL(figures.delay_ms, 40);
    end();
}

static void test_what_was_played_is_not_played_again(void) {
    begin();
    for (size_t n = 0; n < 20; n++) {
        arrival *packet = send_nth(n, n < 10 ? 0 : 60);
        if (n >= 10) packet->timestamp -= 40; /* the sender says so */
    }
    take_slots(30);
    check_same(2 * SLOT, 0, 10 * SLOT);
    CHECK_EQUAL(figures.played_samples, 20 * SLOT - 40);
    end();
}

static void test_a_stall_of_the_network_leaves_no_more_than_the_longest_delay(void) {
    begin();
    for (size_t n = 0; n < 400; n++)
        send_nth(n, n >= 100 && n < 150 ? 20.0 * (double)(150 - n) : 0);
    take_slots(400);
    CHECK(figures.max_delay_ms <= CONFIG.max_ms);
    CHECK(figures.discarded_full + figures.discarded_late >= 50 - 12);
    CHECK(figures.discarded_full + figures.discarded_late <= 50);
    CHECK(figures.concealed_samples <= 60 * 8);
    end();
}

/* --- pauses ------------------------------------------------------------------------------- */

static void test_a_pause_is_not_a_loss(void) {
    begin();
    for (size_t n = 0; n < 50; n++)
        send_nth(n, 0);
    arrival *next = send_nth(150, 0);
    for (size_t n = 150; n < 200; next = send_nth(++n, 0))
        next->sequence = (uint16_t)(next->sequence - 100);
    next->sequence = (uint16_t)(next->sequence - 100);
    take_slots(200);
    CHECK_EQUAL(figures.concealed_samples, 0);
    CHECK_EQUAL(figures.silent_samples, 102 * SLOT);
    check_same(2 * SLOT, 0, 50 * SLOT);
    check_silent(55 * SLOT, 97 * SLOT);
    check_same(152 * SLOT, 150 * SLOT, 48 * SLOT);
    end();
}

static void test_a_lost_packet_beside_a_pause_is_counted_once(void) {
    begin();
    for (size_t n = 0; n < 50; n++)
        send_nth(n, 0);
    send_nth(150, 0)->sequence = (uint16_t)(65000 + 51);
    take_slots(153);
    CHECK_EQUAL(figures.concealed_samples, 60 * 8);
    CHECK_EQUAL(figures.silent_samples, 102 * SLOT - 60 * 8);
    end();
}

static void test_hold_and_resume(void) {
    begin();
    for (size_t n = 0; n < 50; n++)
        send_nth(n, 0);
    for (size_t n = 1550; n < 1600; n++) /* 30 s later */
        send_nth(n, 0)->sequence = (uint16_t)(65000 + n - 1500);
    take_slots(1600);
    CHECK_EQUAL(figures.concealed_samples, 0);
    check_same(1552 * SLOT, 1550 * SLOT, 48 * SLOT);
    end();
}

static void test_the_delay_grows_in_a_pause(void) {
    begin();
    for (size_t n = 0; n < 20; n++)
        send_nth(n, n == 18 ? 100 : 0);
    for (size_t n = 40; n < 60; n++)
        send_nth(n, 0)->sequence = (uint16_t)(65000 + n - 20);
    order_arrivals();
    take_slots(64);
    CHECK_EQUAL(figures.discarded_late, 1);
    CHECK_EQUAL(figures.stretched_samples, 60 * 8);
    CHECK_EQUAL(figures.delay_ms, 100);
    check_same(45 * SLOT, 40 * SLOT, 19 * SLOT);
    end();
}

static void test_a_pause_keeps_what_is_known_of_the_network(void) {
    begin();
    for (size_t n = 0; n < 100; n++)
        send_nth(n, n < 10 ? 0 : 100);
    take_slots(110);
    CHECK_EQUAL(figures.delay_ms, 100);
    take_slots(1500);
    CHECK_EQUAL(figures.delay_ms, 100);
    end();
}

static void test_a_timestamp_that_stood_still_in_a_pause(void) {
    begin();
    for (size_t n = 0; n < 100; n++)
        send_nth(n, n < 50 ? 0 : 2000);
    take_slots(200);
    CHECK_EQUAL(figures.discarded_late + figures.discarded_full, 0);
    check_same(152 * SLOT, 50 * SLOT, 48 * SLOT);
    end();
}

static void test_pauses_take_the_delay_to_the_least(void) {
    static const uint32_t DELAYS_MS[] = {120, 40, 20, 20};
    begin_with(&(rw_jitter_config){20, 200, 120, 0});
    for (size_t talk = 0; talk < 4; talk++)
        for (size_t n = talk * 220; n < talk * 220 + 200; n++)
            send_nth(n, 0)->sequence = (uint16_t)(65000 + n - talk * 20);
    for (size_t talk = 0; talk < 4; talk++) {
        take_slots(220);
        CHECK_EQUAL(figures.delay_ms, DELAYS_MS[talk]);
    }
    CHECK_EQUAL(figures.shrunk_samples, 100 * 8);
    check_same(661 * SLOT, 660 * SLOT, 200 * SLOT);
    end();
}

static void test_comfort_noise_fills_a_pause(void) {
    begin();
    const uint8_t level[] = {40};
    for (size_t n = 0; n < 10; n++)
        send_nth(n, 0);
    take_slots(10);
    rw_rtp_packet packet = {{.sequence = (uint16_t)(65000 + 10),
                             .timestamp = (uint32_t)(4294900000u + 10 * SLOT),
                             .ssrc = 1},
                            level,
                            sizeof level};
    CHECK_EQUAL(rw_jitter_put_comfort_noise(jitter, &packet, RW_HEARD_NEW), RW_JITTER_KEPT);
    take_slots(50);
    for (size_t n = 60; n < 70; n++)
        send_nth(n, 0)->sequence = (uint16_t)(65000 + n - 49);
    take_slots(10);
    CHECK_EQUAL(figures.concealed_samples, 0);
    check_same(2 * SLOT, 0, 10 * SLOT);
    check_same(62 * SLOT, 60 * SLOT, 8 * SLOT);
    double mean = 0;
    for (size_t slot = 12; slot < 62; slot++)
        mean += power(slot * SLOT) / 50;
    CHECK(fabs(10 * log10(mean / (32768.0 * 32768.0)) + 40) < 1);
    packet.payload_bytes = 0;
    CHECK_EQUAL(rw_jitter_put_comfort_noise(jitter, &packet, RW_HEARD_NEW), RW_JITTER_EMPTY);
    end();
}

static rw_jitter_verdict put_event(size_t n, uint32_t timestamp, rw_heard as) {
    rw_rtp_header event = {.sequence = (uint16_t)(65000 + n), .timestamp = timestamp};
    return rw_jitter_put_other(jitter, &event, as);
}

static void check_events(uint32_t timestamp) {
    begin();
    for (size_t n = 0; n < 10; n++)
        send_nth(n, 0);
    take_slots(10);
    for (size_t n = 10; n < 30; n++) {
        CHECK_EQUAL(put_event(n, timestamp, RW_HEARD_NEW), RW_JITTER_KEPT);
        take();
    }
    for (size_t n = 30; n < 40; n++)
        send_nth(n, 0);
    take_slots(10);
    CHECK_EQUAL(figures.concealed_samples, 0);
    CHECK_EQUAL(figures.silent_samples, 22 * SLOT);
    check_silent(12 * SLOT, 20 * SLOT);
    check_same(32 * SLOT, 30 * SLOT, 8 * SLOT);
    end();
}

static void test_telephone_events_are_not_missed(void) {
    check_events((uint32_t)(4294900000u + 10 * SLOT));
    check_events(4000000); /* an hour ahead, says a liar */
}

static void test_a_source_that_begins_with_an_event(void) {
    begin();
    for (size_t n = 0; n < 10; n++)
        send_nth(n, 0);
    take_slots(30);
    CHECK_EQUAL(put_event(500, 99, RW_HEARD_NEW_SOURCE), RW_JITTER_KEPT);
    take();
    for (size_t n = 31; n < 40; n++)
        send_nth(n, 0)->sequence = (uint16_t)(65501 + n - 31);
    take_slots(9);
    CHECK_EQUAL(figures.concealed_samples, 0);
    check_same(33 * SLOT, 31 * SLOT, 7 * SLOT);
    end();
}

/* --- other sources, other timelines ------------------------------------------------------- */

static void test_another_source_goes_on_behind_the_first(void) {
    begin();
    for (size_t n = 0; n < 200; n++) {
        arrival *packet = send_nth(n, 0);
        if (n < 100) continue;
        packet->ssrc = 2;
        packet->sequence = (uint16_t)(64000 + n); /* behind the other's */
        packet->timestamp = (uint32_t)(77 + n * SLOT);
        if (n == 100) packet->heard = RW_HEARD_NEW_SOURCE;
    }
    take_slots(200);
    check_same(2 * SLOT, 0, 198 * SLOT);
    CHECK_EQUAL(figures.concealed_samples, 0);
    end();
}

static void test_a_restart_after_a_break(void) {
    begin();
    for (size_t n = 0; n < 200; n++) {
        arrival *packet = send_nth(n, n < 100 ? 0 : 400);
        if (n >= 100) packet->sequence = (uint16_t)(9 + n);
        if (n == 100) packet->heard = RW_HEARD_RESTART;
    }
    take_slots(220);
    check_same(2 * SLOT, 0, 100 * SLOT);
    check_same(121 * SLOT, 100 * SLOT, 99 * SLOT); /* the break was a pause, to shrink in */
    CHECK_EQUAL(figures.delay_ms, 20);
    end();
}

static void test_timestamps_that_jump_without_their_sequence(void) {
    static const uint32_t STEPS[] = {8000, 3000000000u, (uint32_t)-8000, 1, (uint32_t)-SLOT};
    for (size_t step = 0; step < 5; step++) {
        begin();
        for (size_t n = 0; n < 200; n++) {
            arrival *packet = send_nth(n, 0);
            if (n >= 100) packet->timestamp += STEPS[step];
        }
        take_slots(200);
        check_same(2 * SLOT, 0, 100 * SLOT);
        /* A sample of the hole is silent where the step is one. */
        size_t hole = STEPS[step] == 1;
        check_same(102 * SLOT + hole, 100 * SLOT, 98 * SLOT - hole);
        CHECK_EQUAL(figures.discarded_late + figures.discarded_full, 0);
        end();
    }
}

static void test_a_step_within_a_burst_goes_on_behind_it(void) {
    begin();
    for (size_t n = 0; n < 8; n++) {
        arrival *packet = send_nth(n, 0);
        packet->at_ms = 0;
        if (n >= 4) packet->timestamp += 123456;
    }
    take_slots(10);
    check_same(2 * SLOT, 0, 8 * SLOT);
    end();
}

static void test_a_late_packet_of_the_timeline_before(void) {
    begin();
    for (size_t n = 0; n < 20; n++) {
        arrival *packet = send_nth(n, n == 9 ? 25 : 0);
        if (n >= 10) packet->timestamp -= 8000;
    }
    order_arrivals();
    take_slots(22);
    CHECK_EQUAL(verdicts[RW_JITTER_MISPLACED], 1);
    CHECK_EQUAL(figures.shrunk_samples, 0);
    check_same(2 * SLOT, 0, 9 * SLOT);
    CHECK_EQUAL(figures.played_samples, 19 * SLOT);
    end();
}

static void test_a_timestamp_that_never_moves(void) {
    begin();
    for (size_t n = 0; n < 300; n++)
        send_nth(n, 0)->timestamp = 5;
    take_slots(300);
    check_same(2 * SLOT, 0, 298 * SLOT);
    end();
}

static void test_a_timestamp_that_contradicts_its_neighbours(void) {
    begin();
    send_nth(0, 0);
    send_nth(1, 0);
    send_nth(3, 0);
    send_nth(2, 0)->timestamp = (uint32_t)(4294900000u + 5 * SLOT);
    take();
    CHECK_EQUAL(verdicts[RW_JITTER_KEPT], 1);
    now_ms = 100;
    take();
    CHECK_EQUAL(verdicts[RW_JITTER_KEPT], 3);
    CHECK_EQUAL(verdicts[RW_JITTER_MISPLACED], 1);
    end();
}

/* --- drift -------------------------------------------------------------------------------- */

static void drift_for_ten_minutes(double ppm) {
    begin();
    for (size_t n = 0; n < 30000; n++)
        send(20.0 * (double)n * (1 - ppm / 1e6), (uint16_t)n, (uint32_t)(n * SLOT), n * SLOT, SLOT);
    uint32_t most_ms = 0;
    size_t too_short = 0;
    for (size_t n = 0; n < 29900; n++) {
        take();
        too_short += figures.delay_ms < CONFIG.min_ms;
        most_ms = figures.delay_ms > most_ms ? figures.delay_ms : most_ms;
    }
    /* A slot more, as a packet that comes just before its slot waits for the next. */
    CHECK(most_ms <= CONFIG.initial_ms + 25 + 20);
    CHECK(too_short < 30);
    CHECK_EQUAL(figures.concealed_samples, 0);
    CHECK_EQUAL(figures.discarded_late + figures.discarded_full, 0);
    CHECK((ppm < 0 ? figures.stretched_samples : figures.shrunk_samples) >= 70 * 8);
    CHECK((ppm < 0 ? figures.stretched_samples : figures.shrunk_samples) <= 130 * 8);
    CHECK((ppm < 0 ? figures.shrunk_samples : figures.stretched_samples) == 0);
    end();
}

static void test_drift_is_followed(void) {
    drift_for_ten_minutes(200);
    drift_for_ten_minutes(-200);
}

/* --- hostile packets ---------------------------------------------------------------------- */

static void test_packets_that_hold_no_sound(void) {
    static uint8_t large[1473];
    begin();
    rw_rtp_packet packet = {{.sequence = 1}, large, 0};
    CHECK_EQUAL(rw_jitter_put(jitter, &packet, RW_HEARD_NEW_SOURCE), RW_JITTER_EMPTY);
    packet.header.sequence = 2;
    packet.payload_bytes = 1472;
    CHECK_EQUAL(rw_jitter_put(jitter, &packet, RW_HEARD_NEW), RW_JITTER_TOO_LONG);
    packet.header.sequence = 3;
    packet.payload_bytes = 1473;
    CHECK_EQUAL(rw_jitter_put(jitter, &packet, RW_HEARD_NEW), RW_JITTER_TOO_LONG);
    packet.header.sequence = 4;
    packet.payload_bytes = 960;
    CHECK_EQUAL(rw_jitter_put(jitter, &packet, RW_HEARD_NEW), RW_JITTER_KEPT);
    take_slots(10);
    CHECK_EQUAL(figures.played_samples, 960);
    CHECK_EQUAL(figures.silent_samples, 2 * SLOT);
    CHECK_EQUAL(figures.concealed_samples, 2 * SLOT);
    end();
}

static void test_a_flood_is_bounded_and_over_when_it_is_over(void) {
    begin();
    size_t n = 0;
    for (size_t slot = 0; slot < 100; slot++)
        for (size_t i = 0; i < 100; i++, n++)
            send(20.0 * (double)slot, (uint16_t)n, (uint32_t)(n * SLOT), n * SLOT, SLOT);
    for (size_t slot = 100; slot < 200; slot++, n++)
        send(20.0 * (double)slot, (uint16_t)n, (uint32_t)(n * SLOT), n * SLOT, SLOT);
    take_slots(200);
    CHECK(figures.discarded_full > 9000);
    CHECK(figures.max_delay_ms <= CONFIG.max_ms);
    check_same(150 * SLOT, (10000 + 50 - 10) * SLOT, 50 * SLOT);
    end();
}

static void test_many_small_packets_find_no_room(void) {
    begin();
    for (size_t n = 0; n < 1000; n++)
        send(0, (uint16_t)n, (uint32_t)n, n, 1);
    take();
    CHECK(verdicts[RW_JITTER_NO_ROOM] > 900);
    CHECK_EQUAL(verdicts[RW_JITTER_NO_ROOM], figures.discarded_full);
    CHECK_EQUAL(verdicts[RW_JITTER_NO_ROOM] + verdicts[RW_JITTER_KEPT], 1000);
    end();
}

/* --- other codecs ------------------------------------------------------------------------- */

/* Decoded straight, and through the buffer: the same, behind the delay. */
static void check_codec(const rw_codec *codec, size_t packet_ms) {
    static int16_t straight[48 * 6000];
    uint8_t payload[RW_CODEC_MAX_PACKET_MS * 32];
    void *encoder, *decoder;
    size_t per_ms = codec->sample_rate_hz / 1000, samples = packet_ms * per_ms, at = 0;
    CHECK_EQUAL(rw_codec_create_encoder(codec, &encoder), 0);
    CHECK_EQUAL(rw_codec_create_decoder(codec, &decoder), 0);
    CHECK_EQUAL(rw_jitter_create(codec, &CONFIG, &jitter), 0);
    for (size_t n = 0; n < 2000 / packet_ms; n++) {
        rw_rtp_packet packet = {
            {.sequence = (uint16_t)n,
             .timestamp = (uint32_t)(n * packet_ms * codec->clock_rate_hz / 1000)},
            payload,
            codec->encode(encoder, sent + n * samples, samples, payload, sizeof payload)};
        CHECK(packet.payload_bytes > 0);
        codec->decode(decoder, payload, packet.payload_bytes, straight + n * samples, samples);
        CHECK_EQUAL(rw_jitter_put(jitter, &packet, RW_HEARD_NEW), RW_JITTER_KEPT);
        for (size_t ms = 0; ms < packet_ms; ms += 10, at += 10 * per_ms)
            rw_jitter_take(jitter, heard + at, 10 * per_ms);
    }
    CHECK(!memcmp(heard + 40 * per_ms, straight, 1900 * per_ms * sizeof(*heard)));
    rw_jitter_take(jitter, heard, 200 * per_ms);
    rw_jitter_read(jitter, &figures);
    CHECK_EQUAL(figures.concealed_samples, 60 * per_ms);
    rw_codec_destroy_state(encoder);
    rw_codec_destroy_state(decoder);
    end();
}

static void test_every_codec_comes_through_unchanged(void) {
    for (size_t i = 0; i < rw_codec_count(); i++) {
        check_codec(rw_codec_at(i), 20);
        if (strcmp(rw_codec_at(i)->label, "l16-16k")) check_codec(rw_codec_at(i), 40);
    }
}

static void test_a_loss_within_every_codec(void) {
    uint8_t payload[1472];
    for (size_t i = 0; i < rw_codec_count(); i++) {
        const rw_codec *codec = rw_codec_at(i);
        void *encoder;
        size_t samples = codec->sample_rate_hz / 50;
        CHECK_EQUAL(rw_codec_create_encoder(codec, &encoder), 0);
        CHECK_EQUAL(rw_jitter_create(codec, &CONFIG, &jitter), 0);
        for (size_t n = 0; n < 100; n++) {
            rw_rtp_packet packet = {
                {.sequence = (uint16_t)n, .timestamp = (uint32_t)(n * codec->clock_rate_hz / 50)},
                payload,
                codec->encode(encoder, sent + n * samples, samples, payload, sizeof payload)};
            if (n % 10 != 5) rw_jitter_put(jitter, &packet, RW_HEARD_NEW);
            CHECK_EQUAL(rw_jitter_take(jitter, heard + n * samples, samples),
                        n < 2             ? RW_JITTER_SILENCE
                        : n % 10 == 5 + 2 ? RW_JITTER_CONCEALED
                                          : RW_JITTER_SOUND);
        }
        rw_jitter_read(jitter, &figures);
        CHECK_EQUAL(figures.concealed_samples, 10 * samples);
        rw_codec_destroy_state(encoder);
        end();
    }
}

static void test_a_payload_of_odd_length(void) {
    const rw_codec *l16 = rw_codec_find("L16", 8000);
    uint8_t payload[321] = {0x12, 0x34};
    CHECK_EQUAL(rw_jitter_create(l16, &CONFIG, &jitter), 0);
    rw_rtp_packet packet = {{.sequence = 1}, payload, 1};
    CHECK_EQUAL(rw_jitter_put(jitter, &packet, RW_HEARD_NEW), RW_JITTER_EMPTY);
    packet.header.sequence = 2;
    packet.payload_bytes = 321;
    CHECK_EQUAL(rw_jitter_put(jitter, &packet, RW_HEARD_NEW), RW_JITTER_KEPT);
    rw_jitter_take(jitter, heard, 480);
    CHECK_EQUAL(heard[320], 0x1234);
    rw_jitter_read(jitter, &figures);
    CHECK_EQUAL(figures.played_samples, 160);
    end();
}

int main(void) {
    make_voice();
    test_settings_that_are_none();
    test_a_first_packet_that_is_late_delays_no_other();
    test_a_network_that_gets_swifter_or_slower_changes_no_sound();
    test_more_than_what_may_be_early_costs_sound();
    test_sound_is_the_senders_sample_for_sample();
    test_jitter_within_the_delay_is_not_heard();
    test_packets_of_all_lengths_in_one_call();
    test_any_number_of_samples_can_be_taken();
    test_loss_is_concealed_and_counted();
    test_concealment_goes_on_with_the_voice_and_fades();
    test_reordered_packets_come_out_in_order();
    test_duplicates_and_strangers_change_nothing();
    test_the_delay_follows_jitter_and_comes_back();
    test_what_is_not_like_itself_is_hardly_shortened();
    test_a_late_packet_is_played_late();
    test_sound_comes_back_without_a_click();
    test_a_straggler_beyond_help_does_not_change_the_delay();
    test_what_was_played_is_not_played_again();
    test_a_stall_of_the_network_leaves_no_more_than_the_longest_delay();
    test_a_pause_is_not_a_loss();
    test_a_lost_packet_beside_a_pause_is_counted_once();
    test_hold_and_resume();
    test_the_delay_grows_in_a_pause();
    test_a_pause_keeps_what_is_known_of_the_network();
    test_a_timestamp_that_stood_still_in_a_pause();
    test_pauses_take_the_delay_to_the_least();
    test_comfort_noise_fills_a_pause();
    test_telephone_events_are_not_missed();
    test_a_source_that_begins_with_an_event();
    test_another_source_goes_on_behind_the_first();
    test_a_restart_after_a_break();
    test_timestamps_that_jump_without_their_sequence();
    test_a_step_within_a_burst_goes_on_behind_it();
    test_a_late_packet_of_the_timeline_before();
    test_a_timestamp_that_never_moves();
    test_a_timestamp_that_contradicts_its_neighbours();
    test_drift_is_followed();
    test_packets_that_hold_no_sound();
    test_a_flood_is_bounded_and_over_when_it_is_over();
    test_many_small_packets_find_no_room();
    test_every_codec_comes_through_unchanged();
    test_a_loss_within_every_codec();
    test_a_payload_of_odd_length();
    return 0;
}
