/* The control side of a shard: its life, its thread, commands in, events out, figures. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "pages/pages.h"
#include "shard/shard_private.h"

#define WAKE_EVENT (UINT64_MAX - 1)
#define EPOLL_BATCH 256

#define TICK_NS 1000000u

/* How long a command may wait for a shard that is asleep, as a wake-up costs both sides more than
 * the command itself: opening and closing a leg as long as a leg waits for its slot; the others, of
 * which somebody hears something, so little that nobody hears that. Those for a leg whose slot the
 * shard wakes up to lose nothing: they are taken before its packet is composed. */
#define PATIENT_NS (20 * TICK_NS)
#define PROMPT_NS (5 * TICK_NS)

/* How long a caller waits for room in a full command ring. */
#define SUBMIT_TRIES 500
#define SUBMIT_PAUSE_NS 200000

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* For the wall-clock times in RTCP. Read once: they must not jump when somebody sets the clock. */
static uint64_t unix_offset_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t unix_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
    return unix_us - monotonic_ns() / 1000;
}

/* --- the thread --------------------------------------------------------------------------- */

/* The tick at which the shard has to be awake again. While legs are open that is soon, even if none
 * sends: so the commands that can wait a little need not wake it one by one. */
static uint64_t next_wake_tick(const rw_shard *shard) {
    uint64_t now_tick = shard->wheel.now_tick;
    uint64_t next_tick = rw_wheel_next_tick(&shard->wheel);
    if (shard->announce_tick < next_tick) next_tick = shard->announce_tick;
    uint64_t patience_ticks = rw_shard_has_news(shard) ? 1 : PATIENT_NS / TICK_NS;
    if (!rw_shard_legs_open(shard) || next_tick <= now_tick + patience_ticks) return next_tick;
    return now_tick + patience_ticks;
}

/* Sleeps until the next tick that is needed, a wake-up, or a datagram for a leg left to epoll. The
 * deadline is absolute, so nothing adds up from one tick to the next. */
static int wait_for_work(rw_shard *shard, struct epoll_event *events) {
    uint64_t tick = next_wake_tick(shard);
    uint64_t until_ns = tick == RW_WHEEL_NEVER ? UINT64_MAX : tick * TICK_NS;
    /* Who asked for something before this exchange saw us awake, and did not wake us: look once
     * more. What they asked for is seen, as the exchange reads what wake_within() has written. */
    atomic_exchange(&shard->sleeps_until_ns, until_ns);
    bool asked = !rw_ring_empty(shard->commands) || atomic_load(&shard->stopping);
    uint64_t now_ns = asked ? until_ns : monotonic_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
    bool forever = until_ns == UINT64_MAX && wait_ns;
    int count = epoll_pwait2(shard->epoll_fd, events, EPOLL_BATCH, forever ? NULL : &timeout, NULL);
    atomic_store(&shard->sleeps_until_ns, 0);
    return count;
}

static void take_events(rw_shard *shard, const struct epoll_event *events, int count) {
    for (int i = 0; i < count; i++)
        if (events[i].data.u64 != WAKE_EVENT) rw_shard_readable(shard, events[i].data.u64);
}

/* Commands pushed after this are announced by a new wake-up. It goes by the event and not by
 * `wake_pending`, which is set a moment before the file is written: whoever took it for the wake-up
 * then would leave the file readable, and never sleep again. */
static void take_wake(rw_shard *shard, const struct epoll_event *events, int count) {
    eventfd_t ignored;
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 != WAKE_EVENT) continue;
        eventfd_read(shard->wake_fd, &ignored);
        atomic_store(&shard->wake_pending, 0);
    }
}

/* Asks the scheduler for short slices (sched(7); before Linux 6.12 it takes no notice). They change
 * nothing in what this thread may take altogether, and need no privilege; but of those that wait
 * for a processor, the one with a shorter slice has its turn sooner, and what a tick has to do is
 * short. Whoever has us run in real time, or as a batch, is left to it. */
static void ask_for_short_slices(void) {
    rw_sched_attr attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0)) return;
    if (attributes.policy != SCHED_OTHER) return;
    attributes.runtime_ns = RW_SHARD_SLICE_NS;
    syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void *run(void *context) {
    rw_shard *shard = context;
    struct epoll_event events[EPOLL_BATCH];
    prctl(PR_SET_NAME, "rw-shard");
    prctl(PR_SET_TIMERSLACK, 1ul); /* the default of 50 us would add to every tick's lateness */
    ask_for_short_slices();
    while (!atomic_load(&shard->stopping)) {
        int count = wait_for_work(shard, events);
        take_wake(shard, events, count);
        rw_shard_turn(shard, monotonic_ns() / 1000);
        take_events(shard, events, count);
        rw_count(&shard->turns, 1);
    }
    rw_shard_close_all(shard);
    return NULL;
}

static void wake(rw_shard *shard) {
    if (!atomic_exchange(&shard->wake_pending, 1)) eventfd_write(shard->wake_fd, 1);
}

/* Makes sure that the shard is awake within `patience_ns`. It adds nothing where it could read: a
 * read may pass the push before it and find a shard awake that does not see the command either, and
 * sleeps on it. A fence would do the same, but TSan knows none. */
static void wake_within(rw_shard *shard, uint64_t patience_ns) {
    uint64_t until_ns = atomic_fetch_add(&shard->sleeps_until_ns, 0);
    if (until_ns == 0 || until_ns <= monotonic_ns() + patience_ns) return;
    wake(shard);
}

/* --- life --------------------------------------------------------------------------------- */

static int create_rings(rw_shard *shard) {
    shard->commands = rw_ring_create(4 * (size_t)shard->max_legs + 64, sizeof(rw_command));
    shard->events = rw_ring_create(2 * (size_t)shard->max_legs + 1024, sizeof(rw_posted_event));
    shard->free_ids = rw_ring_create(shard->max_legs, sizeof(uint64_t));
    shard->legs = rw_pages_map(shard->max_legs * sizeof(rw_leg));
    if (!shard->commands || !shard->events || !shard->free_ids || !shard->legs) return -ENOMEM;
    for (uint64_t index = 0; index < shard->max_legs; index++) {
        uint64_t id = index | 1ull << 32;
        rw_ring_push(shard->free_ids, &id);
    }
    return 0;
}

static int create_files(rw_shard *shard) {
    shard->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    shard->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    shard->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (shard->epoll_fd < 0 || shard->wake_fd < 0 || shard->event_fd < 0) return -errno;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_EVENT};
    return epoll_ctl(shard->epoll_fd, EPOLL_CTL_ADD, shard->wake_fd, &event) < 0 ? -errno : 0;
}

static int create_parts(rw_shard *shard, const rw_backend_ops *ops, int shared_fd) {
    int error = create_rings(shard);
    if (!error) error = create_files(shard);
    if (error) return error;
    shard->host = (rw_backend_host){
        .counters = &shard->counters,
        .epoll_fd = shard->epoll_fd,
        .deliver = rw_shard_deliver,
        .context = shard,
    };
    return ops->open(&shard->host, shared_fd, &shard->backend);
}

int rw_shard_create_at(const rw_shard_config *config, const rw_backend_ops *ops, uint64_t now_tick,
                       rw_shard **shard) {
    if (!ops || config->max_legs < 1 || config->max_legs > 1u << 20) return -EINVAL;
    rw_shard *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->max_legs = config->max_legs;
    self->max_control_sockets = config->max_control_sockets;
    self->realtime = config->realtime;
    self->epoll_fd = self->wake_fd = self->event_fd = -1;
    rw_playlist_queue_init(&self->ended);
    rw_wheel_init(&self->wheel, now_tick);
    self->announce_tick = RW_WHEEL_NEVER;
    int error = create_parts(self, ops, config->shared_fd);
    if (error)
        rw_shard_destroy(self);
    else
        *shard = self;
    return error;
}

int rw_shard_create(const rw_shard_config *config, rw_shard **shard) {
    const rw_backend_ops *ops = rw_backend_find(config->backend);
    int error = rw_shard_create_at(config, ops, monotonic_ns() / TICK_NS, shard);
    if (!error) (*shard)->unix_offset_us = unix_offset_us();
    return error;
}

/* With turns among its like, so that shards share a processor; and behind all others in real time:
 * whoever asks for that, such as a driver's thread, knows why. */
static int ask_for_real_time(pthread_attr_t *attributes) {
    struct sched_param parameters = {.sched_priority = RW_SHARD_REALTIME_PRIORITY};
    int error = pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
    if (!error) error = pthread_attr_setschedpolicy(attributes, SCHED_RR);
    return error ? error : pthread_attr_setschedparam(attributes, &parameters);
}

int rw_shard_start(rw_shard *shard) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return -error;
    if (shard->realtime) error = ask_for_real_time(&attributes);
    if (!error) error = pthread_create(&shard->thread, &attributes, run, shard);
    pthread_attr_destroy(&attributes);
    shard->running = error == 0;
    return -error;
}

void rw_shard_stop(rw_shard *shard) {
    if (!shard->running) return;
    atomic_store(&shard->stopping, 1);
    wake_within(shard, 0);
    pthread_join(shard->thread, NULL);
    shard->running = false;
}

static void close_file(int fd) {
    if (fd >= 0) close(fd);
}

static void destroy_what_came_with(const rw_posted_event *posted) {
    rw_playlist_destroy(posted->playlist);
    rw_ear_destroy(posted->ear);
    rw_relay_destroy(posted->relay);
    rw_srtp_destroy(posted->srtp);
    rw_tap_destroy(posted->tap);
    rw_seat_destroy(posted->seat);
}

static void destroy_lists(rw_shard *shard) {
    rw_posted_event posted;
    while (shard->events && !rw_ring_pop(shard->events, &posted))
        destroy_what_came_with(&posted);
    while (shard->spent)
        rw_relay_destroy(rw_relay_pop(&shard->spent));
    while (shard->spent_taps)
        rw_tap_destroy(rw_tap_pop(&shard->spent_taps));
    while (shard->spent_seats)
        rw_seat_destroy(rw_seat_pop(&shard->spent_seats));
    while (shard->ended.first)
        rw_playlist_destroy(rw_playlist_queue_pop(&shard->ended));
    for (rw_leg *leg = shard->closed; leg; leg = leg->next) {
        rw_ear_destroy(leg->ear);
        rw_srtp_destroy(leg->srtp);
    }
}

void rw_shard_destroy(rw_shard *shard) {
    if (!shard) return;
    if (shard->backend) {
        if (!shard->running) rw_shard_close_all(shard); /* a shard that was never started */
        shard->backend->ops->close(shard->backend);
    }
    destroy_lists(shard);
    close_file(shard->epoll_fd);
    close_file(shard->wake_fd);
    close_file(shard->event_fd);
    rw_ring_destroy(shard->commands);
    rw_ring_destroy(shard->events);
    rw_ring_destroy(shard->free_ids);
    rw_pages_unmap(shard->legs, shard->max_legs * sizeof(rw_leg));
    free(shard);
}

/* --- commands ----------------------------------------------------------------------------- */

static uint64_t patience_of(rw_command_kind kind) {
    return kind == RW_COMMAND_OPEN || kind == RW_COMMAND_CLOSE ? PATIENT_NS : PROMPT_NS;
}

static int submit(rw_shard *shard, const rw_command *command) {
    const struct timespec pause = {0, SUBMIT_PAUSE_NS};
    for (int i = 0; rw_ring_push(shard->commands, command) < 0; i++) {
        if (i == SUBMIT_TRIES) return -EAGAIN;
        nanosleep(&pause, NULL);
    }
    wake_within(shard, patience_of(command->kind));
    return 0;
}

int rw_shard_open_leg(rw_shard *shard, const rw_leg_config *config, uint64_t *leg_id) {
    rw_command command = {.kind = RW_COMMAND_OPEN, .open = *config};
    int error = rw_leg_check_media(&config->media);
    if (error) return error;
    if (rw_ring_pop(shard->free_ids, &command.leg_id) < 0) return -ENOSPC;
    *leg_id = command.leg_id;
    error = submit(shard, &command);
    if (error) rw_ring_push(shard->free_ids, &command.leg_id);
    return error;
}

static int submit_plain(rw_shard *shard, rw_command_kind kind, uint64_t leg_id) {
    rw_command command = {.kind = kind, .leg_id = leg_id};
    return submit(shard, &command);
}

int rw_shard_close_leg(rw_shard *shard, uint64_t leg_id) {
    return submit_plain(shard, RW_COMMAND_CLOSE, leg_id);
}

int rw_shard_update_leg(rw_shard *shard, uint64_t leg_id, const rw_leg_media *media) {
    rw_command command = {.kind = RW_COMMAND_UPDATE, .leg_id = leg_id, .media = *media};
    int error = rw_leg_check_media(media);
    return error ? error : submit(shard, &command);
}

static int submit_playlist(rw_shard *shard, rw_command_kind kind, uint64_t leg_id,
                           rw_playlist *playlist) {
    rw_command command = {.kind = kind, .leg_id = leg_id, .playlist = playlist};
    playlist->leg_id = leg_id;
    return submit(shard, &command);
}

int rw_shard_play(rw_shard *shard, uint64_t leg_id, rw_playlist *playlist, bool replace) {
    return submit_playlist(shard, replace ? RW_COMMAND_REPLACE : RW_COMMAND_PLAY, leg_id, playlist);
}

int rw_shard_play_music(rw_shard *shard, uint64_t leg_id, rw_playlist *music) {
    return submit_playlist(shard, RW_COMMAND_MUSIC, leg_id, music);
}

int rw_shard_end_music(rw_shard *shard, uint64_t leg_id) {
    return submit_plain(shard, RW_COMMAND_END_MUSIC, leg_id);
}

int rw_shard_stop_playing(rw_shard *shard, uint64_t leg_id) {
    return submit_plain(shard, RW_COMMAND_STOP, leg_id);
}

int rw_shard_pause(rw_shard *shard, uint64_t leg_id, bool paused) {
    return submit_plain(shard, paused ? RW_COMMAND_PAUSE : RW_COMMAND_RESUME, leg_id);
}

int rw_shard_relay(rw_shard *shard, uint64_t leg_id, uint64_t to, rw_relay *relay) {
    rw_command command = {
        .kind = RW_COMMAND_RELAY, .leg_id = leg_id, .relay = relay, .relay_to = to};
    return submit(shard, &command);
}

int rw_shard_end_relay(rw_shard *shard, uint64_t leg_id) {
    return submit_plain(shard, RW_COMMAND_END_RELAY, leg_id);
}

int rw_shard_tap(rw_shard *shard, uint64_t leg_id, rw_tap *tap) {
    rw_command command = {.kind = RW_COMMAND_TAP, .leg_id = leg_id, .tap = tap};
    tap->leg_id = leg_id;
    return submit(shard, &command);
}

int rw_shard_end_tap(rw_shard *shard, uint64_t leg_id, uint64_t tap_id) {
    rw_command command = {.kind = RW_COMMAND_END_TAP, .leg_id = leg_id, .tap_id = tap_id};
    return submit(shard, &command);
}

int rw_shard_join(rw_shard *shard, uint64_t leg_id, rw_seat *seat, rw_mixer_role role,
                  uint64_t whisper_to) {
    rw_command command = {.kind = RW_COMMAND_JOIN,
                          .leg_id = leg_id,
                          .order = {.seat = seat, .role = role, .whisper_to = whisper_to}};
    seat->leg_id = leg_id;
    return (unsigned)role < RW_MIXER_ROLES ? submit(shard, &command) : -EINVAL;
}

int rw_shard_set_role(rw_shard *shard, uint64_t leg_id, uint64_t seat_id, rw_mixer_role role,
                      uint64_t whisper_to) {
    rw_command command = {.kind = RW_COMMAND_ROLE,
                          .leg_id = leg_id,
                          .order = {.seat_id = seat_id, .role = role, .whisper_to = whisper_to}};
    return (unsigned)role < RW_MIXER_ROLES ? submit(shard, &command) : -EINVAL;
}

int rw_shard_leave(rw_shard *shard, uint64_t leg_id, uint64_t seat_id) {
    rw_command command = {
        .kind = RW_COMMAND_LEAVE, .leg_id = leg_id, .order = {.seat_id = seat_id}};
    return submit(shard, &command);
}

void rw_shard_free_keys(rw_srtp_config *keys) {
    explicit_bzero(keys, sizeof(*keys));
    free(keys);
}

int rw_shard_rekey(rw_shard *shard, uint64_t leg_id, const rw_srtp_config *config) {
    int error = rw_srtp_check_config(config);
    if (error) return error;
    rw_srtp_config *keys = malloc(sizeof(*keys));
    if (!keys) return -ENOMEM;
    *keys = *config;
    rw_command command = {.kind = RW_COMMAND_REKEY, .leg_id = leg_id, .keys = keys};
    error = submit(shard, &command);
    if (error) rw_shard_free_keys(keys);
    return error;
}

int rw_shard_send_digits(rw_shard *shard, uint64_t leg_id, const rw_digits *digits) {
    rw_command command = {.kind = RW_COMMAND_DIGITS, .leg_id = leg_id, .digits = *digits};
    size_t count = strnlen(digits->symbols, sizeof(digits->symbols));
    if (count == sizeof(digits->symbols)) return -EINVAL;
    if (digits->on_ms < RW_EVENT_MIN_ON_MS || digits->off_ms < RW_EVENT_MIN_OFF_MS) return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (rw_digit_code(digits->symbols[i]) < 0) return -EINVAL;
    return submit(shard, &command);
}

/* --- events and figures ------------------------------------------------------------------- */

int rw_shard_event_fd(const rw_shard *shard) {
    return shard->event_fd;
}

/* What found no room when the thread ended is told once there is some: nobody else does it now. */
static bool take_event(rw_shard *shard, rw_posted_event *posted) {
    if (!rw_ring_pop(shard->events, posted)) return true;
    if (shard->running || !atomic_load(&shard->stopping)) return false;
    rw_shard_post_events(shard);
    return !rw_ring_pop(shard->events, posted);
}

size_t rw_shard_poll_events(rw_shard *shard, rw_event *events, size_t room) {
    rw_posted_event posted;
    eventfd_t ignored;
    size_t count = 0;
    eventfd_read(shard->event_fd, &ignored);
    while (count < room && take_event(shard, &posted)) {
        events[count++] = posted.event;
        destroy_what_came_with(&posted);
    }
    /* What did not fit makes the eventfd readable again. */
    if (count == room) eventfd_write(shard->event_fd, 1);
    return count;
}

uint64_t rw_shard_counter(const rw_shard *shard, rw_counter counter) {
    return rw_read(&shard->counters[counter]);
}

uint32_t rw_shard_legs_open(const rw_shard *shard) {
    return (uint32_t)(rw_shard_counter(shard, RW_LEGS_OPENED) -
                      rw_shard_counter(shard, RW_LEGS_CLOSED));
}

const rw_histogram *rw_shard_lateness_us(const rw_shard *shard) {
    return &shard->lateness_us;
}

const rw_histogram *rw_shard_batch_packets(const rw_shard *shard) {
    return &shard->batch_packets;
}

uint64_t rw_shard_turns(const rw_shard *shard) {
    return rw_read(&shard->turns);
}

void rw_shard_poke(rw_shard *shard) {
    wake(shard);
}

uint64_t rw_shard_cpu_ns(const rw_shard *shard) {
    struct timespec used;
    clockid_t clock;
    if (!shard->running || pthread_getcpuclockid(shard->thread, &clock) ||
        clock_gettime(clock, &used))
        return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}
