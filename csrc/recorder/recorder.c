/* The writer's thread, and the control side. */
#include "recorder/recorder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "recorder/recorder_private.h"

#define ENDING ".wav"

/* --- rounds -------------------------------------------------------------------------------- */

bool rw_recorder_tell(rw_recorder *recorder, const rw_recording_report *report) {
    if (rw_ring_push(recorder->reports, report) < 0) return false;
    recorder->told = true;
    return true;
}

static void take_over_opened(rw_recorder *recorder) {
    rw_recording *opened = atomic_exchange(&recorder->opened, NULL);
    while (opened) {
        rw_recording *recording = opened;
        opened = recording->next;
        recording->next = recorder->recordings;
        recorder->recordings = recording;
    }
}

static void let_go(rw_recorder *recorder, rw_recording **link) {
    rw_recording *recording = *link;
    *link = recording->next;
    rw_recording_destroy(recording);
    atomic_fetch_sub(&recorder->recordings_open, 1);
}

void rw_recorder_turn(rw_recorder *recorder) {
    take_over_opened(recorder);
    rw_recording **link = &recorder->recordings;
    while (*link) {
        if (rw_recording_serve(*link))
            let_go(recorder, link);
        else
            link = &(*link)->next;
    }
    if (recorder->told) eventfd_write(recorder->event_fd, 1);
    recorder->told = false;
}

static bool any_unclosed(const rw_recorder *recorder) {
    const rw_recording *recording = recorder->recordings;
    while (recording && recording->closed)
        recording = recording->next;
    return recording;
}

/* Each turn gets every file closer to its end, or, where the disk fails, to an end at once. */
static void close_all(rw_recorder *recorder) {
    take_over_opened(recorder);
    for (rw_recording *recording = recorder->recordings; recording; recording = recording->next)
        rw_recording_finish_now(recording);
    while (any_unclosed(recorder))
        rw_recorder_turn(recorder);
}

/* --- the thread ---------------------------------------------------------------------------- */

static int64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sleeps until `deadline_ms`, or until it is to stop. */
static void wait_until(const rw_recorder *recorder, int64_t deadline_ms) {
    struct pollfd wake = {.fd = recorder->wake_fd, .events = POLLIN};
    int64_t wait_ms = deadline_ms - monotonic_ms();
    if (wait_ms > 0) poll(&wake, 1, (int)wait_ms);
}

static void *run(void *context) {
    rw_recorder *recorder = context;
    prctl(PR_SET_NAME, "rw-recorder");
    while (!atomic_load(&recorder->stopping)) {
        int64_t deadline_ms = monotonic_ms() + recorder->config.period_ms;
        rw_recorder_turn(recorder);
        wait_until(recorder, deadline_ms);
    }
    close_all(recorder);
    return NULL;
}

/* With all signals blocked: a file that meets the limit of its size (SIGXFSZ) is an error like
 * others, and what is meant for the process is not for this thread. */
int rw_recorder_start(rw_recorder *recorder) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&recorder->thread, NULL, run, recorder);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    atomic_store(&recorder->running, error == 0);
    return -error;
}

void rw_recorder_stop(rw_recorder *recorder) {
    if (!atomic_load(&recorder->running)) return;
    atomic_store(&recorder->stopping, true);
    eventfd_write(recorder->wake_fd, 1);
    pthread_join(recorder->thread, NULL);
    atomic_store(&recorder->running, false);
}

/* --- life ---------------------------------------------------------------------------------- */

static int create_parts(rw_recorder *recorder) {
    recorder->reports =
        rw_ring_create(2 * (size_t)recorder->config.max_recordings, sizeof(rw_recording_report));
    if (!recorder->reports) return -ENOMEM;
    recorder->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    recorder->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return recorder->wake_fd < 0 || recorder->event_fd < 0 ? -errno : 0;
}

int rw_recorder_create(const rw_recorder_config *config, rw_recorder **recorder) {
    if (config->max_recordings < 1 || config->max_recordings > RW_RECORDER_MAX_RECORDINGS)
        return -EINVAL;
    if (config->period_ms < 1 || config->period_ms > RW_RECORDER_MAX_PERIOD_MS) return -EINVAL;
    rw_recorder *self = calloc(1, sizeof(*self));
    if (!self) return -ENOMEM;
    self->config = *config;
    self->wake_fd = self->event_fd = -1;
    int error = create_parts(self);
    if (error)
        rw_recorder_destroy(self);
    else
        *recorder = self;
    return error;
}

static void close_fd(int fd) {
    if (fd >= 0) close(fd);
}

void rw_recorder_destroy(rw_recorder *recorder) {
    if (!recorder) return;
    rw_recorder_stop(recorder);
    take_over_opened(recorder);
    while (recorder->recordings)
        let_go(recorder, &recorder->recordings);
    close_fd(recorder->wake_fd);
    close_fd(recorder->event_fd);
    rw_ring_destroy(recorder->reports);
    free(recorder);
}

/* --- the control side ---------------------------------------------------------------------- */

int rw_recorder_file_path(const char *path, uint32_t number, char *to, size_t room) {
    size_t length = strlen(path);
    size_t ending = length >= strlen(ENDING) && !strcmp(path + length - strlen(ENDING), ENDING)
                        ? strlen(ENDING)
                        : 0;
    if (length >= room) return -ENAMETOOLONG;
    int stem = (int)(length - ending);
    int written = number == 1 ? snprintf(to, room, "%s", path)
                              : snprintf(to, room, "%.*s-%u%s", stem, path, number, path + stem);
    return written < 0 || (size_t)written >= room ? -ENAMETOOLONG : 0;
}

static void hand_over(rw_recorder *recorder, rw_recording *recording) {
    recording->next = atomic_load(&recorder->opened);
    while (!atomic_compare_exchange_weak(&recorder->opened, &recording->next, recording)) {
    }
}

int rw_recording_open(rw_recorder *recorder, const rw_recording_config *config,
                      rw_recording **recording) {
    int error = -EUSERS;
    if (atomic_load(&recorder->stopping)) return -ESHUTDOWN;
    if (atomic_fetch_add(&recorder->recordings_open, 1) < recorder->config.max_recordings)
        error = rw_recording_create(recorder, config, recording);
    if (error)
        atomic_fetch_sub(&recorder->recordings_open, 1);
    else
        hand_over(recorder, *recording);
    return error;
}

int rw_recorder_event_fd(const rw_recorder *recorder) {
    return recorder->event_fd;
}

size_t rw_recorder_poll(rw_recorder *recorder, rw_recording_report *reports, size_t room) {
    eventfd_t ignored;
    size_t count = 0;
    eventfd_read(recorder->event_fd, &ignored);
    while (count < room && !rw_ring_pop(recorder->reports, &reports[count]))
        count++;
    /* What found no room before may have some now, and the writer is not there to see to it. */
    if (atomic_load(&recorder->stopping) && !atomic_load(&recorder->running))
        rw_recorder_turn(recorder);
    /* What did not fit makes the eventfd readable again. */
    if (!rw_ring_empty(recorder->reports)) eventfd_write(recorder->event_fd, 1);
    return count;
}

void rw_recorder_read_figures(const rw_recorder *recorder, rw_recorder_figures *figures) {
    *figures = (rw_recorder_figures){
        .recordings_open = rw_read(&recorder->recordings_open),
        .bytes_written = rw_read(&recorder->bytes_written),
        .gap_samples = rw_read(&recorder->gap_samples),
        .write_errors = rw_read(&recorder->write_errors),
    };
}
