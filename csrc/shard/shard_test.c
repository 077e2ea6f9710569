/* The shard in virtual time over a backend that writes down what it is given. */
#include "shard/shard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>

#include "rtp/rtp.h"
#include "shard/shard_private.h"
#include "test/check.h"

#define START_MS 5000

/* --- a backend that keeps notes ------------------------------------------------------------ */

typedef struct note {
    uint64_t leg_id;
    uint64_t tick;
    rw_rtp_header header;
} note;

static note notes[100000];
static size_t note_count;
static uint64_t clock_tick;
static size_t waiting_datagrams;  /* what `receive` finds */
static uint64_t read_tick;        /* of the last call of `receive` */
static size_t read_in_tick;       /* datagrams */
static size_t most_before_a_send; /* of those */
static size_t listen_calls;
static rw_leg *expected_leg; /* the last */
static rw_backend note_backend;
static uint8_t note_packet[RW_MAX_PACKET_BYTES];
static rw_backend_ops note_ops;

static int note_open(const rw_backend_host *host, int fd, rw_backend **backend) {
    (void)fd;
    note_backend = (rw_backend){&note_ops, host};
    *backend = &note_backend;
    return 0;
}
static void note_close(rw_backend *backend) {
    (void)backend;
}
static int note_attach(rw_backend *backend, rw_leg *leg) {
    (void)backend;
    return leg->media.remote.v4.sin_port == 0 ? -ENETUNREACH : 0;
}
static int note_retarget(rw_backend *backend, rw_leg *leg, const rw_address *remote) {
    (void)backend, (void)leg;
    return remote->v4.sin_port == 0 ? -ENETUNREACH : 0;
}
static void note_detach(rw_backend *backend, rw_leg *leg) {
    (void)backend, (void)leg;
}
static uint8_t *note_room(rw_backend *backend) {
    (void)backend;
    return note_packet;
}
static void note_send(rw_backend *backend, rw_leg *leg, size_t bytes) {
    rw_rtp_packet packet;
    (void)backend;
    CHECK_EQUAL(rw_rtp_parse(note_packet, bytes, &packet), RW_RTP_OK);
    CHECK(note_count < 100000);
    if (read_tick == clock_tick && read_in_tick > most_before_a_send)
        most_before_a_send = read_in_tick;
    notes[note_count++] = (note){rw_read(&leg->id), clock_tick, packet.header};
}
static void note_flush(rw_backend *backend) {
    (void)backend;
}
static size_t note_receive(rw_backend *backend, rw_leg *leg, size_t max) {
    static const uint8_t datagram[14] = {0x80};
    size_t count = waiting_datagrams < max ? waiting_datagrams : max;
    read_in_tick = (read_tick == clock_tick ? read_in_tick : 0) + count;
    read_tick = clock_tick;
    for (size_t i = 0; i < count; i++)
        backend->host->deliver(backend->host->context, leg ? leg : expected_leg, NULL, datagram,
                               i % 2 ? 5 : 14);
    waiting_datagrams -= count;
    return count;
}
static int note_expect(rw_backend *backend, rw_leg *leg, bool expected) {
    (void)backend;
    expected_leg = expected ? leg : NULL;
    return 0;
}
static void note_listen(rw_backend *backend, rw_leg *leg) {
    (void)backend, (void)leg;
    listen_calls++;
}

static rw_backend_ops note_ops = {
    .name = "notes",
    .open = note_open,
    .close = note_close,
    .attach = note_attach,
    .retarget = note_retarget,
    .detach = note_detach,
    .room = note_room,
    .send = note_send,
    .flush = note_flush,
    .receive = note_receive,
    .expect = note_expect,
    .listen = note_listen,
    .socket_per_leg = true,
};

/* --- help ---------------------------------------------------------------------------------- */

static rw_shard *shard;

static void begin(uint32_t max_legs) {
    rw_shard_config config = {.shared_fd = -1, .max_legs = max_legs};
    clock_tick = START_MS;
    note_count = read_tick = read_in_tick = most_before_a_send = 0;
    expected_leg = NULL;
    CHECK_EQUAL(rw_shard_create_at(&config, &note_ops, clock_tick, &shard), 0);
}

static void end(void) {
    rw_shard_destroy(shard);
}

static void turn_at(uint64_t tick) {
    clock_tick = tick;
    rw_shard_turn(shard, tick * 1000);
}

static void run_ms(uint64_t ms) {
    for (uint64_t i = 0; i < ms; i++)
        turn_at(clock_tick + 1);
}

static rw_leg_config leg_config(uint8_t ptime_ms, rw_silence_policy policy) {
    rw_leg_config config = {
        .media = {.clock_rate_hz = 8000, .ptime_ms = ptime_ms, .bytes_per_ts = 1, .send = true},
        .silence_policy = policy,
        .fd = -1,
    };
    config.media.remote.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9)};
    return config;
}

static uint64_t open_leg(uint8_t ptime_ms, rw_silence_policy policy) {
    rw_leg_config config = leg_config(ptime_ms, policy);
    uint64_t leg_id = 0;
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &leg_id), 0);
    return leg_id;
}

static void play(uint64_t leg_id, uint64_t play_id, size_t bytes, bool replace) {
    static uint8_t payload[100000];
    rw_prompt *prompt = rw_prompt_create(payload, bytes);
    rw_playlist *playlist = rw_playlist_create(play_id, &prompt, 1, false);
    rw_prompt_release(prompt);
    CHECK_EQUAL(rw_shard_play(shard, leg_id, playlist, replace), 0);
}

static rw_event one_event(rw_event_kind kind) {
    rw_event event;
    CHECK_EQUAL(rw_shard_poll_events(shard, &event, 1), 1);
    CHECK_EQUAL(event.kind, kind);
    return event;
}

static void no_event(void) {
    rw_event event;
    CHECK_EQUAL(rw_shard_poll_events(shard, &event, 1), 0);
}

/* --- virtual time -------------------------------------------------------------------------- */

static void test_a_prompt_leaves_on_the_grid_and_its_end_is_told(void) {
    begin(4);
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    play(leg_id, 77, 160 * 5, false);
    run_ms(200);
    CHECK_EQUAL(note_count, 5);
    for (size_t i = 1; i < 5; i++) {
        CHECK_EQUAL(notes[i].tick, notes[0].tick + 20 * i);
        CHECK_EQUAL(notes[i].header.sequence, i);
        CHECK_EQUAL(notes[i].header.timestamp, 160 * i);
        CHECK(!notes[i].header.marker);
    }
    rw_event event = one_event(RW_EVENT_PLAY_ENDED);
    CHECK(event.play_id == 77 && event.outcome == RW_PLAY_FINISHED && event.leg_id == leg_id);
    CHECK_EQUAL(event.played_bytes, 800);
    CHECK_EQUAL(shard->wheel.armed, 0); /* an idle leg costs nothing */
    end();
}

static void test_a_list_queued_at_the_end_of_another_follows_without_a_gap(void) {
    begin(4);
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    play(leg_id, 1, 320, false);
    run_ms(30); /* the second of two packets has just left */
    one_event(RW_EVENT_PLAY_ENDED);
    play(leg_id, 2, 320, false);
    run_ms(60);
    CHECK_EQUAL(note_count, 4);
    for (size_t i = 1; i < 4; i++) {
        CHECK_EQUAL(notes[i].tick, notes[0].tick + 20 * i);
        CHECK_EQUAL(notes[i].header.timestamp, 160 * i);
        CHECK(!notes[i].header.marker);
    }
    end();
}

/* Legs that send all the time, and how many packets of theirs then leave in each phase. */
static void count_packets(int legs, size_t *per_phase) {
    begin((uint32_t)legs);
    for (int i = 0; i < legs; i++) {
        open_leg(20, RW_SILENCE_SEND);
        if (i % 200 == 0) run_ms(1); /* the command ring has room again */
    }
    run_ms(40); /* all have started */
    note_count = 0;
    run_ms(20);
    CHECK_EQUAL(note_count, legs);
    for (size_t i = 0; i < note_count; i++)
        per_phase[notes[i].tick % RW_PHASES]++;
    end();
}

static void test_legs_share_ticks_up_to_a_burst(void) {
    size_t per_phase[RW_PHASES] = {0}, most = 0, used = 0;
    count_packets(200, per_phase);
    for (int phase = 0; phase < RW_PHASES; phase++) {
        if (per_phase[phase]) used++;
        if (per_phase[phase] > most) most = per_phase[phase];
    }
    CHECK(most > 40 && most < 100);
    CHECK_EQUAL(used, (200 + most - 1) / most);
}

static void test_many_legs_are_spread_over_the_packet_time(void) {
    size_t per_phase[RW_PHASES] = {0};
    count_packets(4000, per_phase);
    for (int phase = 0; phase < RW_PHASES; phase++)
        CHECK_EQUAL(per_phase[phase], 200);
}

static void test_a_leg_keeps_its_place_in_the_burst(void) {
    begin(30);
    for (int i = 0; i < 30; i++)
        open_leg(20, RW_SILENCE_SEND);
    run_ms(20 * 30); /* over several turns of the wheel */
    for (size_t i = 30; i < note_count; i++)
        CHECK_EQUAL(notes[i].leg_id, notes[i - 30].leg_id);
    end();
}

static void test_legs_of_other_packet_times_share_ticks_and_leave_no_load_behind(void) {
    static const uint8_t ptimes[] = {10, 20, 30, 40, 60};
    uint64_t ids[60];
    begin(60);
    for (int i = 0; i < 60; i++)
        ids[i] = open_leg(ptimes[i % 5], RW_SILENCE_SEND);
    run_ms(200);
    uint64_t used = 0;
    for (size_t i = 0; i < note_count; i++)
        used |= 1ull << notes[i].tick % RW_PHASES;
    CHECK(__builtin_popcountll(used) <= 2);
    for (int i = 0; i < 60; i++)
        CHECK_EQUAL(rw_shard_close_leg(shard, ids[i]), 0);
    run_ms(2);
    CHECK_EQUAL(shard->phases.legs, 0);
    for (int phase = 0; phase < RW_PHASES; phase++)
        CHECK_EQUAL(shard->phases.load_us[phase], 0);
    end();
}

static void test_a_late_shard_catches_up_without_drift(void) {
    begin(1);
    open_leg(20, RW_SILENCE_SEND);
    run_ms(60);
    size_t before = note_count;
    uint64_t grid = notes[0].tick;
    turn_at(clock_tick + 90); /* asleep for 90 ms */
    run_ms(30);
    run_ms(60);
    CHECK(note_count - before >= 8);
    for (size_t i = 1; i < note_count; i++) {
        CHECK_EQUAL(notes[i].header.sequence, i);
        CHECK_EQUAL(notes[i].header.timestamp, 160 * i);
        CHECK(notes[i].tick >= grid + 20 * i);
    }
    CHECK_EQUAL(notes[note_count - 1].tick, grid + 20 * (note_count - 1));
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_SKIPPED), 0);
    CHECK(rw_shard_counter(shard, RW_PACKETS_CAUGHT_UP) >= 3);
    end();
}

static void test_a_very_late_shard_skips_marks_and_counts(void) {
    begin(1);
    open_leg(20, RW_SILENCE_SEND);
    run_ms(60);
    note last = notes[note_count - 1];
    size_t before = note_count;
    turn_at(clock_tick + 500);
    run_ms(40);
    note next = notes[before];
    uint64_t skipped = rw_shard_counter(shard, RW_PACKETS_SKIPPED);
    CHECK(skipped >= 24);
    CHECK(next.header.marker);
    CHECK_EQUAL(next.header.sequence, (uint16_t)(last.header.sequence + 1));
    CHECK_EQUAL(next.header.timestamp, last.header.timestamp + 160 * (skipped + 1));
    CHECK_EQUAL((next.tick - last.tick) / 20, skipped + 1);
    end();
}

static void test_replace_stop_pause_and_resume(void) {
    begin(1);
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    play(leg_id, 1, 16000, false);
    play(leg_id, 2, 16000, false);
    run_ms(100);
    play(leg_id, 3, 16000, true);
    run_ms(2);
    CHECK_EQUAL(one_event(RW_EVENT_PLAY_ENDED).play_id, 1);
    CHECK_EQUAL(one_event(RW_EVENT_PLAY_ENDED).outcome, RW_PLAY_REPLACED);
    size_t before = note_count;
    rw_shard_pause(shard, leg_id, true);
    run_ms(203);
    CHECK(note_count <= before + 1);
    before = note_count;
    rw_shard_pause(shard, leg_id, false);
    run_ms(40);
    CHECK(notes[before].header.marker);
    CHECK_EQUAL(notes[before].header.timestamp - notes[before - 1].header.timestamp,
                (notes[before].tick - notes[before - 1].tick) * 8);
    rw_shard_stop_playing(shard, leg_id);
    run_ms(1);
    CHECK_EQUAL(one_event(RW_EVENT_PLAY_ENDED).outcome, RW_PLAY_STOPPED);
    before = note_count;
    run_ms(100);
    CHECK_EQUAL(note_count, before);
    end();
}

/* A shard sleeps to the next slot, whatever is asked for meanwhile: that must not cost a slot. */
static void test_a_slot_has_what_was_asked_for_before_it(void) {
    begin(1);
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    play(leg_id, 1, 16000, false);
    run_ms(30);
    uint64_t slot_tick = notes[note_count - 1].tick;
    size_t before = note_count;
    rw_shard_stop_playing(shard, leg_id);
    turn_at(slot_tick + 20);
    CHECK_EQUAL(note_count, before);
    play(leg_id, 2, 16000, false);
    turn_at(slot_tick + 40);
    CHECK_EQUAL(note_count, before + 1);
    CHECK_EQUAL(notes[before].tick, slot_tick + 40);
    end();
}

/* A leg that goes through its slots in silence has lost none that are over: what it is to play now
 * was not asked for in time for them. */
static void test_what_is_asked_for_of_a_very_late_shard_has_lost_no_slots(void) {
    begin(1);
    rw_leg_config config = leg_config(20, RW_SILENCE_COMFORT_NOISE);
    config.media.comfort_noise_payload_type = 13;
    config.media.takes_comfort_noise = true;
    uint64_t leg_id;
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &leg_id), 0);
    run_ms(50);
    uint64_t slot_tick = notes[0].tick + 40;
    play(leg_id, 1, 320, false);
    turn_at(slot_tick + 300);
    run_ms(30);
    CHECK_EQUAL(note_count, 3); /* one of comfort noise */
    CHECK_EQUAL(notes[1].tick, slot_tick + 300);
    CHECK_EQUAL(notes[2].tick, slot_tick + 320);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_SKIPPED), 0);
    CHECK_EQUAL(rw_histogram_quantile(rw_shard_lateness_us(shard), 1.0), 0);
    end();
}

static void test_a_pause_ends_with_what_it_held(void) {
    for (int replace = 0; replace < 2; replace++) {
        begin(1);
        uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
        play(leg_id, 1, 16000, false);
        run_ms(40);
        rw_shard_pause(shard, leg_id, true);
        run_ms(40);
        if (!replace) rw_shard_stop_playing(shard, leg_id);
        size_t before = note_count;
        play(leg_id, 2, 16000, replace);
        run_ms(40);
        CHECK(note_count > before);
        end();
    }
}

/* How long sound lies in the socket of a leg that plays, when it comes a tick behind its slot. */
static unsigned read_after_ms(uint8_t barge_in) {
    begin(1);
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    static uint8_t payload[16000];
    rw_prompt *prompt = rw_prompt_create(payload, sizeof payload);
    rw_playlist *playlist = rw_playlist_create(1, &prompt, 1, false);
    rw_prompt_release(prompt);
    playlist->barge_in = barge_in;
    CHECK_EQUAL(rw_shard_play(shard, leg_id, playlist, false), 0);
    size_t before = note_count;
    while (note_count < before + 2)
        run_ms(1);
    waiting_datagrams = 1;
    rw_shard_readable(shard, expected_leg ? RW_BACKEND_EVENT : leg_id);
    unsigned waited_ms = 0;
    for (; waiting_datagrams; waited_ms++)
        run_ms(1);
    end();
    return waited_ms;
}

static void test_a_leg_that_may_be_interrupted_is_read_at_once(void) {
    CHECK_EQUAL(read_after_ms(0), 20);
    CHECK_EQUAL(read_after_ms(RW_BARGE_IN_DIGIT), 1);
}

static void test_hold_and_a_new_remote_address(void) {
    begin(1);
    uint64_t leg_id = open_leg(20, RW_SILENCE_SEND);
    rw_leg_media media = leg_config(20, RW_SILENCE_SEND).media;
    media.send = false;
    run_ms(100);
    CHECK_EQUAL(rw_shard_update_leg(shard, leg_id, &media), 0);
    run_ms(21);
    size_t before = note_count;
    run_ms(100);
    CHECK_EQUAL(note_count, before);
    media.send = true;
    CHECK_EQUAL(rw_shard_update_leg(shard, leg_id, &media), 0);
    run_ms(41);
    CHECK(note_count >= before + 2 && notes[before].header.marker);
    media.remote.v4.sin_port = 0;
    CHECK_EQUAL(rw_shard_update_leg(shard, leg_id, &media), 0);
    run_ms(2);
    CHECK_EQUAL(one_event(RW_EVENT_LEG_CLOSED).status, -ENETUNREACH);
    CHECK_EQUAL(shard->wheel.armed, 0); /* of a leg that is gone */
    end();
}

static void test_ids_of_closed_legs_are_stale(void) {
    begin(1);
    uint64_t first = open_leg(20, RW_SILENCE_STOP), second;
    rw_leg_config config = leg_config(20, RW_SILENCE_STOP);
    rw_event figures;
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &second), -ENOSPC);
    run_ms(1);
    CHECK_EQUAL(rw_shard_legs_open(shard), 1);
    CHECK_EQUAL(rw_shard_leg_stats(shard, first, &figures), 0);
    play(first, 5, 1600, false);
    CHECK_EQUAL(rw_shard_close_leg(shard, first), 0);
    run_ms(1);
    CHECK_EQUAL(one_event(RW_EVENT_PLAY_ENDED).outcome, RW_PLAY_LEG_CLOSED);
    CHECK_EQUAL(one_event(RW_EVENT_LEG_CLOSED).leg_id, first);
    CHECK_EQUAL(rw_shard_leg_stats(shard, first, &figures), 0); /* until its place is used again */
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &second), 0);
    CHECK(second != first);
    play(first, 6, 1600, false);
    rw_shard_close_leg(shard, first);
    run_ms(1);
    CHECK_EQUAL(one_event(RW_EVENT_PLAY_ENDED).play_id, 6);
    CHECK_EQUAL(rw_shard_counter(shard, RW_STALE_COMMANDS), 2);
    CHECK_EQUAL(rw_shard_legs_open(shard), 1);
    CHECK_EQUAL(rw_shard_leg_stats(shard, first, &figures), -ESTALE);
    end();
}

static void test_a_leg_that_cannot_be_attached_is_closed_with_the_reason(void) {
    begin(1);
    rw_leg_config config = leg_config(20, RW_SILENCE_SEND);
    uint64_t leg_id;
    config.media.remote.v4.sin_port = 0;
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &leg_id), 0);
    run_ms(1);
    CHECK_EQUAL(one_event(RW_EVENT_LEG_CLOSED).status, -ENETUNREACH);
    run_ms(50);
    CHECK_EQUAL(note_count, 0);
    end();
}

static void test_a_full_event_ring_defers_and_loses_nothing(void) {
    enum { PLAYS = 3000 };
    begin(4); /* the event ring holds 2048 */
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    for (uint64_t play_id = 0; play_id < PLAYS; play_id++) {
        play(leg_id, play_id, 0, false);
        if (play_id % 50 == 0) run_ms(1);
    }
    run_ms(100);
    CHECK(rw_shard_counter(shard, RW_EVENTS_DEFERRED) > 0);
    for (uint64_t expected = 0; expected < PLAYS;) {
        rw_event events[64];
        size_t count = rw_shard_poll_events(shard, events, 64);
        for (size_t i = 0; i < count; i++)
            CHECK_EQUAL(events[i].play_id, expected++);
        run_ms(1);
    }
    no_event();
    end();
}

static void test_much_that_is_heard_in_one_tick_is_told(void) {
    enum { ROOM = 2048 + RW_KEPT_NEWS };
    begin(4); /* the event ring holds 2048 */
    rw_event event = {.kind = RW_EVENT_DIGIT}, events[64];
    for (event.leg_id = 1; event.leg_id <= ROOM; event.leg_id++)
        CHECK(rw_shard_keep_news(shard, &event));
    CHECK(!rw_shard_keep_news(shard, &event));
    CHECK_EQUAL(rw_shard_counter(shard, RW_EVENTS_DROPPED), 1);
    for (uint64_t expected = 1; expected <= ROOM;) {
        run_ms(1);
        size_t count = rw_shard_poll_events(shard, events, 64);
        CHECK(count > 0);
        for (size_t i = 0; i < count; i++)
            CHECK_EQUAL(events[i].leg_id, expected++);
    }
    no_event();
    end();
}

static void test_sound_is_read_in_the_slots_until_it_ends(void) {
    begin(1);
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    rw_event figures;
    run_ms(5);
    listen_calls = 0;
    waiting_datagrams = 4;
    rw_shard_readable(shard, leg_id);
    run_ms(20);
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_RECEIVED), 2);
    CHECK_EQUAL(rw_shard_counter(shard, RW_RECEIVED_REJECT_0 + RW_RTP_TOO_SHORT), 2);
    waiting_datagrams = 2;
    run_ms(20);
    CHECK_EQUAL(rw_shard_leg_stats(shard, leg_id, &figures), 0);
    CHECK(figures.packets_received == 3 && figures.packets_rejected == 3);
    CHECK_EQUAL(listen_calls, 0);
    run_ms(80);
    CHECK_EQUAL(listen_calls, 0);
    run_ms(20);
    CHECK_EQUAL(listen_calls, 1);
    CHECK_EQUAL(shard->wheel.armed, 0);
    rw_shard_readable(shard, leg_id + (1ull << 32)); /* news of a leg that is gone */
    CHECK_EQUAL(shard->wheel.armed, 0);
    end();
}

/* Changes some bytes of a sound packet, and its length; the same each run. */
static size_t mutate_rtp(uint8_t *datagram, size_t room, unsigned long long *seed) {
    size_t bytes = check_random(seed) % 4 ? 172 : check_random(seed) % (room + 1);
    rw_rtp_write_header(datagram, &(rw_rtp_header){.sequence = 1, .ssrc = 7});
    for (uint64_t flips = check_random(seed) % 6; flips > 0; flips--)
        datagram[check_random(seed) % 20] = (uint8_t)check_random(seed);
    return bytes;
}

/* Every leg of a burst is flooded. Each has a few datagrams read when it has sent, and 64 more when
 * all have. */
static void test_nobodys_packet_waits_for_a_flood(void) {
    begin(60);
    for (int i = 0; i < 60; i++) {
        uint64_t leg_id = open_leg(20, RW_SILENCE_SEND);
        run_ms(1);
        rw_shard_readable(shard, leg_id);
    }
    run_ms(20);
    most_before_a_send = note_count = 0;
    waiting_datagrams = 100000;
    run_ms(20);
    CHECK_EQUAL(note_count, 60);
    CHECK_EQUAL(most_before_a_send, 59 * 4);
    CHECK_EQUAL(100000 - waiting_datagrams, 60 * (4 + 64));
    waiting_datagrams = 0;
    end();
}

static void test_a_million_mutated_datagrams_are_counted_and_leave_nothing(void) {
    enum { DATAGRAMS = 1000000 };
    unsigned long long seed = 2026;
    static uint8_t datagram[RW_RECEIVE_BYTES];
    begin(1);
    uint64_t leg_id = open_leg(20, RW_SILENCE_STOP);
    run_ms(1);
    rw_leg *leg = rw_shard_find_leg(shard, leg_id);
    for (int i = 0; i < DATAGRAMS; i++)
        rw_shard_deliver(shard, leg, NULL, datagram, mutate_rtp(datagram, sizeof(datagram), &seed));
    uint64_t counted = rw_shard_counter(shard, RW_PACKETS_RECEIVED);
    for (int reason = 1; reason < RW_RTP_REJECTS; reason++) {
        uint64_t rejected = rw_shard_counter(shard, (rw_counter)(RW_RECEIVED_REJECT_0 + reason));
        CHECK(rejected > 0);
        counted += rejected;
    }
    CHECK_EQUAL(counted, DATAGRAMS);
    rw_shard_close_leg(shard, leg_id);
    run_ms(2);
    CHECK_EQUAL(rw_shard_legs_open(shard), 0);
    CHECK_EQUAL(shard->wheel.armed, 0);
    end();
}

/* True if the control side is woken now; it looks, and is to be told again after that. */
static bool is_woken(void) {
    struct pollfd readable = {.fd = rw_shard_event_fd(shard), .events = POLLIN};
    rw_event events[64];
    if (poll(&readable, 1, 0) == 0) return false;
    rw_shard_poll_events(shard, events, 64);
    return true;
}

static void test_a_leg_that_has_closed_wakes_nobody_who_looks_anyway(void) {
    rw_event events[8];
    begin(2);
    uint64_t seen = open_leg(20, RW_SILENCE_STOP), unseen = open_leg(20, RW_SILENCE_STOP);
    run_ms(1);
    play(seen, 1, 1600, false);
    CHECK_EQUAL(rw_shard_close_leg(shard, seen), 0);
    run_ms(15);
    CHECK_EQUAL(rw_shard_poll_events(shard, events, 8), 2); /* the list that ended with it, too */
    run_ms(30);
    CHECK(!is_woken());
    CHECK_EQUAL(rw_shard_close_leg(shard, unseen), 0);
    run_ms(50);
    CHECK(!is_woken());
    run_ms(1);
    CHECK(is_woken());
    end();
}

static void test_events_that_follow_each_other_wake_once_in_ten_ms(void) {
    begin(1);
    uint64_t leg = open_leg(20, RW_SILENCE_STOP);
    unsigned wakes = 0;
    run_ms(100);
    for (unsigned i = 0; i < 40; i++) {
        play(leg, i, 1600, false);
        CHECK_EQUAL(rw_shard_stop_playing(shard, leg), 0);
        run_ms(1);
        bool woken = is_woken();
        if (i == 0) CHECK(woken); /* after a rest at once */
        wakes += woken;
    }
    CHECK_EQUAL(wakes, 4);
    end();
}

int main(void) {
    test_a_prompt_leaves_on_the_grid_and_its_end_is_told();
    test_a_list_queued_at_the_end_of_another_follows_without_a_gap();
    test_legs_share_ticks_up_to_a_burst();
    test_many_legs_are_spread_over_the_packet_time();
    test_a_leg_keeps_its_place_in_the_burst();
    test_legs_of_other_packet_times_share_ticks_and_leave_no_load_behind();
    test_a_late_shard_catches_up_without_drift();
    test_a_very_late_shard_skips_marks_and_counts();
    test_replace_stop_pause_and_resume();
    test_a_slot_has_what_was_asked_for_before_it();
    test_what_is_asked_for_of_a_very_late_shard_has_lost_no_slots();
    test_a_pause_ends_with_what_it_held();
    test_a_leg_that_may_be_interrupted_is_read_at_once();
    test_hold_and_a_new_remote_address();
    test_ids_of_closed_legs_are_stale();
    test_a_leg_that_cannot_be_attached_is_closed_with_the_reason();
    test_a_full_event_ring_defers_and_loses_nothing();
    test_much_that_is_heard_in_one_tick_is_told();
    test_sound_is_read_in_the_slots_until_it_ends();
    test_a_leg_that_has_closed_wakes_nobody_who_looks_anyway();
    test_events_that_follow_each_other_wake_once_in_ten_ms();
    test_nobodys_packet_waits_for_a_flood();
    test_a_million_mutated_datagrams_are_counted_and_leave_nothing();
    return 0;
}
