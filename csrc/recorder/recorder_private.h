/* The inside of the recorder, shared by recorder.c (the writer's thread and the control side),
 * recording.c (one recording) and tests. */
#ifndef RW_RECORDER_PRIVATE_H
#define RW_RECORDER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/atomic.h"
#include "pcm_ring/pcm_ring.h"
#include "recorder/recorder.h"
#include "recorder/wav_file.h"
#include "ring/ring.h"

/* Where sound is missing: so many samples, before the one that was pushed after `at_samples`. */
typedef struct rw_gap {
    uint64_t at_samples;
    uint64_t samples;
} rw_gap;

/* What found no room among the reports, put together. */
typedef struct rw_untold {
    uint64_t gap_samples;
    uint64_t file_samples;
    uint32_t files;
    uint32_t file;
    int gap_error;
    int stalled; /* errno */
} rw_untold;

struct rw_recording {
    /* The shard's thread; the writer looks on. */
    rw_pcm_ring *ring;
    rw_ring *gaps; /* of rw_gap, oldest first */
    _Atomic uint64_t lost_samples;
    _Atomic uint64_t paused_samples;
    uint64_t pushed_samples;   /* into the ring */
    uint64_t open_gap_samples; /* lost, and not yet in `gaps` */
    uint8_t channels;

    /* The control side. */
    _Atomic bool paused;
    _Atomic bool finishing;

    /* The writer's thread, on lines of its own. */
    _Alignas(64) rw_recording *next;
    rw_recorder *recorder;
    char *path;
    uint64_t recording_id;
    uint64_t samples_per_file;
    rw_wav_format format;
    rw_wav_file file;
    uint32_t file_number;      /* of the file that is open, or was last */
    uint32_t files;            /* that were created */
    uint64_t finished_samples; /* in files that are closed */
    uint64_t drained_samples;  /* from the ring */
    rw_gap gap;                /* the next one, with what is left of it; none: 0 samples */
    uint64_t gap_written;      /* silence of that gap that is in the files */
    uint64_t silence_samples;  /* written in place of lost sound */
    uint64_t silence_covered;  /* of these, by a header */
    uint64_t lost_counted;     /* in the recorder's figures */
    int stall_error;           /* since writing began to fail, up to when all is made up for */
    int last_error;
    uint32_t last_rounds; /* that a finishing recording tries on with a disk that fails */
    bool ending;          /* nothing is pushed any more */
    bool closed;
    rw_untold untold;
};

struct rw_recorder {
    rw_recorder_config config;
    rw_recording *recordings; /* the writer's */
    bool told;                /* reports were pushed in this round */
    pthread_t thread;

    /* Between threads. */
    _Atomic(rw_recording *) opened; /* a stack of those that the writer has not taken over */
    _Atomic bool stopping;
    _Atomic bool running; /* who polls need not be who stops it */
    _Atomic uint64_t recordings_open;
    rw_ring *reports;
    int wake_fd;
    int event_fd;

    /* Written by the writer, readable by all. */
    _Atomic uint64_t bytes_written;
    _Atomic uint64_t gap_samples;
    _Atomic uint64_t write_errors;
};

/* One round of the writer: every recording is drained. */
void rw_recorder_turn(rw_recorder *recorder);

/* The writer's part for one recording in a round; true if it is over and FINISHED is told. */
bool rw_recording_serve(rw_recording *recording);

/* Makes a recording and its first file, not yet known to the writer. 0 or -errno. */
int rw_recording_create(rw_recorder *recorder, const rw_recording_config *config,
                        rw_recording **recording);

/* Frees it, and closes its file as it is. */
void rw_recording_destroy(rw_recording *recording);

/* Finishes with one last attempt. */
void rw_recording_finish_now(rw_recording *recording);

/* Puts a report into the queue; false if there is no room. */
bool rw_recorder_tell(rw_recorder *recorder, const rw_recording_report *report);

#endif
