/* The shard's side of a leg: commands, slots, sound that arrives, events. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base.h"
#include "rtp/rtp.h"
#include "shard/shard_private.h"

/* A leg that heard nothing for so long is left to epoll again: longer than sound that is late,
 * short enough that a call without any costs little. */
#define QUIET_TICKS 100

/* Datagrams read from a leg in its slot, where one is right, and beyond those in the same tick; and
 * of all legs that are read together. They bound what a flood can cost. */
#define FIRST_DATAGRAMS 4
#define MAX_DATAGRAMS 64
#define MAX_DATAGRAMS_TOGETHER 1024

/* The control side is woken for events at most so often: it finds its caches cold each time, which
 * costs more than what the events are about. The first one after a rest is told at once. */
#define ANNOUNCE_GAP_TICKS 10

/* For legs that have closed, for which nobody waits, it is woken only if it has not looked by
 * itself for so long: longer than SIP gathers where nobody says, which has it look. */
#define ANNOUNCE_CLOSED_TICKS 50

/* Commands taken in one turn. The first come before the packets that are due, so that what is to be
 * played leaves in this tick, if it is its leg's, and what is to be stopped does not; the others
 * after them, so that a flood of commands does not delay the packets. */
#define FIRST_COMMANDS 32
#define MORE_COMMANDS 224

static void count(rw_shard *shard, rw_counter counter, uint64_t by) {
    rw_count(&shard->counters[counter], by);
}

rw_leg *rw_shard_find_leg(const rw_shard *shard, uint64_t leg_id) {
    uint32_t index = (uint32_t)leg_id;
    if (index >= shard->max_legs || leg_id >> 32 == 0) return NULL;
    rw_leg *leg = &shard->legs[index];
    return rw_read(&leg->id) == leg_id ? leg : NULL;
}

/* The leg with that id while it is open, for the shard's thread. */
static rw_leg *find_open_leg(const rw_shard *shard, uint64_t leg_id) {
    rw_leg *leg = rw_shard_find_leg(shard, leg_id);
    return leg && !leg->closing ? leg : NULL;
}

/* --- phases ------------------------------------------------------------------------------- */

/* What a leg's slot takes at most: when the leg plays and is talked to, and its sound is wanted. */
static uint32_t slot_cost_us(const rw_leg_media *media, const rw_ear *ear) {
    uint32_t cost_us = RW_SLOT_SEND_US;
    if (ear) cost_us += RW_SLOT_HEAR_US;
    if (!media->bytes_per_ts) cost_us += RW_SLOT_CODE_US;
    return cost_us;
}

static void enter_phases(rw_shard *shard, const rw_leg *leg) {
    rw_phases_enter(&shard->phases, leg->due_tick, leg->ptime_ms,
                    slot_cost_us(&leg->media, leg->ear));
}

static void leave_phases(rw_shard *shard, const rw_leg *leg) {
    rw_phases_leave(&shard->phases, leg->due_tick, leg->ptime_ms,
                    slot_cost_us(&leg->media, leg->ear));
}

/* --- slots -------------------------------------------------------------------------------- */

void rw_shard_schedule(rw_shard *shard, rw_leg *leg) {
    if (rw_timer_armed(&leg->timer)) return;
    rw_leg_skip_to(leg, shard->wheel.now_tick + 1);
    rw_wheel_arm(&shard->wheel, &leg->timer, leg->due_tick);
}

/* --- what a leg hears ---------------------------------------------------------------------- */

static void post_news(rw_shard *shard);

bool rw_shard_keep_news(rw_shard *shard, const rw_event *event) {
    /* A late tick can hear much of many legs. The control side is woken for it at the tick's end.
     */
    if (shard->news_count == RW_KEPT_NEWS) post_news(shard);
    bool room = shard->news_count < RW_KEPT_NEWS;
    if (room)
        shard->news[shard->news_count++] = *event;
    else
        count(shard, RW_EVENTS_DROPPED, 1);
    return room;
}

static void tell_digit(rw_shard *shard, rw_leg *leg, const rw_ear_news *news) {
    rw_event event = {.kind = RW_EVENT_DIGIT,
                      .leg_id = rw_read(&leg->id),
                      .tone = news->tone,
                      .digit = news->digit};
    rw_shard_keep_news(shard, &event);
    if (news->digit.ended) return;
    count(shard, RW_DIGITS_HEARD, 1);
    rw_leg_barge_in(leg, RW_BARGE_IN_DIGIT, &shard->ended);
}

static void tell_speech(rw_shard *shard, rw_leg *leg, const rw_ear_news *news) {
    rw_event event = {.kind = RW_EVENT_SPEECH, .leg_id = rw_read(&leg->id), .speech = news->speech};
    rw_shard_keep_news(shard, &event);
    if (news->speech.kind != RW_VAD_START) return;
    count(shard, RW_SPEECH_STARTS, 1);
    rw_leg_barge_in(leg, RW_BARGE_IN_SPEECH, &shard->ended);
}

static void tell(rw_shard *shard, rw_leg *leg, const rw_ear_report *report) {
    for (size_t i = 0; i < report->count; i++)
        if (report->news[i].kind == RW_EAR_DIGIT)
            tell_digit(shard, leg, &report->news[i]);
        else
            tell_speech(shard, leg, &report->news[i]);
}

/* Lets time pass for an ear, whatever came. */
static void pass_time(rw_shard *shard, rw_leg *leg) {
    rw_ear_report report = {.count = 0};
    rw_ear_pass(leg->ear, shard->now_us, &report);
    tell(shard, leg, &report);
}

/* True if `timer` is a leg's watch and not its slot. */
static bool is_watch(const rw_shard *shard, const rw_timer *timer) {
    size_t offset = (size_t)((const char *)timer - (const char *)shard->legs);
    return offset % sizeof(rw_leg) == offsetof(rw_leg, watch);
}

/* True while sound goes both ways: on hold, whoever holds, a peer need not send any. */
static bool is_live(const rw_leg_media *media) {
    return media->send && media->receive;
}

/* The media timeout: asks the leg's ear; returns when to ask again, 0 for never. */
static uint64_t watch_silence(rw_shard *shard, rw_leg *leg) {
    uint64_t next_us;
    if (!is_live(&leg->media)) return 0;
    if (rw_ear_timed_out(leg->ear, leg->watched_us, shard->now_us, &next_us)) {
        rw_event event = {.kind = RW_EVENT_MEDIA_TIMEOUT, .leg_id = rw_read(&leg->id)};
        rw_shard_keep_news(shard, &event);
        count(shard, RW_MEDIA_TIMEOUTS, 1);
    }
    return next_us;
}

/* The leg's first slot from `tick` on: for what can wait for it, and wakes nobody on its own then.
 */
static uint64_t slot_tick(const rw_leg *leg, uint64_t tick) {
    uint64_t ptime_ms = leg->ptime_ms;
    return tick + (leg->due_tick % ptime_ms + ptime_ms - tick % ptime_ms) % ptime_ms;
}

/* What is due of a leg whether it has slots or not: its reports, and the media timeout. */
static void keep_watch(rw_shard *shard, rw_leg *leg) {
    if (!leg->ear) return;
    uint64_t next_us = rw_shard_keep_reports(shard, leg), silence_us = watch_silence(shard, leg);
    if (silence_us && silence_us < next_us) next_us = silence_us;
    rw_wheel_arm(&shard->wheel, &leg->watch, slot_tick(leg, next_us / TICK_US + 1));
}

static void read_leg(rw_shard *shard, rw_leg *leg) {
    const rw_backend_ops *ops = shard->backend->ops;
    size_t count = ops->receive(shard->backend, leg, FIRST_DATAGRAMS);
    if (count == FIRST_DATAGRAMS) {
        leg->next_behind = shard->behind;
        shard->behind = leg;
    }
    if (count) {
        leg->quiet_slots = 0;
    } else if (++leg->quiet_slots * leg->ptime_ms >= QUIET_TICKS) {
        leg->quiet_slots = 0;
        leg->receiving = false;
        ops->listen(shard->backend, leg);
    }
}

/* Sound that goes on to another leg, or may end what plays, does not wait for slots. */
static bool is_waited_for(const rw_leg *leg) {
    const rw_playlist *list = leg->playing.first;
    return leg->relay || (list && list->barge_in);
}

/* Where the backend refuses, the leg is read in its slots, and it is asked again in the next. */
static void settle_expectation(rw_shard *shard, rw_leg *leg) {
    bool expected = is_waited_for(leg);
    if (expected == leg->expected) return;
    if (shard->backend->ops->expect(shard->backend, leg, expected)) return;
    leg->expected = expected;
    leg->receiving = false;
}

static void leave_out_late_slots(rw_shard *shard, rw_leg *leg) {
    if (shard->wheel.now_tick <= leg->due_tick + RW_MAX_LATE_TICKS) return;
    bool had_output = rw_leg_has_output(leg);
    uint64_t slots = rw_leg_skip_to(leg, shard->wheel.now_tick);
    if (!had_output) return;
    count(shard, RW_PACKETS_SKIPPED, slots);
    rw_count(&leg->stats.packets_skipped, slots);
}

void rw_shard_send(rw_shard *shard, rw_leg *leg, uint8_t *packet, size_t bytes) {
    leg->sound_packets++;
    leg->sound_bytes += (uint32_t)bytes - RW_RTP_HEADER_BYTES;
    if (leg->taps) rw_shard_tap_sent(leg, packet, bytes);
    if (leg->srtp) {
        rw_srtp_reject reject = rw_srtp_protect(leg->srtp, packet, &bytes, RW_MAX_PACKET_BYTES);
        if (reject) {
            count(shard, (rw_counter)(RW_SRTP_REJECT_0 + (int)reject), 1);
            rw_count(&leg->stats.send_errors, 1);
            return;
        }
    }
    shard->backend->ops->send(shard->backend, leg, bytes);
}

static void send_slot(rw_shard *shard, rw_leg *leg) {
    uint8_t *packet = shard->backend->ops->room(shard->backend);
    size_t bytes = rw_leg_compose(leg, packet, &shard->ended);
    if (!bytes) return;
    if (leg->ear) rw_ear_sent(leg->ear, leg->sent_dbov);
    rw_shard_send(shard, leg, packet, bytes);
    shard->batch++;
    if (leg->mixed) count(shard, RW_PACKETS_MIXED, 1);
    if (leg->due_tick <= shard->wheel.now_tick) count(shard, RW_PACKETS_CAUGHT_UP, 1);
}

/* True if the leg has something to do in its next slot. */
static bool needs_slots(const rw_leg *leg) {
    return leg->receiving || leg->taps || leg->seat || rw_leg_needs_slots(leg) ||
           (leg->ear && rw_ear_waits(leg->ear));
}

/* Marks that the last packet has reached: it was handed to the backend. */
static void tell_marks(rw_shard *shard, const rw_leg *leg, const rw_playlist *list) {
    rw_event event = {.kind = RW_EVENT_MARK, .leg_id = rw_read(&leg->id), .play_id = list->play_id};
    while (rw_live_at_mark(list->live, &event.mark_id, &event.mark_cleared)) {
        if (!rw_shard_keep_news(shard, &event)) return; /* in the next slot */
        rw_live_pass_mark(list->live);
    }
}

static void serve_leg(rw_shard *shard, rw_leg *leg, uint64_t now_us) {
    uint64_t due_us = leg->due_tick * TICK_US;
    if (rw_leg_has_output(leg) && leg->due_tick <= shard->wheel.now_tick)
        rw_histogram_add(&shard->lateness_us, now_us > due_us ? now_us - due_us : 0, 1);
    leave_out_late_slots(shard, leg);
    if (leg->due_tick <= shard->wheel.now_tick) send_slot(shard, leg);
    if (leg->playing.first && leg->playing.first->live) tell_marks(shard, leg, leg->playing.first);
    if (leg->receiving) read_leg(shard, leg);
    if (leg->ear) pass_time(shard, leg);
    if (leg->taps) rw_shard_advance_taps(shard, leg);
    if (leg->seat) rw_seat_advance(leg->seat, leg->due_tick);
    settle_expectation(shard, leg);
    if (needs_slots(leg)) rw_wheel_arm(&shard->wheel, &leg->timer, leg->due_tick);
}

/* Reads the legs that are not read in their slots; in every tick, while sound comes. */
static void poll_together(rw_shard *shard) {
    const rw_backend_ops *ops = shard->backend->ops;
    shard->poll_due = false;
    if (ops->receive(shard->backend, NULL, MAX_DATAGRAMS_TOGETHER))
        rw_wheel_arm(&shard->wheel, &shard->poll_timer, shard->wheel.now_tick + 1);
    else
        ops->listen(shard->backend, NULL);
}

void rw_shard_readable(rw_shard *shard, uint64_t epoll_data) {
    if (epoll_data == RW_BACKEND_EVENT) {
        rw_wheel_arm(&shard->wheel, &shard->poll_timer, shard->wheel.now_tick + 1);
        return;
    }
    rw_leg *leg = find_open_leg(shard, epoll_data & ~(uint64_t)RW_CONTROL_EVENT);
    if (!leg) return;
    if (epoll_data & RW_CONTROL_EVENT) {
        rw_shard_read_control(shard, leg);
        keep_watch(shard, leg);
        return;
    }
    if (leg->expected) return; /* listened to before it was */
    leg->receiving = true;
    leg->quiet_slots = 0;
    rw_shard_schedule(shard, leg);
}

/* What came for some legs beyond what is right is read when all have sent: so a flood on one leg
 * holds up nobody's packet of this tick. */
static void read_the_rest(rw_shard *shard) {
    const rw_backend_ops *ops = shard->backend->ops;
    if (!shard->behind && !shard->poll_due) return;
    if (shard->poll_due) poll_together(shard);
    for (; shard->behind; shard->behind = shard->behind->next_behind)
        ops->receive(shard->backend, shard->behind, MAX_DATAGRAMS);
    ops->flush(shard->backend); /* what was relayed */
}

/* What a leg's turn needs lies in memory that no cache holds. It is fetched while the legs before
 * it are sent, in two steps, as each says where the next one is: of the second leg that is due the
 * leg, of the first, which is here by now, what it plays. Inline by force: GCC takes a function
 * that only fetches for one that does nothing, and leaves it out. */
static inline __attribute__((always_inline)) void fetch_ahead(const rw_shard *shard) {
    const rw_timer *first = shard->wheel.due.first;
    const rw_timer *second = first ? first->next : NULL;
    for (size_t i = 0; second && i < RW_LEG_HOT_LINES; i++)
        __builtin_prefetch((const char *)second + i * RW_CACHE_LINE_BYTES);
    if (!first || first == &shard->poll_timer || is_watch(shard, first)) return;
    const rw_leg *leg = RW_CONTAINER_OF(first, rw_leg, timer);
    __builtin_prefetch(leg->playing.first);
    __builtin_prefetch((const char *)leg->playing.first + RW_CACHE_LINE_BYTES);
}

/* The legs due at `now_us`. */
static void serve_due(rw_shard *shard, uint64_t now_us) {
    rw_timer *timer;
    rw_wheel_advance(&shard->wheel, now_us / TICK_US);
    shard->batch = 0;
    while ((timer = rw_wheel_pop_due(&shard->wheel))) {
        fetch_ahead(shard);
        if (timer == &shard->poll_timer)
            shard->poll_due = true;
        else if (is_watch(shard, timer))
            keep_watch(shard, RW_CONTAINER_OF(timer, rw_leg, watch));
        else
            serve_leg(shard, RW_CONTAINER_OF(timer, rw_leg, timer), now_us);
    }
    shard->backend->ops->flush(shard->backend);
    read_the_rest(shard);
    if (!shard->batch) return;
    rw_histogram_add(&shard->batch_packets, shard->batch, 1);
    count(shard, RW_TICKS, 1);
}

/* --- sound that arrives ------------------------------------------------------------------- */

/* To whoever makes continuous sound of it. Music on hold is no sound of a conference. */
static void pass_on_sound(const rw_leg *leg, const rw_rtp_packet *packet) {
    if (leg->taps) rw_shard_tap_heard(leg, packet);
    if (!leg->seat) return;
    rw_ear_media media = rw_leg_ear_media(leg);
    if (is_live(&leg->media))
        rw_seat_hear(leg->seat, &media, packet, rw_ear_heard(leg->ear));
    else
        rw_seat_note(leg->seat, packet, rw_ear_heard(leg->ear));
}

/* On hold nobody speaks to us or presses keys: what comes is music. */
static rw_ear_reject listen_to(rw_shard *shard, rw_leg *leg, const rw_rtp_packet *packet) {
    if (!is_live(&leg->media)) return rw_ear_note(leg->ear, packet, shard->now_us);
    rw_ear_report report = {.count = 0};
    rw_ear_reject reject = rw_ear_hear(leg->ear, packet, shard->now_us, &report);
    tell(shard, leg, &report);
    return reject;
}

static void hear(rw_shard *shard, rw_leg *leg, const rw_rtp_packet *packet) {
    rw_ear_reject reject = listen_to(shard, leg, packet);
    if (reject) {
        count(shard, (rw_counter)(RW_NOT_HEARD_0 + (int)reject), 1);
        rw_count(&leg->stats.packets_rejected, 1);
    }
    if (!leg->receiving && rw_ear_waits(leg->ear)) rw_shard_schedule(shard, leg);
    if (!leg->media.receive) return;
    if (rw_ear_knows_place(reject)) pass_on_sound(leg, packet);
    if (!reject && leg->relay) rw_shard_relay_packet(shard, leg, packet);
}

/* Decrypts a datagram into `plain`, RW_RECEIVE_BYTES long; false if it is to be dropped. */
static bool unprotect(rw_shard *shard, rw_leg *leg, const uint8_t *datagram, size_t *bytes,
                      uint8_t *plain) {
    memcpy(plain, datagram, *bytes);
    rw_srtp_reject reject = rw_srtp_unprotect(leg->srtp, plain, bytes);
    if (!reject) return true;
    count(shard, (rw_counter)(RW_SRTP_REJECT_0 + (int)reject), 1);
    rw_count(&leg->stats.packets_rejected, 1);
    return false;
}

void rw_shard_deliver(void *context, rw_leg *leg, const rw_address *source, const uint8_t *datagram,
                      size_t bytes) {
    rw_shard *shard = context;
    rw_rtp_packet packet;
    _Alignas(uint64_t) uint8_t plain[RW_RECEIVE_BYTES];
    if (leg->media.rtcp_mux && leg->ear && rw_rtcp_is(datagram, bytes)) {
        rw_shard_hear_control(shard, leg, source, datagram, bytes);
        return;
    }
    if (leg->srtp) {
        if (!unprotect(shard, leg, datagram, &bytes, plain)) return;
        datagram = plain;
    }
    rw_rtp_reject reject = rw_rtp_parse(datagram, bytes, &packet);
    if (reject) {
        count(shard, (rw_counter)(RW_RECEIVED_REJECT_0 + (int)reject), 1);
        rw_count(&leg->stats.packets_rejected, 1);
        return;
    }
    if (source && !rw_shard_admit(shard, leg, source)) return;
    count(shard, RW_PACKETS_RECEIVED, 1);
    count(shard, RW_BYTES_RECEIVED, bytes);
    rw_count(&leg->stats.packets_received, 1);
    rw_count(&leg->stats.bytes_received, packet.payload_bytes);
    if (leg->ear) hear(shard, leg, &packet);
}

/* --- commands ----------------------------------------------------------------------------- */

static void close_leg(rw_shard *shard, rw_leg *leg, int status) {
    rw_leg_clear_queue(leg, RW_PLAY_LEG_CLOSED, &shard->ended);
    rw_leg_end_music(leg, RW_PLAY_LEG_CLOSED, &shard->ended);
    rw_shard_stop_relay(shard, leg);
    rw_shard_remove_taps(shard, leg);
    rw_shard_leave_seat(shard, leg);
    rw_wheel_cancel(&shard->wheel, &leg->timer);
    rw_wheel_cancel(&shard->wheel, &leg->watch);
    leave_phases(shard, leg);
    rw_shard_end_reports(shard, leg);
    shard->backend->ops->detach(shard->backend, leg);
    leg->closing = true;
    leg->close_status = status;
    leg->next = shard->closed;
    shard->closed = leg;
}

static void open_leg(rw_shard *shard, const rw_command *command) {
    rw_leg *leg = &shard->legs[(uint32_t)command->leg_id];
    const rw_leg_media *media = &command->open.media;
    uint64_t due_tick = rw_phases_choose(&shard->phases, shard->wheel.now_tick + 1, media->ptime_ms,
                                         slot_cost_us(media, command->open.ear));
    rw_leg_init(leg, &command->open, command->leg_id, due_tick);
    enter_phases(shard, leg);
    leg->watched_us = shard->now_us;
    rw_shard_open_source(shard, leg, &media->remote);
    rw_shard_begin_reports(shard, leg);
    keep_watch(shard, leg);
    count(shard, RW_LEGS_OPENED, 1);
    int error = shard->backend->ops->attach(shard->backend, leg);
    if (error)
        close_leg(shard, leg, error);
    else if (rw_leg_needs_slots(leg))
        rw_shard_schedule(shard, leg);
}

static void update_leg(rw_shard *shard, rw_leg *leg, const rw_leg_media *media) {
    rw_shard_open_source(shard, leg, &media->remote);
    int error = shard->backend->ops->retarget(shard->backend, leg, &leg->latch.remote);
    if (error) {
        close_leg(shard, leg, error);
        return;
    }
    rw_shard_move_reports(shard, leg, media);
    leave_phases(shard, leg);
    bool taken_up = is_live(media) && !is_live(&leg->media);
    rw_leg_set_media(leg, media);
    enter_phases(shard, leg);
    if (!taken_up) return;
    leg->watched_us = shard->now_us;
    keep_watch(shard, leg);
}

/* A pause holds what is queued: it ends with that. */
static void clear_queue(rw_shard *shard, rw_leg *leg, rw_play_outcome outcome) {
    rw_leg_clear_queue(leg, outcome, &shard->ended);
    leg->paused = false;
}

static void play(rw_shard *shard, rw_leg *leg, rw_playlist *playlist, bool replace) {
    if (replace) clear_queue(shard, leg, RW_PLAY_REPLACED);
    rw_playlist_queue_push(&leg->playing, playlist);
}

static void send_digits(rw_leg *leg, const rw_digits *digits) {
    for (const char *symbol = digits->symbols; *symbol; symbol++)
        if (rw_leg_send_digit(leg, *symbol, digits->on_ms, digits->off_ms)) return;
}

static void rekey(rw_shard *shard, rw_leg *leg, rw_srtp_config *keys) {
    if (leg->srtp && rw_srtp_rekey(leg->srtp, keys)) count(shard, RW_SRTP_REKEYS_FAILED, 1);
    rw_shard_free_keys(keys);
}

/* A command is for the slots after it: those of which it is too late go first, and count for what
 * the leg did until now. */
static void apply(rw_shard *shard, rw_leg *leg, const rw_command *command) {
    leave_out_late_slots(shard, leg);
    switch (command->kind) {
    case RW_COMMAND_OPEN:
        return;
    case RW_COMMAND_CLOSE:
        close_leg(shard, leg, 0);
        return;
    case RW_COMMAND_UPDATE:
        update_leg(shard, leg, &command->media);
        break;
    case RW_COMMAND_PLAY:
        play(shard, leg, command->playlist, false);
        break;
    case RW_COMMAND_REPLACE:
        play(shard, leg, command->playlist, true);
        break;
    case RW_COMMAND_STOP:
        clear_queue(shard, leg, RW_PLAY_STOPPED);
        break;
    case RW_COMMAND_PAUSE:
        leg->paused = true;
        break;
    case RW_COMMAND_RESUME:
        leg->paused = false;
        break;
    case RW_COMMAND_MUSIC:
        rw_leg_play_music(leg, command->playlist, &shard->ended);
        break;
    case RW_COMMAND_END_MUSIC:
        rw_leg_end_music(leg, RW_PLAY_STOPPED, &shard->ended);
        break;
    case RW_COMMAND_RELAY:
        rw_shard_start_relay(shard, leg, command->relay, command->relay_to);
        break;
    case RW_COMMAND_END_RELAY:
        rw_shard_stop_relay(shard, leg);
        break;
    case RW_COMMAND_TAP:
        rw_shard_add_tap(shard, leg, command->tap);
        break;
    case RW_COMMAND_END_TAP:
        rw_shard_remove_tap(shard, leg, command->tap_id);
        break;
    case RW_COMMAND_JOIN:
        rw_shard_take_seat(shard, leg, &command->order);
        break;
    case RW_COMMAND_ROLE:
        rw_shard_change_role(shard, leg, &command->order);
        break;
    case RW_COMMAND_LEAVE:
        rw_shard_end_seat(shard, leg, command->order.seat_id);
        break;
    case RW_COMMAND_REKEY:
        rekey(shard, leg, command->keys);
        break;
    case RW_COMMAND_DIGITS:
        send_digits(leg, &command->digits);
        break;
    }
    if (leg->closing) return; /* its new address cannot be sent to */
    settle_expectation(shard, leg);
    if (rw_leg_needs_slots(leg)) rw_shard_schedule(shard, leg);
}

static bool brings_playlist(rw_command_kind kind) {
    return kind == RW_COMMAND_PLAY || kind == RW_COMMAND_REPLACE || kind == RW_COMMAND_MUSIC;
}

/* A command for a leg that is gone: a playlist goes back to where it came from. */
static void drop_stale(rw_shard *shard, const rw_command *command) {
    count(shard, RW_STALE_COMMANDS, 1);
    if (command->kind == RW_COMMAND_RELAY) rw_relay_push(&shard->spent, command->relay);
    if (command->kind == RW_COMMAND_REKEY) rw_shard_free_keys(command->keys);
    if (command->kind == RW_COMMAND_JOIN) rw_seat_push(&shard->spent_seats, command->order.seat);
    if (command->kind == RW_COMMAND_TAP) rw_tap_push(&shard->spent_taps, command->tap);
    if (!brings_playlist(command->kind)) return;
    command->playlist->outcome = RW_PLAY_LEG_CLOSED;
    rw_playlist_queue_push(&shard->ended, command->playlist);
}

static void take_command(rw_shard *shard, const rw_command *command) {
    rw_leg *leg = find_open_leg(shard, command->leg_id);
    if (command->kind == RW_COMMAND_OPEN)
        open_leg(shard, command);
    else if (leg)
        apply(shard, leg, command);
    else
        drop_stale(shard, command);
}

static void take_commands(rw_shard *shard, int most) {
    rw_command command;
    for (int i = 0; i < most && !rw_ring_pop(shard->commands, &command); i++)
        take_command(shard, &command);
}

/* --- events ------------------------------------------------------------------------------- */

static bool post(rw_shard *shard, const rw_posted_event *posted) {
    if (rw_ring_push(shard->events, posted) == 0) return true;
    count(shard, RW_EVENTS_DEFERRED, 1);
    return false;
}

static bool post_ended(rw_shard *shard, rw_playlist *playlist) {
    rw_posted_event posted = {
        .event = {.kind = RW_EVENT_PLAY_ENDED,
                  .leg_id = playlist->leg_id,
                  .play_id = playlist->play_id,
                  .outcome = playlist->outcome,
                  .played_bytes = playlist->played_bytes,
                  .played_packets = playlist->played_packets},
        .playlist = playlist,
    };
    return post(shard, &posted);
}

static rw_hearing hearing_of(const rw_leg_heard *heard) {
    return (rw_hearing){
        .expected = rw_read(&heard->expected),
        .lost = rw_read(&heard->lost),
        .reordered = (uint32_t)rw_read(&heard->reordered),
        .duplicates = (uint32_t)rw_read(&heard->duplicates),
        .gaps = (uint32_t)rw_read(&heard->gaps),
        .sources = (uint32_t)rw_read(&heard->sources),
        .jitter_us = (uint32_t)rw_read(&heard->jitter_us),
        .max_jitter_us = (uint32_t)rw_read(&heard->max_jitter_us),
    };
}

static rw_told told_of(const rw_leg_told *told) {
    return (rw_told){
        .reports = rw_read(&told->reports),
        .expected = rw_read(&told->expected),
        .lost = rw_read(&told->lost),
        .fraction_lost = (uint32_t)rw_read(&told->fraction_lost),
        .jitter_us = (uint32_t)rw_read(&told->jitter_us),
        .max_jitter_us = (uint32_t)rw_read(&told->max_jitter_us),
        .rtts = rw_read(&told->rtts),
        .rtt_us = (uint32_t)rw_read(&told->rtt_us),
    };
}

static void fill_figures(const rw_leg *leg, rw_event *event) {
    event->packets_sent = rw_read(&leg->stats.packets_sent);
    event->packets_skipped = rw_read(&leg->stats.packets_skipped);
    event->send_errors = rw_read(&leg->stats.send_errors);
    event->packets_received = rw_read(&leg->stats.packets_received);
    event->bytes_received = rw_read(&leg->stats.bytes_received);
    event->packets_rejected = rw_read(&leg->stats.packets_rejected);
    event->digits_sent = rw_read(&leg->stats.digits_sent);
    event->hearing = hearing_of(&leg->heard);
    event->told = told_of(&leg->told);
}

static bool post_closed(rw_shard *shard, rw_leg *leg) {
    rw_posted_event posted = {
        .event = {.kind = RW_EVENT_LEG_CLOSED,
                  .status = leg->close_status,
                  .leg_id = rw_read(&leg->id)},
    };
    fill_figures(leg, &posted.event);
    posted.ear = leg->ear;
    posted.srtp = leg->srtp;
    return post(shard, &posted);
}

/* Tells what was heard, as far as the ring has room. */
static void post_news(rw_shard *shard) {
    uint32_t done = 0;
    rw_posted_event posted = {.playlist = NULL};
    for (; done < shard->news_count; done++) {
        posted.event = shard->news[done];
        if (!post(shard, &posted)) break;
    }
    shard->news_count -= done;
    memmove(shard->news, shard->news + done, shard->news_count * sizeof(shard->news[0]));
}

static bool post_spent(rw_shard *shard, rw_relay *relay) {
    rw_posted_event posted = {.event = {.kind = RW_EVENT_RELAY_ENDED}, .relay = relay};
    return post(shard, &posted);
}

static bool post_spent_tap(rw_shard *shard, rw_tap *tap) {
    rw_posted_event posted = {
        .event = {.kind = RW_EVENT_TAP_ENDED, .leg_id = tap->leg_id, .tap_id = tap->tap_id},
        .tap = tap,
    };
    rw_jitter_read(tap->caller, &posted.event.tapped);
    return post(shard, &posted);
}

static bool post_spent_seat(rw_shard *shard, rw_seat *seat) {
    rw_posted_event posted = {
        .event = {.kind = RW_EVENT_SEAT_ENDED,
                  .status = seat->status,
                  .leg_id = seat->leg_id,
                  .seat_id = seat->seat_id},
        .seat = seat,
    };
    rw_jitter_read(seat->jitter, &posted.event.tapped);
    return post(shard, &posted);
}

static void free_slot(rw_shard *shard, rw_leg *leg) {
    uint64_t next_id = rw_read(&leg->id) + (1ull << 32);
    if (next_id >> 32 == 0) next_id += 1ull << 32; /* generation 0 names no leg */
    rw_write(&leg->id, 0);
    /* Room is certain: the ring holds one id for each slot. */
    rw_ring_push(shard->free_ids, &next_id);
    count(shard, RW_LEGS_CLOSED, 1);
}

/* True if somebody may wait for one of the events that are to be posted: not for what ends with its
 * leg, or is only given back. */
static bool is_awaited(const rw_shard *shard) {
    if (shard->news_count || shard->spent_taps || shard->spent_seats) return true;
    for (const rw_playlist *list = shard->ended.first; list; list = list->next)
        if (list->outcome != RW_PLAY_LEG_CLOSED) return true;
    return false;
}

/* Who is told may have freed what has ended before the call returns: what is next is read first. */
void rw_shard_post_events(rw_shard *shard) {
    if (shard->news_count) post_news(shard);
    for (rw_relay *next; shard->spent; shard->spent = next) {
        next = rw_relay_next(shard->spent);
        if (!post_spent(shard, shard->spent)) break;
    }
    for (rw_tap *next; shard->spent_taps; shard->spent_taps = next) {
        next = shard->spent_taps->next;
        if (!post_spent_tap(shard, shard->spent_taps)) break;
    }
    for (rw_seat *next; shard->spent_seats; shard->spent_seats = next) {
        next = shard->spent_seats->next;
        if (!post_spent_seat(shard, shard->spent_seats)) break;
    }
    for (rw_playlist *next; shard->ended.first; shard->ended.first = next) {
        next = shard->ended.first->next;
        if (!post_ended(shard, shard->ended.first)) break;
    }
    if (!shard->ended.first) rw_playlist_queue_init(&shard->ended);
    while (!shard->ended.first && !shard->spent_taps && !shard->spent_seats && shard->closed &&
           post_closed(shard, shard->closed)) {
        rw_leg *leg = shard->closed;
        shard->closed = leg->next;
        free_slot(shard, leg);
    }
}

/* Wakes the control side where there are events that it has not taken yet, now or later. */
static void announce(rw_shard *shard, bool awaited) {
    uint64_t now_tick = shard->wheel.now_tick;
    uint64_t due_tick = now_tick + (awaited ? 0 : ANNOUNCE_CLOSED_TICKS);
    if (rw_ring_empty(shard->events)) {
        shard->announce_tick = RW_WHEEL_NEVER;
        return;
    }
    if (due_tick < shard->announced_tick + ANNOUNCE_GAP_TICKS)
        due_tick = shard->announced_tick + ANNOUNCE_GAP_TICKS;
    if (due_tick < shard->announce_tick) shard->announce_tick = due_tick;
    if (now_tick < shard->announce_tick) return;
    shard->announce_tick = RW_WHEEL_NEVER;
    shard->announced_tick = now_tick;
    eventfd_write(shard->event_fd, 1);
}

static void tell_events(rw_shard *shard) {
    bool awaited = is_awaited(shard);
    if (rw_shard_has_news(shard)) rw_shard_post_events(shard);
    announce(shard, awaited);
}

void rw_shard_turn(rw_shard *shard, uint64_t now_us) {
    shard->now_us = now_us;
    rw_wheel_advance(&shard->wheel, now_us / TICK_US - 1); /* a leg's first slot may be in this */
    take_commands(shard, FIRST_COMMANDS);
    serve_due(shard, now_us);
    take_commands(shard, MORE_COMMANDS);
    tell_events(shard);
}

void rw_shard_close_all(rw_shard *shard) {
    rw_command command;
    while (!rw_ring_pop(shard->commands, &command))
        take_command(shard, &command);
    for (uint32_t i = 0; i < shard->max_legs; i++)
        if (rw_read(&shard->legs[i].id) && !shard->legs[i].closing)
            close_leg(shard, &shard->legs[i], 0);
    rw_shard_post_events(shard);
    eventfd_write(shard->event_fd, 1);
}

int rw_shard_leg_stats(const rw_shard *shard, uint64_t leg_id, rw_event *figures) {
    uint32_t index = (uint32_t)leg_id;
    if (index >= shard->max_legs || leg_id >> 32 == 0) return -ESTALE;
    const rw_leg *leg = &shard->legs[index];
    *figures = (rw_event){.leg_id = leg_id};
    fill_figures(leg, figures);
    return rw_read(&leg->figures_id) == leg_id ? 0 : -ESTALE;
}
