/* What the tests of the recorder share: recordings whose sound tells its place, and a reader of
 * their files that shares no code with the writer. */
#ifndef RW_RECORDER_CHECK_H
#define RW_RECORDER_CHECK_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "recorder/recorder_private.h"
#include "test/check.h"

#define RATE_HZ 8000
#define FRAME 160 /* samples in 20 ms */
#define BUFFER_MS 1024
#define ROOM 8192 /* samples in a mono ring of that buffer */
#define MAX_REPORTS 64

static char folder[PATH_MAX];
static rw_recording_report reports[MAX_REPORTS];
static int16_t pcm[4 << 20];

/* Sound that tells its place in the stream, and is never silent. */
static inline int16_t caller_at(uint64_t place) {
    return (int16_t)(1 + place * 7 % 30000);
}

static inline int16_t robot_at(uint64_t place) {
    return (int16_t)(-1 - (int)(place * 13 % 2000));
}

static inline const char *path_of(const char *name) {
    static char paths[2][PATH_MAX + NAME_MAX + 2]; /* the last two are good */
    static int last;
    last = !last;
    snprintf(paths[last], sizeof(paths[last]), "%s/%s", folder, name);
    return paths[last];
}

static inline rw_recorder *make_recorder(uint32_t max_recordings) {
    rw_recorder_config config = {max_recordings, RW_RECORDER_DEFAULT_PERIOD_MS};
    rw_recorder *recorder;
    CHECK_EQUAL(rw_recorder_create(&config, &recorder), 0);
    return recorder;
}

static inline rw_recording_config config_of(const char *name, uint8_t channels) {
    return (rw_recording_config){
        .path = path_of(name),
        .recording_id = 7,
        .sample_rate_hz = RATE_HZ,
        .buffer_ms = BUFFER_MS,
        .channels = channels,
    };
}

static inline rw_recording *open_one(rw_recorder *recorder, const char *name, uint8_t channels) {
    rw_recording_config config = config_of(name, channels);
    rw_recording *recording;
    CHECK_EQUAL(rw_recording_open(recorder, &config, &recording), 0);
    return recording;
}

/* Pushes the sound of places [from, from + samples). */
static inline void push(rw_recording *recording, uint64_t from, size_t samples) {
    static __thread int16_t caller[2 * ROOM], robot[2 * ROOM];
    CHECK(samples <= 2 * ROOM);
    for (size_t i = 0; i < samples; i++) {
        caller[i] = caller_at(from + i);
        robot[i] = robot_at(from + i);
    }
    rw_recording_push(recording, caller, robot, samples);
}

static inline void push_alone(rw_recording *recording, uint64_t from, size_t samples) {
    int16_t caller[ROOM];
    CHECK(samples <= ROOM);
    for (size_t i = 0; i < samples; i++)
        caller[i] = caller_at(from + i);
    rw_recording_push(recording, caller, NULL, samples);
}

static inline uint32_t load_le32(const uint8_t *from) {
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

/* Bytes of sound that a file's header speaks of: checked against the file. */
static inline uint32_t check_header(int fd, uint32_t rate_hz, uint8_t channels) {
    uint8_t header[RW_WAV_HEADER_BYTES];
    static const uint8_t rest[] = {16, 0, 0, 0, 1, 0};
    struct stat status;
    CHECK_EQUAL(pread(fd, header, sizeof(header), 0), sizeof(header));
    CHECK(!memcmp(header, "RIFF", 4) && !memcmp(header + 8, "WAVEfmt ", 8));
    CHECK(!memcmp(header + 16, rest, sizeof(rest)));
    CHECK_EQUAL(header[22] | header[23] << 8, channels);
    CHECK_EQUAL(load_le32(header + 24), rate_hz);
    CHECK_EQUAL(load_le32(header + 28), rate_hz * 2 * channels);
    CHECK_EQUAL(header[32] | header[33] << 8, 2 * channels);
    CHECK_EQUAL(header[34] | header[35] << 8, 16);
    CHECK(!memcmp(header + 36, "data", 4));
    uint32_t bytes = load_le32(header + 40);
    CHECK_EQUAL(load_le32(header + 4), (uint64_t)bytes + 36);
    CHECK_EQUAL(bytes % (2 * channels), 0);
    CHECK_EQUAL(fstat(fd, &status), 0);
    CHECK(status.st_size >= (off_t)bytes + RW_WAV_HEADER_BYTES);
    return bytes;
}

/* Reads a file to `pcm`; returns how many samples per channel it has. */
static inline size_t read_wav(const char *name, uint8_t channels) {
    int fd = open(path_of(name), O_RDONLY);
    CHECK(fd >= 0);
    uint32_t bytes = check_header(fd, RATE_HZ, channels);
    CHECK(bytes <= sizeof(pcm));
    CHECK_EQUAL(pread(fd, pcm, bytes, RW_WAV_HEADER_BYTES), bytes);
    close(fd);
    return bytes / 2 / channels;
}

static inline bool exists(const char *name) {
    return access(path_of(name), F_OK) == 0;
}

static inline void check_caller(size_t at, uint64_t from, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        CHECK_EQUAL(pcm[at + i], caller_at(from + i));
}

static inline void check_silence(size_t at, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        CHECK_EQUAL(pcm[at + i], 0);
}

/* Every sample of the caller is where it belongs, or silent; returns how many are silent. */
static inline size_t check_places(size_t samples) {
    size_t silent = 0;
    for (size_t i = 0; i < samples; i++) {
        if (pcm[i]) CHECK_EQUAL(pcm[i], caller_at(i));
        silent += pcm[i] == 0;
    }
    return silent;
}

/* Polls once; the reports that are expected have to be all. */
static inline void check_report_count(rw_recorder *recorder, size_t expected) {
    CHECK_EQUAL(rw_recorder_poll(recorder, reports, MAX_REPORTS), expected);
}

static inline void check_report(size_t index, rw_recording_report_kind kind, uint64_t samples,
                                int error) {
    CHECK_EQUAL(reports[index].kind, kind);
    CHECK_EQUAL(reports[index].samples, samples);
    CHECK_EQUAL(reports[index].error, error);
    CHECK_EQUAL(reports[index].recording_id, 7);
}

/* The last two reports, with which every recording of one file ends. */
static inline void check_end(size_t index, uint64_t samples, uint64_t gap_samples, int error) {
    check_report(index, RW_RECORDING_FILE_FINISHED, samples, 0);
    CHECK_EQUAL(reports[index].file, 1);
    CHECK_EQUAL(reports[index].files, 1);
    check_report(index + 1, RW_RECORDING_FINISHED, samples, error);
    CHECK_EQUAL(reports[index + 1].gap_samples, gap_samples);
    CHECK_EQUAL(reports[index + 1].files, 1);
}

static inline rw_recorder_figures figures_of(const rw_recorder *recorder) {
    rw_recorder_figures figures;
    rw_recorder_read_figures(recorder, &figures);
    return figures;
}

static inline void finish(rw_recorder *recorder, rw_recording *recording) {
    rw_recording_finish(recording);
    rw_recorder_turn(recorder);
}

static inline rw_recording *open_rotating(rw_recorder *recorder, const char *name) {
    rw_recording_config config = config_of(name, 1);
    rw_recording *recording;
    config.rotate_ms = RW_RECORDING_MIN_ROTATE_MS; /* RATE_HZ samples */
    CHECK_EQUAL(rw_recording_open(recorder, &config, &recording), 0);
    return recording;
}

static inline void push_and_turn(rw_recorder *recorder, rw_recording *recording, uint64_t until) {
    for (uint64_t at = 0; at < until; at += FRAME * 7) {
        push_alone(recording, at, until - at < FRAME * 7 ? until - at : FRAME * 7);
        rw_recorder_turn(recorder);
    }
}

static inline void pause_us(long us) {
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

static inline rw_recorder *start_recorder(uint32_t max_recordings) {
    rw_recorder_config config = {max_recordings, 1};
    rw_recorder *recorder;
    CHECK_EQUAL(rw_recorder_create(&config, &recorder), 0);
    CHECK_EQUAL(rw_recorder_start(recorder), 0);
    return recorder;
}

static inline void make_folder(void) {
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/recorder_XXXXXX", temporary ? temporary : "/tmp");
    CHECK(mkdtemp(folder));
}

static inline void remove_folder(void) {
    DIR *listing = opendir(folder);
    CHECK(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        unlink(path_of(entry->d_name));
    closedir(listing);
    CHECK_EQUAL(rmdir(folder), 0);
}

#endif
