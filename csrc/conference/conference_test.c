/* Conferences by themselves, and in a shard in virtual time. */
#include "conference/conference.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "shard/shard_private.h"
#include "test/check.h"

#define START_MS 5000
#define FRAME 160
#define FRAME_MS 20
#define MEMBERS 4
#define SOUND_TYPE 11
#define EVENT_TYPE 101
/* From a packet that is read to the mix it is in: the jitter buffer, and what the seat adds. */
#define DELAY_MS (RW_TAP_LISTENER_INITIAL_MS + RW_SEAT_AHEAD_MS)
#define SETTLED_MS 400

static const rw_ear_media media = {.clock_rate_hz = 8000,
                                   .sound = SOUND_TYPE,
                                   .events = EVENT_TYPE,
                                   .comfort_noise = RW_NO_PAYLOAD_TYPE};

static const rw_codec *l16(void) {
    return rw_codec_find("L16", 8000);
}

/* --- a shard whose legs say one number each, all the time ----------------------------------- */

typedef struct speaker {
    uint64_t leg_id;
    const char *codec;
    uint8_t ptime_ms; /* both ways */
    int16_t level;    /* of each sample that it says; 0: it sends nothing */
    uint16_t sequence;
    uint32_t timestamp;
    uint64_t says_tick; /* when its next packet is there; 0: as soon as somebody looks */
    bool digit;         /* its next packet is the start of one */
    int16_t heard;      /* the last sample of the last packet that it was sent */
    size_t packets;     /* it was sent */
    rw_rtp_header last;
} speaker;

static speaker speakers[MEMBERS];
static rw_shard *shard;
static uint64_t clock_tick;
static rw_backend backend;
static uint8_t room_for_packet[RW_MAX_PACKET_BYTES];
static rw_backend_ops ops;

static speaker *speaker_of(const rw_leg *leg) {
    for (int i = 0; i < MEMBERS; i++)
        if (speakers[i].leg_id == rw_read(&leg->id)) return &speakers[i];
    return NULL;
}

static int open_backend(const rw_backend_host *host, int fd, rw_backend **opened) {
    (void)fd;
    backend = (rw_backend){&ops, host};
    *opened = &backend;
    return 0;
}
static void close_backend(rw_backend *closed) {
    (void)closed;
}
static int attach(rw_backend *to, rw_leg *leg) {
    (void)to;
    leg->receiving = true;
    return 0;
}
static void detach(rw_backend *from, rw_leg *leg) {
    (void)from, (void)leg;
}
static uint8_t *room(rw_backend *of) {
    (void)of;
    return room_for_packet;
}
static void flush(rw_backend *flushed) {
    (void)flushed;
}
static void listen_again(rw_backend *to, rw_leg *leg) {
    (void)to, (void)leg;
}

static int16_t last_sample(const char *codec, const uint8_t *payload, size_t bytes) {
    int16_t pcm[MEMBERS * FRAME];
    const rw_codec *decoder = rw_codec_find(codec, 8000);
    size_t samples = decoder->decode(NULL, payload, bytes, pcm, MEMBERS * FRAME);
    return samples ? pcm[samples - 1] : 0;
}

static int frame_of(const speaker *of) {
    return of->ptime_ms * 8;
}

static size_t sent_bytes(const speaker *of) {
    return (size_t)frame_of(of) * rw_codec_find(of->codec, 8000)->bytes_per_ts;
}

static void note_sent(rw_backend *to, rw_leg *leg, size_t bytes) {
    (void)to;
    rw_rtp_packet packet;
    speaker *of = speaker_of(leg);
    CHECK_EQUAL(rw_rtp_parse(room_for_packet, bytes, &packet), RW_RTP_OK);
    if (of->packets) {
        CHECK_EQUAL((uint16_t)(packet.header.sequence - of->last.sequence), 1);
        CHECK_EQUAL((int32_t)(packet.header.timestamp - of->last.timestamp) % frame_of(of), 0);
        CHECK_EQUAL(packet.payload_bytes, sent_bytes(of));
    }
    of->last = packet.header;
    of->packets++;
    of->heard = last_sample(of->codec, packet.payload, packet.payload_bytes);
}

static size_t compose_said(speaker *from, uint8_t *datagram) {
    int16_t pcm[MEMBERS * FRAME];
    rw_rtp_header header = {.payload_type = from->digit ? EVENT_TYPE : SOUND_TYPE,
                            .sequence = from->sequence++,
                            .timestamp = from->timestamp,
                            .ssrc = 77};
    rw_rtp_write_header(datagram, &header);
    from->timestamp += (uint32_t)frame_of(from);
    if (from->digit) {
        static const uint8_t five[4] = {5, 10, 0, 160};
        memcpy(datagram + RW_RTP_HEADER_BYTES, five, sizeof(five));
        from->digit = false;
        return RW_RTP_HEADER_BYTES + sizeof(five);
    }
    for (int i = 0; i < frame_of(from); i++)
        pcm[i] = from->level;
    const rw_codec *codec = rw_codec_find(from->codec, 8000);
    return RW_RTP_HEADER_BYTES + codec->encode(NULL, pcm, (size_t)frame_of(from),
                                               datagram + RW_RTP_HEADER_BYTES,
                                               RW_MAX_PACKET_BYTES - RW_RTP_HEADER_BYTES);
}

/* A packet in each packet time, however often the leg is read. */
static size_t receive(rw_backend *from, rw_leg *leg, size_t max) {
    uint8_t datagram[RW_MAX_PACKET_BYTES];
    speaker *of = speaker_of(leg);
    if (!of || !of->level || !max || clock_tick < of->says_tick) return 0;
    of->says_tick = (of->says_tick ? of->says_tick : clock_tick) + of->ptime_ms;
    from->host->deliver(from->host->context, leg, NULL, datagram, compose_said(of, datagram));
    return 1;
}

/* Whose sound is waited for is read in its slots. */
static int expect(rw_backend *from, rw_leg *leg, bool expected) {
    (void)from, (void)leg, (void)expected;
    return -ENOSPC;
}

static rw_backend_ops ops = {
    .name = "speakers",
    .open = open_backend,
    .close = close_backend,
    .attach = attach,
    .detach = detach,
    .room = room,
    .send = note_sent,
    .flush = flush,
    .receive = receive,
    .expect = expect,
    .listen = listen_again,
    .socket_per_leg = true,
};

static void open_speaker_with(unsigned number, const char *codec, int16_t level, uint8_t ptime_ms) {
    rw_leg_config config = {
        .media = {.clock_rate_hz = 8000,
                  .ptime_ms = ptime_ms,
                  .bytes_per_ts = rw_codec_find(codec, 8000)->bytes_per_ts,
                  .payload_type = SOUND_TYPE,
                  .event_payload_type = EVENT_TYPE,
                  .comfort_noise_payload_type = RW_NO_PAYLOAD_TYPE,
                  .send = true,
                  .receive = true},
        .fd = -1,
    };
    const rw_ear_config hearing = {.speech = false};
    config.media.remote.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9)};
    speakers[number] =
        (speaker){.codec = codec, .ptime_ms = ptime_ms, .level = level, .sequence = 65530};
    CHECK_EQUAL(rw_ear_create(&hearing, rw_codec_find(codec, 8000), &config.ear), 0);
    CHECK_EQUAL(rw_shard_open_leg(shard, &config, &speakers[number].leg_id), 0);
}

static void open_speaker(unsigned number, const char *codec, int16_t level) {
    open_speaker_with(number, codec, level, FRAME_MS);
}

static void begin(void) {
    rw_shard_config config = {.shared_fd = -1, .max_legs = MEMBERS};
    clock_tick = START_MS;
    memset(speakers, 0, sizeof(speakers));
    CHECK_EQUAL(rw_shard_create_at(&config, &ops, clock_tick, &shard), 0);
}

static void run_ms(uint64_t ms) {
    for (uint64_t i = 0; i < ms; i++)
        rw_shard_turn(shard, ++clock_tick * 1000);
}

static void join(unsigned number, rw_conference *conference, rw_mixer_role role, unsigned to) {
    rw_seat *seat;
    const rw_codec *codec = rw_codec_find(speakers[number].codec, 8000);
    CHECK_EQUAL(rw_seat_create(number + 1, conference, codec, &seat), 0);
    CHECK_EQUAL(rw_shard_join(shard, speakers[number].leg_id, seat, role, speakers[to].leg_id), 0);
}

static void set_role(unsigned number, rw_mixer_role role, unsigned to) {
    CHECK_EQUAL(
        rw_shard_set_role(shard, speakers[number].leg_id, number + 1, role, speakers[to].leg_id),
        0);
}

/* What each of the first three is sent in the end. */
static void check_heard(int first, int second, int third) {
    CHECK_EQUAL(speakers[0].heard, first);
    CHECK_EQUAL(speakers[1].heard, second);
    CHECK_EQUAL(speakers[2].heard, third);
}

static rw_conference *three_speakers(rw_mixer_role third) {
    rw_conference *conference;
    CHECK_EQUAL(rw_conference_create(8000, MEMBERS, &conference), 0);
    begin();
    for (unsigned i = 0; i < 3; i++) {
        open_speaker(i, "L16", (int16_t[]){1, 20, 300}[i]);
        run_ms(7); /* so that their slots are apart */
    }
    join(0, conference, RW_MIXER_TALKER, 0);
    join(1, conference, RW_MIXER_TALKER, 0);
    join(2, conference, third, 1);
    run_ms(SETTLED_MS);
    return conference;
}

static void end(rw_conference *conference) {
    rw_conference_release(conference);
    rw_shard_destroy(shard);
}

static rw_event next_event(rw_event_kind kind) {
    rw_event event;
    do {
        CHECK_EQUAL(rw_shard_poll_events(shard, &event, 1), 1);
    } while (event.kind != kind);
    return event;
}

/* --- in a shard ---------------------------------------------------------------------------- */

static void test_each_hears_the_others_without_itself(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    check_heard(320, 301, 21);
    for (int i = 0; i < 3; i++)
        CHECK(speakers[i].packets >= SETTLED_MS / FRAME_MS - 1);
    int16_t pcm[FRAME];
    for (int i = 0; i < FRAME; i++)
        pcm[i] = 320;
    const rw_leg *leg = rw_shard_find_leg(shard, speakers[0].leg_id);
    CHECK_EQUAL(leg->sent_dbov, rw_vad_level(pcm, FRAME)); /* for its echo guard */
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_MIXED),
                speakers[0].packets + speakers[1].packets + speakers[2].packets);
    end(conference);
}

static void test_roles_say_who_is_heard_and_change_at_any_time(void) {
    rw_conference *conference = three_speakers(RW_MIXER_WHISPERER);
    check_heard(20, 301, 21);
    set_role(2, RW_MIXER_LISTENER, 0);
    run_ms(200);
    check_heard(20, 1, 21);
    set_role(2, RW_MIXER_TALKER, 0);
    run_ms(200);
    check_heard(320, 301, 21);
    set_role(2, RW_MIXER_WHISPERER, 0);
    run_ms(200);
    check_heard(320, 1, 21);
    end(conference);
}

static void test_a_whisper_to_nobody_is_heard_by_nobody(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    set_role(2, RW_MIXER_WHISPERER, 2);
    run_ms(200);
    check_heard(20, 1, 21);
    set_role(2, RW_MIXER_WHISPERER, 1);
    CHECK_EQUAL(rw_shard_leave(shard, speakers[1].leg_id, 2), 0);
    run_ms(200);
    CHECK_EQUAL(speakers[0].heard, 0);
    CHECK_EQUAL(speakers[2].heard, 1);
    join(1, conference, RW_MIXER_TALKER, 0);
    run_ms(SETTLED_MS);
    check_heard(20, 1, 21);
    end(conference);
}

static void test_who_leaves_is_told_and_not_heard_any_more(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    CHECK_EQUAL(rw_shard_leave(shard, speakers[2].leg_id, 99), 0); /* not its seat */
    CHECK_EQUAL(rw_shard_leave(shard, speakers[2].leg_id, 3), 0);
    run_ms(1);
    rw_event event = next_event(RW_EVENT_SEAT_ENDED);
    CHECK_EQUAL(event.seat_id, 3);
    CHECK_EQUAL(event.leg_id, speakers[2].leg_id);
    CHECK_EQUAL(event.status, 0);
    CHECK(event.tapped.played_samples > 10 * FRAME);
    size_t packets = speakers[2].packets;
    run_ms(200);
    CHECK_EQUAL(speakers[2].packets, packets);
    CHECK_EQUAL(speakers[0].heard, 20);
    CHECK_EQUAL(speakers[1].heard, 1);
    CHECK(rw_shard_counter(shard, RW_MIX_BLOCKS_0 + RW_MIXER_OK) > 20);
    end(conference);
}

static void test_a_leg_that_closes_leaves_before_it_is_announced(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    rw_event events[8];
    CHECK_EQUAL(rw_shard_close_leg(shard, speakers[1].leg_id), 0);
    run_ms(200);
    CHECK_EQUAL(rw_shard_poll_events(shard, events, 8), 2);
    CHECK_EQUAL(events[0].kind, RW_EVENT_SEAT_ENDED);
    CHECK_EQUAL(events[1].kind, RW_EVENT_LEG_CLOSED);
    CHECK_EQUAL(speakers[0].heard, 300);
    CHECK_EQUAL(speakers[2].heard, 1);
    join(1, conference, RW_MIXER_TALKER, 0); /* a leg that is gone */
    run_ms(1);
    CHECK_EQUAL(next_event(RW_EVENT_SEAT_ENDED).seat_id, 2);
    end(conference);
}

static void test_another_conference_takes_the_place_of_the_first(void) {
    rw_conference *first = three_speakers(RW_MIXER_TALKER), *second;
    CHECK_EQUAL(rw_conference_create(8000, 2, &second), 0);
    join(0, second, RW_MIXER_TALKER, 0);
    join(1, second, RW_MIXER_TALKER, 0);
    join(2, second, RW_MIXER_TALKER, 0);
    run_ms(1);
    size_t packets = speakers[2].packets;
    run_ms(SETTLED_MS);
    CHECK_EQUAL(speakers[0].heard, 20);
    CHECK_EQUAL(speakers[1].heard, 1);
    CHECK_EQUAL(speakers[2].packets, packets); /* there were two seats */
    rw_event events[8];
    CHECK_EQUAL(rw_shard_poll_events(shard, events, 8), 4);
    int full = 0;
    for (int i = 0; i < 4; i++)
        full += events[i].status == -ENOSPC;
    CHECK_EQUAL(full, 1);
    rw_conference_release(second);
    end(first);
}

static void test_a_prompt_is_heard_in_the_place_of_the_others_by_one_alone(void) {
    static uint8_t payload[2 * FRAME * 10]; /* ten packets that say 257 */
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    memset(payload, 1, sizeof(payload));
    rw_prompt *prompt = rw_prompt_create(payload, sizeof(payload));
    rw_playlist *playlist = rw_playlist_create(7, &prompt, 1, false);
    rw_prompt_release(prompt);
    CHECK_EQUAL(rw_shard_play(shard, speakers[0].leg_id, playlist, false), 0);
    run_ms(100);
    check_heard(257, 301, 21);
    run_ms(200);
    check_heard(320, 301, 21);
    CHECK_EQUAL(next_event(RW_EVENT_PLAY_ENDED).outcome, RW_PLAY_FINISHED);
    end(conference);
}

static void test_digits_are_told_and_are_no_sound(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    speakers[1].digit = true;
    run_ms(FRAME_MS);
    CHECK_EQUAL(next_event(RW_EVENT_DIGIT).digit.symbol, '5');
    bool silent = false;
    for (int i = 0; i < 100; i++) {
        run_ms(1);
        CHECK(speakers[0].heard == 320 || speakers[0].heard == 300);
        silent |= speakers[0].heard == 300;
    }
    CHECK(silent);
    check_heard(320, 301, 21);
    end(conference);
}

static void test_who_holds_is_sent_nothing_and_its_music_is_not_heard(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    rw_leg *leg = rw_shard_find_leg(shard, speakers[0].leg_id);
    leg->send = leg->media.send = false;
    size_t packets = speakers[0].packets;
    speakers[2].level = 0;
    run_ms(SETTLED_MS);
    CHECK_EQUAL(speakers[0].packets, packets);
    CHECK_EQUAL(speakers[1].heard, 0);
    CHECK_EQUAL(speakers[2].heard, 20);
    leg->send = leg->media.send = true;
    run_ms(FRAME_MS);
    CHECK_EQUAL(speakers[0].heard, 20);
    run_ms(SETTLED_MS);
    CHECK_EQUAL(speakers[1].heard, 1);
    CHECK_EQUAL(speakers[2].heard, 21);
    end(conference);
}

static void test_a_late_shard_loses_no_sound(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    unsigned long long seed = 3;
    for (int i = 0; i < 500; i++) {
        clock_tick += check_random(&seed) % (RW_SEAT_AHEAD_MS + 1);
        run_ms(1);
        check_heard(320, 301, 21);
    }
    CHECK_EQUAL(rw_shard_counter(shard, RW_PACKETS_SKIPPED), 0);
    end(conference);
}

static void test_members_of_other_codecs_hear_each_other(void) {
    rw_conference *conference;
    CHECK_EQUAL(rw_conference_create(16000, MEMBERS, &conference), 0);
    begin();
    open_speaker(0, "PCMU", 1000);
    open_speaker(1, "L16", 4000);
    run_ms(1);
    join(0, conference, RW_MIXER_TALKER, 0);
    join(1, conference, RW_MIXER_TALKER, 0);
    run_ms(SETTLED_MS);
    CHECK(speakers[0].heard > 3800 && speakers[0].heard < 4200);
    CHECK(speakers[1].heard > 950 && speakers[1].heard < 1050);
    end(conference);
}

static void test_packet_times_may_differ(void) {
    rw_conference *conference;
    CHECK_EQUAL(rw_conference_create(8000, MEMBERS, &conference), 0);
    begin();
    open_speaker_with(0, "L16", 1, 10);
    open_speaker_with(1, "L16", 20, 30);
    open_speaker_with(2, "L16", 300, 60);
    for (unsigned i = 0; i < 3; i++)
        join(i, conference, RW_MIXER_TALKER, 0);
    run_ms(2 * SETTLED_MS);
    unsigned long long seed = 5;
    for (int i = 0; i < 300; i++) {
        clock_tick += check_random(&seed) % (RW_SEAT_AHEAD_MS + 1);
        run_ms(1);
        check_heard(320, 301, 21);
    }
    end(conference);
}

/* What is relayed to a leg takes the place of all that it would be sent. */
static void test_a_relay_takes_the_place_of_the_mix_too(void) {
    rw_conference *conference = three_speakers(RW_MIXER_TALKER);
    rw_relay *relay;
    CHECK_EQUAL(rw_relay_create(l16(), l16(), &relay), 0);
    CHECK_EQUAL(rw_shard_relay(shard, speakers[1].leg_id, speakers[0].leg_id, relay), 0);
    run_ms(FRAME_MS);
    for (int i = 0; i < 100; i++) {
        run_ms(1);
        check_heard(20, 301, 21);
    }
    CHECK_EQUAL(rw_shard_end_relay(shard, speakers[1].leg_id), 0);
    run_ms(2 * FRAME_MS);
    check_heard(320, 301, 21);
    end(conference);
}

/* --- by itself ----------------------------------------------------------------------------- */

static void test_what_cannot_be_is_refused(void) {
    rw_conference *conference;
    CHECK_EQUAL(rw_conference_create(11025, 2, &conference), -EINVAL);
    CHECK_EQUAL(rw_conference_create(8000, RW_MIXER_MAX_MEMBERS + 1, &conference), -EINVAL);
    CHECK_EQUAL(rw_conference_create(8000, 1, &conference), 0);
    const rw_codec odd = {.name = "ODD", .sample_rate_hz = 11025, .clock_rate_hz = 11025};
    rw_seat *seat;
    CHECK_EQUAL(rw_seat_create(1, conference, &odd, &seat), -EINVAL);
    begin();
    CHECK_EQUAL(rw_seat_create(1, conference, l16(), &seat), 0);
    CHECK_EQUAL(rw_shard_join(shard, 1, seat, RW_MIXER_ROLES, 0), -EINVAL);
    CHECK_EQUAL(rw_shard_set_role(shard, 1, 1, (rw_mixer_role)-1, 0), -EINVAL);
    rw_seat_destroy(seat);
    end(conference);
}

static void test_a_seat_outlives_who_made_its_conference(void) {
    rw_conference *conference;
    rw_seat *seat, *other;
    uint8_t payload[2 * FRAME];
    int8_t level_dbov;
    CHECK_EQUAL(rw_conference_create(8000, 1, &conference), 0);
    CHECK_EQUAL(rw_seat_create(1, conference, l16(), &seat), 0);
    CHECK_EQUAL(rw_seat_create(2, conference, l16(), &other), 0);
    rw_conference_release(conference);
    CHECK_EQUAL(rw_seat_take(seat, 1000), 0);
    CHECK_EQUAL(rw_seat_take(other, 1000), -ENOSPC);
    CHECK_EQUAL(other->status, -ENOSPC);
    CHECK_EQUAL(rw_seat_mix(seat, 1020, FRAME_MS, payload, sizeof(payload), &level_dbov),
                sizeof(payload));
    CHECK_EQUAL(level_dbov, RW_VAD_SILENCE_DBOV);
    CHECK_EQUAL(rw_seat_mix(seat, 1040, FRAME_MS, payload, 10, &level_dbov), 0);
    rw_seat_leave(seat);
    rw_seat_leave(seat);
    CHECK_EQUAL(rw_seat_take(other, 1040), 0);
    rw_seat_destroy(seat);
    rw_seat_leave(other);
    rw_seat_destroy(other);
}

/* Every sample that one gives comes to the other, in order, as loud as it was. */
static void test_the_sound_is_the_same_and_its_level_is_told(void) {
    rw_conference *conference;
    rw_seat *from, *to;
    uint8_t said[2 * FRAME], payload[2 * FRAME];
    int16_t heard[30 * FRAME];
    int8_t level_dbov = 0;
    CHECK_EQUAL(rw_conference_create(8000, 2, &conference), 0);
    CHECK_EQUAL(rw_seat_create(1, conference, l16(), &from), 0);
    CHECK_EQUAL(rw_seat_create(2, conference, l16(), &to), 0);
    CHECK_EQUAL(rw_seat_take(from, 1000), 0);
    CHECK_EQUAL(rw_seat_take(to, 1007), 0);
    rw_seat_set_role(from, RW_MIXER_TALKER, NULL);
    for (unsigned i = 0; i < 30; i++) {
        for (unsigned j = 0; j < FRAME; j++) {
            unsigned sample = 1 + i * FRAME + j;
            said[2 * j] = (uint8_t)(sample >> 8);
            said[2 * j + 1] = (uint8_t)sample;
        }
        rw_rtp_packet packet = {.header = {.payload_type = SOUND_TYPE,
                                           .sequence = (uint16_t)(65530 + i),
                                           .timestamp = 0xfffffe00u + i * FRAME},
                                .payload = said,
                                .payload_bytes = sizeof(said)};
        rw_seat_hear(from, &media, &packet, RW_HEARD_NEW);
        rw_seat_advance(from, 1000 + (i + 1) * FRAME_MS);
        CHECK_EQUAL(
            rw_seat_mix(to, 1007 + i * FRAME_MS, FRAME_MS, payload, sizeof(payload), &level_dbov),
            sizeof(payload));
        l16()->decode(NULL, payload, sizeof(payload), heard + i * FRAME, FRAME);
    }
    /* Block `i` is of the 20 ms before 1007 + 20 `i`. */
    size_t silent = (size_t)(DELAY_MS + FRAME_MS - 7) * 8;
    for (size_t i = 0; i < 30 * FRAME; i++)
        CHECK_EQUAL(heard[i], i < silent ? 0 : (int)(1 + i - silent));
    CHECK(level_dbov < -10 && level_dbov > -30);
    rw_seat_destroy(from);
    rw_seat_destroy(to);
    rw_conference_release(conference);
}

int main(void) {
    test_each_hears_the_others_without_itself();
    test_roles_say_who_is_heard_and_change_at_any_time();
    test_a_whisper_to_nobody_is_heard_by_nobody();
    test_who_leaves_is_told_and_not_heard_any_more();
    test_a_leg_that_closes_leaves_before_it_is_announced();
    test_another_conference_takes_the_place_of_the_first();
    test_a_prompt_is_heard_in_the_place_of_the_others_by_one_alone();
    test_digits_are_told_and_are_no_sound();
    test_who_holds_is_sent_nothing_and_its_music_is_not_heard();
    test_a_late_shard_loses_no_sound();
    test_a_relay_takes_the_place_of_the_mix_too();
    test_packet_times_may_differ();
    test_members_of_other_codecs_hear_each_other();
    test_what_cannot_be_is_refused();
    test_a_seat_outlives_who_made_its_conference();
    test_the_sound_is_the_same_and_its_level_is_told();
    return 0;
}
