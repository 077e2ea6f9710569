/* The recorder without its thread, round by round, over real files; then on its thread. */
#include "recorder/recorder.h"

#include <errno.h>
#include <poll.h>

#include "recorder/recorder_check.h"

/* --- what is refused ----------------------------------------------------------------------- */

static void refuse(const rw_recording_config *config, int error) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording;
    CHECK_EQUAL(rw_recording_open(recorder, config, &recording), error);
    CHECK_EQUAL(figures_of(recorder).recordings_open, 0);
    rw_recorder_destroy(recorder);
}

#define REFUSE(field, value, error)                                                                \
    do {                                                                                           \
        rw_recording_config config_ = config_of("refused.wav", 1);                                 \
        config_.field = value;                                                                     \
        refuse(&config_, error);                                                                   \
    } while (0)

static void test_what_cannot_be_is_refused_at_once(void) {
    static char long_path[PATH_MAX + 8], long_name[PATH_MAX];
    rw_recorder *recorder;
    CHECK_EQUAL(rw_recorder_create(&(rw_recorder_config){0, 100}, &recorder), -EINVAL);
    CHECK_EQUAL(rw_recorder_create(&(rw_recorder_config){65537, 100}, &recorder), -EINVAL);
    CHECK_EQUAL(rw_recorder_create(&(rw_recorder_config){1, 0}, &recorder), -EINVAL);
    CHECK_EQUAL(rw_recorder_create(&(rw_recorder_config){1, 1001}, &recorder), -EINVAL);
    memset(long_path, 'a', PATH_MAX);
    snprintf(long_name, sizeof(long_name), "/tmp/%.*s", NAME_MAX - 5, long_path);
    REFUSE(path, NULL, -EINVAL);
    REFUSE(path, "", -EINVAL);
    REFUSE(path, long_path, -ENAMETOOLONG);
    REFUSE(path, long_name, -ENAMETOOLONG);
    REFUSE(path, path_of("missing/a.wav"), -ENOENT);
    REFUSE(channels, 0, -EINVAL);
    REFUSE(channels, 3, -EINVAL);
    REFUSE(sample_rate_hz, 7999, -EINVAL);
    REFUSE(sample_rate_hz, 48001, -EINVAL);
    REFUSE(buffer_ms, 199, -EINVAL);
    REFUSE(buffer_ms, 60001, -EINVAL);
    REFUSE(rotate_ms, 999, -EINVAL);
    CHECK(!exists("refused.wav"));
    rw_recorder_destroy(NULL);
}

static void test_a_file_that_is_there_stays_as_it_is(void) {
    int fd = open(path_of("there.wav"), O_CREAT | O_WRONLY, 0600);
    struct stat status;
    CHECK_EQUAL(write(fd, "mine", 4), 4);
    rw_recording_config config = config_of("there.wav", 1);
    refuse(&config, -EEXIST);
    CHECK_EQUAL(fstat(fd, &status), 0);
    CHECK_EQUAL(status.st_size, 4);
    close(fd);
}

static void test_no_more_recordings_than_agreed(void) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *first = open_one(recorder, "first.wav", 1), *second;
    rw_recording_config config = config_of("second.wav", 1);
    CHECK_EQUAL(rw_recording_open(recorder, &config, &second), -EUSERS);
    CHECK(!exists("second.wav"));
    CHECK_EQUAL(figures_of(recorder).recordings_open, 1);
    finish(recorder, first);
    CHECK_EQUAL(figures_of(recorder).recordings_open, 0);
    open_one(recorder, "second.wav", 1);
    rw_recorder_destroy(recorder);
}

static void test_files_of_a_recording_have_numbers(void) {
    char path[32];
    CHECK_EQUAL(rw_recorder_file_path("a/b.wav", 1, path, sizeof(path)), 0);
    CHECK(!strcmp(path, "a/b.wav"));
    CHECK_EQUAL(rw_recorder_file_path("a/b.wav", 2, path, sizeof(path)), 0);
    CHECK(!strcmp(path, "a/b-2.wav"));
    CHECK_EQUAL(rw_recorder_file_path("a/b", 4294967295u, path, sizeof(path)), 0);
    CHECK(!strcmp(path, "a/b-4294967295"));
    CHECK_EQUAL(rw_recorder_file_path(".wav", 3, path, sizeof(path)), 0);
    CHECK(!strcmp(path, "-3.wav"));
    CHECK_EQUAL(rw_recorder_file_path("a/b.wav", 2, path, 10), 0);
    CHECK_EQUAL(rw_recorder_file_path("a/b.wav", 2, path, 9), -ENAMETOOLONG);
    CHECK_EQUAL(rw_recorder_file_path("a/b.wav", 1, path, 7), -ENAMETOOLONG);
}

/* --- content ------------------------------------------------------------------------------- */

static void test_a_file_is_valid_from_the_beginning(void) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording = open_one(recorder, "begun.wav", 2);
    CHECK_EQUAL(read_wav("begun.wav", 2), 0);
    push(recording, 0, FRAME);
    rw_recorder_turn(recorder);
    CHECK_EQUAL(read_wav("begun.wav", 2), FRAME);
    rw_recorder_destroy(recorder);
    CHECK_EQUAL(read_wav("begun.wav", 2), FRAME);
}

static void test_stereo_is_exact_over_many_pushes(void) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording = open_one(recorder, "stereo.wav", 2);
    unsigned long long seed = 5;
    uint64_t pushed = 0;
    while (pushed < 100000) {
        size_t samples = check_random(&seed) % 2000;
        push(recording, pushed, samples);
        pushed += samples;
        rw_recorder_turn(recorder);
    }
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("stereo.wav", 2), pushed);
    for (uint64_t i = 0; i < pushed; i++) {
        CHECK_EQUAL(pcm[2 * i], caller_at(i));
        CHECK_EQUAL(pcm[2 * i + 1], robot_at(i));
    }
    check_report_count(recorder, 2);
    check_end(0, pushed, 0, 0);
    CHECK_EQUAL(figures_of(recorder).bytes_written, pushed * 4);
    CHECK_EQUAL(figures_of(recorder).gap_samples, 0);
    rw_recorder_destroy(recorder);
}

static void test_mono_mixes_and_saturates(void) {
    static const int16_t caller[] = {1000, 32767, -32768, -32768, 32767};
    static const int16_t robot[] = {-300, 1, -1, 32767, 32767};
    static const int16_t mixed[] = {700, 32767, -32768, -1, 32767};
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording = open_one(recorder, "mixed.wav", 1);
    rw_recording_push(recording, caller, robot, 5);
    rw_recording_push(recording, NULL, robot, 5);
    rw_recording_push(recording, NULL, NULL, 3);
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("mixed.wav", 1), 13);
    CHECK(!memcmp(pcm, mixed, sizeof(mixed)));
    CHECK(!memcmp(pcm + 5, robot, sizeof(robot)));
    check_silence(10, 3);
    rw_recorder_destroy(recorder);
}

static void test_what_is_paused_is_left_out_and_counted(void) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording = open_one(recorder, "paused.wav", 1);
    push_alone(recording, 0, 100);
    rw_recording_pause(recording, true);
    push_alone(recording, 100, 70);
    rw_recorder_turn(recorder);
    rw_recording_pause(recording, false);
    push_alone(recording, 170, 30);
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("paused.wav", 1), 130);
    check_caller(0, 0, 100);
    check_caller(100, 170, 30);
    check_report_count(recorder, 2);
    check_end(0, 130, 0, 0);
    CHECK_EQUAL(reports[1].paused_samples, 70);
    rw_recorder_destroy(recorder);
}

/* --- files one after the other ------------------------------------------------------------- */

static void test_files_go_on_sample_by_sample(void) {
    static const char *const names[] = {"turned.wav", "turned-2.wav", "turned-4.wav"};
    rw_recorder *recorder = make_recorder(4);
    rw_recording *recording = open_rotating(recorder, "turned.wav");
    int fd = open(path_of("turned-3.wav"), O_CREAT | O_WRONLY, 0600); /* somebody else's */
    CHECK_EQUAL(close(fd), 0);
    push_and_turn(recorder, recording, 3 * RATE_HZ - 5);
    finish(recorder, recording);
    for (int i = 0; i < 3; i++) {
        size_t samples = i < 2 ? RATE_HZ : RATE_HZ - 5;
        CHECK_EQUAL(read_wav(names[i], 1), samples);
        check_caller(0, (uint64_t)i * RATE_HZ, samples);
    }
    check_report_count(recorder, 4);
    check_report(2, RW_RECORDING_FILE_FINISHED, RATE_HZ - 5, 0);
    CHECK_EQUAL(reports[1].file, 2);
    CHECK_EQUAL(reports[2].file, 4);
    check_report(3, RW_RECORDING_FINISHED, 3 * RATE_HZ - 5, 0);
    CHECK_EQUAL(reports[3].files, 3);
    rw_recorder_destroy(recorder);
}

static void test_no_file_is_begun_for_nothing(void) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording = open_rotating(recorder, "border.wav");
    push_and_turn(recorder, recording, RATE_HZ);
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("border.wav", 1), RATE_HZ);
    CHECK(!exists("border-2.wav"));
    rw_recorder_destroy(recorder);
}

/* A RIFF header counts 32 bits of bytes. Sound of a size that no ring takes is a gap, and a gap is
 * a hole: so 4 GiB cost no room. */
static void test_a_file_ends_before_its_sizes_overflow(void) {
    const uint64_t gap = 2200000000u, most = (4294967295u - 36) / 2;
    rw_recorder *recorder = make_recorder(2);
    rw_recording *recording = open_one(recorder, "huge.wav", 1);
    push_alone(recording, 0, 10);
    rw_recording_push(recording, NULL, NULL, gap);
    push_alone(recording, 10, 10);
    finish(recorder, recording);
    int first = open(path_of("huge.wav"), O_RDONLY);
    CHECK_EQUAL(check_header(first, RATE_HZ, 1), most * 2);
    close(first);
    CHECK_EQUAL(truncate(path_of("huge.wav"), 0), 0);
    uint64_t second = 20 + gap - most;
    int fd = open(path_of("huge-2.wav"), O_RDONLY);
    CHECK_EQUAL(check_header(fd, RATE_HZ, 1), second * 2);
    CHECK_EQUAL(pread(fd, pcm, 20, (off_t)(RW_WAV_HEADER_BYTES + (second - 10) * 2)), 20);
    check_caller(0, 10, 10);
    close(fd);
    CHECK_EQUAL(truncate(path_of("huge-2.wav"), 0), 0);
    check_report_count(recorder, 4);
    check_report(0, RW_RECORDING_FILE_FINISHED, most, 0);
    check_report(1, RW_RECORDING_GAP, gap, 0);
    rw_recorder_destroy(recorder);
}

/* --- gaps ---------------------------------------------------------------------------------- */

static void test_silence_stands_where_sound_found_no_room(void) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording = open_one(recorder, "gap.wav", 1);
    push_alone(recording, 0, ROOM);
    push_alone(recording, ROOM, 100);
    push_alone(recording, ROOM + 100, 23);
    rw_recorder_turn(recorder);
    CHECK_EQUAL(read_wav("gap.wav", 1), ROOM);
    CHECK_EQUAL(figures_of(recorder).gap_samples, 123);
    check_report_count(recorder, 0);
    push_alone(recording, ROOM + 123, 50);
    rw_recorder_turn(recorder);
    CHECK_EQUAL(read_wav("gap.wav", 1), ROOM + 173);
    check_caller(0, 0, ROOM);
    check_silence(ROOM, 123);
    check_caller(ROOM + 123, ROOM + 123, 50);
    check_report_count(recorder, 1);
    check_report(0, RW_RECORDING_GAP, 123, 0);
    finish(recorder, recording);
    check_report_count(recorder, 2);
    check_end(0, ROOM + 173, 123, 0);
    rw_recorder_destroy(recorder);
}

static void test_a_gap_at_the_end_is_silence_too(void) {
    rw_recorder *recorder = make_recorder(4);
    rw_recording *recording = open_one(recorder, "tail.wav", 1);
    push_alone(recording, 0, ROOM);
    push_alone(recording, ROOM, 77);
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("tail.wav", 1), ROOM + 77);
    check_caller(0, 0, ROOM);
    check_silence(ROOM, 77);
    check_report_count(recorder, 3);
    check_report(0, RW_RECORDING_GAP, 77, 0);
    check_end(1, ROOM + 77, 77, 0);
    rw_recorder_destroy(recorder);
}

/* Large pushes find no room between small ones that do: more gaps than can be kept apart. */
static void test_many_gaps_in_one_ring(void) {
    rw_recorder *recorder = make_recorder(4);
    rw_recording *recording = open_one(recorder, "gaps.wav", 1);
    uint64_t place = ROOM - 100;
    push_alone(recording, 0, place);
    for (int i = 0; i < 40; i++) {
        push_alone(recording, place, 101);
        push_alone(recording, place + 101, 1);
        place += 102;
    }
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("gaps.wav", 1), place);
    size_t silent = check_places(place);
    CHECK(silent > 40 * 101 && silent < 41 * 102);
    CHECK(pcm[ROOM - 100 + 101] && pcm[ROOM - 100 + 203]);
    CHECK_EQUAL(figures_of(recorder).gap_samples, silent);
    rw_recorder_destroy(recorder);
}

static void test_a_gap_goes_over_the_border_of_files(void) {
    rw_recorder *recorder = make_recorder(4);
    rw_recording *recording = open_rotating(recorder, "over.wav");
    push_alone(recording, 0, RATE_HZ - 10);
    rw_recording_push(recording, NULL, NULL, RATE_HZ + 20);
    push_alone(recording, 2 * RATE_HZ + 10, 10);
    finish(recorder, recording);
    CHECK_EQUAL(read_wav("over.wav", 1), RATE_HZ);
    check_silence(RATE_HZ - 10, 10);
    CHECK_EQUAL(read_wav("over-2.wav", 1), RATE_HZ);
    check_silence(0, RATE_HZ);
    CHECK_EQUAL(read_wav("over-3.wav", 1), 20);
    check_silence(0, 10);
    check_caller(10, 2 * RATE_HZ + 10, 10);
    check_report_count(recorder, 5);
    check_report(2, RW_RECORDING_GAP, RATE_HZ + 20, 0);
    rw_recorder_destroy(recorder);
}

/* --- reports ------------------------------------------------------------------------------- */

static bool is_readable(int fd) {
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    return poll(&waiting, 1, 0) == 1;
}

static void test_reports_make_the_eventfd_readable(void) {
    rw_recorder *recorder = make_recorder(2);
    int fd = rw_recorder_event_fd(recorder);
    rw_recording *recording = open_one(recorder, "told.wav", 1);
    rw_recorder_turn(recorder);
    CHECK(!is_readable(fd));
    finish(recorder, recording);
    CHECK(is_readable(fd));
    CHECK_EQUAL(rw_recorder_poll(recorder, reports, 1), 1);
    CHECK(is_readable(fd));
    CHECK_EQUAL(rw_recorder_poll(recorder, reports, 1), 1);
    CHECK(!is_readable(fd));
    check_report_count(recorder, 0);
    rw_recorder_destroy(recorder);
}

/* Five files and a gap, and nobody polls: a queue of two reports has the first two files. */
static void test_reports_without_room_are_put_together(void) {
    rw_recorder *recorder = make_recorder(1);
    rw_recording *recording = open_rotating(recorder, "untold.wav"), *other;
    rw_recording_config config = config_of("untold.wav", 1);
    push_and_turn(recorder, recording, 3 * RATE_HZ);
    rw_recording_push(recording, NULL, NULL, ROOM + 1);
    finish(recorder, recording);
    rw_recorder_turn(recorder);
    CHECK_EQUAL(rw_recording_open(recorder, &config, &other), -EUSERS); /* it is not gone yet */
    check_report_count(recorder, 2);
    CHECK_EQUAL(reports[1].file, 2);
    rw_recorder_turn(recorder);
    check_report_count(recorder, 2);
    check_report(0, RW_RECORDING_GAP, ROOM + 1, 0);
    check_report(1, RW_RECORDING_FILE_FINISHED, RATE_HZ + ROOM + 1, 0);
    CHECK_EQUAL(reports[1].file, 5);
    CHECK_EQUAL(reports[1].files, 3);
    rw_recorder_turn(recorder);
    check_report_count(recorder, 1);
    check_report(0, RW_RECORDING_FINISHED, 3 * RATE_HZ + ROOM + 1, 0);
    CHECK_EQUAL(reports[0].files, 5);
    CHECK_EQUAL(reports[0].gap_samples, ROOM + 1);
    CHECK_EQUAL(figures_of(recorder).recordings_open, 0);
    rw_recorder_destroy(recorder);
}

/* --- on its thread ------------------------------------------------------------------------- */

#define THREADED 4
#define SECONDS 20

static void *push_seconds(void *context) {
    rw_recording **recordings = context;
    for (uint64_t place = 0; place < SECONDS * RATE_HZ; place += FRAME) {
        for (int i = 0; i < THREADED; i++)
            push_alone(recordings[i], place, FRAME);
        if (place % (FRAME * 10) == 0) pause_us(500);
    }
    return NULL;
}

static const char *numbered(int i) {
    static char name[32];
    snprintf(name, sizeof(name), "%d.wav", i);
    return name;
}

/* Waits for FINISHED of each; what is in the files and what was lost has to be all. */
static uint64_t sum_finished(rw_recorder *recorder, int count) {
    uint64_t silent = 0;
    for (int finished = 0; finished < count;) {
        struct pollfd waiting = {.fd = rw_recorder_event_fd(recorder), .events = POLLIN};
        CHECK_EQUAL(poll(&waiting, 1, 30000), 1);
        size_t got = rw_recorder_poll(recorder, reports, MAX_REPORTS);
        for (size_t i = 0; i < got; i++) {
            if (reports[i].kind != RW_RECORDING_FINISHED) continue;
            CHECK_EQUAL(reports[i].samples, SECONDS * RATE_HZ);
            CHECK_EQUAL(reports[i].error, 0);
            silent += reports[i].gap_samples;
            finished++;
        }
    }
    return silent;
}

static void test_a_shard_pushes_while_the_writer_drains(void) {
    rw_recorder *recorder = start_recorder(THREADED);
    rw_recording *recordings[THREADED];
    pthread_t shard;
    for (int i = 0; i < THREADED; i++)
        recordings[i] = open_one(recorder, numbered(i), 1);
    CHECK_EQUAL(pthread_create(&shard, NULL, push_seconds, recordings), 0);
    pthread_join(shard, NULL);
    for (int i = 0; i < THREADED; i++)
        rw_recording_finish(recordings[i]);
    uint64_t silent = sum_finished(recorder, THREADED);
    CHECK_EQUAL(figures_of(recorder).gap_samples, silent);
    for (int i = 0; i < THREADED; i++) {
        CHECK_EQUAL(read_wav(numbered(i), 1), SECONDS * RATE_HZ);
        silent -= check_places(SECONDS * RATE_HZ);
        CHECK_EQUAL(unlink(path_of(numbered(i))), 0);
    }
    CHECK_EQUAL(silent, 0);
    rw_recorder_destroy(recorder);
}

static void test_stop_writes_and_closes_all(void) {
    rw_recorder *recorder = start_recorder(2);
    rw_recording *recordings[] = {open_one(recorder, "0.wav", 1), open_one(recorder, "1.wav", 1)};
    rw_recording_config config = config_of("late.wav", 1);
    rw_recording *late;
    for (uint64_t place = 0; place < 3000; place += FRAME)
        for (int i = 0; i < 2; i++)
            push_alone(recordings[i], place, FRAME);
    rw_recorder_stop(recorder);
    rw_recorder_stop(recorder);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(read_wav(numbered(i), 1), 19 * FRAME);
        check_caller(0, 0, 19 * FRAME);
        CHECK_EQUAL(unlink(path_of(numbered(i))), 0);
    }
    CHECK_EQUAL(rw_recording_open(recorder, &config, &late), -ESHUTDOWN);
    check_report_count(recorder, 4);
    check_report_count(recorder, 0);
    rw_recorder_destroy(recorder);
}

/* More files than a round writes: the others have their turn in between, also at the end. */
static void test_stop_writes_more_than_one_round_does(void) {
    enum { FILES = 100 };
    rw_recorder *recorder = start_recorder(FILES);
    rw_recording *recording = open_rotating(recorder, "long.wav");
    rw_recording_push(recording, NULL, NULL, FILES * RATE_HZ);
    rw_recorder_stop(recorder);
    CHECK_EQUAL(read_wav("long-100.wav", 1), RATE_HZ);
    CHECK(!exists("long-101.wav"));
    rw_recording_report many[FILES + 3];
    size_t last = FILES + 1; /* behind a file each and the gap */
    CHECK_EQUAL(rw_recorder_poll(recorder, many, FILES + 3), last + 1);
    CHECK_EQUAL(many[last].kind, RW_RECORDING_FINISHED);
    CHECK_EQUAL(many[last].samples, FILES * RATE_HZ);
    CHECK_EQUAL(many[last].files, FILES);
    rw_recorder_destroy(recorder);
}

/* FINISHED of recordings that outnumber the room for reports: told when there is nobody to write.
 */
static void test_what_was_untold_at_the_stop_is_told(void) {
    enum { COUNT = 24 };
    rw_recorder *recorder = start_recorder(COUNT);
    size_t got, finished = 0;
    for (int i = 0; i < COUNT; i++) {
        rw_recording *recording = open_rotating(recorder, numbered(i));
        push_alone(recording, 0, ROOM);
        rw_recording_push(recording, NULL, NULL, RATE_HZ);
    }
    rw_recorder_stop(recorder);
    while ((got = rw_recorder_poll(recorder, reports, 5)))
        for (size_t i = 0; i < got; i++)
            finished += reports[i].kind == RW_RECORDING_FINISHED;
    CHECK_EQUAL(finished, COUNT);
    CHECK_EQUAL(figures_of(recorder).recordings_open, 0);
    rw_recorder_destroy(recorder);
}

static void *stop(void *recorder) {
    rw_recorder_stop(recorder);
    return NULL;
}

/* The race is for ThreadSanitizer to see. */
static void test_who_polls_need_not_be_who_stops(void) {
    rw_recorder *recorder = start_recorder(1);
    pthread_t stopper;
    open_one(recorder, "stopped.wav", 1);
    CHECK_EQUAL(pthread_create(&stopper, NULL, stop, recorder), 0);
    while (!rw_recorder_poll(recorder, reports, 1) || reports[0].kind != RW_RECORDING_FINISHED)
        pause_us(100);
    for (int i = 0; i < 100; i++) { /* up to the end of the stop, and beyond */
        CHECK_EQUAL(rw_recorder_poll(recorder, reports, 1), 0);
        pause_us(10);
    }
    pthread_join(stopper, NULL);
    CHECK_EQUAL(figures_of(recorder).recordings_open, 0);
    rw_recorder_destroy(recorder);
}

int main(void) {
    make_folder();
    test_what_cannot_be_is_refused_at_once();
    test_a_file_that_is_there_stays_as_it_is();
    test_no_more_recordings_than_agreed();
    test_files_of_a_recording_have_numbers();
    test_a_file_is_valid_from_the_beginning();
    test_stereo_is_exact_over_many_pushes();
    test_mono_mixes_and_saturates();
    test_what_is_paused_is_left_out_and_counted();
    test_files_go_on_sample_by_sample();
    test_no_file_is_begun_for_nothing();
    test_a_file_ends_before_its_sizes_overflow();
    test_silence_stands_where_sound_found_no_room();
    test_a_gap_at_the_end_is_silence_too();
    test_many_gaps_in_one_ring();
    test_a_gap_goes_over_the_border_of_files();
    test_reports_make_the_eventfd_readable();
    test_reports_without_room_are_put_together();
    test_a_shard_pushes_while_the_writer_drains();
    test_stop_writes_and_closes_all();
    test_stop_writes_more_than_one_round_does();
    test_what_was_untold_at_the_stop_is_told();
    test_who_polls_need_not_be_who_stops();
    remove_folder();
    return 0;
}
