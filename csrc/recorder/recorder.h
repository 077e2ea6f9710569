/*
 * Recorder: calls written to WAV files by one thread for all of them.
 *
 * A shard's thread pushes each slot's sound into the recording's ring; the writer wakes up once per
 * period, moves what every ring holds to its file in large writes, and makes the file's header
 * cover it. So a shard never waits for a disk. What finds no room in a ring, because the disk is
 * slow or full, is counted, and silence of that very length takes its place when writing goes on: a
 * file's time stays true. A disk that fails is tried again each period; what the ring holds is kept
 * for then.
 *
 * Samples are counted per channel throughout.
 */
#ifndef RW_RECORDER_H
#define RW_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_RECORDER_DEFAULT_PERIOD_MS 100
#define RW_RECORDER_MAX_PERIOD_MS 1000
#define RW_RECORDER_MAX_RECORDINGS 65536
#define RW_RECORDING_DEFAULT_BUFFER_MS 2000
#define RW_RECORDING_MAX_BUFFER_MS 60000
#define RW_RECORDING_MIN_ROTATE_MS 1000

/* Periods for which a recording that is over tries on with a disk that fails. */
#define RW_RECORDING_LAST_ROUNDS 20

typedef struct rw_recorder rw_recorder;
typedef struct rw_recording rw_recording;

typedef struct rw_recorder_config {
    uint32_t max_recordings; /* at once; 1 to RW_RECORDER_MAX_RECORDINGS */
    uint32_t period_ms;      /* from drain to drain; 1 to RW_RECORDER_MAX_PERIOD_MS */
} rw_recorder_config;

typedef struct rw_recording_config {
    const char *path; /* of the first file; copied. Relative ones are looked up for each file. */
    uint64_t recording_id;   /* the caller's, for the reports */
    uint32_t sample_rate_hz; /* 8,000 to 48,000 */
    uint32_t buffer_ms;      /* two periods at least, RW_RECORDING_MAX_BUFFER_MS at most */
    uint32_t rotate_ms;      /* of sound in a file; 0: all that a WAV file can hold */
    uint8_t channels;        /* 1: both sides mixed; 2: caller left, robot right */
} rw_recording_config;

typedef enum rw_recording_report_kind {
    RW_RECORDING_STALLED,       /* writing has begun to fail, with `error`; it is tried again */
    RW_RECORDING_GAP,           /* `samples` of silence were written in place of lost sound */
    RW_RECORDING_FILE_FINISHED, /* a file is complete */
    RW_RECORDING_FINISHED,      /* all files are closed; the recording is gone */
} rw_recording_report_kind;

/* What the writer has to tell. Reports of one recording that find no room in the queue are made
 * into one of each kind; none is ever lost. */
typedef struct rw_recording_report {
    rw_recording_report_kind kind;
    /* A positive errno. STALLED: the failure. GAP: what the disk failed with meanwhile, 0 if it was
     * but slow. FINISHED: the last failure of all, or 0. */
    int error;
    uint64_t recording_id;
    uint64_t samples; /* GAP: of silence; FILE_FINISHED: in the file; FINISHED: in all files */
    /* FINISHED: lost. Silence stands for them in the files, but for an end that stayed unwritten.
     */
    uint64_t gap_samples;
    uint64_t paused_samples; /* FINISHED: left out while paused */
    uint32_t file;           /* FILE_FINISHED: its number, see rw_recorder_file_path() */
    uint32_t files; /* FILE_FINISHED: 1, more if reports were put together; FINISHED: all */
} rw_recording_report;

typedef struct rw_recorder_figures {
    uint64_t recordings_open; /* until FINISHED has been told */
    uint64_t bytes_written;   /* of sound */
    uint64_t gap_samples;     /* lost, as far as the writer has seen */
    uint64_t write_errors;    /* writes, creations and closings that failed */
} rw_recorder_figures;

/* --- the control side ---------------------------------------------------------------------- */

/* 0, -EINVAL, -ENOMEM, or -errno; the caller owns the recorder. */
int rw_recorder_create(const rw_recorder_config *config, rw_recorder **recorder);

/* Starts the writer. 0 or -errno. */
int rw_recorder_start(rw_recorder *recorder);

/* Drains and closes every file, and ends the writer. Each shard has let go of its recordings by
 * then; they are finished without rw_recording_finish(), and must not be used any more. */
void rw_recorder_stop(rw_recorder *recorder);

/* Stops it if it runs. Reports that were not polled are gone. */
void rw_recorder_destroy(rw_recorder *recorder);

/* Readable when there are reports; the recorder's own, do not close it. */
int rw_recorder_event_fd(const rw_recorder *recorder);

/* Moves up to `room` reports to `reports`; returns how many. Also after rw_recorder_stop(). */
size_t rw_recorder_poll(rw_recorder *recorder, rw_recording_report *reports, size_t room);

void rw_recorder_read_figures(const rw_recorder *recorder, rw_recorder_figures *figures);

/* The path of file `number` of the recording that began with `path`: itself for 1, else with the
 * number put before the ending (NAME-2.wav). 0, or -ENAMETOOLONG for want of room. */
int rw_recorder_file_path(const char *path, uint32_t number, char *to, size_t room);

/* Creates the first file, at once, so this does I/O. A file that is there is never overwritten:
 * -EEXIST; of later files, the next number that is free is taken. The recording is the recorder's;
 * the caller may use it up to rw_recording_finish(). 0; -EINVAL, -ENAMETOOLONG, -ENOMEM; -EUSERS
 * if there are max_recordings; -ESHUTDOWN after rw_recorder_stop(); or what the file system says.
 */
int rw_recording_open(rw_recorder *recorder, const rw_recording_config *config,
                      rw_recording **recording);

/* While a recording is paused, what is pushed is left out of the file, and counted. */
void rw_recording_pause(rw_recording *recording, bool paused);

/* Gives the recording back, after its shard has let go of it. The writer writes what is left,
 * closes the file and reports FINISHED. If the disk fails, it tries for RW_RECORDING_LAST_ROUNDS
 * periods; what is unwritten then counts as a gap. */
void rw_recording_finish(rw_recording *recording);

/* --- the shard's thread -------------------------------------------------------------------- */

/* Adds `samples` of both sides; NULL is a side that is silent. Never waits, locks or allocates. */
void rw_recording_push(rw_recording *recording, const int16_t *caller, const int16_t *robot,
                       size_t samples);

#endif
