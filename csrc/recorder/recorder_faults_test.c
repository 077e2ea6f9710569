/* Recordings on disks that fail and fill up, and of a process that is killed. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "recorder/recorder_check.h"

/* --- killed -------------------------------------------------------------------------------- */

#define KILLED 50
#define KILLS 4

static void record_until_killed(void) {
    rw_recorder *recorder = start_recorder(KILLED);
    rw_recording *recordings[KILLED];
    char name[32];
    for (int i = 0; i < KILLED; i++) {
        snprintf(name, sizeof(name), "killed%d.wav", i);
        recordings[i] = open_one(recorder, name, 2);
    }
    for (uint64_t place = 0;; place += FRAME) {
        for (int i = 0; i < KILLED; i++)
            push(recordings[i], place, FRAME);
        pause_us(1000);
    }
}

/* Waits, 30 s at most, for the last of the files to have so much sound. */
static void wait_for_sound(off_t bytes) {
    struct stat status = {0};
    char name[32];
    snprintf(name, sizeof(name), "killed%d.wav", KILLED - 1);
    for (int i = 0; i < 30000 && status.st_size < bytes; i++) {
        pause_us(1000);
        if (stat(path_of(name), &status) < 0) status.st_size = 0;
    }
    CHECK(status.st_size >= bytes);
}

static void check_killed(int i) {
    char name[32];
    snprintf(name, sizeof(name), "killed%d.wav", i);
    size_t samples = read_wav(name, 2);
    CHECK(samples >= FRAME);
    CHECK_EQUAL(pcm[0], caller_at(0));
    for (size_t at = 0; at < samples; at++) {
        if (!pcm[2 * at] && !pcm[2 * at + 1]) continue; /* lost on a machine that is very slow */
        CHECK_EQUAL(pcm[2 * at], caller_at(at));
        CHECK_EQUAL(pcm[2 * at + 1], robot_at(at));
    }
    CHECK_EQUAL(unlink(path_of(name)), 0);
}

static void test_files_of_a_killed_process_are_valid(void) {
    int status;
    for (int kills = 1; kills <= KILLS; kills++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) record_until_killed();
        wait_for_sound(kills * 20 * FRAME * 4);
        CHECK_EQUAL(kill(child, SIGKILL), 0);
        CHECK_EQUAL(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        for (int i = 0; i < KILLED; i++)
            check_killed(i);
    }
}

/* --- disks that fail ----------------------------------------------------------------------- */

/* Files of this process may not become longer; RLIM_INFINITY: as long as they like. */
static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    CHECK_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A write that ends within a sample is cut back to the sample before; all goes on when it can, and
 * no other recording suffers. */
static void test_writing_goes_on_where_the_disk_failed(void) {
    rw_recorder *recorder = make_recorder(2);
    rw_recording *recording = open_one(recorder, "full.wav", 2);
    rw_recording *other = open_one(recorder, "other.wav", 2);
    struct stat status;
    limit_files(RW_WAV_HEADER_BYTES + 1000 * 4 + 3);
    push(recording, 0, 1500);
    push(other, 0, 500);
    rw_recorder_turn(recorder);
    CHECK_EQUAL(read_wav("other.wav", 2), 500);
    CHECK_EQUAL(read_wav("full.wav", 2), 1000);
    CHECK_EQUAL(stat(path_of("full.wav"), &status), 0);
    CHECK_EQUAL(status.st_size, RW_WAV_HEADER_BYTES + 1000 * 4);
    rw_recorder_turn(recorder);
    check_report_count(recorder, 1);
    check_report(0, RW_RECORDING_STALLED, 0, EFBIG);
    push(recording, 1500, ROOM - 500);
    push(recording, ROOM + 1000, 300); /* finds no room */
    rw_recorder_turn(recorder);
    CHECK_EQUAL(figures_of(recorder).write_errors, 3);
    CHECK_EQUAL(figures_of(recorder).gap_samples, 300);
    limit_files(RLIM_INFINITY);
    rw_recorder_turn(recorder);
    push(recording, ROOM + 1300, 100);
    rw_recorder_turn(recorder);
    CHECK_EQUAL(read_wav("full.wav", 2), ROOM + 1400);
    for (uint64_t i = 0; i < ROOM + 1400; i++) {
        bool lost = i >= ROOM + 1000 && i < ROOM + 1300;
        CHECK_EQUAL(pcm[2 * i], lost ? 0 : caller_at(i));
        CHECK_EQUAL(pcm[2 * i + 1], lost ? 0 : robot_at(i));
    }
    finish(recorder, recording);
    check_report_count(recorder, 3);
    check_report(0, RW_RECORDING_GAP, 300, EFBIG);
    check_end(1, ROOM + 1400, 300, EFBIG);
    rw_recorder_destroy(recorder);
}

static void test_a_new_failure_is_told_anew(void) {
    rw_recorder *recorder = make_recorder(4);
    rw_recording *recording = open_one(recorder, "anew.wav", 1);
    for (uint64_t place = 0; place < 300; place += 100) {
        limit_files(RW_WAV_HEADER_BYTES);
        push_alone(recording, place, 100);
        rw_recorder_turn(recorder);
        rw_recorder_turn(recorder);
        limit_files(RLIM_INFINITY);
        rw_recorder_turn(recorder);
        check_report_count(recorder, 1);
        check_report(0, RW_RECORDING_STALLED, 0, EFBIG);
    }
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("anew.wav", 1), 300);
    check_caller(0, 0, 300);
    check_report_count(recorder, 2);
    check_end(0, 300, 0, EFBIG);
    rw_recorder_destroy(recorder);
}

static void test_a_recording_ends_even_if_the_disk_does_not_recover(void) {
    rw_recorder *recorder = make_recorder(4);
    rw_recording *recording = open_one(recorder, "ended.wav", 1);
    limit_files(RW_WAV_HEADER_BYTES + 200);
    push_alone(recording, 0, 400);
    rw_recording_finish(recording);
    for (int i = 0; i < RW_RECORDING_LAST_ROUNDS; i++)
        rw_recorder_turn(recorder);
    check_report_count(recorder, 1);
    rw_recorder_turn(recorder);
    limit_files(RLIM_INFINITY);
    CHECK_EQUAL(read_wav("ended.wav", 1), 100);
    check_caller(0, 0, 100);
    check_report_count(recorder, 2);
    check_end(0, 100, 300, EFBIG);
    CHECK_EQUAL(figures_of(recorder).gap_samples, 300);
    CHECK_EQUAL(figures_of(recorder).recordings_open, 0);
    rw_recorder_destroy(recorder);
}

static void test_a_missing_next_file_is_tried_again(void) {
    rw_recorder *recorder = make_recorder(4);
    mkdir(path_of("gone"), 0700);
    rw_recording *recording = open_rotating(recorder, "gone/a.wav");
    push_and_turn(recorder, recording, RATE_HZ);
    CHECK_EQUAL(rename(path_of("gone/a.wav"), path_of("kept.wav")), 0);
    CHECK_EQUAL(rmdir(path_of("gone")), 0);
    push_alone(recording, RATE_HZ, 500);
    rw_recorder_turn(recorder);
    mkdir(path_of("gone"), 0700);
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("kept.wav", 1), RATE_HZ);
    CHECK_EQUAL(read_wav("gone/a-2.wav", 1), 500);
    check_caller(0, RATE_HZ, 500);
    check_report_count(recorder, 4);
    check_report(0, RW_RECORDING_FILE_FINISHED, RATE_HZ, 0);
    check_report(1, RW_RECORDING_STALLED, 0, ENOENT);
    CHECK_EQUAL(unlink(path_of("gone/a-2.wav")), 0);
    CHECK_EQUAL(rmdir(path_of("gone")), 0);
    rw_recorder_destroy(recorder);
}

/* In a child, with a file system of its own; `true` if the machine allows that. */
static bool mount_tiny_disk(void) {
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return false;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return false;
    return mount("tmpfs", folder, "tmpfs", 0, "size=16k") == 0;
}

static void fill_the_disk(void) {
    rw_recorder *recorder = make_recorder(4);
    rw_recording *recording = open_one(recorder, "tiny.wav", 1);
    push_alone(recording, 0, ROOM);
    rw_recorder_turn(recorder);
    size_t written = read_wav("tiny.wav", 1);
    CHECK(written > 4000 && written < ROOM);
    check_report_count(recorder, 1);
    check_report(0, RW_RECORDING_STALLED, 0, ENOSPC);
    rw_recording_config config = config_of("none.wav", 1);
    rw_recording *none;
    CHECK_EQUAL(rw_recording_open(recorder, &config, &none), -ENOSPC);
    CHECK(!exists("none.wav"));
    CHECK_EQUAL(mount(NULL, folder, NULL, MS_REMOUNT, "size=64k"), 0);
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("tiny.wav", 1), ROOM);
    check_caller(0, 0, ROOM);
    check_report_count(recorder, 2);
    check_end(0, ROOM, 0, ENOSPC);
    rw_recorder_destroy(recorder);
}

static int exit_status_of(pid_t child) {
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_a_full_disk(void) {
    enum { NOT_ALLOWED = 77 };
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (!mount_tiny_disk()) _exit(NOT_ALLOWED);
        fill_the_disk();
        _exit(0);
    }
    int status = exit_status_of(child);
    if (status == NOT_ALLOWED) fprintf(stderr, "no file system of its own: full disk left out\n");
    CHECK(status == 0 || status == NOT_ALLOWED);
}

int main(void) {
    make_folder();
    signal(SIGXFSZ, SIG_IGN); /* the writer's thread blocks it; here the tests write */
    test_files_of_a_killed_process_are_valid();
    test_a_full_disk();
    test_writing_goes_on_where_the_disk_failed();
    test_a_new_failure_is_told_anew();
    test_a_recording_ends_even_if_the_disk_does_not_recover();
    test_a_missing_next_file_is_tried_again();
    remove_folder();
    return 0;
}
